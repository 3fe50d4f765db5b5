#include "proxy/demo/demo_config.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace evenkeel::demo {

std::string demo_config(const config_choice& choice) {
    const auto time = [&](double document_seconds) {
        return fmt::format("{:.0f}ms", std::max(1.0, std::round(document_seconds * 1000 / choice.speed)));
    };
    return fmt::format(R"(# What `evenkeel demo` runs with. The provider is {0} times faster than a real one, so every
# duration here is the one of a real deployment, which stands behind it, divided by {0}.
version: 1
listen: {1}
admin:
  listen: {2}

upstreams:
  first:
    url: {3}
  second: # another endpoint of the same provider
    url: {3}/second

defaults:
  timeout:
    total: {4:<12} # 60 s: the whole request with everything that is tried for it
    attempt: {5:<10} # 12 s: one attempt; nearly all answers of this provider come sooner
    stream_idle: {6:<6} # 20 s: silence inside a stream
  retry:
    backoff:
      initial: {7:<8} # 250 ms: the first pause, doubled with each one
      max: {8:<12} # 8 s

routes:
  - name: llm
    match: {{path_prefix: /v1}}
    upstreams: [first, second]

access_log: {{path: "off"}} # the table is what there is to see; for one line a request: stdout
log: {{level: error}}
)",
                       choice.speed, choice.listen, choice.admin, choice.provider, time(60), time(12), time(20), time(0.25), time(8));
}

} // namespace evenkeel::demo
