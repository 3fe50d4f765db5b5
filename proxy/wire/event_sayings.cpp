#include "proxy/wire/event_sayings.hpp"

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

namespace evenkeel::wire {

namespace {
namespace json = boost::json;

constexpr std::string_view done_marker = "[DONE]";

std::string_view view(const json::string& text) noexcept { return {text.data(), text.size()}; }
std::string index_of(const json::object& in) {
    const json::value* const at = in.if_contains("index");
    return at != nullptr && (at->is_int64() || at->is_uint64()) ? json::serialize(*at) : "0";
}
std::string text_of(const json::value& value) {
    const json::string* const text = value.if_string();
    return text != nullptr ? std::string{view(*text)} : json::serialize(value);
}

class reader {
public:
    explicit reader(event_sayings& to) noexcept : out_(to) {}
    void read(dialect which, const stream_event& event);

private:
    void grows(std::string channel, json::value& text) {
        if (text.is_null()) return;
        json::string* const found = text.if_string();
        if (found == nullptr) {
            out_.known = false;
            return;
        }
        if (found->empty()) return;
        out_.says.push_back({std::move(channel), std::string{view(*found)}, false,
                             [found](std::size_t rest) { found->erase(0, found->size() - rest); }});
    }
    // At once, and the same again; never empty, so that it can have come or not. `in` loses the member when it was said
    // before.
    void is(std::string channel, json::object& in, std::string_view name, const std::string& text) {
        out_.says.push_back(
            {std::move(channel), "=" + text, true, [&in, key = std::string{name}](std::size_t) { in.erase(key); }});
    }
    void is(std::string channel, const std::string& text) {
        out_.says.push_back({std::move(channel), "=" + text, true, {}});
    }

    template <std::size_t n>
    void only(const json::object& in, const std::array<std::string_view, n>& names) {
        for (const auto& [key, each] : in) {
            const bool listed =
                std::find(names.begin(), names.end(), std::string_view{key.data(), key.size()}) != names.end();
            if (!listed && !each.is_null()) out_.known = false;
        }
    }

    void read_openai(json::object& top);
    void read_choice(json::object& choice);
    void read_tool(json::object& tool, const std::string& choice);
    void read_anthropic(json::object& top);
    void read_block(json::object& top, const std::string& block);
    void read_delta(json::object& top, const std::string& block);

    event_sayings& out_;
};

void reader::read_tool(json::object& tool, const std::string& choice) {
    only(tool, std::array<std::string_view, 4>{"index", "id", "type", "function"});
    const std::string name = choice + ".tool" + index_of(tool);
    if (json::value* const id = tool.if_contains("id"); id != nullptr && !id->is_null())
        is(name + ".id", tool, "id", "there"); // drawn anew each time
    if (json::value* const type = tool.if_contains("type"); type != nullptr && !type->is_null())
        is(name + ".type", tool, "type", text_of(*type));
    json::value* const function = tool.if_contains("function");
    if (function == nullptr) return;
    json::object* const call = function->if_object();
    if (call == nullptr) {
        out_.known = false;
        return;
    }
    only(*call, std::array<std::string_view, 2>{"name", "arguments"});
    if (json::value* const called = call->if_contains("name"); called != nullptr && !called->is_null())
        is(name + ".name", *call, "name", text_of(*called));
    if (json::value* const arguments = call->if_contains("arguments")) grows(name + ".arguments", *arguments);
}

void reader::read_choice(json::object& choice) {
    only(choice, std::array<std::string_view, 5>{"index", "delta", "text", "finish_reason", "stop_reason"});
    const std::string name = "choice" + index_of(choice);
    if (json::value* const text = choice.if_contains("text")) grows(name + ".text", *text);
    if (json::value* const found = choice.if_contains("delta"); found != nullptr && !found->is_null()) {
        json::object* const delta = found->if_object();
        if (delta == nullptr) {
            out_.known = false;
            return;
        }
        only(*delta, std::array<std::string_view, 6>{"role", "content", "refusal", "reasoning", "reasoning_content",
                                                     "tool_calls"});
        if (json::value* const role = delta->if_contains("role"); role != nullptr && !role->is_null())
            is(name + ".role", *delta, "role", text_of(*role));
        for (const std::string_view speech : {"content", "refusal", "reasoning", "reasoning_content"})
            if (json::value* const text = delta->if_contains(speech)) grows(name + "." + std::string{speech}, *text);
        if (json::value* const tools = delta->if_contains("tool_calls"); tools != nullptr && !tools->is_null()) {
            json::array* const calls = tools->if_array();
            if (calls == nullptr ||
                !std::all_of(calls->begin(), calls->end(), [](const json::value& one) { return one.is_object(); })) {
                out_.known = false;
                return;
            }
            for (json::value& one : *calls) read_tool(one.get_object(), name);
        }
    }
    for (const std::string_view end : {"finish_reason", "stop_reason"})
        if (const json::value* const why = choice.if_contains(end); why != nullptr && !why->is_null())
            is(name + "." + std::string{end}, choice, end, text_of(*why));
}

void reader::read_openai(json::object& top) {
    if (const json::value* const wrong = top.if_contains("error"); wrong != nullptr && !wrong->is_null()) {
        out_.error = true;
        return;
    }
    only(top, std::array<std::string_view, 9>{"id", "object", "created", "model", "system_fingerprint", "service_tier",
                                              "usage", "choices", "obfuscation"});
    json::value* const found = top.if_contains("choices");
    json::array* const choices = found != nullptr ? found->if_array() : nullptr;
    if (choices == nullptr ||
        !std::all_of(choices->begin(), choices->end(), [](const json::value& one) { return one.is_object(); })) {
        out_.known = false;
        return;
    }
    for (json::value& one : *choices) read_choice(one.get_object());
    // Behind all choices, where it was asked for.
    const json::value* const usage = top.if_contains("usage");
    if (choices->empty() && usage != nullptr && !usage->is_null()) is("usage", "there");
}

void reader::read_block(json::object& top, const std::string& block) {
    json::value* const found = top.if_contains("content_block");
    json::object* const begun = found != nullptr ? found->if_object() : nullptr;
    const json::value* const type = begun != nullptr ? begun->if_contains("type") : nullptr;
    if (type == nullptr) {
        out_.known = false;
        return;
    }
    only(*begun,
         std::array<std::string_view, 8>{"type", "text", "thinking", "signature", "data", "id", "name", "input"});
    is(block + ".type", text_of(*type));
    for (const std::string_view word : {"name", "data"})
        if (const json::value* const found_word = begun->if_contains(word))
            is(block + "." + std::string{word}, text_of(*found_word));
    if (const json::value* const input = begun->if_contains("input"))
        is(block + ".first_input", json::serialize(*input));
    for (const std::string_view speech : {"text", "thinking", "signature"})
        if (json::value* const text = begun->if_contains(speech)) grows(block + "." + std::string{speech}, *text);
}

void reader::read_delta(json::object& top, const std::string& block) {
    json::value* const found = top.if_contains("delta");
    json::object* const delta = found != nullptr ? found->if_object() : nullptr;
    const json::value* const type = delta != nullptr ? delta->if_contains("type") : nullptr;
    if (type == nullptr) {
        out_.known = false;
        return;
    }
    static constexpr std::array<std::pair<std::string_view, std::string_view>, 4> texts{
        {{"text_delta", "text"},
         {"input_json_delta", "partial_json"},
         {"thinking_delta", "thinking"},
         {"signature_delta", "signature"}}};
    const std::string is_type = text_of(*type);
    const auto* const known_as =
        std::find_if(texts.begin(), texts.end(), [&](const auto& one) { return one.first == is_type; });
    json::value* const text = known_as != texts.end() ? delta->if_contains(known_as->second) : nullptr;
    if (text == nullptr || delta->size() != 2) {
        out_.known = false;
        return;
    }
    grows(block + "." + std::string{known_as->second}, *text);
}

void reader::read_anthropic(json::object& top) {
    const json::value* const found = top.if_contains("type");
    const std::string type = found != nullptr ? text_of(*found) : std::string{};
    const std::string block = "block" + index_of(top);
    if (type == "error") {
        out_.error = true;
    } else if (type == "ping") {
    } else if (type == "message_start") {
        is("start", "there");
    } else if (type == "content_block_start") {
        read_block(top, block);
    } else if (type == "content_block_delta") {
        read_delta(top, block);
    } else if (type == "content_block_stop") {
        is(block + ".stop", "there");
    } else if (type == "message_delta") {
        const json::value* const delta = top.if_contains("delta");
        if (delta == nullptr || !delta->is_object()) {
            out_.known = false;
            return;
        }
        only(delta->get_object(), std::array<std::string_view, 2>{"stop_reason", "stop_sequence"});
        is("end", json::serialize(*delta));
    } else if (type == "message_stop") {
        is("stop", "there");
    } else {
        out_.known = false;
    }
}

void reader::read(dialect which, const stream_event& event) {
    if (event.data.empty()) return;
    const std::string_view trimmed = event.data.substr(0, event.data.find_last_not_of(" \t\r") + 1);
    if (trimmed == done_marker) return is("done", "there");
    out_.error = event.name == "error";
    if (out_.error) return;
    boost::system::error_code failed;
    out_.value = json::parse({event.data.data(), event.data.size()}, failed);
    json::object* const top = failed ? nullptr : out_.value.if_object();
    if (top == nullptr) {
        out_.known = false;
        return;
    }
    if (which == dialect::anthropic) {
        read_anthropic(*top);
    } else {
        read_openai(*top);
    }
}
} // namespace

void read_sayings(dialect which, const stream_event& event, event_sayings& to) { reader(to).read(which, event); }

} // namespace evenkeel::wire
