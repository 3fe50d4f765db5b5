#pragma once
// Options of `pace` (pace.hpp).

#include "policies/time.hpp"

#include <optional>

namespace evenkeel {

struct pace_options {
    bool on = false;
    std::optional<double> requests{}, tokens{}; // a minute; empty: learned
    double headroom = 0.03;                     // of a limit, left alone
    duration max_wait = std::chrono::seconds{10};
    bool operator==(const pace_options&) const = default;
};

} // namespace evenkeel
