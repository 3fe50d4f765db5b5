#include "proxy/wire/json_model.hpp"

#include "policies/utf8.hpp"
#include "proxy/wire/characters.hpp"

#include <algorithm>
#include <array>
#include <bitset>
#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <bit>
#include <emmintrin.h>
#endif

namespace evenkeel::wire {

namespace {

// First character of a string's inside that is not plain ASCII text: a quote, a backslash, a control or a byte >= 0x80;
// for a terminal DEL as well.
template <bool Terminal = false>
const char* skip_plain_text(const char* p, const char* end) noexcept {
#if defined(__SSE2__)
    for (; end - p >= 16; p += 16) {
        const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
        // Compared as signed numbers, both controls and bytes >= 0x80 are less than a space.
        __m128i special =
            _mm_or_si128(_mm_cmplt_epi8(v, _mm_set1_epi8(0x20)),
                         _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')), _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'))));
        if constexpr (Terminal) special = _mm_or_si128(special, _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f)));
        if (const unsigned mask = static_cast<unsigned>(_mm_movemask_epi8(special)); mask != 0)
            return p + std::countr_zero(mask);
    }
#endif
    while (p != end && *p >= 0x20 && *p != '"' && *p != '\\' && (!Terminal || *p != 0x7f)) ++p;
    return p;
}

void append_utf8(std::string& out, std::uint32_t c) {
    const auto put = [&out](std::uint32_t byte) { out.push_back(static_cast<char>(byte)); };
    if (c < 0x80) {
        put(c);
    } else if (c < 0x800) {
        put(0xc0 | c >> 6);
        put(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        put(0xe0 | c >> 12);
        put(0x80 | (c >> 6 & 0x3f));
        put(0x80 | (c & 0x3f));
    } else {
        put(0xf0 | c >> 18);
        put(0x80 | (c >> 12 & 0x3f));
        put(0x80 | (c >> 6 & 0x3f));
        put(0x80 | (c & 0x3f));
    }
}

// Four hexadecimal digits at `p`; -1 if they are not.
int read_hex4(const char* p, const char* end) noexcept {
    if (end - p < 4) return -1;
    int value = 0;
    for (int i = 0; i < 4; ++i) {
        const int digit = hex_value(p[i]);
        if (digit < 0) return -1;
        value = value * 16 + digit;
    }
    return value;
}

class scanner {
public:
    explicit scanner(std::string_view body) noexcept : begin_(body.data()), p_(begin_), end_(begin_ + body.size()) {}

    bool run(json_members& out);
    bool run_over(std::vector<json_member>& out, std::size_t most);
    bool run_values(std::vector<std::string_view>& out, std::size_t most);
    bool run_value() noexcept;

private:
    void skip_space() noexcept {
        while (p_ != end_ && (*p_ == ' ' || *p_ == '\n' || *p_ == '\r' || *p_ == '\t')) ++p_;
    }
    bool take(char c) noexcept {
        if (p_ == end_ || *p_ != c) return false;
        ++p_;
        return true;
    }
    bool at(char c) const noexcept { return p_ != end_ && *p_ == c; }

    // Steps over a string, the opening quote included; `text` is its inside, `escaped` whether it holds escapes.
    bool skip_string(std::string_view& text, bool& escaped) noexcept;
    bool skip_digits() noexcept;
    bool skip_number() noexcept;
    bool skip_scalar() noexcept;
    bool read_key(std::string_view& text, bool& escaped) noexcept;
    bool skip_value() noexcept;
    bool read_member(json_members& out);

    const char* begin_;
    const char* p_;
    const char* end_;
};

bool scanner::skip_string(std::string_view& text, bool& escaped) noexcept {
    escaped = false;
    if (!take('"')) return false;
    const char* const start = p_;
    while (true) {
        p_ = skip_plain_text(p_, end_);
        if (p_ == end_) return false;
        const char c = *p_;
        if (c == '"') {
            text = {start, static_cast<std::size_t>(p_ - start)};
            ++p_;
            return true;
        }
        if (c == '\\') {
            escaped = true;
            if (++p_ == end_) return false;
            if (*p_ == 'u') {
                if (read_hex4(p_ + 1, end_) < 0) return false;
                p_ += 5;
            } else {
                if (std::string_view("\"\\/bfnrt").find(*p_) == std::string_view::npos) return false;
                ++p_;
            }
        } else if ((static_cast<unsigned char>(c) & 0x80) != 0) {
            const std::size_t size = utf8_sequence({p_, end_});
            if (size == 0) return false;
            p_ += size;
        } else {
            return false; // a control character
        }
    }
}

bool scanner::skip_digits() noexcept {
    const char* const start = p_;
    while (p_ != end_ && has_class(*p_, char_class::digit)) ++p_;
    return p_ != start;
}

bool scanner::skip_number() noexcept {
    if (at('-')) ++p_;
    if (at('0'))
        ++p_;
    else if (!skip_digits())
        return false;
    if (at('.')) {
        ++p_;
        if (!skip_digits()) return false;
    }
    if (at('e') || at('E')) {
        ++p_;
        if (at('+') || at('-')) ++p_;
        if (!skip_digits()) return false;
    }
    return true;
}

bool scanner::skip_scalar() noexcept {
    if (p_ == end_) return false;
    const auto word = [this](std::string_view text) noexcept {
        if (!std::string_view(p_, static_cast<std::size_t>(end_ - p_)).starts_with(text)) return false;
        p_ += text.size();
        return true;
    };
    std::string_view text;
    bool escaped = false;
    switch (*p_) {
    case '"': return skip_string(text, escaped);
    case 't': return word("true");
    case 'f': return word("false");
    case 'n': return word("null");
    default: return skip_number();
    }
}

bool scanner::read_key(std::string_view& text, bool& escaped) noexcept {
    if (!skip_string(text, escaped)) return false;
    skip_space();
    if (!take(':')) return false;
    skip_space();
    return true;
}

// Steps over one value. Nesting is kept in a row of bits instead of on the stack, so a hostile body costs no stack.
bool scanner::skip_value() noexcept {
    std::bitset<json_max_depth> is_object; // by level, outermost first
    int depth = 0;
    std::string_view text;
    bool escaped = false;
    while (true) {
        if (at('{') || at('[')) {
            // The body itself is the first level.
            if (depth == json_max_depth - 1) return false;
            const bool object = *p_++ == '{';
            skip_space();
            if (!take(object ? '}' : ']')) {
                is_object[static_cast<std::size_t>(depth++)] = object;
                if (object && !read_key(text, escaped)) return false;
                continue;
            }
        } else if (!skip_scalar()) {
            return false;
        }
        // A value has ended; close what ends with it.
        while (true) {
            if (depth == 0) return true;
            const bool object = is_object[static_cast<std::size_t>(depth - 1)];
            skip_space();
            if (take(',')) {
                skip_space();
                if (object && !read_key(text, escaped)) return false;
                break;
            }
            if (!take(object ? '}' : ']')) return false;
            --depth;
        }
    }
}

std::string decode(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    const char* p = text.data();
    const char* const end = p + text.size();
    while (p != end) {
        if (*p != '\\') {
            out.push_back(*p++);
            continue;
        }
        switch (p[1]) {
        case 'b': out.push_back('\b'); break;
        case 'f': out.push_back('\f'); break;
        case 'n': out.push_back('\n'); break;
        case 'r': out.push_back('\r'); break;
        case 't': out.push_back('\t'); break;
        case 'u': {
            auto code = static_cast<std::uint32_t>(read_hex4(p + 2, end));
            p += 4;
            if (code >= 0xd800 && code <= 0xdfff) {
                const bool pair = code <= 0xdbff && end - p >= 8 && p[2] == '\\' && p[3] == 'u';
                const int low = pair ? read_hex4(p + 4, end) : -1;
                if (low >= 0xdc00 && low <= 0xdfff) {
                    code = 0x10000 + ((code - 0xd800) << 10) + (static_cast<std::uint32_t>(low) - 0xdc00);
                    p += 6;
                } else {
                    code = 0xfffd;
                }
            }
            append_utf8(out, code);
            break;
        }
        default: out.push_back(p[1]); break;
        }
        p += 2;
    }
    return out;
}

bool scanner::read_member(json_members& out) {
    std::string_view key;
    bool escaped = false;
    if (!read_key(key, escaped)) return false;
    // A name may be spelled with escapes; six characters for each of at most six letters.
    std::string decoded;
    if (escaped && key.size() <= 6 * std::string_view("stream").size()) key = decoded = decode(key);

    if (key == "stream") {
        const char first = p_ == end_ ? '\0' : *p_;
        out.stream.reset();
        if (!skip_value()) return false;
        if (first == 't' || first == 'f') out.stream = first == 't';
        return true;
    }
    if (key != "model") return skip_value();

    out.has_model = at('"');
    if (!out.has_model) return skip_value();
    const char* const start = p_;
    std::string_view text;
    if (!skip_string(text, escaped)) return false;
    out.model_offset = static_cast<std::size_t>(start - begin_);
    out.model_size = static_cast<std::size_t>(p_ - start);
    out.model = escaped ? decode(text) : std::string(text);
    return true;
}

bool scanner::run(json_members& out) {
    skip_space();
    if (!take('{')) return false;
    skip_space();
    if (!take('}')) {
        do {
            skip_space();
            if (!read_member(out)) return false;
            skip_space();
        } while (take(','));
        if (!take('}')) return false;
    }
    skip_space();
    return p_ == end_;
}

bool scanner::run_over(std::vector<json_member>& out, std::size_t most) {
    skip_space();
    if (!take('{')) return false;
    skip_space();
    if (!take('}')) {
        do {
            skip_space();
            std::string_view key;
            bool escaped = false;
            if (out.size() == most || !read_key(key, escaped)) return false;
            const char* const start = p_;
            if (!skip_value()) return false;
            out.push_back({escaped ? decode(key) : std::string(key), {start, static_cast<std::size_t>(p_ - start)}});
            skip_space();
        } while (take(','));
        if (!take('}')) return false;
    }
    skip_space();
    return p_ == end_;
}

bool scanner::run_values(std::vector<std::string_view>& out, std::size_t most) {
    skip_space();
    if (!take('[')) return false;
    skip_space();
    if (!take(']')) {
        do {
            skip_space();
            const char* const start = p_;
            if (out.size() == most || !skip_value()) return false;
            out.emplace_back(start, static_cast<std::size_t>(p_ - start));
            skip_space();
        } while (take(','));
        if (!take(']')) return false;
    }
    skip_space();
    return p_ == end_;
}

bool scanner::run_value() noexcept {
    skip_space();
    if (!skip_value()) return false;
    skip_space();
    return p_ == end_;
}

// The inside of a JSON string, piece by piece.
template <bool Terminal, class Put>
void escape(std::string_view text, Put put) {
    const char* p = text.data();
    const char* const end = p + text.size();
    for (;;) {
        const char* const plain = skip_plain_text<Terminal>(p, end);
        if (plain != p) put({p, plain});
        p = plain;
        if (p == end) return;
        auto c = static_cast<unsigned char>(*p);
        const std::size_t size = utf8_sequence({p, end});
        // C1: some terminals obey U+009B as they do ESC [
        const bool c1 = Terminal && c == 0xc2 && size == 2 && static_cast<unsigned char>(p[1]) < 0xa0;
        if (c1) c = static_cast<unsigned char>(p[1]);
        if (size == 0)
            put(Terminal ? "\\ufffd" : "\xef\xbf\xbd");
        else if (c >= 0x80 && !c1)
            put({p, size});
        else if (c == '"' || c == '\\')
            put(c == '"' ? "\\\"" : "\\\\");
        else if (!Terminal && (c == '\n' || c == '\r' || c == '\t'))
            put(c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t");
        else
            put({std::array{'\\', 'u', '0', '0', "0123456789abcdef"[c >> 4], "0123456789abcdef"[c & 15]}.data(), 6});
        p += std::max<std::size_t>(size, 1);
    }
}

} // namespace

namespace {
// A name as it would be read; as it is written, where its escapes are none.
std::string name_of(std::string_view written) {
    for (std::size_t at = written.find('\\'); at < written.size(); at = written.find('\\', at + 2)) {
        const char* const p = written.data() + at + 1;
        const char* const end = written.data() + written.size();
        if (p == end || (*p == 'u' && read_hex4(p + 1, end) < 0)) return std::string{written};
    }
    return decode(written);
}

// As a lenient server reads an object: strings hold any bytes, brackets nest however deep, `NaN` is a value, and what
// follows the object is nobody's business.
template <class What>
void for_each_member_leniently(std::string_view body, What what) {
    const char* p = body.data();
    const char* const end = p + body.size();
    const auto skip_space = [&] {
        p = std::find_if_not(p, end, [](char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; });
    };
    const auto skip_text = [&] { // of a string, and the quotation mark behind it
        const char* const start = p;
        while (p != end && *p != '"') p += *p == '\\' && end - p > 1 ? 2 : 1;
        const std::string_view text{start, static_cast<std::size_t>(p - start)};
        if (p != end) ++p;
        return text;
    };
    skip_space();
    if (p == end || *p++ != '{') return;
    while (p != end && *p != '}') {
        if (*p++ != '"') continue;
        const std::string_view name = skip_text();
        skip_space();
        if (p == end || *p != ':') continue;
        ++p;
        skip_space();
        const char* const start = p;
        for (int depth = 0; p != end; ++p) {
            while (p != end && *p == '"') {
                ++p;
                static_cast<void>(skip_text());
            }
            if (p == end || (depth == 0 && (*p == ',' || *p == '}' || *p == ']'))) break;
            if (*p == '{' || *p == '[') ++depth;
            if (*p == '}' || *p == ']') --depth;
        }
        what(json_member{name_of(name), {start, static_cast<std::size_t>(p - start)}});
    }
}

// What a strict reader would not take is read as a lenient one would.
template <class What>
void for_each_member(std::string_view body, std::size_t most, What what) {
    const auto members = list_members(body, most);
    for (const json_member& one : members) what(one);
    if (members.empty()) for_each_member_leniently(body, what);
}
} // namespace

std::vector<json_member> list_members(std::string_view body, std::size_t most) {
    std::vector<json_member> out;
    if (!scanner(body).run_over(out, most)) out.clear();
    return out;
}

std::vector<json_member> pick_members(std::string_view body, std::size_t most,
                                      const std::function<bool(std::string_view)>& wanted) {
    std::vector<json_member> out;
    for_each_member(body, most, [&](const json_member& one) {
        if (wanted(one.name)) out.push_back(one);
    });
    return out;
}

std::vector<std::string_view> without_members(std::string_view body, std::size_t most,
                                              const std::function<bool(std::string_view)>& drops) {
    std::vector<std::string_view> pieces;
    const auto add = [&](std::string_view piece) {
        if (!pieces.empty() && pieces.back().data() + pieces.back().size() == piece.data()) {
            pieces.back() = {pieces.back().data(), pieces.back().size() + piece.size()};
        } else {
            pieces.push_back(piece);
        }
    };
    std::size_t begin = body.find('{') + 1; // of a member, with the comma before it
    add(body.substr(0, begin));
    bool kept = false, dropped = false;
    for_each_member(body, most, [&](const json_member& one) {
        const std::size_t end = static_cast<std::size_t>(one.value.data() - body.data()) + one.value.size();
        std::string_view piece = body.substr(begin, end - begin);
        begin = end;
        if (drops(one.name)) {
            dropped = true;
            return;
        }
        if (!kept && dropped) piece.remove_prefix(piece.find(',') + 1);
        kept = true;
        add(piece);
    });
    add(body.substr(begin));
    return dropped ? pieces : std::vector<std::string_view>{};
}

std::optional<std::vector<std::string_view>> list_values(std::string_view array, std::size_t most) {
    std::vector<std::string_view> out;
    if (!scanner(array).run_values(out, most)) return std::nullopt;
    return out;
}

std::string unescape_json(std::string_view inside) { return decode(inside); }

bool is_json(std::string_view text) noexcept { return scanner(text).run_value(); }

bool is_utf8(std::string_view text) noexcept {
    while (!text.empty()) {
        const std::size_t size = utf8_sequence(text);
        if (size == 0) return false;
        text.remove_prefix(size);
    }
    return true;
}

json_members find_members(std::string_view body) {
    json_members out;
    out.is_object = scanner(body).run(out);
    if (!out.is_object) return {};
    if (!out.has_model) {
        out.model.clear();
        out.model_offset = out.model_size = 0;
    }
    return out;
}

std::string json_string(std::string_view text) {
    std::string out;
    out.reserve(text.size() + 2);
    out.push_back('"');
    append_json_escaped(out, text);
    out.push_back('"');
    return out;
}

void append_json_escaped(std::string& out, std::string_view text) {
    escape<false>(text, [&](std::string_view piece) { out.append(piece); });
}

char* write_json_escaped(char* out, std::string_view text) noexcept {
    escape<true>(text, [&](std::string_view piece) {
        std::memcpy(out, piece.data(), piece.size());
        out += piece.size();
    });
    return out;
}

} // namespace evenkeel::wire
