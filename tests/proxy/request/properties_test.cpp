// Properties of the whole path of a request that no other file proves: P1.3, P1.4, P3.6, P7.3 and P9.1 to P9.3 of the
// reference. Builds with optimisation run 10^5 requests where it says random, others a tenth of them; EVENKEEL_STORM=1
// runs all.

#include "tests/proxy/request/flow_fixture.hpp"
#include "tests/support/storm_scale.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace evenkeel::test::properties_test {

namespace {

struct dice {
    std::mt19937 random;
    explicit dice(std::uint32_t seed) : random(seed) {}
    [[nodiscard]] int below(int n) { return static_cast<int>(random() % static_cast<std::uint32_t>(n)); }
    [[nodiscard]] bool one_in(int n) { return below(n) == 0; }
};

struct two_upstreams : fixture {
    std::shared_ptr<config::upstream> backup = std::make_shared<config::upstream>();
    two_upstreams() {
        backup->name = "backup";
        backup->address.authority = "backup.example";
        route->upstreams.push_back(backup);
        settings->upstreams.push_back(backup);
    }
};

// A handful of clients at one instant, all with the same deadline, in front of upstreams that are slow, fail and fall
// silent; with a queue, retries, hedges and circuits that are waited for.
class deadline_case {
public:
    static constexpr int clients = 10;
    static constexpr duration total = 400ms;

    explicit deadline_case(std::uint32_t seed) : dice_(seed) {
        auto& route = *f_.route;
        route.timeout.total = total;
        if (dice_.one_in(3)) route.timeout.attempt = std::chrono::milliseconds{20 + dice_.below(300)};
        route.retry.max_retries = dice_.below(6);
        route.retry.backoff = {.initial = 10ms, .max = 100ms, .base = 2, .jitter = jitter::full};
        route.hedge.on = dice_.one_in(2);
        route.hedge.delay = hedge_options::delay_kind::fixed;
        route.hedge.fixed = route.hedge.min_delay = std::chrono::milliseconds{1 + dice_.below(100)};
        route.hedge.guard = 0;
        route.circuit_breaker.on = dice_.one_in(2);
        route.circuit_breaker.recovery_timeout = 50ms;
        route.circuit_breaker.when_open = dice_.one_in(3) ? when_open::reject : when_open::hold;
        route.cooldown.on = dice_.one_in(2);
        route.overload = {.on = dice_.one_in(2), .window = 100ms, .ratio = 0.3, .min_verdicts = 5, .max_wait = 100ms};
        route.bulkhead.on = dice_.one_in(2);
        route.bulkhead.max_concurrent = 1 + dice_.below(10);
        f_.upstream.choose([this](const config::upstream&, std::size_t) { return draw_script(); });
        f_.services.chance.seed(seed);
        f_.context.use(f_.settings, f_.registry.prepare(*f_.settings));
    }

    void run() {
        const steady_time deadline = f_.loop.now() + total;
        std::vector<std::unique_ptr<scripted_client>> all;
        // Uploads that do not end in time: nothing is sent of them, and their own timeout answers them.
        std::size_t cut = 0;
        for (int i = 0; i < clients; ++i) {
            auto& client = *all.emplace_back(std::make_unique<scripted_client>(f_.loop, false));
            f_.loop.nursery().spawn(request::client_connection::run(
                std::make_unique<request::client_connection>(f_.context, client.connect())));
            client.send("POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nx-evenkeel-timeout: "
                        "30\r\nx-stainless-timeout: 60\r\nContent-Length: 6\r\n\r\n{\"n\":" +
                        std::to_string(i));
            f_.loop.run_virtual(f_.loop.now());
            if (dice_.one_in(10))
                ++cut;
            else
                client.send("}");
        }
        f_.loop.run_virtual(deadline);
        std::vector<std::size_t> written;
        for (const auto& one : f_.upstream.exchanges()) written.push_back(one->written.size());
        f_.pass(10ms);
        std::size_t unfinished = 0;
        for (const auto& one : all) {
            const std::string& received = one->received();
            CAPTURE(received);
            if (received.empty())
                ++unfinished;
            else
                REQUIRE(received.find("\r\n\r\n") != std::string::npos);
        }
        REQUIRE(f_.seen.requests.size() + unfinished == clients); // P9.1: queue, pauses and attempts together
        REQUIRE(unfinished <= cut);
        for (auto& one : all) {
            one->send("}"); // a late end of an upload
            f_.loop.run_virtual(f_.loop.now());
        }
        f_.pass(1min);

        // P1.3: nothing is written; what is opened only finds out whether a connection can be made.
        for (std::size_t i = written.size(); i < f_.upstream.exchanges().size(); ++i)
            REQUIRE(f_.upstream.exchanges()[i]->written.empty());
        for (std::size_t i = 0; i < written.size(); ++i) {
            const exchange_log& one = *f_.upstream.exchanges()[i];
            CAPTURE(i);
            REQUIRE(one.written.size() == written[i]);
            REQUIRE(one.closed);
            if (one.opened_at == steady_time{}) continue; // never connected
            REQUIRE(one.opened_at <= deadline);
            REQUIRE(one.closed_at <= deadline + 10ms);
            // P9.2: what an attempt is told of the time that is left is never more than its predecessor was. We tell
            // nothing of ours, and what the client said passes as it was.
            REQUIRE(!has(one.written, "x-evenkeel-"));
            if (!one.written.empty()) REQUIRE(has(one.written, "x-stainless-timeout: 60\r\n"));
        }
        attempts_ += static_cast<int>(written.size());
        for (const auto& one : all) one->leave();
        f_.connect();
        f_.expect_nothing_left();
    }
    [[nodiscard]] int attempts() const noexcept { return attempts_; }

private:
    exchange_script draw_script() {
        exchange_script script;
        if (dice_.one_in(4)) script.connect_after = std::chrono::milliseconds{dice_.below(600)};
        if (dice_.one_in(12)) {
            script.connect_failure =
                net::transport_error{net::transport_error::kind::refused, "connection_refused", 502, {}, "refused"};
            return script;
        }
        script.reused = dice_.one_in(8);
        script.writes_stall = dice_.one_in(20);
        script.steps.push_back(play::request{7});
        script.steps.push_back(play::pause{std::chrono::milliseconds{dice_.below(dice_.one_in(2) ? 600 : 60)}});
        static constexpr int statuses[] = {200, 200, 200, 429, 500, 503, 529};
        const int status = statuses[dice_.below(7)];
        const std::string answer = status_answer(status, dice_.one_in(4) ? "retry-after-ms: 50\r\n" : "");
        const auto cut =
            dice_.one_in(4) ? static_cast<std::size_t>(dice_.below(static_cast<int>(answer.size()))) : answer.size();
        script.steps.push_back(play::send{answer.substr(0, cut)});
        if (cut == answer.size()) return script;
        if (dice_.one_in(3)) script.steps.push_back(play::reset{});
        return script;
    }

    dice dice_;
    two_upstreams f_;
    int attempts_ = 0;
};

std::string decoded(std::string_view body) { // of chunks
    std::string data;
    while (!body.empty()) {
        const auto line = body.find("\r\n");
        REQUIRE(line != std::string_view::npos);
        const std::size_t size = std::stoul(std::string{body.substr(0, line)}, nullptr, 16);
        if (size == 0) break;
        data += body.substr(line + 2, size);
        body.remove_prefix(std::min(body.size(), line + 2 + size + 2));
    }
    return data;
}
std::string body_of(const std::string& written) {
    const auto end = written.find("\r\n\r\n");
    REQUIRE(end != std::string::npos);
    const std::string_view body = std::string_view{written}.substr(end + 4);
    return has(written.substr(0, end), "ransfer-") ? decoded(body) : std::string{body};
}

// Everything the policies know of the one endpoint, at one instant.
struct known {
    circuit_breaker::summary circuit;
    endpoint_latency::summary latency;
    overload_control::summary overload;
    double budget;
    explicit known(fixture& f) {
        const auto all = f.registry.report(*f.settings, f.loop.now());
        const auto& at = all.routes.at(0).endpoints.at(0);
        circuit = at.circuit.value(), latency = at.latency, overload = at.overload.value(), budget = at.budget_level;
    }
    [[nodiscard]] bool operator==(const known& other) const {
        const auto& a = circuit;
        const auto& b = other.circuit;
        return a.state == b.state && a.since == b.since && a.next_probe == b.next_probe &&
               a.down_since == b.down_since && a.calls == b.calls && a.failures == b.failures &&
               a.consecutive_failures == b.consecutive_failures && a.probes == b.probes &&
               latency.p50 == other.latency.p50 && latency.p95 == other.latency.p95 &&
               latency.samples == other.latency.samples &&
               latency.current_timeout_buffered == other.latency.current_timeout_buffered &&
               overload.active == other.overload.active && overload.in_service == other.overload.in_service &&
               overload.usual == other.overload.usual &&
               overload.completions_per_second == other.overload.completions_per_second && budget == other.budget;
    }
};
} // namespace

TEST_CASE("P1.3, P9.1, P9.2: every request is over at its deadline, whatever it waits for, and nothing is sent "
          "upstream after it") {
#ifdef NDEBUG
    const int requests = scaled(100000);
#else
    const int requests = scaled(100000, 0.1);
#endif
    int attempts = 0;
    for (std::uint32_t seed = 1; seed <= static_cast<std::uint32_t>(requests / deadline_case::clients); ++seed) {
        CAPTURE(seed);
        deadline_case one(seed);
        one.run();
        attempts += one.attempts();
    }
    MESSAGE(requests, " requests, ", attempts, " attempts");
    CHECK(attempts > requests / 2);
}

TEST_CASE("P1.4: what is refused here leaves circuit, latency, overload control and budget as they were") {
    for (const bool by_bulkhead : {false, true}) {
        CAPTURE(by_bulkhead);
        fixture f;
        f.route->retry.max_retries = 3;
        f.route->retry.budget.burst = 5;
        f.route->circuit_breaker = {
            .on = true, .failure_threshold = 3, .failure_ratio = 0, .min_calls = 3, .when_open = when_open::reject};
        f.route->overload.on = true;
        f.route->bulkhead.on = by_bulkhead;
        f.route->bulkhead.max_concurrent = 1;
        f.route->bulkhead.max_queue = 0;
        f.connect();
        for (int i = 0; i < 10; ++i) {
            f.upstream.next(answering(ok_json));
            f.send(post);
            f.pass(100ms);
        }
        if (by_bulkhead) {
            f.upstream.next({.steps = {play::request{2}, play::pause{10s}, play::send{ok_json}}});
            f.send(post); // has the only permit
        } else {
            f.route->retry.max_retries = 0;
            for (int i = 0; i < 3; ++i) {
                f.upstream.next(answering(status_answer(500)));
                f.send(post);
            }
            f.pass(1s);
        }
        const auto before = f.seen.attempts.size();
        const known was(f);
        REQUIRE((by_bulkhead || was.circuit.state == circuit_state::open));
        std::vector<std::unique_ptr<scripted_client>> others;
        for (int i = 0; i < 20; ++i) {
            auto& other = *others.emplace_back(std::make_unique<scripted_client>(f.loop));
            f.loop.nursery().spawn(request::client_connection::run(
                std::make_unique<request::client_connection>(f.context, other.connect())));
            other.send(post);
            f.loop.run_virtual(f.loop.now());
            REQUIRE(has(other.received(), "HTTP/1.1 503"));
            REQUIRE(has(other.received(), "evenkeel_error"));
        }
        CHECK(was == known(f));
        CHECK(f.seen.attempts.size() == before);
        for (const auto& other : others) other->leave();
        f.pass(20s);
        f.expect_nothing_left();
    }
}

TEST_CASE(
    "P3.6: a body that is sent again is the same byte for byte, however it came; beyond the buffer it is sent once") {
    // Compared byte by byte, which no hash can do better.
    constexpr std::size_t limit = 3000;
    int repeated = 0, once = 0;
    for (std::uint32_t seed = 1; seed <= 400; ++seed) {
        CAPTURE(seed);
        dice dice(seed);
        two_upstreams f;
        f.route->retry.max_retries = 2;
        f.route->retry.replay_buffer = f.settings->replay_buffer = limit;
        static constexpr std::size_t edges[] = {1, 2, limit - 1, limit, limit + 1};
        const std::size_t size =
            seed % 2 == 0 ? edges[seed / 2 % 5] : 1 + static_cast<std::size_t>(dice.below(static_cast<int>(limit + 1)));
        CAPTURE(size);
        std::string body;
        for (std::size_t i = 0; i < size; ++i) body += static_cast<char>(dice.below(256));
        const bool chunked = dice.one_in(2);
        const std::size_t piece = seed % 5 == 0 ? 1 : 1 + static_cast<std::size_t>(dice.below(2000));
        f.upstream.always({.steps = {play::request{size}, play::pause{10ms}, play::send{status_answer(500)}}});
        f.connect();
        const std::string head = "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\n";
        f.send(head + (chunked ? "Transfer-Encoding: chunked\r\n\r\n"
                               : "Content-Length: " + std::to_string(size) + "\r\n\r\n"));
        for (std::size_t at = 0; at < size; at += piece)
            f.send(chunked ? chunk(body.substr(at, piece)) : body.substr(at, piece));
        if (chunked) f.send("0\r\n\r\n");
        f.pass(1min);
        CHECK(has(f.client.received(), "HTTP/1.1 500"));
        for (const auto& one : f.upstream.exchanges()) REQUIRE(body_of(one->written) == body);
        const std::size_t sent = f.upstream.exchanges().size();
        if (size <= limit)
            REQUIRE(sent == 3);
        else
            REQUIRE(sent == 1);
        size <= limit ? ++repeated : ++once;
        f.expect_nothing_left();
    }
    CHECK(repeated > 100);
    CHECK(once > 10);
}

TEST_CASE("P7.3: the winner's first byte reaches the client at the instant it came, whatever state its losers are in") {
    for (const int loser : {0, 1, 2, 3}) {
        CAPTURE(loser);
        two_upstreams f;
        f.route->hedge.on = true;
        f.route->hedge.delay = hedge_options::delay_kind::fixed;
        f.route->hedge.fixed = 1s;
        f.route->retry.max_retries = 3;
        exchange_script stuck{.steps = {play::request{stream_body}}};
        if (loser == 0) stuck.connect_after = 4s;  // connecting
        if (loser == 1) stuck.writes_stall = true; // the upstream does not read
        if (loser == 2) stuck.steps.push_back(play::silence{});
        // Has begun, and said nothing yet.
        if (loser == 3) stuck.steps.push_back(play::send{stream_head + chunk(hello)});
        f.upstream.next(stuck);
        f.upstream.next(streaming({play::pause{500ms}, play::send{stream_head + chunk(word)}, play::pause{1s},
                                   play::send{chunk(stop) + chunk(done) + "0\r\n\r\n"}}));
        f.connect();
        f.send(post_stream());
        f.pass(1500ms - 1ns);
        CHECK(f.client.received().empty());
        f.pass(1ns);
        CHECK(has(f.client.received(), word));
        CHECK(f.seen.hedges == 0); // it is still under way
        f.pass(1s);
        CHECK(f.client.received().ends_with("0\r\n\r\n"));
        CHECK(f.seen.hedges_won == 1);
        f.expect_nothing_left();
    }
}

TEST_CASE("P9.3: an attempt that the deadline ends is neutral, unless it was older than an attempt may be") {
    for (const bool overdue : {false, true}) {
        CAPTURE(overdue);
        fixture f;
        f.route->timeout.total = 5s;
        if (overdue) { // learned, so that it does not end a lone attempt by itself
            f.route->timeout.learn_attempt = true;
            f.route->timeout.adaptive.initial = f.route->timeout.adaptive.min = {2s, 2s};
        }
        f.route->circuit_breaker = {.on = true, .failure_threshold = 100};
        f.upstream.always({.steps = {play::request{2}, play::silence{}}});
        f.connect();
        f.send(post);
        f.pass(5s - 1ns);
        CHECK(f.client.received().empty());
        f.pass(1ms);
        CHECK(has(f.client.received(), "HTTP/1.1 504"));
        const auto circuit = f.registry.report(*f.settings, f.loop.now()).routes.at(0).endpoints.at(0).circuit.value();
        CHECK(circuit.calls == (overdue ? 1 : 0));
        CHECK(circuit.failures == (overdue ? 1 : 0));
        f.expect_nothing_left();
    }
}

} // namespace evenkeel::test::properties_test
