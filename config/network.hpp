#pragma once
// Addresses to listen on and URLs to call, from text to their parts.

#include "config/settings.hpp"

#include <string>
#include <string_view>
#include <variant>

namespace evenkeel::config {

struct bad_network_text {
    std::string message;          // does not repeat the text
    bool may_hold_secret = false; // userinfo or a query: the text must not be quoted either
};

// `127.0.0.1:8080`, `[::1]:8080` or `unix:/path`. Names are refused: what is listened on must not depend on a resolver.
[[nodiscard]] std::variant<listener, bad_network_text> read_address(std::string_view text);
[[nodiscard]] bool is_loopback(const listener& at);
// Whether both cannot be listened on at once.
[[nodiscard]] bool collide(const listener& a, const listener& b);

// `base_path` says whether the URL may have a path.
[[nodiscard]] std::variant<url, bad_network_text> read_url(std::string_view text, bool base_path);

[[nodiscard]] bool is_literal(const std::string& host); // an address, IPv6 without brackets

} // namespace evenkeel::config
