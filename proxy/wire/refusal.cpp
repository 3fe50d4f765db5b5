#include "proxy/wire/refusal.hpp"

#include <array>
#include <cstddef>

namespace evenkeel::wire {

namespace {

struct entry {
    refusal why;
    int status;
    std::string_view word;
    std::string_view sentence;
};

// In the order of the enumeration; the assertion below keeps it so.
constexpr std::array entries{
    entry{refusal::none, 200, "none", "The message was accepted."},
    entry{refusal::bad_request_line, 400, "bad_request_line",
          "The request line must be a method, one space, a target, one space and a version, and end in CRLF."},
    entry{refusal::bad_method, 400, "bad_method", "The method is not a token of RFC 9110."},
    entry{refusal::method_not_supported, 501, "method_not_supported",
          "This proxy knows GET, HEAD, POST, PUT, PATCH, DELETE and OPTIONS, in capital letters."},
    entry{refusal::method_not_allowed, 405, "method_not_allowed",
          "CONNECT and TRACE are not forwarded; this is a reverse proxy."},
    entry{refusal::bad_target, 400, "bad_target",
          "The target must be a path starting with '/' that has no dot segments, no backslash, no fragment and no "
          "invalid "
          "percent escapes or escaped control characters."},
    entry{refusal::target_too_long, 414, "target_too_long", "The request target is too long; shorten the query."},
    entry{refusal::bad_version, 400, "bad_version", "The version must be written HTTP/ digit . digit."},
    entry{refusal::version_not_supported, 505, "version_not_supported", "Only HTTP/1.0 and HTTP/1.1 are spoken here."},
    entry{refusal::bad_status_line, 400, "bad_status_line",
          "The status line must be a version, one space, three digits, one space and a reason, and end in CRLF."},
    entry{refusal::bad_status, 400, "bad_status", "The status must lie between 100 and 599."},
    entry{refusal::bad_field_name, 400, "bad_field_name",
          "A field line must be a name of token characters directly followed by a colon."},
    entry{refusal::bad_field_value, 400, "bad_field_value", "A field value contains a control character."},
    entry{refusal::obs_fold, 400, "obs_fold", "A field value may not continue on the next line."},
    entry{refusal::bare_cr_or_lf, 400, "bare_cr_or_lf", "Lines must end in CR LF; one of the two stood alone."},
    entry{refusal::head_too_large, 431, "head_too_large",
          "The head of the message is too large; send fewer or shorter fields."},
    entry{refusal::too_many_fields, 431, "too_many_fields", "The message has too many fields."},
    entry{refusal::shadowed_field, 400, "shadowed_field",
          "A field name with '_' could be taken for a field the proxy relies on; write it with '-' or rename it."},
    entry{refusal::missing_host, 400, "missing_host", "The request has no Host field."},
    entry{refusal::duplicate_host, 400, "duplicate_host", "The request has more than one Host field."},
    entry{refusal::bad_host, 400, "bad_host", "The Host field must be a host name or address, with a port or without."},
    entry{refusal::host_mismatch, 400, "host_mismatch", "The authority of the target and the Host field differ."},
    entry{refusal::bad_content_length, 400, "bad_content_length", "Content-Length must be 1 to 19 decimal digits."},
    entry{refusal::duplicate_content_length, 400, "duplicate_content_length",
          "Content-Length was given more than once."},
    entry{refusal::bad_transfer_encoding, 400, "bad_transfer_encoding",
          "Transfer-Encoding must be given once and be exactly 'chunked'."},
    entry{refusal::length_and_transfer_encoding, 400, "length_and_transfer_encoding",
          "Content-Length and Transfer-Encoding exclude each other."},
    entry{refusal::chunked_in_http10, 400, "chunked_in_http10", "HTTP/1.0 has no chunked transfer coding."},
    entry{refusal::transfer_encoding_not_supported, 501, "transfer_encoding_not_supported",
          "The only transfer coding supported is 'chunked'."},
    entry{refusal::body_too_large, 413, "body_too_large", "The body is larger than this route accepts."},
    entry{refusal::bad_chunk, 400, "bad_chunk", "The chunked body is malformed."},
    entry{refusal::chunk_line_too_long, 400, "chunk_line_too_long",
          "A chunk-size line with its extensions is too long."},
    entry{refusal::trailer_too_large, 431, "trailer_too_large", "The trailer section is too large."},
    entry{refusal::bad_trailer, 400, "bad_trailer",
          "The trailer section is malformed or holds a field that may not be a trailer."},
    entry{refusal::chunk_overhead, 400, "chunk_overhead", "The body is almost all chunk framing; send larger chunks."},
    entry{refusal::bad_connection, 400, "bad_connection",
          "The Connection field is malformed or names a field that may not be removed on the way."},
    entry{refusal::upgrade_not_supported, 426, "upgrade_not_supported",
          "WebSocket is not spoken here; use plain HTTP/1.1."},
    entry{refusal::bad_expect, 417, "bad_expect", "The only expectation supported is 100-continue."},
    entry{refusal::too_many_interim, 400, "too_many_interim", "The answer began with too many interim (1xx) heads."},
    entry{refusal::unexpected_upgrade, 400, "unexpected_upgrade", "The server switched protocols without being asked."},
    entry{refusal::unexpected_bytes, 400, "unexpected_bytes", "The server sent bytes that belong to no answer."},
};

constexpr bool in_order() {
    for (std::size_t i = 0; i < entries.size(); ++i)
        if (static_cast<std::size_t>(entries[i].why) != i) return false;
    return entries.size() == static_cast<std::size_t>(refusal::unexpected_bytes) + 1;
}
static_assert(in_order());

const entry& entry_of(refusal why) noexcept {
    const auto index = static_cast<std::size_t>(why);
    return entries[index < entries.size() ? index : 0];
}

} // namespace

std::string_view to_string(refusal why) noexcept { return entry_of(why).word; }
std::string_view explain(refusal why) noexcept { return entry_of(why).sentence; }
int status_of(refusal why) noexcept { return entry_of(why).status; }

} // namespace evenkeel::wire
