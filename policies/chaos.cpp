#include "policies/chaos.hpp"

#include "policies/hash64.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace evenkeel {

namespace {

// Of several parts, each told from the next.
class hash64 {
public:
    void add(std::uint64_t number) noexcept {
        std::array<char, 8> bytes{};
        for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(number >> (8 * i));
        state_ = fnv1a({bytes.data(), bytes.size()}, state_);
    }
    void add(std::string_view text) noexcept {
        add(text.size());
        state_ = fnv1a(text, state_);
    }
    [[nodiscard]] std::uint64_t value() const noexcept { return mix64(state_); }

private:
    std::uint64_t state_ = fnv1a_start;
};

enum class purpose : std::uint64_t { suffers, which, jitter };

// Uniform in [0, 1).
double draw(std::uint64_t seed, const chaos_question& asked, std::uint64_t rule, purpose what) noexcept {
    hash64 mix;
    mix.add(seed);
    mix.add(asked.request_id);
    mix.add(asked.attempt);
    mix.add(rule);
    mix.add(static_cast<std::uint64_t>(what));
    return unit_interval(mix.value());
}

std::uint64_t id_of(const chaos_rule& rule) noexcept {
    hash64 mix;
    mix.add(rule.route);
    mix.add(rule.upstream);
    mix.add(rule.profile);
    mix.add(static_cast<std::uint64_t>(rule.fault.is));
    mix.add(static_cast<std::uint64_t>(rule.fault.after_events.value_or(-1)));
    mix.add(rule.fault.after_bytes.value_or(UINT64_MAX));
    mix.add(static_cast<std::uint64_t>(rule.fault.status));
    mix.add(rule.fault.code);
    return mix.value();
}

} // namespace

chaos::kept_rule chaos::keep(chaos_rule rule, bool from_file, steady_time now) {
    kept_rule made;
    made.id = id_of(rule);
    made.until = now + rule.lasts;
    made.from_file = from_file;
    made.rule = std::move(rule);
    return made;
}

void chaos::tell(const changes& what) const {
    if (!told_) return;
    for (const auto& [how, rule] : what) told_(how, rule);
}

void chaos::note_expired(steady_time now, changes& out) {
    for (kept_rule& each : rules_) {
        if (each.over || now < each.until) continue;
        each.over = true;
        out.emplace_back(change::expired, each.rule);
    }
    std::erase_if(rules_, [](const kept_rule& one) { return one.over && !one.from_file; });
}

void chaos::load(const chaos_options& options, steady_time now) {
    changes what;
    {
        const std::scoped_lock lock(mutex_);
        note_expired(now, what);
        enabled_ = options.enabled;
        seed_ = options.seed;
        std::vector<kept_rule> before = std::exchange(rules_, {});
        if (enabled_) {
            for (const chaos_rule& wanted : options.rules) {
                const auto same = std::find_if(before.begin(), before.end(), [&](const kept_rule& one) {
                    return one.from_file && one.rule == wanted;
                });
                if (same != before.end()) {
                    rules_.push_back(std::move(*same));
                    before.erase(same);
                } else {
                    rules_.push_back(keep(wanted, true, now));
                    what.emplace_back(change::began, wanted);
                }
            }
        } else {
            set_seed_.reset();
        }
        for (kept_rule& left : before) {
            if (enabled_ && !left.from_file) {
                rules_.push_back(std::move(left));
            } else if (!left.over) {
                what.emplace_back(change::ended, std::move(left.rule));
            }
        }
    }
    tell(what);
}

void chaos::set(std::vector<chaos_rule> rules, std::optional<std::uint64_t> seed, steady_time now) {
    changes what;
    {
        const std::scoped_lock lock(mutex_);
        if (!enabled_) return;
        note_expired(now, what);
        for (const kept_rule& each : rules_) {
            if (!each.from_file) what.emplace_back(change::ended, each.rule);
        }
        std::erase_if(rules_, [](const kept_rule& one) { return !one.from_file; });
        set_seed_ = seed;
        for (chaos_rule& each : rules) {
            what.emplace_back(change::began, each);
            rules_.push_back(keep(std::move(each), false, now));
        }
    }
    tell(what);
}

void chaos::off(steady_time now) {
    changes what;
    {
        const std::scoped_lock lock(mutex_);
        note_expired(now, what);
        for (kept_rule& each : rules_) {
            if (!each.over) what.emplace_back(change::ended, each.rule);
            each.over = true;
        }
        std::erase_if(rules_, [](const kept_rule& one) { return !one.from_file; });
        set_seed_.reset();
    }
    tell(what);
}

std::optional<steady_time> chaos::expire(steady_time now) {
    changes what;
    std::optional<steady_time> next;
    {
        const std::scoped_lock lock(mutex_);
        note_expired(now, what);
        for (const kept_rule& each : rules_) {
            if (!each.over && (!next || each.until < *next)) next = each.until;
        }
    }
    tell(what);
    return next;
}

std::optional<chaos_injection> chaos::decide(const chaos_question& asked, steady_time now) {
    const std::scoped_lock lock(mutex_);
    const std::uint64_t seed = set_seed_.value_or(seed_);
    for (kept_rule& each : rules_) {
        const chaos_rule& rule = each.rule;
        if (each.over || now >= each.until || rule.route != asked.route) continue;
        if (!rule.upstream.empty() && rule.upstream != asked.upstream) continue;
        if (rule.attempts > 0 && asked.attempt > static_cast<std::uint64_t>(rule.attempts)) continue;
        if (draw(seed, asked, each.id, purpose::suffers) >= rule.probability) continue;

        chaos_fault_options fault = rule.fault;
        if (const chaos_profile* profile = find_chaos_profile(rule.profile)) {
            const double u = profile->faults.size() > 1 ? draw(seed, asked, each.id, purpose::which) : 0.0;
            const chaos_profile_fault& drawn =
                profile->faults[static_cast<std::size_t>(u * static_cast<double>(profile->faults.size()))];
            if (drawn.attempts > 0 && asked.attempt > static_cast<std::uint64_t>(drawn.attempts)) continue;
            fault = drawn.fault;
        }
        // Only taken and counted here, under the mutex; given back from anywhere.
        if (rule.max_active > 0 && each.active->load(std::memory_order_relaxed) >= rule.max_active) continue;
        each.active->fetch_add(1, std::memory_order_relaxed);
        ++each.injected;
        if (fault.is == chaos_fault::latency && fault.jitter > duration::zero())
            fault.delay += scaled(fault.jitter, draw(seed, asked, each.id, purpose::jitter));
        return chaos_injection{std::move(fault), chaos_permit{each.active}};
    }
    return std::nullopt;
}

chaos::summary chaos::report(steady_time now) const {
    const std::scoped_lock lock(mutex_);
    summary out;
    out.enabled = enabled_;
    out.seed = set_seed_.value_or(seed_);
    for (const kept_rule& each : rules_) {
        if (each.over || now >= each.until) continue;
        out.rules.push_back(
            {each.rule, each.from_file, each.until - now, each.injected, each.active->load(std::memory_order_relaxed)});
    }
    return out;
}

} // namespace evenkeel
