#include "config/network.hpp"

#include "config/grammar.hpp"

#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <optional>

namespace evenkeel::config {
namespace {

constexpr std::size_t longest_unix_path = 107; // sockaddr_un::sun_path less its terminator (unix(7))

std::optional<std::uint16_t> read_port(std::string_view text) {
    if (text.empty() || text.size() > 5 || text.find_first_not_of("0123456789") != std::string_view::npos)
        return std::nullopt;
    unsigned value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    if (value > 65535) return std::nullopt;
    return static_cast<std::uint16_t>(value);
}

// The canonical spelling, so that equal addresses compare equal; empty if it is no literal address.
std::string canonical(int family, const std::string& text) {
    unsigned char raw[sizeof(in6_addr)] = {};
    char printed[INET6_ADDRSTRLEN] = {};
    if (inet_pton(family, text.c_str(), raw) != 1) return {};
    return inet_ntop(family, raw, printed, sizeof printed) != nullptr ? std::string(printed) : std::string{};
}

bool is_wildcard(const listener& at) { return at.host == "0.0.0.0" || at.host == "::"; }

bool is_ipv6(const listener& at) { return at.host.find(':') != std::string::npos; }

} // namespace

std::variant<listener, bad_network_text> read_address(std::string_view text) {
    listener out;
    if (text.substr(0, 5) == "unix:") {
        const std::string_view path = text.substr(5);
        if (path.empty() || path.front() != '/')
            return bad_network_text{"the path of a unix socket starts with '/': unix:/run/evenkeel.sock"};
        if (path.size() > longest_unix_path) return bad_network_text{"the path of a unix socket has at most 107 bytes"};
        out.unix.emplace().path = std::string(path);
        return out;
    }
    if (text.find("://") != std::string_view::npos)
        return bad_network_text{"an address has no scheme: write 127.0.0.1:8080"};
    const std::size_t colon = text.rfind(':');
    if (colon == std::string_view::npos && !text.empty() && read_port(text))
        return bad_network_text{"an address is written address:port: 127.0.0.1:" + std::string(text) +
                                " for this machine only, 0.0.0.0:" + std::string(text) + " for all interfaces"};
    if (colon == std::string_view::npos)
        return bad_network_text{"an address is written address:port, like 127.0.0.1:8080"};
    const auto port = read_port(text.substr(colon + 1));
    if (!port) return bad_network_text{"the port must be a number from 0 to 65535, like 127.0.0.1:8080"};
    out.port = *port;
    const std::string host(text.substr(0, colon));
    if (host.empty() || host == "*")
        return bad_network_text{"write the address out: 0.0.0.0 for all interfaces, 127.0.0.1 for this machine only"};
    if (host.front() == '[' && host.back() == ']') {
        out.host = canonical(AF_INET6, host.substr(1, host.size() - 2));
    } else if (host.find(':') != std::string::npos) {
        return bad_network_text{"an IPv6 address is written in brackets, like [::1]:8080"};
    } else {
        out.host = canonical(AF_INET, host);
    }
    if (out.host.empty())
        return bad_network_text{
            "this is not a literal address (names are not resolved here): write 127.0.0.1:8080 or [::1]:8080"};
    return out;
}

bool is_loopback(const listener& at) {
    if (at.unix) return true; // reachable through the file system only
    return at.host.rfind("127.", 0) == 0 || at.host == "::1" || at.host.rfind("::ffff:127.", 0) == 0;
}

bool collide(const listener& a, const listener& b) {
    if (a.unix || b.unix) return a.unix && b.unix && a.unix->path == b.unix->path;
    if (a.port != b.port || a.port == 0) return false; // port 0 is a fresh one each time
    if (a.host == b.host) return true;
    return is_ipv6(a) == is_ipv6(b) && (is_wildcard(a) || is_wildcard(b));
}

bool is_literal(const std::string& host) {
    return !canonical(AF_INET, host).empty() || !canonical(AF_INET6, host).empty();
}

std::variant<url, bad_network_text> read_url(std::string_view text, bool base_path) {
    // Decided on the raw text first: what cannot be parsed may hold a credential just the same.
    const bool suspicious = text.find_first_of("@?#") != std::string_view::npos;
    const auto bad = [&](std::string message) { return bad_network_text{std::move(message), suspicious}; };
    if (text.find("://") == std::string_view::npos) return bad("a URL starts with http:// or https://");
    const auto parsed = boost::urls::parse_uri(boost::urls::string_view(text.data(), text.size()));
    if (!parsed) return bad("this is not a URL; write it like https://api.example.com/base");
    const boost::urls::url_view& view = *parsed;
    url out;
    if (view.scheme_id() == boost::urls::scheme::https) {
        out.tls = true;
    } else if (view.scheme_id() != boost::urls::scheme::http) {
        return bad("only http:// and https:// can be called");
    }
    if (view.has_userinfo())
        return bad("credentials do not belong into a URL; set the authorization header under `headers: {set: ...}`");
    if (view.has_query()) return bad("a base URL has no query; the query of each request is passed on as it is");
    if (view.has_fragment()) return bad("a URL to call has no fragment ('#...')");
    const std::string host(view.encoded_host().data(), view.encoded_host().size());
    if (host.empty()) return bad("the URL names no host");
    if (host.size() > 253) return bad("a host name has at most 253 characters");
    switch (view.host_type()) {
    case boost::urls::host_type::ipv4: out.host = host; break;
    case boost::urls::host_type::ipv6: out.host = host.substr(1, host.size() - 2); break;
    case boost::urls::host_type::name:
        if (!check_host(host).empty()) return bad(check_host(host));
        out.host = host;
        break;
    default: return bad("this kind of host is not supported");
    }
    std::transform(out.host.begin(), out.host.end(), out.host.begin(),
                   [](unsigned char c) { return static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c); });
    const std::uint16_t standard = out.tls ? 443 : 80;
    out.port = standard;
    if (view.has_port()) {
        const auto port = read_port(std::string_view(view.port().data(), view.port().size()));
        if (!port || *port == 0) return bad("the port must be a number from 1 to 65535");
        out.port = *port;
    }
    out.authority = view.host_type() == boost::urls::host_type::ipv6 ? "[" + out.host + "]" : out.host;
    if (out.port != standard) out.authority += ":" + std::to_string(out.port);
    std::string path(view.encoded_path().data(), view.encoded_path().size());
    while (!path.empty() && path.back() == '/') path.pop_back();
    if (!base_path && !path.empty()) return bad("a proxy's URL has no path");
    if (const std::string wrong = path.empty() ? std::string{} : check_path(path); !wrong.empty()) return bad(wrong);
    out.base_path = std::move(path);
    return out;
}

} // namespace evenkeel::config
