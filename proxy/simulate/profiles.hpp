#pragma once
// The configurations that simulations compare, as the files a user would write: one per profile, the same for every
// scenario. Both upstreams of its one route are endpoints of the simulated provider (of one server, or of two, as the
// scenario says).

#include "config/settings.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace evenkeel::simulate {

struct profile {
    std::string_view name;
    std::string yaml;
};
// classic, tuned.
[[nodiscard]] const std::vector<profile>& profiles();

// Throws std::logic_error if the text is no valid configuration.
[[nodiscard]] config::snapshot settings_of(const profile& which);

// What a simulation runs of a user's file: that route alone, made to take every request and to speak OpenAI's chat
// dialect as the simulated provider does. Its match, rewrite and dialect are left out, its policies are kept. Empty
// `route`: the first one that calls an upstream. Null: there is none.
[[nodiscard]] config::snapshot only_route(const config::settings& all, std::string_view route);

} // namespace evenkeel::simulate
