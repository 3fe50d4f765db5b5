#include "proxy/admin/reply.hpp"

#include "proxy/telemetry/json_text.hpp"

namespace evenkeel::admin {

reply sentence(int status, std::string_view text, std::string_view name) {
    std::string body = "{";
    telemetry::append_quoted(body, name);
    body += ':';
    telemetry::append_quoted(body, text);
    body += "}\n";
    return {.status = status, .type = json_text, .body = std::move(body)};
}

reply told(const control_result& result) {
    reply made = sentence(result.done ? 200 : 422, result.message, result.done ? "message" : "error");
    made.body.resize(made.body.size() - std::string_view{"}\n"}.size());
    if (!result.diagnostics.empty()) {
        made.body += ",\"diagnostics\":";
        telemetry::append_quoted(made.body, result.diagnostics);
    }
    if (!result.restart_required.empty()) {
        made.body += ",\"restart_required\":[";
        for (const std::string& key : result.restart_required) {
            if (made.body.back() != '[') made.body += ',';
            telemetry::append_quoted(made.body, key);
        }
        made.body += ']';
    }
    made.body += "}\n";
    return made;
}

} // namespace evenkeel::admin
