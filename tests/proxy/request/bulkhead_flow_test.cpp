// The bulkhead on the whole path of a request, in virtual time: who waits, who is refused, and when a permit comes
// back.

#include "tests/proxy/request/flow_fixture.hpp"

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace evenkeel::test::bulkhead_flow_test {

namespace {
struct crowd : fixture {
    explicit crowd(int concurrent = 1, int queue = 2, double share = 1) {
        route->bulkhead = {
            .on = true, .max_concurrent = concurrent, .max_queue = queue, .queue_timeout = 2s, .tenant_share = share};
        use();
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
    [[nodiscard]] bulkhead::summary gate() { return *registry.report(*settings, loop.now()).routes.front().bulkhead; }
    void finish() {
        for (const auto& one : visitors) one->leave();
        connect(); // what expect_nothing_left() lets leave
        expect_nothing_left();
    }
    std::vector<std::unique_ptr<scripted_client>> visitors;
};

exchange_script after(duration wait, const std::string& answer) {
    return {.steps = {play::request{2}, play::pause{wait}, play::send{answer}}};
}
std::string post_with(const std::string& fields, const std::string& path = "/v1/chat/completions") {
    return "POST " + path + " HTTP/1.1\r\nHost: h\r\n" + fields + "Content-Length: 2\r\n\r\n{}";
}
int whole_number_of(const std::string& answer, const std::string& name) {
    const std::size_t at = answer.find(name + ": ");
    return at == std::string::npos ? -1 : std::stoi(answer.substr(at + name.size() + 2));
}
} // namespace

TEST_CASE(
    "one more than the bulkhead lets through waits for its turn, and what the queue does not hold is refused at once") {
    crowd f(1, 1);
    f.upstream.always(after(700ms, ok_json));
    const auto& first = f.come(post);
    const auto& second = f.come(post);
    const auto& third = f.come(post);

    CHECK(f.gate().in_use == 1);
    CHECK(f.gate().queued == 1);
    CHECK(f.upstream.exchanges().size() == 1);
    CHECK(second.received().empty());
    CHECK(third.received().starts_with("HTTP/1.1 503 "));
    CHECK(has(third.received(), "\"code\":\"bulkhead_full\""));
    CHECK(has(third.received(), "proxy-status: evenkeel; error=connection_limit_reached"));
    CHECK(has(third.received(), "x-evenkeel-outcome: rejected\r\n"));
    CHECK_FALSE(has(third.received(), "x-should-retry"));
    CHECK(whole_number_of(third.received(), "retry-after") >= 1);
    CHECK(whole_number_of(third.received(), "retry-after-ms") >= 100);
    CHECK(f.seen.attempts_started == 1); // nothing was sent for it, nobody is blamed
    CHECK(f.seen.requests.back().reason == "bulkhead_full");
    CHECK(f.seen.requests.back().outcome == request_outcome::rejected);

    f.pass(700ms);
    CHECK(has(first.received(), "HTTP/1.1 200 OK"));
    CHECK(f.upstream.exchanges().size() == 2);
    CHECK(f.upstream.exchanges()[1]->opened_at == start + 700ms);
    f.pass(700ms);
    CHECK(has(second.received(), "HTTP/1.1 200 OK"));
    f.finish();
}

TEST_CASE("a refusal is written in the dialect of its client") {
    crowd f(1, 0);
    f.upstream.always(after(1s, ok_json));
    f.come(post);
    const auto& refused = f.come(post_with("", "/v1/messages"));
    CHECK(has(refused.received(), R"({"type":"error","error":{)"));
    CHECK(has(refused.received(), "bulkhead_full"));
    f.finish();
}

TEST_CASE("whose turn does not come in time is refused then: after queue_timeout, or at its own deadline") {
    crowd f;
    f.upstream.always(after(10s, ok_json));
    f.come(post);
    const auto& patient = f.come(post);
    const auto& hasty = f.come(post_with("x-evenkeel-timeout: 1\r\n"));
    f.pass(949ms); // it is told a little before its second is over
    CHECK(hasty.received().empty());
    f.pass(2ms);
    CHECK(has(hasty.received(), "HTTP/1.1 503 "));
    CHECK(has(hasty.received(), "\"code\":\"bulkhead_timeout\""));
    CHECK(f.gate().queued == 1);
    f.pass(2s - 951ms - 1ms);
    CHECK(patient.received().empty());
    f.pass(2ms);
    CHECK(has(patient.received(), "\"code\":\"bulkhead_timeout\""));
    CHECK(whole_number_of(patient.received(), "retry-after") >= 1);
    CHECK(f.upstream.exchanges().size() == 1);
    f.finish();
}

TEST_CASE("D5: where no queue_timeout is said one waits as long as its own time allows") {
    crowd f(400, 4096);
    f.route->bulkhead.queue_timeout.reset();
    f.route->timeout.total = 60s;
    f.use();
    f.upstream.always(after(4s, ok_json));
    for (int i = 0; i < 1200; ++i) f.come(post);
    const auto& hasty = f.come(post_with("x-evenkeel-timeout: 5\r\n"));
    f.pass(11s);
    CHECK(has(hasty.received(), "\"code\":\"bulkhead_timeout\""));
    f.pass(2s);
    const auto served = std::count_if(f.visitors.begin(), f.visitors.end(),
                                      [](const auto& one) { return has(one->received(), "200 OK"); });
    CHECK(served == 1200);
    f.finish();
}

TEST_CASE("P8.4: a permit is held to the last byte of a stream") {
    crowd f;
    f.upstream.next(streaming({play::send{stream_head + chunk(hello) + chunk(word)}, play::pause{1500ms},
                               play::send{chunk(stop) + chunk(done) + "0\r\n\r\n"}}));
    f.upstream.next(answering(ok_json));
    f.come(post_stream());
    const auto& next = f.come(post);
    f.pass(1499ms);
    CHECK(f.upstream.exchanges().size() == 1);
    f.pass(1ms);
    CHECK(f.upstream.exchanges().size() == 2);
    CHECK(has(next.received(), "HTTP/1.1 200 OK"));
    f.finish();
}

TEST_CASE("who leaves the queue frees its place, who leaves in mid-answer gives its permit back, both at once") {
    crowd f(1, 1);
    f.upstream.next(streaming({play::send{stream_head + chunk(hello) + chunk(word)}, play::silence{}}));
    f.upstream.next(answering(ok_json));
    auto& served = f.come(post_stream());
    auto& queued = f.come(post);
    queued.leave();
    f.pass(0ms);
    CHECK(f.gate().queued == 0);
    const auto& next = f.come(post);
    CHECK(f.gate().queued == 1);
    served.leave();
    f.pass(0ms);
    CHECK(has(next.received(), "HTTP/1.1 200 OK"));
    CHECK(f.gate().in_use == 0);
    CHECK(std::count_if(f.seen.requests.begin(), f.seen.requests.end(),
                        [](const auto& r) { return r.outcome == request_outcome::client_cancelled; }) == 2);
    f.finish();
}

TEST_CASE("a request that waits for an endpoint keeps its permit") {
    crowd f(1, 0);
    f.route->retry.max_retries = 3;
    f.route->cooldown.on = true;
    f.provider->own_credential = true;
    f.use();
    f.context.policies->of(*f.route).endpoints.at(0).rest->throttled({}, outcome_kind::rate_limited, 30s, 0.5,
                                                                     f.loop.now());
    const auto& waits = f.come(post);
    CHECK(waits.received().empty());
    CHECK(f.gate().in_use == 1);
    CHECK(has(f.come(post).received(), "bulkhead_full"));
    f.finish();
}

TEST_CASE("other credentials are let past one that has its share") {
    crowd f(2, 20, 0.5);
    f.upstream.always(after(1s, ok_json));
    std::vector<scripted_client*> floods;
    for (int i = 0; i < 6; ++i) floods.push_back(&f.come(post_with("Authorization: Bearer flood\r\n")));
    f.pass(500ms);
    const auto& other = f.come(post_with("Authorization: Bearer other\r\n"));
    f.pass(500ms); // two come free: one each
    CHECK(f.gate().in_use == 2);
    f.pass(1s);
    CHECK(has(other.received(), "HTTP/1.1 200 OK"));
    CHECK(std::count_if(floods.begin(), floods.end(), [](const auto* one) { return has(one->received(), "200 OK"); }) ==
          3);
    f.finish();
}

TEST_CASE("a reload changes the limits and keeps holders and queue; off lets everybody through") {
    crowd f(1, 4);
    f.upstream.always(after(1s, ok_json));
    f.come(post);
    f.come(post);
    f.come(post);
    CHECK(f.gate().queued == 2);

    f.route = std::make_shared<config::route>(*f.route);
    f.route->bulkhead.max_concurrent = 2;
    f.settings = std::make_shared<config::settings>(*f.settings);
    f.settings->routes = {f.route};
    f.use();
    f.pass(0ms);
    CHECK(f.gate().in_use == 2);
    CHECK(f.gate().queued == 1);
    CHECK(f.upstream.exchanges().size() == 2);

    f.route = std::make_shared<config::route>(*f.route);
    f.route->bulkhead.on = false;
    f.settings = std::make_shared<config::settings>(*f.settings);
    f.settings->routes = {f.route};
    f.use();
    f.come(post);
    CHECK(f.upstream.exchanges().size() == 3);
    f.pass(1s);
    CHECK(f.upstream.exchanges().size() == 4); // the one that waited
    f.pass(1s);
    CHECK(f.seen.requests.size() == 4);
    f.finish();
}

TEST_CASE("P1.2: random requests, clients that leave at any time, endpoints that fail: nothing is left, nobody is "
          "forgotten") {
    for (unsigned seed = 1; seed <= 20; ++seed) {
        CAPTURE(seed);
        std::mt19937 random(seed);
        crowd f(3, 6, 0.5);
        f.upstream.choose([&](const config::upstream&, std::size_t) {
            const duration wait = std::chrono::milliseconds{random() % 400};
            switch (random() % 4) {
            case 0: return exchange_script{.steps = {play::request{2}, play::pause{wait}, play::reset{}}};
            case 1: return after(wait, status_answer(500));
            default: return after(wait, ok_json);
            }
        });
        std::size_t most = 0;
        for (int i = 0; i < 400; ++i) {
            f.come(post_with("Authorization: Bearer " + std::to_string(random() % 3) + "\r\n" +
                             (random() % 4 == 0 ? "x-evenkeel-timeout: 0.3\r\n" : "")));
            if (random() % 5 == 0) f.visitors[random() % f.visitors.size()]->leave();
            f.pass(std::chrono::milliseconds{random() % 120});
            most = std::max(most, f.upstream.open_now());
        }
        f.pass(1min);
        CHECK(most <= 3);
        CHECK(f.gate().in_use == 0);
        CHECK(f.gate().queued == 0);
        CHECK(f.seen.requests.size() == 400);
        f.finish();
    }
}

TEST_CASE("where a header names the tenant, its share is that tenant's, whatever the credential") {
    crowd f(2, 20, 0.5);
    f.route->shuffle_shard = {.on = true, .size = 1, .header = "x-team"};
    f.use();
    f.upstream.always(after(1s, ok_json));
    for (int i = 0; i < 6; ++i) f.come(post_with("Authorization: Bearer all\r\nx-team: flood\r\n"));
    const auto& other = f.come(post_with("Authorization: Bearer all\r\nx-team: other\r\n"));
    f.pass(2s - 1ms);
    CHECK(other.received().empty());
    f.pass(2ms);
    CHECK(has(other.received(), "HTTP/1.1 200 OK"));
    f.finish();
}

} // namespace evenkeel::test::bulkhead_flow_test
