#include "proxy/wire/head_builder.hpp"

#include <array>
#include <charconv>
#include <cstring>
#include <type_traits>

namespace evenkeel::wire {

namespace {

// Most names and values are short: two overlapping stores of a fixed size instead of a call.
inline char* put(char* to, std::string_view piece) noexcept {
    const char* const from = piece.data();
    const std::size_t size = piece.size();
    const auto both_ends = [&]<std::size_t Width>(std::integral_constant<std::size_t, Width>) {
        std::array<char, Width> first, last;
        std::memcpy(first.data(), from, Width);
        std::memcpy(last.data(), from + size - Width, Width);
        std::memcpy(to, first.data(), Width);
        std::memcpy(to + size - Width, last.data(), Width);
    };
    if (size > 32) {
        std::memcpy(to, from, size);
    } else if (size >= 16) {
        both_ends(std::integral_constant<std::size_t, 16>{});
    } else if (size >= 8) {
        both_ends(std::integral_constant<std::size_t, 8>{});
    } else if (size >= 4) {
        both_ends(std::integral_constant<std::size_t, 4>{});
    } else {
        for (std::size_t i = 0; i < size; ++i) to[i] = from[i];
    }
    return to + size;
}

// A literal's size is known where it is written.
template <std::size_t N>
[[gnu::always_inline]] inline char* put(char* to, const char (&piece)[N]) noexcept {
    std::memcpy(to, piece, N - 1);
    return to + (N - 1);
}
inline std::size_t size_of(std::string_view piece) noexcept { return piece.size(); }
template <std::size_t N>
constexpr std::size_t size_of(const char (&)[N]) noexcept {
    return N - 1;
}

std::string_view decimal(std::array<char, 20>& buffer, std::uint64_t value) noexcept {
    if (value < 10) { // how many attempts there were, nearly always
        buffer[0] = static_cast<char>('0' + value);
        return {buffer.data(), 1};
    }
    const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
    return {buffer.data(), static_cast<std::size_t>(result.ptr - buffer.data())};
}

} // namespace

// With one look at the room for all pieces.
template <class... Pieces>
[[gnu::always_inline]] inline void head_builder::append(const Pieces&... pieces) {
    const std::size_t size = (size_of(pieces) + ...);
    char* to = out_->room(size);
    ((to = put(to, pieces)), ...);
    out_->commit(size);
}

void head_builder::request_line(std::string_view method, std::string_view target) {
    append(method, " ", target, " HTTP/1.1\r\n");
}

void head_builder::status_line(int status, std::string_view reason) {
    const std::array digits{static_cast<char>('0' + status / 100 % 10), static_cast<char>('0' + status / 10 % 10),
                            static_cast<char>('0' + status % 10)};
    append("HTTP/1.1 ", std::string_view(digits.data(), digits.size()), " ",
           reason.empty() ? reason_phrase(status) : reason, "\r\n");
}

void head_builder::field(std::string_view name, std::string_view value) { append(name, ": ", value, "\r\n"); }

void head_builder::field(std::string_view name, std::uint64_t value) {
    std::array<char, 20> buffer;
    field(name, decimal(buffer, value));
}

void head_builder::framing(const body_framing& body) {
    switch (body.kind) {
    case body_kind::length: field("content-length", body.length); break;
    case body_kind::chunked: append("transfer-encoding: chunked\r\n"); break;
    case body_kind::none:
    case body_kind::until_close: break;
    }
}

void head_builder::connection(std::string_view token) { append("connection: ", token, "\r\n"); }

void head_builder::lines(std::string_view whole_lines) { append(whole_lines); }

void head_builder::finish() { append("\r\n"); }

std::string_view chunk_head(char* buffer, std::uint64_t size) noexcept {
    char* const end = std::to_chars(buffer, buffer + 16, size, 16).ptr;
    end[0] = '\r';
    end[1] = '\n';
    return {buffer, static_cast<std::size_t>(end + 2 - buffer)};
}

// The registry of RFC 9110, 16.2.1, and RFC 6585, as far as a proxy or an API is likely to use it.
std::string_view reason_phrase(int status) noexcept {
    switch (status) {
    case 100: return "Continue";
    case 101: return "Switching Protocols";
    case 102: return "Processing";
    case 103: return "Early Hints";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 203: return "Non-Authoritative Information";
    case 204: return "No Content";
    case 205: return "Reset Content";
    case 206: return "Partial Content";
    case 207: return "Multi-Status";
    case 208: return "Already Reported";
    case 226: return "IM Used";
    case 300: return "Multiple Choices";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 303: return "See Other";
    case 304: return "Not Modified";
    case 305: return "Use Proxy";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 402: return "Payment Required";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 407: return "Proxy Authentication Required";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 411: return "Length Required";
    case 412: return "Precondition Failed";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 416: return "Range Not Satisfiable";
    case 417: return "Expectation Failed";
    case 421: return "Misdirected Request";
    case 422: return "Unprocessable Content";
    case 423: return "Locked";
    case 424: return "Failed Dependency";
    case 425: return "Too Early";
    case 426: return "Upgrade Required";
    case 428: return "Precondition Required";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 451: return "Unavailable For Legal Reasons";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    case 506: return "Variant Also Negotiates";
    case 507: return "Insufficient Storage";
    case 508: return "Loop Detected";
    case 511: return "Network Authentication Required";
    default: return "";
    }
}

} // namespace evenkeel::wire
