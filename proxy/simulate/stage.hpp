#pragma once
// A small stage for demonstrations: the real request path (serve, run_flight, attempt, policies) of one configuration
// on a virtual clock, before a provider that does to each attempt what it is told. Times in seconds from the beginning.
//
// As in a simulation there are no client sockets: a client learns status and body from what `serve` returns.

#include "config/settings.hpp"
#include "policies/circuit_breaker.hpp"
#include "proxy/events/observer.hpp"
#include "proxy/events/policy_report.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace evenkeel::simulate {

// What the provider does with one attempt: after a while a buffered answer in one piece, a stream, a reset, or nothing
// at all.
struct reply {
    struct event {
        double at = 0; // since the request came
        std::string text{};
    };
    double after = 0; // until the head, or the reset
    int status = 200;
    std::string body{};
    bool silent = false;
    bool reset = false;
    std::string fields{};        // of its head, each with its end of line
    std::vector<event> stream{}; // instead of the body, in order; it ends behind the last one
    double signs = 0; // of a stream: a comment every so often from the head to the first event; silent: for ever
};

// Who asks, and for how long he waits.
struct caller {
    std::string path{}; // and query
    std::string body = R"({"model":"m","messages":[]})";
    std::optional<double> patience{}; // seconds; then he leaves
    bool tells = false;               // that, in x-evenkeel-timeout
    std::string method = "POST";
    std::string fields{}; // more of its head, each with its end of line
    std::string id{};     // of the request
};

struct attempt_seen {
    double began = 0, ended = 0;
    std::string upstream;
    telemetry::attempt_kind kind;
    telemetry::attempt_result result;
};
struct circuit_seen {
    double at = 0;
    circuit_transition change;
};
struct request_seen {
    double came = 0, took = 0;
    std::optional<double> first_event{}; // of a stream, since it came
    int status = 0;                      // 0: its client has left
    bool whole = false;
    int attempts = 0;
    telemetry::request_service service = telemetry::request_service::ok;
    telemetry::degradation degraded{}; // its route's name lives as long as the stage
    std::string reason, retry_after, body;
    std::string upstream; // whose answer it was
};

class stage {
public:
    // Asked for every attempt that is sent: its upstream, its number on this stage from 1, and when.
    using provider = std::function<reply(std::string_view upstream, unsigned attempt, double now)>;

    // Whether a connection gets through now; one that does not is neither made nor refused.
    using network = std::function<bool(std::string_view upstream, double now)>;

    // Throws std::logic_error if the text is no valid configuration.
    stage(std::string_view yaml, provider asks, std::uint64_t seed = 1);
    stage(config::snapshot settings, provider asks, std::uint64_t seed = 1, network lets_through = {});
    ~stage();
    // Called with the account of each request, when it is over.
    void tell(std::function<void(const telemetry::request_account&)> about);
    stage(const stage&) = delete;
    stage& operator=(const stage&) = delete;

    // A request of this caller comes at `when`, which lies not before now.
    void request_at(double when, const caller& who);
    void request_at(double when, const std::string& path) { request_at(when, caller{.path = path}); }
    void run_until(double when);
    // A request that comes now, and runs until it is answered.
    const request_seen& ask(const caller& who);
    const request_seen& ask(const std::string& path) { return ask(caller{.path = path}); }

    [[nodiscard]] double now() const;
    [[nodiscard]] const std::vector<request_seen>& requests() const noexcept; // answered, in the order of their answers
    [[nodiscard]] const std::vector<attempt_seen>& attempts() const noexcept; // ended, in that order
    [[nodiscard]] const std::vector<circuit_seen>& circuits() const noexcept;
    [[nodiscard]] unsigned sent() const noexcept; // attempts that the provider was asked for
    // ... and what the latest of them wrote at first: for the provider, while it is asked.
    [[nodiscard]] std::string_view written() const noexcept;
    [[nodiscard]] telemetry::policy_report policies();

private:
    struct inside;
    std::unique_ptr<inside> inside_;
};

// Throws std::logic_error if the text is no valid configuration.
[[nodiscard]] config::snapshot settings_of_text(std::string_view yaml);

} // namespace evenkeel::simulate
