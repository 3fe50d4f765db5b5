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
#include <string>
#include <string_view>
#include <vector>

namespace evenkeel::simulate {

// What the provider does with one attempt: after a while a buffered answer in one piece, or nothing at all.
struct reply {
    double after = 0;
    int status = 200;
    std::string body{};
    bool silent = false;
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
    int status = 0; // 0: its client has left
    bool whole = false;
    int attempts = 0;
    telemetry::request_service service = telemetry::request_service::ok;
    telemetry::degradation degraded{}; // its route's name lives as long as the stage
    std::string reason, retry_after, body;
};

class stage {
public:
    // Asked for every attempt that is sent: its upstream, its number on this stage from 1, and when.
    using provider = std::function<reply(std::string_view upstream, unsigned attempt, double now)>;

    // Throws std::logic_error if the text is no valid configuration.
    stage(std::string_view yaml, provider asks, std::uint64_t seed = 1);
    ~stage();
    stage(const stage&) = delete;
    stage& operator=(const stage&) = delete;

    // A POST with this body comes at `when`, which lies not before now. Its client waits for as long as it takes.
    void request_at(double when, const std::string& path, const std::string& body = R"({"model":"m","messages":[]})");
    void run_until(double when);
    // A request that comes now, and runs until it is answered.
    const request_seen& ask(const std::string& path);

    [[nodiscard]] double now() const;
    [[nodiscard]] const std::vector<request_seen>& requests() const noexcept; // answered, in the order of their answers
    [[nodiscard]] const std::vector<attempt_seen>& attempts() const noexcept; // ended, in that order
    [[nodiscard]] const std::vector<circuit_seen>& circuits() const noexcept;
    [[nodiscard]] telemetry::policy_report policies();

private:
    struct inside;
    std::unique_ptr<inside> inside_;
};

} // namespace evenkeel::simulate
