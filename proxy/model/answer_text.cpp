#include "proxy/model/answer_text.hpp"

#include "proxy/wire/head_builder.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

namespace evenkeel::model {

namespace {

constexpr std::string_view blank_nonce = "@@@@@@@@@@";
static_assert(blank_nonce.size() == nonce_digits);

std::string piece_text(int piece) {
    return fmt::format("[{}:{}] an even keel keeps a ship upright ", blank_nonce, piece);
}

std::string chunk(std::string_view data) { return fmt::format("{:x}\r\n{}\r\n", data.size(), data); }

std::string event(std::string_view choices) {
    return fmt::format(
        R"(data: {{"id":"chatcmpl-{}","object":"chat.completion.chunk","created":1767225600,"model":"sim-1",{}}})"
        "\n\n",
        blank_nonce, choices);
}
std::string speech(std::string_view delta, std::string_view finish) {
    return event(fmt::format(R"("choices":[{{"index":0,"delta":{},"finish_reason":{}}}])", delta, finish));
}

constexpr std::string_view overload_error =
    R"({"error":{"message":"The server is overloaded or not ready yet.","type":"server_error","param":null,)"
    R"("code":null}})";

constexpr std::string_view buffered_begin =
    R"({"id":"chatcmpl-@@@@@@@@@@","object":"chat.completion","created":1767225600,"model":"sim-1",)"
    R"("choices":[{"index":0,"message":{"role":"assistant","content":")";
constexpr std::string_view buffered_rest =
    R"("},"finish_reason":"stop"}],"usage":{"prompt_tokens":12,"completion_tokens":120,"total_tokens":132}})";

std::string json_head(std::size_t length) {
    return fmt::format("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", length);
}

} // namespace

std::array<char, nonce_digits> nonce_of(unsigned number) noexcept {
    std::array<char, nonce_digits> digits{};
    for (auto digit = digits.rbegin(); digit != digits.rend(); ++digit, number /= 10)
        *digit = static_cast<char>('0' + number % 10);
    return digits;
}

nonce_text::nonce_text(std::string text) : text_(std::move(text)) {
    for (auto at = text_.find(blank_nonce); at != std::string::npos; at = text_.find(blank_nonce, at + nonce_digits))
        places_.push_back(at);
}

void nonce_text::append(std::string& out, unsigned number) const {
    const std::size_t begin = out.size();
    out.append(text_);
    const auto nonce = nonce_of(number);
    for (const std::size_t place : places_)
        std::ranges::copy(nonce, out.begin() + static_cast<std::ptrdiff_t>(begin + place));
}

nonce_text request_text(bool stream, int max_tokens) {
    const std::string body =
        fmt::format(R"({{"model":"sim-1","max_tokens":{},"stream":{},{})"
                    R"("messages":[{{"role":"user","content":"What keeps a ship upright? nonce {}"}}]}})",
                    max_tokens, stream, stream ? R"("stream_options":{"include_usage":true},)" : "", blank_nonce);
    return nonce_text(
        fmt::format("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                    "Authorization: Bearer simulated\r\n{}{}\r\nContent-Length: {}\r\n\r\n{}",
                    request_field, blank_nonce, body.size(), body));
}

std::optional<unsigned> request_number(std::string_view head) noexcept {
    const auto at = head.find(request_field);
    if (at == std::string_view::npos || head.size() < at + request_field.size() + nonce_digits) return std::nullopt;
    const char* const digits = head.data() + at + request_field.size();
    unsigned number = 0;
    const auto [end, error] = std::from_chars(digits, digits + nonce_digits, number);
    if (error != std::errc{} || end != digits + nonce_digits) return std::nullopt;
    return number;
}

answer_texts::answer_texts() {
    stream_head_ =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n" +
        chunk(fmt::format(
            R"(data: {{"id":"chatcmpl-0","object":"chat.completion.chunk","created":1767225600,"model":"sim-1",)"
            R"("choices":[{{"index":0,"delta":{{"role":"assistant","content":""}},"finish_reason":null}}]}})"
            "\n\n"));
    stream_error_ = chunk(fmt::format("data: {}\n\n", overload_error)) + std::string{wire::last_chunk};
    buffered_error_ = json_head(overload_error.size()) + std::string{overload_error};

    std::string body{buffered_begin};
    const std::size_t begins = body.size();
    for (int piece = 0; piece < answer_pieces; ++piece) {
        const auto place = static_cast<std::size_t>(piece);
        const std::string text = piece_text(piece);
        std::string events = speech(fmt::format(R"({{"content":"{}"}})", text), "null");
        std::string tail;
        if (piece == answer_pieces - 1) {
            events += speech("{}", R"("stop")");
            events += event(R"("choices":[],"usage":{"prompt_tokens":12,"completion_tokens":120,"total_tokens":132})");
            events += "data: [DONE]\n\n";
            tail = wire::last_chunk;
        }
        stream_pieces_[place] = nonce_text(chunk(events) + tail);
        part_ends_[place] = body.size() - begins;
        buffered_cuts_[place] =
            nonce_text("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" +
                       chunk(body) + std::string{wire::last_chunk});
        body += text;
    }
    body += buffered_rest;
    const std::string head = json_head(body.size());
    for (std::size_t& end : part_ends_) end += head.size() + begins;
    buffered_ = nonce_text(head + body);
}

void answer_texts::stream_head(std::string& out) const { out.append(stream_head_); }
void answer_texts::stream_piece(std::string& out, unsigned number, int piece) const {
    stream_pieces_[static_cast<std::size_t>(piece)].append(out, number);
}
void answer_texts::stream_end(std::string& out) const { out.append(wire::last_chunk); }
void answer_texts::stream_error(std::string& out) const { out.append(stream_error_); }
void answer_texts::buffered(std::string& out, unsigned number) const { buffered_.append(out, number); }
void answer_texts::buffered_part(std::string& out, unsigned number, int pieces) const {
    const std::size_t begin = out.size();
    buffered_.append(out, number);
    out.resize(begin + part_ends_[static_cast<std::size_t>(pieces)]);
}
void answer_texts::buffered_cut(std::string& out, unsigned number, int pieces) const {
    buffered_cuts_[static_cast<std::size_t>(pieces)].append(out, number);
}
void answer_texts::buffered_error(std::string& out) const { out.append(buffered_error_); }

void answer_texts::status(std::string& out, int status, std::optional<int> retry_after, double speed) {
    const std::string_view body =
        status == 429 ? R"({"error":{"message":"Rate limit reached for requests.","type":"requests","param":null,)"
                        R"("code":"rate_limit_exceeded"}})"
        : status == 503 || status == 529
            ? overload_error
            : R"({"error":{"message":"The server had an error while processing your request.","type":"server_error",)"
              R"("param":null,"code":null}})";
    fmt::format_to(std::back_inserter(out), "HTTP/1.1 {} {}\r\nContent-Type: application/json\r\n", status,
                   wire::reason_phrase(status));
    if (retry_after && speed == 1) fmt::format_to(std::back_inserter(out), "Retry-After: {}\r\n", *retry_after);
    if (retry_after && speed != 1)
        fmt::format_to(std::back_inserter(out), "retry-after-ms: {:.0f}\r\n", std::ceil(*retry_after * 1000 / speed));
    fmt::format_to(std::back_inserter(out), "Content-Length: {}\r\n\r\n{}", body.size(), body);
}

} // namespace evenkeel::model
