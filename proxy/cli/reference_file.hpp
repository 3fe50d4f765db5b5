#pragma once
#include <string_view>

namespace evenkeel::cli {
extern const std::string_view reference_file; // config/reference.yaml, as it was when this was built
}
