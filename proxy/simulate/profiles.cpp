#include "proxy/simulate/profiles.hpp"

#include "config/load.hpp"

#include <sstream>
#include <stdexcept>

namespace evenkeel::simulate {

namespace {

constexpr std::string_view common = R"(version: 1
upstreams:
  first: {url: "http://first.invalid"}
  second: {url: "http://second.invalid", caller_credentials: drop}
routes:
  - name: llm
    match: {path_prefix: /v1}
    upstreams: [first, second]
)";

// The numbers of the original document.
constexpr std::string_view classic = R"(profile: classic
)";

// What suits a client that waits for a minute: hedges, a timeout that can fire before the minute is over, and a line
// that holds whoever comes in an outage of three quarters of one.
constexpr std::string_view tuned = R"(defaults:
  timeout: {total: 60s, adaptive: {initial: {stream: 15s, buffered: 30s}}}
  retry: {max_retries: 8, backoff: {max: 4s}}
  circuit_breaker: {hold_queue: 256}
  hedge: {max_hedges: 3, max_extra: 0.4, target: any, guard: 0.3}
)";

} // namespace

const std::vector<profile>& profiles() {
    static const std::vector<profile> all{{"classic", std::string{common} + std::string{classic}},
                                          {"tuned", std::string{common} + std::string{tuned}}};
    return all;
}

config::snapshot settings_of(const profile& which) {
    const auto loaded = config::load_text(which.yaml, std::string{which.name} + ".yaml", {});
    if (!loaded.ok()) {
        std::ostringstream why;
        config::print_text(why, loaded.diagnostics);
        throw std::logic_error(why.str());
    }
    return only_route(*loaded.settings, {});
}

config::snapshot only_route(const config::settings& all, std::string_view route) {
    for (const auto& each : all.routes) {
        if (each->serves != config::route_serves::upstream || each->upstreams.empty()) continue;
        if (!route.empty() && each->name != route) continue;
        auto alone = std::make_shared<config::route>(*each);
        alone->match = {};
        alone->rewrite = {};
        for (auto& upstream : alone->upstreams) {
            auto speaking = std::make_shared<config::upstream>(*upstream);
            speaking->dialect = config::dialect_setting::automatic;
            upstream = speaking;
        }
        auto made = std::make_shared<config::settings>(all);
        made->clients.clear(); // whoever asks here may
        made->upstreams = alone->upstreams;
        made->routes = {alone};
        return made;
    }
    return nullptr;
}

} // namespace evenkeel::simulate
