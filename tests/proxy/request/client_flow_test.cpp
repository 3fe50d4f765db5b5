// Callers that are known by their keys, on the whole path of a request, in virtual time.

#include "config/client_keys.hpp"
#include "tests/proxy/request/flow_fixture.hpp"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

namespace evenkeel::test::client_flow_test {

namespace {
std::string post_with(const std::string& fields, const std::string& path = "/v1/chat/completions") {
    return "POST " + path + " HTTP/1.1\r\nHost: h\r\n" + fields + "Content-Length: 2\r\n\r\n{}";
}
std::string bearer(const std::string& key) { return "Authorization: Bearer " + key + "\r\n"; }
exchange_script after(duration wait, const std::string& answer) {
    return {.steps = {play::request{2}, play::pause{wait}, play::send{answer}}};
}

struct callers : fixture {
    void add(const std::string& name, std::uint32_t most = 0, std::vector<std::string> routes = {}) {
        auto one = std::make_shared<config::client>();
        one->name = name;
        one->keys = {config::digest_of("key-of-" + name), config::digest_of("next-of-" + name)};
        one->routes = std::move(routes);
        one->max_concurrent = most;
        one->place = settings->clients.size();
        settings->clients.push_back(std::move(one));
    }
    void use() { context.use(settings, registry.prepare(*settings)); }
    scripted_client& come(const std::string& request) {
        auto& one = *visitors.emplace_back(std::make_unique<scripted_client>(loop));
        loop.nursery().spawn(
            request::client_connection::run(std::make_unique<request::client_connection>(context, one.connect())));
        one.send(request);
        loop.run_virtual(loop.now());
        return one;
    }
    int ask(const std::string& request) {
        const std::string& answer = come(request).received();
        return answer.size() > 12 ? std::stoi(answer.substr(9, 3)) : 0;
    }
    void finish() {
        for (const auto& one : visitors) one->leave();
        connect(); // what expect_nothing_left() lets leave
        expect_nothing_left();
    }
    std::vector<std::unique_ptr<scripted_client>> visitors;
};
} // namespace

TEST_CASE("a key is found where the SDKs put theirs; whoever shows none, or another, is asked for one") {
    callers f;
    f.add("a");
    f.add("b");
    f.use();
    f.upstream.always(after(0ms, ok_json));
    for (const char* fields : {"Authorization: Bearer key-of-a\r\n", "authorization: bearer  key-of-a\r\n",
                               "X-Api-Key: key-of-a\r\n", "api-key: next-of-a\r\n", "x-goog-api-key: key-of-b\r\n",
                               "Authorization: Bearer something-else\r\nx-api-key: key-of-b\r\n"}) {
        CAPTURE(fields);
        CHECK(f.ask(post_with(fields)) == 200);
    }
    const int served = f.seen.attempts_started;
    for (const char* fields : {"", "Authorization: Bearer key-of-c\r\n", "Authorization: Basic key-of-a\r\n",
                               "Authorization: key-of-a\r\n", "Authorization: Bearer\r\n", "x-api-key: \r\n",
                               "x-api-key: key-of-\r\n", "cookie: key-of-a\r\n", "x-key: key-of-a\r\n"}) {
        CAPTURE(fields);
        CHECK(f.ask(post_with(fields)) == 401);
        CHECK(f.seen.requests.back().reason == "client_key_unknown");
    }
    CHECK(f.ask(post_with("", "/v1/chat/completions?key=key-of-a")) == 401);
    CHECK(f.seen.attempts_started == served);
    f.finish();
}

TEST_CASE("nobody that is not known has his body read, or is told which routes there are") {
    callers f;
    f.add("a");
    f.route->match.models = {"gpt-*"};
    f.use();
    const auto& answer =
        f.come("POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n{\"model\":");
    CHECK(answer.received().starts_with("HTTP/1.1 401 "));
    CHECK(answer.received().find("www-authenticate: Bearer\r\n") != std::string::npos);
    f.route->match.models.clear();
    f.use();
    CHECK(f.ask(post_with("", "/other")) == 401);
    CHECK(f.ask(post_with(bearer("key-of-a"), "/other")) == 404);
    f.finish();
}

TEST_CASE("a client asks the routes that it may") {
    callers f;
    f.add("a", 0, {f.route->name});
    f.add("b", 0, {"another"});
    f.use();
    f.upstream.always(after(0ms, ok_json));
    CHECK(f.ask(post_with(bearer("key-of-a"))) == 200);
    CHECK(f.ask(post_with(bearer("key-of-b"))) == 403);
    CHECK(f.seen.requests.back().reason == "client_route_denied");
    f.finish();
}

TEST_CASE(
    "one that has as many under way as it may is refused, and nobody else; its place is free with the last byte") {
    callers f;
    f.add("a", 2);
    f.add("b");
    f.use();
    f.upstream.always(after(700ms, ok_json));
    f.come(post_with(bearer("key-of-a")));
    f.come(post_with(bearer("next-of-a")));
    const auto& third = f.come(post_with(bearer("key-of-a")));
    CHECK(third.received().starts_with("HTTP/1.1 503 "));
    CHECK(third.received().find("retry-after: 1\r\n") != std::string::npos);
    CHECK(third.received().find("client_limit") != std::string::npos);
    f.come(post_with(bearer("key-of-b")));
    CHECK(f.registry.report(*f.settings, f.loop.now()).clients.at(0).seen.in_use == 2);
    CHECK(f.registry.report(*f.settings, f.loop.now()).clients.at(1).seen.in_use == 1);
    f.pass(700ms);
    CHECK(f.registry.report(*f.settings, f.loop.now()).clients.at(0).seen.in_use == 0);
    CHECK(f.seen.requests.size() == 4);
    f.come(post_with(bearer("key-of-a")));
    f.visitors.back()->leave(); // in the midst of it
    f.pass(0ms);
    CHECK(f.registry.report(*f.settings, f.loop.now()).clients.at(0).seen.in_use == 0);
    f.pass(700ms);
    f.finish();
}

TEST_CASE("its name is its tenant: two keys are one, whatever else it sends") {
    callers f;
    f.add("a");
    f.add("b");
    f.route->bulkhead = {.on = true, .max_concurrent = 1, .max_queue = 4, .queue_timeout = 10s, .tenant_share = 0.5};
    f.use();
    f.upstream.always(after(100ms, ok_json));
    f.come(post_with(bearer("key-of-a")));
    f.come(post_with(bearer("key-of-a")));
    f.come(post_with(bearer("next-of-a") + "x-api-key: made-up\r\n"));
    f.come(post_with(bearer("key-of-b")));
    // It has half of the queue, and others wait.
    const auto& over = f.come(post_with("x-api-key: next-of-a\r\n"));
    CHECK(over.received().find("bulkhead_tenant_share") != std::string::npos);
    f.come(post_with(bearer("key-of-b")));
    f.pass(1s);
    int good = 0;
    for (const auto& one : f.seen.requests) good += one.status == 200;
    CHECK(good == 5);
    f.finish();
}

TEST_CASE("the shard of a client is that of its name, in each process the same") {
    callers f;
    f.add("a");
    f.route->upstreams.clear();
    f.settings->upstreams.clear();
    std::vector<std::string> names;
    for (int i = 0; i < 8; ++i) {
        auto one = std::make_shared<config::upstream>();
        one->name = "u" + std::to_string(i);
        one->address.authority = one->name + ".example";
        names.push_back(one->name);
        f.route->upstreams.push_back(one);
        f.settings->upstreams.push_back(one);
    }
    f.route->weights.assign(names.size(), 1);
    f.route->shuffle_shard = {.on = true, .size = 1, .header = {}};
    f.use();
    f.upstream.always(after(0ms, ok_json));
    for (const char* key : {"key-of-a", "next-of-a", "key-of-a"}) CHECK(f.ask(post_with(bearer(key))) == 200);
    const auto members = shuffle_shard(names, {}, 1).of(shuffle_shard::tenant_named("a"));
    REQUIRE(f.upstream.exchanges().size() == 3);
    for (const auto& each : f.upstream.exchanges()) {
        const auto at = static_cast<std::size_t>(std::find(names.begin(), names.end(), each->upstream) - names.begin());
        CHECK((members >> at & 1U) == 1);
    }
    f.finish();
}

TEST_CASE("whether we are well is told to everybody") {
    callers f;
    f.add("a");
    f.route->serves = config::route_serves::health;
    f.route->upstreams.clear();
    f.use();
    CHECK(f.ask(post_with("")) == 200);
    f.finish();
}

} // namespace evenkeel::test::client_flow_test
