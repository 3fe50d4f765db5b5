#pragma once
// A configuration as the loader would hand it over, for tests of what listens to the request path.

#include "config/settings.hpp"

#include <initializer_list>
#include <memory>
#include <string>
#include <utility>

namespace evenkeel::telemetry {

struct sample_route {
    std::string name, upstream;
};

[[nodiscard]] inline std::shared_ptr<config::settings> sample_settings(std::initializer_list<sample_route> routes,
                                                                       std::string hash = "0123abcd") {
    auto made = std::make_shared<config::settings>();
    made->hash = std::move(hash);
    for (const auto& [name, upstream] : routes) {
        std::shared_ptr<const config::upstream> used;
        for (const auto& there : made->upstreams)
            if (there->name == upstream) used = there;
        if (!used) {
            auto fresh = std::make_shared<config::upstream>();
            fresh->name = upstream;
            fresh->address.host = upstream + ".secret-host.example";
            fresh->address.authority = fresh->address.host;
            fresh->headers.set = {{"authorization", "Bearer sk-CANARY-upstream"}};
            made->upstreams.push_back(fresh);
            used = fresh;
        }
        auto route = std::make_shared<config::route>();
        route->name = name;
        route->upstreams = {used};
        made->routes.push_back(route);
    }
    return made;
}

} // namespace evenkeel::telemetry
