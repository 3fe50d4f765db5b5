#include "policies/balance.hpp"

#include "policies/hash64.hpp"

#include <boost/container/small_vector.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <mutex>
#include <utility>

namespace evenkeel {

namespace {
constexpr double least_gain = 0.1;                   // of the usual latency, per answer: it is known after about ten
constexpr duration seldom = std::chrono::seconds{2}; // answers so far apart weigh half each (chosen)
// Nobody has begun the look that was offered (its circuit is open, say): it is offered again after this.
constexpr duration offer_again = std::chrono::milliseconds{100};
} // namespace

bool balance_options::chooses() const noexcept {
    if (kind != balance_kind::failover && upstreams.size() > 1) return true;
    return std::any_of(upstreams.begin(), upstreams.end(), [](const upstream& one) {
        return one.kind != balance_kind::failover && one.endpoints.size() > 1;
    });
}

std::shared_ptr<balance_memory::record> balance_memory::of(const std::string& name) {
    std::erase_if(records_, [](const auto& one) { return one.second.expired(); });
    auto& kept = records_[name];
    auto found = kept.lock();
    if (!found) kept = found = std::make_shared<record>();
    return found;
}

// As many as are needed, from the two that the caller has drawn.
class balancer::draws {
public:
    draws(double u1, double u2) noexcept
        : state_(mix64(std::bit_cast<std::uint64_t>(u1)) ^ std::bit_cast<std::uint64_t>(u2)) {}
    [[nodiscard]] std::size_t below(std::size_t count) noexcept {
        state_ = mix64(state_);
        return static_cast<std::size_t>(unit_interval(state_) * static_cast<double>(count));
    }

private:
    std::uint64_t state_;
};

balancer::balancer(std::shared_ptr<balance_memory> memory, const balance_options& options)
    : memory_(std::move(memory)), kind_(options.kind) {
    const std::scoped_lock lock(memory_->mutex_);
    for (const auto& upstream : options.upstreams) {
        const bool learns = kind_ == balance_kind::least_latency || upstream.kind == balance_kind::least_latency;
        for (const std::string& name : upstream.endpoints)
            endpoints_.push_back({groups_.size(), memory_->of(upstream.name + '\n' + name), learns});
        groups_.push_back({upstream.kind, upstream.weight, memory_->of(upstream.name)});
    }
}

void balancer::fade(record& at, steady_time now) noexcept {
    const double passed = in_seconds(now - at.renewed);
    if (passed <= 0) return;
    at.renewed = now;
    if (at.excess > 0) at.excess = at.excess < 1e-3 ? 0 : at.excess * std::exp(-passed / in_seconds(decay));
    at.usual /= 1 + passed / in_seconds(fading);
}

void balancer::order(std::span<std::uint32_t> order, double u1, double u2, steady_time now) {
    if (order.size() < 2 || order.back() >= endpoints_.size()) return;
    draws chance(u1, u2);
    boost::container::small_vector<candidate, most_compared> all;
    boost::container::small_vector<candidate, most_compared> groups;
    const std::scoped_lock lock(memory_->mutex_);
    double best = std::numeric_limits<double>::max();
    for (const std::uint32_t number : order) {
        record& own = *endpoints_[number].own;
        fade(own, now);
        if (const double latency = own.usual + own.excess; latency > 0) best = std::min(best, latency);
    }
    if (best == std::numeric_limits<double>::max()) best = 1;
    for (const std::uint32_t number : order) {
        record& own = *endpoints_[number].own;
        const double latency = own.usual + own.excess;
        all.push_back({&own, 1, (latency > 0 ? latency : best) * (own.in_flight + own.refusals + 1), number});
        if (endpoints_[number].learns && look_due(own, latency > 0 ? latency : best, best, now)) all.back().look = &own;
        const group& of = groups_[endpoints_[number].group];
        if (groups.empty() || groups.back().own != of.own.get())
            groups.push_back(
                {of.own.get(), of.weight, all.back().cost / of.weight, static_cast<std::uint32_t>(all.size() - 1), 0});
        groups.back().cost = std::min(groups.back().cost, all.back().cost / of.weight);
        if (all.back().look != nullptr) groups.back().look = all.back().look;
        ++groups.back().size;
    }
    arrange({groups.data(), groups.size()}, kind_, true, chance);
    // Turns are taken by the upstream in front alone: of the others nobody is asked, nearly always.
    for (const candidate& one : groups) {
        const std::span<candidate> its{all.data() + one.number, one.size};
        arrange(its, groups_[endpoints_[its.front().number].group].kind, &one == &groups.front(), chance);
    }
    std::size_t place = 0;
    for (const candidate& one : groups) {
        for (std::uint32_t i = 0; i < one.size; ++i) order[place++] = all[one.number + i].number;
    }
}

void balancer::arrange(std::span<candidate> some, balance_kind kind, bool asks, draws& chance) {
    if (some.size() < 2) return;
    switch (kind) {
    case balance_kind::failover: return;
    case balance_kind::least_latency: return spread(some, chance);
    case balance_kind::round_robin:
    case balance_kind::weighted: return take_turns(some, kind == balance_kind::weighted, asks, chance);
    }
}

// Shuffled first, so that equals share alike. Those behind the first are asked only after a failure, the best first.
void balancer::spread(std::span<candidate> some, draws& chance) {
    for (std::size_t i = 0; i + 1 < some.size(); ++i) std::swap(some[i], some[i + chance.below(some.size() - i)]);
    const auto costs_less = [](const candidate& a, const candidate& b) { return a.cost < b.cost; };
    const auto drawn = some.begin() + static_cast<std::ptrdiff_t>(std::min(some.size(), most_compared));
    std::swap(some.front(), *std::min_element(some.begin(), drawn, costs_less));
    std::sort(some.begin() + 1, some.end(), costs_less);
    const auto looked_at = std::find_if(some.begin(), some.end(), [](const candidate& one) { return one.look; });
    if (looked_at == some.end()) return;
    looked_at->look->offered = true;
    std::rotate(some.begin(), looked_at, looked_at + 1);
}

bool balancer::look_due(record& at, double latency, double best, steady_time now) noexcept {
    if (at.failures == 0 && latency * (at.refusals + 1) <= worth_a_share * best) {
        at.looks = 0;
        return false;
    }
    if (at.in_flight > 0 || now < std::max(at.look, at.heard + first_look)) return false;
    at.look = now + offer_again;
    return true;
}

void balancer::take_turns(std::span<candidate> some, bool weighted, bool asks, draws& chance) {
    double all = 0;
    for (const candidate& one : some) {
        const double weight = weighted ? one.weight : 1;
        if (asks) one.own->turn += weight;
        all += weight;
    }
    // Stable, so that the first of equals is asked; those behind it are asked instead of one that may not be asked, and
    // there equals take turns by chance, or one of them would inherit its whole share.
    const auto owed_more = [](const candidate& a, const candidate& b) { return a.own->turn > b.own->turn; };
    std::stable_sort(some.begin(), some.end(), owed_more);
    if (asks) some.front().own->turn -= all;
    std::rotate(some.begin() + 1, some.begin() + 1 + static_cast<std::ptrdiff_t>(chance.below(some.size() - 1)),
                some.end());
    std::stable_sort(some.begin() + 1, some.end(), owed_more);
}

void balancer::started(std::uint32_t number) {
    const std::scoped_lock lock(memory_->mutex_);
    if (number >= endpoints_.size()) return;
    record& at = *endpoints_[number].own;
    ++at.in_flight;
    if (!std::exchange(at.offered, false)) return;
    at.look += std::min<duration>(first_look * (1 << at.looks), last_look);
    at.looks = std::min(at.looks + 1, most_doublings);
}

void balancer::left(std::uint32_t number) {
    const std::scoped_lock lock(memory_->mutex_);
    if (number < endpoints_.size()) --endpoints_[number].own->in_flight;
}

void balancer::ended(std::uint32_t number, ending how, duration took, steady_time now) {
    const std::scoped_lock lock(memory_->mutex_);
    if (number >= endpoints_.size()) return;
    record& at = *endpoints_[number].own;
    --at.in_flight;
    if (!endpoints_[number].learns) return;
    const double since = in_seconds(now - std::exchange(at.heard, now));
    fade(at, now);
    const double length = in_seconds(took);
    switch (how) {
    case ending::answered: {
        if (at.failures > 0) at.excess = 0;
        at.failures = at.refusals = 0;
        if (!at.known) at.usual = length;
        at.known = true;
        if (length < (at.usual + at.excess) / 2) { // better than was thought: soon once more
            at.looks = 0;
            at.look = now;
        }
        // Answers that come seldom say more each.
        const double fresh = since / (since + in_seconds(seldom));
        at.usual += std::max(least_gain, fresh) * (length - at.usual);
        at.excess = std::max(at.excess * (1 - fresh), length - at.usual);
        return;
    }
    case ending::refused:
        at.failures = 0;
        at.refusals = std::min(at.refusals + 1, most_refusals);
        return;
    case ending::cut_off: at.excess = std::max(at.excess, length - at.usual); return;
    case ending::failed: {
        const double charge = in_seconds(failure_charge) * std::exp2(std::min(at.failures, most_doublings));
        ++at.failures;
        at.excess = std::max({at.excess, charge, length - at.usual});
        return;
    }
    }
}

} // namespace evenkeel
