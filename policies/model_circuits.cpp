#include "policies/model_circuits.hpp"

#include <algorithm>
#include <utility>

namespace evenkeel {

void model_circuits::configure(const breaker_options& options) noexcept {
    const std::scoped_lock lock(mutex_);
    options_ = options;
    for (const auto& one : places_.all()) one->breaker.configure(options);
}

std::shared_ptr<model_circuit> model_circuits::of(std::uint64_t model, steady_time now) {
    if (none() || model == 0) return nullptr;
    const std::scoped_lock lock(mutex_);
    return places_.find(model, now);
}

bool model_circuits::may_look_early(std::uint64_t model, bool taking, steady_time now) {
    if (none() || model == 0) return false;
    const std::scoped_lock lock(mutex_);
    if (now < next_look_) return false;
    int fail = 0;
    for (const auto& one : places_.all()) {
        if (!one->fails(now)) continue;
        if (one->model == model || one->model == places::shared_place || ++fail > 1) return false;
    }
    if (fail == 1 && taking) {
        look_pause_ = std::clamp(2 * look_pause_, options_.recovery_timeout,
                                 std::max(options_.recovery_timeout, options_.max_recovery_timeout));
        next_look_ = now + look_pause_;
    }
    return fail == 1;
}

model_circuits::blame model_circuits::blamed(std::shared_ptr<model_circuit> own, std::uint64_t model, steady_time sent,
                                             steady_time now) {
    if (places_.goods().of(model) <= sent) own->bad(sent, now); // else of before its latest good answer
    const auto whose = places_.judge(model, *own, now);
    return {std::move(own), whose.model, whose.whole};
}

std::shared_ptr<model_circuit> model_circuits::answered(std::uint64_t model, steady_time sent, steady_time now) {
    if (none() || model == 0) return nullptr;
    const std::scoped_lock lock(mutex_);
    places_.goods().note(model, sent);
    look_pause_ = {};
    auto own = places_.find(model, now);
    if (!own) return nullptr;
    const bool of_before = own->failing_since && sent < *own->failing_since;
    own->good(sent);
    return of_before ? nullptr : own;
}

void model_circuits::hold(bool held) noexcept {
    const std::scoped_lock lock(mutex_);
    held_ = held;
    places_.clear();
}

std::vector<model_circuits::summary> model_circuits::report(steady_time now) {
    std::vector<summary> all;
    if (none()) return all;
    const std::scoped_lock lock(mutex_);
    for (const auto& one : places_.all()) {
        auto circuit = one->breaker.report({}, now);
        if (circuit.state != circuit_state::closed) all.push_back({one->model, one->name, circuit});
    }
    return all;
}

} // namespace evenkeel
