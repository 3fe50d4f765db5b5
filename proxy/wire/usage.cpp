#include "proxy/wire/usage.hpp"

#include "proxy/wire/find_word.hpp"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>
#include <optional>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace evenkeel::wire {

namespace {

constexpr std::size_t nowhere = std::string_view::npos;
// Where it is looked for first: plain counts are below 100 bytes, what OpenAI writes of them below 400.
constexpr std::array<std::size_t, 2> near_the_end{256, 768};
constexpr int most_tries = 8;  // of what looks like it and lies elsewhere: each costs a walk over the text
constexpr int event_depth = 2; // {"usage"}, {"response":{"usage"}}, {"message":{"usage"}}

constexpr bool is_blank(char c) noexcept { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }
std::size_t skip_blanks(std::string_view text, std::size_t at) noexcept {
    while (at < text.size() && text[at] <= ' ' && is_blank(text[at])) ++at; // hardly ever any
    return at;
}

// Behind the closing quote of the string whose inside begins at `at`; nowhere: it has no end.
std::size_t long_string_end(std::string_view text, std::size_t at) noexcept {
    for (const std::size_t begin = at;;) {
        if (at >= text.size()) return nowhere;
        const void* const found = std::memchr(text.data() + at, '"', text.size() - at);
        if (found == nullptr) return nowhere;
        const auto quote = static_cast<std::size_t>(static_cast<const char*>(found) - text.data());
        std::size_t slashes = 0;
        while (quote - slashes > begin && text[quote - slashes - 1] == '\\') ++slashes;
        at = quote + 1;
        if (slashes % 2 == 0) return at;
    }
}
// ... nearly all are names, and short.
inline std::size_t string_end(std::string_view text, std::size_t at) noexcept {
#if defined(__SSE2__)
    constexpr std::size_t width = 16;
    const std::size_t begin = at;
    for (int looks = 0; looks < 2 && at + width <= text.size(); ++looks, at += width) {
        const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text.data() + at));
        const auto quotes = static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_set1_epi8('"'))));
        if (quotes == 0) continue;
        at += static_cast<std::size_t>(std::countr_zero(quotes));
        if (at == begin || text[at - 1] != '\\') return at + 1;
        break;
    }
    at = begin;
#endif
    return long_string_end(text, at);
}

// How many brackets are open at the end of `text`, less those that it closes of others. Empty: a string has no end.
std::optional<int> balance(std::string_view text) noexcept {
    int open = 0;
    for (std::size_t at = 0; at < text.size(); ++at) {
        const char c = text[at];
        if (c == '"') {
            at = string_end(text, at + 1);
            if (at == nowhere) return std::nullopt;
            --at;
        } else if (c == '{' || c == '[') {
            ++open;
        } else if (c == '}' || c == ']') {
            --open;
        }
    }
    return open;
}

// A text that is searched, how many brackets may lie around what is found, and whether its beginning is missing.
struct searched {
    std::string_view text;
    int deepest = 1;
    bool cut = false;
};

// Whether a member of which [begin, end) is name and value lies within so many brackets: the shorter way tells.
bool is_within(const searched& in, std::size_t begin, std::size_t end) noexcept {
    const std::string_view text = in.text;
    const auto fits = [&](std::optional<int> depth) { return depth && *depth >= 1 && *depth <= in.deepest; };
    const auto behind = [&] {
        const auto depth = balance(text.substr(end));
        return depth ? std::optional{-*depth} : depth;
    };
    return in.cut || text.size() - end <= begin ? fits(behind()) : fits(balance(text.substr(0, begin)));
}

// The value of a number at `at`; empty: it is none, negative, or more than anybody takes. Some write 45.0.
std::optional<std::uint64_t> tokens_at(std::string_view text, std::size_t at) noexcept {
    const auto is_digit = [&] { return at < text.size() && text[at] >= '0' && text[at] <= '9'; };
    if (!is_digit()) return std::nullopt;
    const std::size_t begin = at;
    std::uint64_t count = 0;
    for (; is_digit() && count <= usage::most_tokens; ++at)
        count = count * 10 + static_cast<std::uint64_t>(text[at] - '0');
    if (count > usage::most_tokens) return std::nullopt;
    if (at >= text.size() || (text[at] != 'e' && text[at] != 'E' && text[at] != '.')) return count;
    double value = 0;
    const char* const end = text.data() + text.size();
    const auto read = std::from_chars(text.data() + begin, end, value);
    if (read.ec != std::errc{} || !(value <= static_cast<double>(usage::most_tokens))) return std::nullopt;
    return static_cast<std::uint64_t>(value);
}

struct known_name {
    std::string_view name;
    usage::part what;
};
constexpr std::array own_names{
    known_name{"prompt_tokens", usage::all_input},
    known_name{"completion_tokens", usage::output},
    known_name{"total_tokens", usage::total},
    known_name{"input_tokens", usage::input},
    known_name{"output_tokens", usage::output},
    known_name{"cache_read_input_tokens", usage::read_beside},
    known_name{"cache_creation_input_tokens", usage::write_beside},
    known_name{"prompt_cache_hit_tokens", usage::cached},
    known_name{"cached_tokens", usage::cached},
    known_name{"reasoning_tokens", usage::reasoning},
    known_name{"promptTokenCount", usage::all_input},
    known_name{"candidatesTokenCount", usage::output},
    known_name{"totalTokenCount", usage::total},
    known_name{"cachedContentTokenCount", usage::cached},
    known_name{"thoughtsTokenCount", usage::thoughts},
    known_name{"toolUsePromptTokenCount", usage::tool_input},
    known_name{"inputTokens", usage::input},
    known_name{"outputTokens", usage::output},
    known_name{"totalTokens", usage::total},
    known_name{"cacheReadInputTokens", usage::read_beside},
    known_name{"cacheWriteInputTokens", usage::write_beside},
};
constexpr std::array names_of_details{
    known_name{"cached_tokens", usage::cached},
    known_name{"cache_write_tokens", usage::cached_write},
    known_name{"cache_creation_tokens", usage::cached_write},
    known_name{"reasoning_tokens", usage::reasoning},
    known_name{"thinking_tokens", usage::reasoning},
};
constexpr std::array names_of_units{
    known_name{"input_tokens", usage::input},
    known_name{"output_tokens", usage::output},
};

// The last eight bytes of a name, or as many as it has: those of one length differ there.
constexpr std::size_t tail_size = sizeof(std::uint64_t);
constexpr std::uint64_t tail_of(std::string_view name) noexcept {
    std::uint64_t tail = 0;
    if (!std::is_constant_evaluated() && std::endian::native == std::endian::little && name.size() >= tail_size) {
        std::memcpy(&tail, name.data() + name.size() - tail_size, tail_size);
        return tail;
    }
    for (const char c : name.substr(name.size() - std::min(name.size(), tail_size)))
        tail = tail >> 8U | std::uint64_t{static_cast<unsigned char>(c)} << 56U;
    return tail;
}

// By length first, and then by the tail: this is asked for every member of every answer's usage.
template <std::size_t n>
class name_table {
public:
    constexpr explicit name_table(std::array<known_name, n> all) noexcept : names_(all) {
        std::sort(names_.begin(), names_.end(),
                  [](const known_name& a, const known_name& b) { return a.name.size() < b.name.size(); });
        for (std::size_t at = 0; at < n; ++at) tails_[at] = tail_of(names_[at].name);
        for (std::size_t size = 0; size < first_.size(); ++size) {
            first_[size] = static_cast<unsigned char>(std::count_if(
                names_.begin(), names_.end(), [&](const known_name& one) { return one.name.size() < size; }));
        }
    }
    [[nodiscard]] std::optional<usage::part> find(std::string_view name) const noexcept {
        if (name.size() > longest) return std::nullopt;
        const std::uint64_t tail = tail_of(name);
        for (std::size_t at = first_[name.size()]; at < first_[name.size() + 1]; ++at)
            if (tails_[at] == tail && names_[at].name == name) return names_[at].what;
        return std::nullopt;
    }

private:
    static constexpr std::size_t longest = 30;
    std::array<known_name, n> names_;
    std::array<std::uint64_t, n> tails_{};
    std::array<unsigned char, longest + 2> first_{}; // place of the first name of this length, or longer
};
constexpr name_table own_table{own_names};
constexpr name_table details_table{names_of_details};
constexpr name_table units_table{names_of_units};

// Reads an object of counts and goes no deeper than one object in it. The text is handed on by value: what is found may
// be written anywhere, for all that the compiler knows, and a member would be read again after each write.
class counts_reader {
public:
    enum class place : unsigned char { own, details, units, nothing };
    // Behind the object that begins at `at`; nowhere: it is none.
    std::size_t read(std::string_view text, std::size_t at, place where) noexcept {
        for (++at;;) {
            at = skip_blanks(text, at);
            if (at >= text.size()) return nowhere;
            if (text[at] == '}') return at + 1;
            if (text[at] == ',') {
                ++at;
                continue;
            }
            if (text[at] != '"') return nowhere;
            const std::size_t name_end = string_end(text, at + 1);
            if (name_end == nowhere) return nowhere;
            const std::string_view name = text.substr(at + 1, name_end - at - 2);
            at = skip_blanks(text, name_end);
            if (at >= text.size() || text[at] != ':') return nowhere;
            at = read_value(text, skip_blanks(text, at + 1), name, where);
            if (at == nowhere) return nowhere;
        }
    }
    [[nodiscard]] const usage& found() const noexcept { return found_; }

private:
    std::size_t read_value(std::string_view text, std::size_t at, std::string_view name, place where) noexcept {
        if (at >= text.size()) return nowhere;
        switch (text[at]) {
        case '"': return string_end(text, at + 1);
        case '[': return skip(text, at);
        case '{': return where == place::own ? read(text, at, below(name)) : skip(text, at);
        default: break;
        }
        std::size_t end = at;
        std::uint64_t plain = 0; // nearly always it is but digits, and few
        const std::size_t far = std::min(text.size(), at + 10);
        for (unsigned digit = 0; end < far && (digit = static_cast<unsigned char>(text[end]) - unsigned{'0'}) <= 9;
             ++end)
            plain = plain * 10 + digit;
        if (end > at && end < text.size() && (text[end] == ',' || text[end] == '}') && plain <= usage::most_tokens) {
            if (const auto what = part_of(name, where)) found_.tell(*what, plain);
            return end;
        }
        while (end < text.size() && text[end] != ',' && text[end] != '}' && text[end] != ']' && !is_blank(text[end]))
            ++end;
        if (end == at) return nowhere;
        if (const auto what = part_of(name, where)) {
            if (const auto tokens = tokens_at(text, at)) found_.tell(*what, *tokens);
        }
        return end;
    }
    [[nodiscard]] static std::optional<usage::part> part_of(std::string_view name, place where) noexcept {
        switch (where) {
        case place::own: return own_table.find(name);
        case place::details: return details_table.find(name);
        case place::units: return units_table.find(name);
        case place::nothing: break;
        }
        return std::nullopt;
    }
    [[nodiscard]] place below(std::string_view name) noexcept {
        if (name.ends_with("_details")) return place::details;
        if (name == "billed_units") {
            billed_ = true; // what is paid for, whatever was read
            return place::units;
        }
        return name == "tokens" && !billed_ ? place::units : place::nothing;
    }
    [[nodiscard]] static std::size_t skip(std::string_view text, std::size_t at) noexcept {
        int open = 0;
        for (; at < text.size(); ++at) {
            const char c = text[at];
            if (c == '"') {
                at = string_end(text, at + 1);
                if (at == nowhere) return nowhere;
                --at;
            } else if (c == '{' || c == '[') {
                ++open;
            } else if ((c == '}' || c == ']') && --open == 0) {
                return at + 1;
            }
        }
        return nowhere;
    }

    usage found_;
    bool billed_ = false;
};

void take(const usage& from, usage& into) noexcept {
    for (std::uint32_t left = from.told(); left != 0; left &= left - 1) {
        const auto what = static_cast<usage::part>(std::countr_zero(left));
        into.tell(what, from.at(what));
    }
}

// Behind the colon that follows a name which ends at `at`; nowhere: it is no name.
std::size_t value_of(std::string_view text, std::size_t at) noexcept {
    at = skip_blanks(text, at);
    return at < text.size() && text[at] == ':' ? skip_blanks(text, at + 1) : nowhere;
}

// The latest member of this name, or one of these, that is an object of counts and lies in its place.
bool read_objects(const searched& in, std::string_view word, std::string_view other, counts_reader::place where,
                  usage& into) noexcept {
    const std::string_view text = in.text;
    usage latest;
    int tries = 0;
    for (std::size_t from = 0; tries < most_tries;) {
        const std::size_t found = find_word(text.substr(from), word);
        if (found == nowhere) break;
        const std::size_t begin = from + found;
        from = begin + word.size();
        std::size_t name_end = from;
        if (!other.empty() && text.substr(from).starts_with(other)) name_end += other.size();
        if (name_end >= text.size() || text[name_end] != '"') continue;
        const std::size_t at = value_of(text, name_end + 1);
        if (at == nowhere || at >= text.size() || text[at] != '{') continue;
        counts_reader counts;
        const std::size_t end = counts.read(text, at, where);
        ++tries;
        if (end == nowhere || !counts.found().tells_any() || !is_within(in, begin, end)) continue;
        latest = counts.found();
        from = end;
    }
    take(latest, into);
    return latest.tells_any();
}

// A count that is a member of the answer itself.
bool read_member(searched in, std::string_view quoted, usage::part what, usage& into) noexcept {
    const std::string_view text = in.text;
    in.deepest = 1;
    bool any = false;
    int tries = 0;
    for (std::size_t from = 0; tries < most_tries;) {
        const std::size_t found = find_word(text.substr(from), quoted);
        if (found == nowhere) return any;
        const std::size_t begin = from + found;
        from = begin + quoted.size();
        const std::size_t at = value_of(text, from);
        const auto tokens = at != nowhere ? tokens_at(text, at) : std::nullopt;
        if (!tokens) continue;
        ++tries;
        if (!is_within(in, begin, at)) continue;
        into.tell(what, *tokens);
        any = true;
    }
    return any;
}

bool read_usage_object(const searched& in, usage& into) noexcept {
    return read_objects(in, "\"usage", "Metadata", counts_reader::place::own, into);
}

bool read_from(dialect spoken, const searched& in, usage& into) noexcept {
    if (spoken == dialect::ollama) {
        const bool input = read_member(in, "\"prompt_eval_count\"", usage::all_input, into);
        if (read_member(in, "\"eval_count\"", usage::output, into) || input) return true;
    }
    if (read_usage_object(in, into)) return true;
    if (spoken != dialect::generic) return false;
    if (read_objects({in.text, in.deepest + 1, in.cut}, "\"billed_units", {}, counts_reader::place::units, into))
        return true;
    const bool input = read_member(in, "\"tokens_evaluated\"", usage::all_input, into);
    return read_member(in, "\"tokens_predicted\"", usage::output, into) || input;
}

// The string that is the value of the member whose name ends at `at`, as it is spelled; empty: it is none.
std::string_view string_of(std::string_view text, std::size_t at) noexcept {
    at = value_of(text, at);
    if (at == nowhere || at >= text.size() || text[at] != '"') return {};
    const std::size_t end = string_end(text, at + 1);
    return end == nowhere ? text.substr(at + 1) : text.substr(at + 1, end - at - 2);
}
// Of all members whose names end so.
std::uint64_t strings_of(std::string_view text, std::string_view name_end) noexcept {
    std::uint64_t size = 0;
    for (std::size_t from = 0;;) {
        const std::size_t found = find_word(text.substr(from), name_end, name_end.size() - 2);
        if (found == nowhere) return size;
        from += found + name_end.size();
        const std::string_view said = string_of(text, from);
        size += said.size();
        if (!said.empty()) from = static_cast<std::size_t>(said.data() + said.size() - text.data());
    }
}

} // namespace

bool read_usage(dialect spoken, std::string_view body, usage& into) noexcept {
    if (spoken != dialect::ollama) { // whose two counts may lie on both sides of a cut
        for (const std::size_t near : near_the_end)
            if (body.size() > near && read_usage_object({body.substr(body.size() - near), 1, true}, into)) return true;
    }
    return read_from(spoken, {body, 1, false}, into);
}

bool read_usage_at_end(dialect spoken, std::string_view end_of_body, bool array, usage& into) noexcept {
    return read_from(spoken, {end_of_body, array ? 2 : 1, true}, into);
}

bool read_event_usage(dialect spoken, std::string_view name, std::string_view data, usage& into) noexcept {
    // Most events tell nothing, or null: the word alone is looked for.
    if (spoken != dialect::ollama && spoken != dialect::generic) {
        const std::size_t found = find_word(data, "\"usage");
        if (found == nowhere) return false;
    }
    const bool told = read_from(spoken, {data, event_depth, false}, into);
    // What is written by then is the beginning of it.
    if (told && (name == "message_start" || (name.empty() && has_word(data, "\"message_start\""))))
        into.forget(usage::output);
    return told;
}

std::uint64_t text_size(dialect spoken, std::string_view json) noexcept {
    switch (spoken) {
    case dialect::anthropic:
        if (const auto text = strings_of(json, "\"text\"")) return text;
        if (const auto thought = strings_of(json, "\"thinking\"")) return thought;
        return strings_of(json, "\"partial_json\"");
    case dialect::gemini: return strings_of(json, "\"text\"");
    case dialect::ollama:
        return strings_of(json, "\"content\"") + strings_of(json, "\"response\"") + strings_of(json, "\"thinking\"");
    case dialect::openai:
    case dialect::generic: break;
    }
    if (const auto content = strings_of(json, "content\"")) return content; // and reasoning_content
    // The deltas of a response; what comes at the end of each part says it again.
    if (has_word(json, "\"response.")) return strings_of(json, "\"delta\"");
    if (const auto reasoning = strings_of(json, "\"reasoning\"")) return reasoning;
    if (const auto arguments = strings_of(json, "\"arguments\"")) return arguments;
    return strings_of(json, "\"text\"");
}

void body_end::add(std::string_view piece) {
    if (piece.size() >= most) {
        kept_.assign(piece.substr(piece.size() - most));
        return;
    }
    const std::size_t all = kept_.size() + piece.size();
    if (all > 2 * most) kept_.erase(0, all - most); // not at each piece
    kept_.append(piece);
}

std::string_view body_end::with(std::string_view last) {
    if (kept_.empty()) return last.substr(last.size() - std::min(last.size(), most));
    add(last);
    return kept_;
}

} // namespace evenkeel::wire
