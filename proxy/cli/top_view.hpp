#pragma once
// A top_document as lines for a screen of a given size, or as a plain text. Pure. Nothing of a document steers the
// terminal: every text is cut to its column as printable ASCII.

#include "proxy/cli/top_document.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace evenkeel::cli {

enum class top_order : unsigned char { file, requests, success, slowest };
[[nodiscard]] top_order after(top_order one) noexcept;

struct top_choice {
    top_order order = top_order::file;
    std::string filter{};     // in the name of a route or of one of its upstreams
    bool typing = false;      // the filter is being typed
    std::size_t scrolled = 0; // lines of the table
    std::string where{};      // the address that is asked
    std::string problem{};    // nothing new came; what is shown is old
    double every_s = 1;
};

// As many lines as `height` at most; `width` columns each. Clamps `scrolled`.
[[nodiscard]] std::vector<std::string> screen_of(const top_document& what, top_choice& how, std::size_t width,
                                                 std::size_t height, bool colour);
[[nodiscard]] std::string page_of(const top_document& what, const top_choice& how, std::size_t width, bool colour);

} // namespace evenkeel::cli
