#include "proxy/provider/errors.hpp"

#include "proxy/provider/text.hpp"

#include <boost/json/serialize.hpp>
#include <boost/json/string.hpp>

namespace evenkeel::provider {

namespace {

struct error_text {
    int status;
    std::string_view type, code, message, param = {};
};

error_text openai_error(error_kind kind, int status) {
    using enum error_kind;
    switch (kind) {
    case rate:
        return {429, "requests", "rate_limit_exceeded",
                "Rate limit reached for requests per min. Please try again later."};
    case quota:
        return {429, "insufficient_quota", "insufficient_quota",
                "You exceeded your current quota, please check your plan and billing details."};
    case overload:
        if (status == 429) return {429, "service_unavailable_error", "slow_down", "Slow down."};
        return {503, "service_unavailable_error", "server_is_overloaded",
                "The server is overloaded. Please try again later."};
    case timeout: return {504, "server_error", "timeout", "The request timed out."};
    case invalid: return {400, "invalid_request_error", "", "We could not parse the JSON body of your request."};
    case auth: return {401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided: sk-sim."};
    case billing: return {402, "unknown_error", "invalid_request_error", "Insufficient Balance"};
    case permission:
        return {403, "request_forbidden", "unsupported_country_region_territory",
                "Country, region, or territory not supported"};
    case not_found:
        return {404, "invalid_request_error", "model_not_found",
                "The model does not exist or you do not have access to it."};
    case conflict: return {409, "conflict_error", "", "The request conflicts with another one."};
    case too_large: return {413, "invalid_request_error", "request_too_large", "The request is too large."};
    case context_length:
        return {400, "invalid_request_error", "context_length_exceeded",
                "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens.",
                "messages"};
    case content_filter:
        return {400, "invalid_request_error", "content_filter",
                "The response was filtered due to the prompt triggering the content management policy.", "prompt"};
    case none:
    case server: break;
    }
    return {500, "server_error", "", "The server had an error while processing your request. Sorry about that!"};
}

error_text anthropic_error(error_kind kind) {
    using enum error_kind;
    switch (kind) {
    case rate: return {429, "rate_limit_error", "", "This request would exceed your organization's rate limit."};
    case quota: return {429, "rate_limit_error", "enforced_spend_limit_reached", "You have reached your spend limit."};
    case overload: return {529, "overloaded_error", "", "Overloaded"};
    case timeout: return {504, "timeout_error", "", "The request timed out."};
    case invalid: return {400, "invalid_request_error", "", "messages: Field required"};
    case auth: return {401, "authentication_error", "", "invalid x-api-key"};
    case billing: return {402, "billing_error", "", "Your credit balance is too low to access the API."};
    case permission: return {403, "permission_error", "", "Your API key does not have permission for this resource."};
    case not_found: return {404, "not_found_error", "", "model: no-such-model"};
    case conflict: return {409, "invalid_request_error", "", "The request conflicts with another one."};
    case too_large: return {413, "request_too_large", "", "Request exceeds the maximum size"};
    case context_length:
        return {400, "invalid_request_error", "", "prompt is too long: 210000 tokens > 200000 maximum"};
    case content_filter: return {400, "invalid_request_error", "", "Output blocked by content filtering policy"};
    case none:
    case server: break;
    }
    return {500, "api_error", "", "Internal server error"};
}

} // namespace

error_kind kind_of_status(int status) {
    using enum error_kind;
    switch (status) {
    case 400:
    case 422: return invalid;
    case 401: return auth;
    case 402: return billing;
    case 403: return permission;
    case 404: return not_found;
    case 408:
    case 504: return timeout;
    case 409: return conflict;
    case 413: return too_large;
    case 429: return rate;
    case 503:
    case 529: return overload;
    default: return server;
    }
}

int usual_status(provider_dialect dialect, error_kind kind) {
    return dialect == provider_dialect::openai ? openai_error(kind, 0).status : anthropic_error(kind).status;
}

std::string error_object(provider_dialect dialect, error_kind kind, int status) {
    if (dialect == provider_dialect::openai) {
        const auto e = openai_error(kind, status);
        return "{\"message\":" + quoted(e.message) + ",\"type\":" + quoted(e.type) +
               ",\"param\":" + (e.param.empty() ? "null" : quoted(e.param)) +
               ",\"code\":" + (e.code.empty() ? "null" : quoted(e.code)) + "}";
    }
    const auto e = anthropic_error(kind);
    return "{\"type\":" + quoted(e.type) + ",\"message\":" + quoted(e.message) +
           (e.code.empty() ? "" : ",\"details\":{\"error_code\":" + quoted(e.code) + "}") + "}";
}

std::string stream_error(provider_dialect dialect, error_kind kind, bool as_data) {
    const auto object = error_object(dialect, kind == error_kind::none ? error_kind::overload : kind, 503);
    if (dialect == provider_dialect::anthropic)
        return "event: error\ndata: {\"type\":\"error\",\"error\":" + object + "}\n\n";
    return as_data ? "data: {\"error\":" + object + "}\n\n" : "event: error\ndata: {\"error\":" + object + "}\n\n";
}

} // namespace evenkeel::provider
