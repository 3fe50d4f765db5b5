#include "proxy/model/answer_text.hpp"
#include "proxy/simulate/judge.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace evenkeel::simulate::judge_test {

using namespace model;

namespace {
constexpr std::string_view nonce = "0000000017";

// What is behind the head, framing removed.
std::string body_of(const std::string& message) {
    const auto head = message.find("\r\n\r\n") + 4;
    if (message.find("chunked") == std::string::npos) return message.substr(head);
    std::string out;
    for (auto at = head; at < message.size();) {
        const auto line = message.find("\r\n", at);
        const auto size = std::stoul(message.substr(at, line - at), nullptr, 16);
        out += message.substr(line + 2, size);
        at = line + 2 + size + 2;
    }
    return out;
}
std::string whole_stream() {
    const answer_texts texts;
    std::string out;
    texts.stream_head(out);
    for (int piece = 0; piece < answer_pieces; ++piece) texts.stream_piece(out, 17, piece);
    return body_of(out);
}
std::string whole_json() {
    const answer_texts texts;
    std::string out;
    texts.buffered(out, 17);
    return body_of(out);
}
verdict of_stream(const std::string& body) {
    return judge({.status = 200, .whole = true, .stream = true, .body = body}, nonce);
}
verdict of_json(const std::string& body) { return judge({.status = 200, .whole = true, .body = body}, nonce); }
std::string without(std::string text, const std::string& part) {
    const auto at = text.find(part);
    REQUIRE(at != std::string::npos);
    return text.erase(at, part.size());
}
} // namespace

TEST_CASE("the whole text is every piece, in order, once") {
    std::string whole;
    for (int i = 0; i < 10; ++i) whole += "[N:" + std::to_string(i) + "] word ";
    CHECK(is_whole_text(whole, "N"));
    CHECK(!is_whole_text("", "N"));
    CHECK(!is_whole_text(whole, "M"));
    CHECK(!is_whole_text(whole + "[N:9] word ", "N"));
    CHECK(!is_whole_text(whole.substr(0, whole.find("[N:9]")), "N"));
    auto crossed = whole;
    crossed[crossed.find("[N:3]") + 1] = 'M';
    CHECK(!is_whole_text(crossed, "N"));
}

TEST_CASE("a whole stream is a success, with comments too; anything less is broken") {
    const std::string whole = whole_stream();
    const auto piece_begin = whole.find("data: ", whole.find("[0000000017:4]") - 250);
    const auto piece = whole.substr(piece_begin, whole.find("\n\n", piece_begin) + 2 - piece_begin);

    CHECK(of_stream(whole) == verdict::success);
    CHECK(of_stream(":\n\n" + whole) == verdict::success);
    CHECK(of_stream("") == verdict::broken);
    CHECK(of_stream(without(whole, "data: [DONE]\n\n")) == verdict::broken);
    CHECK(of_stream(without(whole, R"(,"finish_reason":"stop")")) == verdict::broken);
    CHECK(of_stream(without(whole, piece)) == verdict::broken);
    CHECK(of_stream(whole + piece) == verdict::broken);
    CHECK(of_stream("data: {\"error\":{}}\n\n" + whole) == verdict::broken);
    CHECK(of_stream(whole + "event: error\ndata: {}\n\n") == verdict::broken);
    CHECK(of_stream(whole_json()) == verdict::broken);
    for (std::size_t cut = 0; cut + 1 < whole.size(); cut += 7)
        CHECK(of_stream(whole.substr(0, cut)) == verdict::broken);
}

TEST_CASE("a whole JSON answer is a success; anything less is broken") {
    const std::string whole = whole_json();

    CHECK(of_json(whole) == verdict::success);
    CHECK(of_json(whole + "\n") == verdict::success);
    CHECK(of_json(R"({"error":{"message":"no"}})") == verdict::broken);
    CHECK(of_json(whole_stream()) == verdict::broken);
    for (std::size_t cut = 0; cut < whole.size(); cut += 7) CHECK(of_json(whole.substr(0, cut)) == verdict::broken);
}

TEST_CASE("status, framing and label come before the text") {
    const std::string whole = whole_json();
    CHECK(judge({.status = 0}, nonce) == verdict::broken);
    CHECK(judge({.status = 503, .whole = true, .body = whole}, nonce) == verdict::error);
    CHECK(judge({.status = 200, .whole = false, .body = whole}, nonce) == verdict::broken);
    CHECK(judge({.status = 200, .whole = true, .degraded = true, .body = "{}"}, nonce) == verdict::degraded);
    CHECK(judge({.status = 200, .whole = true, .body = whole}, "0000000018") == verdict::broken);
}

TEST_CASE("the provider knows whose request it has") {
    std::string request;
    request_text(true, 512).append(request, 4'000'000'123U);
    CHECK(request_number(request) == 4'000'000'123U);
    CHECK(!request_number("GET / HTTP/1.1\r\n\r\n"));
    CHECK(!request_number("X-Simulated-Request: 12"));
    CHECK(!request_number("X-Simulated-Request: 12x4567890"));
    CHECK(!request_number("X-Simulated-Request: 9999999999"));
}

} // namespace evenkeel::simulate::judge_test
