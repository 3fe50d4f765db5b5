#include "proxy/wire/stream_transcript.hpp"

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <algorithm>
#include <array>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

namespace evenkeel::wire {

namespace {
namespace json = boost::json;

constexpr std::string_view done_marker = "[DONE]";
constexpr std::array<std::string_view, 3> identity_names{"id", "created", "model"};

std::string_view view(const json::string& text) noexcept { return {text.data(), text.size()}; }

// One thing an event says. `drop` takes what was said before out of the event: all but the last `rest` bytes of a text.
struct saying {
    std::string channel;
    std::string text;
    bool whole = false;
    std::function<void(std::size_t rest)> drop;
};
} // namespace

struct stream_transcript::identity {
    json::object fields; // id, created, model
};

struct stream_transcript::reading {
    json::value value;
    std::vector<saying> says;
    bool known = true; // every field of it is understood
    bool error = false;

    void grows(std::string channel, json::value& text) {
        if (text.is_null()) return;
        json::string* const found = text.if_string();
        if (found == nullptr) {
            known = false;
            return;
        }
        if (found->empty()) return;
        says.push_back({std::move(channel), std::string{view(*found)}, false, [found](std::size_t rest) { found->erase(0, found->size() - rest); }});
    }
    // At once, and the same again; never empty, so that it can have come or not. `in` loses the member when it was said before.
    void is(std::string channel, json::object& in, std::string_view name, const std::string& text) {
        says.push_back({std::move(channel), "=" + text, true, [&in, key = std::string{name}](std::size_t) { in.erase(key); }});
    }
    void is(std::string channel, const std::string& text) { says.push_back({std::move(channel), "=" + text, true, {}}); }

    template <std::size_t n>
    void only(const json::object& in, const std::array<std::string_view, n>& names) {
        for (const auto& [key, each] : in) {
            const bool listed = std::find(names.begin(), names.end(), std::string_view{key.data(), key.size()}) != names.end();
            if (!listed && !each.is_null()) known = false;
        }
    }

    void read_openai(json::object& top);
    void read_choice(json::object& choice);
    void read_tool(json::object& tool, const std::string& choice);
    void read_anthropic(json::object& top);
    void read_block(json::object& top, const std::string& block);
    void read_delta(json::object& top, const std::string& block);
    void read(dialect which, const stream_event& event);
};

namespace {
std::string index_of(const json::object& in) {
    const json::value* const at = in.if_contains("index");
    return at != nullptr && (at->is_int64() || at->is_uint64()) ? json::serialize(*at) : "0";
}
std::string text_of(const json::value& value) {
    const json::string* const text = value.if_string();
    return text != nullptr ? std::string{view(*text)} : json::serialize(value);
}
} // namespace

void stream_transcript::reading::read_tool(json::object& tool, const std::string& choice) {
    only(tool, std::array<std::string_view, 4>{"index", "id", "type", "function"});
    const std::string name = choice + ".tool" + index_of(tool);
    if (json::value* const id = tool.if_contains("id"); id != nullptr && !id->is_null()) is(name + ".id", tool, "id", "there"); // drawn anew each time
    if (json::value* const type = tool.if_contains("type"); type != nullptr && !type->is_null()) is(name + ".type", tool, "type", text_of(*type));
    json::value* const function = tool.if_contains("function");
    if (function == nullptr) return;
    json::object* const call = function->if_object();
    if (call == nullptr) {
        known = false;
        return;
    }
    only(*call, std::array<std::string_view, 2>{"name", "arguments"});
    if (json::value* const called = call->if_contains("name"); called != nullptr && !called->is_null()) is(name + ".name", *call, "name", text_of(*called));
    if (json::value* const arguments = call->if_contains("arguments")) grows(name + ".arguments", *arguments);
}

void stream_transcript::reading::read_choice(json::object& choice) {
    only(choice, std::array<std::string_view, 5>{"index", "delta", "text", "finish_reason", "stop_reason"});
    const std::string name = "choice" + index_of(choice);
    if (json::value* const text = choice.if_contains("text")) grows(name + ".text", *text);
    if (json::value* const found = choice.if_contains("delta"); found != nullptr && !found->is_null()) {
        json::object* const delta = found->if_object();
        if (delta == nullptr) {
            known = false;
            return;
        }
        only(*delta, std::array<std::string_view, 6>{"role", "content", "refusal", "reasoning", "reasoning_content", "tool_calls"});
        if (json::value* const role = delta->if_contains("role"); role != nullptr && !role->is_null()) is(name + ".role", *delta, "role", text_of(*role));
        for (const std::string_view speech : {"content", "refusal", "reasoning", "reasoning_content"})
            if (json::value* const text = delta->if_contains(speech)) grows(name + "." + std::string{speech}, *text);
        if (json::value* const tools = delta->if_contains("tool_calls"); tools != nullptr && !tools->is_null()) {
            json::array* const calls = tools->if_array();
            if (calls == nullptr || !std::all_of(calls->begin(), calls->end(), [](const json::value& one) { return one.is_object(); })) {
                known = false;
                return;
            }
            for (json::value& one : *calls) read_tool(one.get_object(), name);
        }
    }
    for (const std::string_view end : {"finish_reason", "stop_reason"})
        if (const json::value* const why = choice.if_contains(end); why != nullptr && !why->is_null()) is(name + "." + std::string{end}, choice, end, text_of(*why));
}

void stream_transcript::reading::read_openai(json::object& top) {
    if (const json::value* const wrong = top.if_contains("error"); wrong != nullptr && !wrong->is_null()) {
        error = true;
        return;
    }
    only(top, std::array<std::string_view, 9>{"id", "object", "created", "model", "system_fingerprint", "service_tier", "usage", "choices", "obfuscation"});
    json::value* const found = top.if_contains("choices");
    json::array* const choices = found != nullptr ? found->if_array() : nullptr;
    if (choices == nullptr || !std::all_of(choices->begin(), choices->end(), [](const json::value& one) { return one.is_object(); })) {
        known = false;
        return;
    }
    for (json::value& one : *choices) read_choice(one.get_object());
    // Behind all choices, where it was asked for.
    const json::value* const usage = top.if_contains("usage");
    if (choices->empty() && usage != nullptr && !usage->is_null()) is("usage", "there");
}

void stream_transcript::reading::read_block(json::object& top, const std::string& block) {
    json::value* const found = top.if_contains("content_block");
    json::object* const begun = found != nullptr ? found->if_object() : nullptr;
    const json::value* const type = begun != nullptr ? begun->if_contains("type") : nullptr;
    if (type == nullptr) {
        known = false;
        return;
    }
    only(*begun, std::array<std::string_view, 8>{"type", "text", "thinking", "signature", "data", "id", "name", "input"});
    is(block + ".type", text_of(*type));
    for (const std::string_view word : {"name", "data"})
        if (const json::value* const found_word = begun->if_contains(word)) is(block + "." + std::string{word}, text_of(*found_word));
    if (const json::value* const input = begun->if_contains("input")) is(block + ".first_input", json::serialize(*input));
    for (const std::string_view speech : {"text", "thinking", "signature"})
        if (json::value* const text = begun->if_contains(speech)) grows(block + "." + std::string{speech}, *text);
}

void stream_transcript::reading::read_delta(json::object& top, const std::string& block) {
    json::value* const found = top.if_contains("delta");
    json::object* const delta = found != nullptr ? found->if_object() : nullptr;
    const json::value* const type = delta != nullptr ? delta->if_contains("type") : nullptr;
    if (type == nullptr) {
        known = false;
        return;
    }
    static constexpr std::array<std::pair<std::string_view, std::string_view>, 4> texts{
        {{"text_delta", "text"}, {"input_json_delta", "partial_json"}, {"thinking_delta", "thinking"}, {"signature_delta", "signature"}}};
    const std::string is_type = text_of(*type);
    const auto* const known_as = std::find_if(texts.begin(), texts.end(), [&](const auto& one) { return one.first == is_type; });
    json::value* const text = known_as != texts.end() ? delta->if_contains(known_as->second) : nullptr;
    if (text == nullptr || delta->size() != 2) {
        known = false;
        return;
    }
    grows(block + "." + std::string{known_as->second}, *text);
}

void stream_transcript::reading::read_anthropic(json::object& top) {
    const json::value* const found = top.if_contains("type");
    const std::string type = found != nullptr ? text_of(*found) : std::string{};
    const std::string block = "block" + index_of(top);
    if (type == "error") {
        error = true;
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
            known = false;
            return;
        }
        only(delta->get_object(), std::array<std::string_view, 2>{"stop_reason", "stop_sequence"});
        is("end", json::serialize(*delta));
    } else if (type == "message_stop") {
        is("stop", "there");
    } else {
        known = false;
    }
}

void stream_transcript::reading::read(dialect which, const stream_event& event) {
    if (event.data.empty()) return;
    const std::string_view trimmed = event.data.substr(0, event.data.find_last_not_of(" \t\r") + 1);
    if (trimmed == done_marker) return is("done", "there");
    error = event.name == "error";
    if (error) return;
    boost::system::error_code failed;
    value = json::parse({event.data.data(), event.data.size()}, failed);
    json::object* const top = failed ? nullptr : value.if_object();
    if (top == nullptr) {
        known = false;
        return;
    }
    if (which == dialect::anthropic) {
        read_anthropic(*top);
    } else {
        read_openai(*top);
    }
}

stream_transcript::stream_transcript(dialect which) noexcept : dialect_(which), known_(knows(which)) {}
stream_transcript::~stream_transcript() = default;

void stream_transcript::forget() noexcept {
    known_ = false;
    channels_.clear();
    behind_ = bytes_ = 0;
}

stream_transcript::kind stream_transcript::said(const stream_event& event) {
    if (!known_) {
        // Only the error frame is still of interest; it is found by its name or its first member.
        reading one;
        one.read(dialect_, event);
        return one.error ? kind::error : kind::ordinary;
    }
    reading one;
    one.read(dialect_, event);
    if (one.error) return kind::error;
    if (!one.known) {
        forget();
        return kind::ordinary;
    }
    for (const saying& each : one.says) {
        channel& to = channels_[each.channel];
        if (each.whole && to.whole) continue; // again; which of them counts is the client's affair
        to.whole = to.whole || each.whole;
        to.said += each.text;
        bytes_ += each.text.size();
    }
    if (dialect_ == dialect::openai && one.value.is_object()) {
        if (!identity_) identity_ = std::make_unique<identity>();
        if (identity_->fields.size() == identity_names.size()) return kind::ordinary;
        for (const std::string_view name : identity_names) {
            const json::value* const found = one.value.get_object().if_contains(name);
            if (found != nullptr && !identity_->fields.contains(name)) identity_->fields[name] = *found;
        }
    }
    return kind::ordinary;
}

void stream_transcript::begin_replay() noexcept {
    for (auto& [name, one] : channels_) one.again = 0;
    behind_ = static_cast<std::size_t>(std::count_if(channels_.begin(), channels_.end(), [](const auto& one) { return !one.second.said.empty(); }));
    waiting_.clear();
}

void stream_transcript::settle(channel& one) noexcept {
    if (one.again == one.said.size()) --behind_;
}

stream_transcript::step stream_transcript::replayed(const stream_event& event) {
    reading one;
    one.read(dialect_, event);
    if (one.error) return step::error;
    const bool was_up = caught_up();
    if (!one.known) {
        if (!was_up) return step::differs;
        forget(); // it can be passed on, but not compared once more
    }
    bool fresh = false;
    bool dropped = false;
    bool fixed = false; // what cannot be taken out of the event was said before
    for (const saying& each : one.says) {
        const auto at = channels_.find(each.channel);
        if (at == channels_.end() || at->second.said.empty()) {
            fresh = true;
            if (!known_) continue;
            channel& made = channels_[each.channel];
            made.whole = each.whole;
            made.said = each.text;
            made.again = each.text.size();
            bytes_ += each.text.size();
            continue;
        }
        channel& known = at->second;
        if (known.whole || each.whole) {
            if (known.again == 0) {
                if (known.said != each.text || known.whole != each.whole) return step::differs;
                known.again = known.said.size();
                settle(known);
            }
            if (each.drop) each.drop(0);
            fixed = fixed || !each.drop;
            dropped = true;
            continue;
        }
        const std::size_t matched = std::min(each.text.size(), known.said.size() - known.again);
        if (known.said.compare(known.again, matched, each.text, 0, matched) != 0) return step::differs;
        const bool was_behind = known.again < known.said.size();
        known.again += matched;
        if (was_behind) settle(known);
        const std::size_t rest = each.text.size() - matched;
        if (matched > 0) {
            each.drop(rest);
            dropped = true;
        }
        if (rest == 0) continue;
        fresh = true;
        known.said.append(each.text, matched);
        known.again = known.said.size();
        bytes_ += rest;
    }
    if (fresh && fixed) return step::differs;
    text_.clear();
    // Comments, pings and empty deltas have their place only once there is something new.
    if (!fresh && !(was_up && one.says.empty())) {
        if (!caught_up() || waiting_.empty()) return step::swallowed;
        text_ = std::exchange(waiting_, {});
        return step::fresh;
    }
    json::object* const top = one.value.if_object();
    const bool renamed = identity_ != nullptr && top != nullptr;
    if (renamed) {
        for (const auto& [name, value] : identity_->fields)
            if (top->contains(name)) (*top)[name] = value;
    }
    if (!renamed && !dropped) {
        text_ = event.raw;
    } else {
        if (!event.name.empty()) text_.append("event: ").append(event.name).append("\n");
        text_.append("data: ").append(json::serialize(one.value)).append("\n\n");
    }
    if (!caught_up()) {
        waiting_ += text_;
        return step::swallowed;
    }
    if (!waiting_.empty()) text_.insert(0, std::exchange(waiting_, {}));
    return step::fresh;
}

} // namespace evenkeel::wire
