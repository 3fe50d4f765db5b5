// OpenAI's chat completions, and what DeepSeek, vLLM, Mistral and OpenRouter add to them.

#include "proxy/wire/answer_assembler.hpp"
#include "proxy/wire/json_parts.hpp"

#include <vector>

namespace evenkeel::wire {

namespace {
constexpr std::size_t most_calls = 128; // in one delta

struct tool_call {
    steady_value id, type;
    joined_text name, arguments;
};

// `wanted` spelled as JSON.
bool says(std::string_view value, std::string_view wanted) noexcept {
    return value.size() == wanted.size() + 2 && value.substr(1, wanted.size()) == wanted;
}
bool is_nothing(std::string_view value) noexcept { return is_null(value) || value == "\"\""; }

class chat final : public answer_assembler::form {
public:
    bool event(const stream_event& one) override;
    std::optional<std::string> answer() const override;
    bool ended() const noexcept override { return ended_; }

private:
    bool choices(std::string_view value);
    bool choice(std::string_view value);
    bool delta(std::string_view value);
    bool calls(std::string_view value);
    bool call(std::string_view value);
    bool function(std::string_view value, joined_text& name, joined_text& arguments, bool pieces);

    steady_value id_, created_, model_, system_fingerprint_, service_tier_, provider_;
    latest_value usage_;
    bool is_chunk_ = false, ended_ = false;
    // Of the one choice.
    bool spoke_ = false, logprobs_ = false, calls_seen_ = false, function_call_seen_ = false,
         has_function_call_ = false;
    steady_value role_, finish_reason_, native_finish_reason_;
    latest_value stop_reason_;
    joined_text content_, refusal_, reasoning_content_, reasoning_;
    std::vector<tool_call> calls_;
    joined_text function_name_, function_arguments_;
};

bool chat::event(const stream_event& one) {
    if (ended_) return refuse("[behind the end]");
    if (!one.name.empty() && one.name != "message") return refuse(one.name);
    if (one.data == "[DONE]") return ended_ = true;
    std::vector<json_member> members;
    if (!members_of(one.data, members)) return refuse("[no object]");
    for (const json_member& each : members) {
        const std::string_view name = each.name, value = each.value;
        bool good = true;
        if (name == "id")
            good = is_text(value) && id_.add(value, kept);
        else if (name == "object")
            good = is_chunk_ = says(value, "chat.completion.chunk");
        else if (name == "created")
            good = created_.add(value, kept);
        else if (name == "model")
            good = is_text(value) && model_.add(value, kept);
        else if (name == "choices")
            good = choices(value);
        else if (name == "usage")
            good = is_null(value) || is_object(value), usage_.add(value, kept);
        else if (name == "system_fingerprint")
            good = system_fingerprint_.add(value, kept);
        else if (name == "service_tier")
            good = service_tier_.add(value, kept);
        else if (name == "provider")
            good = provider_.add(value, kept); // OpenRouter
        else if (name == "obfuscation")
            good = is_text(value); // padding against eavesdroppers: no part of the answer
        else
            good = is_vacant(value);
        if (!good) return unknown.empty() ? refuse(name) : false;
    }
    return true;
}

bool chat::choices(std::string_view value) {
    const auto list = list_values(value, 1); // n is 1
    return list && (list->empty() || choice(list->front()));
}

bool chat::choice(std::string_view value) {
    std::vector<json_member> members;
    if (!members_of(value, members)) return false;
    spoke_ = true;
    for (const json_member& each : members) {
        const std::string_view name = each.name, told = each.value;
        bool good = true;
        if (name == "index")
            good = told == "0";
        else if (name == "delta")
            good = delta(told);
        else if (name == "finish_reason")
            good = finish_reason_.add(told, kept);
        else if (name == "native_finish_reason")
            good = native_finish_reason_.add(told, kept); // OpenRouter
        else if (name == "logprobs")
            good = logprobs_ = is_null(told);
        else if (name == "stop_reason")
            stop_reason_.add(told, kept); // vLLM
        else
            good = is_vacant(told);
        if (!good) return unknown.empty() ? refuse(name) : false;
    }
    return true;
}

bool chat::delta(std::string_view value) {
    std::vector<json_member> members;
    if (!members_of(value, members)) return false;
    for (const json_member& each : members) {
        const std::string_view name = each.name, told = each.value;
        bool good = true;
        if (name == "role")
            good = role_.add(told, kept);
        else if (name == "content")
            good = content_.add(told, kept);
        else if (name == "refusal")
            good = refusal_.add(told, kept);
        else if (name == "reasoning_content")
            good = reasoning_content_.add(told, kept);
        else if (name == "reasoning")
            good = reasoning_.add(told, kept);
        else if (name == "tool_calls")
            good = calls(told);
        else if (name == "function_call") {
            function_call_seen_ = true;
            has_function_call_ = has_function_call_ || !is_null(told);
            good = is_null(told) || function(told, function_name_, function_arguments_, false);
        } else
            good = is_vacant(told);
        if (!good) return unknown.empty() ? refuse(name) : false;
    }
    return true;
}

bool chat::calls(std::string_view value) {
    calls_seen_ = true;
    if (is_null(value)) return true;
    const auto list = list_values(value, most_calls);
    if (!list) return false;
    for (const std::string_view each : *list) {
        if (!call(each)) return unknown.empty() ? refuse("tool_calls") : false;
    }
    return true;
}

bool chat::call(std::string_view value) {
    std::vector<json_member> members;
    if (!members_of(value, members)) return false;
    tool_call* to = nullptr;
    for (const json_member& each : members) { // the place first, wherever it stands
        if (each.name != "index") continue;
        for (std::size_t i = 0; i <= calls_.size() && to == nullptr; ++i) {
            if (each.value != std::to_string(i)) continue;
            if (i == calls_.size()) calls_.emplace_back(), kept += sizeof(tool_call);
            to = &calls_[i];
        }
    }
    if (to == nullptr) return refuse("index"); // none, or one too high
    for (const json_member& each : members) {
        const std::string_view name = each.name, told = each.value;
        bool good = true;
        if (name == "id")
            good = (to->id.seen() && is_nothing(told)) || to->id.add(told, kept);
        else if (name == "type")
            good = (to->type.seen() && is_nothing(told)) || to->type.add(told, kept);
        else if (name == "function")
            good = function(told, to->name, to->arguments, true);
        else
            good = name == "index" || is_vacant(told);
        if (!good) return unknown.empty() ? refuse(name) : false;
    }
    return true;
}

// A name comes at once, with the first piece; nobody could tell one that is said again from one that goes on.
bool chat::function(std::string_view value, joined_text& name, joined_text& arguments, bool pieces) {
    std::vector<json_member> members;
    if (!members_of(value, members)) return false;
    for (const json_member& each : members) {
        bool good = true;
        if (each.name == "name")
            good = (name.has_text() && is_nothing(each.value)) || (!name.has_text() && name.add(each.value, kept));
        else if (each.name == "arguments")
            good = (pieces && is_null(each.value)) || arguments.add(each.value, kept);
        else
            good = is_vacant(each.value);
        if (!good) return unknown.empty() ? refuse(each.name) : false;
    }
    return true;
}

std::optional<std::string> chat::answer() const {
    const bool whole = is_chunk_ && spoke_ && id_.seen() && created_.seen() && model_.seen() && is_text(role_.json()) &&
                       is_text(finish_reason_.json()) && is_object(usage_.json());
    if (!whole) return std::nullopt;

    object_text message;
    message.add("role", role_.json());
    message.add("content", content_.json()); // there in every answer, null where nothing was said
    message.add_if_seen("refusal", refusal_);
    message.add_if_seen("reasoning_content", reasoning_content_);
    message.add_if_seen("reasoning", reasoning_);
    if (has_function_call_) {
        if (!function_name_.has_text() || !function_arguments_.has_text()) return std::nullopt;
        object_text function;
        function.add("name", function_name_.json());
        function.add("arguments", function_arguments_.json());
        message.add("function_call", function.end());
    } else if (function_call_seen_) {
        message.add("function_call", "null");
    }
    if (!calls_.empty()) {
        std::string list = "[";
        for (const tool_call& each : calls_) {
            if (!is_text(each.id.json()) || !says(each.type.json(), "function") || !each.name.has_text() ||
                !each.arguments.has_text())
                return std::nullopt;
            object_text function, call;
            function.add("name", each.name.json());
            function.add("arguments", each.arguments.json());
            call.add("id", each.id.json());
            call.add("type", each.type.json());
            call.add("function", function.end());
            if (list.size() > 1) list += ',';
            list += call.end();
        }
        message.add("tool_calls", list += ']');
    } else if (calls_seen_) {
        message.add("tool_calls", "null");
    }

    object_text choice;
    choice.add("index", "0");
    choice.add("message", message.end());
    if (logprobs_) choice.add("logprobs", "null");
    choice.add("finish_reason", finish_reason_.json());
    choice.add_if_seen("native_finish_reason", native_finish_reason_);
    choice.add_if_seen("stop_reason", stop_reason_);

    object_text out;
    out.add("id", id_.json());
    out.add_if_seen("provider", provider_);
    out.add("object", "\"chat.completion\"");
    out.add("created", created_.json());
    out.add("model", model_.json());
    out.add("choices", '[' + choice.end() + ']');
    out.add("usage", usage_.json());
    out.add_if_seen("service_tier", service_tier_);
    out.add_if_seen("system_fingerprint", system_fingerprint_);
    return out.end();
}
} // namespace

std::unique_ptr<answer_assembler::form> chat_assembler() { return std::make_unique<chat>(); }

} // namespace evenkeel::wire
