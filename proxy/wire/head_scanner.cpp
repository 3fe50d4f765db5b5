#include "proxy/wire/head_scanner.hpp"

#include "proxy/wire/characters.hpp"
#include "proxy/wire/field_names.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace evenkeel::wire {

namespace {

using state = head_result::state;

// What a start line needs besides its target: the longest method here (7), two spaces and the version (8), and some
// room so that a target slightly too long still gets its own refusal rather than one about the line.
constexpr std::size_t start_line_room = 32;

#if defined(__SSE2__)
// A bit for each control character (HTAB is none; obs-text, 0x80-0xff, is none) of the sixteen in `v`.
inline unsigned control_bits(__m128i v) noexcept {
    const __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v);
    const __m128i is_tab = _mm_cmpeq_epi8(v, _mm_set1_epi8('\t'));
    const __m128i is_del = _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f));
    return static_cast<unsigned>(_mm_movemask_epi8(_mm_or_si128(_mm_andnot_si128(is_tab, low), is_del)));
}

inline __m128i load16(const char* p) noexcept { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }
#endif

// First control character in [p, end), or end.
inline const char* find_control(const char* p, const char* end) noexcept {
#if defined(__SSE2__)
    for (; end - p >= 16; p += 16)
        if (const unsigned bits = control_bits(load16(p)); bits != 0) return p + std::countr_zero(bits);
#endif
    while (p != end && !has_class(*p, char_class::control)) ++p;
    return p;
}

struct line_marks {
    const char* control; // first control character of the line, or the end of the bytes
    const char* colon;   // first colon before it, or nullptr
};

// Looks at a field line from its start: one pass finds its end and the end of its name. `colon`: found before `p`.
inline line_marks mark_line(const char* p, const char* end, const char* colon = nullptr) noexcept {
#if defined(__SSE2__)
    for (; end - p >= 16; p += 16) {
        const __m128i v = load16(p);
        const unsigned controls = control_bits(v);
        if (colon == nullptr) {
            unsigned colons = static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_set1_epi8(':'))));
            colons &= controls - 1; // only those before the first control; all of them if there is none
            if (colons != 0) colon = p + std::countr_zero(colons);
        }
        if (controls != 0) return {p + std::countr_zero(controls), colon};
    }
#endif
    for (; p != end && !has_class(*p, char_class::control); ++p)
        if (colon == nullptr && *p == ':') colon = p;
    return {p, colon};
}

// First character in [p, end) that is no token character; sets `underscore` if a '_' was passed.
const char* skip_token(const char* p, const char* end, bool& underscore) noexcept {
    for (; p != end; ++p) {
        const unsigned char kinds = char_classes[static_cast<unsigned char>(*p)];
        if ((kinds & char_class::token) == 0) break;
        if ((kinds & char_class::underscore) != 0) underscore = true;
    }
    return p;
}

#if defined(__x86_64__)
// What a name may be written in but the underscore, by the halves of a character: one is allowed if the rows of its
// lower and its upper half have a bit in common (Mula and Lemire's vectorized classification). Rows are 16 bytes, twice
// for the two halves of a register.
struct name_rows {
    alignas(32) std::array<char, 32> lower{}, upper{}, half{};
};
constexpr name_rows rows_of_names = [] {
    name_rows rows;
    rows.half.fill(15);
    for (unsigned half = 2; half < 8; ++half) rows.upper[half] = static_cast<char>(1U << (half - 2));
    for (unsigned c = 0; c < char_classes.size(); ++c) {
        if ((char_classes[c] & char_class::token) == 0 || c == '_') continue;
        rows.lower[c & 15U] = static_cast<char>(rows.lower[c & 15U] | rows.upper[c >> 4U]);
    }
    for (std::size_t at = 0; at < 16; ++at) {
        rows.lower[at + 16] = rows.lower[at];
        rows.upper[at + 16] = rows.upper[at];
    }
    return rows;
}();
#endif

struct by_sixteen {
    static line_marks mark(const char* p, const char* end) noexcept { return mark_line(p, end); }
    // True: all of [p, p + size) may stand in a name, and none is an underscore. False: nothing is known.
    static bool is_usual_name(const char* p, std::size_t size, const char* end) noexcept {
#if defined(__SSE2__)
        if (size > 16 || end - p < 16) return false;
        const __m128i v = load16(p);
        const __m128i letter = _mm_sub_epi8(_mm_or_si128(v, _mm_set1_epi8(0x20)), _mm_set1_epi8('a'));
        const __m128i is_letter = _mm_cmpeq_epi8(_mm_min_epu8(letter, _mm_set1_epi8(25)), letter);
        const __m128i digit = _mm_sub_epi8(v, _mm_set1_epi8('0'));
        const __m128i is_digit = _mm_cmpeq_epi8(_mm_min_epu8(digit, _mm_set1_epi8(9)), digit);
        const __m128i is_usual = _mm_or_si128(_mm_or_si128(is_letter, is_digit), _mm_cmpeq_epi8(v, _mm_set1_epi8('-')));
        const unsigned unusual = 0xffffU & ~static_cast<unsigned>(_mm_movemask_epi8(is_usual));
        return (unusual & ((1U << size) - 1)) == 0;
#else
        return false;
#endif
    }
};

#if defined(__x86_64__)
// Likewise, twice as many characters at a time: most lines are then seen in one or two looks. What characters are
// compared with stays in registers: the compiler would make it anew for each line.
class by_thirty_two {
public:
    __attribute__((target("avx2"))) by_thirty_two() noexcept
        : last_low_(all(0x1f)), tab_(all('\t')), del_(all(0x7f)), colon_(all(':')) {}

    __attribute__((target("avx2"))) line_marks mark(const char* p, const char* end) const noexcept {
        const char* colon = nullptr;
        for (; end - p >= 32; p += 32) {
            const __m256i v = load32(p);
            const __m256i low = _mm256_cmpeq_epi8(_mm256_min_epu8(v, last_low_), v);
            const __m256i is_control =
                _mm256_or_si256(_mm256_andnot_si256(_mm256_cmpeq_epi8(v, tab_), low), _mm256_cmpeq_epi8(v, del_));
            const auto controls = static_cast<std::uint32_t>(_mm256_movemask_epi8(is_control));
            if (colon == nullptr) {
                auto colons = static_cast<std::uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(v, colon_)));
                colons &= controls - 1; // as above
                if (colons != 0) colon = p + std::countr_zero(colons);
            }
            if (controls != 0) return {p + std::countr_zero(controls), colon};
        }
        return mark_line(p, end, colon);
    }

    __attribute__((target("avx2"))) static bool is_usual_name(const char* p, std::size_t size,
                                                              const char* end) noexcept {
        if (size >= 32 || end - p < 32) return false;
        const __m256i half = _mm256_load_si256(reinterpret_cast<const __m256i*>(rows_of_names.half.data()));
        const __m256i lower = _mm256_load_si256(reinterpret_cast<const __m256i*>(rows_of_names.lower.data()));
        const __m256i upper = _mm256_load_si256(reinterpret_cast<const __m256i*>(rows_of_names.upper.data()));
        const __m256i v = load32(p);
        const __m256i common =
            _mm256_and_si256(_mm256_shuffle_epi8(lower, _mm256_and_si256(v, half)),
                             _mm256_shuffle_epi8(upper, _mm256_and_si256(_mm256_srli_epi16(v, 4), half)));
        const auto unusual =
            static_cast<std::uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(common, _mm256_setzero_si256())));
        return unusual << (32 - size) == 0; // size is not 0
    }

private:
    __attribute__((target("avx2"))) static __m256i all(char c) noexcept {
        __m256i each = _mm256_set1_epi8(c);
        asm("" : "+x"(each)); // the compiler cannot know what it is
        return each;
    }
    __attribute__((target("avx2"))) static __m256i load32(const char* p) noexcept {
        return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    }

    __m256i last_low_, tab_, del_, colon_;
};
#endif

// HTTP-version of RFC 9112, 2.3, at the end of a request line or the start of a status line.
bool read_version(const char* p, char& major, char& minor) noexcept {
    if (std::memcmp(p, "HTTP/", 5) != 0 || !has_class(p[5], char_class::digit) || p[6] != '.' ||
        !has_class(p[7], char_class::digit))
        return false;
    major = p[5];
    minor = p[7];
    return true;
}
constexpr std::size_t version_size = 8;
constexpr std::size_t usual_fields = 24; // of an API's answer

refusal read_start_line(std::string_view text, const head_limits& limits, request_line& out) noexcept {
    const char* const begin = text.data();
    const char* const end = begin + text.size();
    bool underscore = false;
    const char* const method_end = skip_token(begin, end, underscore);
    if (method_end == begin) return refusal::bad_request_line;
    if (method_end == end) return refusal::bad_request_line;
    if (*method_end != ' ') return refusal::bad_method;
    const char* const target = method_end + 1;
    const auto* const target_end =
        static_cast<const char*>(std::memchr(target, ' ', static_cast<std::size_t>(end - target)));
    if (target_end == nullptr || target_end == target) return refusal::bad_request_line;
    const char* const version = target_end + 1;
    if (std::memchr(version, ' ', static_cast<std::size_t>(end - version)) != nullptr) return refusal::bad_request_line;
    out.method = {begin, static_cast<std::size_t>(method_end - begin)};
    out.target = {target, static_cast<std::size_t>(target_end - target)};
    if (out.target.size() > limits.max_target_bytes) return refusal::target_too_long;
    if (static_cast<std::size_t>(end - version) != version_size || !read_version(version, out.major, out.minor))
        return refusal::bad_version;
    return refusal::none;
}

refusal read_start_line(std::string_view text, const head_limits&, status_line& out) noexcept {
    // "HTTP/1.1 200" is the shortest: a space has to follow the status even where no reason does, but many a server
    // leaves it out, and nothing else can be meant.
    if (!text.starts_with("HTTP/")) return refusal::bad_status_line;
    if (text.size() < version_size + 4) return refusal::bad_status_line;
    if (!read_version(text.data(), out.major, out.minor)) return refusal::bad_version;
    const char* const p = text.data() + version_size;
    const bool bare = text.size() == version_size + 4;
    if (p[0] != ' ' || (!bare && p[4] != ' ') || !has_class(p[1], char_class::digit) ||
        !has_class(p[2], char_class::digit) || !has_class(p[3], char_class::digit))
        return refusal::bad_status_line;
    out.status = (p[1] - '0') * 100 + (p[2] - '0') * 10 + (p[3] - '0');
    out.reason = bare ? std::string_view{} : text.substr(version_size + 5);
    return refusal::none;
}

// The start line is longer than the longest target allows.
constexpr refusal line_too_long(const request_line&) noexcept { return refusal::target_too_long; }
constexpr refusal line_too_long(const status_line&) noexcept { return refusal::bad_status_line; }

constexpr refusal bad_line(const request_line&) noexcept { return refusal::bad_request_line; }
constexpr refusal bad_line(const status_line&) noexcept { return refusal::bad_status_line; }

// A line of the head ends at `control`, its first control character, or is not complete.
refusal judge_line_end(const char* control, const char* end, refusal other_control, bool& incomplete) noexcept {
    incomplete = false;
    if (control == end) {
        incomplete = true;
        return refusal::none;
    }
    if (*control == '\r') {
        if (control + 1 == end) {
            incomplete = true;
            return refusal::none;
        }
        return control[1] == '\n' ? refusal::none : refusal::bare_cr_or_lf;
    }
    return *control == '\n' ? refusal::bare_cr_or_lf : other_control;
}

constexpr head_result refuse(refusal why) noexcept { return {state::refused, 0, why}; }

constexpr refusal bad_name(char first) noexcept {
    return first == ' ' || first == '\t' ? refusal::obs_fold : refusal::bad_field_name;
}

// Blanks around a value: hardly ever any but the one behind the colon. No control but HTAB is left in a line, so one
// comparison knows white space, and the CR at `control` stops the first loop.
[[gnu::noinline]] std::string_view without_blanks(const char* value, const char* control) noexcept {
    while (*value == ' ' || *value == '\t') ++value;
    while (control != value && static_cast<unsigned char>(control[-1]) <= ' ') --control;
    return {value, static_cast<std::size_t>(control - value)};
}
inline std::string_view value_between(const char* value, const char* control) noexcept {
    if (*value == ' ') ++value;
    const auto is_blank = [](char c) { return static_cast<unsigned char>(c) <= ' '; };
    if (is_blank(*value) || is_blank(control[-1])) return without_blanks(value, control);
    return {value, static_cast<std::size_t>(control - value)};
}

inline bool ends_line(const char* control, const char* end) noexcept {
    return end - control >= 2 && control[0] == '\r' && control[1] == '\n';
}

// Flattened, since a dozen calls per field line would cost as much as the work they do.
template <class Lines, class StartLine>
[[gnu::always_inline]] inline head_result scan_lines(std::string_view bytes, const head_limits& limits,
                                                     std::size_t& scanned, StartLine& line, std::vector<field>& fields,
                                                     field_summary& summary) {
    const bool truncated = bytes.size() >= limits.max_head_bytes; // no head may need bytes beyond the limit
    const char* const begin = bytes.data();
    const char* const end = begin + std::min(bytes.size(), limits.max_head_bytes);
    const auto incomplete_head = [&]() -> head_result {
        if (truncated) return refuse(refusal::head_too_large);
        scanned = bytes.size();
        // A CR that may turn out to end a line has to be seen again.
        if (scanned != 0 && bytes.back() == '\r') --scanned;
        return {};
    };

    const std::size_t longest_line = limits.max_target_bytes + start_line_room;
    const char* const start_limit = static_cast<std::size_t>(end - begin) > longest_line ? begin + longest_line : end;

    // Nothing can have become complete, or wrong, unless a control character arrived. This keeps a head that drips in
    // byte by byte from costing a scan of all of it per byte.
    if (scanned != 0 && scanned <= bytes.size() &&
        find_control(begin + std::min<std::size_t>(scanned, static_cast<std::size_t>(end - begin)), end) == end &&
        (start_limit == end || std::memchr(begin, '\r', longest_line) != nullptr))
        return incomplete_head();

    bool incomplete = false;
    const char* control = find_control(begin, start_limit);
    if (control == start_limit && start_limit != end) return refuse(line_too_long(line));
    if (const refusal why = judge_line_end(control, end, bad_line(line), incomplete); why != refusal::none)
        return refuse(why);
    if (incomplete) return incomplete_head();
    if (const refusal why = read_start_line({begin, static_cast<std::size_t>(control - begin)}, limits, line);
        why != refusal::none)
        return refuse(why);

    fields.clear();
    if (fields.capacity() == 0) fields.reserve(usual_fields);
    summary.seen = summary.repeated = 0;
    summary.underscore = false;
    std::uint32_t count = 0; // of the fields
    const Lines lines;
    for (const char* p = control + 2;;) {
        const line_marks marks = lines.mark(p, end);
        control = marks.control;
        if (!ends_line(control, end)) [[unlikely]] {
            const refusal why = judge_line_end(control, end, refusal::bad_field_value, incomplete);
            return why != refusal::none ? refuse(why) : incomplete_head();
        }
        if (control == p) { // the empty line
            scanned = static_cast<std::size_t>(p + 2 - begin);
            return {state::complete, scanned, refusal::none};
        }
        const char* const name_end = marks.colon;
        if (name_end == nullptr || name_end == p) [[unlikely]]
            return refuse(bad_name(*p));
        const std::string_view name(p, static_cast<std::size_t>(name_end - p));
        const field_id id = classify(name);
        if (count == limits.max_fields) [[unlikely]]
            return refuse(refusal::too_many_fields);
        // A name known by all its characters is a token; any other is checked.
        if ((id == field_id::other || id == field_id::own) && !Lines::is_usual_name(p, name.size(), end) &&
            skip_token(p, name_end, summary.underscore) != name_end) [[unlikely]]
            return refuse(bad_name(*p));
        if (id != field_id::other) {
            const std::uint64_t bit = bit_of(id);
            summary.repeated |= summary.seen & bit;
            summary.seen |= bit;
            summary.at[static_cast<unsigned>(id)] = count;
        }
        fields.push_back({name, value_between(name_end + 1, control), id});
        ++count;
        p = control + 2;
    }
}

template <class StartLine>
[[gnu::flatten]] head_result scan_plain(std::string_view bytes, const head_limits& limits, std::size_t& scanned,
                                        StartLine& line, std::vector<field>& fields, field_summary& summary) {
    return scan_lines<by_sixteen>(bytes, limits, scanned, line, fields, summary);
}

#if defined(__x86_64__)
template <class StartLine>
[[gnu::flatten]] __attribute__((target("avx2"))) head_result scan_avx2(std::string_view bytes,
                                                                       const head_limits& limits, std::size_t& scanned,
                                                                       StartLine& line, std::vector<field>& fields,
                                                                       field_summary& summary) {
    return scan_lines<by_thirty_two>(bytes, limits, scanned, line, fields, summary);
}

template <class StartLine>
const auto scan = __builtin_cpu_supports("avx2") != 0 ? scan_avx2<StartLine> : scan_plain<StartLine>;
#else
template <class StartLine>
constexpr auto scan = scan_plain<StartLine>;
#endif

} // namespace

head_result scan_request_head(std::string_view bytes, const head_limits& limits, std::size_t& scanned,
                              request_line& line, std::vector<field>& fields, field_summary& summary) {
    return scan<request_line>(bytes, limits, scanned, line, fields, summary);
}

head_result scan_response_head(std::string_view bytes, const head_limits& limits, std::size_t& scanned,
                               status_line& line, std::vector<field>& fields, field_summary& summary) {
    return scan<status_line>(bytes, limits, scanned, line, fields, summary);
}

} // namespace evenkeel::wire
