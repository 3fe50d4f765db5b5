#include "proxy/wire/one_event_stream.hpp"

#include <boost/json.hpp>

#include <cstdint>

namespace evenkeel::wire {

namespace {
namespace json = boost::json;

constexpr std::string_view done = "data: [DONE]\n\n";

void add_data(std::string& out, const json::value& data) {
    out.append("data: ").append(json::serialize(data)).append("\n\n");
}

// The event is named by its type, as OpenAI's responses and Anthropic's messages have it.
void add_named(std::string& out, json::object data) {
    out.append("event: ").append(data.at("type").as_string()).append("\n");
    add_data(out, std::move(data));
}

const json::value* member(const json::object& of, std::string_view name) {
    const json::value* const found = of.if_contains(name);
    return found != nullptr && !found->is_null() ? found : nullptr;
}
bool is_text(const json::object& of, std::string_view name, std::string_view text) {
    const json::value* const found = of.if_contains(name);
    return found != nullptr && found->is_string() && found->get_string() == text;
}
const json::array* list(const json::object& of, std::string_view name) {
    const json::value* const found = of.if_contains(name);
    return found != nullptr ? found->if_array() : nullptr;
}
bool first_has(const json::array& choices, std::string_view name) {
    return !choices.empty() && choices.front().is_object() && choices.front().get_object().contains(name);
}

// One chunk with everything in it: https://platform.openai.com/docs/api-reference/chat-streaming
std::string chat_stream(json::object answer, const json::array& choices) {
    json::array deltas;
    for (const json::value& each : choices) {
        if (!each.is_object()) continue;
        json::object choice = each.get_object();
        json::object delta;
        if (const auto* message = choice.if_contains("message"); message != nullptr && message->is_object())
            delta = message->get_object();
        choice.erase("message");
        if (auto* const calls = delta.if_contains("tool_calls"); calls != nullptr && calls->is_array()) {
            std::int64_t index = 0;
            for (json::value& call : calls->get_array())
                if (call.is_object()) call.get_object()["index"] = index++;
        }
        if (!choice.contains("index")) choice["index"] = static_cast<std::int64_t>(deltas.size());
        choice["delta"] = std::move(delta);
        if (member(choice, "finish_reason") == nullptr) choice["finish_reason"] = "stop";
        deltas.emplace_back(std::move(choice));
    }
    answer["object"] = "chat.completion.chunk";
    answer["choices"] = std::move(deltas);
    answer.erase("usage"); // a last chunk of its own, which only those get who ask for it
    std::string out;
    add_data(out, answer);
    return out.append(done);
}

std::string completion_stream(json::object answer) {
    for (json::value& each : answer["choices"].as_array()) {
        if (each.is_object() && member(each.get_object(), "finish_reason") == nullptr)
            each.get_object()["finish_reason"] = "stop";
    }
    std::string out;
    add_data(out, answer);
    return out.append(done);
}

// https://platform.openai.com/docs/api-reference/responses-streaming
std::string response_stream(const json::object& answer) {
    std::string out;
    std::int64_t number = 0;
    const auto add = [&](json::object event) {
        event["sequence_number"] = number++;
        add_named(out, std::move(event));
    };
    json::object begun = answer;
    begun["status"] = "in_progress";
    begun["output"] = json::array{};
    add({{"type", "response.created"}, {"response", std::move(begun)}});
    const json::array* const output = list(answer, "output");
    std::int64_t place = 0;
    for (const json::value& each : output != nullptr ? *output : json::array{}) {
        if (!each.is_object()) continue;
        const json::object& item = each.get_object();
        const json::value id = item.contains("id") ? item.at("id") : json::value("item_" + std::to_string(place));
        json::object opened = item;
        if (opened.contains("content")) opened["content"] = json::array{};
        add({{"type", "response.output_item.added"}, {"output_index", place}, {"item", std::move(opened)}});
        const json::array* const parts = list(item, "content");
        std::int64_t index = 0;
        for (const json::value& part : parts != nullptr ? *parts : json::array{}) {
            if (!part.is_object() || !is_text(part.get_object(), "type", "output_text")) continue;
            const json::value* const said = member(part.get_object(), "text");
            const json::value text = said != nullptr ? *said : json::value("");
            json::object empty = part.get_object();
            empty["text"] = "";
            add({{"type", "response.content_part.added"},
                 {"item_id", id},
                 {"output_index", place},
                 {"content_index", index},
                 {"part", std::move(empty)}});
            add({{"type", "response.output_text.delta"},
                 {"item_id", id},
                 {"output_index", place},
                 {"content_index", index},
                 {"delta", text}});
            add({{"type", "response.output_text.done"},
                 {"item_id", id},
                 {"output_index", place},
                 {"content_index", index},
                 {"text", text}});
            add({{"type", "response.content_part.done"},
                 {"item_id", id},
                 {"output_index", place},
                 {"content_index", index},
                 {"part", part}});
            ++index;
        }
        add({{"type", "response.output_item.done"}, {"output_index", place}, {"item", each}});
        ++place;
    }
    json::object ended = answer;
    if (member(ended, "status") == nullptr) ended["status"] = "completed";
    const std::string type = is_text(ended, "status", "incomplete") ? "response.incomplete"
                             : is_text(ended, "status", "failed")   ? "response.failed"
                                                                    : "response.completed";
    add({{"type", type}, {"response", std::move(ended)}});
    return out;
}

// https://docs.anthropic.com/en/docs/build-with-claude/streaming
std::string message_stream(const json::object& answer) {
    std::string out;
    json::object begun = answer;
    begun["content"] = json::array{};
    begun["stop_reason"] = nullptr;
    begun["stop_sequence"] = nullptr;
    if (member(begun, "usage") == nullptr) begun["usage"] = {{"input_tokens", 0}, {"output_tokens", 0}};
    const json::object usage = begun["usage"].is_object() ? begun["usage"].get_object() : json::object{};
    add_named(out, {{"type", "message_start"}, {"message", std::move(begun)}});
    const json::array* const content = list(answer, "content");
    std::int64_t index = 0;
    for (const json::value& each : content != nullptr ? *content : json::array{}) {
        if (!each.is_object()) continue;
        json::object block = each.get_object();
        json::object delta;
        if (is_text(block, "type", "text")) {
            const json::value* const text = member(block, "text");
            delta = {{"type", "text_delta"}, {"text", text != nullptr ? *text : json::value("")}};
            block["text"] = "";
        } else if (is_text(block, "type", "tool_use")) {
            const json::value* const input = member(block, "input");
            delta = {{"type", "input_json_delta"},
                     {"partial_json", json::serialize(input != nullptr ? *input : json::value(json::object{}))}};
            block["input"] = json::object{};
        } else if (is_text(block, "type", "thinking")) {
            const json::value* const text = member(block, "thinking");
            delta = {{"type", "thinking_delta"}, {"thinking", text != nullptr ? *text : json::value("")}};
            block["thinking"] = "";
        }
        add_named(out, {{"type", "content_block_start"}, {"index", index}, {"content_block", std::move(block)}});
        if (!delta.empty())
            add_named(out, {{"type", "content_block_delta"}, {"index", index}, {"delta", std::move(delta)}});
        add_named(out, {{"type", "content_block_stop"}, {"index", index}});
        ++index;
    }
    const json::value* const reason = member(answer, "stop_reason");
    const json::value* const sequence = member(answer, "stop_sequence");
    const json::value* const tokens = member(usage, "output_tokens");
    add_named(out, {{"type", "message_delta"},
                    {"delta",
                     {{"stop_reason", reason != nullptr ? *reason : json::value("end_turn")},
                      {"stop_sequence", sequence != nullptr ? *sequence : json::value(nullptr)}}},
                    {"usage", {{"output_tokens", tokens != nullptr ? *tokens : json::value(0)}}}});
    add_named(out, {{"type", "message_stop"}});
    return out;
}
} // namespace

std::optional<std::string> one_event_stream(dialect which, std::string_view body) {
    json::error_code wrong;
    json::value parsed = json::parse(json::string_view{body.data(), body.size()}, wrong);
    if (wrong || !parsed.is_object()) return std::nullopt;
    json::object& answer = parsed.get_object();
    if (const json::array* const choices = list(answer, "choices"); choices != nullptr && !choices->empty()) {
        if (first_has(*choices, "message")) {
            const json::array kept = *choices;
            return chat_stream(std::move(answer), kept);
        }
        if (first_has(*choices, "text")) return completion_stream(std::move(answer));
    }
    if (is_text(answer, "object", "response")) return response_stream(answer);
    if (is_text(answer, "type", "message") && list(answer, "content") != nullptr) return message_stream(answer);
    std::string out;
    add_data(out, answer);
    if (list(answer, "candidates") != nullptr || which == dialect::gemini) return out; // its end is a finishReason
    if (which == dialect::anthropic) {
        add_named(out, {{"type", "message_stop"}});
        return out;
    }
    return out.append(done);
}

} // namespace evenkeel::wire
