#pragma once
// What both gates share: the length of a body, and what `Connection` says. RFC 9112, 6 and 9.

#include "proxy/wire/head.hpp"
#include "proxy/wire/head_scanner.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace evenkeel::wire {

struct framing_fields {
    bool has_length = false;
    bool chunked = false;
    std::uint64_t length = 0;
};

// Reads Content-Length and Transfer-Encoding; anything ambiguous is a refusal. `fields` is what the scanner delivered.
[[nodiscard]] refusal read_framing(const std::vector<field>& fields, const field_summary& summary, int minor_version,
                                   framing_fields& out) noexcept;

// Nominations beyond this many are refused: each costs a look at every field. (chosen; real lists have one to three)
inline constexpr std::size_t max_nominations = 32;

struct connection_options {
    bool close = false;
    bool keep_alive = false;
    bool upgrade = false;
    bool malformed = false;      // an element that is no token
    bool names_reserved = false; // nominates a field that no intermediary may remove
    bool too_many = false;
    std::size_t nominated = 0; // of `names` below
    // The elements that name a field. Not string views, which would be cleared one by one for every message.
    struct name {
        const char* data;
        std::size_t size;
    };
    std::array<name, max_nominations> names;
};

// Whether a comma-separated list has this element, in whatever case.
[[nodiscard]] bool has_element(std::string_view list, std::string_view element) noexcept;

// Only for heads that have a Connection field.
void read_connection(const std::vector<field>& fields, const field_summary& summary, connection_options& out) noexcept;

// Proxy-Connection is no field of any standard, yet some parsers (llhttp, Beast) read it as Connection. It is dropped;
// but where it says anything other than keep-alive the connection ends after the message, as for them it would.
[[nodiscard]] bool closes_by_proxy_connection(const std::vector<field>& fields, const field_summary& summary) noexcept;

// Removes the fields that are rebuilt, hop-by-hop or nominated by `Connection` (if it was read); the rest keeps its
// order.
void keep_end_to_end(std::vector<field>& fields, const field_summary& summary,
                     const connection_options* options) noexcept;

} // namespace evenkeel::wire
