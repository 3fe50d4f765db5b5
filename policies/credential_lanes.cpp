#include "policies/credential_lanes.hpp"

#include <boost/container/static_vector.hpp>

#include <algorithm>
#include <span>

namespace evenkeel {

credential_lane::outlook credential_lanes::look_at(lane_index at, std::uint64_t model, steady_time now) const {
    credential_lane::outlook seen = lanes_[at]->look(model, now);
    if (common_ == nullptr || seen.by_operator) return seen;
    const auto rest = common_->resting({0, model}, now);
    if (!rest || (!seen.free && seen.until >= rest->until)) return seen;
    return {.free = false, .until = rest->until, .why = seen.free ? rest->why : seen.why};
}

std::shared_ptr<paced_quota> credential_lanes::quota_of(lane_index at, const wish& wanted, steady_time now) const {
    if (wanted.pace == nullptr || paces_.empty()) return nullptr;
    return paces_[at]->of(wanted.pace->key, wanted.pace->name, now);
}

// By the order: the first, or one of those with the fewest attempts in flight.
lane_index credential_lanes::pick(std::span<const lane_index> among, double u) const noexcept {
    if (order_ == credential_order::fill_first) return among.front();
    int fewest = lanes_[among.front()]->in_flight();
    for (const lane_index at : among) fewest = std::min(fewest, lanes_[at]->in_flight());
    boost::container::static_vector<lane_index, most_credentials> equal;
    for (const lane_index at : among) {
        if (lanes_[at]->in_flight() <= fewest) equal.push_back(at);
    }
    if (equal.empty()) return among.front(); // they have moved meanwhile
    return equal[std::min(static_cast<std::size_t>(u * static_cast<double>(equal.size())), equal.size() - 1)];
}

std::optional<credential_lanes::refusal> credential_lanes::choose(const wish& wanted, double u, steady_time now,
                                                                  bool takes, lane_index& found) const {
    boost::container::static_vector<lane_index, most_credentials> free, second, due;
    lane_index soonest = no_lane;      // of those that rest, the one to be had first
    std::shared_ptr<paced_quota> line; // of those that would do, the one that has something for it first
    std::optional<paced_quota::delay> turn;
    steady_time again = steady_time::max(), again_at_all = steady_time::max(), soonest_rest = steady_time::max();
    for (lane_index at = 0; at < count(); ++at) {
        const credential_lane::outlook seen = look_at(at, wanted.model, now);
        if (!seen.drained) again_at_all = std::min(again_at_all, std::max(seen.until, now));
        if (wanted.never.has(at)) continue;
        if (seen.free) {
            if (const auto quota = wanted.waited ? nullptr : quota_of(at, wanted, now)) {
                const auto not_now = quota->look(wanted.pace->ask, wanted.pace->at, now);
                if (not_now && (!turn || not_now->again < turn->again)) {
                    turn = not_now;
                    line = quota;
                }
                if (not_now) continue;
            }
            if (order_ == credential_order::fill_first && !wanted.rather_not.has(at) && due.empty()) {
                found = at; // all there is to decide, nearly always
                return std::nullopt;
            }
            (wanted.rather_not.has(at) ? second : free).push_back(at);
            continue;
        }
        if (seen.due) due.push_back(at);
        again = std::min(again, seen.until);
        if (seen.by_operator || seen.until >= soonest_rest) continue;
        soonest = at;
        soonest_rest = seen.until;
    }
    const auto ask_dead = [&] {
        for (const lane_index at : due) {
            if (takes && !lanes_[at]->claim(now)) continue;
            found = at;
            return true;
        }
        return false;
    };
    const bool any = !free.empty() || !second.empty();
    if (any && !free.empty() && wanted.can_follow && ask_dead()) return std::nullopt;
    if (any) {
        const auto& best = free.empty() ? second : free;
        found = pick({best.data(), best.size()}, u);
        return std::nullopt;
    }
    if (turn) {
        if (takes && wanted.pace->may_stand) paced_quota::wait(line, wanted.pace->ask, wanted.pace->at);
        return refusal{.again = turn->again, .avoidable = turn->in_vain && !wanted.pressed, .paced = true};
    }
    if (!due.empty()) {
        if (!wanted.can_follow && !wanted.pressed && !wanted.waited) return refusal{.again = now, .avoidable = true};
        if (ask_dead()) return std::nullopt;
    }
    if (wanted.waited && soonest != no_lane) {
        found = soonest;
        return std::nullopt;
    }
    if (again == steady_time::max()) again = again_at_all;
    return refusal{.again = again, .by_operator = again == steady_time::max() || (wanted.waited && soonest == no_lane)};
}

std::optional<credential_lanes::refusal> credential_lanes::look(const wish& wanted, double u, steady_time now) const {
    lane_index found = no_lane;
    return choose(wanted, u, now, false, found);
}

std::optional<credential_lanes::refusal> credential_lanes::take(const wish& wanted, double u, steady_time now,
                                                                place& into, pace_pass& pass) const {
    lane_index found = no_lane;
    if (auto refused = choose(wanted, u, now, true, found)) return refused;
    if (auto quota = quota_of(found, wanted, now)) {
        pace_ask ask = wanted.pace->ask;
        if (wanted.waited) ask.since = steady_time::min();
        if (const auto quicker = quota->take(ask, wanted.pace->at, now, pass.taken))
            return refusal{.again = quicker->again, .paced = true};
        pass.of = std::move(quota);
    }
    into = place(*lanes_[found], found);
    return std::nullopt;
}

bool credential_lanes::any_free(std::uint64_t model, lane_set but, steady_time now) const {
    for (lane_index at = 0; at < count(); ++at) {
        if (!but.has(at) && look_at(at, model, now).free) return true;
    }
    return false;
}

steady_time credential_lanes::refused(lane_index at, std::uint64_t model, outcome_kind why,
                                      std::optional<duration> hint, double u, steady_time now) const {
    if (why == outcome_kind::credential) return lanes_[at]->died(why, hint, now);
    if (common_ != nullptr) return common_->throttled({0, model}, why, hint, u, now);
    return why == outcome_kind::quota ? lanes_[at]->died(why, hint, now) : lanes_[at]->limited(model, hint, u, now);
}

bool credential_lanes::answered(lane_index at, std::uint64_t model, steady_time sent, steady_time now) const noexcept {
    const bool own = lanes_[at]->answered(model, sent, now);
    return (common_ != nullptr && common_->succeeded({0, model}, sent, now)) || own;
}

credential_lane::summary credential_lanes::report(lane_index at, steady_time now) const {
    credential_lane::summary all = lanes_[at]->report(now);
    if (common_ == nullptr || all.state != credential_state::well) return all;
    const cooldown::summary limits = common_->report(now);
    if (limits.resting == 0) return all;
    all.state = credential_state::resting;
    all.until = limits.until;
    all.why = limits.why;
    all.resting = limits.resting;
    return all;
}

} // namespace evenkeel
