#include "proxy/wire/error_body.hpp"

#include "proxy/wire/calls.hpp"
#include "proxy/wire/json_model.hpp"

namespace evenkeel::wire {

namespace {

void append_string(std::string& out, std::string_view text) {
    out.push_back('"');
    append_json_escaped(out, text);
    out.push_back('"');
}

} // namespace

std::string_view to_string(dialect which) noexcept {
    switch (which) {
    case dialect::openai: return "openai";
    case dialect::anthropic: return "anthropic";
    case dialect::gemini: return "gemini";
    case dialect::ollama: return "ollama";
    case dialect::generic: break;
    }
    return "generic";
}

dialect dialect_of_path(std::string_view path, std::size_t base) noexcept {
    const call* const found = find_call(path, base);
    return found != nullptr ? found->speaks : dialect::generic;
}

std::string_view google_status(int http_status) noexcept {
    switch (http_status) {
    case 400: return "INVALID_ARGUMENT";
    case 401: return "UNAUTHENTICATED";
    case 403: return "PERMISSION_DENIED";
    case 404: return "NOT_FOUND";
    case 409: return "ABORTED";
    case 429: return "RESOURCE_EXHAUSTED";
    case 499: return "CANCELLED";
    case 500: return "INTERNAL";
    case 501: return "UNIMPLEMENTED";
    case 502:
    case 503: return "UNAVAILABLE";
    case 504: return "DEADLINE_EXCEEDED";
    default: return http_status >= 400 && http_status < 500 ? "INVALID_ARGUMENT" : "UNKNOWN";
    }
}

std::string error_body(dialect which, int status, std::string_view code, std::string_view message) {
    std::string out;
    out.reserve(96 + code.size() + message.size());
    switch (which) {
    case dialect::anthropic:
        // The SDK raises by status and shows type and message; the code goes along for programs.
        out.append(R"({"type":"error","error":{"type":"evenkeel_error","message":)");
        append_string(out, message);
        out.append(R"(,"code":)");
        append_string(out, code);
        out.append("}}");
        break;
    case dialect::gemini:
        out.append(R"({"error":{"code":)");
        out.append(std::to_string(status));
        out.append(R"(,"message":)");
        append_string(out, message);
        out.append(R"(,"status":)");
        append_string(out, google_status(status));
        out.append("}}");
        break;
    case dialect::ollama:
        out.append(R"({"error":)");
        append_string(out, message);
        out.append("}");
        break;
    case dialect::openai:
    case dialect::generic:
        out.append(R"({"error":{"message":)");
        append_string(out, message);
        out.append(R"(,"type":"evenkeel_error","param":null,"code":)");
        append_string(out, code);
        out.append("}}");
        break;
    }
    return out;
}

} // namespace evenkeel::wire
