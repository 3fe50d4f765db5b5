#include "proxy/wire/authority.hpp"

#include "proxy/wire/characters.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace evenkeel::wire {

namespace {

// inet_pton wants a terminated string, and knows no shorthand (127.1, 2130706433) that a browser would write out.
bool read_address(int family, std::string_view text, void* into) noexcept {
    std::array<char, INET6_ADDRSTRLEN> copy{};
    if (text.empty() || text.size() >= copy.size()) return false;
    std::memcpy(copy.data(), text.data(), text.size());
    return inet_pton(family, copy.data(), into) == 1;
}

bool unbracket(std::string_view& host) noexcept {
    if (host.size() < 2 || host.front() != '[' || host.back() != ']') return false;
    host.remove_prefix(1);
    host.remove_suffix(1);
    return true;
}

} // namespace

std::string_view host_of(std::string_view authority) noexcept {
    std::string_view port;
    std::string_view host = authority;
    if (authority.starts_with('[')) {
        const auto end = authority.find(']');
        if (end == std::string_view::npos) return {};
        host = authority.substr(0, end + 1);
        port = authority.substr(end + 1);
        if (!port.empty() && port[0] != ':') return {};
    } else if (const auto colon = authority.find(':'); colon != std::string_view::npos) {
        host = authority.substr(0, colon);
        port = authority.substr(colon);
    }
    if (!port.empty()) port.remove_prefix(1);
    return std::all_of(port.begin(), port.end(), [](char c) { return has_class(c, char_class::digit); })
               ? host
               : std::string_view{};
}

bool is_address(std::string_view host) noexcept {
    in6_addr raw{};
    return unbracket(host) ? read_address(AF_INET6, host, &raw) : read_address(AF_INET, host, &raw);
}

bool is_loopback_address(std::string_view address) noexcept {
    in_addr four{};
    if (read_address(AF_INET, address, &four)) return (ntohl(four.s_addr) >> 24) == 127;
    in6_addr six{};
    return read_address(AF_INET6, address, &six) && IN6_IS_ADDR_LOOPBACK(&six);
}

bool names_loopback(std::string_view authority) noexcept {
    std::string_view host = host_of(authority);
    if (unbracket(host)) {
        in6_addr six{};
        return read_address(AF_INET6, host, &six) && IN6_IS_ADDR_LOOPBACK(&six);
    }
    if (host.ends_with('.')) host.remove_suffix(1);
    constexpr std::string_view name = "localhost";
    if (host.size() == name.size() && token_is(host.data(), "localhost")) return true;
    if (host.size() > name.size() + 1 && host[host.size() - name.size() - 1] == '.')
        return iequals(host.substr(host.size() - name.size()), name);
    return host.starts_with("127.") && is_loopback_address(host);
}

origin_parts split_origin(std::string_view origin) noexcept {
    constexpr std::string_view mark = "://";
    const auto at = origin.find(mark);
    if (at == std::string_view::npos) return {};
    return {origin.substr(0, at), origin.substr(at + mark.size())};
}

bool is_own_origin(std::string_view origin, std::string_view host) noexcept {
    const origin_parts split = split_origin(origin);
    return (split.scheme == "http" || split.scheme == "https") && iequals(split.authority, host);
}

} // namespace evenkeel::wire
