#include "config/grammar.hpp"

#include "config/credentials.hpp"

#include <algorithm>
#include <array>

namespace evenkeel::config {
namespace {

bool is_alphanumeric(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

bool is_one_of(char c, std::string_view set) { return set.find(c) != std::string_view::npos; }

bool has_control(std::string_view text) {
    return std::any_of(text.begin(), text.end(),
                       [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
}

} // namespace

std::string lower_case(std::string_view text) {
    std::string out(text);
    for (char& c : out) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    }
    return out;
}

std::string check_name(std::string_view text) {
    if (text.empty()) return "a name cannot be empty";
    if (text.size() > 64) return "a name has at most 64 characters (it labels metrics)";
    const bool good =
        std::all_of(text.begin(), text.end(), [](char c) { return is_alphanumeric(c) || is_one_of(c, "-_."); });
    return good ? "" : "a name consists of letters, digits, '-', '_' and '.' (it labels metrics and headers)";
}

std::string check_host(std::string_view text) {
    if (text.empty()) return "a host name cannot be empty";
    if (text.size() > 253) return "a host name has at most 253 characters";
    const bool address = text.find(':') != std::string_view::npos;
    for (const char c : text) {
        // '_' is no letter of a host name, but container networks use it.
        if (!is_alphanumeric(c) && !is_one_of(c, "-._") && !(address && c == ':')) {
            return "a host name consists of letters, digits, '-' and '.'";
        }
    }
    if (text.front() == '.' || text.find("..") != std::string_view::npos) return "a host name has no empty label";
    return "";
}

std::string check_path(std::string_view text) {
    if (text.empty() || text.front() != '/') return "a path starts with '/'";
    if (text.size() > 2048) return "a path has at most 2048 characters";
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (c == '?') return "a path has no query ('?...')";
        if (c == '#') return "a path has no fragment ('#...')";
        if (c == '%') {
            const auto hex = [&](std::size_t at) {
                return at < text.size() && is_one_of(text[at], "0123456789abcdefABCDEF");
            };
            if (!hex(i + 1) || !hex(i + 2)) return "'%' in a path is followed by two hexadecimal digits";
        } else if (!is_alphanumeric(c) && !is_one_of(c, "/-._~!$&'()*+,;=:@")) {
            return "a path holds a character that must be percent-encoded";
        }
    }
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = std::min(text.find('/', at + 1), text.size());
        const std::string_view segment = text.substr(at + 1, end - at - 1);
        if (segment == "." || segment == "..") return "a path has no '.' or '..' segments";
        at = end;
    }
    return "";
}

std::string check_header_name(std::string_view text) {
    if (text.empty()) return "a header name cannot be empty";
    if (text.size() > 128) return "a header name has at most 128 characters";
    const bool good = std::all_of(text.begin(), text.end(),
                                  [](char c) { return is_alphanumeric(c) || is_one_of(c, "!#$%&'*+-.^_`|~"); });
    return good ? "" : "this is not a header name (letters, digits and '-')";
}

std::string check_tenant(std::string_view text) {
    constexpr std::string_view before = "header:";
    if (!text.starts_with(before)) return "must be credential or header:NAME";
    const std::string_view name = text.substr(before.size());
    if (carries_credential(lower_case(name))) return "this header carries a credential; write credential";
    return check_header_name(name);
}

std::string check_header_value(std::string_view text) {
    if (text.size() > 8192) return "a header value has at most 8192 bytes";
    if (text.find_first_of("\r\n") != std::string_view::npos) return "a header value cannot hold a line break";
    for (const char c : text) {
        if (c != '\t' && (static_cast<unsigned char>(c) < 0x20 || c == 0x7F))
            return "a header value cannot hold control characters";
        if (static_cast<unsigned char>(c) >= 0x80) return "a header value is ASCII only";
    }
    if (!text.empty() && is_one_of(text.front(), " \t")) return "a header value does not begin with a blank";
    if (!text.empty() && is_one_of(text.back(), " \t"))
        return "a header value does not end with a blank; is a variable in it empty?";
    return "";
}

std::string check_token(std::string_view text) {
    if (text.size() > 4096) return "a token has at most 4096 characters";
    const bool good = std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7F; });
    return good ? "" : "a token consists of visible ASCII characters without blanks";
}

std::string check_plain_text(std::string_view text) {
    if (text.size() > 4096) return "this text has at most 4096 bytes";
    return has_control(text) ? "this text cannot hold control characters" : "";
}

std::string check_editable_header(std::string_view name) {
    // '_' is read as '-' because many servers do, which would smuggle the field past this list.
    std::string plain(name);
    std::replace(plain.begin(), plain.end(), '_', '-');
    constexpr std::array<std::string_view, 11> fixed{"host",    "content-length", "transfer-encoding", "connection",
                                                     "te",      "keep-alive",     "proxy-connection",  "trailer",
                                                     "upgrade", "expect",         "proxy-authenticate"};
    if (std::find(fixed.begin(), fixed.end(), plain) != fixed.end()) {
        return plain == "host" ? "the Host header follows the upstream's `url`"
                               : "this header frames the message or belongs to one hop; evenkeel writes it itself";
    }
    if (plain.rfind("x-evenkeel-", 0) == 0) return "headers that begin with x-evenkeel- are evenkeel's own";
    return "";
}

bool carries_credential(std::string_view name) { return credential_rules{}.field(name) == credential_kind::secret; }

} // namespace evenkeel::config
