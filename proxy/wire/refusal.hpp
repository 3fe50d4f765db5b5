#pragma once
// Why a message was not believed. One vocabulary for the error body, the access log, the metric label and the tests.
// `to_string` is the label; `status_of` is what a client gets when its own request is refused (an upstream's answer
// that is refused always becomes a 502).

#include <string_view>

namespace evenkeel::wire {

enum class refusal : unsigned char {
    none,
    // start line
    bad_request_line,
    bad_method,
    method_not_supported,
    method_not_allowed,
    bad_target,
    target_too_long,
    bad_version,
    version_not_supported,
    bad_status_line,
    bad_status,
    // fields
    bad_field_name,
    bad_field_value,
    obs_fold,
    bare_cr_or_lf,
    head_too_large,
    too_many_fields,
    shadowed_field,
    // Host
    missing_host,
    duplicate_host,
    bad_host,
    host_mismatch,
    // framing
    bad_content_length,
    duplicate_content_length,
    bad_transfer_encoding,
    length_and_transfer_encoding,
    chunked_in_http10,
    transfer_encoding_not_supported,
    body_too_large,
    bad_chunk,
    chunk_line_too_long,
    trailer_too_large,
    bad_trailer,
    chunk_overhead,
    // connection management
    bad_connection,
    upgrade_not_supported,
    bad_expect,
    // responses only
    too_many_interim,
    unexpected_upgrade,
    unexpected_bytes,
};

[[nodiscard]] std::string_view to_string(refusal why) noexcept; // stable snake_case word, equal to the enumerator
[[nodiscard]] std::string_view explain(refusal why) noexcept;   // one English sentence that says what to do
[[nodiscard]] int status_of(refusal why) noexcept;              // 400, 405, 413, 414, 417, 426, 431, 501 or 505

// The methods the request gate lets through. A 405 must carry them in `Allow` (RFC 9110, 15.5.6).
inline constexpr std::string_view allowed_methods = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

} // namespace evenkeel::wire
