#pragma once
// How much of a storm a test runs: EVENKEEL_STORM=0.1 is a tenth. Sanitizer builds are slower by more than that.

#include <algorithm>
#include <cstdlib>

namespace evenkeel::test {

// `usual`: the share where nothing is asked for.
[[nodiscard]] inline int scaled(int count, double usual = 1) {
    const char* const share = std::getenv("EVENKEEL_STORM");
    return std::max(64, static_cast<int>(count * (share != nullptr ? std::strtod(share, nullptr) : usual)));
}

} // namespace evenkeel::test
