// What observing one ordinary request costs. Run under callgrind with the collection switched on at one function:
//   valgrind --tool=callgrind --toggle-collect='observe_requests(*' telemetry_cost metrics 1000
// (or access_log, health, journal) and divide the total by the number of requests. Measured 2026-11-29 with g++ 12.2
// -O2, instructions per request, making the records included (some 60 of them for the journal and the event that an
// attempt was launched): metrics 659, health 580, access log 2606.

#include "proxy/telemetry/access_log.hpp"
#include "proxy/telemetry/app_log.hpp"
#include "proxy/telemetry/background.hpp"
#include "proxy/telemetry/health.hpp"
#include "proxy/telemetry/journal_store.hpp"
#include "proxy/telemetry/metrics.hpp"
#include "tests/proxy/telemetry/sample_config.hpp"

#include <cstdlib>
#include <string_view>

using namespace evenkeel;
using namespace evenkeel::telemetry;
using namespace std::chrono_literals;

[[gnu::noinline]] void observe_requests(observer& to, const config::settings& settings, int count) {
    for (int i = 0; i < count; ++i) {
        const auto& route = *settings.routes[static_cast<std::size_t>(i) % settings.routes.size()];
        to.request_started(&route);
        to.request_event({&route, route.upstreams[0].get()}, happened::launched{attempt_kind::first, "first"});
        to.attempt_finished(
            {.route = &route, .upstream = route.upstreams[0].get(), .status = 200, .to_head = 300ms, .total = 900ms});
        to.request_finished({.route = &route,
                             .upstream = route.upstreams[0].get(),
                             .started = wall_time{1'790'000'000s + std::chrono::milliseconds{i}},
                             .method = "POST",
                             .path = "/v1/chat/completions",
                             .request_id = "0f8fad5b-d9cb-469f-a165-70867728950e",
                             .upstream_request_id = "req_011CUtYxZ8cGQ3",
                             .model = "deepseek-chat",
                             .status = 200,
                             .effort = {.attempts = 1},
                             .total = 1s,
                             .first_byte = 310ms,
                             .overhead = 45us,
                             .bytes_in = 700,
                             .bytes_out = 2000});
    }
}

int main(int count, char** words) {
    if (count < 3) return 2;
    const int requests = std::atoi(words[2]);
    const auto settings = sample_settings({{"a", "x"}, {"b", "y"}, {"c", "x"}, {"d", "z"}});
    if (words[1] == std::string_view("metrics")) {
        metrics to({.version = "0", .workers = 2});
        to.configuration_loaded(settings);
        observe_requests(to, *settings, requests);
        return to.text().empty() ? 1 : 0;
    }
    if (words[1] == std::string_view("access_log")) {
        background helper;
        app_log problems(helper);
        access_log to(helper, problems, {.capacity_bytes = 64 * 1024 * 1024});
        settings->access_log.path = "/dev/null";
        to.configuration_loaded(settings);
        observe_requests(to, *settings, requests);
        helper.stop();
        return to.dropped() == 0 ? 0 : 1;
    }
    if (words[1] == std::string_view("health")) {
        health to;
        to.configuration_loaded(settings);
        observe_requests(to, *settings, requests);
        return to.view().healthy ? 0 : 1;
    }
    if (words[1] == std::string_view("journal")) { // of them one a second is kept
        journal_store to;
        to.configuration_loaded(settings);
        observe_requests(to, *settings, requests);
        return to.summary().requests == 1 ? 0 : 1;
    }
    return 2;
}
