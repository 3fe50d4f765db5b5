#include "provider_simulation.hpp"

#include "policies/retry.hpp"
#include "policies/work_budget.hpp"
#include "proxy/model/luck.hpp"
#include "proxy/model/work_clock.hpp"

#include <algorithm>
#include <deque>
#include <memory>
#include <optional>
#include <queue>
#include <utility>
#include <vector>

namespace evenkeel::testing {

namespace {
using how_urgent = overload_control::priority;
using ending = overload_control::verdict;
using model::draw;
using model::lognormal;
using model::work_clock;

constexpr double arrivals_per_second = 2.5, deadline = 60, prompt = 15;
constexpr int requests = 700, warm_up = 24;
constexpr double never = std::numeric_limits<double>::infinity();

steady_time at(double seconds) { return steady_time{duration{static_cast<std::int64_t>((seconds + 1000) * 1e9)}}; }
double seconds(steady_time when) { return std::chrono::duration<double>(when.time_since_epoch()).count() - 1000; }
duration length(double seconds) { return duration{static_cast<std::int64_t>(seconds * 1e9)}; }

class simulation;

struct request final : work_clock::job {
    request(simulation& in, int number) : of(in), who(number) {}
    void on_due(work_clock&) override;

    simulation& of;
    const int who;
    double due = 0;
    bool stream = false, done = false, good = false, committed = false, extra = false, held = false;
    double finished = 0, waits_since = -1;
    int attempts = 0, pauses = 0;
    std::vector<int> failures; // by endpoint
    // The attempt under way.
    int endpoint = -1; // none
    double started = 0, first = 0, whole = 0;
    bool fails = false;
    std::uint64_t plan = 0; // what was scheduled under another one is void
    circuit_breaker::permit permit;
    overload_control::place place;
};

class simulation {
public:
    simulation(const provider_model& model, const client_rules& rules, std::uint64_t seed)
        : model_(model), rules_(rules), seed_(seed),
          server_(-warm_up / arrivals_per_second, {model.capacity, model.alpha},
                  {{model.trouble.from, model.speed}, {model.trouble.to, 1}}),
          control_({.on = true}), budget_({}) {
        for (int e = 0; e < rules.endpoints; ++e) circuits_.push_back(std::make_unique<circuit_breaker>(rules.circuit));
    }
    simulated run();
    void served(int who);

private:
    enum class what : unsigned char { arrive, ask, fail, timeout, leave };
    struct event {
        double when;
        std::uint64_t order;
        what is;
        int who;
        std::uint64_t plan;
        bool operator<(const event& other) const {
            return when != other.when ? when > other.when : order > other.order;
        }
    };
    void later(double when, what is, int who) {
        events_.push({when, order_++, is, who, all_[static_cast<std::size_t>(who)].plan});
    }
    double chance() { return draw(seed_, 1u << 20, draws_++, 0); }

    void happen(const event& one);
    void ask(int who);
    void launch(int who, int endpoint);
    void succeeded(request& one);
    void failed(int who, ending how);
    void end_attempt(int who);
    void finish(request& one, bool good);
    void cut_all();
    void note(const std::optional<circuit_transition>& change);
    bool refused(int endpoint, bool probe = true) {
        return rules_.breaker &&
               circuits_[static_cast<std::size_t>(endpoint)]->look(probe, false, 0, at(now_)).has_value();
    }
    circuit_breaker::facts facts(int endpoint) {
        bool alone = true;
        for (int e = 0; e < rules_.endpoints; ++e) alone = alone && (e == endpoint || refused(e, false));
        return {alone, length(8)};
    }
    how_urgent of(const request& one) const {
        return one.extra || (one.held && rules_.paced) ? how_urgent::can_wait : how_urgent::now;
    }
    double patience(const request& one) const {
        return one.stream ? rules_.first_token_timeout : rules_.answer_timeout;
    }
    simulated figures() const;

    const provider_model model_;
    const client_rules rules_;
    const std::uint64_t seed_;
    work_clock server_;
    overload_control control_;
    work_budget budget_;
    std::vector<std::unique_ptr<circuit_breaker>> circuits_;
    std::deque<request> all_;
    std::priority_queue<event> events_;
    std::uint64_t order_ = 0, draws_ = 0;
    double now_ = server_.now();
    bool down_ = false;
    simulated out_;
};

void request::on_due(work_clock&) { of.served(who); }

void simulation::note(const std::optional<circuit_transition>& change) {
    if (!change) return;
    out_.trips += change->from == circuit_state::closed;
    bool down = true; // no circuit is closed
    for (const auto& one : circuits_) down = down && one->report({}, at(now_)).state != circuit_state::closed;
    if (down && !down_) control_.circuit_opened(at(now_));
    if (!down && down_) control_.circuit_closed(rules_.circuit.ramp, at(now_));
    down_ = down;
}

// Chooses an endpoint and goes there, or waits, or gives up.
void simulation::ask(int who) {
    request& one = all_[static_cast<std::size_t>(who)];
    std::optional<int> to;
    for (int e = 0; e < rules_.endpoints; ++e) {
        const bool better =
            !to || one.failures[static_cast<std::size_t>(e)] < one.failures[static_cast<std::size_t>(*to)];
        if (better && !refused(e)) to = e;
    }
    ++one.plan;
    if (!to) { // held, while the outage is younger than a minute
        one.held = true;
        steady_time again = steady_time::max(), down_since{};
        for (const auto& circuit : circuits_) {
            const auto refusal = circuit->look(true, false, 0, at(now_));
            again = std::min(again, refusal->again);
            down_since = std::max(down_since, refusal->down_since);
        }
        if (at(now_) - down_since > length(60)) return finish(one, false);
        return later(std::max(seconds(again), now_ + 0.01), what::ask, who);
    }
    if (one.waits_since < 0) one.waits_since = now_;
    const bool free = !rules_.room || now_ - one.waits_since >= rules_.through;
    if (!free && control_.room(length(patience(one)), at(now_), of(one)) == 0) {
        return later(seconds(control_.ask_again(at(now_))), what::ask, who);
    }
    launch(who, *to);
}

void simulation::launch(int who, int endpoint) {
    request& one = all_[static_cast<std::size_t>(who)];
    if (rules_.breaker) {
        auto got = circuits_[static_cast<std::size_t>(endpoint)]->admit(true, false, 0, at(now_));
        note(got.transition);
        one.permit = std::move(got.given);
        one.permit.sent(at(now_));
    }
    one.place = control_.enter(at(now_), of(one));
    one.endpoint = endpoint;
    one.started = now_;
    one.waits_since = -1;
    one.fails = false;
    ++one.attempts;
    ++one.plan;
    const auto u = [&](std::uint64_t purpose) {
        return draw(seed_, static_cast<std::uint64_t>(who), static_cast<std::uint64_t>(one.attempts), purpose);
    };
    const bool trouble = model_.trouble.has(now_);
    later(now_ + patience(one), what::timeout, who);
    if (server_.in_service() >= static_cast<std::size_t>(model_.refuses_from))
        return later(now_ + 0.5, what::fail, who);
    if (trouble && model_.resets) return later(now_ + 0.05, what::fail, who);
    if (trouble && model_.hangs) return;
    const double scale = u(4) < model_.slow ? model_.slower : 1;
    one.first = scale * lognormal(0.8, 0.45, u(9), u(10));
    one.whole =
        one.first + scale * std::clamp(lognormal(120, 0.4, u(5), u(6)), 1.0, 512.0) * lognormal(0.03, 0.15, u(7), u(8));
    if (trouble && u(1) < model_.errors) {
        one.fails = true;
        one.first = one.whole = lognormal(0.4, 0.6, u(2), u(3));
    }
    server_.enter(one);
    server_.schedule(one, one.stream ? one.first : one.whole);
}

void simulation::served(int who) {
    now_ = server_.now();
    request& one = all_[static_cast<std::size_t>(who)];
    if (one.fails) return failed(who, ending::failure);
    if (!one.committed) succeeded(one);
    if (one.stream && !std::exchange(one.committed, true)) return server_.schedule(one, one.whole - one.first);
    server_.leave(one);
    one.place.leave(at(now_));
    finish(one, true);
}

void simulation::succeeded(request& one) {
    const duration took = length(now_ - one.started);
    note(one.permit.give_verdict(circuit_breaker::verdict::success, facts(one.endpoint), chance(), at(now_)));
    out_.overloads += one.place.give_verdict(ending::success, took, at(now_)) && control_.overload_active(at(now_));
    budget_.deposit(false, at(now_));
    budget_.learn(took, at(now_));
}

void simulation::failed(int who, ending how) {
    request& one = all_[static_cast<std::size_t>(who)];
    const duration took = length(now_ - one.started);
    note(one.permit.give_verdict(circuit_breaker::verdict::failure, facts(one.endpoint), chance(), at(now_)));
    out_.overloads += one.place.give_verdict(how, took, at(now_)) && control_.overload_active(at(now_));
    ++one.failures[static_cast<std::size_t>(one.endpoint)];
    end_attempt(who);
    const bool another = *std::min_element(one.failures.begin(), one.failures.end()) == 0;
    const bool nowhere = how == ending::timeout && !another && !one.stream;
    if (one.committed || !rules_.retries || one.attempts > 5 || nowhere) return finish(one, false);
    if (!budget_.reserve(another ? 0.1 : budget_.cost(took, false, at(now_)), at(now_))) return finish(one, false);
    one.extra = true;
    const duration pause = another ? duration::zero() : backoff_pause({}, one.pauses++, {}, chance());
    later(now_ + std::chrono::duration<double>(pause).count(), what::ask, who);
}

void simulation::end_attempt(int who) {
    request& one = all_[static_cast<std::size_t>(who)];
    server_.leave(one);
    one.place.leave(at(now_));
    one.permit = {};
    one.endpoint = -1;
    ++one.plan;
}

void simulation::finish(request& one, bool good) {
    one.done = true;
    one.good = good;
    one.finished = now_;
    one.endpoint = -1;
    one.permit = {};
    ++one.plan;
}

void simulation::cut_all() {
    for (int who = 0; who < static_cast<int>(all_.size()); ++who) {
        if (all_[static_cast<std::size_t>(who)].endpoint >= 0) failed(who, ending::failure);
    }
}

void simulation::happen(const event& next) {
    request& one = all_[static_cast<std::size_t>(next.who)];
    if (one.done) return;
    switch (next.is) {
    case what::arrive: later(one.due + deadline, what::leave, next.who); return ask(next.who);
    case what::leave:
        if (one.endpoint >= 0) end_attempt(next.who);
        return finish(one, false);
    case what::ask:
        if (next.plan == one.plan) ask(next.who);
        return;
    case what::fail:
        if (next.plan == one.plan) failed(next.who, ending::failure);
        return;
    case what::timeout:
        // A lone endpoint's whole answers are waited for: nothing else could be tried.
        if (next.plan != one.plan || one.committed || !rules_.retries || (rules_.endpoints == 1 && !one.stream)) return;
        if (rules_.room && control_.room(length(patience(one)), at(now_), how_urgent::can_wait) == 0) {
            return later(seconds(control_.ask_again(at(now_))), what::timeout, next.who);
        }
        return failed(next.who, ending::timeout);
    }
}

simulated simulation::run() {
    for (int who = 0; who < requests + warm_up; ++who) {
        request& one = all_.emplace_back(*this, who);
        const auto number = static_cast<std::uint64_t>(who);
        one.due = (who - warm_up + 0.5 * draw(seed_, number, 0, 1)) / arrivals_per_second;
        one.stream = draw(seed_, number, 0, 2) < 0.5;
        one.failures.resize(static_cast<std::size_t>(rules_.endpoints));
        later(one.due, what::arrive, who);
    }
    bool cut = !model_.resets;
    while (!events_.empty() || server_.in_service() > 0) {
        const double event_at = events_.empty() ? never : events_.top().when,
                     cut_at = cut ? never : model_.trouble.from;
        const double to = std::min({cut_at, event_at, server_.next().value_or(never)});
        server_.advance(to);
        now_ = to;
        if (to == cut_at) {
            cut = true;
            cut_all();
        } else if (to == event_at) {
            const event next = events_.top();
            events_.pop();
            happen(next);
        }
    }
    return figures();
}

simulated simulation::figures() const {
    simulated out = out_;
    const auto is_prompt = [](const request& one) { return one.good && one.finished - one.due <= prompt; };
    const auto first = all_.begin() + warm_up;
    for (auto one = first; one != all_.end(); ++one) {
        out.success += one->good, out.within_15s += is_prompt(*one), out.attempts += one->attempts;
    }
    for (double* each : {&out.success, &out.within_15s, &out.attempts}) *each /= requests;
    for (auto from = first; from != all_.end() && from->due + 10 <= all_.back().due; ++from) {
        if (from->due < model_.trouble.to) continue;
        int all = 0, good = 0, soon = 0, soon_good = 0;
        for (auto one = from; one != all_.end(); ++one) {
            ++all, good += is_prompt(*one);
            if (one->due < from->due + 10) ++soon, soon_good += is_prompt(*one);
        }
        if (good >= 0.95 * all && soon_good >= 0.95 * soon) {
            out.recovery = from->due - model_.trouble.to;
            break;
        }
    }
    return out;
}
} // namespace

simulated play_out(const provider_model& provider, const client_rules& rules, std::uint64_t seed) {
    return simulation(provider, rules, seed).run();
}

} // namespace evenkeel::testing
