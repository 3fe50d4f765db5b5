#include "proxy/net/faulty_answer.hpp"

#include "proxy/net/chaos_words.hpp"
#include "proxy/wire/error_facts.hpp"
#include "proxy/wire/gate.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

namespace evenkeel::test::faulty_answer_test {

using namespace evenkeel::net;
using sequel = faulty_answer::sequel;

namespace {

chaos_fault_options fault(chaos_fault is) {
    chaos_fault_options made;
    made.is = is;
    return made;
}
chaos_fault_options after(chaos_fault is, std::int64_t events, bool half = false) {
    chaos_fault_options made = fault(is);
    made.after_events = events;
    made.mid_event = half;
    return made;
}
chaos_fault_options behind(chaos_fault is, std::uint64_t bytes) {
    chaos_fault_options made = fault(is);
    made.after_bytes = bytes;
    return made;
}

const std::string one = "data: {\"n\":1}\n\n", two = "data: {\"n\":2}\n\n", three = "data: {\"n\":3}\n\n",
                  done = "data: [DONE]\n\n";
const std::string comment = ": still here\n\n";
const std::string events = one + comment + two + three + done;

std::string in_chunks(const std::string& body, std::size_t size) {
    std::string out;
    for (std::size_t at = 0; at < body.size(); at += size) {
        const std::string part = body.substr(at, size);
        char line[16];
        std::snprintf(line, sizeof line, "%zx\r\n", part.size());
        out += line + part + "\r\n";
    }
    return out + "0\r\n\r\n";
}
const std::string stream_head =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
const std::string json = R"({"choices":[{"message":{"content":"hello"}}]})";
std::string plain(const std::string& body, const std::string& more = "") {
    return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + more +
           "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

struct outcome {
    std::string head, body; // decoded as far as it goes
    bool whole = false;     // as its framing says
    sequel then = sequel::more;
    bool is_http = true;
};

outcome decoded(std::string_view bytes, sequel then, bool head_request = false) {
    outcome out;
    out.then = then;
    wire::response_head head;
    std::size_t scanned = 0;
    const auto read = wire::read_response_head(bytes, {}, scanned, {.head_request = head_request}, head);
    if (read.is != wire::head_result::state::complete) {
        out.is_http = false;
        out.head = bytes;
        return out;
    }
    out.head = bytes.substr(0, read.consumed);
    bytes.remove_prefix(read.consumed);
    if (head.body.kind == wire::body_kind::length) {
        out.body = bytes;
        out.whole = bytes.size() == head.body.length;
    } else if (head.body.kind == wire::body_kind::until_close) {
        out.body = bytes;
        out.whole = then == sequel::end;
    } else if (head.body.kind == wire::body_kind::none) {
        out.whole = bytes.empty();
    } else {
        wire::chunk_decoder decoder;
        for (;;) {
            const auto step = decoder.next(bytes);
            bytes.remove_prefix(step.consumed);
            if (step.is == wire::chunk_decoder::state::data) {
                out.body += step.data;
                continue;
            }
            CHECK(step.is != wire::chunk_decoder::state::refused);
            out.whole = step.is == wire::chunk_decoder::state::done;
            break;
        }
        CHECK(bytes.empty());
    }
    return out;
}

// What comes of an answer, read in pieces of any size: always the same.
outcome played(const chaos_fault_options& what, const std::string& answer, bool closes = false,
               wire::dialect which = wire::dialect::openai) {
    std::vector<outcome> all;
    for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, std::size_t{64}, answer.size()}) {
        faulty_answer of(what, which, false);
        std::string out;
        const auto drain = [&] {
            out += of.ready();
            of.consume(of.ready().size());
        };
        drain();
        for (std::size_t at = 0; at < answer.size() && of.then() == sequel::more; at += piece) {
            of.read(std::string_view{answer}.substr(at, piece));
            drain();
        }
        if (closes && of.then() == sequel::more) of.end();
        drain();
        all.push_back(decoded(out, of.then()));
        CHECK(all.back().head == all.front().head);
        CHECK(all.back().body == all.front().body);
        CHECK(all.back().whole == all.front().whole);
        CHECK(all.back().then == all.front().then);
    }
    return all.front();
}

} // namespace

TEST_CASE("what happens before the head needs nothing of the upstream") {
    CHECK(played(fault(chaos_fault::reset), stream_head).then == sequel::reset);
    CHECK(played(fault(chaos_fault::stall), stream_head).then == sequel::silence);
    const outcome broken = played(fault(chaos_fault::malformed), stream_head);
    CHECK_FALSE(broken.is_http);
    CHECK(broken.then == sequel::end);
    for (const chaos_fault is : {chaos_fault::reset, chaos_fault::stall, chaos_fault::malformed, chaos_fault::abort,
                                 chaos_fault::connect_fail})
        CHECK(fault(is).spares_upstream());
    for (const chaos_fault is : {chaos_fault::latency, chaos_fault::drip, chaos_fault::truncate,
                                 chaos_fault::stream_error, chaos_fault::split, chaos_fault::gzip})
        CHECK_FALSE(fault(is).spares_upstream());
    CHECK_FALSE(after(chaos_fault::reset, 0).spares_upstream());
    CHECK_FALSE(behind(chaos_fault::stall, 0).spares_upstream());
}

TEST_CASE("an abort is a whole answer in the dialect of the provider") {
    chaos_fault_options limited = fault(chaos_fault::abort);
    limited.status = 429;
    limited.retry_after = std::chrono::milliseconds{4200};
    struct row {
        wire::dialect which;
        const char *type, *code, *status;
    };
    for (const row& each :
         {row{wire::dialect::openai, "rate_limit_error", "rate_limit_exceeded", ""},
          row{wire::dialect::anthropic, "rate_limit_error", "", ""},
          row{wire::dialect::gemini, "", "429", "RESOURCE_EXHAUSTED"}, row{wire::dialect::ollama, "", "", ""},
          row{wire::dialect::generic, "rate_limit_error", "rate_limit_exceeded", ""}}) {
        CAPTURE(wire::to_string(each.which));
        const outcome got = played(limited, stream_head, false, each.which);
        CHECK(got.is_http);
        CHECK(got.whole);
        CHECK(got.head.starts_with("HTTP/1.1 429 "));
        CHECK(got.head.find("Retry-After: 5\r\n") != std::string::npos);
        const auto facts = wire::read_error(got.body);
        CHECK(facts.is_error);
        CHECK(facts.type == each.type);
        CHECK(facts.code == each.code);
        CHECK(facts.status == each.status);
        CHECK(got.body.find("evenkeel_error") == std::string::npos);
    }
    faulty_answer to_head(limited, wire::dialect::openai, true);
    CHECK(decoded(to_head.ready(), to_head.then(), true).whole);
}

TEST_CASE("after so many events a stream is reset, stalls, or ends without its rest; comments do not count") {
    for (const std::size_t chunk : {std::size_t{5}, std::size_t{1000}}) {
        const std::string answer = stream_head + in_chunks(events, chunk);
        const outcome cut = played(after(chaos_fault::reset, 1), answer);
        CHECK(cut.body == one);
        CHECK(cut.then == sequel::reset);
        CHECK_FALSE(cut.whole);

        const outcome half = played(after(chaos_fault::stall, 1, true), answer);
        const std::string next = comment + two; // the comment goes with the event it stands before
        CHECK(half.body == one + next.substr(0, next.size() / 2));
        CHECK(half.then == sequel::silence);
        CHECK_FALSE(half.whole);

        const outcome ended = played(after(chaos_fault::truncate, 2), answer);
        CHECK(ended.body == one + comment + two);
        CHECK(ended.whole); // its framing says so

        const outcome none = played(after(chaos_fault::reset, 0), answer);
        CHECK(none.body.empty());
        CHECK(none.head == stream_head);

        const outcome never = played(after(chaos_fault::reset, 9), answer);
        CHECK(never.body == events);
        CHECK(never.whole);
    }
}

TEST_CASE("truncate takes the last event of a stream away, or the last byte of another body") {
    CHECK(played(fault(chaos_fault::truncate), stream_head + in_chunks(events, 11)).body ==
          one + comment + two + three);
    CHECK(played(fault(chaos_fault::truncate), stream_head + in_chunks(events, 11)).whole);

    const outcome short_of_length = played(fault(chaos_fault::truncate), plain(json));
    CHECK(short_of_length.body == json.substr(0, json.size() - 1));
    CHECK_FALSE(short_of_length.whole);
    CHECK(short_of_length.then == sequel::end);

    const std::string chunked =
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" + in_chunks(json, 9);
    const outcome clean = played(fault(chaos_fault::truncate), chunked);
    CHECK(clean.body == json.substr(0, json.size() - 1));
    CHECK(clean.whole);

    const outcome closing =
        played(fault(chaos_fault::truncate), "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + json, true);
    CHECK(closing.body == json.substr(0, json.size() - 1));
    CHECK(closing.then == sequel::end);
}

TEST_CASE("after so many bytes any body is cut, to the byte") {
    for (std::uint64_t bytes = 0; bytes <= json.size(); ++bytes) {
        CAPTURE(bytes);
        const outcome cut = played(behind(chaos_fault::reset, bytes), plain(json));
        CHECK(cut.body == json.substr(0, bytes));
        CHECK(cut.then == sequel::reset);
        CHECK(played(behind(chaos_fault::truncate, bytes), stream_head + in_chunks(events, 13)).body ==
              events.substr(0, bytes));
    }
    CHECK(played(behind(chaos_fault::reset, json.size() + 1), plain(json)).whole);
}

TEST_CASE("a malformed event stands between whole ones, and a malformed body is no JSON") {
    const outcome between = played(after(chaos_fault::malformed, 2), stream_head + in_chunks(events, 17));
    CHECK(between.whole);
    CHECK(between.body.starts_with(one + comment + two + "data: {"));
    CHECK(between.body.ends_with(three + done));
    const outcome body = played(after(chaos_fault::malformed, 0), plain(json));
    CHECK(body.whole);
    CHECK(body.body == "!" + json.substr(1));
}

TEST_CASE("an error inside a 200 stands in place of the rest of a stream, or of the whole of another body") {
    const outcome first = played(fault(chaos_fault::stream_error), stream_head + in_chunks(events, 17));
    CHECK(first.whole);
    CHECK(wire::read_error(std::string_view{first.body}.substr(6)).is_error);
    const outcome later = played(after(chaos_fault::stream_error, 1), stream_head + in_chunks(events, 17), false,
                                 wire::dialect::anthropic);
    CHECK(later.body.starts_with(one + "event: error\ndata: {\"type\":\"error\""));
    CHECK(later.whole);
    const outcome whole = played(fault(chaos_fault::stream_error), plain(json));
    CHECK(whole.whole);
    CHECK(wire::holds_error(whole.body));
}

TEST_CASE("NDJSON has an event per line") {
    const std::string head =
        "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n";
    const std::string lines = "{\"a\":1}\n{\"a\":2}\r\n\n{\"done\":true}\n";
    CHECK(played(after(chaos_fault::reset, 2), head + in_chunks(lines, 4)).body == "{\"a\":1}\n{\"a\":2}\r\n");
    CHECK(played(fault(chaos_fault::truncate), head + in_chunks(lines, 4)).body == "{\"a\":1}\n{\"a\":2}\r\n");
    const outcome told =
        played(after(chaos_fault::stream_error, 1), head + in_chunks(lines, 4), false, wire::dialect::ollama);
    CHECK(told.body.starts_with("{\"a\":1}\n{\"error\":"));
    CHECK(told.body.ends_with("}\n"));
}

TEST_CASE("events end where WHATWG says, however their lines end") {
    for (const char* line_end : {"\n", "\r\n", "\r"}) {
        const std::string e = line_end;
        const std::string body = "data: a" + e + "data: b" + e + e + ":c" + e + e + "data: d" + e + e;
        const outcome cut = played(after(chaos_fault::reset, 1), stream_head + in_chunks(body, 3));
        CAPTURE(e.size());
        CHECK(cut.body.starts_with("data: a" + e + "data: b" + e));
        CHECK(cut.body.find('c') == std::string::npos);
    }
}

TEST_CASE("a gzipped body is gzip: header, stored blocks, checksum and size") {
    for (const std::size_t piece : {std::size_t{1}, std::size_t{1000}}) {
        const std::string answer = plain("123456789");
        faulty_answer of(fault(chaos_fault::gzip), wire::dialect::openai, false);
        for (std::size_t at = 0; at < answer.size(); at += piece) of.read(std::string_view{answer}.substr(at, piece));
        const outcome packed = decoded(of.ready(), of.then());
        CHECK(packed.whole);
        CHECK(packed.head.find("Content-Encoding: gzip\r\n") != std::string::npos);
        CHECK(packed.head.find("Content-Length") == std::string::npos);
        // CRC-32 of "123456789" is CBF43926 (the check value of the catalogue of parametrised CRC algorithms); then the
        // size.
        CHECK(packed.body.substr(packed.body.size() - 8) == std::string("\x26\x39\xF4\xCB\x09\x00\x00\x00", 8));
        CHECK(packed.body.substr(0, 3) == "\x1F\x8B\x08");
        std::string unpacked;
        std::size_t at = 10;
        for (bool last = false; !last && at + 5 <= packed.body.size();) {
            const auto byte = [&](std::size_t i) {
                return static_cast<unsigned>(static_cast<unsigned char>(packed.body[at + i]));
            };
            last = byte(0) == 1;
            const std::size_t size = byte(1) | byte(2) << 8;
            CHECK((byte(3) | byte(4) << 8) == (~size & 0xFFFFU));
            unpacked += packed.body.substr(at + 5, size);
            at += 5 + size;
        }
        CHECK(unpacked == "123456789");
        CHECK(at + 8 == packed.body.size());
    }
    // Already something else.
    CHECK(played(fault(chaos_fault::gzip), plain("x", "Content-Encoding: br\r\n")).body == "x");
}

TEST_CASE("what only comes slower or in pieces is not changed by a byte") {
    const std::string answer = "HTTP/1.1 103 Early Hints\r\n\r\n" + stream_head + in_chunks(events, 6);
    for (const chaos_fault is : {chaos_fault::latency, chaos_fault::drip, chaos_fault::split}) {
        faulty_answer of(fault(is), wire::dialect::openai, false);
        of.read(answer);
        CHECK(of.ready() == answer);
        CHECK_FALSE(of.in_body());
        const std::size_t head = answer.find("\r\n\r\n", answer.find("event-stream")) + 4;
        CHECK(of.until_body() == head);
        of.consume(head);
        CHECK(of.in_body());
        of.consume(of.ready().size());
        of.read("more");
        CHECK(of.in_body());
        CHECK(of.ready() == "more");
    }
}

TEST_CASE("an answer that is not HTTP, or has no body, passes unchanged") {
    for (const std::string bytes :
         {"HTTP/1.1 200 OK\nContent-Length: 0\n\n", "garbage\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n"}) {
        faulty_answer of(after(chaos_fault::stream_error, 0), wire::dialect::openai, false);
        of.read(bytes);
        of.end();
        CHECK(of.ready() == bytes);
        CHECK(of.then() == sequel::end);
    }
}

} // namespace evenkeel::test::faulty_answer_test
