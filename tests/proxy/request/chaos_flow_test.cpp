// Each fault on the whole path of a request, in virtual time: what the policies take it for, and what the client gets.

#include "proxy/net/chaos_transport.hpp"
#include "proxy/wire/chunk_decoder.hpp"
#include "tests/proxy/request/flow_fixture.hpp"

#include <algorithm>

namespace evenkeel::test::chaos_flow_test {

namespace {

chaos_fault_options fault(chaos_fault is) {
    chaos_fault_options made;
    made.is = is;
    return made;
}
chaos_fault_options after(chaos_fault is, std::int64_t events) {
    chaos_fault_options made = fault(is);
    made.after_events = events;
    return made;
}

struct rehearsal : fixture {
    chaos rules;

    explicit rehearsal(const chaos_fault_options& what, int attempts = 0, duration lasts = 1h) {
        chaos_rule rule;
        rule.route = "all";
        rule.fault = what;
        rule.probability = 1;
        rule.lasts = lasts;
        rule.attempts = attempts;
        rules.load({.enabled = true, .seed = 0, .rules = {rule}}, loop.now());
        services.chaos = &rules;
        route->timeout.attempt = 5s;
        route->timeout.stream_idle = 10s;
    }
    void ask(bool stream, duration length = 10min) {
        connect();
        send(stream ? post_stream("x-request-id: r-1\r\n") : post);
        pass(length);
    }
    [[nodiscard]] const std::string& got() const { return client.received(); }
};

const std::string whole_stream =
    stream_head + chunk(hello) + chunk(word) + chunk(word) + chunk(stop) + chunk(done) + "0\r\n\r\n";

// The body of the first answer.
std::string out_of_chunks(std::string_view bytes) {
    std::string body;
    bytes.remove_prefix(bytes.find("\r\n\r\n") + 4);
    wire::chunk_decoder decoder;
    for (auto step = decoder.next(bytes); step.is == wire::chunk_decoder::state::data; step = decoder.next(bytes)) {
        body += step.data;
        bytes.remove_prefix(step.consumed);
    }
    return body;
}

} // namespace

TEST_CASE("each fault is judged as the outcome that it rehearses, and no broken answer is passed on as whole") {
    struct row {
        const char* name;
        chaos_fault_options what;
        bool stream;
        attempt_result result;
        int status;
        bool asked;                                             // the upstream
        request_outcome outcome = request_outcome::proxy_error; // where nothing helps
    };
    using enum request_outcome;
    chaos_fault_options limited = fault(chaos_fault::abort);
    limited.status = 429;
    limited.retry_after = 5s;
    chaos_fault_options overloaded = fault(chaos_fault::abort);
    overloaded.status = 529;
    chaos_fault_options broken = fault(chaos_fault::abort);
    broken.status = 500;
    chaos_fault_options wrong = fault(chaos_fault::abort);
    wrong.status = 400;
    wrong.code = "context_length_exceeded";
    chaos_fault_options cut = fault(chaos_fault::reset);
    cut.after_bytes = 3;
    for (const row& each : {
             row{"rate limit", limited, true, attempt_result::rate_limited, 429, false, upstream_error},
             row{"overload", overloaded, false, attempt_result::overloaded, 529, false, upstream_error},
             row{"server error", broken, true, attempt_result::server_error, 500, false, upstream_error},
             row{"caller error", wrong, false, attempt_result::caller_error, 400, false, upstream_error},
             row{"no connection", fault(chaos_fault::connect_fail), false, attempt_result::connect_failure, 502, false},
             row{"reset before the head", fault(chaos_fault::reset), true, attempt_result::reset, 502, false},
             row{"status line", fault(chaos_fault::malformed), false, attempt_result::protocol_error, 502, false},
             row{"reset inside a body", cut, false, attempt_result::reset, 200, true, truncated},
             row{"reset behind the head of a stream", after(chaos_fault::reset, 0), true, attempt_result::reset, 200,
                 true, truncated},
             row{"body short of its length", fault(chaos_fault::truncate), false, attempt_result::reset, 200, true,
                 truncated},
             row{"body that is no JSON", after(chaos_fault::malformed, 0), false, attempt_result::protocol_error, 200,
                 true, truncated},
             row{"error inside a 200", fault(chaos_fault::stream_error), false, attempt_result::stream_error, 200, true,
                 ok},
             row{"error event before content", fault(chaos_fault::stream_error), true, attempt_result::stream_error,
                 200, true, upstream_error},
         }) {
        CAPTURE(each.name);
        // With a second attempt that is left in peace the client gets the good answer, whatever the first met...
        rehearsal helped(each.what, 1);
        helped.route->retry.max_retries = 1;
        helped.upstream.always(each.stream ? answering(whole_stream, stream_body) : answering(ok_json));
        helped.ask(each.stream);
        CHECK(helped.seen.attempts.front() == each.result);
        const bool retried = each.result != attempt_result::caller_error && each.result != attempt_result::quota;
        if (retried) {
            CHECK(helped.seen.attempts.size() == 2);
            CHECK(has(helped.got(), each.stream ? "data: [DONE]" : "{\"a\":1}"));
            CHECK(helped.seen.requests.at(0).outcome == request_outcome::ok);
        }
        CHECK(helped.upstream.exchanges().size() == (each.asked ? 1U : 0U) + (retried ? 1U : 0U));
        helped.expect_nothing_left();

        // ... and where nothing helps, an error or a cut. (The last attempt holds nothing back, so what the upstream
        // itself said, an error inside a 200 too, is passed on verbatim.)
        rehearsal alone(each.what);
        alone.route->retry.max_retries = 1;
        alone.upstream.always(each.stream ? answering(whole_stream, stream_body) : answering(ok_json));
        alone.ask(each.stream);
        CHECK(alone.seen.requests.at(0).status == each.status);
        CHECK(alone.seen.requests.at(0).outcome == each.outcome);
        CHECK((each.result != attempt_result::stream_error || has(alone.got(), "injected by evenkeel")));
        CHECK_FALSE(has(alone.got(), "[DONE]"));
        CHECK_FALSE(has(alone.got(), "{\"a\":1}"));
        alone.expect_nothing_left();
    }
}

TEST_CASE("silence before the head ends with the attempt's timeout, and a second attempt answers") {
    rehearsal one(fault(chaos_fault::stall), 1);
    one.route->retry.max_retries = 1;
    one.upstream.always(answering(whole_stream, stream_body));
    one.ask(true);
    REQUIRE(one.seen.attempts.size() == 2);
    CHECK(one.seen.attempts[0] == attempt_result::timeout);
    CHECK(one.seen.extra.at(0) >= start + 5s);
    CHECK(one.upstream.exchanges().size() == 1);
    CHECK(has(one.got(), "[DONE]"));
    one.expect_nothing_left();
}

TEST_CASE("a stream that breaks after content ends in the error frame and the cut, whatever breaks it") {
    struct row {
        const char* name;
        chaos_fault_options what;
        attempt_result result;
    };
    for (const row& each : {row{"reset", after(chaos_fault::reset, 3), attempt_result::truncated},
                            row{"stall", after(chaos_fault::stall, 3), attempt_result::timeout},
                            row{"no terminal marker", after(chaos_fault::truncate, 3), attempt_result::truncated}}) {
        CAPTURE(each.name);
        rehearsal one(each.what);
        one.route->retry.max_retries = 3;
        one.upstream.always(answering(whole_stream, stream_body));
        one.ask(true);
        CHECK(one.seen.attempts == std::vector<attempt_result>{each.result});
        CHECK(has(one.got(), "\"content\":\"hi\""));
        CHECK(has(one.got(), "event: error"));
        CHECK_FALSE(has(one.got(), "[DONE]"));
        CHECK_FALSE(one.got().ends_with("0\r\n\r\n"));
        CHECK(one.seen.requests.at(0).outcome == request_outcome::truncated);
        one.expect_nothing_left();
    }
}

TEST_CASE("an error event after content is passed on, and the answer not called whole") {
    rehearsal one(after(chaos_fault::stream_error, 3));
    one.route->retry.max_retries = 3;
    one.upstream.always(answering(whole_stream, stream_body));
    one.ask(true);
    CHECK(one.seen.attempts == std::vector<attempt_result>{attempt_result::stream_error});
    CHECK(has(one.got(), "injected by evenkeel"));
    CHECK_FALSE(has(one.got(), "[DONE]"));
    one.expect_nothing_left();
}

TEST_CASE("without [DONE] but with a finish reason a stream is whole; a broken event in it is the client's to read") {
    for (const auto& what : {fault(chaos_fault::truncate), after(chaos_fault::malformed, 3)}) {
        rehearsal one(what);
        one.upstream.always(answering(whole_stream, stream_body));
        one.ask(true);
        CHECK(one.seen.attempts == std::vector<attempt_result>{attempt_result::success});
        CHECK(has(one.got(), "finish_reason\":\"stop"));
        CHECK(one.got().ends_with("0\r\n\r\n"));
        one.expect_nothing_left();
    }
}

TEST_CASE("latency moves the answer to the moment ordered, and a timeout below it is hit") {
    chaos_fault_options late = fault(chaos_fault::latency);
    late.delay = 3s;
    rehearsal one(late);
    one.upstream.always(answering(ok_json));
    one.ask(false, 2999ms);
    CHECK(one.got().empty());
    one.pass(2ms);
    CHECK(has(one.got(), "{\"a\":1}"));
    CHECK(one.seen.attempts == std::vector<attempt_result>{attempt_result::success});
    one.expect_nothing_left();

    late.delay = 6s;
    rehearsal two(late, 1);
    two.route->retry.max_retries = 1;
    two.upstream.always(answering(whole_stream, stream_body));
    two.ask(true);
    CHECK(two.seen.attempts == std::vector<attempt_result>{attempt_result::timeout, attempt_result::success});
    two.expect_nothing_left();
}

TEST_CASE("a dripping body comes at its rate, a split one in the same moment, and neither loses a byte") {
    chaos_fault_options slow = fault(chaos_fault::drip);
    slow.bytes_per_second = 100;
    rehearsal one(slow);
    const std::string events = hello + word + stop + done;
    const std::string answer =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: " + std::to_string(events.size()) +
        "\r\n\r\n" + events;
    one.upstream.always(answering(answer, stream_body));
    const auto takes = std::chrono::milliseconds{10 * events.size()};
    one.ask(true, takes / 2);
    CHECK_FALSE(has(one.got(), "[DONE]"));
    CHECK(has(one.got(), "\"content\""));
    one.pass(takes / 2 + 100ms);
    CHECK(has(one.got(), "[DONE]"));
    CHECK(one.seen.attempts == std::vector<attempt_result>{attempt_result::success});
    one.expect_nothing_left();

    rehearsal two(fault(chaos_fault::split));
    const std::string umlauts =
        "data: {\"choices\":[{\"delta\":{\"content\":\"\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80\"}}]}\n\n";
    two.upstream.always(
        answering(stream_head + chunk(hello) + chunk(umlauts) + chunk(stop) + chunk(done) + "0\r\n\r\n", stream_body));
    two.ask(true, 10ms);
    CHECK(two.seen.attempts == std::vector<attempt_result>{attempt_result::success});
    CHECK(out_of_chunks(two.got()) == hello + umlauts + stop + done);
    two.expect_nothing_left();
}

TEST_CASE("a compressed stream is passed on as it is") {
    rehearsal one(fault(chaos_fault::gzip));
    one.upstream.always(answering(whole_stream, stream_body));
    one.ask(true);
    CHECK(one.seen.attempts == std::vector<attempt_result>{attempt_result::success});
    CHECK(has(one.got(), "gzip"));
    CHECK(has(one.got(), "\x1F\x8B"));
    CHECK(one.got().ends_with("0\r\n\r\n"));
    one.expect_nothing_left();
}

TEST_CASE(
    "a rule that expires while an exchange is under way lets it finish as it began, and touches no later attempt") {
    chaos_fault_options slow = fault(chaos_fault::drip);
    slow.bytes_per_second = 100;
    rehearsal one(slow, 0, 1s);
    one.upstream.always(answering(ok_json));
    one.upstream.next(answering(whole_stream, stream_body));
    one.ask(true, 1500ms);
    CHECK_FALSE(has(out_of_chunks(one.got()), "[DONE]")); // still dripping
    CHECK_FALSE(one.rules.expire(one.loop.now()));
    one.pass(1min);
    CHECK(out_of_chunks(one.got()) == hello + word + word + stop + done);

    one.send(post);
    one.pass(1ms); // at full speed
    CHECK(has(one.got(), "{\"a\":1}"));
    CHECK(one.seen.attempts == std::vector<attempt_result>(2, attempt_result::success));
    one.expect_nothing_left();
}

TEST_CASE("a client that leaves in the middle of any fault leaves nothing behind") {
    for (int i = 0; i < chaos_fault_count; ++i) {
        for (const duration when : {0ms, 30ms, 700ms}) {
            const auto is = static_cast<chaos_fault>(i);
            CAPTURE(to_string(is));
            rehearsal one(fault(is));
            one.route->retry.max_retries = 2;
            one.upstream.always(answering(whole_stream, stream_body));
            one.connect();
            one.send(post_stream());
            one.pass(when);
            one.expect_nothing_left();
            CHECK(one.rules.report(one.loop.now()).rules.at(0).active == 0);
        }
    }
}

TEST_CASE(
    "a reused connection that chaos resets is no stale one for ever: its fresh replacement meets the same fault") {
    rehearsal one(after(chaos_fault::reset, 0), 1);
    one.route->retry.max_retries = 1;
    exchange_script reused = answering(whole_stream, stream_body);
    reused.reused = true;
    one.upstream.next(std::move(reused));
    one.upstream.always(answering(whole_stream, stream_body));
    one.ask(true);
    CHECK(has(one.got(), "[DONE]"));
    CHECK(one.seen.requests.at(0).outcome == request_outcome::ok);
    one.expect_nothing_left();
}

TEST_CASE("a large body that is still being uploaded does not matter to a fault that spares the upstream") {
    rehearsal one(fault(chaos_fault::abort), 1);
    const std::string body(200'000, 'x');
    one.connect();
    one.send("POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 200000\r\n\r\n" +
             body.substr(0, 100'000));
    one.pass(1s);
    one.send(body.substr(100'000));
    one.pass(1s);
    CHECK(has(one.got(), "HTTP/1.1 503"));
    CHECK(one.upstream.exchanges().empty());
    one.expect_nothing_left();
}

} // namespace evenkeel::test::chaos_flow_test
