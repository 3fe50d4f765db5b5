#include "config/settle.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace evenkeel::config {
namespace {

// A key and what to call it in a message.
struct named {
    entry* at = nullptr;
    std::string path;
};
named member(entry* block, const std::string& block_path, std::string_view key) {
    entry* at = block != nullptr ? block->find(key) : nullptr;
    // A short form has no key of its own: `initial: 10s` is not called `initial.stream`.
    const bool short_form = at != nullptr && at->from != origin::built_in && at->key_at.begin == at->at.begin;
    return {at, short_form ? block_path : fmt::format("{}.{}", block_path, key)};
}

// Which of two values gives way, rather than being an error. Values lie in layers: built-in < `defaults` < route.
enum class yields : unsigned char {
    built_in, // the inner one, if it is built in: both are statements about time
    lower,    // the inner one, if it lies lower: it is only a bound of something learned, or of a wait
    either,   // whichever lies lower: two bounds of one thing
};
int layer_of(const entry& e) { return e.from == origin::built_in ? 0 : e.from == origin::route ? 2 : 1; }

// All relations of one holder: `defaults`, a route, or an upstream.
class settler {
public:
    settler(bool of_route, problem_list& problems) : of_route_(of_route), problems_(&problems) {}

    // Inner <= outer, or below it. False: something was said about it.
    template <class T>
    bool within(const named& inner, const named& outer, yields who = yields::built_in, bool strictly = false) {
        if (inner.at == nullptr || outer.at == nullptr) return true;
        const T* small = inner.at->get<T>();
        const T* large = outer.at->get<T>();
        if (small == nullptr || large == nullptr || *small < *large || (!strictly && *small == *large)) return true;
        const int low = layer_of(*inner.at);
        const int high = layer_of(*outer.at);
        if (low == 0 || (who != yields::built_in && low < high)) {
            if constexpr (std::is_same_v<T, duration>)
                inner.at->value = strictly ? leaf{*large / 2} : outer.at->value;
            else
                inner.at->value = outer.at->value;
            inner.at->note = "clamped by " + with_line(outer);
            return true;
        }
        if (who == yields::either && high < low) {
            outer.at->value = inner.at->value;
            outer.at->note = "clamped by " + with_line(inner);
            return true;
        }
        const std::string statement =
            fmt::format("'{}' ({}) {} '{}' ({}", inner.path, format_leaf(inner.at->value),
                        strictly ? "is not below" : "exceeds", outer.path, format_leaf(outer.at->value));
        if (outer.at->from == origin::built_in) {
            problems_->warning(inner.at->at, "never-reached",
                               fmt::format("{}, {}), so it is never reached; raise the latter as well", statement,
                                           built_in_name(*outer.at)));
            return false;
        }
        if (said_in_defaults(*inner.at, *outer.at) || said_already(*inner.at, *outer.at)) return false;
        const bool overridden = inner.at->from == origin::defaults && outer.at->from == origin::route;
        problems_->error(overridden ? outer.at->at : inner.at->at, "contradiction",
                         statement + ", " + problems_->line(outer.at->at) + ")",
                         {overridden ? note{inner.at->at, "'" + inner.path + "' is set here"}
                                     : note{outer.at->at, "'" + outer.path + "' is set here"}});
        return false;
    }
    template <class T>
    bool within(entry* block, const std::string& path, std::string_view inner, std::string_view outer,
                yields who = yields::built_in) {
        return within<T>(member(block, path, inner), member(block, path, outer), who);
    }

    // `because` leaves the keys of `block` without meaning.
    void without_effect(entry* block, const std::string& path, std::initializer_list<std::string_view> keys,
                        const named& because) {
        if (block == nullptr) return;
        for (const std::string_view key : keys) {
            const entry* found = block->find(key);
            if (found == nullptr) continue;
            if (const entry* written = first_written(*found))
                complain(*written, fmt::format("{}.{}", path, key), because);
            std::erase_if(block->children, [&](const entry& e) { return e.key == key; });
        }
    }

    // `because` rules a whole block out.
    void rule_out(entry* block, const std::string& path, const named& because, std::string_view why) {
        if (block == nullptr || block->is_off()) return;
        if (block->from != origin::built_in) {
            const bool inherited = block->from == origin::defaults && because.at->from == origin::route;
            if (!inherited && !said_in_defaults(*block, *because.at)) {
                problems_->error(block->key_at, "contradiction",
                                 fmt::format("'{}' is asked for, but {} ('{}' is {}, {})", path, why, because.path,
                                             format_leaf(because.at->value), problems_->line(because.at->at)),
                                 {{because.at->at, "'" + because.path + "' is set here"}});
            }
        }
        block->value = word{"off"};
        block->children.clear();
        block->note = "ruled out by " + with_line(because);
    }

private:
    // Said once, under `defaults`, and not again by every route that inherits both.
    [[nodiscard]] bool said_in_defaults(const entry& one, const entry& other) const {
        return of_route_ && one.from == origin::defaults && other.from != origin::route;
    }
    // A short form stands for two keys, and both are wrong alike.
    [[nodiscard]] bool said_already(const entry& inner, const entry& outer) {
        const auto place = std::pair(inner.at.begin, outer.at.begin);
        if (std::find(said_.begin(), said_.end(), place) != said_.end()) return true;
        said_.push_back(place);
        return false;
    }
    static std::string built_in_name(const entry& e) {
        return e.profile.empty() ? "built-in" : fmt::format("profile {}", e.profile);
    }
    [[nodiscard]] std::string with_line(const named& what) const {
        return what.at->from == origin::built_in ? what.path
                                                 : fmt::format("{} ({})", what.path, problems_->line(what.at->at));
    }
    static const entry* first_written(const entry& e) {
        if (e.is_leaf() || e.is_off()) return e.from != origin::built_in ? &e : nullptr;
        for (const entry& child : e.children) {
            if (const entry* found = first_written(child)) return found;
        }
        return nullptr;
    }
    void complain(const entry& written, const std::string& path, const named& because) {
        const bool overridden = written.from == origin::defaults && because.at->from == origin::route;
        if (overridden || said_in_defaults(written, *because.at)) return;
        const bool there = because.at->from != origin::built_in;
        problems_->error(
            written.key_at, "has-no-effect",
            fmt::format("'{}' has no effect: '{}' is {} ({})", path, because.path, format_leaf(because.at->value),
                        there ? problems_->line(because.at->at) : built_in_name(*because.at)),
            there ? std::vector<note>{{because.at->at, "'" + because.path + "' is set here"}} : std::vector<note>{});
    }

    bool of_route_;
    problem_list* problems_;
    std::vector<std::pair<std::size_t, std::size_t>> said_;
};

void settle_adaptive(entry* timeout, settler& settle) {
    entry* adaptive = timeout->find("adaptive");
    if (adaptive == nullptr) return;
    const std::string path = "timeout.adaptive";
    const named attempt = member(timeout, "timeout", "attempt");
    if (attempt.at != nullptr && !attempt.at->is_word("adaptive")) {
        // `window` and `min_samples` stay: hedge delays are learned from the same attempts.
        settle.without_effect(adaptive, path, {"quantile", "multiplier", "max", "initial", "min"}, attempt);
        return;
    }
    const named total = member(timeout, "timeout", "total");
    const named most = member(adaptive, path, "max");
    for (const std::string_view key : {"initial", "min"}) {
        for (const std::string_view shape : {"stream", "buffered"})
            settle.within<duration>(member(adaptive->find(key), fmt::format("{}.{}", path, key), shape), total,
                                    yields::lower);
    }
    settle.within<duration>(most, total, yields::lower);
    for (const std::string_view shape : {"stream", "buffered"}) {
        const named initial = member(adaptive->find("initial"), path + ".initial", shape);
        const named least = member(adaptive->find("min"), path + ".min", shape);
        settle.within<duration>(least, most, yields::either);
        settle.within<duration>(initial, most, yields::either);
        settle.within<duration>(least, initial, yields::either);
    }
}

void settle_timeouts(entry* timeout, settler& settle) {
    const auto bound = [&](std::string_view inner, std::string_view outer) {
        settle.within<duration>(timeout, "timeout", inner, outer);
    };
    bound("attempt", "total");
    bound("connect", "total");
    bound("connect", "attempt");
    bound("stream_idle", "total");
    bound("stream_idle", "content_idle");
    settle_adaptive(timeout, settle);
}

void settle_hedge(entry* holder, entry* timeout, entry* retry, settler& settle) {
    entry* hedge = holder->find("hedge");
    if (hedge == nullptr) return;
    if (retry != nullptr) {
        const named replay = member(retry, "retry", "replay");
        if (retry->is_off())
            settle.rule_out(hedge, "hedge", {retry, "retry"}, "a hedge is an extra attempt");
        else if (replay.at != nullptr && replay.at->is_word("never"))
            settle.rule_out(hedge, "hedge", replay, "a hedge sends the request twice");
        const named budget = member(retry, "retry", "budget");
        if (budget.at != nullptr && budget.at->is_off()) settle.without_effect(hedge, "hedge", {"max_extra"}, budget);
    }
    if (hedge->is_off()) return;
    const named delay = member(hedge, "hedge", "delay");
    if (delay.at != nullptr && delay.at->get<duration>() != nullptr)
        settle.without_effect(hedge, "hedge", {"min_delay", "max_delay"}, delay);
    const named longest = member(hedge, "hedge", "max_delay");
    if (timeout != nullptr) {
        const named attempt = member(timeout, "timeout", "attempt");
        const named learned = member(timeout->find("adaptive"), "timeout.adaptive", "max");
        const named total = member(timeout, "timeout", "total");
        for (const named& outer : {attempt, total, learned}) {
            if (!settle.within<duration>(delay, outer, yields::built_in, true)) break;
            if (!settle.within<duration>(longest, outer, yields::lower)) break;
        }
    }
    settle.within<duration>(member(hedge, "hedge", "min_delay"), longest, yields::either);
    if (retry != nullptr)
        settle.within<std::int64_t>(member(hedge, "hedge", "max_hedges"), member(retry, "retry", "max_retries"),
                                    yields::lower);
}

void settle_stream(entry* holder, entry* retry, settler& settle) {
    entry* stream = holder->find("stream");
    if (stream == nullptr) return;
    const named resume = member(stream, "stream", "resume");
    if (resume.at == nullptr) return;
    const named upcast = member(stream, "stream", "upcast");
    if (retry != nullptr) {
        const named replay = member(retry, "retry", "replay");
        for (const named& one : {resume, upcast}) {
            if (retry->is_off())
                settle.rule_out(one.at, one.path, {retry, "retry"}, "it takes another attempt");
            else if (replay.at != nullptr && replay.at->is_word("never"))
                settle.rule_out(one.at, one.path, replay, "it sends the request twice");
        }
    }
    const entry* rate = stream->find("min_rate");
    // Only what another attempt can take the place of is ended for being slow.
    if (rate != nullptr && !rate->is_word("off") && resume.at->is_word("off") &&
        !(upcast.at != nullptr && upcast.at->is_word("on")))
        settle.without_effect(stream, "stream", {"min_rate"}, resume);
}

void settle_policy_blocks(entry* holder, entry* limits, problem_list& problems) {
    if (holder == nullptr) return;
    settler settle(holder->from == origin::route, problems);
    entry* timeout = holder->find("timeout");
    if (timeout != nullptr) settle_timeouts(timeout, settle);
    const named total = member(timeout, "timeout", "total");

    entry* retry = holder->find("retry");
    settle.within<bytes>(member(retry, "retry", "replay_buffer"), member(limits, "limits", "memory"));
    if (retry != nullptr) settle.within<duration>(retry->find("backoff"), "retry.backoff", "initial", "max");

    if (entry* breaker = holder->find("circuit_breaker")) {
        const std::string path = "circuit_breaker";
        const named when_open = member(breaker, path, "when_open");
        if (when_open.at != nullptr && when_open.at->is_word("reject"))
            settle.without_effect(breaker, path, {"hold_max", "hold_queue"}, when_open);
        settle.within<duration>(breaker, path, "recovery_timeout", "max_recovery_timeout", yields::either);
        settle.within<duration>(member(breaker, path, "hold_max"), total, yields::lower);
    }
    settle.within<duration>(holder->find("cooldown"), "cooldown", "initial", "max", yields::either);
    settle.within<duration>(member(holder->find("overload"), "overload", "max_wait"), total, yields::lower);
    entry* bulkhead = holder->find("bulkhead");
    settle.within<duration>(member(bulkhead, "bulkhead", "queue_timeout"), total, yields::lower);
    settle.within<std::int64_t>(member(holder->find("circuit_breaker"), "circuit_breaker", "hold_queue"),
                                member(bulkhead, "bulkhead", "max_concurrent"), yields::lower);
    settle_hedge(holder, timeout, retry, settle);
    settle_stream(holder, retry, settle);
}

} // namespace

void settle_policies(entry& root, problem_list& problems) {
    entry* limits = root.find("limits");
    settle_policy_blocks(root.find("defaults"), limits, problems);
    if (entry* routes = root.find("routes")) {
        for (entry& route : routes->children) settle_policy_blocks(&route, limits, problems);
    }
}

void settle_connections(entry& root, problem_list& problems) {
    entry* upstreams = root.find("upstreams");
    if (upstreams == nullptr) return;
    for (entry& each : upstreams->children) {
        settler settle(false, problems);
        settle.within<duration>(each.find("connections"), "connections", "idle_timeout", "max_age");
    }
}

} // namespace evenkeel::config
