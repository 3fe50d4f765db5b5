// Pre-warming on the whole path of a request: the real connection pool under serve, over a provider in virtual time.

#include "proxy/attempt/prewarm_probes.hpp"
#include "proxy/net/connection_pool.hpp"
#include "proxy/net/resolver.hpp"
#include "proxy/net/tls_context.hpp"
#include "proxy/net/warm_keeper.hpp"
#include "proxy/state/may_warm.hpp"
#include "tests/proxy/request/flow_fixture.hpp"
#include "tests/support/scripted_transport.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <deque>
#include <memory>
#include <optional>
#include <random>

namespace evenkeel::test::prewarm_flow_test {

namespace {

struct counting final : telemetry::observer {
    int attempts = 0, hedges = 0, cold = 0, idle = 0, target = 0, opened = 0, closed = 0, refused = 0;
    std::array<int, telemetry::prewarm_event_count> warm{};
    std::size_t answered = 0, failed = 0;
    std::optional<telemetry::attempt_record> last{};
    void attempt_finished(const telemetry::attempt_record& record) noexcept override {
        ++attempts;
        if (record.kind == telemetry::attempt_kind::hedge) ++hedges;
        last = record;
    }
    void request_finished(const telemetry::request_account& record) noexcept override {
        ++(record.status == 200 ? answered : failed);
    }
    std::vector<telemetry::probe_result> probes{};
    void endpoint_changed(const telemetry::event_origin&,
                          const telemetry::any_endpoint_change& what) noexcept override {
        if (const auto* how = std::get_if<telemetry::probe_result>(&what)) probes.push_back(*how);
    }
    void connection_changed(const telemetry::connection_event& what) noexcept override {
        using kind = telemetry::connection_event::kind;
        if (what.upstream == nullptr) return;
        switch (what.is) {
        case kind::opened: ++opened; break;
        case kind::closed: ++closed; break;
        case kind::idle: idle += what.by; break;
        case kind::cold: ++cold; break;
        case kind::prewarmed: ++warm[static_cast<std::size_t>(what.warm)]; break;
        case kind::prewarm_target: target += what.by; break;
        }
    }
    [[nodiscard]] int of(telemetry::prewarm_event what) const { return warm[static_cast<std::size_t>(what)]; }
};
using enum telemetry::prewarm_event;

// The provider at the far end of the pool's connections.
struct far_provider : scripted_transport {
    explicit far_provider(net::loop& in) : scripted_transport(in) {
        choose([this, &in](const config::upstream&, std::size_t) {
            dials.push_back(in.now());
            exchange_script out{.serve = [this](const exchange_log&) { return answer(); },
                                .idle_limit = idle_limit,
                                .connect_after = connect_time};
            if (refuses)
                out.connect_failure = {net::transport_error::kind::refused, "connection_refused", 502, {}, "refused"};
            return out;
        });
    }
    duration connect_time = 150ms, idle_limit{};
    bool refuses = false;
    std::function<duration(std::size_t number)> answers_after = [](std::size_t) { return duration{1ms}; };
    std::function<bool(std::size_t number)> ends_instead = [](std::size_t) { return false; };
    std::string answers = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n{\"a\":1}";

    std::vector<steady_time> dials{}; // when each began
    std::size_t requests = 0;
    // At once: as many as there were when one began.
    [[nodiscard]] std::ptrdiff_t most_open() const {
        std::ptrdiff_t most = 0;
        for (const auto& one : exchanges())
            most = std::max(most, std::count_if(exchanges().begin(), exchanges().end(), [&](const auto& other) {
                                return other->opened_at <= one->opened_at &&
                                       (!other->closed || other->closed_at >= one->opened_at);
                            }));
        return most;
    }
    [[nodiscard]] std::ptrdiff_t most_dialling() const {
        std::ptrdiff_t most = 0;
        for (auto last = dials.begin(); last != dials.end(); ++last)
            most = std::max(most, last - std::upper_bound(dials.begin(), last, *last - connect_time) + 1);
        return most;
    }

private:
    std::vector<play_step> answer() {
        if (ends_instead(requests)) return {play::end{}};
        return {play::pause{answers_after(requests++)}, play::send{answers}};
    }
};

struct warmed {
    net::loop loop{start};
    far_provider there{loop};
    counting seen;
    net::resolver names;
    net::tls_contexts tls;
    std::optional<net::connection_pool> pool{std::in_place, loop, names, tls, seen, there.dialler()};
    request::memory_bound memory;
    request::worker_services services{loop, *pool, seen, memory, [] { return std::string{"{}"}; }};
    request::policy_registry registry;
    request::connection_context context{.services = services, .settings = {}, .policies = {}, .id_seed = 1};
    std::shared_ptr<config::upstream> provider = std::make_shared<config::upstream>();
    std::shared_ptr<config::route> route = std::make_shared<config::route>();
    std::deque<scripted_client> clients;
    std::mt19937_64 dice{20};
    request::virtual_end winds_down{services};

    explicit warmed(const prewarm_options& how = {.on = true}) {
        provider->name = "provider";
        provider->address.authority = "api.example";
        provider->prewarm = how;
        route->name = "all";
        route->match.path_prefix = "/";
        route->upstreams = {provider};
        route->retry.max_retries = 0;
    }
    void use() {
        auto settings = std::make_shared<config::settings>();
        settings->routes = {route};
        settings->upstreams = {provider};
        context.use(settings, registry.prepare(*settings));
    }
    void go() { // as a worker does
        use();
        pool->keep_warm({.may_dial =
                             [this](const config::upstream& to) {
                                 return request::may_warm(*context.settings, *context.policies, to, loop.now());
                             },
                         .draw = [this] { return services.draw(); }},
                        context.settings->upstreams);
        pass(0s);
    }
    void reload() {
        use();
        pool->keep_only(context.settings->upstreams);
        pass(0s);
    }
    void pass(duration length) { loop.run_virtual(loop.now() + length); }
    void ask() {
        scripted_client& client = clients.emplace_back(loop, false);
        loop.nursery().spawn(
            request::client_connection::run(std::make_unique<request::client_connection>(context, client.connect())));
        client.send(post);
        loop.run_virtual(loop.now());
    }
    void dismiss() { // the clients that have their answer
        for (auto one = clients.begin(); one != clients.end();) {
            if (one->received().empty()) {
                ++one;
                continue;
            }
            one->leave();
            loop.run_virtual(loop.now());
            one = clients.erase(one);
        }
    }
    // Requests at random moments, `rate` per second.
    void load(double rate, duration length) {
        const steady_time until = loop.now() + length;
        for (;;) {
            const double u = static_cast<double>(dice() >> 11) * 0x1p-53;
            const steady_time next = loop.now() + std::chrono::duration_cast<duration>(
                                                      std::chrono::duration<double>(-std::log1p(-u) / rate));
            loop.run_virtual(std::min(next, until));
            if (next >= until) break;
            dismiss();
            ask();
        }
    }
    void expect_nothing_left() {
        pass(1min);
        dismiss();
        CHECK(clients.empty());
        pool->drain();
        pass(0s);
        CHECK(pool->size() == 0);
        CHECK(pool->idle() == 0);
        CHECK(seen.idle == 0);
        CHECK(seen.target == 0);
        CHECK(seen.opened == seen.closed);
        CHECK(seen.of(opened) == seen.of(used) + seen.of(unused));
        pass(10s); // the provider notices
        CHECK(loop.nursery().size() == 0);
        CHECK(there.players() == 0);
        CHECK(loop.timers().armed() == 0);
    }
};

constexpr prewarm_options off{};
constexpr prewarm_options two{.on = true, .min_idle = 2, .predict = false};

struct load_seen {
    int attempts, hedges, cold;
    std::size_t failed;
    [[nodiscard]] double share() const { return static_cast<double>(cold) / attempts; }
};
load_seen hedged_load(const prewarm_options& how) {
    warmed world(how);
    world.route->hedge.on = true;
    world.route->hedge.delay = hedge_options::delay_kind::fixed;
    world.route->hedge.fixed = 1s;
    world.route->retry.max_retries = 1;
    world.there.answers_after = [](std::size_t number) { return number % 20 == 7 ? duration{10s} : duration{300ms}; };
    world.go();
    world.load(20, 60s);
    const counting before = world.seen;
    world.load(20, 5min);
    const load_seen out{world.seen.attempts - before.attempts, world.seen.hedges - before.hedges,
                        world.seen.cold - before.cold, world.seen.failed};
    world.expect_nothing_left();
    return out;
}

int burst_cold(const prewarm_options& how) {
    warmed world(how);
    world.there.answers_after = [](std::size_t) { return duration{1s}; };
    world.go();
    world.load(2, 2min);
    const int before = world.seen.cold;
    world.load(20, 20s);
    const int cold = world.seen.cold - before;
    CHECK(world.seen.failed == 0);
    world.expect_nothing_left();
    return cold;
}
} // namespace

TEST_CASE("hedged load at 5 % and 20 requests/s, warmed up, keeps cold connects under 1 % of attempts") {
    const load_seen with = hedged_load({.on = true}), without = hedged_load(off);
    std::printf("hedged load, 20 requests/s for 5 min, connect 150 ms\n"
                "  prewarm {min_idle: 2, predict: true}  attempts %d  hedges %d  cold %d  %.2f %%\n"
                "  prewarm off                           attempts %d  hedges %d  cold %d  %.2f %%\n",
                with.attempts, with.hedges, with.cold, 100 * with.share(), without.attempts, without.hedges,
                without.cold, 100 * without.share());
    CHECK(with.failed == 0);
    CHECK(with.hedges > with.attempts * 4 / 100);
    CHECK(with.share() < 0.01);
    CHECK(without.share() > with.share());
}

TEST_CASE("of a burst ten times the usual, prediction leaves fewer requests to connect for themselves") {
    const int predicted = burst_cold({.on = true}), floor_only = burst_cold(two), without = burst_cold(off);
    std::printf("burst from 2 to 20 requests/s of 1 s each for 20 s, connect 150 ms: cold connects\n"
                "  prewarm {min_idle: 2, predict: true}   %d\n  prewarm {min_idle: 2, predict: false}  %d\n  prewarm "
                "off                            %d\n",
                predicted, floor_only, without);
    CHECK(predicted < floor_only);
    CHECK(floor_only < without);
}

TEST_CASE("min_idle connections are there before the first request, and it finds one") {
    warmed world(two);
    world.go();
    CHECK(world.pool->idle() == 0);
    world.pass(200ms);
    CHECK(world.pool->idle() == 2);
    CHECK(world.seen.target == 2);

    world.ask();
    CHECK(world.seen.cold == 0);
    CHECK(world.seen.of(used) == 1);
    world.pass(1s);
    REQUIRE(world.seen.last);
    CHECK(world.seen.last->reused);
    CHECK(world.seen.last->connect == 0s);
    CHECK(world.seen.cold == 0);
    CHECK(world.pool->idle() == 3); // it came back, and another had taken its place
    world.expect_nothing_left();
}

TEST_CASE("off opens nothing") {
    warmed world(off);
    world.go();
    world.pass(1min);
    CHECK(world.there.dials.empty());
    CHECK(world.loop.timers().armed() == 0);
}

TEST_CASE("the place of a hedge's loser is filled from the moment it closes") {
    warmed world(two);
    world.provider->connections.max = 2;
    world.route->hedge.on = true;
    world.route->hedge.delay = hedge_options::delay_kind::fixed;
    world.route->hedge.fixed = 1s;
    world.route->retry.max_retries = 1;
    world.there.answers_after = [](std::size_t number) { return number == 0 ? duration{60s} : duration{100ms}; };
    world.go();
    world.pass(500ms);
    world.ask();
    world.pass(1050ms); // both connections are in use: none may be opened
    CHECK(world.pool->size() == 2);
    CHECK(world.there.dials.size() == 2);
    world.pass(60ms); // the hedge has won, the loser's connection is closed, the winner's is idle
    CHECK(world.seen.hedges == 1);
    CHECK(world.pool->idle() == 1);
    CHECK(world.pool->size() == 2);
    REQUIRE(world.there.dials.size() == 3);
    CHECK(world.loop.now() - world.there.dials.back() < 60ms);
    world.pass(200ms);
    CHECK(world.pool->idle() == 2);
    CHECK(world.seen.cold == 0);
    world.expect_nothing_left();
}

TEST_CASE("connections.max is never exceeded, whatever the load") {
    warmed world({.on = true, .min_idle = 3, .predict = true});
    world.provider->connections.max = 6;
    world.there.answers_after = [](std::size_t number) { return number % 5 == 0 ? duration{900ms} : duration{200ms}; };
    world.go();
    world.load(12, 60s);
    CHECK(world.there.most_open() <= 6);
    CHECK(world.seen.failed == 0);
    world.expect_nothing_left();
}

TEST_CASE("an endpoint that refuses is dialled once per step of the back-off") {
    warmed world({.on = true, .min_idle = 8, .predict = true});
    world.there.refuses = true;
    world.go();
    world.pass(1h);
    const auto& dials = world.there.dials;
    CHECK(world.there.most_dialling() <= prewarm::max_opening);
    REQUIRE(dials.size() > 60);
    CHECK(dials.size() < 140); // the first burst, then one per 30 to 60 s
    for (std::size_t i = 0; i + 1 < dials.size(); ++i) {
        if (dials[i + 1] - start < 1s) continue; // of the first burst, which was one step
        CHECK(dials[i + 1] - dials[i] >= (i < 9 ? 500ms : duration{30s}));
        CHECK(dials[i + 1] - dials[i] <= 61s);
    }
    CHECK(world.seen.of(failed) == static_cast<int>(dials.size()));

    // One step later they are all there; a minute after that they go again, since nobody wants them.
    world.there.refuses = false;
    for (int second = 0; second < 61 && world.pool->idle() < 8; ++second) world.pass(1s);
    CHECK(world.pool->idle() == 8);
    world.expect_nothing_left();
}

TEST_CASE("nothing is opened to an endpoint whose circuit is open") {
    warmed world(two);
    world.route->circuit_breaker.on = true;
    world.go();
    world.pass(1s);
    CHECK(world.there.dials.size() == 2);
    world.registry.force("", "provider", "", circuit_state::open, world.loop.now());
    world.pool->close_idle();
    world.pass(5min);
    CHECK(world.there.dials.size() == 2);
    world.registry.force("", "provider", "", circuit_state::closed, world.loop.now());
    world.pass(2s);
    CHECK(world.pool->idle() == 2);
    world.expect_nothing_left();
}

TEST_CASE("nothing is opened to an endpoint that rests by its own credential") {
    warmed world(two);
    world.provider->own_credential = true;
    world.provider->headers.set = {{"authorization", "Bearer secret"}};
    world.route->cooldown.on = true;
    world.go();
    world.pass(1s);
    CHECK(world.there.dials.size() == 2);
    const auto& at = world.context.policies->of(*world.route).endpoints[0];
    REQUIRE(at.own_credential);
    const steady_time until = at.rest->throttled({}, outcome_kind::rate_limited, 40s, 0.5, world.loop.now());
    world.pool->close_idle();
    world.pass(until - world.loop.now() - 10ms);
    CHECK(world.there.dials.size() == 2);
    world.pass(2s);
    CHECK(world.pool->idle() == 2);
    world.expect_nothing_left();
}

TEST_CASE("where the provider ends idle connections, they are replaced ever more rarely, and no request is sent into "
          "one that ended") {
    warmed world(two);
    world.there.idle_limit = 5s;
    world.go();
    world.pass(1h);
    CHECK(world.there.dials.size() > 50);
    CHECK(world.there.dials.size() < 200);
    CHECK(world.seen.of(unused) >= static_cast<int>(world.there.dials.size()) - 2);

    const std::size_t quiet = world.there.dials.size();
    world.load(1, 10min); // none of them fails, and none is sent twice
    CHECK(world.seen.failed == 0);
    CHECK(world.seen.attempts == static_cast<int>(world.seen.answered));
    CHECK(world.there.dials.size() < quiet + 600 * 2);
    world.expect_nothing_left();
}

TEST_CASE("a warmed connection that ends as it is used is replaced by a fresh one, free of charge") {
    warmed world({.on = true, .min_idle = 1, .predict = false});
    int served = 0;
    world.there.ends_instead = [&served](std::size_t) { return served++ == 0; };
    world.go();
    world.pass(1s);
    world.ask();
    world.pass(1s);
    CHECK(world.seen.answered == 1);
    CHECK(world.seen.attempts == 2);
    CHECK(world.seen.cold == 1);
    REQUIRE(world.seen.last);
    CHECK(world.seen.last->kind == telemetry::attempt_kind::stale_retry);
    world.expect_nothing_left();
}

TEST_CASE("a reload turns pre-warming on and off") {
    warmed world(off);
    world.go();
    world.pass(1s);
    const auto set = [&](const prewarm_options& how) {
        world.provider = std::make_shared<config::upstream>(*world.provider);
        world.provider->prewarm = how;
        world.route = std::make_shared<config::route>(*world.route);
        world.route->upstreams = {world.provider};
        world.reload();
    };
    set({.on = true, .min_idle = 3, .predict = false});
    world.pass(1s);
    CHECK(world.pool->idle() == 3);
    set(off);
    CHECK(world.seen.target == 0);
    world.pass(10min);
    CHECK(world.pool->idle() == 0);
    CHECK(world.there.dials.size() == 3);
    world.provider = std::make_shared<config::upstream>(*world.provider);
    set({.on = true, .min_idle = 1, .predict = false});
    world.pass(1s);
    CHECK(world.pool->idle() == 1);
    world.provider = std::make_shared<config::upstream>(*world.provider);
    world.provider->address.authority = "moved.example"; // another endpoint: the old one is retired
    set({.on = true, .min_idle = 1, .predict = false});
    world.pass(1s);
    CHECK(world.pool->idle() == 1);
    CHECK(world.there.dials.size() == 5);
    world.expect_nothing_left();
}

TEST_CASE("a drain cancels what is being opened") {
    warmed world(two);
    world.there.connect_time = 3s;
    world.go();
    world.pass(1s);
    CHECK(world.pool->size() == 2);
    CHECK(world.loop.nursery().size() == 2);
    world.pool->drain();
    world.pass(0s);
    CHECK(world.pool->size() == 0);
    CHECK(world.loop.nursery().size() == 0);
    CHECK(world.loop.timers().armed() == 0);
    CHECK(world.seen.of(failed) == 0);
    world.pass(1min);
    CHECK(world.there.dials.size() == 2);
}

TEST_CASE("a pool that ends takes its dials with it") {
    warmed world(two);
    world.there.connect_time = 3s;
    world.go();
    world.pass(1s);
    world.pool.reset();
    world.pass(0s);
    CHECK(world.loop.nursery().size() == 0);
    CHECK(world.loop.timers().armed() == 0);
}

namespace {
struct probed : warmed {
    bool may = true;
    std::optional<request::prewarm_probes> probes{
        std::in_place,
        request::prewarm_probes::services{loop, *pool, seen, [this](const config::upstream&) { return may; }}};
    probed()
        : warmed({.on = true, .min_idle = 1, .predict = false, .probe_path = "/v1/models", .probe_interval = 10s}) {
        provider->address.base_path = "/base";
        provider->own_credential = true;
        provider->headers.set = {{"authorization", "Bearer own"}};
        there.connect_time = 1ms;
    }
    void go() {
        warmed::go();
        probes->use(context.settings->upstreams);
        pass(5s);
    }
    void expect_nothing_left() {
        probes->stop();
        warmed::expect_nothing_left();
    }
};
using telemetry::probe_result;
} // namespace

TEST_CASE("prewarm.probe: a GET with the upstream's own credential on an idle connection, every interval") {
    probed world;
    world.go();
    CHECK(world.there.requests == 0);
    world.pass(5100ms);
    CHECK(world.there.requests == 1);
    const auto asked = std::find_if(world.there.exchanges().begin(), world.there.exchanges().end(),
                                    [](const auto& one) { return !one->written.empty(); });
    REQUIRE(asked != world.there.exchanges().end());
    CHECK((*asked)->written == "GET /base/v1/models HTTP/1.1\r\nhost: api.example\r\naccept: "
                               "application/json\r\nauthorization: Bearer own\r\n\r\n");
    CHECK(world.seen.probes == std::vector{probe_result::answered});
    CHECK(world.pool->idle() == 2); // put back, beside the one that was opened in its place
    CHECK(world.there.dials.size() == 2);
    world.pass(30s);
    CHECK(world.there.dials.size() <= 4); // once idle for 30 s they age out
    CHECK(world.there.requests == 4);
    CHECK(world.seen.attempts == 0);
    world.expect_nothing_left();
    CHECK(world.there.requests == 4);
}

TEST_CASE("prewarm.probe: what it says of each answer, and what becomes of the connection") {
    struct row {
        const char* answer;
        probe_result result;
        bool kept;
    };
    for (const row& one :
         {row{"HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\n{}", probe_result::refused, true},
          row{"HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", probe_result::answered,
              true},
          row{"HTTP/1.1 102 Wait\r\n\r\nHTTP/1.1 204 No\r\n\r\n", probe_result::answered, true},
          row{"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", probe_result::error, true},
          row{"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", probe_result::answered, false},
          row{"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n{", probe_result::answered, false},
          row{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{}", probe_result::answered,
              false}, // the rest does not come
          row{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}stray", probe_result::answered, false},
          row{"what?\r\n\r\n", probe_result::failed, false}}) {
        probed world;
        world.there.answers = one.answer;
        world.go();
        world.pass(5s);
        world.may = false; // no second one
        world.pass(14s);
        CAPTURE(std::string{one.answer});
        CHECK(world.seen.probes == std::vector{one.result});
        CHECK(world.pool->idle() == (one.kept ? 2 : 1)); // one was opened in its place
        world.expect_nothing_left();
    }
    SUBCASE("silence") {
        probed world;
        world.there.answers_after = [](std::size_t) { return duration{30s}; };
        world.go();
        world.pass(14s);
        CHECK(world.seen.probes.empty());
        world.pass(2s);
        CHECK(world.seen.probes == std::vector{probe_result::failed});
        world.expect_nothing_left();
    }
}

TEST_CASE("prewarm.probe: none without an idle connection, where requests would not go, after a reload without it, or "
          "while stopping") {
    probed world;
    world.there.refuses = true;
    world.go();
    world.pass(20s);
    CHECK(world.there.requests == 0);
    world.there.refuses = false;
    world.may = false;
    world.pass(90s);
    CHECK(world.pool->idle() == 1);
    CHECK(world.there.requests == 0);
    world.may = true;
    world.pass(10s);
    CHECK(world.there.requests >= 1);
    const std::size_t before = world.there.requests;
    world.provider->prewarm.probe_path.clear();
    world.probes->use(std::array{std::shared_ptr<const config::upstream>{world.provider}});
    world.pass(60s);
    CHECK(world.there.requests == before);
    world.expect_nothing_left();

    probed ending;
    ending.there.answers_after = [](std::size_t) { return duration{5s}; };
    ending.go();
    ending.pass(6s);
    ending.probes->stop(); // one is under way
    ending.pass(1s);
    CHECK(ending.seen.probes.empty());
    ending.expect_nothing_left();
}

} // namespace evenkeel::test::prewarm_flow_test
