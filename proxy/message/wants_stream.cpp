#include "proxy/message/wants_stream.hpp"

#include "proxy/message/local_answer.hpp"
#include "proxy/reading/repeatable.hpp"
#include "proxy/wire/json_model.hpp"

namespace evenkeel::request {

bool accepts_events(const wire::request_head& head) noexcept {
    const wire::field* accept = head.find(wire::field_id::accept);
    static constexpr std::string_view events = "text/event-stream";
    return accept != nullptr && accept->value.size() >= events.size() &&
           accept->value.find(events) != std::string_view::npos;
}

bool asks_by_name(const client_request& request) noexcept {
    const wire::call* const called = call_of_path(request.route.get(), request.head->path);
    return called != nullptr && called->streams;
}

bool wants_stream(const client_request& request) {
    const wire::request_head& head = *request.head;
    if (asks_by_name(request) || accepts_events(head)) return true;
    const wire::json_members found = wire::find_members(request.body.text().view());
    if (found.stream) return *found.stream;
    return dialect_of(request.route.get(), head.path) == wire::dialect::ollama; // streams unless told not to
}

bool wants_events(const client_request& request) {
    const wire::request_head& head = *request.head;
    switch (dialect_of(request.route.get(), head.path)) {
    case wire::dialect::generic:
    case wire::dialect::ollama: return false; // no error frame that its clients would understand
    case wire::dialect::gemini: return asks_by_name(request) && head.query.find("alt=sse") != std::string_view::npos;
    case wire::dialect::openai:
    case wire::dialect::anthropic: break;
    }
    return accepts_events(head) || wire::find_members(request.body.text().view()).stream.value_or(false);
}

} // namespace evenkeel::request
