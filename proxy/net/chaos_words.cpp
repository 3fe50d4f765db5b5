#include "proxy/net/chaos_words.hpp"

#include "proxy/wire/json_model.hpp"

#include <chrono>
#include <string_view>

namespace evenkeel::net {

namespace {

constexpr std::string_view message = "injected by evenkeel's chaos rules";
constexpr int in_stream_status = 503; // of an error inside a 200, where a dialect writes a number

void quote(std::string& out, std::string_view text) {
    out += '"';
    wire::append_json_escaped(out, text);
    out += '"';
}

// What OpenAI and Anthropic call the error of a status (reference: ecosystem 6.2; both providers' error pages).
std::string_view type_of(int status, bool anthropic) noexcept {
    switch (status) {
    case 401: return "authentication_error";
    case 402: return anthropic ? "billing_error" : "insufficient_quota";
    case 403: return "permission_error";
    case 404: return "not_found_error";
    case 413: return anthropic ? "request_too_large" : "invalid_request_error";
    case 429: return "rate_limit_error";
    case 503: return anthropic ? "overloaded_error" : "server_error";
    case 529: return "overloaded_error";
    default: break;
    }
    if (status < 500) return "invalid_request_error";
    return anthropic ? "api_error" : "server_error";
}

} // namespace

std::string provider_error(wire::dialect which, int status, const std::string& code) {
    std::string out;
    switch (which) {
    case wire::dialect::anthropic:
        out = R"({"type":"error","error":{"type":)";
        quote(out, code.empty() ? type_of(status, true) : std::string_view{code});
        out += R"(,"message":)";
        quote(out, message);
        out += "}}";
        break;
    case wire::dialect::gemini:
        out = R"({"error":{"code":)" + std::to_string(status) + R"(,"message":)";
        quote(out, message);
        out += R"(,"status":)";
        quote(out, code.empty() ? wire::google_status(status) : std::string_view{code});
        out += "}}";
        break;
    case wire::dialect::ollama:
        out = R"({"error":)";
        quote(out, message);
        if (!code.empty()) {
            out += R"(,"code":)";
            quote(out, code);
        }
        out += "}";
        break;
    case wire::dialect::openai:
    case wire::dialect::generic:
        out = R"({"error":{"message":)";
        quote(out, message);
        out += R"(,"type":)";
        quote(out, type_of(status, false));
        out += R"(,"param":null,"code":)";
        if (!code.empty()) {
            quote(out, code);
        } else if (status == 429) {
            quote(out, "rate_limit_exceeded");
        } else {
            out += "null";
        }
        out += "}}";
        break;
    }
    return out;
}

std::string abort_answer(const chaos_fault_options& fault, wire::dialect which, bool head_request) {
    const std::string body = provider_error(which, fault.status, fault.code);
    std::string out = "HTTP/1.1 " + std::to_string(fault.status) + " Injected\r\nContent-Type: application/json\r\n";
    if (fault.retry_after) {
        const auto seconds = std::chrono::ceil<std::chrono::seconds>(*fault.retry_after).count();
        out += "Retry-After: " + std::to_string(seconds) + "\r\n";
    }
    out += "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n";
    if (!head_request) out += body;
    return out;
}

std::string error_event(const chaos_fault_options& fault, wire::dialect which, bool lines) {
    const std::string error = provider_error(which, in_stream_status, fault.code);
    if (lines) return error + "\n";
    return (which == wire::dialect::anthropic ? "event: error\ndata: " : "data: ") + error + "\n\n";
}

} // namespace evenkeel::net
