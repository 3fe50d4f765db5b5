#pragma once
// Who may do what on an admin listener: a pure decision over what a request says about itself.
//
// On a loopback address anyone on the machine may read without a token. What else reaches it is a web page in a
// browser there: by a form post (hence POST needs an Origin of our own or none) or by a name of its own that resolves
// to 127.0.0.1 (DNS rebinding; hence Host must name loopback, also for reads). Elsewhere the configuration demands a
// token; a page cannot know it, so Host is free there: pods and services have many names. `metrics_listen` has only
// what anyone may read; Prometheus and probes use addresses that we do not know.
//
// A browser that has logged in shows a session in place of the token, by itself and whoever's page asks: pages of other
// ports of the machine are of the same site. So with a session control needs an Origin, and it must be our own.

#include "config/settings.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace evenkeel::admin {

enum class surface : unsigned char { full, read_only };
enum class endpoint : unsigned char {
    index,
    overview,
    live,
    login,
    logout,
    metrics,
    health,
    livez,
    readyz,
    reload,
    drain,
    circuit,
    rest,
    credential,
    chaos,
    chaos_off,
    requests,
    request,
    log,
    configuration
};

struct access_rules {
    surface what = surface::full;
    bool check_host = true; // the listener is on loopback or a unix socket
    std::string token;      // empty: none is needed
};
[[nodiscard]] access_rules rules_for(const config::listener& on, surface what, const std::string& token);

struct access_question {
    std::string_view method;
    std::string_view path;                 // without query
    std::vector<std::string_view> hosts;   // every Host field
    std::vector<std::string_view> origins; // every Origin field
    std::vector<std::string_view> authorizations;
    std::vector<std::string_view> fetch_sites{}; // every Sec-Fetch-Site field
    bool has_session = false;                    // a cookie names a session that is known
};

// Status 200: go on with `asked`. Otherwise the answer, with what to say.
struct access_decision {
    int status = 200;
    endpoint asked = endpoint::index;
    std::string_view subject{}; // of /-/circuits/NAME, /-/rests/NAME, /-/credentials/NAME, /-/requests/ID: the name, as
                                // it stands in the path
    bool head_only = false;     // the method was HEAD
    bool change = false;        // the method was POST
    std::string_view allow{};   // for 405
    std::string_view explanation{}; // one sentence for people
};
[[nodiscard]] access_decision decide(const access_rules& rules, const access_question& question);

// Takes a time that depends on the lengths only.
[[nodiscard]] bool same_secret(std::string_view a, std::string_view b) noexcept;

} // namespace evenkeel::admin
