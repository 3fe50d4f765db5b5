#include "policies/outcome.hpp"

#include <doctest/doctest.h>

#include <vector>

namespace evenkeel::test::outcome_test {

using namespace std::chrono_literals;

namespace {
using enum outcome_class;
using enum outcome_kind;
constexpr duration cap = 60s;

struct row {
    const char* name;
    int status; // 0: inside a 200
    error_words said;
    std::optional<duration> hint;
    verdict expected;
};
error_words code(std::string_view word, std::string_view message = {}) { return {{}, word, {}, message, {}, {}}; }
error_words type(std::string_view word, std::string_view message = {}) { return {word, {}, {}, message, {}, {}}; }
error_words google(std::string_view status, std::string_view quota = {}, std::optional<duration> delay = {},
                   std::string_view message = {}) {
    return {{}, {}, status, message, quota, delay};
}
} // namespace

TEST_CASE("P2.1: every row of the classification tables") {
    const std::vector<row> rows{
        {"200", 200, {}, {}, {success, answered}},
        {"304", 304, {}, {}, {success, answered}},
        {"400", 400, {}, {}, {success, caller_error}},
        {"404", 404, {}, {}, {success, caller_error}},
        {"413", 413, {}, {}, {success, caller_error}},
        {"422", 422, {}, {}, {success, caller_error}},
        {"418, any other 4xx", 418, {}, {}, {success, caller_error}},
        {"401", 401, {}, {}, {neutral, credential}},
        {"403", 403, {}, {}, {neutral, credential}},
        {"402", 402, {}, {}, {throttled, quota}},
        {"408", 408, {}, {}, {failure, server_error}},
        {"409", 409, {}, {}, {neutral, server_error}},
        {"425", 425, {}, {}, {neutral, server_error}},
        {"424, Bedrock's model error", 424, {}, {}, {failure, server_error}},
        {"429", 429, {}, {}, {throttled, rate_limited}},
        {"429 with a hint", 429, {}, 3s, {throttled, rate_limited}},
        {"500", 500, {}, {}, {failure, server_error}},
        {"502 HTML", 502, {}, {}, {failure, server_error}},
        {"503", 503, {}, {}, {failure, server_error}},
        {"503 with a hint", 503, {}, 2s, {throttled, overloaded}},
        {"504", 504, {}, {}, {failure, server_error}},
        {"520", 520, {}, {}, {failure, server_error}},
        {"524", 524, {}, {}, {failure, server_error}},
        {"529", 529, {}, {}, {throttled, overloaded}},
        {"OpenAI rate limit", 429, code("rate_limit_exceeded"), 1s, {throttled, rate_limited}},
        {"OpenAI slow down", 429, code("slow_down"), {}, {throttled, overloaded}},
        {"OpenAI overloaded",
         503,
         {"service_unavailable_error", "server_is_overloaded", {}, {}, {}, {}},
         {},
         {throttled, overloaded}},
        {"OpenAI quota, type", 429, type("insufficient_quota"), {}, {throttled, quota}},
        {"OpenAI quota, code", 429, code("insufficient_quota"), {}, {throttled, quota}},
        {"OpenAI credit", 429, code("credit_balance_exhausted"), {}, {throttled, quota}},
        {"OpenAI organisation spend", 429, code("organization_spend_limit_exceeded"), {}, {throttled, quota}},
        {"OpenAI project spend", 429, code("project_spend_limit_exceeded"), {}, {throttled, quota}},
        {"OpenAI usage", 429, code("organization_usage_limit_exceeded"), {}, {throttled, quota}},
        {"OpenAI quota with a hint all the same", 429, code("insufficient_quota"), 1s, {throttled, quota}},
        {"Anthropic rate limit", 429, type("rate_limit_error"), 5s, {throttled, rate_limited}},
        {"Anthropic spend limit",
         429,
         {"rate_limit_error", "enforced_spend_limit_reached", {}, {}, {}, {}},
         {},
         {throttled, quota}},
        {"Anthropic credit",
         400,
         type("invalid_request_error", "Your credit balance is too low to access the API."),
         {},
         {throttled, quota}},
        {"Anthropic own spend limit",
         400,
         type("invalid_request_error", "You have reached your specified API usage limits."),
         {},
         {throttled, quota}},
        {"Anthropic billing", 402, type("billing_error"), {}, {throttled, quota}},
        {"Anthropic overloaded", 529, type("overloaded_error"), {}, {throttled, overloaded}},
        {"Anthropic api error", 500, type("api_error"), {}, {failure, server_error}},
        {"Anthropic too large", 413, type("request_too_large"), {}, {success, caller_error}},
        {"context length", 400, code("context_length_exceeded"), {}, {success, caller_error}},
        {"context length under a 500", 500, code("context_length_exceeded"), {}, {success, caller_error}},
        {"prompt too long",
         400,
         type("invalid_request_error", "prompt is too long: 250000 tokens"),
         {},
         {success, caller_error}},
        {"content filter", 400, code("content_filter"), {}, {success, caller_error}},
        {"content policy", 400, code("content_policy_violation"), {}, {success, caller_error}},
        {"Azure content filter", 400, code("ResponsibleAIPolicyViolation"), {}, {success, caller_error}},
        {"DeepSeek balance", 402, code("invalid_request_error", "Insufficient Balance"), {}, {throttled, quota}},
        {"DeepSeek concurrency", 429, {}, {}, {throttled, rate_limited}},
        {"Gemini minute",
         429,
         google("RESOURCE_EXHAUSTED", "GenerateRequestsPerMinutePerProject", 20s),
         {},
         {throttled, rate_limited}},
        {"Gemini day",
         429,
         google("RESOURCE_EXHAUSTED", "GenerateRequestsPerDayPerProject", 20s),
         {},
         {throttled, quota}},
        {"Gemini long delay", 429, google("RESOURCE_EXHAUSTED", {}, 61s), {}, {throttled, quota}},
        {"Gemini limit 0",
         429,
         google("RESOURCE_EXHAUSTED", {}, {}, "Quota exceeded, limit: 0"),
         {},
         {throttled, quota}},
        {"Gemini unavailable", 503, google("UNAVAILABLE"), {}, {throttled, overloaded}},
        {"Gemini deadline", 504, google("DEADLINE_EXCEEDED"), {}, {throttled, overloaded}},
        {"a model called like an empty purse",
         404,
         type("invalid_request_error", "The model 'insufficient balance' does not exist"),
         {},
         {success, caller_error}},
        {"B6: Gemini's minute in the prose of a spent quota",
         429,
         google("RESOURCE_EXHAUSTED", "GenerateRequestsPerMinutePerProjectPerModel", 1s,
                "You exceeded your current quota, please check your plan and billing details."),
         1s,
         {throttled, rate_limited}},
        {"B6: the same without a quotaId, by its delay",
         429,
         google("RESOURCE_EXHAUSTED", {}, 1s, "You exceeded your current quota."),
         {},
         {throttled, rate_limited}},
        {"B6: the same prose and no field that says anything",
         429,
         google("RESOURCE_EXHAUSTED", {}, {}, "You exceeded your current quota."),
         {},
         {throttled, quota}},
        {"B6: a rate by its code, whatever the prose",
         429,
         code("rate_limit_exceeded", "You exceeded your current quota."),
         {},
         {throttled, rate_limited}},
        {"B7: Moonshot",
         429,
         type("exceeded_current_quota_error", "Your account is inactive."),
         {},
         {throttled, quota}},
        {"B7: one-api", 403, code("insufficient_user_quota"), {}, {throttled, quota}},
        {"B7: DashScope", 400, code("Arrearage", "Access denied."), {}, {throttled, quota}},
        {"Bedrock quota", 400, code("ServiceQuotaExceededException"), {}, {success, caller_error}},
        {"Bedrock throttling", 429, code("ThrottlingException"), {}, {throttled, rate_limited}},
        {"a key word in a 500 is part of its story", 500, code("invalid_api_key"), {}, {failure, server_error}},
        {"a key word in a 400 is a key", 400, code("invalid_api_key"), {}, {neutral, credential}},

        {"event: Anthropic overloaded", 0, type("overloaded_error"), {}, {throttled, overloaded}},
        {"event: Anthropic rate limit", 0, type("rate_limit_error"), {}, {throttled, rate_limited}},
        {"event: Anthropic api error", 0, type("api_error"), {}, {failure, server_error}},
        {"event: invalid request", 0, type("invalid_request_error"), {}, {success, caller_error}},
        {"event: authentication", 0, type("authentication_error"), {}, {neutral, credential}},
        {"event: OpenAI server error", 0, type("server_error"), {}, {failure, server_error}},
        {"event: quota", 0, code("insufficient_quota"), {}, {throttled, quota}},
        {"event: B6, a minute in the prose of a spent quota",
         0,
         google("RESOURCE_EXHAUSTED", "PerMinute", 1s, "exceeded your current quota"),
         {},
         {throttled, rate_limited}},
        {"event: a status as code", 0, code("429"), {}, {throttled, rate_limited}},
        {"event: OpenRouter 502", 0, code("502"), {}, {failure, server_error}},
        {"event: vLLM 400", 0, {"BadRequestError", "400", {}, {}, {}, {}}, {}, {success, caller_error}},
        {"event: Gemini unavailable", 0, {{}, "503", "UNAVAILABLE", {}, {}, {}}, {}, {throttled, overloaded}},
        {"event: nothing known", 0, {}, {}, {failure, server_error}},
        {"event: a code that is no status", 0, code("200"), {}, {failure, server_error}},
    };
    for (const row& one : rows) {
        CAPTURE(one.name);
        const verdict got =
            one.status == 0 ? classify_embedded(one.said, cap) : classify_answer(one.status, one.said, one.hint, cap);
        CHECK(to_string(got.kind) == to_string(one.expected.kind));
        CHECK(to_string(got.is) == to_string(one.expected.is));
    }
}

TEST_CASE("C2: which answers say that nothing was done") {
    for (const int status : {401, 402, 403, 413, 429, 498, 529}) CHECK(is_refusal(status, false));
    CHECK(is_refusal(503, true));
    CHECK(!is_refusal(503, false));
    for (const int status : {200, 400, 404, 408, 409, 422, 424, 425, 500, 501, 502, 504, 520})
        CHECK(!is_refusal(status, true));
}

TEST_CASE("C4: 498 says that there is no room") {
    CHECK(classify_answer(498, {}, std::nullopt, std::chrono::seconds{60}) ==
          verdict{outcome_class::throttled, outcome_kind::overloaded});
}

TEST_CASE("a refused credential: what the answer says it is about") {
    using enum refused_over;
    struct row {
        const char* name;
        error_words said;
        refused_over expected;
    };
    const auto words = [](std::string_view type, std::string_view code, std::string_view status,
                          std::string_view message) {
        return error_words{
            .type = type, .code = code, .status = status, .message = message, .quota = {}, .retry_delay = {}};
    };
    for (const row& r : {
             row{"OpenAI, 401",
                 words("invalid_request_error", "invalid_api_key", "", "Incorrect API key provided: sk-abc."), key},
             {"OpenAI, account", words("invalid_request_error", "account_deactivated", "", ""), key},
             {"OpenAI, message only", words("invalid_request_error", "", "", "Incorrect API key provided: sk-abc."),
              key},
             {"OpenAI, no key",
              words("invalid_request_error", "", "", "You didn't provide an API key. You need to ..."), key},
             {"OpenAI, scopes (401)",
              words("invalid_request_error", "", "",
                    "You have insufficient permissions for this operation. Missing scopes: model.request"),
              request},
             {"OpenAI, model (403)",
              words("invalid_request_error", "model_not_found", "", "Project `p` does not have access to model `m`"),
              request},
             {"OpenAI, country (403)",
              words("request_forbidden", "unsupported_country_region_territory", "",
                    "Country, region, or territory not supported"),
              request},
             {"Anthropic, 401", words("authentication_error", "", "", "invalid x-api-key"), key},
             {"Anthropic, 403",
              words("permission_error", "", "", "Your API key does not have permission to use the specified resource."),
              request},
             {"Anthropic, revoked (403)",
              words("permission_error", "", "", "OAuth token has been revoked. Please obtain a new token."), key},
             {"Google, 400/401", words("", "401", "UNAUTHENTICATED", "Request had invalid authentication credentials."),
              key},
             {"Google, bare", words("", "401", "UNAUTHENTICATED", ""), key},
             {"Google, 403", words("", "403", "PERMISSION_DENIED", "Permission denied on resource project p."),
              request},
             {"Google, expired", words("", "403", "PERMISSION_DENIED", "API key expired. Please renew the API key."),
              key},
             {"Azure, 401",
              words("", "401", "", "Access denied due to invalid subscription key or wrong API endpoint."), key},
             {"OpenRouter, 401", words("", "401", "", "No auth credentials found"), key},
             {"OpenRouter, 403", words("", "403", "", "Input was flagged by moderation"), request},
             {"LiteLLM, model (401)",
              words("key_model_access_denied", "401", "",
                    "key not allowed to access model. This key can only access models=[a]"),
              request},
             {"DeepSeek, 401",
              words("authentication_error", "invalid_request_error", "",
                    "Authentication Fails, Your api key: ****abcd is invalid"),
              key},
             {"Bedrock, model",
              words("", "AccessDeniedException", "", "You don't have access to the model with the specified model ID."),
              request},
             {"Bedrock, key",
              words("", "UnrecognizedClientException", "", "The security token included in the request is invalid."),
              key},
             {"content", words("", "content_policy_violation", "", ""), request},
             {"a model named in the caller's words", words("", "", "", "model \"revoked-api-key\" cannot be used"),
              unknown},
             {"nothing", words("", "", "", ""), unknown},
             {"a page of a CDN", words("", "", "", "Attention required"), unknown},
             {"a plain word", words("forbidden", "403", "", "Forbidden"), unknown},
         }) {
        CAPTURE(r.name);
        CHECK(refused_over_what(r.said) == r.expected);
    }
}

} // namespace evenkeel::test::outcome_test
