#include "proxy/wire/target.hpp"

#include "proxy/wire/characters.hpp"

#include <cstddef>

namespace evenkeel::wire {

namespace {

// One character of a path, an escape being what it spells. `size`: 0 at the end, and where an escape is none.
struct letter {
    int value = -1;
    std::size_t size = 0;
};

letter read_letter(std::string_view text, std::size_t at) noexcept {
    if (at >= text.size()) return {};
    if (text[at] != '%') return {static_cast<unsigned char>(text[at]), 1};
    if (text.size() - at < 3) return {};
    const int high = hex_value(text[at + 1]);
    const int low = hex_value(text[at + 2]);
    return high < 0 || low < 0 ? letter{} : letter{high * 16 + low, 3};
}

bool is_border(int c) noexcept { return c == '/' || c == '\\'; }

// Whether a segment that begins here is "." or "..", however it is spelled: alone, or followed by ';' (some servers cut
// a segment there before they resolve it).
bool begins_with_dot_segment(std::string_view text) noexcept {
    std::size_t at = 0;
    for (int dots = 0;; ++dots) {
        const letter one = read_letter(text, at);
        at += one.size;
        if (one.value == '.' && dots < 2) continue;
        return dots > 0 && (one.size == 0 || is_border(one.value) || one.value == '?' || one.value == ';');
    }
}

// Reads the path at the start of `target`, which starts with '/', up to '?' or the end; its size, or 0 if it is
// refused. `doubled`: it has empty segments.
std::size_t read_path(std::string_view target, bool& doubled) noexcept {
    std::size_t i = 0;
    while (i < target.size()) {
        const char c = target[i];
        if (has_class(c, char_class::plain_path) || c == '.') { // a dot inside a segment
            ++i;
        } else if (c == '/') {
            if (++i == target.size()) break;
            if (target[i] == '/') doubled = true;
            if ((target[i] == '.' || target[i] == '%') && begins_with_dot_segment(target.substr(i))) return 0;
        } else if (c == '%') {
            const letter one = read_letter(target, i);
            if (one.value < 0x20 || one.value == 0x7f) return 0; // also where it is no escape
            i += one.size;
            if (is_border(one.value) && begins_with_dot_segment(target.substr(i))) return 0;
        } else {
            return c == '?' ? i : 0;
        }
    }
    return i;
}

bool is_ipv4(std::string_view text) noexcept {
    int parts = 0;
    while (true) {
        unsigned value = 0;
        std::size_t digits = 0;
        while (digits < text.size() && digits < 4 && has_class(text[digits], char_class::digit))
            value = value * 10 + static_cast<unsigned>(text[digits++] - '0');
        if (digits == 0 || digits > 3 || value > 255 || (digits > 1 && text[0] == '0')) return false;
        text.remove_prefix(digits);
        if (++parts == 4) return text.empty();
        if (text.empty() || text[0] != '.') return false;
        text.remove_prefix(1);
    }
}

// RFC 4291, 2.2: eight groups, one run of which may be written "::", the last two also as an IPv4 address.
bool is_ipv6(std::string_view text) noexcept {
    int groups = 0;
    bool gap = false;
    if (text.starts_with("::")) {
        gap = true;
        text.remove_prefix(2);
        if (text.empty()) return true;
    }
    while (true) {
        std::size_t digits = 0;
        while (digits < text.size() && hex_value(text[digits]) >= 0) ++digits;
        if (digits < text.size() && text[digits] == '.') {
            groups += 2;
            return is_ipv4(text) && (gap ? groups <= 7 : groups == 8);
        }
        if (digits == 0 || digits > 4) return false;
        ++groups;
        text.remove_prefix(digits);
        if (text.empty()) break;
        if (text[0] != ':' || text.size() == 1) return false;
        text.remove_prefix(1);
        if (text[0] == ':') {
            if (gap) return false;
            gap = true;
            text.remove_prefix(1);
            if (text.empty()) break;
        }
    }
    return gap ? groups <= 7 : groups == 8;
}

bool is_port(std::string_view text) noexcept {
    std::uint64_t value = 0;
    return text.size() <= 5 && read_length(text, value) && value >= 1 && value <= 65535;
}

} // namespace

refusal read_target(std::string_view raw, target_parts& out) noexcept {
    out.authority = {};
    out.doubled = false;
    std::string_view target = raw;
    if (target.empty()) return refusal::bad_target;
    if (target[0] != '/') {
        const std::size_t scheme = istarts_with(target, "http://") ? 7 : istarts_with(target, "https://") ? 8 : 0;
        if (scheme == 0) return refusal::bad_target;
        const std::size_t slash = target.find('/', scheme);
        // An absolute-form target without a path has no bytes that could be forwarded as its origin-form.
        if (slash == std::string_view::npos) return refusal::bad_target;
        out.authority = target.substr(scheme, slash - scheme);
        if (!is_host(out.authority)) return refusal::bad_target;
        target.remove_prefix(slash);
    }
    const std::size_t path_size = read_path(target, out.doubled);
    if (path_size == 0) return refusal::bad_target;
    out.target = target;
    out.path = target.substr(0, path_size);
    out.query = path_size == target.size() ? std::string_view{} : target.substr(path_size + 1);
    for (const char c : out.query)
        if (!has_class(c, char_class::target)) return refusal::bad_target;
    return refusal::none;
}

std::string merge_slashes(const target_parts& of) {
    std::string out;
    out.reserve(of.target.size());
    for (const char c : of.path) {
        if (c != '/' || out.empty() || out.back() != '/') out += c;
    }
    return out.append(of.target.substr(of.path.size())); // '?' and the query
}

bool is_host(std::string_view value) noexcept {
    if (value.empty()) return false;
    if (value[0] == '[') {
        const std::size_t close = value.find(']');
        if (close == std::string_view::npos || !is_ipv6(value.substr(1, close - 1))) return false;
        const std::string_view rest = value.substr(close + 1);
        if (rest.empty()) return true;
        return rest[0] == ':' && is_port(rest.substr(1));
    }
    char previous = '.'; // no empty label, but for one at the end
    const char* at = value.data();
    const char* const end = at + value.size();
    for (; at != end && *at != ':'; previous = *at++) {
        if (!has_class(*at, char_class::host) || (*at == '.' && previous == '.')) return false;
    }
    if (at == value.data()) return false;
    return at == end || is_port({at + 1, static_cast<std::size_t>(end - at - 1)});
}

} // namespace evenkeel::wire
