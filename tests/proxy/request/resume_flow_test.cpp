// Streams that break, on the whole path of a request in virtual time: held to their end (resume: buffer), or asked for
// again and compared (verified_replay), and those that are too slow (min_rate).

#include "tests/proxy/request/flow_fixture.hpp"

#include "proxy/wire/chunk_decoder.hpp"

#include <algorithm>
#include <string>
#include <vector>

namespace evenkeel::test::resume_flow_test {

using config::stream_resume;

namespace {

std::string said(const std::string& text, const std::string& id = "first") {
    return R"(data: {"id":")" + id + R"(","created":7,"model":"m","choices":[{"index":0,"delta":{"content":")" + text +
           "\"},\"finish_reason\":null}]}\n\n";
}
const std::string last = "0\r\n\r\n";
const std::string sentence = "The ship keeps an even keel.";

// The sentence in events of `size` characters, up to the character `until`.
std::string events(std::size_t size, std::size_t from = 0, std::size_t until = sentence.size(),
                   const std::string& text = sentence, const std::string& id = "first") {
    std::string out;
    for (std::size_t at = from; at < until; at += size) out += said(text.substr(at, std::min(size, until - at)), id);
    return out;
}

struct resuming : retrying {
    explicit resuming(stream_resume how) : retrying(true) {
        route->stream.resume = how;
        route->timeout.stream_idle = 20s;
    }
    void ask(const std::string& body = R"({"model":"m","stream":true,"temperature":0})") {
        connect();
        client.send("POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(body.size()) +
                    "\r\n\r\n" + body);
        loop.run_virtual(loop.now());
    }
    // The body the client got, without its framing; whether it was whole.
    std::string body() {
        std::string bytes = client.received();
        const std::size_t head = bytes.find("\r\n\r\n");
        if (head == std::string::npos) return {};
        bytes.erase(0, head + 4);
        wire::chunk_decoder decoder;
        std::string out;
        std::string_view rest = bytes;
        while (!rest.empty()) {
            const auto step = decoder.next(rest);
            if (step.is == wire::chunk_decoder::state::data) out += step.data;
            if (step.is == wire::chunk_decoder::state::done || step.consumed == 0) break;
            rest.remove_prefix(step.consumed);
        }
        whole = decoder.done();
        return out;
    }
    // The text of all events with one id.
    std::string text() {
        std::string out;
        const std::string all = body();
        for (std::size_t at = 0; (at = all.find("\"content\":\"", at)) != std::string::npos;) {
            at += 11;
            out += all.substr(at, all.find('"', at) - at);
        }
        return out;
    }
    bool whole = false;
};
} // namespace

TEST_CASE("resume: buffer holds a stream to its end: a cut, a silence and an error behind content are never seen") {
    struct row {
        const char* what;
        std::vector<play_step> steps;
        attempt_result result;
    };
    for (const row& one :
         {row{"reset", {play::send{stream_head + chunk(word)}, play::reset{}}, attempt_result::reset},
          row{"FIN", {play::send{stream_head + chunk(word)}, play::end{}}, attempt_result::reset},
          row{"a formally complete end without a marker",
              {play::send{stream_head + chunk(word) + last}},
              attempt_result::reset},
          row{"silence", {play::send{stream_head + chunk(word)}, play::silence{}}, attempt_result::timeout},
          row{"an error event",
              {play::send{stream_head + chunk(word) + chunk(error_event) + last}},
              attempt_result::stream_error},
          row{"in one piece with content",
              {play::send{stream_head + chunk(word + error_event) + last}},
              attempt_result::stream_error},
          row{"bad framing", {play::send{stream_head + chunk(word) + "zz\r\n"}}, attempt_result::protocol_error}}) {
        resuming f(stream_resume::buffer);
        f.upstream.next(streaming(one.steps));
        f.upstream.next(streaming({play::send{good_stream}}));
        f.ask();
        f.pass(25s);
        CAPTURE(one.what);
        CHECK(f.body() == hello + word + stop + done);
        CHECK(f.whole);
        CHECK(has(f.client.received(), "x-evenkeel-attempts: 2\r\n"));
        CHECK(has(f.client.received(), "x-evenkeel-outcome: failed_over\r\n"));
        REQUIRE(f.seen.attempts.size() == 2);
        CHECK(f.seen.attempts[0] == one.result);
        CHECK(f.seen.attempts[1] == attempt_result::success);
        f.expect_nothing_left();
    }
}

TEST_CASE("resume: buffer gives nothing before the end, and all of it then") {
    resuming f(stream_resume::buffer);
    f.route->stream.head_hold = 3s;
    f.route->stream.heartbeat = 2s;
    f.upstream.next(streaming(
        {play::send{stream_head + chunk(hello + word)}, play::pause{6s}, play::send{chunk(stop + done) + last}}));
    f.ask();
    f.pass(5900ms);
    CHECK(f.body() == ":\n"); // the head ahead and its heartbeat
    f.pass(200ms);
    CHECK(f.body() == ":\n" + hello + word + stop + done);
    CHECK(f.whole);
    f.expect_nothing_left();
}

TEST_CASE("resume: buffer: what said everything and only ends badly is whole; what never ends is not waited for") {
    for (const play_step& ending : {play_step{play::reset{}}, play_step{play::silence{}}}) {
        resuming f(stream_resume::buffer);
        f.upstream.next(streaming({play::send{stream_head + chunk(hello + word + stop + done)}, ending}));
        f.ask();
        f.pass(3s);
        CHECK(f.body() == hello + word + stop + done);
        CHECK(f.whole);
        CHECK(f.seen.attempts == std::vector{attempt_result::success});
        f.expect_nothing_left();
    }
}

TEST_CASE("resume: buffer: more than hold_buffer passes as it comes, and its breaking is told as ever") {
    resuming f(stream_resume::buffer);
    f.route->stream.hold_buffer = 1024;
    std::string much;
    for (int i = 0; i < 30; ++i) much += said("word");
    f.upstream.next(
        streaming({play::send{stream_head + chunk(much)}, play::pause{1s}, play::send{chunk(word)}, play::reset{}}));
    f.ask();
    f.pass(500ms);
    CHECK(f.body() == much);
    f.pass(1s);
    CHECK(has(f.body(), "stream_truncated"));
    CHECK(!f.whole);
    CHECK(f.seen.requests.at(0).outcome == request_outcome::truncated);
    f.expect_nothing_left();
}

TEST_CASE("resume: buffer: a hedge's race is decided by the first words, and latency is learned from them") {
    resuming f(stream_resume::buffer);
    f.route->hedge.on = true;
    f.route->hedge.delay = hedge_options::delay_kind::fixed;
    f.route->hedge.fixed = 2s;
    f.route->hedge.max_hedges = 1;
    f.upstream.next(streaming({play::send{stream_head}, play::pause{3s}, play::send{chunk(word)}, play::pause{10s},
                               play::send{chunk(stop + done) + last}}));
    f.upstream.next(streaming({play::send{stream_head}, play::pause{5s}, play::send{chunk(word)}, play::silence{}}));
    f.ask();
    f.pass(2500ms);
    CHECK(f.upstream.exchanges().size() == 2);
    f.pass(1s); // 3.5 s: the first one has begun to speak
    CHECK(f.upstream.exchanges()[1]->closed);
    CHECK(f.body().empty());
    f.pass(10s);
    CHECK(f.body() == word + stop + done);
    CHECK(f.whole);
    f.expect_nothing_left();
}

TEST_CASE("resume: buffer: the last attempt passes as it comes, since nothing could take its place") {
    resuming f(stream_resume::buffer);
    f.route->retry.max_retries = 1;
    f.upstream.next(streaming({play::send{stream_head + chunk(word)}, play::reset{}}));
    f.upstream.next(streaming({play::send{stream_head + chunk(word)}, play::reset{}}));
    f.ask();
    f.pass(1s);
    CHECK(f.body().starts_with(word + "event: error\n"));
    CHECK(!f.whole);
    f.expect_nothing_left();
}

TEST_CASE("resume: buffer: a client that leaves ends it at once") {
    resuming f(stream_resume::buffer);
    f.upstream.next(streaming({play::send{stream_head + chunk(word)}, play::silence{}}));
    f.ask();
    f.pass(1s);
    f.client.leave();
    f.pass(100ms);
    CHECK(f.upstream.open_now() == 0);
    f.expect_nothing_left();
}

TEST_CASE("verified_replay: a stream cut behind every character goes on where it broke, under its own id") {
    for (std::size_t cut = 1; cut < sentence.size(); ++cut) {
        for (const std::size_t size : {std::size_t{1}, std::size_t{5}, sentence.size()}) {
            resuming f(stream_resume::verified_replay);
            f.upstream.next(streaming({play::send{stream_head + chunk(hello + events(3, 0, cut))}, play::reset{}}));
            f.upstream.next(streaming(
                {play::pause{2s},
                 play::send{stream_head +
                            chunk(hello + events(size, 0, sentence.size(), sentence, "second") + stop + done) +
                            last}}));
            f.ask();
            CHECK(has(f.client.received(), "x-evenkeel-attempts: 1\r\n"));
            f.pass(3s);
            CAPTURE(cut);
            CAPTURE(size);
            CHECK(f.text() == sentence);
            CHECK(f.whole);
            CHECK(!has(f.body(), "second"));
            CHECK(f.body().ends_with(stop + done));
            CHECK(!has(f.body(), "error"));
            CHECK(f.seen.attempts == std::vector{attempt_result::truncated, attempt_result::success});
            CHECK(f.seen.requests.at(0).outcome == request_outcome::ok);
            CHECK(f.seen.requests.at(0).attempts == 2);
            f.expect_nothing_left();
        }
    }
}

TEST_CASE("verified_replay: a provider that deviates at any character ends in the error frame, with nothing after the "
          "break") {
    const std::size_t cut = 20;
    for (std::size_t k = 0; k < cut; ++k) {
        resuming f(stream_resume::verified_replay);
        std::string other = sentence;
        other[k] = other[k] == '#' ? '+' : '#';
        f.upstream.next(streaming({play::send{stream_head + chunk(hello + events(3, 0, cut))}, play::reset{}}));
        f.upstream.next(streaming(
            {play::send{stream_head + chunk(hello + events(4, 0, other.size(), other) + stop + done) + last}}));
        f.ask();
        f.pass(1s);
        CAPTURE(k);
        CHECK(f.body().starts_with(hello + events(3, 0, cut) + "event: error\ndata: "));
        CHECK(has(f.body(), "did not say the same"));
        CHECK(!has(f.body(), "[DONE]"));
        CHECK(!f.whole);
        CHECK(f.client.closed_by_proxy());
        CHECK(f.seen.requests.at(0).outcome == request_outcome::truncated);
        f.expect_nothing_left();
    }
}

TEST_CASE("verified_replay: silence, an error event, and a second break are mended too; no more than three times") {
    SUBCASE("silence") {
        resuming f(stream_resume::verified_replay);
        f.upstream.next(streaming({play::send{stream_head + chunk(events(3, 0, 12))}, play::silence{}}));
        f.upstream.next(streaming({play::send{stream_head + chunk(events(3) + stop + done) + last}}));
        f.ask();
        f.pass(19s);
        CHECK(f.text() == sentence.substr(0, 12));
        f.pass(3s);
        CHECK(f.text() == sentence);
        CHECK(f.whole);
        f.expect_nothing_left();
    }
    SUBCASE("an error event, which is not passed on") {
        resuming f(stream_resume::verified_replay);
        f.upstream.next(streaming({play::send{stream_head + chunk(events(3, 0, 12) + error_event) + last}}));
        f.upstream.next(streaming({play::send{stream_head + chunk(events(3) + stop + done) + last}}));
        f.ask();
        f.pass(3s);
        CHECK(f.text() == sentence);
        CHECK(!has(f.body(), "busy"));
        CHECK(f.whole);
        CHECK(f.seen.attempts.at(0) == attempt_result::stream_error);
        f.expect_nothing_left();
    }
    SUBCASE("half an event at the break") {
        resuming f(stream_resume::verified_replay);
        f.upstream.next(
            streaming({play::send{stream_head + chunk(events(3, 0, 12) + said("xyz").substr(0, 70))}, play::reset{}}));
        f.upstream.next(streaming({play::send{stream_head + chunk(events(3) + stop + done) + last}}));
        f.ask();
        f.pass(3s);
        CHECK(f.text() == sentence);
        CHECK(f.whole);
        f.expect_nothing_left();
    }
    SUBCASE("once more, before and behind where the first one broke") {
        resuming f(stream_resume::verified_replay);
        f.route->retry.max_retries = 5;
        f.upstream.next(streaming({play::send{stream_head + chunk(events(3, 0, 12))}, play::reset{}}));
        f.upstream.next(streaming({play::send{stream_head + chunk(events(5, 0, 5))}, play::reset{}}));
        f.upstream.next(
            streaming({play::send{stream_head + chunk(events(4, 0, 16, sentence, "other"))}, play::reset{}}));
        f.upstream.next(streaming({play::send{
            stream_head + chunk(events(7, 0, sentence.size(), sentence, "another") + stop + done) + last}}));
        f.ask();
        f.pass(30s);
        CHECK(f.text() == sentence);
        CHECK(f.whole);
        CHECK(f.seen.requests.at(0).attempts == 4);
        f.expect_nothing_left();
    }
    SUBCASE("the endpoint that began is asked once more, then another; one that fell silent is not") {
        for (const bool silent : {false, true}) {
            resuming f(stream_resume::verified_replay);
            const play_step end = silent ? play_step{play::silence{}} : play_step{play::reset{}};
            f.upstream.choose([&](const config::upstream& to, std::size_t) {
                if (to.name == "backup")
                    return streaming({play::send{stream_head + chunk(events(3) + stop + done) + last}});
                return streaming({play::send{stream_head + chunk(events(3, 0, 12))}, end});
            });
            f.ask();
            f.pass(60s);
            CHECK(f.text() == sentence);
            CHECK(f.whole);
            CHECK(f.upstream.opened_to("provider") == (silent ? 1 : 2));
            CHECK(f.upstream.opened_to("backup") == 1);
            f.expect_nothing_left();
        }
    }
    SUBCASE("four times is too often") {
        resuming f(stream_resume::verified_replay);
        f.route->retry.max_retries = 8;
        f.upstream.always(streaming({play::send{stream_head + chunk(events(3, 0, 12))}, play::reset{}}));
        f.ask();
        f.pass(60s);
        CHECK(f.text() == sentence.substr(0, 12));
        CHECK(has(f.body(), "stream_truncated"));
        CHECK(!f.whole);
        CHECK(f.seen.requests.at(0).attempts == 4);
        f.expect_nothing_left();
    }
}

TEST_CASE("verified_replay: where nothing can be asked for again the stream ends as it would have") {
    struct row {
        const char *what, *body;
        int retries;
        bool comparable;
        std::size_t attempts;
    };
    for (const row& one : {row{"not deterministic", R"({"model":"m","stream":true,"temperature":0.7})", 3, true, 1},
                           row{"no retries", R"({"model":"m","stream":true,"seed":3})", 0, true, 1},
                           row{"retries used up", R"({"model":"m","stream":true,"seed":3})", 1, true, 2},
                           row{"unknown fields", R"({"model":"m","stream":true,"seed":3})", 3, false, 1}}) {
        resuming f(stream_resume::verified_replay);
        f.route->retry.max_retries = one.retries;
        const std::string strange = R"(data: {"choices":[{"index":0,"delta":{"content":"a","mood":"good"}}]})"
                                    "\n\n";
        f.upstream.always(streaming(
            {play::send{stream_head + chunk(events(3, 0, 12) + (one.comparable ? "" : strange))}, play::reset{}}));
        f.ask(one.body);
        f.pass(60s);
        CAPTURE(one.what);
        CHECK(f.body().starts_with(events(3, 0, 12)));
        CHECK(has(f.body(), "event: error\ndata: "));
        CHECK(has(f.body(), "stream_truncated"));
        CHECK(!f.whole);
        CHECK(f.upstream.exchanges().size() == one.attempts);
        f.expect_nothing_left();
    }
    SUBCASE("the upstream's own words, where it told of an error and cannot be asked again") {
        resuming f(stream_resume::verified_replay);
        f.route->retry.max_retries = 1;
        f.upstream.next(streaming({play::send{stream_head + chunk(events(3, 0, 12) + error_event) + last}}));
        f.upstream.next(answering(status_answer(400), 0));
        f.ask();
        f.pass(5s);
        CHECK(f.body() == events(3, 0, 12) + error_event);
        CHECK(!f.whole);
        f.expect_nothing_left();
    }
}

TEST_CASE("verified_replay: comments keep the client patient while what it has is said again") {
    resuming f(stream_resume::verified_replay);
    f.route->stream.heartbeat = 2s;
    f.upstream.next(streaming({play::send{stream_head + chunk(events(1, 0, 12))}, play::reset{}}));
    std::vector<play_step> steps{play::send{stream_head}};
    for (std::size_t at = 0; at < sentence.size(); ++at) {
        steps.emplace_back(play::pause{1s});
        steps.emplace_back(play::send{chunk(events(1, at, at + 1))});
    }
    steps.emplace_back(play::send{chunk(stop + done) + last});
    f.upstream.next(streaming(steps));
    f.ask();
    f.pass(11s);
    CHECK(f.body() == events(1, 0, 12) + ":\n\n:\n\n:\n\n:\n\n:\n\n");
    f.pass(60s);
    CHECK(f.text() == sentence);
    CHECK(f.whole);
    f.expect_nothing_left();
}

TEST_CASE("verified_replay: a client that leaves while another attempt is sought, or says what it has, leaves nothing "
          "behind") {
    for (const duration when : {1s, 4s}) {
        resuming f(stream_resume::verified_replay);
        f.upstream.next(streaming({play::send{stream_head + chunk(events(3, 0, 12))}, play::reset{}}));
        f.upstream.next(
            streaming({play::pause{3s}, play::send{stream_head + chunk(events(3, 0, 6))}, play::silence{}}));
        f.ask();
        f.pass(when);
        CHECK(f.upstream.open_now() == 1);
        f.client.leave();
        f.pass(100ms);
        CHECK(f.upstream.open_now() == 0);
        CHECK(f.seen.requests.size() == 1);
        f.expect_nothing_left();
    }
}

TEST_CASE("verified_replay leaves whole streams as they are, byte for byte") {
    resuming f(stream_resume::verified_replay);
    const std::string odd = ": note\n\ndata: {\"choices\": [{\"delta\" : {\"content\":\"a\"}}]}\r\n\r\nid: "
                            "4\ndata:{\"choices\":[{\"delta\":{\"content\":\"b\",\"x\":1.50e3}}]}\n\n";
    f.upstream.next(streaming({play::send{stream_head + chunk(odd.substr(0, 31)) + chunk(odd.substr(31)) + chunk(stop) +
                                          chunk(done) + last}}));
    f.ask();
    f.pass(1s);
    CHECK(f.body() == odd + stop + done);
    CHECK(f.whole);
    f.expect_nothing_left();
}

TEST_CASE("min_rate: a stream that drips is as good as silent while another attempt can take its place") {
    const auto drip = [](duration gap, int count) {
        std::vector<play_step> steps{play::send{stream_head}};
        for (int i = 0; i < count; ++i) {
            steps.emplace_back(play::send{chunk(said("a"))});
            steps.emplace_back(play::pause{gap});
        }
        steps.emplace_back(play::send{chunk(stop + done) + last});
        return steps;
    };
    SUBCASE("held") {
        resuming f(stream_resume::buffer);
        f.route->stream.min_rate = 2; // per second, so 10 in 5 s
        f.upstream.next(streaming(drip(900ms, 40)));
        f.upstream.next(streaming({play::send{good_stream}}));
        f.ask();
        f.pass(4900ms);
        CHECK(f.upstream.exchanges().size() == 1);
        f.pass(1200ms);
        CHECK(f.body() == hello + word + stop + done);
        CHECK(f.seen.attempts.at(0) == attempt_result::timeout);
        f.expect_nothing_left();
    }
    SUBCASE("fast enough") {
        resuming f(stream_resume::buffer);
        f.route->stream.min_rate = 2;
        f.upstream.next(streaming(drip(400ms, 40)));
        f.ask();
        f.pass(17s);
        CHECK(f.whole == false);
        CHECK(f.body().ends_with(stop + done));
        CHECK(f.upstream.exchanges().size() == 1);
        f.expect_nothing_left();
    }
    SUBCASE("passed on: nothing can take its place") {
        resuming f(stream_resume::off);
        f.route->stream.min_rate = 2;
        f.upstream.next(streaming(drip(900ms, 40)));
        f.ask();
        f.pass(40s);
        CHECK(f.body().ends_with(stop + done));
        CHECK(f.upstream.exchanges().size() == 1);
        f.expect_nothing_left();
    }
    SUBCASE("replayed") {
        resuming f(stream_resume::verified_replay);
        f.route->stream.min_rate = 2;
        f.upstream.next(streaming(drip(900ms, 40)));
        f.upstream.next(
            streaming({play::send{stream_head + chunk(events(28, 0, 28, std::string(40, 'a')) + stop + done) + last}}));
        f.ask();
        f.pass(7s);
        CHECK(f.text() == std::string(28, 'a'));
        CHECK(f.whole);
        f.expect_nothing_left();
    }
}

} // namespace evenkeel::test::resume_flow_test
