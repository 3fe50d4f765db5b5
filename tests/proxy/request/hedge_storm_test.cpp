// Property: whatever heads, events, errors, closes, timers and leaving clients do and in whatever order, the bytes of
// exactly one upstream attempt reach each client, whole or honestly cut, and nothing is left over.
//
// A case is a seed: a handful of clients, one configuration, and a script drawn for each exchange. Times lie on a
// coarse grid, so that much happens at the same instant; who is first there depends on the order of arming, which the
// seed shuffles as well. EVENKEEL_STORM=1 runs 10^5 requests. P7.8 is this and the other tests here under the
// sanitizers: the presets asan and tsan, built and tested like any other (cmake --preset asan, cmake --build --preset
// asan, ctest --preset asan).

#include "tests/proxy/request/flow_fixture.hpp"
#include "tests/support/storm_scale.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace evenkeel::test::hedge_storm_test {

namespace {

struct dice {
    std::mt19937 random;
    explicit dice(std::uint32_t seed) : random(seed) {}
    [[nodiscard]] std::uint32_t below(std::uint32_t n) { return static_cast<std::uint32_t>(random() % n); }
    [[nodiscard]] bool one_in(std::uint32_t n) { return below(n) == 0; }
    [[nodiscard]] duration grid() {
        static constexpr int steps[] = {0, 0, 1, 5, 5, 10, 10, 20, 40};
        return std::chrono::milliseconds{steps[below(std::size(steps))]};
    }
};

// What one exchange was to say.
struct planned {
    std::string text; // of a stream, decoded, as far as it was to go
    int events = 0;
    bool whole = false; // its text is complete
};

std::string event_of(std::size_t place, int i) {
    return "data: {\"choices\":[{\"delta\":{\"content\":\"" + std::to_string(place) + ":" + std::to_string(i) +
           "\"},\"finish_reason\":null}]}\n\n";
}

struct outcome_count {
    int whole = 0, cut = 0, refused = 0, left = 0, hedges = 0, won = 0;
};

class hedged_case {
public:
    static constexpr int clients = 10;

    explicit hedged_case(std::uint32_t seed) : dice_(seed), stream_(!dice_.one_in(6)) {
        configure();
        f_.upstream.choose([this](const config::upstream&, std::size_t place) { return draw_script(place); });
        f_.services.chance.seed(seed);
        f_.context.use(f_.settings, f_.registry.prepare(*f_.settings));
    }

    void run(outcome_count& count) {
        for (int i = 0; i < clients; ++i) {
            clients_.push_back(std::make_unique<visitor>(f_.loop));
            // Leaves by itself.
            if (dice_.one_in(4)) f_.loop.timers().arm(*clients_.back(), f_.loop.now() + dice_.grid() + dice_.grid());
        }
        for (int i = 0; i < clients; ++i) {
            auto& client = clients_[static_cast<std::size_t>(i)]->client;
            f_.loop.nursery().spawn(request::client_connection::run(
                std::make_unique<request::client_connection>(f_.context, client.connect())));
            client.send(request_of(i));
            f_.pass(dice_.grid());
            if (dice_.one_in(40)) client.stop_reading();
            if (dice_.one_in(12)) clients_[dice_.below(clients)]->leave();
        }
        f_.pass(2min);
        for (int i = 0; i < clients; ++i) check(i, count);
        for (auto& one : clients_) one->leave();
        f_.expect_nothing_left();
        count.hedges += f_.seen.hedges;
        count.won += f_.seen.hedges_won;
    }

private:
    struct visitor final : net::timer_entry {
        explicit visitor(net::loop& loop) : client(loop) {}
        void on_timer() override { leave(); }
        void leave() {
            left = true;
            client.leave();
        }
        scripted_client client;
        bool left = false;
    };

    void configure() {
        auto& route = *f_.route;
        for (auto n = dice_.below(3); n > 0; --n) {
            auto more = std::make_shared<config::upstream>();
            more->name = "backup" + std::to_string(n);
            more->address.authority = more->name + ".example";
            route.upstreams.push_back(more);
            f_.settings->upstreams.push_back(more);
        }
        route.retry.max_retries = 1 + static_cast<int>(dice_.below(5));
        route.retry.backoff = {
            .initial = 5ms, .max = 20ms, .base = 2, .jitter = dice_.one_in(2) ? jitter::none : jitter::full};
        route.retry.budget.burst = dice_.one_in(8) ? 2 : 1000;
        route.retry.max_retry_after = 100ms;
        route.hedge.on = true;
        route.hedge.delay = hedge_options::delay_kind::fixed;
        route.hedge.fixed = std::max<duration>(dice_.grid(), 1ms);
        route.hedge.min_delay = 1ms;
        route.hedge.max_hedges = 1 + static_cast<int>(dice_.below(2));
        route.hedge.guard = dice_.one_in(4) ? 0.5 : 0;
        route.hedge.target = static_cast<hedge_target>(dice_.below(3));
        route.timeout.total = 1s;
        route.timeout.stream_idle = 50ms;
        route.timeout.content_idle = 200ms;
        if (dice_.one_in(4)) route.timeout.attempt = 20ms;
        if (dice_.one_in(4)) {
            route.timeout.learn_attempt = true;
            route.timeout.adaptive.initial = route.timeout.adaptive.min = {20ms, 40ms};
        }
        if (dice_.one_in(3))
            route.stream.head_hold = 10ms, route.stream.heartbeat = 5ms, f_.context.head_hold_tick = 1ms;
        if (dice_.one_in(6)) route.stream.hold_buffer = 100;
        route.balance = static_cast<balance_kind>(dice_.below(3));
        route.circuit_breaker.on = dice_.one_in(2);
        route.circuit_breaker.recovery_timeout = 20ms;
        route.circuit_breaker.ramp = 50ms;
        route.circuit_breaker.when_open = dice_.one_in(3) ? when_open::reject : when_open::hold;
        route.circuit_breaker.hold_queue = dice_.one_in(2) ? 64 : 2;
        route.cooldown = {.on = dice_.one_in(2), .initial = 10ms, .max = 50ms, .overload = 20ms, .quota = 100ms};
        route.overload = {.on = dice_.one_in(2), .window = 50ms, .ratio = 0.3, .min_verdicts = 5, .max_wait = 30ms};
    }

    static std::string nonce(int client) { return "\"n\":\"c" + std::to_string(client) + "\""; }
    [[nodiscard]] std::string request_of(int client) const {
        const std::string body = std::string{R"({"stream":)"} + (stream_ ? "true," : "false,") + nonce(client) + "}";
        return "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(body.size()) +
               "\r\n\r\n" + body;
    }

    exchange_script draw_script(std::size_t place) {
        plans_.resize(std::max(plans_.size(), place + 1));
        planned& plan = plans_[place];
        exchange_script script;
        script.connect_after = dice_.one_in(4) ? dice_.grid() : 0ms;
        if (dice_.one_in(16)) {
            script.connect_failure =
                net::transport_error{net::transport_error::kind::refused, "connection_refused", 502, {}, "refused"};
            return script;
        }
        script.reused = dice_.one_in(8);
        script.writes_fail = dice_.one_in(40);
        script.steps.push_back(play::request{stream_ ? 24U : 25U});
        if (!dice_.one_in(3)) script.steps.push_back(play::pause{dice_.grid()});
        std::vector<std::string> wire = dice_.one_in(6) ? error_answer(place)
                                        : stream_       ? stream_answer(place, plan)
                                                        : json_answer(place, plan);
        // Where it breaks, and how.
        const auto cut = dice_.one_in(3) ? dice_.below(static_cast<std::uint32_t>(wire.size()) + 1) : wire.size();
        for (std::size_t i = 0; i < cut; ++i) {
            const std::size_t split = dice_.one_in(4) ? dice_.below(static_cast<std::uint32_t>(wire[i].size())) : 0;
            if (split > 0) script.steps.push_back(play::send{wire[i].substr(0, split)});
            if (split > 0 && dice_.one_in(2)) script.steps.push_back(play::pause{dice_.grid()});
            script.steps.push_back(play::send{wire[i].substr(split)});
            if (dice_.one_in(3)) script.steps.push_back(play::pause{dice_.grid()});
        }
        if (cut == wire.size() && !dice_.one_in(4)) return script;
        switch (dice_.below(5)) {
        case 0: script.steps.push_back(play::reset{}); break;
        case 1: script.steps.push_back(play::end{}); break;
        case 2: script.steps.push_back(play::truncate_tls{}); break;
        case 3: // a formally whole end, too early; or bytes nobody asked for
            if (stream_ || cut == wire.size()) script.steps.push_back(play::send{stream_ ? "0\r\n\r\n" : "x"});
            break;
        default: break; // silence
        }
        return script;
    }
    std::vector<std::string> error_answer(std::size_t place) {
        static constexpr int statuses[] = {400, 401, 404, 429, 500, 502, 503, 529};
        const int status = statuses[dice_.below(std::size(statuses))];
        const std::string hint = dice_.one_in(4) ? "retry-after-ms: 20\r\n" : "";
        return {status_answer(status, hint,
                              "{\"error\":{\"message\":\"m\",\"content\":\"" + std::to_string(place) + ":0\"}}")};
    }
    std::vector<std::string> json_answer(std::size_t place, planned& plan) {
        const std::string mark = std::to_string(place);
        plan.text = "{\"content\":\"" + mark + ":0\",\"more\":\"" + std::string(dice_.below(300), 'x') +
                    "\",\"content\":\"" + mark + ":1\"}";
        plan.events = 2;
        const std::string all = status_answer(200, "", plan.text);
        const auto at = all.size() - plan.text.size() / 2;
        return {all.substr(0, at), all.substr(at)};
    }
    std::vector<std::string> stream_answer(std::size_t place, planned& plan) {
        std::vector<std::string> wire{stream_head};
        const auto say = [&](const std::string& event) {
            plan.text += event;
            wire.push_back(chunk(event));
        };
        if (dice_.one_in(4)) say(": ping\n\n");
        say(hello);
        plan.events = 1 + static_cast<int>(dice_.below(6));
        for (int i = 0; i < plan.events; ++i) {
            if (dice_.one_in(12)) say(": ping\n\n");
            if (dice_.one_in(30)) say(error_event);
            if (dice_.one_in(60)) say("data: {broken\n\n");
            say(event_of(place, i));
        }
        say(stop);
        say(done);
        wire.push_back("0\r\n\r\n");
        return wire;
    }

    // The data of the chunks, and whether the last one came; a piece of a chunk counts.
    static std::string decoded(std::string_view body, bool& last) {
        std::string data;
        last = false;
        while (!body.empty()) {
            const auto line = body.find("\r\n");
            if (line == std::string_view::npos) break;
            const std::size_t size = std::stoul(std::string{body.substr(0, line)}, nullptr, 16);
            body.remove_prefix(line + 2);
            if (size == 0) {
                last = true;
                break;
            }
            data += body.substr(0, size);
            body.remove_prefix(std::min(body.size(), size + 2));
        }
        return data;
    }

    void check(int which, outcome_count& count) {
        const visitor& one = *clients_[static_cast<std::size_t>(which)];
        const std::string& received = one.client.received();
        CAPTURE(which);
        CAPTURE(received);
        const auto end = received.find("\r\n\r\n");
        if (end == std::string::npos) {
            REQUIRE((received.empty() && (one.left || one.client.closed_by_proxy())));
            ++count.left;
            return;
        }
        const std::string_view head = std::string_view{received}.substr(0, end),
                               body = std::string_view{received}.substr(end + 4);
        const bool chunked = head.find("ransfer-encoding: chunked") != std::string_view::npos ||
                             head.find("ransfer-Encoding: chunked") != std::string_view::npos;
        bool whole = false;
        std::string data{body};
        if (chunked) {
            data = decoded(body, whole);
        } else {
            const auto at = head.find("ontent-") == std::string_view::npos
                                ? std::string_view::npos
                                : std::min(head.find("ontent-Length: "), head.find("ontent-length: "));
            REQUIRE(at != std::string_view::npos);
            whole = body.size() == std::stoul(std::string{head.substr(at + 15, 8)});
        }
        REQUIRE((whole || one.left || one.client.closed_by_proxy()));
        REQUIRE(received.find("HTTP/1.1 ", 1) == std::string::npos); // one answer

        // Whose bytes they are.
        std::optional<std::size_t> place;
        int pieces = 0;
        static constexpr std::string_view mark = "\"content\":\"";
        for (auto at = data.find(mark); at != std::string::npos; at = data.find(mark, at + 1)) {
            const char* const digits = data.c_str() + at + mark.size();
            char* colon = nullptr;
            const auto from = std::strtoul(digits, &colon, 10);
            if (colon == digits || *colon != ':') continue; // the role's empty content, or a piece that was cut
            char* quote = nullptr;
            const auto number = std::strtoul(colon + 1, &quote, 10);
            if (*quote != '"') continue; // cut as well
            if (!place) place = from;
            REQUIRE(from == *place);
            REQUIRE(static_cast<int>(number) == pieces);
            ++pieces;
        }
        const bool good = head.starts_with("HTTP/1.1 200");
        if (place) {
            REQUIRE(*place < f_.upstream.exchanges().size());
            REQUIRE(has(f_.upstream.exchanges()[*place]->written, nonce(which)));
            if (good) check_text(data, plans_.at(*place), pieces, whole);
        }
        if (!good) {
            ++count.refused;
        } else if (whole) {
            REQUIRE(place);
            ++count.whole;
        } else {
            ++count.cut;
        }
    }

    void check_text(std::string data, const planned& plan, int pieces, bool whole) const {
        if (stream_) {
            while (data.starts_with(":\n")) data.erase(0, 2); // our heartbeats, behind a head given ahead
            const auto ours = data.find("event: error\ndata: {\"type\":\"error\"");
            if (ours != std::string::npos) {
                REQUIRE(!whole);
                data.erase(ours);
            }
        }
        CAPTURE(plan.text);
        REQUIRE(plan.text.starts_with(data));
        if (!whole) return;
        REQUIRE(pieces == plan.events);
        REQUIRE(has(data, stream_ ? std::string_view{stop} : std::string_view{"}"}));
    }

    dice dice_;
    bool stream_;
    fixture f_;
    std::vector<planned> plans_;
    std::vector<std::unique_ptr<visitor>> clients_;
};
} // namespace

TEST_CASE("P7.1, P1.2, P7.7: exactly one attempt's bytes reach each client, whole or honestly cut, and nothing is left "
          "over") {
#ifdef NDEBUG
    const int requests = scaled(100000, 0.2);
#else
    const int requests = scaled(100000, 0.03);
#endif
    const char* const only = std::getenv("EVENKEEL_SEED");
    outcome_count count;
    for (std::uint32_t seed = 1; seed <= static_cast<std::uint32_t>(requests / hedged_case::clients); ++seed) {
        const std::uint32_t used = only != nullptr ? static_cast<std::uint32_t>(std::atoi(only)) : seed;
        CAPTURE(used);
        hedged_case(used).run(count);
        if (only != nullptr) break;
    }
    MESSAGE("requests ", requests, ", whole ", count.whole, ", cut and shown so ", count.cut, ", errors ",
            count.refused, ", nothing sent to ", count.left, ", hedges ", count.hedges, " of which won ", count.won);
    if (only != nullptr) return;
    CHECK(count.hedges > requests / 4);
    CHECK(count.whole > requests / 4);
    CHECK(count.cut > requests / 100);
}

} // namespace evenkeel::test::hedge_storm_test
