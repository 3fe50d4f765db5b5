// Anthropic's messages.

#include "proxy/wire/answer_assembler.hpp"
#include "proxy/wire/json_parts.hpp"

#include <algorithm>
#include <array>
#include <span>
#include <vector>

namespace evenkeel::wire {

namespace {
using members = std::vector<json_member>;

bool is_in(std::string_view value, std::span<const std::string_view> list) noexcept {
    return std::find(list.begin(), list.end(), value) != list.end();
}
const std::string_view* find(const members& all, std::string_view name) noexcept {
    const auto found = std::find_if(all.begin(), all.end(), [&](const json_member& one) { return one.name == name; });
    return found == all.end() ? nullptr : &found->value;
}
std::string_view word(const std::string_view* value) noexcept {
    return value != nullptr && is_text(*value) ? value->substr(1, value->size() - 2) : std::string_view{};
}

// A kind of block: the members it may begin with, which of them grow, and by what.
struct block_kind {
    std::string_view name;
    std::array<std::string_view, 3> has;
    std::string_view grows{}; // a text, by the delta of this kind
    std::string_view by{};
    std::string_view grows2{};
    std::string_view by2{};
};
constexpr std::array<block_kind, 6> kinds{{
    {"text", {"text", "citations"}, "text", "text_delta", {}, {}},
    {"tool_use", {"id", "name", "input"}, {}, {}, {}, {}},
    {"server_tool_use", {"id", "name", "input"}, {}, {}, {}, {}},
    {"thinking", {"thinking", "signature"}, "thinking", "thinking_delta", "signature", "signature_delta"},
    {"redacted_thinking", {"data"}, {}, {}, {}, {}},
    {"web_search_tool_result", {"tool_use_id", "content"}, {}, {}, {}, {}},
}};

struct owned_member {
    std::string name, value;
};

struct block {
    const block_kind* kind = nullptr;
    std::vector<owned_member> told;   // at its beginning
    joined_text first, second, input; // what was added to what grows
    std::vector<std::string> citations;
    bool closed = false;
};

class message final : public answer_assembler::form {
public:
    bool event(const stream_event& one) override;
    std::optional<std::string> answer() const override;
    bool ended() const noexcept override { return ended_; }

private:
    bool start(const members& event);
    bool block_start(const members& event);
    bool block_delta(const members& event);
    bool block_stop(const members& event);
    bool message_delta(const members& event);
    bool only(const members& all, std::initializer_list<std::string_view> names);
    block* open_block(const members& event);
    void usage(const members& told);
    std::optional<std::string> text_of(const block& one) const;

    std::vector<owned_member> head_, usage_;
    std::vector<block> blocks_;
    std::string stop_reason_, stop_sequence_;
    bool begun_ = false, ended_ = false;
};

// Nothing but these says anything.
bool message::only(const members& all, std::initializer_list<std::string_view> names) {
    for (const json_member& one : all) {
        if (std::find(names.begin(), names.end(), one.name) == names.end() && !is_vacant(one.value))
            return refuse(one.name);
    }
    return true;
}

bool message::event(const stream_event& one) {
    if (ended_) return refuse("[behind the end]");
    members all;
    if (!members_of(one.data, all)) return refuse("[no object]");
    const std::string_view type = word(find(all, "type"));
    if (!one.name.empty() && one.name != type) return refuse(one.name);
    if (type == "ping") return true;
    if (type == "message_start" && !begun_) return start(all);
    if (begun_ && stop_reason_.empty()) {
        if (type == "content_block_start") return block_start(all);
        if (type == "content_block_delta") return block_delta(all);
        if (type == "content_block_stop") return block_stop(all);
    }
    if (begun_ && type == "message_delta") return message_delta(all);
    if (begun_ && type == "message_stop") return ended_ = only(all, {"type"});
    return refuse(type.empty() ? "[no type]" : type);
}

bool message::start(const members& event) {
    members all, tokens;
    const std::string_view* const value = find(event, "message");
    if (!only(event, {"type", "message"})) return false;
    if (value == nullptr || !members_of(*value, all)) return refuse("message");
    if (!only(all, {"id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage"})) return false;
    const std::string_view* const content = find(all, "content");
    const std::string_view* const counted = find(all, "usage");
    if (content == nullptr || list_values(*content, 0) == std::nullopt) return refuse("content");
    if (counted == nullptr || !members_of(*counted, tokens)) return refuse("usage");
    for (const char* needed : {"id", "type", "role", "model"}) {
        if (word(find(all, needed)).empty()) return refuse(needed);
    }
    for (const json_member& one : all) {
        if (is_in(one.name, std::array<std::string_view, 4>{"id", "type", "role", "model"}))
            head_.push_back({one.name, std::string{one.value}});
        if (one.name == "stop_reason" && !is_null(one.value)) return refuse(one.name);
    }
    kept += value->size();
    usage(tokens);
    return begun_ = true;
}

// What is told later counts; null says nothing new.
void message::usage(const members& told) {
    for (const json_member& one : told) {
        const auto known = std::find_if(usage_.begin(), usage_.end(),
                                        [&](const owned_member& other) { return other.name == one.name; });
        if (known == usage_.end()) {
            usage_.push_back({one.name, std::string{one.value}});
            kept += one.name.size() + one.value.size();
        } else if (!is_null(one.value)) {
            known->value = one.value;
        }
    }
}

bool message::block_start(const members& event) {
    members all;
    if (!only(event, {"type", "index", "content_block"})) return false;
    const std::string_view* const index = find(event, "index");
    const std::string_view* const value = find(event, "content_block");
    if (index == nullptr || *index != std::to_string(blocks_.size())) return refuse("index");
    if (!blocks_.empty() && !blocks_.back().closed) return refuse("content_block_start");
    if (value == nullptr || !members_of(*value, all)) return refuse("content_block");
    const std::string_view type = word(find(all, "type"));
    const auto kind = std::find_if(kinds.begin(), kinds.end(), [&](const block_kind& one) { return one.name == type; });
    if (kind == kinds.end()) return refuse(type.empty() ? "content_block" : type);
    block made;
    made.kind = &*kind;
    for (const json_member& one : all) {
        if (one.name != "type" && (one.name.empty() || !is_in(one.name, kind->has))) {
            if (is_vacant(one.value)) continue;
            return refuse(one.name);
        }
        made.told.push_back({one.name, std::string{one.value}});
        bool good = true;
        if (one.name == kind->grows)
            good = made.first.add(one.value, kept);
        else if (one.name == kind->grows2)
            good = made.second.add(one.value, kept);
        else if (one.name == "citations")
            good = is_null(one.value) || list_values(one.value, 0).has_value();
        else if (one.name == "input")
            good = is_object(one.value);
        if (!good) return refuse(one.name);
    }
    kept += value->size() + sizeof(block);
    blocks_.push_back(std::move(made));
    return true;
}

block* message::open_block(const members& event) {
    const std::string_view* const index = find(event, "index");
    const bool last = index != nullptr && !blocks_.empty() && *index == std::to_string(blocks_.size() - 1);
    return last && !blocks_.back().closed ? &blocks_.back() : nullptr;
}

bool message::block_delta(const members& event) {
    members all;
    if (!only(event, {"type", "index", "delta"})) return false;
    block* const to = open_block(event);
    const std::string_view* const value = find(event, "delta");
    if (to == nullptr) return refuse("index");
    if (value == nullptr || !members_of(*value, all)) return refuse("delta");
    const std::string_view type = word(find(all, "type"));
    const bool takes_input = to->kind->name == "tool_use" || to->kind->name == "server_tool_use";
    const auto grow = [&](std::string_view member, joined_text& text) {
        const std::string_view* const more = find(all, member);
        if (!only(all, {"type", member})) return false;
        return (more != nullptr && is_text(*more) && text.add(*more, kept)) || refuse(member);
    };
    if (type.empty()) return refuse("delta");
    if (type == to->kind->by) return grow(to->kind->grows, to->first);
    if (type == to->kind->by2) return grow(to->kind->grows2, to->second);
    if (type == "input_json_delta" && takes_input) return grow("partial_json", to->input);
    if (type == "citations_delta" && to->kind->name == "text") {
        const std::string_view* const citation = find(all, "citation");
        if (!only(all, {"type", "citation"})) return false;
        if (citation == nullptr || !is_object(*citation)) return refuse("citation");
        to->citations.emplace_back(*citation);
        kept += citation->size();
        return true;
    }
    return refuse(type);
}

bool message::block_stop(const members& event) {
    if (!only(event, {"type", "index"})) return false;
    block* const one = open_block(event);
    if (one == nullptr) return refuse("index");
    if (!text_of(*one)) return refuse("partial_json");
    return one->closed = true;
}

bool message::message_delta(const members& event) {
    members delta, tokens;
    if (!only(event, {"type", "delta", "usage"})) return false;
    const std::string_view* const value = find(event, "delta");
    const std::string_view* const counted = find(event, "usage");
    if (value == nullptr || !members_of(*value, delta)) return refuse("delta");
    if (counted == nullptr || !members_of(*counted, tokens)) return refuse("usage");
    if (!only(delta, {"stop_reason", "stop_sequence"})) return false;
    const auto keep = [&](const char* name, std::string& into) {
        if (const std::string_view* told = find(delta, name); told != nullptr && !is_null(*told)) into = *told;
    };
    keep("stop_reason", stop_reason_);
    keep("stop_sequence", stop_sequence_);
    usage(tokens);
    return true;
}

// Empty: its input is no object.
std::optional<std::string> message::text_of(const block& one) const {
    object_text out;
    for (const owned_member& each : one.told) {
        if (each.name == one.kind->grows) {
            out.add(each.name, one.first.json());
        } else if (each.name == one.kind->grows2) {
            out.add(each.name, one.second.json());
        } else if (each.name == "input" && !one.input.inside().empty()) {
            const std::string input = unescape_json(one.input.inside());
            const bool doubtful = input.find("\xef\xbf\xbd") != std::string::npos; // perhaps a lone surrogate
            members all;
            if (doubtful || input.empty() || input.front() != '{' || !members_of(input, all)) return std::nullopt;
            if (!members_of(each.value, all) || !all.empty()) return std::nullopt; // told twice
            out.add(each.name, input);
        } else if (each.name != "citations" || one.citations.empty()) {
            out.add(each.name, each.value);
        }
    }
    const auto told = [&](std::string_view name) {
        return std::any_of(one.told.begin(), one.told.end(),
                           [&](const owned_member& each) { return each.name == name; });
    };
    // A signature may come although the block did not begin with an empty one.
    if (one.first.seen() && !told(one.kind->grows)) out.add(one.kind->grows, one.first.json());
    if (one.second.seen() && !told(one.kind->grows2)) out.add(one.kind->grows2, one.second.json());
    if (!one.citations.empty()) {
        std::string list = "[";
        for (const std::string& each : one.citations) list.append(list.size() > 1 ? "," : "").append(each);
        out.add("citations", list += ']');
    }
    return out.end();
}

std::optional<std::string> message::answer() const {
    if (!ended_ || stop_reason_.empty()) return std::nullopt;
    std::string content = "[";
    for (const block& each : blocks_) {
        if (!each.closed) return std::nullopt;
        content.append(content.size() > 1 ? "," : "").append(*text_of(each));
    }
    object_text out, tokens;
    for (const owned_member& each : head_) out.add(each.name, each.value);
    out.add("content", content += ']');
    out.add("stop_reason", stop_reason_);
    out.add("stop_sequence", stop_sequence_.empty() ? std::string_view{"null"} : std::string_view{stop_sequence_});
    for (const owned_member& each : usage_) tokens.add(each.name, each.value);
    out.add("usage", tokens.end());
    return out.end();
}
} // namespace

std::unique_ptr<answer_assembler::form> message_assembler() { return std::make_unique<message>(); }

} // namespace evenkeel::wire
