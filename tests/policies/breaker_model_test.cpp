// P5.1: the breaker against a second implementation, over every history of eight events (in builds without optimisation
// seven; EVENKEEL_STORM=1 makes it eight there as well).

#include "policies/circuit_breaker.hpp"
#include "tests/support/storm_scale.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace evenkeel::test::breaker_model_test {

using evenkeel::test::scaled;
using namespace std::chrono_literals;

namespace {
constexpr steady_time start{1000s};
using verdict = circuit_breaker::verdict;

// Two failures in a row of which half of at least two verdicts are failures; two successes, of one probe at a time. A
// tick is the first recovery time, and three of them are the silence after which a probe loses its place.
constexpr duration recovery = 20s, timeout_after = 5s, window = 30s, longest = 60s, silence = 60s;
constexpr circuit_breaker::facts known{false, 5s};
const breaker_options options{.on = true,
                              .failure_threshold = 2,
                              .failure_ratio = 0.5,
                              .min_calls = 2,
                              .window = window,
                              .recovery_timeout = recovery,
                              .max_recovery_timeout = longest,
                              .half_open_max_calls = 1,
                              .success_threshold = 2,
                              .ramp = 0s};

// What may happen. The first six: a request comes, and this becomes of it. One attempt at a time may be left hanging;
// its end comes late, and of another generation where the circuit has changed in between.
enum class event : unsigned char {
    success,
    failure,
    throttled,
    neutral,
    timeout,
    cancel,
    hang,
    late_success,
    late_failure,
    late_cancel,
    tick
};
constexpr const char* names[] = {"success", "failure",      "throttled",    "neutral",     "timeout", "cancel",
                                 "hang",    "late success", "late failure", "late cancel", "tick"};

// The reference: plain lists and no cleverness. Knows DESIGN's rules and nothing of the code.
struct model {
    enum class mark : unsigned char { pending, skipped, success, throttled, failure };
    struct attempt {
        mark is;
        duration at; // of its start, then of its verdict
    };
    struct holder {
        int epoch, place; // place among the attempts; -1: a probe
    };
    circuit_state state = circuit_state::closed;
    duration now{}, until{}, probed{};
    int epoch = 0, reopened = 0, successes = 0, count = 0;
    bool probing = false;
    std::array<attempt, 8> attempts{};
    std::optional<holder> hanging;

    void change(circuit_state to) { state = to, ++epoch, probing = false; }
    [[nodiscard]] bool lets() const {
        if (state == circuit_state::open) return now >= until;
        return state == circuit_state::closed || !probing || now - probed >= silence;
    }
    holder enter() {
        if (state == circuit_state::closed)
            return attempts[static_cast<std::size_t>(count)] = {mark::pending, now}, holder{epoch, count++};
        if (state == circuit_state::open || probing) {
            if (state == circuit_state::open) successes = 0;
            change(circuit_state::half_open);
        }
        probing = true, probed = now;
        return {epoch, -1};
    }
    [[nodiscard]] int in_a_row() const {
        int row = 0;
        for (int i = count; i-- > 0;) {
            const attempt& one = attempts[static_cast<std::size_t>(i)];
            if (one.is == mark::success || (one.is == mark::pending && row > 0 && now - one.at < *known.usual_p95))
                break;
            row += one.is == mark::failure;
        }
        return row;
    }
    [[nodiscard]] std::pair<int, int> tally() const { // verdicts of the window, and how many of them are failures
        std::pair<int, int> sum{};
        for (int i = 0; i < count; ++i) {
            const attempt& one = attempts[static_cast<std::size_t>(i)];
            if (one.is < mark::success || now - one.at >= window) continue;
            ++sum.first, sum.second += one.is != mark::success;
        }
        return sum;
    }
    [[nodiscard]] std::pair<int, int> evidence() const { // of the window, and the row however old it is
        auto sum = tally();
        int row = in_a_row();
        for (int i = count; i-- > 0 && row > 0;) {
            const attempt& one = attempts[static_cast<std::size_t>(i)];
            if (one.is != mark::failure) continue;
            --row;
            if (now - one.at >= window) ++sum.first, ++sum.second;
        }
        return sum;
    }
    void end(holder who, mark what) {
        if (who.epoch != epoch) return;
        if (who.place < 0) return probe_end(what);
        attempts[static_cast<std::size_t>(who.place)] = {what, now};
        const auto [calls, failures] = evidence();
        if (what < mark::throttled || in_a_row() < 2 || calls < 2 || 2 * failures < calls) return;
        reopened = 0, until = now + recovery;
        change(circuit_state::open);
    }
    void probe_end(mark what) {
        probing = false;
        if (what == mark::success && ++successes == 2) {
            reopened = count = 0;
            change(circuit_state::closed);
        } else if (what == mark::failure) {
            until = now + std::min(recovery * (1 << ++reopened), longest);
            change(circuit_state::open);
        }
    }
};

// The breaker itself, made as new for each history: an operator's word taken back leaves an empty window.
struct subject {
    circuit_breaker breaker{options};
    duration now{};
    std::optional<circuit_breaker::permit> hanging;
    std::optional<circuit_transition> changed;
    std::optional<circuit_breaker::refusal> refused;

    void renew() {
        hanging.reset();
        now = {};
        static_cast<void>(breaker.force(circuit_state::closed, start));
        static_cast<void>(breaker.force(std::nullopt, start));
    }
    void apply(event what) {
        changed.reset(), refused.reset();
        if (what == event::tick) {
            now += recovery;
        } else if (what >= event::late_success) {
            if (what != event::late_cancel)
                changed = hanging->give_verdict(what == event::late_success ? verdict::success : verdict::failure,
                                                known, 0, start + now);
            hanging.reset();
        } else {
            auto got = breaker.admit(true, true, 0, start + now);
            changed = got.transition, refused = got.refused;
            if (refused) return;
            got.given.sent(start + now);
            if (what == event::hang) return hanging.emplace(std::move(got.given)), void();
            if (what == event::cancel) return;
            if (what == event::timeout) now += timeout_after;
            static constexpr verdict says[] = {verdict::success, verdict::failure, verdict::overloaded,
                                               verdict::neutral, verdict::failure};
            if (const auto then = got.given.give_verdict(says[static_cast<std::size_t>(what)], known, 0, start + now))
                changed = then;
        }
    }
};

void apply(model& at, event what) {
    using mark = model::mark;
    if (what == event::tick) {
        at.now += recovery;
    } else if (what >= event::late_success) {
        at.end(*at.hanging, what == event::late_success   ? mark::success
                            : what == event::late_failure ? mark::failure
                                                          : mark::skipped);
        at.hanging.reset();
    } else if (at.lets()) {
        const auto who = at.enter();
        if (what == event::hang) return at.hanging.emplace(who), void();
        if (what == event::timeout) at.now += timeout_after;
        static constexpr mark says[] = {mark::success, mark::failure, mark::throttled,
                                        mark::skipped, mark::failure, mark::skipped};
        at.end(who, says[static_cast<std::size_t>(what)]);
    }
}

struct search {
    int depth;
    subject real;
    std::vector<event> path{};
    std::vector<std::string> wrong{};
    long histories = 0, transitions = 0, refusals = 0, stale = 0, silent = 0;

    [[nodiscard]] bool same(const model& ref, bool let) {
        if (let == real.refused.has_value()) return false;
        const auto seen = real.breaker.report(known, start + real.now);
        if (seen.state != ref.state || seen.probes != static_cast<int>(ref.probing)) return false;
        if (ref.state == circuit_state::open) return seen.next_probe == start + ref.until;
        if (ref.state == circuit_state::half_open) return true;
        const auto [calls, failures] = ref.tally();
        return seen.calls == calls && seen.failures == failures && seen.consecutive_failures == ref.in_a_row();
    }
    void from(const model& here) {
        if (static_cast<int>(path.size()) == depth) return;
        const bool lets = here.lets();
        for (int i = 0; i <= static_cast<int>(event::tick); ++i) {
            const auto what = static_cast<event>(i);
            const bool late = what >= event::late_success && what <= event::late_cancel;
            if (late && !here.hanging) continue;
            if (what == event::hang && here.hanging) continue;
            if (!lets && what > event::success && what <= event::hang) continue; // whoever is refused is refused alike
            model next = here;
            real.renew();
            for (const event past : path) real.apply(past);
            real.apply(what);
            apply(next, what);
            path.push_back(what);
            const bool asks = what <= event::hang;
            const bool as_expected = same(next, !asks || lets);
            const bool moved = real.changed.has_value();
            if (!as_expected || moved != (next.epoch != here.epoch)) tell();
            ++histories, transitions += moved, refusals += asks && !lets,
                stale += late && here.hanging->epoch != here.epoch;
            silent += moved && real.changed->why == "probe_silent";
            from(next);
            path.pop_back();
        }
    }
    void tell() {
        if (wrong.size() >= 5) return;
        std::string text;
        for (const event one : path)
            text += std::string{text.empty() ? "" : ", "} + names[static_cast<std::size_t>(one)];
        wrong.push_back(text);
    }
};
} // namespace

TEST_CASE("P5.1: the breaker is what a second implementation is, over every history of eight events with thresholds 2, "
          "2 and 1") {
#ifdef NDEBUG
    const int depth = 8;
#else
    // 8 take half a minute here.
    const int depth = std::getenv("EVENKEEL_STORM") != nullptr && scaled(1000) >= 1000 ? 8 : 7;
#endif
    search all{.depth = depth, .real = {}};
    all.from({});
    for (const std::string& history : all.wrong) FAIL_CHECK("differs after: ", history);
    MESSAGE(all.histories, " histories, ", all.transitions, " with a transition at their end, ", all.refusals,
            " refused, ", all.stale, " stale");
    CHECK(all.transitions > 1000);
    CHECK(all.refusals > 1000);
    CHECK(all.stale > 1000);
    if (depth == 8) CHECK(all.silent > 0);
}

} // namespace evenkeel::test::breaker_model_test
