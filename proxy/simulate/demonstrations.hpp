#pragma once
// The six things this proxy was first specified to show, each as a short story with its numbers: normal operation,
// circuit breaker, backoff, hedging, adaptive timeout, degradation. Run by the real request path in virtual time; the
// same each time.

#include <string>
#include <string_view>
#include <vector>

namespace evenkeel::simulate {

struct demonstration {
    std::string_view name; // as on the command line
    std::string_view title;
    std::string (*play)(); // what is printed below the title; lines end with a newline
};
[[nodiscard]] const std::vector<demonstration>& demonstrations(); // in the order of the original

} // namespace evenkeel::simulate
