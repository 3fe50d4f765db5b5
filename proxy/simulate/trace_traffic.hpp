#pragma once
// The replay of a trace: requests come when they came, and their attempts meet what those of the log met. An attempt
// beyond those that were made meets the first attempt of another request, drawn by (seed, request, attempt) from the
// fifty before and the fifty after: what the provider was like at that time.

#include "proxy/model/traffic.hpp"
#include "proxy/simulate/simulation.hpp"
#include "proxy/simulate/trace.hpp"

#include <cstdint>
#include <memory>
#include <optional>

namespace evenkeel::simulate {

struct replay_options {
    std::optional<unsigned> requests{}; // only so many, from the first
    std::optional<double> rate{}; // per second on the average: arrivals are moved closer together or farther apart
};

// How the requests fared that a trace tells of, as the replay counts them: a failure counts as the client's deadline.
[[nodiscard]] run_result recorded(const trace& what, const replay_options& options);

class trace_traffic final : public model::traffic {
public:
    // `what` has at least one entry.
    trace_traffic(std::shared_ptr<const trace> what, const replay_options& options, std::uint64_t seed);

    [[nodiscard]] const model::traffic_facts& facts() const noexcept override { return facts_; }
    [[nodiscard]] model::planned_request plan(unsigned number) const override;
    [[nodiscard]] model::fate meet(unsigned number, unsigned attempt, int server, double now) const override;

private:
    std::shared_ptr<const trace> trace_;
    std::uint64_t seed_;
    double stretch_ = 1; // of the times of arrival
    model::traffic_facts facts_;
};

} // namespace evenkeel::simulate
