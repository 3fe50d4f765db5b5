#include "proxy/simulate/model_traffic.hpp"

#include "proxy/model/luck.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <utility>

namespace evenkeel::simulate {

using namespace model;

namespace {

// What a draw is for; two draws for different purposes are independent.
enum class use : std::uint64_t {
    arrival,
    stream,
    length,
    spell,
    error_share,
    fate,
    status,
    slow,
    piece,
    error_u,
    error_v,
    first_u,
    first_v,
    tokens_u,
    tokens_v,
    token_u,
    token_v,
};

constexpr double error_median = 0.4, error_sigma = 0.6; // seconds until an error answer
constexpr double throttle_after = 0.1;                  // chosen: a rate limiter sits in front of everything slow
constexpr double cut_after = 0.05;                      // chosen: one round trip
// Seconds behind the last arrival in which attempts may still begin.
constexpr double lasts = 120;
constexpr std::array<int, 4> error_statuses{500, 502, 503, 529};

class dice {
public:
    dice(std::uint64_t seed, std::uint64_t number, std::uint64_t attempt)
        : seed_(seed), number_(number), attempt_(attempt) {}
    [[nodiscard]] double operator()(use what) const noexcept {
        return draw(seed_, number_, attempt_, static_cast<std::uint64_t>(what));
    }

private:
    std::uint64_t seed_, number_, attempt_;
};

} // namespace

model_traffic::model_traffic(scenario model, std::uint64_t seed) : model_(std::move(model)), seed_(seed) {
    facts_.requests = model_.requests + model_.warm_up;
    facts_.warm_up = model_.warm_up;
    facts_.begin = -static_cast<double>(model_.warm_up) / model_.rate;
    facts_.end = static_cast<double>(model_.requests) / model_.rate;
    facts_.deadline = model_.deadline;
    facts_.servers = model_.servers;
    facts_.server = model_.server;
    facts_.refuse_from = model_.refuse_from;
    facts_.speeds = model_.speeds;
    facts_.cuts = model_.cuts;
    facts_.disturbed_until = model_.disturbed_until;
    if (!model_.bursts) return;
    double at = 0;
    for (std::uint64_t turn = 0; at < facts_.end + lasts; ++turn) {
        at += exponential(turn % 2 == 0 ? model_.bursts->mean_good : model_.bursts->mean_bad,
                          dice(seed, turn, 0)(use::spell));
        turns_.push_back(at);
    }
}

planned_request model_traffic::plan(unsigned number) const {
    const dice throw_for(seed_, number, 0);
    const double place = static_cast<double>(number) - static_cast<double>(model_.warm_up);
    return {.due = (place + 0.5 * throw_for(use::arrival)) / model_.rate,
            .stream = throw_for(use::stream) < model_.stream_share,
            .max_tokens = length_of(number).max_tokens};
}

const length_class& model_traffic::length_of(unsigned number) const {
    double left = dice(seed_, number, 0)(use::length);
    for (const length_class& each : model_.lengths) {
        if (left < each.share) return each;
        left -= each.share;
    }
    return model_.lengths.back();
}

model_traffic::weather model_traffic::at(int server, double now) const {
    weather here{model_.usual.at(static_cast<std::size_t>(server)), facts_.end};
    for (const spell& each : model_.spells) {
        if (now >= each.from && now < each.to) here = {each.meanwhile, each.to};
    }
    if (model_.bursts) {
        const auto turn = std::ranges::upper_bound(turns_, now) - turns_.begin();
        if (turn % 2 == 1) here.meanwhile = model_.bursts->bad;
    }
    if (model_.redrawn) {
        const double slot = std::floor(std::max(now, 0.0) / model_.redrawn->every);
        const double u = dice(seed_, static_cast<std::uint64_t>(slot), 0)(use::error_share);
        here.meanwhile.errors = model_.redrawn->low + (model_.redrawn->high - model_.redrawn->low) * u;
    }
    return here;
}

bool model_traffic::refuses_connections(int server, double now) const {
    return now >= 0 && at(server, now).meanwhile.refused;
}

void model_traffic::draw_times(fate& into, unsigned number, unsigned attempt, double slower) const {
    const dice throw_for(seed_, number, attempt);
    const answer_times& times = model_.times;
    if (times.whole > 0) {
        into.whole =
            slower * lognormal(times.whole, times.whole_sigma, throw_for(use::tokens_u), throw_for(use::tokens_v));
        into.first = first_of_whole * into.whole;
        return;
    }
    const length_class& length = length_of(number);
    const double tokens =
        std::clamp(lognormal(length.tokens, length.sigma, throw_for(use::tokens_u), throw_for(use::tokens_v)), 1.0,
                   static_cast<double>(length.max_tokens));
    const double token = lognormal(times.token, times.token_sigma, throw_for(use::token_u), throw_for(use::token_v));
    into.first = slower * lognormal(times.first_token, times.first_token_sigma, throw_for(use::first_u),
                                    throw_for(use::first_v));
    into.whole = into.first + slower * tokens * token;
}

fate model_traffic::meet(unsigned number, unsigned attempt, int server, double now) const {
    const dice throw_for(seed_, number, attempt);
    weather here;
    if (number >= model_.warm_up) here = at(server, now);
    const conditions& meanwhile = here.meanwhile;
    fate met;

    // Each share takes its part of [0, 1); what is left over is answered.
    double left = throw_for(use::fate);
    const auto falls_on = [&left](double share) {
        if (left < share) return true;
        left -= share;
        return false;
    };
    const auto broken = [&](fate::flaw how) {
        met.broken = how;
        met.broken_at = static_cast<int>(throw_for(use::piece) * answer_pieces);
    };
    if (falls_on(meanwhile.cut_at_once)) return {.is = fate::kind::reset, .first = cut_after};
    if (falls_on(meanwhile.throttled)) {
        const double wait = std::max(1.0, std::ceil(here.until - now - throttle_after));
        return {
            .is = fate::kind::status, .first = throttle_after, .status = 429, .retry_after = static_cast<int>(wait)};
    }
    if (falls_on(meanwhile.errors)) {
        const auto which = static_cast<std::size_t>(throw_for(use::status) * error_statuses.size());
        return {.is = fate::kind::status,
                .first = lognormal(error_median, error_sigma, throw_for(use::error_u), throw_for(use::error_v)),
                .status = error_statuses.at(which)};
    }
    if (falls_on(meanwhile.hangs)) return {.is = fate::kind::hang};
    draw_times(met, number, attempt, throw_for(use::slow) < meanwhile.slow ? meanwhile.slower : 1);
    if (falls_on(meanwhile.resets_before)) {
        met.is = fate::kind::reset;
    } else if (falls_on(meanwhile.resets_after)) {
        broken(fate::flaw::reset);
    } else if (falls_on(meanwhile.truncations)) {
        broken(fate::flaw::truncated);
    } else if (falls_on(meanwhile.errors_in_200)) {
        broken(fate::flaw::error);
    } else if (falls_on(meanwhile.stalls)) {
        broken(fate::flaw::stall);
    }
    return met;
}

} // namespace evenkeel::simulate
