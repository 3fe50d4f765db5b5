#pragma once
// The effective configuration: what a checked file means, after defaults, inheritance and expansion. Immutable once
// built; a reload builds another. Holds no YAML and no sockets. Durations are nanoseconds, sizes bytes.

#include "config/credentials.hpp"
#include "policies/adaptive_timeout.hpp"
#include "policies/balance.hpp"
#include "policies/bulkhead.hpp"
#include "policies/chaos.hpp"
#include "policies/circuit_breaker.hpp"
#include "policies/coalesce.hpp"
#include "policies/cooldown.hpp"
#include "policies/credential_lanes.hpp"
#include "policies/fallback.hpp"
#include "policies/hedge.hpp"
#include "policies/overload_control.hpp"
#include "policies/pace_options.hpp"
#include "policies/prewarm.hpp"
#include "policies/rescue.hpp"
#include "policies/retry.hpp"
#include "policies/shuffle_shard.hpp"
#include "policies/time.hpp"

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace evenkeel::config {

// An absolute http(s) URL from the file, taken apart once.
struct url {
    bool tls = false;
    std::string host; // without brackets for IPv6
    std::uint16_t port = 80;
    std::string authority; // as it goes into Host: host[:port], port only if written and not the scheme's default
    std::string base_path; // without trailing slash; empty for "/"

    bool operator==(const url&) const = default;
};

struct unix_path {
    std::string path;
    unsigned mode = 0660; // of the socket's file: who may connect
    bool operator==(const unix_path&) const = default;
};
struct server_tls {
    std::string cert_file, key_file;
    bool operator==(const server_tls&) const = default;
};
struct listener {
    std::string host;              // literal address; empty for a unix socket
    std::uint16_t port = 0;        // 0 asks the system for a free one (tests)
    std::optional<unix_path> unix; // set: host and port are unused
    std::optional<server_tls> tls;
    bool operator==(const listener&) const = default;
};

struct admin {
    std::optional<listener> listen;         // `admin: off` leaves it empty
    std::optional<listener> metrics_listen; // read-only, exempt from Host checks
    std::string token;                      // secret; empty: none
    bool operator==(const admin&) const = default;
};

enum class dialect_setting : unsigned char { automatic, openai, anthropic, gemini, ollama, generic };

struct header_edits {
    // Lower-case names; replaces every field of that name; values are secret.
    std::vector<std::pair<std::string, std::string>> set;
    std::vector<std::string> remove; // lower case
    bool operator==(const header_edits&) const = default;
};

struct client_tls {
    std::string ca_file;             // empty: the system's store
    std::string server_name;         // empty: the URL's host (SNI and the name that is verified)
    std::string cert_file, key_file; // client certificate; empty: none
    bool verify = true;
    bool operator==(const client_tls&) const = default;
};

struct connection_options {
    std::uint32_t max = 1024; // open connections per worker and endpoint
    duration idle_timeout = std::chrono::seconds{30};
    duration max_age = std::chrono::minutes{5};
    bool retry_stale = true; // one free retry of a reused connection that died unanswered
    bool operator==(const connection_options&) const = default;
};

// Whether an upstream is shown the callers' own credentials. automatic: unless it has one of its own; the checks have
// seen to it that it is then of the authority that they belong to.
enum class caller_credentials : unsigned char { automatic, pass, drop };

// One of several keys of an upstream: what it is called wherever it is told of, and the fields that show it.
struct credential {
    std::string name;
    std::vector<std::pair<std::string, std::string>> set; // lower-case names; values are secret
    bool operator==(const credential&) const = default;

    [[nodiscard]] bool sets(std::string_view field) const noexcept {
        for (const auto& one : set) {
            if (one.first == field) return true;
        }
        return false;
    }
};

// Which of its upstream's endpoints this is: what circuits, rests, latency, overload and connections belong to.
struct endpoint {
    std::string authority;   // host[:port]: what it is known by, unique within the upstream
    std::string address;     // literal, in place of the URL's host (`resolve: each`); empty: what that resolves to
    bool of_several = false; // its upstream has, or may have, others
    bool operator==(const endpoint&) const = default;

    // As metrics, logs and /health tell it apart; empty: there is nothing to tell apart.
    [[nodiscard]] std::string_view label() const noexcept { return of_several ? authority : std::string_view{}; }
};

// Of a million tokens, in whatever money; the file says it by model (prices.hpp).
struct price {
    double input = 0, output = 0;
    std::optional<double> cached_read, cached_write; // empty: as the input
    bool operator==(const price&) const = default;
};

// An upstream as one of its endpoints is asked. Where it has several there is one of these for each, side by side,
// alike in all but `address` and `endpoint`: whoever asks, counts or connects has to do with one endpoint and finds in
// it everything there is to know.
struct upstream {
    std::string name;
    config::endpoint endpoint;
    url address;           // SNI, Host and the name that is verified are this one's, whatever `endpoint` says
    std::vector<url> urls; // as written; empty: `url`
    bool resolve_each = false;
    balance_kind balance = balance_kind::least_latency; // among its endpoints
    config::dialect_setting dialect = config::dialect_setting::automatic;
    header_edits headers;
    std::map<std::string, std::string, std::less<>> models; // rename on the way out, by name or glob (renames.hpp)
    // What a path begins with, whole segments, and what stands there for this upstream (renames.hpp).
    std::map<std::string, std::string, std::less<>> paths;
    std::map<std::string, price, std::less<>> prices; // by the model it is asked for, a name or a glob
    client_tls tls;
    std::optional<url> proxy; // CONNECT proxy
    connection_options connections;
    prewarm_options prewarm;
    bool forwarded = false; // append X-Forwarded-*
    config::caller_credentials caller_credentials = caller_credentials::automatic;
    // Each attempt shows one of them, beside what `headers` sets; empty: there is no choice.
    std::vector<credential> credentials;
    evenkeel::credential_order credential_order = evenkeel::credential_order::fill_first;
    evenkeel::quota_scope quota_scope = evenkeel::quota_scope::credential;
    pace_options pace;
    bool own_credential = false; // it has `credentials`, or one in `headers.set`: it never sees a caller's
    bool operator==(const upstream&) const = default;
};

struct timeouts {
    duration total = std::chrono::seconds{600}; // streams: until content commit; else the whole request
    duration connect = std::chrono::seconds{5};
    // stream: to the first meaningful event; buffered: to the complete answer.
    std::optional<duration> attempt;
    duration stream_idle = std::chrono::seconds{60};   // silence of any kind in a stream
    duration content_idle = std::chrono::seconds{300}; // silence of meaning in a stream: pings do not count
    bool learn_attempt = false;                        // `attempt: adaptive`: learned, `attempt` is empty
    adaptive_options adaptive;
    rescue_options rescue{}; // when a silent attempt is joined by another one
    bool operator==(const timeouts&) const = default;
};

// What happens to a stream that breaks before it is whole.
enum class stream_resume : unsigned char {
    off,    // after its first meaningful event: the error frame
    buffer, // it is held until it is whole, so that another attempt can take its place to the end
    // A deterministic one is asked for again and goes on where the broken one ended, if it says the same.
    verified_replay,
};

struct stream_options {
    // `head_hold: off`: the head of a stream waits for its first event, however long.
    bool hold_head = true;
    // empty: auto, half of the client's told timeout, at most 30 s; 25 s if none is told.
    std::optional<duration> head_hold;
    duration heartbeat = std::chrono::seconds{10}; // between comments while a head given ahead has nothing behind it
    std::uint64_t hold_buffer = 1024 * 1024;       // bytes; a longer buffered answer is passed on as it comes
    stream_resume resume = stream_resume::off;
    bool asks_usage = false; // `usage: ask`: of streams whose clients do not
    // A buffered request goes upstream as a stream, where its answer can be put together again.
    bool upcast = false;
    // Meaningful events per second; slower is as good as silent while another attempt can follow. 0: off.
    double min_rate = 0;
    bool operator==(const stream_options&) const = default;
};

struct header_match {
    std::string name; // lower case
    std::string glob; // `*` and `?`
    bool operator==(const header_match&) const = default;
};
struct route_match {
    std::string path; // exact; empty: not asked for
    // On segment borders; no trailing slash but in "/"; empty: not asked for.
    std::string path_prefix;
    std::vector<std::string> methods;  // empty: any
    std::vector<header_match> headers; // all must match
    std::vector<std::string> models;   // globs over the model it names; any may match; empty: not asked for
    bool operator==(const route_match&) const = default;
};

struct path_rewrite {
    enum class kind : unsigned char { none, whole, prefix };
    kind is = kind::none;
    // New path, or what replaces the matched prefix (no trailing slash but in "/").
    std::string value;
    bool operator==(const path_rewrite&) const = default;
};

// What an operator wrote to be answered in place of an upstream.
struct canned_answer {
    int status = 200;
    std::string content_type = "application/json";
    std::shared_ptr<const std::string> body; // never null once built
    bool operator==(const canned_answer& other) const {
        return status == other.status && content_type == other.content_type &&
               (body == other.body || (body && other.body && *body == *other.body));
    }
};

enum class last_good_key_kind : unsigned char { request, partial_key };

// One rung of a fallback ladder.
struct fallback_step {
    fallback_kind is = fallback_kind::respond;
    last_good_key_kind key = last_good_key_kind::request; // last_good: what makes two requests the same
    duration max_age = std::chrono::hours{1};             // last_good
    std::size_t route = 0;                                // route: its place in settings::routes
    canned_answer respond{};
    bool operator==(const fallback_step&) const = default;
};

enum class route_serves : unsigned char { upstream, health, fan_out };

inline constexpr std::size_t max_upstreams_per_route = 16;
inline constexpr std::size_t max_endpoints_per_route = 64;
inline constexpr std::size_t max_fan_out_parts = 16;

enum class fan_out_body : unsigned char {
    automatic, // split where the body is an object whose names are exactly the parts, else the same for each
    same,
    split, // anything else is refused
};
struct fan_out_options {
    std::vector<std::string> parts; // names of routes
    int min_success = 1;            // parts with a 2xx answer that make the whole a 200
    fan_out_body body = fan_out_body::automatic;
    bool operator==(const fan_out_options&) const = default;
};

struct route {
    std::string name;
    route_match match;
    route_serves serves = route_serves::upstream;
    // In order of preference, the endpoints of each side by side; empty only where `serves` is not `upstream`.
    std::vector<std::shared_ptr<const config::upstream>> upstreams;
    path_rewrite rewrite;
    header_edits headers;         // the upstream's own edits come after these and win
    bool own_credential = false;  // `headers.set` has a credential
    credential_rules credentials; // of the file
    // One of its upstreams, or of its fallbacks', is not shown callers' credentials.
    bool hides_some = false;
    timeouts timeout;
    balance_kind balance = balance_kind::failover;
    // By place, each endpoint with its upstream's; all 1 unless `balance: weighted`.
    std::vector<double> weights;
    retry_options retry;
    breaker_options circuit_breaker;
    cooldown_options cooldown;
    overload_options overload;
    hedge_options hedge;
    bulkhead_options bulkhead;
    coalesce_mode coalesce = coalesce_mode::off; // of requests whose client asked this route, whichever answers
    shuffle_shard_options shuffle_shard;
    bool own_budget = false; // its budget is not that of `defaults`: shared with no other route
    // Its circuit_breaker is not that of `defaults`: circuits shared with no other route.
    bool own_circuit = false;
    stream_options stream;
    std::vector<fallback_step> fallback; // last_good at most once, then routes, then respond at most once
    // Of a route that `serves` fan_out; of the rest then timeout.total and stream count.
    fan_out_options fan_out;
    bool operator==(const route&) const = default;
};

[[nodiscard]] inline bool same_endpoint(const upstream& one, const upstream& other) noexcept {
    return one.name == other.name && one.endpoint.authority == other.endpoint.authority;
}

// Whether no credential of a caller's goes to this upstream, by this route.
[[nodiscard]] inline bool hides_callers(const route& by, const upstream& to) noexcept {
    return to.own_credential || by.own_credential || to.caller_credentials == caller_credentials::drop;
}

enum class access_log_format : unsigned char { automatic, json, text }; // automatic: text on a terminal
struct access_log_options {
    std::string path = "stdout"; // stdout | stderr | off | a file
    double sample_ok = 1.0;      // share of undisturbed requests that are logged, 0..1
    access_log_format format = access_log_format::automatic;
    bool operator==(const access_log_options&) const = default;
};

enum class log_level : unsigned char { debug, info, warning, error };
struct log_options {
    log_level level = log_level::info;
    bool json = false;
    std::string path = "stderr";
    bool operator==(const log_options&) const = default;
};

struct limits {
    std::uint64_t max_header_bytes = 64 * 1024;
    std::uint64_t max_body = std::uint64_t{128} * 1024 * 1024;
    duration header_timeout = std::chrono::seconds{10}; // absolute, from the first byte of a head
    duration body_timeout = std::chrono::seconds{30};   // longest silence while a request body is being read
    duration idle_timeout = std::chrono::seconds{75};   // of a client's keep-alive connection; announced
    duration write_timeout = std::chrono::seconds{60};  // a client that takes nothing for this long is gone
    std::uint32_t max_connections = 10000;
    std::uint64_t memory = std::uint64_t{1024} * 1024 * 1024; // all held request bodies together
    std::uint64_t body_min_rate = 1024; // bytes per second of a request body that is waited for; 0: off
    bool operator==(const limits&) const = default;
};

// What is kept of requests that are over, for whoever asks what happened: no body, no credential.
struct journal_options {
    bool on = true;
    std::uint32_t keep = 1000;                        // requests
    std::uint64_t max_bytes = std::uint64_t{8} << 20; // of memory
    bool operator==(const journal_options&) const = default;
};

// Whether a caller's word counts on whether its trace is kept.
enum class trace_parent : unsigned char { follow, ignore };
// What upstreams are told of the trace. all: what the caller said beside traceparent (tracestate, baggage) goes on.
enum class trace_propagation : unsigned char { none, traceparent, all };
// Whose names the attributes of inference have.
enum class genai_conventions : unsigned char { v0_1, v1_41, both };

// Spans, sent to a collector (OTLP over HTTP, JSON).
struct tracing_options {
    bool on = true;                                    // if there is an endpoint
    std::optional<url> otlp_endpoint, traces_endpoint; // traces_endpoint: as it is, in place of the other
    double sample = 0.1; // share of the traces that begin here; disturbed requests are kept beside it
    trace_parent parent = trace_parent::follow;
    trace_propagation propagate = trace_propagation::traceparent;
    genai_conventions semconv = genai_conventions::both;
    std::string service_name = "evenkeel";
    std::vector<std::pair<std::string, std::string>> resource; // further attributes
    std::vector<std::pair<std::string, std::string>> headers;  // for the collector; may be secret

    [[nodiscard]] bool active() const noexcept { return on && (otlp_endpoint || traces_endpoint); }
    bool operator==(const tracing_options&) const = default;
};

struct last_good_options {
    std::uint64_t max_bytes = std::uint64_t{64} * 1024 * 1024; // of the store
    std::string path;                                          // of the file that keeps it; empty: none
    bool operator==(const last_good_options&) const = default;
};

// Which pages in a browser may use the data port, beside those that need no permission. Globs in small letters.
struct page_options {
    std::vector<std::string> hosts;   // names that a Host field may have, without port
    std::vector<std::string> origins; // of Origin fields: scheme://host[:port], `null`, `*`
    bool operator==(const page_options&) const = default;
};

using key_digest = std::array<unsigned char, 32>; // SHA-256

// Who may ask, known by the key it shows.
struct client {
    std::string name;
    std::string key_file;             // what its keys were read from; empty: none
    std::vector<key_digest> keys;     // any of them
    std::vector<std::string> routes;  // by name; empty: all
    std::uint32_t max_concurrent = 0; // requests at a time; 0: as many as there are
    std::size_t place = 0;            // in the list
    bool operator==(const client&) const = default;
};

struct settings {
    std::vector<listener> listen;
    page_options pages;
    unsigned workers = 1;
    config::admin admin;
    std::vector<std::shared_ptr<const config::upstream>> upstreams; // in file order, with all their endpoints
    std::vector<std::shared_ptr<const config::route>> routes;       // in file order; the first match wins
    access_log_options access_log;
    log_options log;
    config::limits limits;
    journal_options journal;
    tracing_options tracing;
    last_good_options last_good;
    chaos_options chaos;
    credential_rules credentials;
    std::vector<std::shared_ptr<const client>> clients; // in file order; empty: whoever comes may ask
    bool watch = false;                                 // a change of the file, or of a file that it names, is a reload
    duration drain_delay{}, drain_timeout = std::chrono::seconds{30};
    // defaults.retry.replay_buffer: where a body must be read to choose the route.
    std::uint64_t replay_buffer = std::uint64_t{32} * 1024 * 1024;
    breaker_options circuit_breaker; // defaults.circuit_breaker, shared likewise
    budget_options budget;           // defaults.retry.budget, shared by all routes that have no other
    std::string source;              // file name, as given
    std::string hash;                // of the effective meaning; label of evenkeel_config_info
    // As `config show` prints it, secrets masked; null: nobody has read it from a file.
    std::shared_ptr<const std::string> shown;
};

using snapshot = std::shared_ptr<const settings>;

} // namespace evenkeel::config
