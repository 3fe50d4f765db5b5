#include "proxy/admin/access_rules.hpp"

#include "proxy/wire/authority.hpp"
#include "proxy/wire/characters.hpp"

#include <openssl/crypto.h>

#include <algorithm>
#include <array>
#include <string>

namespace evenkeel::admin {

namespace {

struct entry {
    std::string_view path;
    endpoint is;
    bool control;        // POST, and on the full surface only
    bool readable;       // also on the read-only surface
    bool open;           // needs no token: probes have none
    bool named = false;  // a name follows
    bool both = false;   // GET shows, POST changes
    bool costly = false; // goes on for as long as it is read: for no page of another origin
};
constexpr std::array entries{
    entry{"/", endpoint::index, false, false, false},
    entry{"/-/overview", endpoint::overview, false, false, false},
    entry{"/-/live", endpoint::live, false, false, false, false, false, true},
    entry{"/-/login", endpoint::login, true, false, true},
    entry{"/-/logout", endpoint::logout, true, false, true},
    entry{"/metrics", endpoint::metrics, false, true, false},
    entry{"/health", endpoint::health, false, true, false},
    entry{"/livez", endpoint::livez, false, true, true},
    entry{"/readyz", endpoint::readyz, false, true, true},
    entry{"/-/reload", endpoint::reload, true, false, false},
    entry{"/-/drain", endpoint::drain, true, false, false},
    entry{"/-/circuits/", endpoint::circuit, true, false, false, true},
    entry{"/-/credentials/", endpoint::credential, true, false, false, true},
    entry{"/-/rests/", endpoint::rest, true, false, false, true},
    entry{"/-/chaos", endpoint::chaos, false, false, false, false, true},
    entry{"/-/requests", endpoint::requests, false, false, false},
    entry{"/-/requests/", endpoint::request, false, false, false, true},
    entry{"/-/chaos/off", endpoint::chaos_off, true, false, false},
    entry{"/-/log", endpoint::log, false, false, false, false, true},
    entry{"/-/config", endpoint::configuration, false, false, false},
};

bool matches(const entry& e, std::string_view path) {
    return e.named ? path.size() > e.path.size() && path.starts_with(e.path) : path == e.path;
}

access_decision refuse(int status, std::string_view explanation, std::string_view allow = {}) {
    return {.status = status, .allow = allow, .explanation = explanation};
}

bool bears(std::string_view authorization, std::string_view token) noexcept {
    constexpr std::string_view scheme = "bearer ";
    if (!wire::istarts_with(authorization, scheme)) return false;
    authorization.remove_prefix(scheme.size());
    while (authorization.starts_with(' ')) authorization.remove_prefix(1);
    return same_secret(authorization, token);
}

// ... or of none: a tool sends neither field.
bool is_of_own_page(const access_question& question) noexcept {
    const auto own = [](std::string_view site) { return site == "same-origin" || site == "none"; };
    if (question.origins.size() > 1 || !std::all_of(question.fetch_sites.begin(), question.fetch_sites.end(), own))
        return false;
    return question.origins.empty() ||
           (!question.hosts.empty() && wire::is_own_origin(question.origins[0], question.hosts[0]));
}

} // namespace

bool same_secret(std::string_view a, std::string_view b) noexcept {
    return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

access_rules rules_for(const config::listener& on, surface what, const std::string& token) {
    if (what == surface::read_only) return {.what = what, .check_host = false, .token = {}};
    return {.what = what, .check_host = on.unix.has_value() || wire::is_loopback_address(on.host), .token = token};
}

access_decision decide(const access_rules& rules, const access_question& question) {
    if (question.hosts.size() > 1) return refuse(400, "A request has one Host field.");
    if (rules.check_host) {
        if (question.hosts.empty()) return refuse(400, "This listener needs a Host field.");
        if (!wire::names_loopback(question.hosts[0]))
            return refuse(403, "This listener answers to loopback names only: use localhost, 127.0.0.1 or [::1].");
    }

    const auto* found =
        std::find_if(entries.begin(), entries.end(), [&](const entry& e) { return matches(e, question.path); });
    const bool known = found != entries.end() && (rules.what == surface::full || found->readable);
    const bool by_session = question.has_session && question.authorizations.empty();
    if (!rules.token.empty() && !(known && found->open) && !by_session) {
        if (question.authorizations.size() != 1 || !bears(question.authorizations[0], rules.token))
            return refuse(401, "Send the admin token as `Authorization: Bearer ...`.");
    }
    if (!known) return refuse(404, "There is no such endpoint here.");

    const bool change = found->control || (found->both && question.method == "POST");
    if (change) {
        if (question.method != "POST") return refuse(405, "This endpoint takes POST.", "POST");
        if (!is_of_own_page(question) || (by_session && question.origins.empty()))
            return refuse(403, "A page of another origin may not control this process.");
    } else if (found->costly && !is_of_own_page(question)) {
        return refuse(403, "A page of another origin may not listen.");
    } else if (question.method != "GET" && question.method != "HEAD") {
        return found->both ? refuse(405, "This endpoint takes GET, HEAD and POST.", "GET, HEAD, POST")
                           : refuse(405, "This endpoint takes GET and HEAD.", "GET, HEAD");
    }
    return {.status = 200,
            .asked = found->is,
            .subject = found->named ? question.path.substr(found->path.size()) : std::string_view{},
            .head_only = question.method == "HEAD",
            .change = change};
}

} // namespace evenkeel::admin
