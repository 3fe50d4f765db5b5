#include "proxy/wire/event_sayings.hpp"

#include "policies/utf8.hpp"
#include "proxy/wire/characters.hpp"
#include "proxy/wire/json_parts.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <utility>

namespace evenkeel::wire {

namespace {
constexpr std::string_view done_marker = "[DONE]";

// The inside of a JSON string as units of UTF-16, each in one to three bytes: a pair of surrogates is two units,
// whether it is spelled as such, as one character, or cut between two events.
class spelled_units {
public:
    explicit spelled_units(std::string_view inside) noexcept : rest_(inside) {}

    // The next unit, behind what is left of the text; false: there is none.
    bool next(std::string& out) {
        if (low_ != 0) {
            put(out, std::exchange(low_, 0));
            return true;
        }
        if (rest_.empty()) return false;
        if (rest_.front() == '\\') {
            escape(out);
            return true;
        }
        const std::size_t size = std::max<std::size_t>(utf8_sequence(rest_), 1);
        if (size < 4) {
            out.append(rest_, 0, size);
        } else {
            const auto bits = [&](std::size_t at) { return static_cast<unsigned char>(rest_[at]) & 0x3fU; };
            const unsigned code =
                ((static_cast<unsigned char>(rest_[0]) & 7U) << 18 | bits(1) << 12 | bits(2) << 6 | bits(3)) - 0x10000U;
            put(out, 0xd800U + (code >> 10));
            low_ = 0xdc00U + (code & 0x3ffU);
        }
        rest_.remove_prefix(size);
        return true;
    }
    // What has not been read, spelled so that it can stand alone.
    [[nodiscard]] std::string rest() const {
        static constexpr std::string_view digits = "0123456789abcdef";
        std::string out;
        if (low_ != 0) {
            out = "\\u";
            for (int shift = 12; shift >= 0; shift -= 4) out += digits[low_ >> shift & 15U];
        }
        return out.append(rest_);
    }

private:
    static void put(std::string& out, unsigned code) {
        const auto byte = [&](unsigned value) { out += static_cast<char>(value); };
        if (code < 0x80) {
            byte(code);
        } else if (code < 0x800) {
            byte(0xc0 | code >> 6);
            byte(0x80 | (code & 0x3f));
        } else {
            byte(0xe0 | code >> 12);
            byte(0x80 | (code >> 6 & 0x3f));
            byte(0x80 | (code & 0x3f));
        }
    }
    void escape(std::string& out) { // it is well-formed: whoever found the string has seen to that
        static constexpr std::string_view letters = "bfnrt", controls = "\b\f\n\r\t";
        const char kind = rest_.size() > 1 ? rest_[1] : '\\';
        std::size_t size = std::min<std::size_t>(rest_.size(), 2);
        if (kind == 'u' && rest_.size() >= 6) {
            unsigned code = 0;
            for (std::size_t i = 2; i < 6; ++i) code = code * 16 + static_cast<unsigned>(hex_value(rest_[i]) & 15);
            put(out, code);
            size = 6;
        } else if (const std::size_t at = letters.find(kind); at != std::string_view::npos) {
            out += controls[at];
        } else {
            out += kind;
        }
        rest_.remove_prefix(size);
    }

    std::string_view rest_;
    unsigned low_ = 0; // the second half of a pair that is one character here
};

std::string units_of(std::string_view inside) {
    std::string out;
    spelled_units units(inside);
    while (units.next(out)) {}
    return out;
}
std::string_view inside_of(std::string_view text) noexcept { return text.substr(1, text.size() - 2); }
std::string word_of(std::string_view value) { return is_text(value) ? units_of(inside_of(value)) : std::string{value}; }

class reader {
public:
    explicit reader(event_sayings& to) noexcept : out_(to) {}
    void read(dialect which, const stream_event& event);

private:
    using place = std::size_t; // of an object, in the order they were opened

    // The members of an object, which `known` is false without.
    place open(std::string_view text) {
        event_sayings::object made{text, {}, {}};
        if (!members_of(text, made.members)) out_.known = false;
        made.dropped.resize(made.members.size());
        out_.objects.push_back(std::move(made));
        return out_.objects.size() - 1;
    }
    [[nodiscard]] const std::vector<json_member>& members(place at) const { return out_.objects[at].members; }
    static constexpr std::size_t none = saying::no_place;
    [[nodiscard]] std::size_t find(place at, std::string_view name) const {
        const auto& all = members(at);
        const auto found =
            std::find_if(all.begin(), all.end(), [&](const json_member& one) { return one.name == name; });
        return found == all.end() ? none : static_cast<std::size_t>(found - all.begin());
    }
    // Empty: it is not there.
    [[nodiscard]] std::string_view value(place at, std::string_view name) const {
        const std::size_t found = find(at, name);
        return found == none ? std::string_view{} : members(at)[found].value;
    }
    [[nodiscard]] bool is_told(place at, std::string_view name) const {
        const std::string_view found = value(at, name);
        return !found.empty() && !is_null(found);
    }
    [[nodiscard]] std::string index_of(place at) const {
        const std::string_view found = value(at, "index");
        const bool number = !found.empty() && found.find_first_not_of("0123456789") == std::string_view::npos;
        return number ? std::string{found} : "0";
    }

    void grows(std::string channel, std::string_view text) {
        if (text.empty() || is_null(text)) return;
        if (!is_text(text)) {
            out_.known = false;
            return;
        }
        if (text.size() == 2) return;
        out_.says.push_back({std::move(channel), units_of(inside_of(text)), false, none, 0, inside_of(text)});
    }
    // At once, and the same again; never empty, so that it can have come or not. `in` loses the member when it was said
    // before.
    void is(std::string channel, place in, std::string_view name, const std::string& text) {
        out_.says.push_back({std::move(channel), "=" + text, true, in, find(in, name), {}});
    }
    void is(std::string channel, const std::string& text) {
        out_.says.push_back({std::move(channel), "=" + text, true, none, 0, {}});
    }

    template <std::size_t n>
    void only(place in, const std::array<std::string_view, n>& names) {
        for (const json_member& one : members(in)) {
            if (std::find(names.begin(), names.end(), one.name) == names.end() && !is_vacant(one.value))
                out_.known = false;
        }
    }
    // Each value of a list, which has to be objects.
    void each(std::string_view list, const std::function<void(place)>& with) {
        const auto values = list_values(list, most_members);
        if (!values || !std::all_of(values->begin(), values->end(), is_object)) {
            out_.known = false;
            return;
        }
        for (const std::string_view one : *values) with(open(one));
    }

    void read_openai(place top);
    void read_choice(place choice);
    void read_tool(place tool, const std::string& choice);
    void read_anthropic(place top);
    void read_block(place top, const std::string& block);
    void read_delta(place top, const std::string& block);

    event_sayings& out_;
};

void reader::read_tool(place tool, const std::string& choice) {
    only(tool, std::array<std::string_view, 4>{"index", "id", "type", "function"});
    const std::string name = choice + ".tool" + index_of(tool);
    if (is_told(tool, "id")) is(name + ".id", tool, "id", "there"); // drawn anew each time
    if (is_told(tool, "type")) is(name + ".type", tool, "type", word_of(value(tool, "type")));
    if (find(tool, "function") == none) return;
    if (!is_object(value(tool, "function"))) {
        out_.known = false;
        return;
    }
    const place call = open(value(tool, "function"));
    only(call, std::array<std::string_view, 2>{"name", "arguments"});
    if (is_told(call, "name")) is(name + ".name", call, "name", word_of(value(call, "name")));
    grows(name + ".arguments", value(call, "arguments"));
}

void reader::read_choice(place choice) {
    only(choice, std::array<std::string_view, 5>{"index", "delta", "text", "finish_reason", "stop_reason"});
    const std::string name = "choice" + index_of(choice);
    grows(name + ".text", value(choice, "text"));
    if (is_told(choice, "delta")) {
        if (!is_object(value(choice, "delta"))) {
            out_.known = false;
            return;
        }
        const place delta = open(value(choice, "delta"));
        only(delta, std::array<std::string_view, 6>{"role", "content", "refusal", "reasoning", "reasoning_content",
                                                    "tool_calls"});
        if (is_told(delta, "role")) is(name + ".role", delta, "role", word_of(value(delta, "role")));
        for (const std::string_view speech : {"content", "refusal", "reasoning", "reasoning_content"})
            grows(name + "." + std::string{speech}, value(delta, speech));
        if (is_told(delta, "tool_calls")) each(value(delta, "tool_calls"), [&](place tool) { read_tool(tool, name); });
    }
    for (const std::string_view end : {"finish_reason", "stop_reason"})
        if (is_told(choice, end)) is(name + "." + std::string{end}, choice, end, word_of(value(choice, end)));
}

void reader::read_openai(place top) {
    if (is_told(top, "error")) {
        out_.error = true;
        return;
    }
    only(top, std::array<std::string_view, 9>{"id", "object", "created", "model", "system_fingerprint", "service_tier",
                                              "usage", "choices", "obfuscation"});
    const std::string_view choices = value(top, "choices");
    each(choices, [&](place choice) { read_choice(choice); });
    // Behind all choices, where it was asked for.
    if (is_vacant(choices) && is_told(top, "usage")) is("usage", "there");
}

void reader::read_block(place top, const std::string& block) {
    if (!is_object(value(top, "content_block"))) {
        out_.known = false;
        return;
    }
    const place begun = open(value(top, "content_block"));
    if (find(begun, "type") == none) {
        out_.known = false;
        return;
    }
    only(begun,
         std::array<std::string_view, 8>{"type", "text", "thinking", "signature", "data", "id", "name", "input"});
    is(block + ".type", word_of(value(begun, "type")));
    for (const std::string_view word : {"name", "data"})
        if (find(begun, word) != none) is(block + "." + std::string{word}, word_of(value(begun, word)));
    if (find(begun, "input") != none) is(block + ".first_input", std::string{value(begun, "input")});
    for (const std::string_view speech : {"text", "thinking", "signature"})
        grows(block + "." + std::string{speech}, value(begun, speech));
}

void reader::read_delta(place top, const std::string& block) {
    if (!is_object(value(top, "delta"))) {
        out_.known = false;
        return;
    }
    static constexpr std::array<std::pair<std::string_view, std::string_view>, 4> texts{
        {{"text_delta", "text"},
         {"input_json_delta", "partial_json"},
         {"thinking_delta", "thinking"},
         {"signature_delta", "signature"}}};
    const place delta = open(value(top, "delta"));
    const std::string type = word_of(value(delta, "type"));
    const auto* const known_as =
        std::find_if(texts.begin(), texts.end(), [&](const auto& one) { return one.first == type; });
    if (known_as == texts.end() || find(delta, known_as->second) == none) {
        out_.known = false;
        return;
    }
    only(delta, std::array<std::string_view, 2>{"type", known_as->second});
    grows(block + "." + std::string{known_as->second}, value(delta, known_as->second));
}

void reader::read_anthropic(place top) {
    const std::string type = word_of(value(top, "type"));
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
        if (!is_object(value(top, "delta"))) {
            out_.known = false;
            return;
        }
        const place delta = open(value(top, "delta"));
        only(delta, std::array<std::string_view, 2>{"stop_reason", "stop_sequence"});
        is("end", std::string{value(top, "delta")});
    } else if (type == "message_stop") {
        is("stop", "there");
    } else {
        out_.known = false;
    }
}

void reader::read(dialect which, const stream_event& event) {
    if (event.data.empty()) return;
    static constexpr std::string_view blanks = " \t\r\n";
    const std::string_view data = event.data.substr(0, event.data.find_last_not_of(blanks) + 1);
    if (data == done_marker) return is("done", "there");
    out_.error = event.name == "error";
    if (out_.error) return;
    const std::size_t begin = std::min(data.find_first_not_of(blanks), data.size());
    const place top = open(data.substr(begin));
    if (!out_.known) return;
    out_.top = members(top);
    if (which == dialect::anthropic) {
        read_anthropic(top);
    } else {
        read_openai(top);
    }
}
} // namespace

void event_sayings::drop(const saying& one, std::size_t rest) {
    changed_ = true;
    if (one.whole) {
        objects[one.object].dropped[one.member] = true;
        return;
    }
    std::string passed;
    spelled_units units(one.inside);
    while (one.text.size() - passed.size() > rest && units.next(passed)) {}
    edits_.push_back({one.inside, units.rest()});
}

void event_sayings::replace(std::string_view value, std::string_view by) {
    if (value == by) return;
    changed_ = true;
    edits_.push_back({value, std::string{by}});
}

std::string event_sayings::data(std::string_view as_it_came) {
    for (const object& one : objects) {
        const char* begin = one.text.data() + 1; // of a member, with the comma in front of it
        bool kept = false;
        for (std::size_t i = 0; i < one.members.size(); ++i) {
            const std::string_view value = one.members[i].value;
            const char* const end = value.data() + value.size();
            const std::string_view piece{begin, static_cast<std::size_t>(end - begin)};
            if (one.dropped[i]) {
                edits_.push_back({piece, {}});
            } else if (!kept && i > 0) {
                edits_.push_back({piece.substr(0, piece.find(',') + 1), {}});
            }
            kept = kept || !one.dropped[i];
            begin = end;
        }
    }
    std::sort(edits_.begin(), edits_.end(), [](const edit& a, const edit& b) { return a.at.data() < b.at.data(); });
    std::string out;
    std::size_t taken = 0;
    for (const edit& one : edits_) {
        const auto at = static_cast<std::size_t>(one.at.data() - as_it_came.data());
        if (at < taken) continue; // within what is gone
        out.append(as_it_came, taken, at - taken).append(one.by);
        taken = at + one.at.size();
    }
    return out.append(as_it_came, taken);
}

void read_sayings(dialect which, const stream_event& event, event_sayings& to) { reader(to).read(which, event); }

} // namespace evenkeel::wire
