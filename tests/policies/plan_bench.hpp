#pragma once
// A flight plan with a scripted world around it: chance, budgets and replay eligibility are what the test says.

#include "policies/flight_plan.hpp"

#include <doctest/doctest.h>

#include <map>
#include <optional>
#include <random>
#include <vector>

namespace evenkeel::testing {

using namespace std::chrono_literals;
inline constexpr steady_time start{1000s};

inline attempt_outcome outcome_of(outcome_kind kind, outcome_class is = outcome_class::failure) {
    attempt_outcome out;
    out.what = {is, kind};
    return out;
}
inline attempt_outcome answered_with(outcome_kind kind, std::optional<duration> hint = std::nullopt) {
    attempt_outcome out = outcome_of(kind, kind == outcome_kind::rate_limited ? outcome_class::throttled : outcome_class::failure);
    out.has_answer = true;
    out.retry_after = hint;
    return out;
}

struct plan_bench final : policy_view {
    explicit plan_bench(int endpoints = 1, duration deadline = 60s) {
        options.deadline = start + deadline;
        options.endpoints = static_cast<endpoint_index>(endpoints);
        options.retry = &retry;
        retry.backoff.jitter = jitter::none;
    }

    retry_options retry;
    flight_options options;
    std::optional<flight_plan> plan;
    steady_time now = start;

    double u = 0.5;
    std::mt19937_64* random = nullptr;
    bool stream = false, may_repeat = true, nothing_left = false;
    std::map<endpoint_index, double> level; // absent: endless
    std::vector<double> costs;
    double refunded = 0;

    double draw() override { return random != nullptr ? std::uniform_real_distribution<double>(0, 1)(*random) : u; }
    bool wants_stream() override { return stream; }
    bool repeatable(endpoint_index) override { return may_repeat; }
    bool unsent(attempt_id) override { return nothing_left; }
    double cost(endpoint_index, duration, bool effortless, steady_time) override { return effortless ? 0.1 : 1.0; }
    bool reserve(endpoint_index at, double work, steady_time) override {
        const auto found = level.find(at);
        if (found != level.end()) {
            if (found->second < work) return false;
            found->second -= work;
        }
        costs.push_back(work);
        return true;
    }
    void refund(endpoint_index at, double work, steady_time) override {
        refunded += work;
        if (level.contains(at)) level[at] += work;
    }

    // What the last step asked for.
    std::optional<flight_action::launch> launched;
    std::optional<flight_action::cancel> cancelled;
    std::optional<flight_action::commit> committed;
    std::optional<flight_action::finish> finished;
    std::optional<flight_action::wait_until> waits;

    plan_bench& feed(const any_flight_event& event) {
        if (!plan) plan.emplace(options);
        launched.reset(), cancelled.reset(), committed.reset(), finished.reset(), waits.reset();
        for (const auto& action : plan->step(event, now, *this)) {
            const auto keep = [](auto& to, const auto& one) {
                REQUIRE(!to.has_value()); // never two of a kind in one step
                to = one;
            };
            if (const auto* one = std::get_if<flight_action::launch>(&action)) keep(launched, *one);
            if (const auto* one = std::get_if<flight_action::cancel>(&action)) keep(cancelled, *one);
            if (const auto* one = std::get_if<flight_action::commit>(&action)) keep(committed, *one);
            if (const auto* one = std::get_if<flight_action::finish>(&action)) keep(finished, *one);
            if (const auto* one = std::get_if<flight_action::wait_until>(&action)) keep(waits, *one);
        }
        return *this;
    }
    plan_bench& begin() { return feed(flight_event::started{}); }
    plan_bench& fail(attempt_id id, const attempt_outcome& outcome, duration after = 400ms) {
        now += after;
        return feed(flight_event::failed{id, outcome});
    }
    plan_bench& sleep() { // until the plan wants to be woken
        REQUIRE(waits.has_value());
        now = waits->when;
        return feed(flight_event::timer{});
    }
};

} // namespace evenkeel::testing
