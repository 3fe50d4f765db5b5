#pragma once
// Validated message heads. Every view points into the bytes handed to the gate, which the caller keeps alive and
// unmoved for as long as it uses the head, but for a target that was `merged`. A head that a gate returned holds only
// parts that passed every rule of the wire (reference: RFC 9110, RFC 9112); the outgoing head is rebuilt from these
// parts and nothing else.

#include "proxy/wire/refusal.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace evenkeel::wire {

// Fields the proxy itself looks at. Everything else is `other` and passes through.
enum class field_id : unsigned char {
    other,
    accept,
    accept_encoding,
    authorization,
    cache_control,
    connection,
    content_encoding,
    content_length,
    content_type,
    date,
    expect,
    host,
    keep_alive,
    origin,
    proxy_authenticate,
    proxy_authorization,
    proxy_connection,
    retry_after,
    request_id,
    sec_fetch_site,
    te,
    trailer,
    transfer_encoding,
    upgrade,
    http2_settings,
    via,
    x_request_id,
    x_should_retry,
    x_server_timeout,
    x_stainless_read_timeout,
    x_stainless_retry_count,
    x_stainless_timeout,
    own,                  // any x-evenkeel-* field
    connection_nominated, // internal to the gates: named by `Connection`, hence never delivered
};
inline constexpr unsigned field_ids = static_cast<unsigned>(field_id::connection_nominated) + 1;
static_assert(field_ids <= 64, "sets of ids are words of 64 bits");

struct field {
    std::string_view name;  // as received
    std::string_view value; // without surrounding white space
    field_id id = field_id::other;
};

enum class body_kind : unsigned char { none, length, chunked, until_close };

struct body_framing {
    body_kind kind = body_kind::none;
    std::uint64_t length = 0; // bytes, for body_kind::length
};

struct request_head {
    std::string_view method;
    // Origin-form, bytes unchanged, but that an absolute-form target is reduced to its path and query, and slashes in a
    // row to one.
    std::string_view target;
    std::string_view path;                // target up to '?'
    std::string_view query;               // after '?', without it; empty if none
    std::string_view host;                // value of Host, validated
    std::string_view raw;                 // the whole head as it came from the gate; empty for one put together by hand
    std::string_view proxy_authorization; // of the first such field, which is never passed on; empty if none
    // End-to-end fields in order: without Host, framing, hop-by-hop and Connection-nominated.
    std::vector<field> fields;
    body_framing body;
    int minor_version = 1;  // HTTP/1.minor_version
    bool keep_alive = true; // what the client asked for
    bool expect_continue = false;
    // An Origin or a Sec-Fetch-Site came along: a browser, or what is made like one, sent it.
    bool from_page = false;
    std::shared_ptr<const std::string> merged{}; // of `target`, where it had slashes in a row; shared with copies

    void clear() noexcept; // keeps the capacity of `fields`
    [[nodiscard]] bool is_get() const noexcept {
        return method.size() == 3 && std::memcmp(method.data(), "GET", 3) == 0;
    }
    [[nodiscard]] bool is_post() const noexcept {
        return method.size() == 4 && std::memcmp(method.data(), "POST", 4) == 0;
    }
    [[nodiscard]] bool is_head() const noexcept {
        return method.size() == 4 && std::memcmp(method.data(), "HEAD", 4) == 0;
    }
    [[nodiscard]] const field* find(field_id id) const noexcept;           // first one; nullptr if absent
    [[nodiscard]] const field* find(std::string_view name) const noexcept; // case-insensitive
};

struct response_head {
    int status = 0;            // 100..599
    std::string_view reason;   // may be empty
    std::string_view raw;      // as above
    std::vector<field> fields; // as above
    body_framing body;
    // The Content-Length of an answer that has no body by its nature (HEAD, 304), so that it can be passed on.
    std::optional<std::uint64_t> declared_length;
    int minor_version = 1;
    bool keep_alive = false;                      // whether the connection may be used again after the body
    std::uint32_t keep_alive_timeout_seconds = 0; // from `Keep-Alive: timeout=N`; 0 if not told

    void clear() noexcept;
    [[nodiscard]] const field* find(field_id id) const noexcept;
    [[nodiscard]] const field* find(std::string_view name) const noexcept;
};

struct head_result {
    enum class state : unsigned char { need_more, complete, refused };
    state is = state::need_more;
    std::size_t consumed = 0; // complete: bytes of the head; the body starts there
    refusal why = refusal::none;
};

} // namespace evenkeel::wire
