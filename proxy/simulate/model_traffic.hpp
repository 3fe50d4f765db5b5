#pragma once
// A scenario played from a seed. Whatever is random is a function of (seed, request, attempt number) and, for what
// lasts, of (seed, time): nothing depends on what a policy did before.

#include "proxy/model/traffic.hpp"
#include "proxy/simulate/scenario.hpp"

#include <cstdint>
#include <vector>

namespace evenkeel::simulate {

class model_traffic final : public model::traffic {
public:
    model_traffic(scenario model, std::uint64_t seed);

    [[nodiscard]] const model::traffic_facts& facts() const noexcept override { return facts_; }
    [[nodiscard]] model::planned_request plan(unsigned number) const override;
    [[nodiscard]] model::fate meet(unsigned number, unsigned attempt, int server, double now) const override;
    [[nodiscard]] bool refuses_connections(int server, double now) const override;

    // What a server is like at a time, and until when an attempt that is throttled there is told to wait.
    struct weather {
        conditions meanwhile;
        double until = 0;
    };
    [[nodiscard]] weather at(int server, double now) const;

private:
    [[nodiscard]] const length_class& length_of(unsigned number) const;
    void draw_times(model::fate& into, unsigned number, unsigned attempt, double slower) const;

    scenario model_;
    std::uint64_t seed_;
    model::traffic_facts facts_;
    std::vector<double> turns_; // of spells by chance: good until the first, bad until the second, ...
};

} // namespace evenkeel::simulate
