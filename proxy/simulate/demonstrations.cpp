#include "proxy/simulate/demonstrations.hpp"

#include "proxy/model/luck.hpp"
#include "proxy/simulate/percentile.hpp"
#include "proxy/simulate/stage.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <numeric>

namespace evenkeel::simulate {

using namespace model;

namespace {

constexpr std::string_view chat = "/v1/chat/completions";
constexpr std::string_view answer_body = R"({"choices":[{"message":{"content":"hello"},"finish_reason":"stop"}]})";
constexpr std::string_view error_body = R"({"error":{"message":"internal error","type":"server_error"}})";

reply good(double after) { return {.after = after, .body = std::string{answer_body}}; }
reply failing(double after) { return {.after = after, .status = 500, .body = std::string{error_body}}; }

std::string one_route(std::string_view head, std::string_view policies, std::string_view upstreams = "[provider]") {
    return fmt::format("version: 1\n{}upstreams:\n  provider: {{url: \"http://provider.invalid\"}}\n"
                       "  second: {{url: \"http://second.invalid\", caller_credentials: drop}}\n"
                       "routes:\n  - name: llm\n    match: {{path_prefix: /v1}}\n    upstreams: {}\n{}",
                       head, upstreams, policies);
}

std::string sentence(std::string_view text) { return fmt::format("   {}\n", text); }

struct totals {
    std::size_t requests = 0, good = 0;
    double p50 = 0, p95 = 0, p99 = 0, slowest = 0, attempts = 0; // attempts: per request
};
totals sum(const stage& what, double from = 0) {
    totals all;
    std::vector<double> times;
    for (const request_seen& each : what.requests()) {
        if (each.came < from) continue;
        ++all.requests;
        all.good += each.whole && each.status == 200 && !each.degraded.is;
        all.attempts += each.attempts;
        times.push_back(each.took);
    }
    all.p50 = percentile(times, 0.5);
    all.p95 = percentile(times, 0.95);
    all.p99 = percentile(times, 0.99);
    all.slowest = times.empty() ? 0 : *std::max_element(times.begin(), times.end());
    if (all.requests > 0) all.attempts /= static_cast<double>(all.requests);
    return all;
}

std::string normal_operation() {
    stage on(one_route("", ""), [](std::string_view, unsigned attempt, double) {
        return good(lognormal(2, 0.3, draw(1, attempt, 0, 0), draw(1, attempt, 0, 1)));
    });
    for (int i = 0; i < 100; ++i) on.request_at(0.5 * i, std::string{chat});
    on.run_until(120);
    const totals all = sum(on);
    return sentence("100 requests, 2 a second, to a provider that is well (2 s, sigma 0.3).") +
           sentence(fmt::format(
               "answered {} of {}; P50 {:.1f} s, P95 {:.1f} s, P99 {:.1f} s; {:.2f} attempts per request; circuit {}",
               all.good, all.requests, all.p50, all.p95, all.p99, all.attempts,
               on.circuits().empty() ? "closed throughout" : "disturbed"));
}

std::string circuit_breaker() {
    // Down from 10 s to 60 s.
    stage on(one_route("profile: classic\n", "    retry: off\n    hedge: off\n"),
             [](std::string_view, unsigned, double now) { return now >= 10 && now < 60 ? failing(0.2) : good(0.5); });
    for (int i = 0; i < 100; ++i) on.request_at(i, std::string{chat});
    on.run_until(120);
    std::string text =
        sentence("A provider fails from 10 s to 60 s; a request every second; the original's breaker: 3 consecutive") +
        sentence("failures, 30 s, 2 probes, 2 successes (profile: classic, retries off so that it is seen alone).");
    for (const circuit_seen& each : on.circuits())
        text += fmt::format("   {:6.1f} s   {} -> {} ({})\n", each.at, to_string(each.change.from),
                            to_string(each.change.to), each.change.why);
    std::size_t errors = 0, refused = 0;
    double slowest_refusal = 0;
    std::string retry_after;
    for (const request_seen& each : on.requests()) {
        errors += each.status == 500;
        if (each.status != 503) continue;
        if (refused++ == 0) retry_after = each.retry_after;
        slowest_refusal = std::max(slowest_refusal, each.took);
    }
    return text +
           sentence(fmt::format(
               "answered {}; {} got the provider's 500; {} were refused at once (at most {:.0f} ms), the first one",
               sum(on).good, errors, refused, slowest_refusal * 1000)) +
           sentence(fmt::format("with `Retry-After: {}`. Without a breaker 50 requests would have gone to the provider "
                                "while it was down.",
                                retry_after));
}

std::string backoff() {
    std::string text =
        sentence("A provider fails three times, then answers; 0.5 s x 2 up to 30 s, equal jitter, so the pauses are "
                 "within") +
        sentence("0.25-0.5, 0.5-1 and 1-2 s and different each time (profile: classic, hedges and breaker off).");
    for (std::uint64_t seed = 1; seed <= 3; ++seed) {
        stage on(
            one_route("profile: classic\n", "    hedge: off\n    circuit_breaker: off\n"),
            [](std::string_view, unsigned attempt, double) { return attempt <= 3 ? failing(0.1) : good(0.5); }, seed);
        const request_seen& got = on.ask(std::string{chat});
        std::string pauses;
        for (std::size_t i = 1; i < on.attempts().size(); ++i)
            fmt::format_to(std::back_inserter(pauses), "{}{:.3f} s", i > 1 ? ", " : "",
                           on.attempts()[i].began - on.attempts()[i - 1].ended);
        text += sentence(fmt::format("pauses {}; answered {} after {:.1f} s and {} attempts", pauses, got.status,
                                     got.took, got.attempts));
    }
    return text;
}

std::string hedging() {
    std::string text =
        sentence("400 requests, 2 a second; one attempt in five takes 30 s, the others 2 s (sigma 0.3); 24 more "
                 "before, all of them well.") +
        sentence("Overload control is off: it would hold hedges back while more than usual is under way.") +
        fmt::format("   {:36}{:>8}{:>8}{:>8}{:>17}\n", "", "P50", "P95", "P99", "attempts/request");
    struct way {
        std::string_view name, policies;
    };
    static constexpr way ways[] = {
        {"no hedge", "    hedge: off\n"},
        {"one, after 3 s (the original's)",
         "    hedge: {delay: 3s, max_hedges: 1, max_extra: 1, target: any, guard: 0}\n"},
        {"two, after 3 s", "    hedge: {delay: 3s, max_hedges: 2, max_extra: 1, target: any, guard: 0}\n"},
        {"three, after a learned time", "    hedge: {max_hedges: 3, max_extra: 1, target: any, guard: 0}\n"},
    };
    for (const way& each : ways) {
        stage on(one_route("", fmt::format("    overload: off\n{}", each.policies), "[provider, second]"),
                 [](std::string_view, unsigned attempt, double now) {
                     return now >= 12 && draw(2, attempt, 0, 2) < 0.2
                                ? good(30)
                                : good(lognormal(2, 0.3, draw(2, attempt, 0, 0), draw(2, attempt, 0, 1)));
                 });
        for (int i = 0; i < 424; ++i) on.request_at(0.5 * i, std::string{chat});
        on.run_until(400);
        const totals all = sum(on, 12);
        text += fmt::format("   {:36}{:6.1f} s{:6.1f} s{:6.1f} s{:17.2f}\n", each.name, all.p50, all.p95, all.p99,
                            all.attempts);
    }
    return text;
}

std::string adaptive_timeout() {
    bool hanging = false;
    stage on(one_route("profile: classic\n", "    hedge: off\n    retry: {max_retries: 1}\n", "[provider, second]"),
             [&](std::string_view upstream, unsigned attempt, double) {
                 if (hanging && upstream == "provider") return reply{.silent = true};
                 return good(lognormal(2, 0.3, draw(3, attempt, 0, 0), draw(3, attempt, 0, 1)));
             });
    const auto timeout = [&] {
        return in_seconds(on.policies().routes.at(0).endpoints.at(0).latency.current_timeout_buffered);
    };
    std::string text = sentence("The timeout of an attempt is learned: P95 x 1.5 after 10 samples, 30 s before "
                                "(profile: classic); the provider") +
                       sentence("answers after 2 s (sigma 0.3).");
    std::vector<double> times;
    const auto say = [&](int samples) {
        text += sentence(fmt::format(
            "after {:3} answers: {:4.1f} s{}", samples, timeout(),
            samples < 10 ? "" : fmt::format("   (P95 of what was seen {:.1f} s)", percentile(times, 0.95))));
    };
    for (int samples = 0; samples <= 100; ++samples) {
        if (samples == 0 || samples == 9 || samples == 10 || samples == 30 || samples == 100) say(samples);
        if (samples < 100) times.push_back(on.ask(std::string{chat}).took);
    }
    hanging = true;
    const double learned = timeout();
    const request_seen& got = on.ask(std::string{chat});
    return text +
           sentence(fmt::format("then it hangs: the attempt is ended after {:.1f} s (the timeout was {:.1f} s), the "
                                "second provider is asked, and",
                                on.attempts().at(100).ended - got.came, learned)) +
           sentence(fmt::format("the answer is there after {:.1f} s instead of {:.0f}.", got.took, 30.0));
}

std::string degradation() {
    bool down = false;
    stage on(R"(version: 1
upstreams:
  quick: {url: "http://quick.invalid"}
  thorough: {url: "http://thorough.invalid", caller_credentials: drop}
routes:
  - {name: phase1, match: {path: /phase1}, upstreams: [quick], rewrite: {path: /v1/chat/completions}}
  - {name: phase2, match: {path: /phase2}, upstreams: [thorough], rewrite: {path: /v1/chat/completions},
     timeout: {attempt: 8s}, retry: {max_retries: 1}}
  - {name: complete, match: {path: /complete}, fan_out: {parts: [phase1, phase2], min_success: 1},
     timeout: {total: 20s}}
  - name: remembered
    match: {path: /remembered}
    upstreams: [thorough]
    rewrite: {path: /v1/chat/completions}
    timeout: {total: 20s, attempt: 8s}
    retry: {max_retries: 1}
    fallback: [{last_good: {max_age: 1h}},
               {respond: {status: 200, body: '{"choices":[{"message":{"content":"please try again later"}}]}'}}]
)",
             [&](std::string_view upstream, unsigned, double) {
                 if (upstream == "quick") return good(2);
                 return down ? reply{.silent = true} : good(5);
             });
    std::string text;
    const auto say = [&](std::string_view what, const request_seen& got) {
        const auto part = [&](std::string_view name) {
            const std::size_t at = got.body.find(fmt::format("\"{}\":{{\"status\":200", name));
            return at == std::string::npos ? "no" : "yes";
        };
        if (got.body.find("\"parts\"") != std::string::npos)
            text += sentence(fmt::format("{:42} {} after {:4.1f} s: phase 1 {}, phase 2 {}", what, got.status, got.took,
                                         part("phase1"), part("phase2")));
        else
            text +=
                sentence(fmt::format("{:42} {} after {:4.1f} s: {}", what, got.status, got.took,
                                     !got.degraded.is ? "live"
                                     : got.degraded.by == fallback_kind::last_good
                                         ? fmt::format("last good answer, {:.0f} s old", in_seconds(got.degraded.age))
                                         : "the canned answer"));
    };
    text += sentence("Two phases, both at once (`complete`); then the second one's provider falls silent.");
    say("complete, all well:", on.ask("/complete"));
    say("with a fallback, all well:", on.ask("/remembered"));
    down = true;
    say("complete, phase 2 silent:", on.ask("/complete"));
    say("with a fallback, provider silent:", on.ask("/remembered"));
    on.run_until(on.now() + 3700);
    say("... an hour later:", on.ask("/remembered"));
    return text;
}

} // namespace

const std::vector<demonstration>& demonstrations() {
    static const std::vector<demonstration> all{
        {"normal", "Normal operation", normal_operation},        {"breaker", "Circuit breaker", circuit_breaker},
        {"backoff", "Exponential backoff with jitter", backoff}, {"hedging", "Hedged requests", hedging},
        {"timeout", "Adaptive timeout", adaptive_timeout},       {"degradation", "Graceful degradation", degradation}};
    return all;
}

} // namespace evenkeel::simulate
