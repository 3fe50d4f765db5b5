#include "proxy/wire/target.hpp"

#include "proxy/wire/characters.hpp"

#include <cstddef>

namespace evenkeel::wire {

namespace {

// Reads "%XX" at `text[i]`; -1 if it is not one.
int read_escape(std::string_view text, std::size_t i) noexcept {
    if (text.size() - i < 3) return -1;
    const int high = hex_value(text[i + 1]);
    const int low = hex_value(text[i + 2]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

bool is_acceptable_escape(int value) noexcept {
    if (value < 0x20 || value == 0x7f || value == '/' || value == '\\') return false;
    return !has_class(static_cast<char>(value), char_class::host); // these are the unreserved characters
}

// "." and "..", alone or followed by ';' (some servers cut a segment there before they resolve it), also as "%3b".
bool is_dot_segment(std::string_view segment) noexcept {
    std::size_t dots = 0;
    while (dots < segment.size() && segment[dots] == '.') ++dots;
    if (dots == 0 || dots > 2) return false;
    const std::string_view rest = segment.substr(dots);
    return rest.empty() || rest[0] == ';' ||
           (rest.size() >= 3 && rest[0] == '%' && rest[1] == '3' && lower(rest[2]) == 'b');
}

// Reads the path at the start of `target`, which starts with '/', up to '?' or the end; its size, or 0 if it is not in
// canonical form. Escapes that could spell a dot are refused on the way, so a dot segment is one of literal dots.
std::size_t read_path(std::string_view target) noexcept {
    std::size_t i = 0;
    while (i < target.size()) {
        const char c = target[i];
        if (has_class(c, char_class::plain_path) || c == '.') { // a dot inside a segment
            ++i;
        } else if (c == '/') {
            if (++i == target.size()) break;
            if (target[i] == '/') return 0;
            if (target[i] == '.' && is_dot_segment(target.substr(i, target.find_first_of("/?", i) - i))) return 0;
        } else if (c == '%') {
            if (!is_acceptable_escape(read_escape(target, i))) return 0;
            i += 3;
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
    const std::size_t path_size = read_path(target);
    if (path_size == 0) return refusal::bad_target;
    out.target = target;
    out.path = target.substr(0, path_size);
    out.query = path_size == target.size() ? std::string_view{} : target.substr(path_size + 1);
    for (const char c : out.query)
        if (!has_class(c, char_class::target)) return refusal::bad_target;
    return refusal::none;
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
