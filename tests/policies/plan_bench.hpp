#pragma once
// A flight plan with a scripted world around it: chance, budgets and replay eligibility are what the test says.

#include "policies/flight_plan.hpp"

#include <doctest/doctest.h>

#include <algorithm>
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
    attempt_outcome out =
        outcome_of(kind, kind == outcome_kind::rate_limited ? outcome_class::throttled : outcome_class::failure);
    out.has_answer = true;
    out.retry_after = hint;
    return out;
}

struct plan_bench : policy_view {
    explicit plan_bench(int endpoints = 1, duration deadline = 60s) {
        options.deadline = start + deadline;
        options.endpoints = static_cast<endpoint_index>(endpoints);
        options.retry = &retry;
        options.rescue.on = false; // its own tests turn it on
        retry.backoff.jitter = jitter::none;
    }

    retry_options retry;
    flight_options options;
    std::optional<flight_plan> plan;
    steady_time now = start;

    double u = 0.5;
    std::mt19937_64* random = nullptr;
    bool stream = false, may_repeat = true, nothing_left = false;
    std::map<endpoint_index, double> level;              // absent: endless
    std::map<endpoint_index, endpoint_refusal> refusing; // what look() and admit() say; absent: they let it
    std::vector<endpoint_index> in_order;
    bool overloaded_now = false, line_full = false;
    int waiting = 0;
    std::mt19937_64* moods = nullptr; // endpoints that refuse at random
    std::optional<duration> learned_timeout, learned_delay;
    hedge_refusal guard = hedge_refusal::none;
    std::vector<hedge_refusal> hedges_refused;
    std::vector<duration> hedges_settled;
    hedge_options hedging;
    std::vector<attempt_purpose> admitted;
    std::vector<double> costs;
    double refunded = 0;

    double draw() override { return random != nullptr ? std::uniform_real_distribution<double>(0, 1)(*random) : u; }
    bool wants_stream() override { return stream; }
    bool repeatable(endpoint_index) override { return may_repeat; }
    bool is_held = false;
    bool held(endpoint_index) override { return is_held || may_repeat; }
    int other_keys = 0; // that may still be asked, of each endpoint
    bool another_credential(endpoint_index, steady_time) override { return other_keys > 0 && other_keys-- > 0; }
    bool unsent(attempt_id) override { return nothing_left; }
    std::map<attempt_id, steady_time> moved; // absent: not since it was launched
    steady_time last_moved(attempt_id id, steady_time) override {
        return moved.contains(id) ? moved[id] : steady_time{};
    }
    std::map<attempt_id, steady_time> asked; // ... of ours alone
    steady_time last_asked(attempt_id id, steady_time) override {
        return asked.contains(id) ? asked[id] : steady_time{};
    }
    std::map<endpoint_index, duration> usually; // absent: nothing is known
    std::optional<duration> usual(endpoint_index at, steady_time) override {
        return usually.contains(at) ? std::optional{usually[at]} : std::nullopt;
    }
    int rescues_left = 1000;
    std::vector<endpoint_index> rescues_paid;
    bool pay_rescue(endpoint_index silent, steady_time) override {
        if (rescues_left == 0) return false;
        --rescues_left;
        rescues_paid.push_back(silent);
        return true;
    }
    void refund_rescue(endpoint_index) override { ++rescues_left; }
    std::vector<endpoint_index> hangs; // as others have shown
    bool shown_silent(endpoint_index at) override { return std::find(hangs.begin(), hangs.end(), at) != hangs.end(); }
    bool takes_over(endpoint_index from, endpoint_index to) override { return shown_silent(from) && !shown_silent(to); }
    std::vector<endpoint_index> sick;
    bool wants_prober(endpoint_index at) override { return std::find(sick.begin(), sick.end(), at) != sick.end(); }
    bool flat = false; // every attempt costs 1
    double cost(endpoint_index, duration, bool effortless, steady_time) override {
        return effortless && !flat ? 0.1 : 1.0;
    }
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

    std::span<const endpoint_index> order(steady_time) override {
        if (in_order.empty()) {
            for (endpoint_index i = 0; i < options.endpoints; ++i) in_order.push_back(i);
        }
        return in_order;
    }
    std::optional<endpoint_refusal> look(endpoint_index at, attempt_purpose, urgency how, steady_time) override {
        if (moods != nullptr && (*moods)() % 4 == 0) {
            const auto why = static_cast<endpoint_refusal::reason>((*moods)() % 3);
            if (how == urgency::waited && why != endpoint_refusal::reason::circuit) return std::nullopt;
            return endpoint_refusal{why, now + std::chrono::milliseconds((*moods)() % 5000),
                                    now - std::chrono::milliseconds((*moods)() % 90000)};
        }
        const auto found = refusing.find(at);
        if (found == refusing.end()) return std::nullopt;
        if (how == urgency::waited && found->second.why != endpoint_refusal::reason::circuit) return std::nullopt;
        return found->second;
    }
    admission admit(endpoint_index at, attempt_purpose what, urgency how, steady_time when) override {
        if (const auto refused = look(at, what, how, when)) return {0, refused};
        admitted.push_back(what);
        return {static_cast<permit_id>(admitted.size()), {}};
    }
    bool overload_active(endpoint_index, steady_time) override { return overloaded_now; }
    bool begin_waiting(steady_time) override { return !line_full && ++waiting > 0; }
    bool reserve_hedge(endpoint_index at, steady_time when) override { return reserve(at, 1, when); }
    void settle_hedge(endpoint_index at, duration took, steady_time when) override {
        hedges_settled.push_back(took);
        refund(at, 1 - cost(at, took, false, when), when);
    }
    std::optional<duration> attempt_timeout(endpoint_index, steady_time) override { return learned_timeout; }
    std::optional<duration> hedge_delay(endpoint_index, steady_time) override { return learned_delay; }
    duration quickest(endpoint_index, steady_time) override { return {}; }
    hedge_refusal hedge_wanted(steady_time) override { return guard; }

    // What the last step asked for.
    std::optional<flight_action::launch> launched;
    std::optional<flight_action::cancel> cancelled; // the last of them
    int cancels = 0;
    std::vector<any_flight_action> actions; // all that is to be done
    std::vector<any_flight_action> reasons; // why something else is not
    std::optional<flight_action::commit> committed;
    std::optional<flight_action::finish> finished;
    std::optional<flight_action::wait_until> waits;

    plan_bench& feed(const any_flight_event& event) {
        if (!plan) plan.emplace(options);
        cancels = 0, launched.reset(), cancelled.reset(), committed.reset(), finished.reset(), waits.reset();
        actions.clear(), reasons.clear();
        const std::size_t permits_before = admitted.size();
        for (const auto& action : plan->step(event, now, *this)) {
            const auto keep = [](auto& to, const auto& one) {
                REQUIRE(!to.has_value()); // never two of a kind in one step
                to = one;
            };
            if (const auto* one = std::get_if<flight_action::launch>(&action)) keep(launched, *one);
            if (const auto* one = std::get_if<flight_action::cancel>(&action)) cancelled = *one, ++cancels;
            if (const auto* one = std::get_if<flight_action::commit>(&action)) keep(committed, *one);
            if (const auto* one = std::get_if<flight_action::finish>(&action)) keep(finished, *one);
            if (const auto* one = std::get_if<flight_action::wait_until>(&action)) keep(waits, *one);
            waiting -= std::holds_alternative<flight_action::end_hold>(action);
            if (const auto* one = std::get_if<flight_action::no_hedge>(&action)) hedges_refused.push_back(one->why);
            const bool is_reason = action.index() >= any_flight_action{flight_action::refuse{}}.index();
            (is_reason ? reasons : actions).push_back(action);
        }
        // Each permit is named by one launch, and that of the same step.
        REQUIRE(admitted.size() == permits_before + launched.has_value());
        if (launched) REQUIRE(launched->permit == admitted.size());
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
