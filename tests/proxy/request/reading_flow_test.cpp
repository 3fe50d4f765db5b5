// What is read of an answer before it is passed on, on the whole path of a request in virtual time: compressed answers,
// labels that do not say what the bytes are, answers that say nothing, errors in odd places.

#include "tests/proxy/request/flow_fixture.hpp"

#include <zlib.h>

#include <array>

namespace evenkeel::test::reading_flow_test {

namespace {
const std::string gzip_fields = "Accept-Encoding: gzip, br\r\n";

// One piece of a gzip stream for each flush, as a server sends it that compresses what it streams.
class compressor {
public:
    compressor() { REQUIRE(deflateInit2(&stream_, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY) == Z_OK); }
    ~compressor() { deflateEnd(&stream_); }
    compressor(const compressor&) = delete;
    compressor& operator=(const compressor&) = delete;

    std::string flush(std::string text) { return run(std::move(text), Z_SYNC_FLUSH); }
    std::string finish(std::string text = "") { return run(std::move(text), Z_FINISH); }

private:
    std::string run(std::string text, int how) {
        std::string out;
        std::array<char, 4096> room{};
        stream_.next_in = reinterpret_cast<Bytef*>(text.data());
        stream_.avail_in = static_cast<uInt>(text.size());
        do {
            stream_.next_out = reinterpret_cast<Bytef*>(room.data());
            stream_.avail_out = static_cast<uInt>(room.size());
            deflate(&stream_, how);
            out.append(room.data(), room.size() - stream_.avail_out);
        } while (stream_.avail_out == 0);
        return out;
    }
    z_stream stream_{};
};
std::string gzip(const std::string& text) {
    compressor one;
    return one.finish(text);
}

std::string head_of(const std::string& type, const std::string& fields = "") {
    return "HTTP/1.1 200 OK\r\nContent-Type: " + type + "\r\n" + fields + "Transfer-Encoding: chunked\r\n\r\n";
}
const std::string encoded_head = head_of("text/event-stream", "Content-Encoding: gzip\r\n");
const std::string end_of_chunks = "0\r\n\r\n";

std::string json_of(const std::string& body, const std::string& fields = "") {
    return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + fields +
           "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}
std::string post_with(const std::string& body, const std::string& fields = "") {
    return "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\n" + fields +
           "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}
const std::string nothing_said =
    R"({"choices":[{"finish_reason":"stop","message":{"role":"assistant","content":""}}]})";
const std::string something_said = R"({"choices":[{"finish_reason":"stop","message":{"content":"hi"}}]})";
} // namespace

TEST_CASE("B1: what is judged is asked for uncompressed, and what only passes by as its client wants it") {
    struct row {
        int retries;
        bool stream;
        const char* asked;
    };
    for (const row& one :
         {row{3, false, "accept-encoding: identity\r\n"}, row{3, true, "accept-encoding: identity\r\n"},
          row{0, true, "accept-encoding: identity\r\n"}, row{0, false, "Accept-Encoding: gzip, br\r\n"}}) {
        retrying f;
        f.route->retry.max_retries = one.retries;
        f.upstream.next(one.stream ? streaming({play::send{good_stream}}) : answering(ok_json));
        f.connect();
        f.send(one.stream ? post_stream(gzip_fields) : post_with("{}", gzip_fields));
        const std::string& sent = f.upstream.exchanges().at(0)->written;
        CAPTURE(sent);
        CHECK(has(sent, one.asked));
        CHECK(sent.find("ccept-") == sent.rfind("ccept-"));
        CHECK(has(f.client.received(), "200 OK"));
        f.expect_nothing_left();
    }
    retrying own; // the configuration's word stands
    own.route->headers.set = {{"accept-encoding", "br"}};
    own.upstream.next(answering(ok_json));
    own.connect();
    own.send(post_with("{}", gzip_fields));
    CHECK(has(own.upstream.exchanges().at(0)->written, "accept-encoding: br\r\n"));
    CHECK(!has(own.upstream.exchanges().at(0)->written, "identity"));
    own.expect_nothing_left();
}

TEST_CASE("B1: a compressed stream behind a head that was given ahead comes as its text, none of it lost") {
    retrying f;
    f.route->stream.head_hold = 10s;
    f.route->stream.heartbeat = 100s;
    compressor one;
    const std::string first = one.flush(hello + word), second = one.finish(stop + done);
    f.upstream.next(streaming({play::pause{28s}, play::send{encoded_head + chunk(first)}, play::pause{1s},
                               play::send{chunk(second) + end_of_chunks}}));
    f.connect();
    f.send(post_stream(gzip_fields));
    f.pass(28s + 1ms);
    CHECK(!has(f.client.received(), "content-encoding"));
    CHECK(has(f.client.received(), hello + word));
    f.pass(2s);
    CHECK(has(f.client.received(), stop + done));
    CHECK(f.client.received().ends_with("\r\n0\r\n\r\n"));
    CHECK(!has(f.client.received(), "event: error"));
    CHECK(f.upstream.exchanges().size() == 1);
    CHECK(f.seen.requests.at(0).outcome == request_outcome::ok);
    f.expect_nothing_left();
}

TEST_CASE("B1: an answer in one piece behind a head that was given ahead becomes a stream that says the same") {
    retrying f;
    f.route->stream.head_hold = 10s;
    f.route->stream.heartbeat = 100s;
    f.upstream.next(streaming({play::pause{12s}, play::send{json_of(something_said)}}));
    f.connect();
    f.send(post_stream());
    f.pass(13s);
    CHECK(has(f.client.received(), R"("delta":{"content":"hi"})"));
    CHECK(has(f.client.received(), "data: [DONE]\n\n"));
    CHECK(f.client.received().ends_with("0\r\n\r\n"));
    CHECK(f.seen.requests.at(0).outcome == request_outcome::ok);
    f.expect_nothing_left();
}

TEST_CASE("B1: ... however large it is: a good answer is not thrown away because a head went ahead") {
    retrying f;
    f.route->stream.head_hold = 10s;
    f.route->stream.heartbeat = 100s;
    f.route->stream.hold_buffer = 4096;
    const std::string words(100'000, 'w');
    f.upstream.next(streaming(
        {play::pause{12s},
         play::send{json_of(R"({"choices":[{"finish_reason":"stop","message":{"content":")" + words + R"("}}]})")}}));
    f.connect();
    f.send(post_stream());
    f.pass(13s);
    CHECK(has(f.client.received(), words));
    CHECK(has(f.client.received(), "data: [DONE]\n\n"));
    CHECK(f.seen.requests.at(0).outcome == request_outcome::ok);
    f.expect_nothing_left();
}

TEST_CASE("the head of a client that says how long it waits is not kept back by the request before it") {
    fixture f;
    f.route->stream.heartbeat = 100s;
    f.upstream.next(streaming({play::pause{1500ms}, play::send{good_stream}}));
    f.upstream.next(streaming({play::pause{5s}, play::send{good_stream}}));
    f.connect();
    f.send(post_stream());
    f.pass(2s);
    f.client.forget_received();
    f.send(post_stream("x-stainless-timeout: 7\r\n"));
    f.pass(3400ms);
    CHECK(f.client.received().empty());
    f.pass(200ms);
    CHECK(has(f.client.received(), "content-type: text/event-stream\r\n"));
    f.pass(2s);
    CHECK(has(f.client.received(), done));
    f.expect_nothing_left();
}

TEST_CASE("JSON that ends with its connection is whole when its brackets are closed, whatever it is called") {
    for (const char* type : {"", "Content-Type: text/plain\r\n", "Content-Type: application/vnd.x+json\r\n"}) {
        CAPTURE(type);
        retrying f;
        const std::string head = "HTTP/1.1 200 OK\r\n" + std::string{type} + "Connection: close\r\n\r\n";
        f.upstream.next({.steps = {play::request{2},
                                   play::send{head + R"({"choices":[{"message":{"content":"hello wor)"}, play::end{}}});
        f.upstream.next({.steps = {play::request{2}, play::send{head + something_said}, play::end{}}});
        f.connect();
        f.send(post_with("{}"));
        f.pass(3s);
        CHECK(has(f.client.received(), something_said));
        CHECK_FALSE(has(f.client.received(), "wor"));
        CHECK(f.seen.requests.at(0).attempts == 2);
        f.expect_nothing_left();
    }
    retrying text; // nor is text cut because it begins like a list
    text.upstream.next(
        {.steps = {play::request{2}, play::send{"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n[music] la la"},
                   play::end{}}});
    text.connect();
    text.send(post_with("{}"));
    text.pass(3s);
    CHECK(has(text.client.received(), "[music] la la"));
    CHECK(text.seen.requests.at(0).attempts == 1);
    text.expect_nothing_left();
}

TEST_CASE(
    "B2 and B4: an error that came compressed is an error, and the good answer keeps its bytes and its encoding") {
    for (const bool stream : {true, false}) {
        CAPTURE(stream);
        retrying f;
        const std::string good = gzip(stream ? hello + word + stop + done : something_said);
        if (stream) {
            f.upstream.next(streaming({play::send{encoded_head + chunk(gzip(error_event)) + end_of_chunks}}));
            f.upstream.next(streaming({play::send{encoded_head + chunk(good) + end_of_chunks}}));
        } else {
            f.upstream.next(answering(
                json_of(gzip(R"({"error":{"type":"overloaded_error","message":"m"}})"), "Content-Encoding: gzip\r\n")));
            f.upstream.next(answering(json_of(good, "Content-Encoding: gzip\r\n")));
        }
        f.connect();
        f.send(stream ? post_stream(gzip_fields) : post);
        f.pass(5s);
        CHECK(f.seen.attempts == std::vector{attempt_result::stream_error, attempt_result::success});
        CHECK(has(f.client.received(), "Content-Encoding: gzip\r\n"));
        CHECK(has(f.client.received(), good));
        f.expect_nothing_left();
    }
    retrying whole; // an error status, compressed: its words count
    whole.upstream.next(answering(status_answer(429, "Content-Encoding: gzip\r\n",
                                                gzip(R"({"error":{"code":"insufficient_quota","message":"m"}})"))));
    whole.connect();
    whole.send(post);
    CHECK(whole.seen.attempts == std::vector{attempt_result::quota});
    whole.expect_nothing_left();
}

TEST_CASE("B3: a compressed stream without its terminal marker is never a clean end") {
    for (const bool flushed : {true, false}) { // ... nor is one without the end of its own encoding
        CAPTURE(flushed);
        retrying f;
        compressor one;
        const std::string body = flushed ? one.finish(hello + word) : one.flush(hello + word + stop + done);
        f.upstream.next(streaming({play::send{encoded_head + chunk(body) + end_of_chunks}}));
        f.connect();
        f.send(post_stream(gzip_fields));
        CHECK(has(f.client.received(), body));
        CHECK(!f.client.received().ends_with("0\r\n\r\n"));
        CHECK(!has(f.client.received(), "event: error"));
        CHECK(f.client.closed_by_proxy());
        CHECK(f.seen.requests.at(0).outcome == request_outcome::truncated);
        CHECK(f.seen.attempts == std::vector{attempt_result::truncated});
        f.expect_nothing_left();
    }
}

TEST_CASE("an encoding that nobody here knows is passed on as it is, and said so") {
    for (const bool stream : {true, false}) {
        CAPTURE(stream);
        retrying f;
        const std::string bytes = "\x0b\x02\x80not to be read\x03";
        f.upstream.next(stream ? streaming({play::send{head_of("text/event-stream", "Content-Encoding: br\r\n") +
                                                       chunk(bytes) + end_of_chunks}})
                               : answering(json_of(bytes, "Content-Encoding: br\r\n")));
        f.connect();
        f.send(stream ? post_stream(gzip_fields) : post);
        CHECK(has(f.client.received(), "Content-Encoding: br\r\n"));
        CHECK(has(f.client.received(), bytes));
        CHECK(f.upstream.exchanges().size() == 1);
        CHECK(f.seen.requests.at(0).outcome == request_outcome::ok);
        CHECK(has(f.seen.journal, "unread"));
        f.expect_nothing_left();
    }
}

TEST_CASE("codings on top of one another are undone by nobody, and identity is none") {
    struct row {
        std::string fields;
        bool unread;
    };
    const std::string plain = something_said;
    for (const row& each :
         {row{"Content-Encoding: gzip, br\r\n", true}, row{"Content-Encoding: br, gzip\r\n", true},
          row{"Content-Encoding: br\r\nContent-Encoding: gzip\r\n", true},
          row{"Content-Encoding: gzip\r\nContent-Encoding: gzip\r\n", true},
          row{"Content-Encoding: identity, br\r\n", true}, row{"Content-Encoding: identity\r\n", false},
          row{"Content-Encoding:\r\n", false}, row{"Content-Encoding: identity\r\nContent-Encoding: gzip\r\n", false},
          row{"Content-Encoding: gzip\r\nContent-Encoding: identity\r\n", false}}) {
        CAPTURE(each.fields);
        retrying f;
        const std::string bytes = each.unread                ? "\x0b\x02\x80not to be read\x03"
                                  : has(each.fields, "gzip") ? gzip(plain)
                                                             : plain;
        f.upstream.next(answering(json_of(bytes, each.fields)));
        f.connect();
        f.send(post);
        CHECK(has(f.client.received(), bytes));
        CHECK(f.upstream.exchanges().size() == 1);
        CHECK(f.seen.requests.at(0).outcome == request_outcome::ok);
        CHECK(has(f.seen.journal, "unread") == each.unread);
        f.expect_nothing_left();
    }
}

TEST_CASE("an encoding that nobody here knows is never passed off as events behind a head that was given ahead") {
    for (const bool stream : {true, false}) {
        CAPTURE(stream);
        retrying f;
        f.route->stream.head_hold = 10s;
        f.route->stream.heartbeat = 100s;
        const std::string bytes = "\x0b\x02\x80not to be read\x03";
        const std::string answer =
            stream ? head_of("text/event-stream", "Content-Encoding: br\r\n") + chunk(bytes) + end_of_chunks
                   : json_of(bytes, "Content-Encoding: br\r\n");
        f.upstream.next(streaming({play::pause{12s}, play::send{answer}}));
        f.connect();
        f.send(post_stream(gzip_fields));
        f.pass(13s);
        CHECK(!has(f.client.received(), bytes));
        CHECK(has(f.client.received(), "event: error"));
        CHECK(has(f.client.received(), "came compressed (br), which was not asked for"));
        CHECK(f.upstream.exchanges().size() == 1);
        CHECK(f.seen.requests.at(0).outcome == request_outcome::upstream_error);
        CHECK(f.seen.requests.at(0).reason == "unread_answer");
        CHECK(has(f.seen.journal, "unread"));

        // Now it is known of this upstream: no head goes ahead of its answers, and none is lost.
        f.upstream.next(streaming({play::pause{12s}, play::send{answer}}));
        scripted_client later(f.loop);
        f.loop.nursery().spawn(
            request::client_connection::run(std::make_unique<request::client_connection>(f.context, later.connect())));
        later.send(post_stream(gzip_fields));
        f.pass(11s);
        CHECK(later.received().empty());
        f.pass(2s);
        CHECK(has(later.received(), "Content-Encoding: br\r\n"));
        CHECK(has(later.received(), bytes));
        CHECK(f.seen.requests.at(1).outcome == request_outcome::ok);
        later.leave();
        f.pass(1s);
        f.expect_nothing_left();
    }
}

TEST_CASE("B5: good events are passed on one by one, whatever their label, and judged as a stream") {
    for (const std::string type : {"application/json", "text/plain", "application/octet-stream"}) {
        for (const int retries : {3, 0}) {
            CAPTURE(type);
            CAPTURE(retries);
            retrying f;
            f.route->retry.max_retries = retries;
            f.upstream.next(
                streaming({play::send{head_of(type) + chunk(hello)}, play::pause{2s}, play::send{chunk(word)},
                           play::pause{2s}, play::send{chunk(stop + done) + end_of_chunks}}));
            f.upstream.next(streaming(
                {play::send{head_of(type) + chunk(hello + word)}, play::pause{1s}, play::send{end_of_chunks}}));
            f.connect();
            f.send(post_stream());
            f.pass(2s + 1ms);
            CHECK(has(f.client.received(), word));
            CHECK(!has(f.client.received(), stop));
            f.pass(3s);
            CHECK(f.client.received().ends_with("\r\n0\r\n\r\n"));
            CHECK(f.upstream.exchanges().size() == 1);
            f.client.forget_received();
            f.send(post_stream());
            f.pass(2s);
            CHECK(!f.client.received().ends_with("\r\n0\r\n\r\n")); // no terminal marker: no clean end
            CHECK(has(f.client.received(), "event: error"));
            f.expect_nothing_left();
        }
    }
}

TEST_CASE("B5: ... behind a head that was given ahead") {
    retrying f;
    f.route->stream.head_hold = 10s;
    f.route->stream.heartbeat = 100s;
    f.upstream.next(streaming({play::pause{12s}, play::send{head_of("application/json") + chunk(hello + word) +
                                                            chunk(stop + done) + end_of_chunks}}));
    f.connect();
    f.send(post_stream());
    f.pass(13s);
    CHECK(has(f.client.received(), hello + word));
    CHECK(f.client.received().ends_with("\r\n0\r\n\r\n"));
    CHECK(!has(f.client.received(), "event: error"));
    f.expect_nothing_left();
}

TEST_CASE("an error in JSON is one, though it is called a stream") {
    retrying f;
    f.upstream.next(streaming(
        {play::send{head_of("text/event-stream") + chunk(R"({"error":{"message":"m","code":503}})") + end_of_chunks}}));
    f.upstream.next(streaming({play::send{good_stream}}));
    f.connect();
    f.send(post_stream());
    f.pass(2s);
    CHECK(f.seen.attempts == std::vector{attempt_result::stream_error, attempt_result::success});
    f.expect_nothing_left();
}

TEST_CASE("B8: an answer that says nothing is asked for again, once, and then handed on") {
    for (const bool stream : {false, true}) {
        for (const int empties : {1, 2, 3}) {
            CAPTURE(stream);
            CAPTURE(empties);
            retrying f;
            const std::string empty_stream = stream_head + chunk(hello) + chunk(stop) + chunk(done) + end_of_chunks;
            const auto empty = stream ? streaming({play::send{empty_stream}}) : answering(json_of(nothing_said));
            const auto good = stream ? streaming({play::send{good_stream}}) : answering(json_of(something_said));
            for (int i = 0; i < empties; ++i) f.upstream.next(empty);
            f.upstream.next(good);
            f.connect();
            f.send(stream ? post_stream() : post);
            f.pass(20s);
            CHECK(f.upstream.exchanges().size() == 2);
            CHECK(has(f.client.received(), "HTTP/1.1 200 OK\r\n"));
            CHECK(f.seen.requests.at(0).outcome == request_outcome::ok);
            CHECK(f.seen.attempts.at(0) == attempt_result::empty);
            if (empties == 1) {
                CHECK(has(f.client.received(), "hi"));
                CHECK(has(f.client.received(), "x-evenkeel-outcome: retried\r\n"));
            } else {
                CHECK(f.seen.attempts.at(1) == attempt_result::empty);
                CHECK(has(f.client.received(), stream ? hello + stop + done : nothing_said));
                CHECK(!has(f.client.received(), "x-should-retry"));
            }
            f.expect_nothing_left();
        }
    }
}

TEST_CASE("B8: an empty answer is evidence of nothing, is better than a later error, and may be left alone") {
    retrying f;
    f.route->circuit_breaker.failure_threshold = 1;
    f.upstream.next(answering(json_of(nothing_said)));
    f.upstream.next(answering(status_answer(400)));
    f.connect();
    f.send(post);
    f.pass(5s);
    CHECK(f.upstream.exchanges().size() == 2);
    CHECK(has(f.client.received(), nothing_said));
    CHECK(has(f.client.received(), "200 OK"));
    f.expect_nothing_left();

    retrying off;
    off.route->retry.on =
        static_cast<retry_on>(static_cast<unsigned>(retry_on::all) & ~static_cast<unsigned>(retry_on::empty));
    off.upstream.next(answering(json_of(nothing_said)));
    off.connect();
    off.send(post);
    CHECK(off.upstream.exchanges().size() == 1);
    CHECK(off.seen.attempts == std::vector{attempt_result::success});
    off.expect_nothing_left();
}

TEST_CASE("B9: an error in the place of a choice is asked for again, once, and then handed on as the error it is") {
    const std::string failed = R"({"choices":[{"finish_reason":"error","error":{"code":502,"message":"upstream"}}]})";
    for (const int failures : {1, 2}) {
        CAPTURE(failures);
        retrying f;
        for (int i = 0; i < failures; ++i) f.upstream.next(answering(json_of(failed)));
        f.upstream.next(answering(json_of(something_said)));
        f.connect();
        f.send(post);
        f.pass(20s);
        CHECK(f.upstream.exchanges().size() == 2);
        CHECK(has(f.client.received(), failures == 1 ? something_said : failed));
        CHECK(f.seen.requests.at(0).outcome == (failures == 1 ? request_outcome::ok : request_outcome::upstream_error));
        f.expect_nothing_left();
    }
}

TEST_CASE("B10: an error told as a field of its own behind content reaches the client as the provider's error") {
    const std::string field = "error: {\"code\":500,\"message\":\"slot lost\",\"type\":\"server_error\"}\n\n";
    struct row {
        const char* name;
        std::vector<std::string> chunks;
    };
    for (const row& one :
         {row{"with what came before", {hello + word + field + done}}, row{"by itself", {hello + word, field, done}},
          row{"cut within", {hello + word + field.substr(0, 20), field.substr(20) + done}},
          row{"cut within its name", {hello, word + "err", field.substr(3) + done}}}) {
        CAPTURE(one.name);
        retrying f;
        std::vector<play_step> steps{play::send{stream_head}};
        for (const std::string& each : one.chunks) {
            steps.emplace_back(play::send{chunk(each)});
            steps.emplace_back(play::pause{10ms});
        }
        steps.emplace_back(play::send{end_of_chunks});
        f.upstream.next(streaming(std::move(steps)));
        f.connect();
        f.send(post_stream());
        f.pass(1s);
        CHECK(has(f.client.received(), word));
        CHECK(has(f.client.received(), "event: error\ndata: "));
        CHECK(has(f.client.received(), "slot lost"));
        CHECK(!has(f.client.received(), "[DONE]"));
        CHECK(f.client.closed_by_proxy());
        CHECK(f.seen.attempts == std::vector{attempt_result::stream_error});
        CHECK(f.seen.requests.at(0).outcome != request_outcome::ok);
        f.expect_nothing_left();
    }
    retrying member; // as a member of an event its client sees it: passed on, and told in log and metrics
    const std::string event = "data: {\"choices\":[{\"delta\":{}}],\"error\":{\"code\":502,\"message\":\"m\"}}\n\n";
    member.upstream.next(streaming({play::send{stream_head + chunk(hello + word + event + done) + end_of_chunks}}));
    member.connect();
    member.send(post_stream());
    CHECK(has(member.client.received(), event + done));
    CHECK(member.seen.requests.at(0).outcome == request_outcome::upstream_error);
    CHECK(member.seen.attempts == std::vector{attempt_result::stream_error});
    member.expect_nothing_left();
}

TEST_CASE("B11: a preamble may be as large as is held, and an error behind it is retried") {
    retrying f;
    const std::string created =
        "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"instructions\":\"" +
        std::string(300 * 1024, 'x') + "\"}}\n\n";
    const std::string failed =
        "data: {\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"server_is_overloaded\","
        "\"message\":\"m\"}}}\n\n";
    const std::string body = R"({"stream":true})";
    f.upstream.next(streaming({play::send{stream_head + chunk(created) + chunk(failed) + end_of_chunks}}));
    f.upstream.next(streaming({play::send{good_stream}}));
    f.connect();
    f.send("POST /v1/responses HTTP/1.1\r\nHost: h\r\nContent-Length: 15\r\n\r\n" + body);
    f.pass(5s);
    CHECK(f.seen.attempts == std::vector{attempt_result::stream_error, attempt_result::success});
    CHECK(has(f.client.received(), word));
    f.expect_nothing_left();
}

TEST_CASE("B13: a first event that holds half a pair is an event, and so are Python's numbers and deep nesting") {
    for (const std::string& first :
         {std::string{R"({"choices":[{"delta":{"content":"\ud83d"}}]})"},
          std::string{R"({"choices":[{"delta":{"content":"a"},"logprobs":NaN}]})"},
          R"({"choices":[{"delta":{"content":"a"}}],"x":)" + std::string(100, '[') + std::string(100, ']') + "}"}) {
        CAPTURE(first);
        retrying f;
        const std::string event = "data: " + first + "\n\n";
        f.upstream.next(streaming({play::send{stream_head + chunk(event) + chunk(stop + done) + end_of_chunks}}));
        f.connect();
        f.send(post_stream());
        CHECK(has(f.client.received(), event));
        CHECK(f.upstream.exchanges().size() == 1);
        CHECK(f.seen.requests.at(0).outcome == request_outcome::ok);
        f.expect_nothing_left();
    }
}

TEST_CASE("B14 and B16: JSON behind a byte order mark, and a status line without its last blank") {
    const std::string body = "\xef\xbb\xbf" + something_said;
    for (const int retries : {3, 1}) {
        retrying f;
        f.route->retry.max_retries = retries;
        if (retries == 1) f.upstream.next(answering(status_answer(500)));
        f.upstream.next(
            answering("HTTP/1.1 200\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" +
                      chunk(body) + end_of_chunks));
        f.connect();
        f.send(post);
        f.pass(2s);
        CHECK(has(f.client.received(), "HTTP/1.1 200"));
        CHECK(has(f.client.received(), body));
        CHECK(f.seen.requests.at(0).outcome == request_outcome::ok);
        f.expect_nothing_left();
    }
}

TEST_CASE("D7: who accepts events among others and asks for no stream is given no head of one") {
    const std::string accepts = "Accept: application/json, text/event-stream\r\n";
    retrying f;
    f.route->stream.head_hold = 5s;
    f.upstream.next({.steps = {play::request{16}, play::pause{12s}, play::send{json_of(something_said)}}});
    f.connect();
    f.send(post_with(R"({"stream":false})", accepts));
    f.pass(11s);
    CHECK(f.client.received().empty());
    f.pass(2s);
    CHECK(f.client.received().ends_with(something_said));
    CHECK(f.seen.requests.at(0).outcome == request_outcome::ok);
    f.expect_nothing_left();

    retrying g; // where the body says nothing the field does
    g.route->stream.head_hold = 5s;
    g.upstream.next({.steps = {play::request{2}, play::pause{12s}, play::send{good_stream}}});
    g.connect();
    g.send(post_with("{}", accepts));
    g.pass(6s);
    CHECK(has(g.client.received(), "content-type: text/event-stream\r\n"));
    g.pass(8s);
    CHECK(has(g.client.received(), word));
    g.expect_nothing_left();
}

} // namespace evenkeel::test::reading_flow_test
