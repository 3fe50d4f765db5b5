#pragma once
// The operator's side of the proxy: metrics, health, probes and control over HTTP, on listeners of its own and on the
// helper thread, so that neither a slow scrape nor a stuck worker can hold up the other. access_rules.hpp says who may
// do what.
//
// A browser gets the dashboard at /, which needs no other file and no other host, and shows /-/overview, as it comes
// once a second over /-/live. With a token it asks for that once (POST /-/login) and shows a session from then on
// (sessions.hpp).
//
// Endpoints: GET /metrics, /health (?strict=1: 503 when nothing can be served), /livez, /readyz, / (a list of these),
// /-/requests (what the journal keeps, newest first; route=, upstream=, model=, outcome=, disturbed, limit=, tries of
// the query), /-/requests/ID (all that is known of those of that id; format=text: in sentences); POST /-/reload,
// /-/drain, /-/circuits/UPSTREAM (state=open|closed|auto, and route=NAME for a route's own circuits, in the query or
// the body; a body may be the bare word), /-/rests/UPSTREAM (ends them), /-/credentials/UPSTREAM (name=NAME and
// state=drained|resting|well; resting takes for=DURATION), /-/chaos (rules as JSON; GET shows those in force),
// /-/chaos/off, /-/log?level= (until the next reload; GET shows it). GET /-/config: the configuration in force, secrets
// masked. HEAD works wherever GET does.
//
// Idle connections, half-sent heads and readers that do not read shut nobody out: at the limit the connection whose
// last request is longest ago makes room, so that a probe is heard however many others hold on.
//
// An open circuit makes /health say so and, where nothing at all can be served, ?strict=1 answer 503
// (health_view::healthy defines it). It never touches /readyz: a process that is taken out of service because its
// provider is down could not even give its callers the answers it still has.

#include "config/settings.hpp"
#include "policies/chaos.hpp"
#include "policies/circuit_breaker.hpp"
#include "proxy/telemetry/app_log.hpp"
#include "proxy/telemetry/background.hpp"
#include "proxy/telemetry/health.hpp"
#include "proxy/telemetry/journal_store.hpp"
#include "proxy/telemetry/liveness.hpp"
#include "proxy/telemetry/metrics.hpp"

#include <boost/system/error_code.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace evenkeel::net {
class bound_socket;
class given_sockets;
} // namespace evenkeel::net

namespace evenkeel::admin {

// What a control endpoint answers: 200 or 422, and a sentence without secrets. Where there is more to say: what is
// wrong with the file, and which of its keys have changed but wait for a restart.
struct control_result {
    bool done = true;
    std::string message;
    std::string diagnostics{};
    std::vector<std::string> restart_required{};
};

// What an operator wants of an upstream's circuits. The request path keeps a forced state until it is released.
struct circuit_order {
    std::string upstream;
    std::string route;                  // empty: every circuit of the upstream
    std::optional<circuit_state> state; // open or closed; empty: released (auto)
    std::string endpoint{};             // as /health names it; empty: all of the upstream's
};

// Whose rests are over by an operator's word.
struct rest_order {
    std::string upstream;
    std::string endpoint{}; // as /health names it; empty: all of the upstream's
};

// A word on one credential of an upstream.
struct credential_word {
    std::string upstream;
    std::string name; // empty: all of them
    enum class state : unsigned char { well, resting, drained };
    state wanted = state::well;
    duration length{}; // of resting
};

// What became of the file, for who looks.
struct configuration_state {
    std::string file{}, hash{}; // of what is in force
    wall_time loaded{};         // it
    bool last_reload_taken = true;
    wall_time tried{};                           // the last reload; epoch: none was
    std::string problem{};                       // why it was not taken, as `evenkeel check` has it
    std::vector<std::string> restart_required{}; // keys that have changed and stay as they were
};

// Called on the helper thread, which no callback holds up: what reads files answers later, from any thread.
struct admin_callbacks {
    using answer_later = std::function<void(control_result)>; // called once
    std::function<std::string()> why_not_ready;               // a few words, or nothing where the data port serves
    std::function<void(answer_later)> reload;
    std::function<control_result()> drain;
    // Not done: there is no such upstream or circuit.
    std::function<control_result(const circuit_order&)> force_circuit{};
    std::function<control_result(const rest_order&)> end_rests{};           // likewise
    std::function<control_result(const credential_word&)> set_credential{}; // likewise
    std::function<chaos::summary()> chaos_rules{};
    std::function<control_result(std::string_view json)> set_chaos{};
    std::function<control_result()> chaos_off{};
    std::function<config::snapshot()> configuration{}; // in force
    std::function<admin::configuration_state()> configuration_state{};
};

struct admin_sources {
    const telemetry::metrics& metrics;
    const telemetry::health& health;
    const telemetry::liveness& liveness;
    telemetry::app_log& log;
    const telemetry::journal_store* journal = nullptr; // null: this process keeps none
};

struct admin_limits {
    std::uint32_t max_header_bytes = 16 * 1024;
    std::uint64_t max_body_bytes = 64 * 1024;            // rules of chaos are the largest that is read
    duration request_timeout = std::chrono::seconds{10}; // of a head and its body, from the first wait to the last byte
    duration write_timeout = std::chrono::seconds{10};
    duration idle_timeout = std::chrono::seconds{75}; // between requests: longer than a usual scrape interval
    // Over both listeners; for a further one the one silent longest goes.
    std::uint32_t max_connections = 64;
    // Of those, who listen to /-/live; a further one is refused.
    std::uint32_t max_listeners = 16;
    duration live_interval = std::chrono::seconds{1};
};

class admin_server {
public:
    // Everything named here outlives the server; `on` is running. Nothing listens yet.
    admin_server(telemetry::background& on, const config::admin& options, admin_sources sources,
                 admin_callbacks callbacks, admin_limits limits = {});
    ~admin_server(); // stops
    admin_server(const admin_server&) = delete;
    admin_server& operator=(const admin_server&) = delete;

    struct listen_failure {
        boost::system::error_code error;
        std::string address; // which listener
    };
    // Binds, but what was given, and starts; all listeners or none. Not from the helper thread.
    [[nodiscard]] std::optional<listen_failure> start(net::given_sockets& given);
    [[nodiscard]] std::optional<listen_failure> start();
    void stop(); // closes listeners and connections; not from the helper thread

    // For port 0: what the system chose. 0 if there is no such listener.
    [[nodiscard]] std::uint16_t port() const noexcept;
    [[nodiscard]] std::uint16_t metrics_port() const noexcept;

    // Of each listener, between start() and stop(): its socket, and what it is called among given ones.
    [[nodiscard]] std::vector<std::pair<const net::bound_socket*, std::string>> sockets() const;

private:
    struct state;
    std::shared_ptr<state> state_; // shared with connections
};

} // namespace evenkeel::admin
