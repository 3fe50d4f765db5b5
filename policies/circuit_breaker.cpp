// The shell: one mutex around the state, its counts and its permits. What makes a state of another is circuit_states.
//
// A permit names the generation it was given by, and each transition begins a new one: what an attempt says after the
// circuit has moved on is about a circuit that is no longer there, and counting it would open one that has just closed,
// or close one on the word of an attempt that began before the outage. That, and not a queue of them, is why verdicts
// may come in any order and from any thread.
//
// Verdicts are placed by when their attempts were sent. A slow success tells of the endpoint as it was when it began,
// and a fast failure that came later is the newer word, although it is heard first.

#include "policies/circuit_breaker.hpp"

#include <algorithm>
#include <mutex>
#include <utility>

namespace evenkeel {

namespace {
attempt_mark mark_of(circuit_breaker::verdict what, bool timed_out) noexcept {
    switch (what) {
    case circuit_breaker::verdict::success: return attempt_mark::success;
    case circuit_breaker::verdict::failure: return timed_out ? attempt_mark::timeout : attempt_mark::failure;
    case circuit_breaker::verdict::overloaded: return attempt_mark::overloaded;
    case circuit_breaker::verdict::neutral: break;
    }
    return attempt_mark::neutral;
}
} // namespace

circuit_breaker::permit::permit(permit&& from) noexcept
    : of_(std::exchange(from.of_, nullptr)), generation_(from.generation_), slot_(from.slot_), probe_(from.probe_),
      owes_(std::exchange(from.owes_, false)), succeeded_(from.succeeded_) {}

circuit_breaker::permit& circuit_breaker::permit::operator=(permit&& from) noexcept {
    if (this == &from) return *this;
    if (owes_) of_->note_dropped(*this);
    of_ = std::exchange(from.of_, nullptr);
    generation_ = from.generation_;
    slot_ = from.slot_;
    probe_ = from.probe_;
    owes_ = std::exchange(from.owes_, false);
    succeeded_ = from.succeeded_;
    return *this;
}

circuit_breaker::permit::~permit() {
    if (owes_) of_->note_dropped(*this);
}

void circuit_breaker::permit::sent(steady_time now) noexcept {
    if (of_ != nullptr && slot_ == 0 && !probe_) of_->note_sent(*this, now);
}

std::optional<circuit_transition> circuit_breaker::permit::give_verdict(verdict what, const facts& known, double u,
                                                                        steady_time now) noexcept {
    if (of_ == nullptr) return std::nullopt;
    return of_->note_verdict(*this, what, known, u, now);
}

bool circuit_breaker::permit::is_probe() const noexcept { return probe_; }

circuit_breaker::circuit_breaker(const breaker_options& options) noexcept : options_(options) {}

void circuit_breaker::configure(const breaker_options& options) noexcept {
    const std::scoped_lock lock(mutex_);
    options_ = options;
}

std::optional<circuit_breaker::refusal> circuit_breaker::refuse(bool probe_allowed, bool ramp_applies, double u,
                                                                steady_time now, bool early) const noexcept {
    // Nearly always it is up and has been so for long.
    if (const auto* at = std::get_if<circuit::closed>(&state_); at != nullptr && !at->ramps_since) return std::nullopt;
    return circuit::refuse(state_, options_, {probe_allowed, ramp_applies, u, usual_p95_, forced_.has_value(), early},
                           now);
}

circuit_breaker::admission circuit_breaker::admit(bool probe_allowed, bool ramp_applies, double u, steady_time now,
                                                  bool early) {
    const std::scoped_lock lock(mutex_);
    admission got;
    got.refused = refuse(probe_allowed, ramp_applies, u, now, early);
    if (got.refused) return got;
    if (const auto* at = std::get_if<circuit::open>(&state_))
        got.transition = enter(circuit::probe(*at, now), "recovery_time", now);
    if (const auto* at = std::get_if<circuit::half_open>(&state_)) {
        // All places are taken and it was let through nevertheless: whoever has them is silent.
        if (!circuit::has_place(*at, options_))
            got.transition = enter(circuit::next_round(*at, now), "probe_silent", now);
        state_ = circuit::probe_started(std::get<circuit::half_open>(state_), now);
        got.given.probe_ = got.given.owes_ = true;
    }
    got.given.of_ = this;
    got.given.generation_ = generation_;
    return got;
}

std::optional<circuit_breaker::refusal> circuit_breaker::look(bool probe_allowed, bool ramp_applies, double u,
                                                              steady_time now, bool early) {
    const std::scoped_lock lock(mutex_);
    return refuse(probe_allowed, ramp_applies, u, now, early);
}

duration circuit_breaker::patience(const std::optional<duration>& usual_p95) const noexcept {
    return usual_p95.value_or(options_.window);
}

void circuit_breaker::note_sent(permit& by, steady_time now) noexcept {
    const std::scoped_lock lock(mutex_);
    if (by.generation_ != generation_) return;
    by.slot_ = attempts_.take(patience(usual_p95_), options_.window, now);
    by.owes_ = by.slot_ != 0;
}

void circuit_breaker::note_dropped(permit& by) noexcept {
    const std::scoped_lock lock(mutex_);
    by.owes_ = false;
    if (by.generation_ != generation_) return;
    if (!by.probe_) {
        attempts_.set(by.slot_, attempt_mark::neutral, steady_time{});
        return;
    }
    // Nobody can be told of this transition; the next one says what came of it. Nor is there a time: it is that of the
    // latest word of a probe.
    const auto& at = std::get<circuit::half_open>(state_);
    static_cast<void>(follow(circuit::unheard(at), "probe_failed", at.probed));
}

std::optional<circuit_transition> circuit_breaker::note_verdict(permit& by, verdict what, const facts& known, double u,
                                                                steady_time now) noexcept {
    const std::scoped_lock lock(mutex_);
    if (known.usual_p95) usual_p95_ = known.usual_p95;
    if (what == verdict::success) reached_ = false;
    if (what == verdict::failure || what == verdict::overloaded) reached_ = reached_ || !known.unreached;
    const bool first = std::exchange(by.owes_, false);
    if (by.generation_ != generation_) return std::nullopt;
    if (by.probe_) {
        const circuit::probe_verdict said{what, first, by.succeeded_, known.alone, u, forced_.has_value()};
        const auto after = circuit::heard(std::get<circuit::half_open>(state_), said, options_, now);
        by.succeeded_ = after.counts;
        const bool closes = std::holds_alternative<circuit::closed>(after.next);
        if (closes) attempts_.clear();
        return follow(after.next, closes ? "probe_succeeded" : "probe_failed", now);
    }
    if (by.slot_ == 0 && what != verdict::neutral)
        by.slot_ = attempts_.take(patience(known.usual_p95), options_.window, now);
    const bool placed = attempts_.set(by.slot_, mark_of(what, known.timed_out), now);
    const bool may_trip =
        placed && what != verdict::success && what != verdict::neutral && !forced_ && !known.only_counts;
    if (!may_trip || !trips(known, now)) return std::nullopt;
    return enter(circuit::trip(options_, known.alone, u, now), "consecutive_failures", now);
}

// A row of failures first: it is what costs nothing to ask where the endpoint works. The ratio then keeps a row that a
// busy endpoint shows by chance from opening it, and a row that chance does not explain will do as well: a window of
// successes would take as many failures as there were successes to get there. Beside others only errors make such a
// row: timeouts come by the dozen where all endpoints are one server with too much to do, and leaving one of them alone
// then gives the same load to the other.
bool circuit_breaker::trips(const facts& known, steady_time now) const noexcept {
    const int threshold = options_.failure_threshold;
    const duration waits = patience(known.usual_p95);
    if (attempts_.failures_in_a_row(threshold, waits, now) < threshold) return false;
    const double ratio = options_.failure_ratio.value_or(known.alone ? lone_ratio : ratio_beside_others);
    const int least = options_.min_calls.value_or(known.alone ? lone_min_calls : threshold);
    const int row = known.alone ? attempts_.failures_in_a_row(static_cast<int>(start_order::size), waits, now)
                                : attempts_.errors_in_a_row(waits, now);
    // Beside others a row counts whatever its spacing: at a request a minute no window ever holds it.
    const auto [calls, failures] = attempts_.within(options_.window, known.alone ? 0 : row, now);
    if (calls >= least && failures >= ratio * calls) return true;
    if (options_.failure_ratio || row < least) return false;
    return attempts_.unlikely(row, known.alone ? lone_chance : chance_beside_others, options_.window, now);
}

// Permits of before have no say from here on.
circuit_transition circuit_breaker::enter(const circuit::state& next, std::string_view why, steady_time now) noexcept {
    const circuit_state from = circuit::name_of(state_);
    state_ = next;
    ++generation_;
    since_ = now;
    unreached_.store(std::holds_alternative<circuit::open>(state_) && !reached_ && !forced_, std::memory_order_relaxed);
    return {from, circuit::name_of(state_), why};
}

// A round of probes goes on, or it is over.
std::optional<circuit_transition> circuit_breaker::follow(const circuit::state& next, std::string_view why,
                                                          steady_time now) noexcept {
    if (next.index() != state_.index()) return enter(next, why, now);
    state_ = next;
    return std::nullopt;
}

void circuit_breaker::connected(bool made, steady_time now) noexcept {
    const std::scoped_lock lock(mutex_);
    auto* const at = std::get_if<circuit::open>(&state_);
    if (at == nullptr || !unreached_.load(std::memory_order_relaxed)) return;
    at->until = made ? std::min(at->until, now) : std::max(at->until, now + away_for);
}

circuit_breaker::summary circuit_breaker::report(const facts& known, steady_time now) {
    const std::scoped_lock lock(mutex_);
    summary all;
    all.state = circuit::name_of(state_);
    all.since = since_;
    if (const auto* at = std::get_if<circuit::open>(&state_); at != nullptr && !forced_) all.next_probe = at->until;
    if (const auto* at = std::get_if<circuit::half_open>(&state_)) all.probes = at->probes;
    if (const auto* down = circuit::outage_of(state_)) all.down_since = down->since;
    const auto [calls, failures] = attempts_.within(options_.window, now);
    all.calls = calls;
    all.failures = failures;
    all.consecutive_failures =
        attempts_.failures_in_a_row(static_cast<int>(start_order::size), patience(known.usual_p95), now);
    all.forced = forced_;
    return all;
}

// Whoever was let through by force, or before it, moves nothing: each word of an operator begins a generation.
std::optional<circuit_transition> circuit_breaker::force(std::optional<circuit_state> state, steady_time now) {
    const std::scoped_lock lock(mutex_);
    if (!state && !forced_) return std::nullopt;
    forced_ = state;
    reached_ = true; // a person says what it is, not a connection
    const circuit_state to = state.value_or(circuit::name_of(state_));
    const auto change = enter(circuit::forced(state_, to, now), "forced", now);
    if (!state || to == circuit_state::closed) attempts_.clear();
    if (change.from == change.to) return std::nullopt;
    return change;
}

} // namespace evenkeel
