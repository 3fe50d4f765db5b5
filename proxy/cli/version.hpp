#pragma once
#include <string_view>

namespace evenkeel {
inline constexpr std::string_view program_version = EVENKEEL_VERSION; // of the project in CMakeLists.txt
}
