#include "proxy/demo/demo_config.hpp"

#include "proxy/simulate/faster.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace evenkeel::demo {

std::string demo_config(const config_choice& choice) {
    const auto& known = simulate::profiles();
    const auto profile = std::ranges::find(known, choice.profile, &simulate::profile::name);
    const std::string admin =
        choice.admin == "off" ? "admin: off\n" : fmt::format("admin:\n  listen: {}\n", choice.admin);
    return fmt::format(R"(# What `evenkeel demo` runs with. The provider is {0} times faster than a real one, so every
# duration here is the one of a real deployment, which stands behind it, divided by {0}.
version: 1
listen: {1}
{2}
upstreams:
  first:
    url: {3}
  second: # another endpoint of the same provider
    url: {3}/second

{4}
routes:
  - name: llm
    match: {{path_prefix: /v1}}
    upstreams: [first, second]

access_log: {{path: "off"}} # the table is what there is to see; for one line a request: stdout
log: {{level: error}}
)",
                       choice.speed, choice.listen, admin, choice.provider, simulate::faster(*profile, choice.speed));
}

} // namespace evenkeel::demo
