#include "proxy/wire/event_meaning.hpp"

#include "proxy/wire/error_facts.hpp"
#include "proxy/wire/find_word.hpp"
#include "proxy/wire/lenient_json.hpp"

#include <boost/json/monotonic_resource.hpp>

#include <algorithm>
#include <array>

namespace evenkeel::wire {

namespace {

namespace json = boost::json;

constexpr std::size_t max_depth = 64; // tool arguments come as text, so real events stay flat

std::string_view view(const json::string& text) noexcept { return {text.data(), text.size()}; }

std::string_view text_at(const json::object& in, std::string_view name) noexcept {
    const json::value* found = in.if_contains(name);
    const json::string* text = found != nullptr ? found->if_string() : nullptr;
    return text != nullptr ? view(*text) : std::string_view{};
}

bool is_something(const json::value& value) noexcept {
    switch (value.kind()) {
    case json::kind::null: return false;
    case json::kind::bool_: return value.get_bool();
    case json::kind::string: return !value.get_string().empty();
    case json::kind::array: return !value.get_array().empty();
    case json::kind::object: return !value.get_object().empty();
    default: return value.to_number<double>() != 0;
    }
}
bool has(const json::object& in, std::string_view name) noexcept {
    const json::value* found = in.if_contains(name);
    return found != nullptr && is_something(*found);
}
template <std::size_t n>
bool has_any(const json::object& in, const std::array<std::string_view, n>& names) noexcept {
    return std::any_of(names.begin(), names.end(), [&](std::string_view name) { return has(in, name); });
}
const json::object* object_at(const json::object& in, std::string_view name) noexcept {
    const json::value* found = in.if_contains(name);
    return found != nullptr ? found->if_object() : nullptr;
}
const json::array* array_at(const json::object& in, std::string_view name) noexcept {
    const json::value* found = in.if_contains(name);
    return found != nullptr ? found->if_array() : nullptr;
}

// Ends that explain nothing. Any other (length, content_filter, MAX_TOKENS, SAFETY, a tool's) says why an answer is as
// it is.
bool is_plain_end(std::string_view reason) noexcept {
    static constexpr std::array<std::string_view, 7> plain{"",         "stop",          "eos", "end_turn",
                                                           "complete", "stop_sequence", "STOP"};
    return std::find(plain.begin(), plain.end(), reason) != plain.end();
}
bool ends_plainly(const json::object& in, std::string_view name) noexcept {
    const json::value* const found = in.if_contains(name);
    return found == nullptr || found->is_null() || (found->is_string() && is_plain_end(view(found->get_string())));
}

// Chat completions and their forebear. With several choices the first finish reason counts as the end: `[DONE]` follows
// for all, and a stream cut between two of them still shows what is missing.
void read_choices(const json::array& choices, event_facts& facts) {
    static constexpr std::array<std::string_view, 8> speech{
        "content",    "refusal",       "reasoning", "reasoning_content",
        "tool_calls", "function_call", "audio",     "reasoning_details"};
    facts.family = true;
    bool says = false, explains = false;
    for (const json::value& each : choices) {
        const json::object* choice = each.if_object();
        if (choice == nullptr) continue;
        if (has(*choice, "error") || text_at(*choice, "finish_reason") == "error") facts.error = true;
        if (has(*choice, "finish_reason")) facts.terminal = true;
        explains = explains || !ends_plainly(*choice, "finish_reason");
        says = says || has(*choice, "text");
        const json::object* delta = object_at(*choice, "delta");
        if (delta == nullptr) delta = object_at(*choice, "message");
        if (delta == nullptr) continue;
        const bool known = std::all_of(delta->begin(), delta->end(), [](const auto& member) {
            return member.key() == "role" || !is_something(member.value());
        });
        says = says || has_any(*delta, speech) || !known; // a field nobody here knows may be speech too
    }
    facts.meaningful = says || facts.terminal;
    facts.hollow = facts.terminal && !says && !explains;
}

// Whether an item of a response says something, or calls something.
bool is_said(const json::object& item) noexcept {
    const std::string_view type = text_at(item, "type");
    if (type != "message" && type != "reasoning") return true;
    if (has(item, "summary") || has(item, "encrypted_content")) return true;
    const json::array* const parts = array_at(item, "content");
    return parts != nullptr && std::any_of(parts->begin(), parts->end(), [](const json::value& one) {
               const json::object* const part = one.if_object();
               return part == nullptr || has(*part, "text") || has(*part, "refusal") ||
                      (text_at(*part, "type") != "output_text" && text_at(*part, "type") != "refusal");
           });
}
bool has_output(const json::object& response) noexcept {
    const json::array* const output = array_at(response, "output");
    return output != nullptr && std::any_of(output->begin(), output->end(), [](const json::value& each) {
               return !each.is_object() || is_said(each.get_object());
           });
}

// The Responses API: `type` names the event.
void read_response_event(std::string_view type, const json::object& top, event_facts& facts) {
    facts.family = true;
    static constexpr std::array<std::string_view, 3> silent{"response.created", "response.in_progress",
                                                            "response.queued"};
    if (std::find(silent.begin(), silent.end(), type) != silent.end()) return;
    if (type == "response.failed") {
        facts.error = facts.terminal = true;
    } else if (type == "response.completed" || type == "response.incomplete") {
        facts.meaningful = facts.terminal = true;
        const json::object* const response = object_at(top, "response");
        facts.hollow = type == "response.completed" && response != nullptr && !has_output(*response);
    } else if (type.ends_with(".delta")) {
        facts.meaningful = has(top, "delta");
    } else if (type == "response.output_text.done" || type == "response.refusal.done") {
        facts.meaningful = has(top, "text") || has(top, "refusal");
    } else if (type == "response.content_part.done") {
        const json::object* const part = object_at(top, "part");
        facts.meaningful = part == nullptr || text_at(*part, "type") != "output_text" || has(*part, "text");
    } else if (type == "response.output_item.done") {
        const json::object* const item = object_at(top, "item");
        facts.meaningful = item == nullptr || is_said(*item);
    } else if (type.ends_with(".added")) { // an item or a part begins: empty, unless it is a call
        const json::object* item = object_at(top, "item");
        facts.meaningful =
            item != nullptr && text_at(*item, "type") != "message" && text_at(*item, "type") != "reasoning";
    } else {
        facts.meaningful = true;
    }
}

bool is_anthropic(std::string_view type) noexcept {
    return type == "ping" || type == "message_start" || type == "message_delta" || type == "message_stop" ||
           type.starts_with("content_block_");
}

void read_anthropic(std::string_view type, const json::object& top, event_facts& facts) {
    facts.family = true;
    if (type == "message_stop") {
        facts.terminal = true;
    } else if (type == "message_delta") {
        const json::object* delta = object_at(top, "delta");
        facts.meaningful = delta != nullptr && has(*delta, "stop_reason");
        facts.hollow = facts.meaningful && ends_plainly(*delta, "stop_reason");
    } else if (type == "content_block_start") {
        const json::object* block = object_at(top, "content_block");
        const std::string_view kind = block != nullptr ? text_at(*block, "type") : std::string_view{};
        const bool speech = kind == "text" || kind == "thinking";
        facts.meaningful = block != nullptr && (!speech || has(*block, "text") || has(*block, "thinking"));
    } else if (type == "content_block_delta") {
        const json::object* delta = object_at(top, "delta");
        facts.meaningful = delta != nullptr && std::any_of(delta->begin(), delta->end(), [](const auto& member) {
                               return member.key() != "type" && is_something(member.value());
                           });
    }
}

void read_gemini(const json::object& top, event_facts& facts) {
    facts.family = true;
    if (const json::object* feedback = object_at(top, "promptFeedback");
        feedback != nullptr && has(*feedback, "blockReason")) {
        facts.meaningful = facts.terminal = true;
    }
    const json::array* candidates = array_at(top, "candidates");
    if (candidates == nullptr) return;
    bool says = facts.meaningful, explains = false;
    for (const json::value& each : *candidates) {
        const json::object* candidate = each.if_object();
        if (candidate == nullptr) continue;
        if (has(*candidate, "finishReason")) facts.terminal = true;
        explains = explains || !ends_plainly(*candidate, "finishReason");
        const json::object* content = object_at(*candidate, "content");
        const json::array* parts = content != nullptr ? array_at(*content, "parts") : nullptr;
        if (parts == nullptr) continue;
        for (const json::value& part : *parts) {
            const json::object* one = part.if_object();
            says = says || (one != nullptr && std::any_of(one->begin(), one->end(), [](const auto& member) {
                                return member.key() != "thought" && is_something(member.value());
                            }));
        }
    }
    facts.meaningful = says || facts.terminal;
    facts.hollow = facts.terminal && !says && !explains;
}

void read_ollama(const json::object& top, event_facts& facts) {
    static constexpr std::array<std::string_view, 3> speech{"content", "thinking", "tool_calls"};
    facts.family = true;
    const json::object* const message = object_at(top, "message");
    const bool says = has(top, "response") || has(top, "thinking") || (message != nullptr && has_any(*message, speech));
    facts.terminal = has(top, "done");
    facts.meaningful = says || facts.terminal;
    facts.hollow = facts.terminal && !says && ends_plainly(top, "done_reason");
}

bool is_error(std::string_view name, const json::object& top) noexcept {
    return name == "error" || has(top, "error") || text_at(top, "type") == "error" || text_at(top, "object") == "error";
}

dialect recognised(std::string_view type, const json::object& top) noexcept {
    if (array_at(top, "choices") != nullptr || type.starts_with("response.")) return dialect::openai;
    if (is_anthropic(type)) return dialect::anthropic;
    if (top.contains("candidates")) return dialect::gemini;
    if (top.contains("done") && top.contains("model")) return dialect::ollama;
    return dialect::generic;
}

void read_object(dialect which, bool recognise, std::string_view name, const json::object& top, event_facts& facts) {
    facts.is_json = true;
    const std::string_view type = text_at(top, "type");
    facts.spoken = which == dialect::generic && recognise ? recognised(type, top) : which;
    if (is_error(name, top)) {
        facts.error = true;
        return;
    }
    // A provider may speak more than one dialect under one name; the shape decides.
    if (const json::array* choices = array_at(top, "choices")) return read_choices(*choices, facts);
    if (type.starts_with("response.")) return read_response_event(type, top, facts);
    if (is_anthropic(type)) return read_anthropic(type, top, facts);
    if (top.contains("candidates") || top.contains("promptFeedback")) return read_gemini(top, facts);
    if (facts.spoken == dialect::ollama && top.contains("done")) return read_ollama(top, facts);
    if (facts.spoken == dialect::gemini && top.contains("usageMetadata")) return; // counts only
    facts.meaningful = true;
}

} // namespace

event_facts read_event(dialect which, bool recognise, std::string_view name, std::string_view data) {
    event_facts facts;
    facts.spoken = which;
    // One event is small: its tree lives here and is gone at once.
    unsigned char buffer[8192];
    json::monotonic_resource memory(buffer, sizeof buffer);
    json::error_code failure;
    const json::value parsed = parse_leniently(data, max_depth, &memory, failure);
    if (failure) return facts;
    if (const json::object* top = parsed.if_object()) read_object(which, recognise, name, *top, facts);
    return facts;
}

namespace {
// A member of this name that is a text with something in it.
// `rare`: where its rarest pair of letters begins.
bool has_text(std::string_view body, std::string_view quoted_end, std::size_t rare) noexcept {
    const auto behind_blanks = [body](std::size_t at) {
        while (at < body.size() && (body[at] == ' ' || body[at] == '\t' || body[at] == '\r' || body[at] == '\n')) ++at;
        return at;
    };
    for (std::size_t at = 0;;) {
        const std::size_t found = find_word(body.substr(at), quoted_end, rare);
        if (found == std::string_view::npos) return false;
        at += found + quoted_end.size();
        std::size_t next = behind_blanks(at);
        if (next == body.size() || body[next] != ':') continue;
        next = behind_blanks(next + 1);
        if (next + 1 < body.size() && body[next] == '"' && body[next + 1] != '"') return true;
    }
}

bool is_hollow(const json::object& top) {
    event_facts facts;
    if (const json::array* const choices = array_at(top, "choices")) {
        if (choices->empty()) return true;
        read_choices(*choices, facts);
        return facts.hollow && !facts.error;
    }
    if (text_at(top, "type") == "message" && array_at(top, "content") != nullptr) {
        const json::array& blocks = *array_at(top, "content");
        return ends_plainly(top, "stop_reason") &&
               std::all_of(blocks.begin(), blocks.end(), [](const json::value& each) {
                   const json::object* const block = each.if_object();
                   return block != nullptr && text_at(*block, "type") == "text" && !has(*block, "text");
               });
    }
    if (text_at(top, "object") == "response") return text_at(top, "status") == "completed" && !has_output(top);
    if (const json::array* const candidates = array_at(top, "candidates")) {
        read_gemini(top, facts);
        return facts.hollow || (candidates->empty() && !facts.meaningful);
    }
    if (!top.contains("done")) return false;
    read_ollama(top, facts);
    return facts.hollow;
}
} // namespace

bool says_nothing(std::string_view body) noexcept {
    // What says nothing is short. What says something says it, as nearly always, as one of these.
    if (body.size() > max_error_body || has_text(body, "content\"", 3) || has_text(body, "text\"", 2)) return false;
    try {
        unsigned char buffer[8192];
        json::monotonic_resource memory(buffer, sizeof buffer);
        json::error_code failure;
        const json::value parsed = parse_leniently(body, max_depth, &memory, failure);
        const json::object* const top = failure ? nullptr : parsed.if_object();
        return top != nullptr && is_hollow(*top);
    } catch (const std::exception&) {
        return false;
    }
}

} // namespace evenkeel::wire
