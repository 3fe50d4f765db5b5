#include "proxy/wire/error_body.hpp"

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
    case dialect::openai:
        return "openai";
    case dialect::anthropic:
        return "anthropic";
    case dialect::gemini:
        return "gemini";
    case dialect::ollama:
        return "ollama";
    case dialect::generic:
        break;
    }
    return "generic";
}

dialect dialect_of_path(std::string_view path) noexcept {
    if (path.ends_with(std::string_view{"/chat/completions"})) return dialect::openai; // as good as always
    if (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
    if (path.ends_with(":generateContent") || path.ends_with(":streamGenerateContent") ||
        path.ends_with(":countTokens") || path.ends_with(":embedContent") || path.ends_with(":batchEmbedContents"))
        return dialect::gemini;
    if (path.ends_with("/messages/count_tokens")) return dialect::anthropic;
    // A thread's messages are OpenAI's (Assistants); Anthropic's endpoint has nothing of the kind before it.
    if (path.ends_with("/messages") && path.find("/threads/") == std::string_view::npos) return dialect::anthropic;
    for (const std::string_view tail : {"/api/chat", "/api/generate", "/api/embed", "/api/embeddings", "/api/tags"})
        if (path.ends_with(tail)) return dialect::ollama;
    for (const std::string_view tail :
         {"/chat/completions", "/completions", "/responses", "/embeddings", "/models", "/moderations"})
        if (path.ends_with(tail)) return dialect::openai;
    return dialect::generic;
}

std::string_view google_status(int http_status) noexcept {
    switch (http_status) {
    case 400:
        return "INVALID_ARGUMENT";
    case 401:
        return "UNAUTHENTICATED";
    case 403:
        return "PERMISSION_DENIED";
    case 404:
        return "NOT_FOUND";
    case 409:
        return "ABORTED";
    case 429:
        return "RESOURCE_EXHAUSTED";
    case 499:
        return "CANCELLED";
    case 500:
        return "INTERNAL";
    case 501:
        return "UNIMPLEMENTED";
    case 502:
    case 503:
        return "UNAVAILABLE";
    case 504:
        return "DEADLINE_EXCEEDED";
    default:
        return http_status >= 400 && http_status < 500 ? "INVALID_ARGUMENT" : "UNKNOWN";
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
