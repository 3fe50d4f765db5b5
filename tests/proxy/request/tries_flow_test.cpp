// What is told of a disturbed request, on the whole path in virtual time: its tries, who left and how long it had been
// silent, where the time went, whose request it was.

#include "tests/proxy/request/flow_fixture.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <string>

namespace evenkeel::test::tries_flow_test {

namespace {
std::string header(const std::string& answer, std::string_view name) {
    const auto at = answer.find("\r\n" + std::string{name} + ": ");
    if (at == std::string::npos) return {};
    const auto begin = at + name.size() + 4;
    return answer.substr(begin, answer.find("\r\n", begin) - begin);
}
const std::string canary = "sk-canary-secret";
std::string post_with(const std::string& fields, const std::string& body, const std::string& query = "") {
    return "POST /v1/chat/completions" + query + " HTTP/1.1\r\nHost: localhost\r\n" + fields +
           "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}
} // namespace

TEST_CASE("tries: an undisturbed request has no such field") {
    retrying f;
    f.upstream.next(answering(ok_json));
    f.connect();
    f.send(post);
    CHECK(has(f.client.received(), "x-evenkeel-outcome: ok\r\n"));
    CHECK_FALSE(has(f.client.received(), "x-evenkeel-tries"));
    CHECK(f.seen.last.lost + f.seen.last.paused == duration::zero());
    f.expect_nothing_left();
}

TEST_CASE("tries: a retried request tells its client, and its time is lost, paused and our own") {
    retrying f;
    f.upstream.next({.steps = {play::request{2}, play::pause{2s}, play::send{status_answer(500)}}});
    f.upstream.next({.steps = {play::request{2}, play::pause{3s}, play::send{ok_json}}});
    f.connect();
    f.send(post);
    f.pass(10s);
    CHECK(header(f.client.received(), "x-evenkeel-tries") == "provider;kind=first;end=server_error;status=500;s=2.000, "
                                                             "provider;kind=retry;end=success;status=200;s=3.000");
    CHECK(header(f.client.received(), "x-evenkeel-outcome") == "retried");
    CHECK(f.seen.last.outcome == "retried");
    CHECK(f.seen.last.lost == 2s);
    CHECK(f.seen.last.paused == 1s);
    CHECK(f.seen.last.overhead == 0s); // neither the wait for the upstream nor its body's coming is ours
    CHECK(f.seen.last.total == 6s);
    f.expect_nothing_left();
}

TEST_CASE("tries: an error of one attempt is told like that of several") {
    retrying f;
    f.upstream.next(answering(status_answer(400)));
    f.connect();
    f.send(post);
    CHECK(header(f.client.received(), "x-evenkeel-tries") == "provider;kind=first;end=caller_error;status=400;s=0.000");
    CHECK(header(f.client.received(), "x-evenkeel-outcome") == "upstream_error");
    f.expect_nothing_left();
}

TEST_CASE("rerouted: the first choice was not asked, and nothing went wrong with this request") {
    retrying f(true);
    f.route->circuit_breaker.on = true;
    f.route->circuit_breaker.min_calls = 3;
    f.route->circuit_breaker.recovery_timeout = 60s;
    f.route->circuit_breaker.when_open = when_open::reject;
    f.connect();
    for (int i = 0; i < 12; ++i) { // the first one's circuit opens
        f.upstream.choose([](const config::upstream& to, std::size_t) {
            return to.name == "provider" ? answering(status_answer(500)) : answering(ok_json);
        });
        f.client.forget_received();
        f.send(post);
        f.pass(100ms);
    }
    CHECK(header(f.client.received(), "x-evenkeel-outcome") == "rerouted");
    CHECK(header(f.client.received(), "x-evenkeel-upstream") == "backup");
    CHECK(header(f.client.received(), "x-evenkeel-attempts") == "1");
    CHECK(f.seen.last.outcome == "rerouted");
    CHECK(has(f.seen.journal, "passed_over circuit_open upstream=provider"));
    f.expect_nothing_left();
}

TEST_CASE("a client that leaves: what it waited for, and how long that had been silent") {
    SUBCASE("nothing had come") {
        retrying f;
        f.route->timeout.rescue.on = false;
        f.upstream.next({.steps = {play::request{2}, play::silence{}}});
        f.connect();
        f.send(post);
        f.pass(7s);
        f.client.leave();
        f.pass(1s);
        CHECK(f.seen.last.outcome == "client_cancelled");
        CHECK(f.seen.last.left == telemetry::departure::unanswered);
        CHECK(f.seen.last.upstream == "provider");
        CHECK(f.seen.last.effort.attempts == 1);
        CHECK(f.seen.last.silent == 7s);
        CHECK(has(f.seen.last.tries, R"("end":"cancelled","cause":"client_gone")"));
        CHECK(has(f.seen.last.tries, R"("silent_s":7.000000)"));
    }
    SUBCASE("a stream had begun") {
        retrying f;
        f.upstream.next(streaming({play::send{stream_head + chunk(hello) + chunk(word)}, play::pause{2s},
                                   play::send{chunk(word)}, play::silence{}}));
        f.connect();
        f.send(post_stream());
        f.pass(5s);
        f.client.leave();
        f.pass(1s);
        CHECK(f.seen.last.outcome == "client_cancelled");
        CHECK(f.seen.last.left == telemetry::departure::answering);
        CHECK(f.seen.last.upstream == "provider");
        CHECK(f.seen.last.silent == 3s);
    }
}

TEST_CASE("whose request it was: address, model, trace and a hash of the credential") {
    retrying f;
    f.connect();
    const auto ask = [&](const std::string& bytes, std::size_t body) {
        f.upstream.next(answering(ok_json, body));
        f.client.forget_received();
        f.send(bytes);
        f.pass(10ms);
        return f.seen.last;
    };
    const std::string trace = "0af7651916cd43dd8448eb211c80319c";
    const std::string body = R"({"messages":[{"content":"\"model\":\"no\""}],"model":"gpt-x"})";
    const auto one =
        ask(post_with("traceparent: 00-" + trace + "-b7ad6b7169203331-01\r\nAuthorization: Bearer " + canary + "\r\n",
                      body),
            body.size());
    CHECK(one.model == "gpt-x");
    CHECK(one.trace_id == trace);
    CHECK_FALSE(one.client.empty());
    REQUIRE(one.credential.has_value());

    const auto again = ask(post_with("Authorization: Bearer " + canary + "\r\n", "{}"), 2);
    CHECK(again.credential == one.credential);
    CHECK(again.model.empty());
    CHECK(again.trace_id.empty());
    CHECK(ask(post_with("Authorization: Bearer other\r\n", "{}"), 2).credential != one.credential);
    CHECK_FALSE(ask(post_with("", "{}"), 2).credential.has_value());
    const auto key = ask(post_with("X-API-Key: " + canary + "\r\n", "{}"), 2).credential;
    CHECK(key.has_value());
    CHECK(key != one.credential);

    // What is not a member of the outermost object is content.
    const std::string nested = R"({"tools":{"model":"inner"},"x":1})";
    CHECK(ask(post_with("", nested), nested.size()).model.empty());
    const std::string first = R"({ "model" : "m-1", "tools": {"model": "inner"}})";
    CHECK(ask(post_with("", first), first.size()).model == "m-1");
    for (const char* bad : {"00-00000000000000000000000000000000-b7ad6b7169203331-01",
                            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x", "short"})
        CHECK(ask(post_with("traceparent: " + std::string{bad} + "\r\n", "{}"), 2).trace_id.empty());
    f.expect_nothing_left();
}

TEST_CASE("a body that is waited for is no time of ours") {
    retrying f;
    f.upstream.next(answering(ok_json, 4));
    f.connect();
    f.send("POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n{ ");
    f.pass(2s);
    f.send(" }");
    f.pass(10ms);
    CHECK(f.seen.last.effort.uploading == 2s);
    CHECK(f.seen.last.overhead == 0s);
    f.expect_nothing_left();
}

} // namespace evenkeel::test::tries_flow_test
