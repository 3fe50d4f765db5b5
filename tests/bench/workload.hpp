#pragma once
// The bytes origin and generator agree on. Both sides build them from here, so the generator can compare every body it
// receives with what the origin must have sent: a proxy that answers fast with something else is a failure, not a
// record (an empty body once made one look four times as fast).
//
// JSON: POST, 700 B body, 10 request fields -> 1 KiB body, 12 response fields: a small chat completion.
// SSE:  events of 230 B shaped like a chat completion chunk, each with its number and the time it was written.

#include <array>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <string>
#include <string_view>

namespace evenkeel::bench {

inline constexpr std::size_t request_body_bytes = 700;
inline constexpr std::size_t answer_body_bytes = 1024;
inline constexpr std::size_t event_bytes = 230;

// One clock for both processes, so that the age of an event is a plain difference.
inline std::int64_t now_ns() {
    timespec t{};
    clock_gettime(CLOCK_MONOTONIC, &t);
    return std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

inline std::string padded(std::string_view before, std::string_view after, std::size_t size, char with) {
    std::string text{before};
    text.append(size - before.size() - after.size(), with);
    return text.append(after);
}

inline std::string request_body(bool stream, std::size_t size) {
    return padded(stream ? R"({"model":"bench","stream":true,"messages":[{"role":"user","content":")"
                         : R"({"model":"bench","stream":false,"messages":[{"role":"user","content":")",
                  R"("}]})", size, 'q');
}

inline std::string answer_body() {
    return padded(R"({"id":"chatcmpl-bench","object":"chat.completion","created":1700000000,"model":"bench",)"
                  R"("choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":")",
                  R"("}}],"usage":{"prompt_tokens":160,"completion_tokens":190,"total_tokens":350}})",
                  answer_body_bytes, 'a');
}

// How many events a stream should have and how far apart; travels as one of the ten request fields.
struct stream_shape {
    std::uint32_t events = 0; // 0: a plain JSON answer
    std::int64_t interval_us = 0;
};

inline constexpr std::string_view shape_field = "x-bench-stream";
// A request that has this field is turned away with a 429, and answered when it comes again.
inline constexpr std::string_view refuse_field = "x-bench-refuse";

// The whole request: head with 10 fields, and a body of so many bytes.
inline std::string request_bytes(std::string_view authority, stream_shape shape,
                                 std::size_t body_bytes = request_body_bytes) {
    const std::string body = request_body(shape.events != 0, body_bytes);
    std::string text = "POST /v1/chat/completions HTTP/1.1\r\nHost: ";
    text.append(authority);
    text += "\r\nUser-Agent: evenkeel-bench/1\r\nAccept: ";
    text += shape.events != 0 ? "text/event-stream" : "application/json";
    text +=
        "\r\nAccept-Language: en\r\nContent-Type: application/json\r\nAuthorization: Bearer sk-bench-0123456789abcdef"
        "\r\nX-Request-Id: 7b1f0c9e-bench-4f0a-8d3c-2a9d5e61b7aa\r\nX-Stainless-Lang: cpp\r\n";
    text.append(shape_field);
    text += ": " + std::to_string(shape.events) + "/" + std::to_string(shape.interval_us);
    text += "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
    return text;
}

// The whole JSON answer: head with 12 fields, and body.
inline std::string answer_bytes() {
    const std::string body = answer_body();
    return "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Type: "
           "application/json\r\nContent-Length: " +
           std::to_string(body.size()) +
           "\r\nServer: bench\r\nX-Request-Id: req_0123456789abcdef\r\nOpenai-Organization: bench\r\n"
           "Openai-Processing-Ms: 312\r\nOpenai-Version: 2020-10-01\r\nX-Ratelimit-Limit-Requests: 10000\r\n"
           "X-Ratelimit-Remaining-Requests: 9999\r\nStrict-Transport-Security: max-age=15724800\r\n"
           "Cache-Control: no-store\r\n\r\n" +
           body;
}

inline std::string refusal_bytes() {
    return "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n";
}

inline std::string stream_head() {
    return "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Type: text/event-stream\r\n"
           "Transfer-Encoding: chunked\r\nCache-Control: no-cache\r\nServer: bench\r\n"
           "X-Request-Id: req_0123456789abcdef\r\n\r\n";
}

inline constexpr std::string_view event_before = R"(data: {"id":"chatcmpl-bench","object":"chat.completion.chunk",)"
                                                 R"("created":1700000000,"model":"bench","choices":[{"index":0,)"
                                                 R"("finish_reason":null,"delta":{"content":")";
inline constexpr std::string_view event_after = "\"}}]}\n\n";
inline constexpr std::string_view stream_end = "data: [DONE]\n\n";

// "00000042 00000123456789012345 " then padding; fixed width, so that every event has the same size.
inline std::string event_text(std::uint32_t number, std::int64_t sent_ns) {
    std::array<char, 40> stamp{};
    const int length =
        std::snprintf(stamp.data(), stamp.size(), "%08u %020lld ", number, static_cast<long long>(sent_ns));
    std::string text{event_before};
    text.append(stamp.data(), static_cast<std::size_t>(length));
    return padded(text, event_after, event_bytes, 't');
}

} // namespace evenkeel::bench
