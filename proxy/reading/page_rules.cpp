#include "proxy/reading/page_rules.hpp"

#include "config/glob.hpp"
#include "proxy/wire/authority.hpp"
#include "proxy/wire/characters.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <vector>

namespace evenkeel::request {

namespace {

// Patterns are in small letters; what they are compared with is folded first. Nobody's name or origin is longer.
constexpr std::size_t longest = 512;

bool matches_any(const std::vector<std::string>& patterns, std::string_view text) noexcept {
    if (patterns.empty() || text.size() > longest) return false;
    std::array<char, longest> folded;
    std::transform(text.begin(), text.end(), folded.begin(), wire::lower);
    return std::any_of(patterns.begin(), patterns.end(), [&](const std::string& one) {
        return config::glob_match(one, {folded.data(), text.size()});
    });
}

std::string_view name_in(std::string_view authority) noexcept {
    std::string_view host = wire::host_of(authority);
    if (host.ends_with('.')) host.remove_suffix(1);
    return host;
}

// Neither can be made to point here by whoever controls a name on the internet.
bool stays_put(std::string_view host) noexcept { return wire::names_loopback(host) || wire::is_address(host); }

// What nearly every Host says. The gate has seen to it that a port is one.
bool is_usual_host(std::string_view host) noexcept {
    constexpr std::size_t size = 9;
    return host.size() >= size && (host.size() == size || host[size] == ':') &&
           (std::memcmp(host.data(), "127.0.0.1", size) == 0 || std::memcmp(host.data(), "localhost", size) == 0);
}

bool is_welcome_host(const config::page_options& allowed, std::string_view host) noexcept {
    if (wire::names_loopback(host)) return true;
    const std::string_view name = name_in(host);
    if (name.empty()) return false;
    if (name.find('.') == std::string_view::npos || wire::is_address(name)) return true;
    constexpr std::string_view front = "host.", back = ".internal";
    if (name.size() > front.size() + back.size() && wire::istarts_with(name, front) &&
        wire::iequals(name.substr(name.size() - back.size()), back))
        return true;
    return matches_any(allowed.hosts, name);
}

bool is_of_a_browser(std::string_view scheme) noexcept {
    return scheme.empty() || wire::iequals(scheme, "http") || wire::iequals(scheme, "https") ||
           scheme.ends_with("-extension");
}

bool is_welcome_origin(const config::page_options& allowed, std::string_view origin, std::string_view host,
                       std::string_view site) noexcept {
    const wire::origin_parts split = wire::split_origin(origin);
    // A pattern's * stands for labels: what is no scheme://host[:port] (RFC 6454 7.1) can end like an allowed one.
    const bool is_plain = split.authority.find_first_of("/?#@\\ ,") == std::string_view::npos;
    if (is_plain && matches_any(allowed.origins, origin)) return true;
    if (!is_of_a_browser(split.scheme)) return true;
    if (split.scheme != "http" && split.scheme != "https") return false; // browsers write them in small letters
    if (wire::names_loopback(split.authority)) return true;
    if (!wire::is_own_origin(origin, host)) return false;
    const std::string_view name = name_in(host);
    return stays_put(name) || matches_any(allowed.hosts, name) || (split.scheme == "https" && site == "same-origin");
}

bool is_own_site(std::string_view site) noexcept { return site.empty() || site == "same-origin" || site == "none"; }

} // namespace

std::string_view to_string(page_verdict verdict) noexcept {
    switch (verdict) {
    case page_verdict::foreign_host: return "foreign_host";
    case page_verdict::foreign_origin: return "foreign_origin";
    case page_verdict::welcome: break;
    }
    return "welcome";
}

std::string_view explain(page_verdict verdict) noexcept {
    if (verdict == page_verdict::foreign_host)
        return "this proxy does not go by the name in the Host field; call it localhost or 127.0.0.1, or add the name "
               "to allowed_hosts";
    return "a page of another origin may not use this proxy's credentials; add its origin (null for one without) to "
           "allowed_origins if it may";
}

page_verdict check_page(const config::page_options& allowed, arrival via, const wire::request_head& head) noexcept {
    const bool host_matters = via == arrival::loopback || (via == arrival::network && !allowed.hosts.empty());
    if (host_matters && !is_usual_host(head.host) && !is_welcome_host(allowed, head.host))
        return page_verdict::foreign_host;
    if (!head.from_page) return page_verdict::welcome; // nearly always
    std::string_view site;                             // of several, which no browser sends, one that is foreign
    for (const wire::field& one : head.fields) {
        if (one.id == wire::field_id::sec_fetch_site && !is_own_site(site = one.value)) break;
    }
    bool has_origin = false;
    for (const wire::field& one : head.fields) {
        if (one.id != wire::field_id::origin) continue;
        if (!is_welcome_origin(allowed, one.value, head.host, site)) return page_verdict::foreign_origin;
        has_origin = true;
    }
    if (has_origin || is_own_site(site)) return page_verdict::welcome;
    return page_verdict::foreign_origin;
}

} // namespace evenkeel::request
