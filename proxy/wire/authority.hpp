#pragma once
// Whom a Host or an Origin field names. What guards a listener against pages in a browser (the admin port's rules and
// the data port's) asks the same questions of the same texts, so they are answered once.

#include <string_view>

namespace evenkeel::wire {

// The host of `host[:port]`; brackets of an IPv6 literal stay. Empty: malformed.
[[nodiscard]] std::string_view host_of(std::string_view authority) noexcept;

[[nodiscard]] bool is_address(std::string_view host) noexcept;             // a literal one: IPv4, or IPv6 in brackets
[[nodiscard]] bool is_loopback_address(std::string_view address) noexcept; // literal, IPv6 without brackets

// localhost, names under .localhost, 127.0.0.0/8, [::1], each with or without a port.
[[nodiscard]] bool names_loopback(std::string_view authority) noexcept;

// `scheme://authority`, taken apart. `null` and whatever else has no "://" has neither.
struct origin_parts {
    std::string_view scheme, authority;
};
[[nodiscard]] origin_parts split_origin(std::string_view origin) noexcept;

// The page came from where its request goes: `null`, another scheme, another host or another port are foreign. We are
// asked over http, or https behind someone who ends TLS for us.
[[nodiscard]] bool is_own_origin(std::string_view origin, std::string_view host) noexcept;

} // namespace evenkeel::wire
