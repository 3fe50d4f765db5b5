// A tree of windows by shape, and what was last read from each. Reading is what costs (a quantile walks its buckets),
// so that is what is kept. Recording touches as many windows as differ: a level below which there has only been one
// shape has learned what that one has, and they share a window until there is another. So where all requests are of one
// shape there is one window and not five.

#include "policies/endpoint_latency.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <mutex>
#include <unordered_map>
#include <utility>

namespace evenkeel {

namespace {
// A read is good for 250 ms; for 2 s while fewer than one in 16 samples is new, for those move no quantile far.
constexpr duration read_again = std::chrono::milliseconds{250};
constexpr duration read_anyway = std::chrono::seconds{2};
constexpr std::uint32_t few_new = 16;
constexpr int levels = 5;
constexpr int mixed_level = 0, stream_level = 1, model_level = 2, tokens_level = 3, leaf_level = levels - 1;
constexpr double usual_quantile = 0.95;
constexpr duration gap_period = std::chrono::minutes{5};

struct level_key {
    request_shape shape;
    int level = 0;
    bool operator==(const level_key&) const = default;
};

struct level_hash {
    std::size_t operator()(const level_key& of) const noexcept {
        // Multiplication by an odd constant spreads, the high half is the good one (Fibonacci hashing, Knuth 6.4).
        const std::uint64_t rest = (of.shape.stream ? 1u : 0u) | static_cast<std::uint64_t>(of.level) << 1 |
                                   static_cast<std::uint64_t>(of.shape.tokens_class) << 8 |
                                   static_cast<std::uint64_t>(of.shape.size_class) << 16;
        const std::uint64_t mixed = (of.shape.model ^ rest * 0xff51afd7ed558ccdULL) * 0x9e3779b97f4a7c15ULL;
        return static_cast<std::size_t>(mixed >> 32);
    }
};

// What a level does not tell apart is zero in its key. Fields are dropped in the order in which they matter less: that
// a request asks for a stream changes its latency by an order of magnitude, the size of its body by little.
level_key key_of(const request_shape& shape, int level) noexcept {
    level_key key{shape, level};
    if (level < 4) key.shape.size_class = 0;
    if (level < 3) key.shape.tokens_class = 0;
    if (level < 2) key.shape.model = 0;
    if (level < 1) key.shape.stream = false;
    return key;
}

// A value that was read from a window.
template <class Value>
struct kept {
    std::optional<Value> value;
    steady_time read_at{};
    std::uint32_t added = 0; // to the window so far, when it was read
};

// The latest answers, for as long as there are no others.
class latest_answers {
public:
    void add(duration took) noexcept {
        took_[next_++ % took_.size()] = took;
        held_ = std::min(held_ + 1, took_.size());
    }
    // About the P95: the longest; of eight and more the longest but one, since one may be anything.
    [[nodiscard]] std::optional<duration> high() const noexcept {
        if (held_ == 0) return std::nullopt;
        constexpr std::size_t enough = 8;
        auto sorted = took_;
        const auto last = sorted.begin() + static_cast<std::ptrdiff_t>(held_);
        const auto at = last - (held_ < enough ? 1 : 2);
        std::nth_element(sorted.begin(), at, last);
        return *at;
    }

private:
    std::array<duration, 16> took_{};
    std::size_t next_ = 0, held_ = 0;
};

// What was recorded of a shape at one level, or at several that have seen the same.
struct experience {
    explicit experience(const adaptive_options& options) : learned(options.window, options.min_samples) {}
    experience(const experience& of, const adaptive_options& options) : experience(options) {
        learned.merge(of.learned);
        added = of.added;
        has_answered = of.has_answered;
        latest = of.latest;
    }

    latency_window learned;
    std::uint32_t added = 0; // to learned, so far
    bool has_answered = false;
    latest_answers latest; // read at the levels of a kind, of a model and of its tokens
};

// One shape at one level.
struct node {
    node(const level_key& named, node* above, std::shared_ptr<experience> of)
        : key(named), parent(above), seen(std::move(of)) {}

    level_key key;
    node* parent;
    std::uint64_t used = 0;           // when last, as a number; a parent's is later than its children's
    std::shared_ptr<experience> seen; // its parent's as well, if that has no other child
    kept<duration> usual;
    adaptive_timeout timeout;

    std::array<kept<duration>, 2> timeouts; // buffered, stream
    struct delay {
        hedge_options of;
        std::optional<duration> value;
    };
    kept<delay> hedge_delay;
    struct quantile {
        double q = 0;
        std::optional<duration> value;
    };
    std::array<kept<quantile>, 2> quantiles;
    std::size_t next_quantile = 0;

    // Good enough still?
    template <class Value>
    [[nodiscard]] bool fresh(const kept<Value>& one, steady_time now) noexcept {
        if (!one.value) return false;
        const duration age = now - one.read_at;
        return age < read_again ||
               (age < read_anyway && (seen->added - one.added) * few_new < seen->learned.samples(now));
    }
    template <class Value>
    const Value& keep(kept<Value>& in, Value read, steady_time now) noexcept {
        in = {std::move(read), now, seen->added};
        return *in.value;
    }
};
} // namespace

std::uint8_t tokens_class_of(std::uint64_t max_tokens) noexcept {
    if (max_tokens == 0) return 0;
    return static_cast<std::uint8_t>(max_tokens <= 64 ? 1 : (std::bit_width(max_tokens - 1) - 6 + 1) / 2 + 1);
}

std::uint8_t size_class_of(std::uint64_t body_bytes) noexcept {
    return static_cast<std::uint8_t>(body_bytes <= 1024 ? 0 : (std::bit_width(body_bytes - 1) - 10 + 1) / 2);
}

struct endpoint_latency::state {
    explicit state(const adaptive_options& given) : options(given) {}

    adaptive_options options;
    std::unordered_map<level_key, std::unique_ptr<node>, level_hash> nodes;
    std::array<node*, 64> hands{}; // leaves that were just used, by hash
    std::uint64_t uses = 0;

    // The longest gap of this period and of the one before.
    steady_time gaps_began{};
    duration longest_gap{}, previous_gap{};

    [[nodiscard]] node* find(const request_shape& shape, int level) const {
        const auto found = nodes.find(key_of(shape, level));
        return found == nodes.end() ? nullptr : found->second.get();
    }

    // The deepest level of a shape that was ever seen.
    [[nodiscard]] node* deepest(const request_shape& shape) {
        node*& at_hand = hands[level_hash{}({shape, leaf_level}) % hands.size()];
        if (at_hand != nullptr && at_hand->key.shape == shape) return at_hand;
        if (node* at = find(shape, leaf_level)) return at_hand = at;
        for (int level = leaf_level - 1; level >= 0; --level) {
            if (node* at = find(shape, level)) return at;
        }
        return nullptr;
    }

    // The deepest level that holds enough, not above `highest`.
    [[nodiscard]] node* read_from(node* at, int highest, steady_time now) const {
        while (at != nullptr && at->seen->learned.samples(now) < options.min_samples) at = at->parent;
        return at != nullptr && at->key.level >= highest ? at : nullptr;
    }

    node* leaf(const request_shape& shape) {
        node* at = deepest(shape);
        if (at == nullptr || at->key.level != leaf_level) at = grow(shape);
        // Upwards, so that a parent was always used later than its children and the longest unused has none.
        for (node* one = at; one != nullptr; one = one->parent) one->used = ++uses;
        return at;
    }

    node* grow(const request_shape& shape) {
        node* parent = nullptr;
        std::shared_ptr<experience> fresh; // of what is new here
        for (int level = 0; level < levels; ++level) {
            node* at = find(shape, level);
            if (at == nullptr) {
                if (nodes.size() >= max_shapes) forget_one();
                if (!fresh) {
                    part_from_children(parent);
                    fresh = std::make_shared<experience>(options);
                }
                const level_key key = key_of(shape, level);
                at = nodes.emplace(key, std::make_unique<node>(key, parent, fresh)).first->second.get();
            }
            at->used = ++uses; // what is needed here is not forgotten for what comes next
            parent = at;
        }
        return parent;
    }

    // It gets another child: what it has seen, and those above with it, is from now on more than its only one has.
    void part_from_children(node* from) {
        if (from == nullptr) return;
        const std::shared_ptr<experience> shared = from->seen;
        long above = 0; // that have it, from here on
        for (const node* at = from; at != nullptr && at->seen == shared; at = at->parent) ++above;
        if (shared.use_count() == above + 1) return; // no child has it: they parted long ago, or are forgotten
        const auto own = std::make_shared<experience>(*shared, options);
        for (; from != nullptr && from->seen == shared; from = from->parent) from->seen = own;
    }

    // A walk over all, since it happens once for a shape that is new when there are max_shapes already.
    void forget_one() {
        const auto oldest = std::min_element(
            nodes.begin(), nodes.end(), [](const auto& a, const auto& b) { return a.second->used < b.second->used; });
        std::replace(hands.begin(), hands.end(), oldest->second.get(), static_cast<node*>(nullptr));
        nodes.erase(oldest);
    }

    // The mixed level has learned from first tokens as well as from whole answers: of it nothing shorter than `initial`
    // can be concluded.
    [[nodiscard]] duration timeout_at(node* at, bool streamed, steady_time now) const {
        if (at == nullptr) return options.initial.of(streamed);
        kept<duration>& known = at->timeouts[streamed ? 1 : 0];
        if (at->fresh(known, now)) return *known.value;
        duration timeout = at->timeout.decide(options, at->seen->learned, streamed, now);
        if (at->key.level == mixed_level) timeout = std::max(timeout, options.initial.of(streamed));
        return at->keep(known, timeout, now);
    }

    // Two are kept, since two are asked for in turn: what is quick and what is usual.
    [[nodiscard]] std::optional<duration> quantile_at(node* at, double q, steady_time now) const {
        if (at == nullptr) return std::nullopt;
        for (const auto& known : at->quantiles) {
            if (at->fresh(known, now) && known.value->q == q) return known.value->value;
        }
        auto& place = at->quantiles[at->next_quantile++ % at->quantiles.size()];
        auto value = at->seen->learned.quantile(q, abandoned_as::cut_off, now);
        if (!value) value = at->seen->learned.last_answer(now);
        return at->keep(place, node::quantile{q, value}, now).value;
    }

    // Of as many tokens asked of the model, or of the model, or of all of its kind: what mixes kinds means nothing.
    // What is known only of other questions (fewer tokens asked for, or a smaller body, where that is large) holds of
    // this one with the grain of salt that long answers need.
    [[nodiscard]] std::optional<duration> usual_of(const request_shape& shape, steady_time now) {
        constexpr std::uint32_t enough = 32; // answers of which a window knows the P95
        node* at = deepest(shape);
        bool of_its_kind =
            shape.size_class < large_size || (at != nullptr && at->key.level == leaf_level && at->seen->has_answered);
        while (at != nullptr && at->key.level > tokens_level) at = at->parent;
        of_its_kind = of_its_kind && at != nullptr && at->key.level == tokens_level;
        for (; at != nullptr && at->key.level >= stream_level; at = at->parent) {
            std::optional<duration> value;
            if (at->fresh(at->usual, now)) {
                value = at->usual.value;
            } else {
                if (at->seen->learned.answered(now) >= enough)
                    value = at->seen->learned.quantile_of_answered(usual_quantile, now);
                if (!value) value = at->seen->latest.high();
                if (value) at->keep(at->usual, *value, now);
            }
            if (value) return of_its_kind ? *value : std::max(*value, of_another_kind);
            of_its_kind = false;
        }
        return std::nullopt;
    }

    // Two periods, so that the longest gap is forgotten after 5 to 10 minutes and never in an instant.
    void turn_gaps(steady_time now) noexcept {
        if (now - gaps_began < gap_period) return;
        previous_gap = now - gaps_began < 2 * gap_period ? longest_gap : duration::zero();
        longest_gap = duration::zero();
        gaps_began = now;
    }
};

endpoint_latency::endpoint_latency(const adaptive_options& options) : state_(std::make_unique<state>(options)) {}
endpoint_latency::~endpoint_latency() = default;

// A timeout that was read is void at once, since the options decide it; what else was read is renewed within 2 s.
void endpoint_latency::configure(const adaptive_options& options) {
    const std::scoped_lock lock(mutex_);
    if (state_->options == options) return;
    state_->options = options;
    for (auto& [key, at] : state_->nodes) {
        at->seen->learned.configure(options.window, options.min_samples);
        at->timeouts = {};
    }
}

void endpoint_latency::record(const request_shape& shape, duration took, latency_sample kind, bool timed_out,
                              steady_time now, bool is_usual) {
    const latency_code sample(took, kind);
    const std::scoped_lock lock(mutex_);
    node* const leaf = state_->leaf(shape);
    // The level that decides for this shape is the one whose timeout it ran into, or did not.
    node* const decides = state_->read_from(leaf, mixed_level, now);
    (decides != nullptr ? decides : leaf)->timeout.attempt_ended(shape.stream, took, timed_out, state_->options, now);
    const experience* last = nullptr;
    for (node* at = leaf; at != nullptr; at = at->parent) {
        experience& seen = *at->seen;
        if (std::exchange(last, &seen) == &seen) continue;
        seen.learned.add(sample, now);
        ++seen.added;
        if (kind != latency_sample::answered) continue;
        seen.has_answered = true;
        if (is_usual) seen.latest.add(took);
    }
}

std::optional<duration> endpoint_latency::usual(const request_shape& shape, steady_time now) {
    const std::scoped_lock lock(mutex_);
    return state_->usual_of(shape, now);
}

duration endpoint_latency::attempt_timeout(const request_shape& shape, steady_time now) {
    const std::scoped_lock lock(mutex_);
    return state_->timeout_at(state_->read_from(state_->deepest(shape), mixed_level, now), shape.stream, now);
}

std::optional<duration> endpoint_latency::quantile(const request_shape& shape, double q, steady_time now) {
    const std::scoped_lock lock(mutex_);
    return state_->quantile_at(state_->read_from(state_->deepest(shape), mixed_level, now), q, now);
}

std::optional<duration> endpoint_latency::hedge_delay(const request_shape& shape, const hedge_options& options,
                                                      steady_time now) {
    if (options.delay == hedge_options::delay_kind::fixed) return options.fixed;
    const std::scoped_lock lock(mutex_);
    node* const at = state_->read_from(state_->deepest(shape), stream_level, now);
    if (at == nullptr) return std::nullopt;
    if (at->fresh(at->hedge_delay, now) && at->hedge_delay.value->of == options) return at->hedge_delay.value->value;
    const auto delay = evenkeel::hedge_delay(options, at->seen->learned, state_->options.min_samples, now);
    return at->keep(at->hedge_delay, node::delay{options, delay}, now).value;
}

void endpoint_latency::note_gap(duration gap, steady_time now) {
    const std::scoped_lock lock(mutex_);
    state_->turn_gaps(now);
    state_->longest_gap = std::max(state_->longest_gap, gap);
}

duration endpoint_latency::widened_idle(duration configured, steady_time now) {
    const std::scoped_lock lock(mutex_);
    state_->turn_gaps(now);
    const duration longest = std::max(state_->longest_gap, state_->previous_gap);
    return std::clamp(longest + longest / 2, configured, 3 * configured);
}

endpoint_latency::summary endpoint_latency::report(steady_time now) {
    const std::scoped_lock lock(mutex_);
    summary out;
    node* const all = state_->find({}, mixed_level);
    const auto timeout = [&](bool streamed) {
        node* const side = state_->find({.stream = streamed}, stream_level);
        return state_->timeout_at(state_->read_from(side != nullptr ? side : all, mixed_level, now), streamed, now);
    };
    out.current_timeout_stream = timeout(true);
    out.current_timeout_buffered = timeout(false);
    if (all == nullptr) return out;
    out.samples = all->seen->learned.samples(now);
    if (out.samples == 0) return out;
    out.p50 = state_->quantile_at(all, 0.5, now);
    out.p95 = state_->quantile_at(all, 0.95, now);
    return out;
}

std::size_t endpoint_latency::shapes() {
    const std::scoped_lock lock(mutex_);
    return state_->nodes.size();
}

std::size_t endpoint_latency::memory_bytes() {
    const std::scoped_lock lock(mutex_);
    std::size_t bytes = sizeof(state);
    for (const auto& [key, at] : state_->nodes) {
        bytes += sizeof(node);
        const bool shares = at->parent != nullptr && at->parent->seen == at->seen;
        if (!shares) bytes += sizeof(experience) + at->seen->learned.memory_bytes() - sizeof(latency_window);
    }
    return bytes;
}

} // namespace evenkeel
