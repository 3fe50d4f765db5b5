// Shuffle sharding on the whole path of a request, in virtual time: what one tenant breaks is broken for its shard
// only.

#include "tests/proxy/request/flow_fixture.hpp"

#include <algorithm>
#include <bit>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace evenkeel::test::shard_flow_test {

namespace {
struct sharded : fixture {
    explicit sharded(int count, int size, const std::string& header = "x-team") {
        route->upstreams.clear();
        settings->upstreams.clear();
        for (int i = 0; i < count; ++i) {
            auto one = std::make_shared<config::upstream>();
            one->name = "u" + std::to_string(i);
            one->address.authority = one->name + ".example";
            names.push_back(one->name);
            route->upstreams.push_back(one);
            settings->upstreams.push_back(one);
        }
        route->weights.assign(static_cast<std::size_t>(count), 1);
        route->shuffle_shard = {.on = true, .size = size, .header = header};
    }
    void use() { context.use(settings, registry.prepare(*settings)); }
    // One request of a client of its own; its status.
    int ask(const std::string& fields) {
        scripted_client one(loop, false);
        loop.nursery().spawn(
            request::client_connection::run(std::make_unique<request::client_connection>(context, one.connect())));
        one.send("POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\n" + fields + "Content-Length: 2\r\n\r\n{}");
        for (int waited = 0; one.received().empty() && waited < 600; ++waited) pass(100ms);
        const std::string& answer = one.received();
        const int status = answer.size() > 12 ? std::stoi(answer.substr(9, 3)) : 0;
        one.leave();
        pass(0ms);
        return status;
    }
    // Whom the requests since the last call were sent to.
    std::set<std::string> asked() {
        std::set<std::string> whom;
        for (; seen_exchanges < upstream.exchanges().size(); ++seen_exchanges)
            whom.insert(upstream.exchanges()[seen_exchanges]->upstream);
        return whom;
    }
    [[nodiscard]] std::set<std::string> shard(const std::string& tenant) const {
        const auto members =
            shuffle_shard(names, {}, route->shuffle_shard.size).of(shuffle_shard::tenant_named(tenant));
        std::set<std::string> out;
        for (std::size_t i = 0; i < names.size(); ++i) {
            if (members >> i & 1U) out.insert(names[i]);
        }
        return out;
    }
    std::vector<std::string> names;
    std::size_t seen_exchanges = 0;
};

exchange_script reset() { return {.steps = {play::request{2}, play::reset{}}}; }
bool within(const std::set<std::string>& inner, const std::set<std::string>& outer) {
    return std::includes(outer.begin(), outer.end(), inner.begin(), inner.end());
}
} // namespace

TEST_CASE("a poisonous tenant harms the tenants of its own shard and nobody else: checked one by one") {
    for (const balance_kind balance :
         {balance_kind::failover, balance_kind::round_robin, balance_kind::least_latency}) {
        CAPTURE(static_cast<int>(balance));
        sharded f(8, 2);
        f.route->balance = balance;
        f.route->retry.max_retries = 5;
        f.route->retry.backoff = {.initial = 10ms, .max = 50ms, .base = 2, .jitter = jitter::none};
        f.route->circuit_breaker.on = true;
        f.route->circuit_breaker.when_open = when_open::reject;
        f.route->overload.on = true;
        f.use();
        f.services.probers_go.request(); // copies of one tenant's requests would be counted as another's
        bool poison = false;
        std::set<std::string> broken; // whoever has read a poisonous request never answers again
        f.upstream.choose([&](const config::upstream& to, std::size_t) {
            if (poison) broken.insert(to.name);
            return broken.count(to.name) > 0 ? reset() : answering(ok_json);
        });

        poison = true;
        for (int i = 0; i < 40; ++i) CHECK(f.ask("X-Team: poison\r\n") != 200);
        poison = false;
        CHECK(broken == f.shard("poison"));
        CHECK(broken.size() == 2);
        static_cast<void>(f.asked());

        int harmed = 0, touched = 0;
        for (int i = 0; i < 300; ++i) {
            const std::string tenant = "team-" + std::to_string(i);
            CAPTURE(tenant);
            const auto mine = f.shard(tenant);
            const int status = f.ask("X-Team: " + tenant + "\r\n");
            CHECK((status == 200) == !within(mine, broken));
            CHECK(within(f.asked(), mine)); // no other endpoint is ever asked
            harmed += status != 200;
            touched += mine.count(*broken.begin()) + mine.count(*broken.rbegin()) == 1;
        }
        CHECK(harmed > 0);
        CHECK(harmed < 30);  // 300 / C(8, 2) = 10.7 are to be expected
        CHECK(touched > 60); // ... and 128.6 that lose one of two and notice nothing
        f.connect();
        f.expect_nothing_left();
    }
}

TEST_CASE("whether an endpoint is the only one is judged within the shard") {
    for (const bool on : {true, false}) {
        CAPTURE(on);
        sharded f(3, 1);
        f.route->shuffle_shard.on = on;
        f.route->circuit_breaker.on = true;
        f.route->circuit_breaker.when_open = when_open::reject;
        f.use();
        f.upstream.always(reset());
        for (int i = 0; i < 5; ++i) static_cast<void>(f.ask("x-team: a\r\n"));
        const auto report = f.registry.report(*f.settings, f.loop.now());
        const auto open = std::count_if(report.routes[0].endpoints.begin(), report.routes[0].endpoints.end(),
                                        [](const auto& at) { return at.circuit->state == circuit_state::open; });
        CHECK(open == (on ? 0 : 1)); // alone it takes 15 calls, with others three
        f.connect();
        f.expect_nothing_left();
    }
}

TEST_CASE("a request without the header belongs to the tenant without a name") {
    sharded f(8, 2);
    f.use();
    f.upstream.always(answering(ok_json));
    for (const char* fields : {"", "x-team: \r\n", "x-other: a\r\n"}) {
        CHECK(f.ask(fields) == 200);
        CHECK(within(f.asked(), f.shard("")));
    }
    f.connect();
    f.expect_nothing_left();
}

TEST_CASE("by credential each has its own few, whatever else the request says") {
    sharded f(8, 2, "");
    f.route->balance = balance_kind::round_robin;
    f.use();
    f.upstream.always(answering(ok_json));
    std::set<std::string> all;
    for (int tenant = 0; tenant < 40; ++tenant) {
        std::set<std::string> mine;
        for (int i = 0; i < 12; ++i) {
            CHECK(f.ask("Authorization: Bearer " + std::to_string(tenant) + "\r\nx-team: " + std::to_string(i) +
                        "\r\n") == 200);
            mine.merge(f.asked());
        }
        CHECK(mine.size() == 2);
        all.merge(mine);
    }
    CHECK(all.size() == 8);
    f.connect();
    f.expect_nothing_left();
}

TEST_CASE("round robin takes turns within a shard, and in sum over all of them") {
    sharded f(4, 2);
    f.route->balance = balance_kind::round_robin;
    f.use();
    f.upstream.always(answering(ok_json));
    for (int i = 0; i < 400; ++i) CHECK(f.ask("x-team: one\r\n") == 200);
    const auto mine = f.shard("one");
    for (const std::string& name : f.names) CHECK(f.upstream.opened_to(name) == (mine.count(name) > 0 ? 200U : 0U));
    for (int i = 0; i < 1000; ++i) CHECK(f.ask("x-team: t" + std::to_string(i) + "\r\n") == 200);
    for (const std::string& name : f.names) {
        CHECK(f.upstream.opened_to(name) - (mine.count(name) > 0 ? 200 : 0) >= 220);
        CHECK(f.upstream.opened_to(name) - (mine.count(name) > 0 ? 200 : 0) <= 280);
    }
    f.connect();
    f.expect_nothing_left();
}

} // namespace evenkeel::test::shard_flow_test
