// What upstreams get in outages and slow times, and what clients get: the shipped defaults on the whole path of a
// request, in virtual time, with hundreds of requests.

#include "config/load.hpp"
#include "tests/proxy/request/flow_fixture.hpp"

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace evenkeel::test::outage_flow_test {

namespace {

// A configuration as a user writes it, and clients that come at a steady rate, each with a connection of its own.
struct busy : fixture {
    // `route`: lines of the one route, indented by four. Without a bulkhead, which refuses what has to wait for longer
    // than its queue does: here more are in flight than it lets through, and the question is what becomes of them.
    explicit busy(int upstreams, const std::string& route_lines = "") {
        std::string text = "version: 1\nlisten: 127.0.0.1:0\nadmin: off\nupstreams:\n", names;
        for (int i = 0; i < upstreams; ++i) {
            text += "  u" + std::to_string(i) + ":\n    url: http://u" + std::to_string(i) +
                    ".example\n    caller_credentials: " + (i == 0 ? "auto" : "drop") + "\n";
            names += (i > 0 ? ", u" : "u") + std::to_string(i);
        }
        text += "routes:\n  - name: all\n    match: {path_prefix: /}\n    upstreams: [" + names +
                "]\n    bulkhead: off\n" + route_lines;
        const auto loaded = config::load_text(text, "test.yaml", config::process_environment());
        REQUIRE(loaded.ok());
        *settings = *loaded.settings;
        context.use(settings, registry.prepare(*settings));
    }

    struct visitor {
        explicit visitor(net::loop& loop) : client(loop, false) {}
        scripted_client client;
    };
    void come(const std::string& request) {
        auto& one = visitors.emplace_back(std::make_unique<visitor>(loop));
        loop.nursery().spawn(request::client_connection::run(
            std::make_unique<request::client_connection>(context, one->client.connect())));
        one->client.send(request);
        ++sent;
    }
    void take_leave() {
        std::erase_if(visitors, [&](const auto& one) {
            const std::string& received = one->client.received();
            const bool whole = received.ends_with("}") || received.ends_with("0\r\n\r\n");
            if (!whole && !one->client.closed_by_proxy()) return false;
            ++answered;
            if (whole && has(received, "HTTP/1.1 200")) ++good;
            one->client.leave();
            return true;
        });
    }
    void traffic(int count, duration apart, const std::string& request = post) {
        for (int i = 0; i < count; ++i) {
            come(request);
            pass(apart);
            if (i % 16 == 0) take_leave();
        }
        take_leave();
    }
    void finish() {
        pass(11min); // timeout.total and a little
        take_leave();
        CHECK(visitors.empty());
        expect_nothing_left();
    }
    // Extra attempts since `from`.
    [[nodiscard]] int extra_since(steady_time from) const {
        return static_cast<int>(
            std::count_if(seen.extra.begin(), seen.extra.end(), [&](steady_time at) { return at >= from; }));
    }
    [[nodiscard]] double load() const { return static_cast<double>(upstream.exchanges().size()) / sent; }

    std::vector<std::unique_ptr<visitor>> visitors;
    int sent = 0, answered = 0, good = 0;
    std::mt19937 random{5};
    [[nodiscard]] double draw() { return std::uniform_real_distribution<double>(0, 1)(random); }
    [[nodiscard]] duration lognormal(duration median, double sigma) {
        return duration{static_cast<duration::rep>(static_cast<double>(median.count()) *
                                                   std::lognormal_distribution<double>(0, sigma)(random))};
    }
};

exchange_script after(duration wait, const std::string& answer) {
    return {.steps = {play::request{2}, play::pause{wait}, play::send{answer}}};
}
const std::string one_word = stream_head + chunk(word) + chunk(stop) + chunk(done) + "0\r\n\r\n";
exchange_script refused() {
    exchange_script script;
    script.connect_failure =
        net::transport_error{net::transport_error::kind::refused, "connection_refused", 502, {}, "refused"};
    return script;
}
} // namespace

TEST_CASE(
    "A17: a thousand at once meet a rate limit that names no time, and are served as it lets them, without a storm") {
    struct limit {
        int at_a_time;
        duration each, refusal; // how long an answer takes, and a 429: a crowd's are not there at once
    };
    for (const auto& [at_a_time, each, refusal] :
         {limit{200, 500ms, 5ms}, limit{280, 1000ms, 5ms}, limit{200, 500ms, 200ms}, limit{200, 500ms, 500ms}}) {
        CAPTURE(at_a_time);
        CAPTURE(refusal.count());
        busy f(1);
        std::vector<steady_time> ends;
        int refusals = 0;
        f.upstream.choose([&, room = static_cast<std::size_t>(at_a_time), length = each,
                           wait = refusal](const config::upstream&, std::size_t) {
            std::erase_if(ends, [&](steady_time end) { return end <= f.loop.now(); });
            if (ends.size() >= room) {
                ++refusals;
                return after(wait, status_answer(429));
            }
            ends.push_back(f.loop.now() + length);
            return after(length, ok_json);
        });
        const std::string patient =
            "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nx-evenkeel-timeout: 10\r\n"
            "Content-Length: 2\r\n\r\n{}";
        f.traffic(50, 100ms, patient); // what is usual is known
        const int before = f.good;
        refusals = 0;
        for (int i = 0; i < 1000; ++i) f.come(patient);
        f.pass(12s);
        f.take_leave();
        MESSAGE((f.good - before), " served, ", refusals, " refusals");
        CHECK(f.good - before >= 990);
        CHECK(refusals < 3000);
        f.finish();
    }
}

TEST_CASE("total outage: extra attempts fall to one per 5 s per upstream once the burst is spent") {
    for (const int upstreams : {1, 2}) {
        for (const std::string& breaker : {std::string{}, std::string{"    circuit_breaker: off\n"}}) {
            CAPTURE(upstreams);
            CAPTURE(breaker);
            busy f(upstreams, breaker);
            bool down = false;
            f.upstream.choose([&](const config::upstream&, std::size_t) {
                return down ? after(5ms, status_answer(500)) : after(500ms, ok_json);
            });
            f.traffic(300, 100ms);
            const auto before = f.loop.now();
            down = true;
            f.traffic(600, 100ms); // 60 s: the burst
            const auto burst_over = f.loop.now();
            const int in_burst = f.extra_since(before);
            f.traffic(2000, 100ms); // 200 s
            const int later = f.extra_since(burst_over);
            MESSAGE(upstreams, " upstreams, breaker ", std::string{breaker.empty() ? "on" : "off"},
                    ": extra attempts in the first 60 s ", in_burst, ", in the next 200 s ", later);
            // burst / 0.1, what trickles in until nothing has succeeded for 30 s, and one per 5 s.
            CHECK(in_burst <= upstreams * (100 + 60 + 60 / 5));
            CHECK(later <= upstreams * (200 / 5 + 1));
            f.finish();
        }
    }
}

TEST_CASE("one of two endpoints always fails: at least 99.9 % succeed") {
    const std::vector<std::pair<const char*, std::function<exchange_script()>>> failures{
        {"500", [] { return after(20ms, status_answer(500)); }},
        {"reset",
         [] {
             return exchange_script{.steps = {play::request{2}, play::pause{200ms}, play::reset{}}};
         }},
        {"refused", [] { return refused(); }},
        {"429", [] { return after(20ms, status_answer(429)); }},
        {"529", [] { return after(20ms, status_answer(529)); }},
    };
    for (const auto& [name, failure] : failures) {
        for (const char* balance : {"failover", "round_robin", "least_latency"}) {
            CAPTURE(name);
            CAPTURE(balance);
            busy f(2, std::string{"    balance: "} + balance + "\n");
            f.upstream.choose([&](const config::upstream& to, std::size_t) {
                return to.name == "u0" ? failure() : after(f.lognormal(800ms, 0.4), ok_json);
            });
            f.traffic(1000, 100ms);
            f.finish();
            const double success = static_cast<double>(f.good) / f.sent;
            MESSAGE(std::string{name}, " with ", std::string{balance}, ": success ", success, ", attempts per request ",
                    f.load());
            CHECK(success >= 0.999);
        }
    }
}

TEST_CASE("one of two endpoints goes silent: what was sent there is rescued by the other") {
    for (const char* lines :
         {"", "    overload: off\n", "    circuit_breaker: off\n    overload: off\n", "    hedge: {delay: auto}\n"}) {
        for (const bool stream : {false, true}) {
            busy f(2, lines);
            bool silent = false;
            f.upstream.choose([&](const config::upstream& to, std::size_t) {
                if (silent && to.name == "u0") return exchange_script{.steps = {play::silence{}}};
                const auto took = f.lognormal(800ms, 0.4);
                return stream ? streaming({play::pause{took}, play::send{one_word}}) : after(took, ok_json);
            });
            const std::string request = stream ? post_stream() : post;
            f.traffic(300, 100ms, request);
            silent = true;
            f.traffic(1500, 100ms, request);
            f.finish();
            const double success = static_cast<double>(f.good) / f.sent;
            MESSAGE(std::string{lines}, std::string{stream ? "streams" : "buffered"}, ": success ", success,
                    ", attempts per request ", f.load());
            CHECK(success >= 0.999);
        }
    }
}

TEST_CASE("everything slow and nothing failing: extra load at most 1.2") {
    for (const int upstreams : {1, 2}) {
        for (const char* hedge : {"off", "{delay: auto}", "{delay: p95, max_hedges: 2}", "{delay: 2s}"}) {
            for (const bool stream : {false, true}) {
                CAPTURE(upstreams);
                CAPTURE(hedge);
                CAPTURE(stream);
                busy f(upstreams, std::string{"    hedge: "} + hedge + "\n");
                double slower = 1;
                f.upstream.choose([&](const config::upstream&, std::size_t) {
                    const auto took = duration{
                        static_cast<duration::rep>(static_cast<double>(f.lognormal(800ms, 0.5).count()) * slower)};
                    if (!stream) return after(took, ok_json);
                    return streaming({play::pause{took}, play::send{one_word}});
                });
                const std::string request = stream ? post_stream() : post;
                f.traffic(1200, 100ms, request);
                const auto usual = f.upstream.exchanges().size();
                slower = 6;
                f.traffic(1800, 100ms, request);
                f.pass(5min);
                f.take_leave();
                const double load = static_cast<double>(f.upstream.exchanges().size() - usual) / 1800;
                MESSAGE(upstreams, " upstreams, hedge ", std::string{hedge},
                        std::string{stream ? ", streams" : ", buffered"}, ": usual load ",
                        static_cast<double>(usual) / 1200, ", slow ", load);
                CHECK(load <= 1.2);
                f.visitors.clear();
            }
        }
    }
}

// Each attempt here takes longer than the usual one, or fails as late, so each extra one costs 1: the theorem is a
// count.
TEST_CASE("extra attempts keep within the budget: burst + deposits + min_per_second * t") {
    for (const double share : {0.1, 0.3, 0.6}) {
        CAPTURE(share);
        busy f(
            1,
            "    hedge: {delay: 2500ms, max_hedges: 1, max_extra: 0.2}\n    circuit_breaker: off\n    overload: off\n");
        f.upstream.choose([&](const config::upstream&, std::size_t) {
            const double u = f.draw();
            if (u < share) return after(1s, status_answer(500));
            if (u < share + 0.1) return after(60s, ok_json);
            return after(1s, ok_json);
        });
        const auto began = f.loop.now();
        f.traffic(3000, 100ms);
        f.finish();
        const double t = std::chrono::duration<double>(f.loop.now() - began).count();
        const double bound = 10 + 0.4 * f.good + 0.2 * t;
        MESSAGE("failing ", share, ": extra ", f.seen.extra.size(), " of at most ", bound, ", success ",
                static_cast<double>(f.good) / f.sent);
        CHECK(static_cast<double>(f.seen.extra.size()) <= bound);
    }
}

} // namespace evenkeel::test::outage_flow_test
