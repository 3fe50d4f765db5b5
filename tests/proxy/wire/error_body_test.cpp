#include "proxy/wire/error_body.hpp"

#include <doctest/doctest.h>

#include <boost/json.hpp>

namespace evenkeel::test::error_body_test {

using wire::dialect;

TEST_CASE("each dialect's errors have the shape its SDKs read") {
    CHECK(wire::error_body(dialect::openai, 503, "circuit_open", "The circuit is open.") ==
          R"({"error":{"message":"The circuit is open.","type":"evenkeel_error","param":null,"code":"circuit_open"}})");
    CHECK(wire::error_body(dialect::generic, 503, "a", "b") == wire::error_body(dialect::openai, 503, "a", "b"));
    CHECK(
        wire::error_body(dialect::anthropic, 503, "circuit_open", "The circuit is open.") ==
        R"({"type":"error","error":{"type":"evenkeel_error","message":"The circuit is open.","code":"circuit_open"}})");
    CHECK(wire::error_body(dialect::gemini, 503, "circuit_open", "The circuit is open.") ==
          R"({"error":{"code":503,"message":"The circuit is open.","status":"UNAVAILABLE"}})");
    CHECK(wire::error_body(dialect::ollama, 503, "circuit_open", "The circuit is open.") ==
          R"({"error":"The circuit is open."})");
}

TEST_CASE("an error body is JSON whatever its message holds") {
    std::string message;
    for (int c = 0; c < 256; ++c) message += static_cast<char>(c);
    for (const dialect which :
         {dialect::openai, dialect::anthropic, dialect::gemini, dialect::ollama, dialect::generic}) {
        CAPTURE(wire::to_string(which));
        boost::json::error_code ec;
        const auto value = boost::json::parse(wire::error_body(which, 502, message, message), ec);
        CHECK_FALSE(ec);
        CHECK(value.is_object());
    }
    const std::string quoted = wire::error_body(dialect::ollama, 502, "", "a\"b\\c\nd\001\177\303\244");
    CHECK(boost::json::parse(quoted).at("error").as_string() == "a\"b\\c\nd\001\177\303\244");
}

TEST_CASE("the dialect is that of the call which the path is") {
    const std::pair<const char*, dialect> rows[] = {
        {"/v1/chat/completions", dialect::openai},
        {"/openai/v1/completions", dialect::openai},
        {"/v1/responses", dialect::openai},
        {"/v1/embeddings", dialect::openai},
        {"/v1/models", dialect::openai},
        {"/v1/models/", dialect::openai},
        {"/api/v1/chat/completions", dialect::openai},
        {"/v1/messages", dialect::anthropic},
        {"/anthropic/v1/messages/count_tokens", dialect::anthropic},
        {"/v1/threads/thread_1/messages", dialect::generic},
        {"/v1beta/models/gemini-2.0-flash:generateContent", dialect::gemini},
        {"/v1beta/models/gemini-2.0-flash:streamGenerateContent", dialect::gemini},
        {"/api/chat", dialect::ollama},
        {"/api/generate", dialect::ollama},
        {"/api/embed", dialect::ollama},
        {"/ollama/api/tags", dialect::ollama},
        {"/", dialect::generic},
        {"", dialect::generic},
        {"/v1/files", dialect::generic},
        {"/v1/my-messages", dialect::generic},
        {"/v1/chatcompletions", dialect::generic},
    };
    for (const auto& [path, want] : rows) {
        CAPTURE(path);
        CHECK(wire::to_string(wire::dialect_of_path(path)) == wire::to_string(want));
    }
}

TEST_CASE("Google's name of a status follows google.rpc.Code") {
    CHECK(wire::google_status(429) == "RESOURCE_EXHAUSTED");
    CHECK(wire::google_status(504) == "DEADLINE_EXCEEDED");
    CHECK(wire::google_status(418) == "INVALID_ARGUMENT");
    CHECK(wire::google_status(599) == "UNKNOWN");
}

} // namespace evenkeel::test::error_body_test
