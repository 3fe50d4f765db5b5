#pragma once
// The files of page/, as they stand there; CMake makes the source.

#include <string_view>

namespace evenkeel::admin::page_files {

extern const std::string_view page_html, page_css, page_js, login_html, login_css, login_js;

} // namespace evenkeel::admin::page_files
