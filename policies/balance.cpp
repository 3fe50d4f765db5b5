#include "policies/balance.hpp"

#include <algorithm>
#include <cmath>
#include <mutex>

namespace evenkeel {

namespace {
constexpr double least_gain = 0.1; // of the usual latency, per answer: it is known after about ten

std::size_t drawn(double u, std::size_t of) noexcept {
    return std::min(static_cast<std::size_t>(u * static_cast<double>(of)), of - 1);
}
} // namespace

balancer::balancer(balance_kind kind, std::vector<double> weights) : kind_(kind) {
    configure(kind, std::move(weights));
}

void balancer::configure(balance_kind kind, std::vector<double> weights) {
    const std::scoped_lock lock(mutex_);
    kind_ = kind;
    if (weights.size() != endpoints_.size()) endpoints_.assign(weights.size(), {});
    for (std::size_t i = 0; i < weights.size(); ++i) endpoints_[i].weight = weights[i];
}

balancer::endpoint* balancer::find(std::uint32_t number) noexcept {
    return number < endpoints_.size() ? &endpoints_[number] : nullptr;
}

void balancer::fade(endpoint& at, steady_time now) noexcept {
    const double passed = in_seconds(now - at.renewed);
    if (passed <= 0) return;
    at.renewed = now;
    if (at.excess > 0) at.excess = at.excess < 1e-3 ? 0 : at.excess * std::exp(-passed / in_seconds(decay));
    at.usual /= 1 + passed / in_seconds(fading);
}

double balancer::cost(const endpoint& at) noexcept { return (at.usual + at.excess) * (at.in_flight + 1) / at.weight; }

void balancer::order(std::span<std::uint32_t> order, double u1, double u2, steady_time now) {
    const std::scoped_lock lock(mutex_);
    if (order.size() < 2 || order.back() >= endpoints_.size()) return; // numbers of another configuration
    switch (kind_) {
    case balance_kind::failover: return;
    case balance_kind::least_latency: return spread(order, u1, u2, now);
    case balance_kind::round_robin:
    case balance_kind::weighted: return take_turns(order, u1);
    }
}

// Two are drawn and the better one is asked first: the best of all would be everybody's choice at the same time. Those
// that follow are asked only after a failure, the best first.
void balancer::spread(std::span<std::uint32_t> order, double u1, double u2, steady_time now) noexcept {
    for (endpoint& at : endpoints_) fade(at, now);
    const auto costs_less = [&](std::uint32_t a, std::uint32_t b) { return cost(endpoints_[a]) < cost(endpoints_[b]); };
    std::swap(order[0], order[drawn(u1, order.size())]);
    std::swap(order[1], order[1 + drawn(u2, order.size() - 1)]);
    if (costs_less(order[1], order[0])) std::swap(order[0], order[1]);
    std::sort(order.begin() + 1, order.end(), costs_less);
}

void balancer::take_turns(std::span<std::uint32_t> order, double u) noexcept {
    double all = 0;
    for (const std::uint32_t number : order) {
        endpoint& at = endpoints_[number];
        const double weight = kind_ == balance_kind::weighted ? at.weight : 1;
        at.turn += weight;
        all += weight;
    }
    // Stable, so that the first of equals is asked; those behind it are asked instead of one that may not be asked, and
    // there equals take turns by chance, or one of them would inherit its whole share.
    const auto owed_more = [&](std::uint32_t a, std::uint32_t b) { return endpoints_[a].turn > endpoints_[b].turn; };
    std::stable_sort(order.begin(), order.end(), owed_more);
    endpoints_[order[0]].turn -= all;
    std::rotate(order.begin() + 1, order.begin() + 1 + static_cast<std::ptrdiff_t>(drawn(u, order.size() - 1)),
                order.end());
    std::stable_sort(order.begin() + 1, order.end(), owed_more);
}

void balancer::started(std::uint32_t number, steady_time) {
    const std::scoped_lock lock(mutex_);
    if (endpoint* const at = find(number)) ++at->in_flight;
}

void balancer::left(std::uint32_t number, steady_time) {
    const std::scoped_lock lock(mutex_);
    if (endpoint* const at = find(number)) at->in_flight = std::max(at->in_flight - 1, 0);
}

void balancer::ended(std::uint32_t number, ending how, duration took, steady_time now) {
    const std::scoped_lock lock(mutex_);
    endpoint* const at = find(number);
    if (at == nullptr) return;
    at->in_flight = std::max(at->in_flight - 1, 0);
    if (kind_ != balance_kind::least_latency) return;
    const double since = in_seconds(now - at->renewed);
    fade(*at, now);
    const double length = in_seconds(took);
    switch (how) {
    case ending::answered: {
        at->failures = 0;
        if (!at->known) at->usual = length;
        at->known = true;
        // Answers that come seldom say more each.
        const double gain = std::max(least_gain, since / (since + in_seconds(decay)));
        at->usual += gain * (length - at->usual);
        at->excess = std::max(at->excess, length - at->usual);
        return;
    }
    case ending::cut_off: at->excess = std::max(at->excess, length - at->usual); return;
    case ending::failed: {
        const double charge = in_seconds(failure_charge) * std::exp2(std::min(at->failures, most_doublings));
        ++at->failures;
        at->excess = std::max({at->excess, charge, length - at->usual});
        return;
    }
    }
}

} // namespace evenkeel
