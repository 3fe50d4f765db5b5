#include "proxy/wire/upcast_request.hpp"

#include <doctest/doctest.h>

#include <string>

namespace evenkeel::test::upcast_request_test {

using namespace evenkeel::wire;

TEST_CASE("a request becomes one for a stream, and keeps every other byte") {
    struct row {
        const char *body, *openai, *anthropic;
    };
    for (const row& one :
         {row{R"({"model":"m"})", R"({"model":"m","stream":true,"stream_options":{"include_usage":true}})",
              R"({"model":"m","stream":true})"},
          row{"{ \"model\" : \"m\" ,\n \"t\":1.50 }\n",
              "{ \"model\" : \"m\" ,\n \"t\":1.50,\"stream\":true,\"stream_options\":{\"include_usage\":true} }\n",
              "{ \"model\" : \"m\" ,\n \"t\":1.50,\"stream\":true }\n"},
          row{R"({"stream":false,"model":"m"})",
              R"({"stream":true,"model":"m","stream_options":{"include_usage":true}})",
              R"({"stream":true,"model":"m"})"},
          row{R"({"a":1,"stream": null})", R"({"a":1,"stream": true,"stream_options":{"include_usage":true}})",
              R"({"a":1,"stream": true})"},
          row{R"({"\u0073tream":false})", R"({"\u0073tream":true,"stream_options":{"include_usage":true}})",
              R"({"\u0073tream":true})"},
          row{R"({"n":1,"logprobs":false,"audio":null,"tools":[{"stream":false}]})",
              R"({"n":1,"logprobs":false,"audio":null,"tools":[{"stream":false}],"stream":true,)"
              R"("stream_options":{"include_usage":true}})",
              nullptr}}) {
        CAPTURE(one.body);
        CHECK(upcast_request(dialect::openai, one.body) == std::string{one.openai});
        if (one.anthropic != nullptr) CHECK(upcast_request(dialect::anthropic, one.body) == std::string{one.anthropic});
    }
    CHECK(upcast_request(dialect::openai, R"({"stream_options":null,"a":1,"stream":null})") ==
          R"({"stream_options":{"include_usage":true},"a":1,"stream":true})");
    CHECK(upcast_request(dialect::openai, R"({"stream":null,"stream_options":null})") ==
          R"({"stream":true,"stream_options":{"include_usage":true}})");
}

TEST_CASE("what a stream would not tell the same is not asked for as one") {
    for (const char* body :
         {"", "{}", "[]", "1", "{\"a\":1", "{\"a\":1}}", R"({"a":1,"a":1})", R"({"stream":true})", R"({"stream":1})",
          R"({"n":2})", R"({"n":1.0})", R"({"logprobs":true})", R"({"top_logprobs":2})", R"({"audio":{}})",
          R"({"modalities":["text"]})", R"({"stream_options":{}})", R"({"web_search_options":{}})", R"({"best_of":2})",
          R"({"stream":false,"\u0073tream":false})"}) {
        CAPTURE(body);
        CHECK_FALSE(upcast_request(dialect::openai, body));
    }
    for (const char* body : {"", "{}", R"({"stream":true})", R"({"mcp_servers":[]})", R"({"container":"c"})",
                             R"({"context_management":{}})"}) {
        CAPTURE(body);
        CHECK_FALSE(upcast_request(dialect::anthropic, body));
    }
    CHECK(upcast_request(dialect::anthropic, R"({"n":2})")); // means nothing there
}

TEST_CASE("chat completions and messages are asked for as streams, nothing else") {
    CHECK(upcast_dialect(dialect::openai, "/v1/chat/completions") == dialect::openai);
    CHECK(upcast_dialect(dialect::openai, "/openai/deployments/d/chat/completions?api-version=1") == dialect::openai);
    CHECK(upcast_dialect(dialect::anthropic, "/v1/messages") == dialect::anthropic);
    CHECK_FALSE(upcast_dialect(dialect::openai, "/v1/completions"));
    CHECK_FALSE(upcast_dialect(dialect::openai, "/v1/responses"));
    CHECK_FALSE(upcast_dialect(dialect::openai, "/v1/messages"));
    CHECK_FALSE(upcast_dialect(dialect::anthropic, "/v1/messages/count_tokens"));
    CHECK_FALSE(upcast_dialect(dialect::gemini, "/v1/chat/completions"));
    CHECK_FALSE(upcast_dialect(dialect::generic, "/v1/chat/completions"));
}

} // namespace evenkeel::test::upcast_request_test
