#include "policies/pace.hpp"

#include <algorithm>

namespace evenkeel {

namespace {
constexpr std::size_t index_of(quota_unit unit) noexcept { return static_cast<std::size_t>(unit); }
constexpr duration idle_after = std::chrono::minutes{10}; // its place may go to another one (chosen)
constexpr duration told_for = std::chrono::minutes{2};    // fields that came before count (chosen)
} // namespace

std::string_view to_string(quota_unit unit) noexcept {
    switch (unit) {
    case quota_unit::requests: return "requests";
    case quota_unit::tokens: return "tokens";
    case quota_unit::input_tokens: return "input_tokens";
    case quota_unit::output_tokens: return "output_tokens";
    }
    return "requests";
}

void paced_quota::place::leave() noexcept {
    if (of_ == nullptr) return;
    {
        const std::scoped_lock lock(of_->mutex_);
        of_->line_.leave(ticket_);
    }
    of_.reset();
}

void paced_quota::configure(const pace_options& options, steady_time now) {
    const std::scoped_lock lock(mutex_);
    const auto fix = [&](quota_unit unit, const std::optional<double>& before, const std::optional<double>& after) {
        quota_level& level = levels_[index_of(unit)];
        if (after)
            level.fix(*after, now);
        else if (before)
            level = {};
    };
    fix(quota_unit::requests, options_.requests, options.requests);
    fix(quota_unit::tokens, options_.tokens, options.tokens);
    options_ = options;
}

paced_quota::amounts paced_quota::cost_of(const pace_ask& ask) noexcept {
    return {1, ask.tokens.all(), ask.tokens.input, ask.tokens.output};
}

steady_time paced_quota::through_at(const pace_ask& ask) const noexcept {
    const steady_time longest = ask.since + options_.max_wait;
    if (ask.deadline == steady_time::max()) return longest;
    return std::min(longest, std::max(ask.since, ask.deadline - last_call));
}

bool paced_quota::knows_any(steady_time now) const noexcept {
    return std::any_of(levels_.begin(), levels_.end(), [&](const quota_level& one) { return one.known(now); });
}

duration paced_quota::until(const pace_ask& ask, std::size_t ahead, steady_time now) noexcept {
    const amounts cost = cost_of(ask);
    const auto before = static_cast<double>(ahead);
    duration longest{};
    for (std::size_t i = 0; i < quota_units; ++i) {
        if (cost[i] <= 0 || !levels_[i].known(now)) continue;
        longest = std::max(longest, levels_[i].until(cost[i], before * cost[i], ask.priority, options_.headroom, now));
    }
    if (knows_any(now)) return longest;
    if (guess_.known()) return guess_.until(before, now);
    if (heard_ || unheard_ < at_once || now - first_sent_ >= unknown_for) return {};
    return std::max<duration>(
        last_sent_ + then_every * (static_cast<int>(std::min<std::size_t>(ahead, 1000)) + 1) - now, {});
}

pace_line::ticket paced_quota::ticket_of(const pace_ask& ask, const place& at) const noexcept {
    if (at.in(*this)) return at.ticket_;
    return {.priority = ask.priority, .tenant = ask.tenant, .deadline = ask.deadline, .cost = cost_of(ask)[0]};
}

std::optional<paced_quota::delay> paced_quota::when(const pace_ask& ask, const place& at, steady_time now) noexcept {
    const steady_time through = through_at(ask);
    const std::size_t ahead = line_.empty() ? 0 : line_.ahead_of(ticket_of(ask, at));
    const duration wait = until(ask, ahead, now);
    if (wait <= duration::zero() || through <= now) return std::nullopt;
    const duration left = through - now;
    return delay{now + std::max(std::min({wait, asks_again, left}), duration{std::chrono::milliseconds{1}}),
                 wait >= left};
}

std::optional<paced_quota::delay> paced_quota::look(const pace_ask& ask, const place& at, steady_time now) {
    const std::scoped_lock lock(mutex_);
    return when(ask, at, now);
}

std::optional<paced_quota::delay> paced_quota::take(const pace_ask& ask, place& at, steady_time now, receipt& into) {
    {
        const std::scoped_lock lock(mutex_);
        if (const auto again = when(ask, at, now)) return again;
        into = {};
        into.cost = cost_of(ask);
        into.sent = now;
        into.went_through = through_at(ask) <= now && until(ask, 0, now) > duration::zero();
        for (std::size_t i = 0; i < quota_units; ++i) {
            quota_level& level = levels_[i];
            if (into.went_through && into.cost[i] > 0 && level.is_short(into.cost[i], 0, now))
                into.short_of = static_cast<std::uint8_t>(into.short_of | 1U << i);
            into.mark[i] = level.sent(into.cost[i], options_.headroom, now);
        }
        guess_.sent(now);
        if (first_sent_ == steady_time{}) first_sent_ = now;
        last_sent_ = now;
        ++unheard_;
        if (!line_.empty()) line_.served(ticket_of(ask, at));
    }
    at.leave();
    return std::nullopt;
}

void paced_quota::wait(const std::shared_ptr<paced_quota>& in, const pace_ask& ask, place& at) {
    if (at) return;
    const std::scoped_lock lock(in->mutex_);
    at.ticket_ = in->ticket_of(ask, at);
    if (in->line_.join(at.ticket_)) at.of_ = in;
}

void paced_quota::told(const receipt& of, const quota_fields& fields, steady_time now) {
    const std::scoped_lock lock(mutex_);
    heard_ = true;
    // What is told of both together is that of which there is less: each by itself is more.
    const bool apart = fields.at(quota_unit::input_tokens).any() || fields.at(quota_unit::output_tokens).any();
    bool any = false;
    for (std::size_t i = 0; i < quota_units; ++i) {
        if (apart && i == index_of(quota_unit::tokens)) continue;
        if (fields.of[i].any()) any = levels_[i].told(fields.of[i], of.mark[i], of.sent, now) || any;
    }
    if (!any) return;
    told_at_ = now;
    guess_.forget();
}

void paced_quota::let_in(const receipt& of, steady_time now) {
    const std::scoped_lock lock(mutex_);
    heard_ = true;
    guess_.let_in(now);
    for (std::size_t i = 0; i < quota_units; ++i) {
        if ((of.short_of >> i & 1U) != 0) levels_[i].contradicted(now);
    }
}

void paced_quota::limited(const receipt& of, bool told, steady_time now) {
    const std::scoped_lock lock(mutex_);
    heard_ = true;
    for (quota_level& each : levels_) each.believed();
    if (!told) { // which of them it met is not known: the one there was least of, by what is known
        quota_level* least = nullptr;
        for (quota_level& each : levels_) {
            if (!each.known(now)) continue;
            if (least == nullptr || each.left(now) / each.limit() < least->left(now) / least->limit()) least = &each;
        }
        if (least != nullptr) least->refused(of.mark[static_cast<std::size_t>(least - levels_.data())], of.sent, now);
    }
    if (!told && (told_at_ == steady_time{} || now - told_at_ > told_for))
        guess_.refused(of.sent, options_.headroom, now);
}

void paced_quota::settle(receipt& of, token_estimates::tokens took) noexcept {
    const std::scoped_lock lock(mutex_);
    const amounts actual{of.cost[0], took.all(), took.input, took.output};
    for (std::size_t i = 1; i < quota_units; ++i) levels_[i].settle(actual[i] - of.cost[i]);
    of.cost = actual;
}

void paced_quota::never_sent(receipt& of) noexcept {
    const std::scoped_lock lock(mutex_);
    for (std::size_t i = 0; i < quota_units; ++i) levels_[i].settle(-of.cost[i]);
    of.cost = {};
    guess_.never_sent();
}

bool paced_quota::idle_since(steady_time then) noexcept {
    const std::scoped_lock lock(mutex_);
    return line_.empty() && last_sent_ <= then;
}

paced_quota::summary paced_quota::report(steady_time now) {
    const std::scoped_lock lock(mutex_);
    summary all{.name = name_, .guessed = guess_.per_second(), .waiting = line_.size()};
    for (std::size_t i = 0; i < quota_units; ++i) {
        const quota_level& one = levels_[i];
        if (!one.known(now)) continue;
        all.units.push_back({.unit = static_cast<quota_unit>(i),
                             .limit = one.limit(),
                             .left = std::max(one.left(now), 0.0),
                             .pace = one.pace(pace_priority::interactive, options_.headroom, now),
                             .window = one.window(),
                             .share = one.share()});
    }
    return all;
}

void pace::configure(const pace_options& options) {
    const std::scoped_lock lock(mutex_);
    options_ = options;
}

std::shared_ptr<paced_quota> pace::of(std::uint64_t key, std::string_view name, steady_time now) {
    const std::scoped_lock lock(mutex_);
    if (auto known = find(key, now)) return known;
    return make(key, std::string{name}, now);
}

std::shared_ptr<paced_quota> pace::find(std::uint64_t key, steady_time now) noexcept {
    const auto found = std::find_if(places_.begin(), places_.end(), [&](const auto& one) { return one->key() == key; });
    if (found == places_.end()) return nullptr;
    if (!((*found)->options() == options_)) (*found)->configure(options_, now);
    return *found;
}

std::shared_ptr<paced_quota> pace::make(std::uint64_t key, std::string name, steady_time now) {
    if (places_.size() >= most_places) {
        std::erase_if(places_, [&](const auto& one) { return one->idle_since(now - idle_after); });
        if (places_.size() >= most_places) return nullptr;
    }
    auto made = std::make_shared<paced_quota>(key, std::move(name), pace_options{});
    made->configure(options_, now);
    places_.push_back(made);
    return made;
}

std::vector<paced_quota::summary> pace::report(steady_time now) {
    const std::scoped_lock lock(mutex_);
    std::vector<paced_quota::summary> all;
    all.reserve(places_.size());
    for (const auto& one : places_) all.push_back(one->report(now));
    return all;
}

} // namespace evenkeel
