#include "proxy/wire/calls.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

namespace evenkeel::test::calls_test {

namespace {
struct row {
    std::string_view path;
    std::string_view shape; // empty: no call that we know
    std::size_t base = 0;
};

constexpr row rows[] = {
    // Each provider's own paths.
    {"/v1/chat/completions", "chat/completions"},
    {"/v1/completions", "completions"},
    {"/v1/responses", "responses"},
    {"/v1/responses/input_tokens", "responses/input_tokens"},
    {"/v1/embeddings", "embeddings"},
    {"/v1/moderations", "moderations"},
    {"/v1/audio/transcriptions", "audio/transcriptions"},
    {"/v1/audio/translations", "audio/translations"},
    {"/v1/audio/speech", "audio/speech"},
    {"/v1/images/generations", "images/generations"},
    {"/v1/images/edits", "images/edits"},
    {"/v1/images/variations", "images/variations"},
    {"/v1/messages", "messages"},
    {"/v1/messages/", "messages"},
    {"/v1/messages/count_tokens", "messages/count_tokens"},
    {"/v1beta/models/gemini-2.5-pro:generateContent", "{}:generateContent"},
    {"/v1beta/models/gemini-2.5-pro:streamGenerateContent", "{}:streamGenerateContent"},
    {"/v1beta/models/g:countTokens", "{}:countTokens"},
    {"/v1beta/models/g:embedContent", "{}:embedContent"},
    {"/v1beta/models/g:batchEmbedContents", "{}:batchEmbedContents"},
    {"/v1beta/tunedModels/mine:generateContent", "{}:generateContent"},
    {"/v1/projects/p/locations/l/publishers/google/models/g:generateContent", "{}:generateContent"},
    {"/v1/projects/p/locations/l/publishers/google/models/imagen:predict", "models/{}:predict"},
    {"/v1/projects/p/locations/l/publishers/anthropic/models/c:rawPredict",
     "publishers/anthropic/models/{}:rawPredict"},
    {"/v1/projects/p/publishers/anthropic/models/c:streamRawPredict",
     "publishers/anthropic/models/{}:streamRawPredict"},
    {"/v1/projects/p/locations/l/publishers/mistralai/models/m:rawPredict", "models/{}:rawPredict"},
    {"/v1/projects/p/locations/l/endpoints/openapi/chat/completions", "chat/completions"},
    {"/api/chat", "api/chat"},
    {"/api/generate", "api/generate"},
    {"/api/embed", "api/embed"},
    {"/api/embeddings", "api/embeddings"},
    {"/model/anthropic.claude-v2:1/invoke", "model/{}/invoke"},
    {"/model/m/converse-stream", "model/{}/converse-stream"},
    {"/v2/rerank", "rerank"},
    {"/v2/chat", "v2/chat"},
    {"/v1/score", "score"},
    {"/rerank", "rerank"},
    {"/tokenize", "tokenize"},
    {"/v1/fim/completions", "fim/completions"},
    {"/serving-endpoints/mine/invocations", "serving-endpoints/{}/invocations"},

    // Behind a gateway.
    {"/openai/deployments/gpt/chat/completions", "chat/completions"},
    {"/openai/deployments/gpt/embeddings", "embeddings"},
    {"/openai/v1/responses", "responses"},
    {"/v1/engines/davinci/completions", "completions"},
    {"/proxy/openai/v1/chat/completions", "chat/completions"},
    {"/team-7/chat/completions", "chat/completions"},
    {"/api/paas/v4/chat/completions", "chat/completions"},
    {"/anthropic/v1/messages", "messages"},
    {"/anthropic/messages", "messages"},
    {"/v1/0a1b2c/gateway/openai/responses", "responses"},
    {"/v1/0a1b2c/gateway/compat/chat/completions", "chat/completions"},
    {"/beta/completions", "completions"},
    {"/ollama/api/chat", "api/chat"},
    {"/gateway/team7/messages", "messages", 14},
    {"/gateway/team7/embeddings", "embeddings", 14},
    {"/gateway/team7/v1/embeddings", "embeddings", 14},

    // Parts of something stored, whatever they end like, and wherever the base ends.
    {"/v1/threads/t1/messages", ""},
    {"/v1/threads/t1/messages", "", 3},
    {"/threads/t1/messages", ""},
    {"/v1/threads/t1/v1/messages", ""},
    {"/v1/threads/t1/messages", "", 14},
    {"/openai/threads/t1/messages", ""},
    {"/proxy/openai/v1/threads/t1/messages", ""},
    {"/v1/threads/t1/runs", ""},
    {"/v1/conversations/c1/responses", ""},
    {"/v1/conversations/c1/v2/chat/completions", ""},
    {"/v1/sessions/s1/chat/completions", ""},
    {"/v1/batches/b1/embeddings", ""},
    {"/v1/files/f1/moderations", ""},
    {"/v1/reasoningEngines/r1:streamGenerateContent", ""},
    {"/v1/reasoningEngines/r1/models/m:generateContent", ""},
    {"/v1beta/cachedContents/c/models/g:generateContent", ""},

    // Behind an identifier, or something that may be one.
    {"/v1/users/u1/messages", ""},
    {"/v1/rooms/42/messages", ""},
    {"/inbox/messages", ""},
    {"/v1/orders/7/score", ""},
    {"/app/7/api/chat", ""},
    {"/v1/documents/d1/embeddings", ""},
    {"/gateway/team7/users/u1/messages", "", 14},
    {"/v1/chat/completions/c1/messages", ""},
    {"/v1/responses/r1/input_items", ""},
    {"/v1%2Fthreads%2Ft1/messages", ""},
    {"/v1//messages", ""},
    {"/v1/threads/t1/../../messages", ""},

    // Known to leave something behind, or to be something else.
    {"/v1/messages/batches", ""},
    {"/v1/files", ""},
    {"/v1/batches", ""},
    {"/v1/fine_tuning/jobs", ""},
    {"/v1/responses/r1/cancel", ""},
    {"/v1/chat/completions/c1", ""},
    {"/v1/conversations", ""},
    {"/v1/threads/runs", ""},
    {"/v1/videos", ""},
    {"/v1beta/models/g:batchGenerateContent", ""},
    {"/v1beta/models/g:asyncBatchEmbedContent", ""},
    {"/v1beta/models/g:predictLongRunning", ""},
    {"/v1/projects/p/jobs/j:predict", ""},
    {"/v1beta/models/:generateContent", ""}, // no model
    {"/v1/my-messages", ""},
    {"/v1/chatcompletions", ""},
    {"/v10x/messages", ""},
    {"/version/messages", ""},
    {"/api/chats", ""},
    {"/chat", ""},
    {"/v1/chat", ""},
    {"messages", ""},
    {"/", ""},
    {"", ""},
};
} // namespace

TEST_CASE("a path is a call by its whole, not by how it ends") {
    for (const row& one : rows) {
        CAPTURE(one.path);
        CAPTURE(one.base);
        const wire::call* const found = wire::find_call(one.path, one.base);
        CHECK((found != nullptr ? found->shape : std::string_view{}) == one.shape);
    }
}

TEST_CASE(
    "a stored or background response is recognised by its members, wherever they stand and however they are spelled") {
    const struct {
        std::string_view body;
        bool stores;
    } bodies[] = {
        {R"({"input":"x"})", false},
        {"{}", false},
        {" \r\n{\"input\":\"x\"}\n", false},
        {R"({"store":false})", false},
        {R"({"store": null, "background": null, "conversation": null})", false},
        {R"({"tools":[{"type":"function","parameters":{"properties":{"store":{"type":"boolean"}}}}]})", false},
        {R"({"input":"say \"store\": true","metadata":{"background":true}})", false},
        {R"({"previous_response_id":"r1"})", false},
        {R"({"input":"caf\u00e9"})", false},
        {R"({"store":true})", true},
        {R"({"store" : true , "input":[]})", true},
        {R"({"input":"x","background":true})", true},
        {R"({"background":1})", true},
        {R"({"conversation":"conv_1"})", true},
        {R"({"conversation":{"id":"conv_1"},"store":false})", true},
        {R"({"store":false,"store":true})", true},
        {R"({"st\u006fre":true})", true},
        {R"({"input":"\"store\"")", true}, // breaks off
        {R"({"store":false,})", true},
        {R"([{"store":false}])", true},
        {"\x1f\x8b\x08", true},
        {"", true},
    };
    for (const auto& one : bodies) {
        CAPTURE(one.body);
        CHECK(wire::stores_something(one.body) == one.stores);
    }
}

} // namespace evenkeel::test::calls_test
