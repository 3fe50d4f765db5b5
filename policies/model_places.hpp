#pragma once
// What is kept of the models of one endpoint that have given cause for it: circuits (model_circuits.hpp) and doubts
// (model_doubts.hpp). One model of a provider may hang or fail while the others are well, with the same key and at the
// same address; what is known of one is then kept from the others.
//
// Whose fault it is, is told by the others. A model is to blame alone while another one has been answered well by an
// attempt that was sent since its failing began, and no other one fails. If none is known to be well, or two fail, it
// is the endpoint as a whole, as if there were no models: one answer too few is taken for a common cause. Who has been
// to blame alone for five minutes no longer makes others' troubles common.
//
// Bounded: 64 models, the rest share one place; who has been well for ten minutes is forgotten, and so is whoever
// nobody has asked for a day. Names are as the upstream is asked for them: two that mean one there are one.

#include "policies/time.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace evenkeel {

// When the latest attempt that was answered well had been sent, model by model: what says that the others are well. Of
// up to 64 models, fewer where their hashes meet; of those that had to give way, the latest of all. Written by every
// good answer: no lock, one word where the model is known already.
class good_answers {
public:
    good_answers() noexcept = default;
    ~good_answers() { delete known_.load(); }
    good_answers(const good_answers&) = delete;
    good_answers& operator=(const good_answers&) = delete;

    void note(std::uint64_t model, steady_time sent) noexcept;
    [[nodiscard]] steady_time of(std::uint64_t model) const noexcept; // min(): none that is known
    // ... of those that are known no longer.
    [[nodiscard]] steady_time forgotten() const noexcept { return at(forgotten_); }
    // The latest of other models, of those that `counts`.
    template <class Counts>
    [[nodiscard]] steady_time latest_but(std::uint64_t model, const Counts& counts) const {
        steady_time latest = steady_time::min();
        const slots* const known = known_.load(std::memory_order_acquire);
        if (known == nullptr) return latest;
        for (const slot& one : *known) {
            const std::uint64_t whose = one.model.load(std::memory_order_relaxed);
            if (whose != 0 && whose != model && at(one.sent) > latest && counts(whose)) latest = at(one.sent);
        }
        return latest;
    }

private:
    using moment = std::atomic<steady_time::rep>;
    static constexpr steady_time::rep never = steady_time::min().time_since_epoch().count();
    [[nodiscard]] static steady_time at(const moment& when) noexcept {
        return steady_time{duration{when.load(std::memory_order_relaxed)}};
    }
    struct slot {
        std::atomic<std::uint64_t> model{0}; // 0: free
        moment sent{never};
    };
    static constexpr std::size_t size = 64, looked_at = 4; // from where its hash points to
    [[nodiscard]] static std::size_t place(std::uint64_t model, std::size_t by) noexcept {
        return (static_cast<std::size_t>(model) + by) % size;
    }
    using slots = std::array<slot, size>;
    // Null: without memory for it.
    [[nodiscard]] slots* make() noexcept;
    std::atomic<slots*> known_{nullptr}; // made by the first answer: most endpoints of a file are never asked
    moment forgotten_{never};
};

// Of one model.
struct model_row {
    model_row(std::uint64_t of, std::string named) : model(of), name(std::move(named)) {}

    static constexpr duration counts_for = std::chrono::minutes{5}; // (chosen)

    const std::uint64_t model; // a hash; of the place that is shared: shared_place
    const std::string name;
    // Of its bad attempts in a row: when the first was sent, and when the latest was told. Empty: it is well.
    std::optional<steady_time> failing_since{};
    steady_time latest_bad{};
    bool to_blame = false; // it alone

    [[nodiscard]] bool fails(steady_time now) const noexcept { return failing_since && now - latest_bad < counts_for; }
    [[nodiscard]] bool fails_with_others(steady_time now) const noexcept {
        return fails(now) && !(to_blame && now - *failing_since >= counts_for);
    }
    void bad(steady_time sent, steady_time now) noexcept {
        failing_since = std::min(failing_since.value_or(sent), sent);
        latest_bad = std::max(latest_bad, now);
    }
    void good(steady_time sent) noexcept {
        if (!failing_since || sent < *failing_since) return;
        failing_since.reset();
        to_blame = false;
    }
};

// `Kept`: a model_row with what is kept of it, and `bool is_idle(now)`: nothing would be lost with it. Not thread-safe,
// but for none() and goods(). A place lives on with whoever holds it when it is forgotten.
template <class Kept>
class model_places {
public:
    static constexpr std::size_t max_models = 64;
    static constexpr std::uint64_t shared_place = ~std::uint64_t{0};
    static constexpr duration well_for = std::chrono::minutes{10}, unasked_for = std::chrono::hours{24}; // (chosen)

    [[nodiscard]] bool none() const noexcept { return !any_.load(std::memory_order_relaxed); }
    [[nodiscard]] good_answers& goods() noexcept { return goods_; }
    [[nodiscard]] const good_answers& goods() const noexcept { return goods_; }
    [[nodiscard]] const std::vector<std::shared_ptr<Kept>>& all() const noexcept { return all_; }
    void clear() noexcept {
        all_.clear();
        any_.store(false, std::memory_order_relaxed);
    }

    // That of a model, or of all that found no place. Null: there is none.
    [[nodiscard]] std::shared_ptr<Kept> find(std::uint64_t model, steady_time now) {
        sweep(now);
        const std::shared_ptr<Kept>* shared = nullptr;
        for (const auto& one : all_) {
            if (one->model == model) return one;
            if (one->model == shared_place) shared = &one;
        }
        return shared != nullptr ? *shared : nullptr;
    }
    // ... made, if need be. `make(model, shared)`.
    template <class Make>
    [[nodiscard]] std::shared_ptr<Kept> find_or_make(std::uint64_t model, const Make& make, steady_time now) {
        const auto found = find(model, now);
        if (found && found->model == model) return found;
        if (!has_room(now)) {
            if (found) return found;
            model = shared_place;
        }
        all_.push_back(make(model, model == shared_place));
        any_.store(true, std::memory_order_relaxed);
        return all_.back();
    }

    // Whether a bad attempt of this model is its own doing, and whether it is to be held against the endpoint.
    struct blame {
        bool model = false, whole = true;
    };
    [[nodiscard]] blame judge(std::uint64_t model, Kept& place, steady_time now) const {
        const auto fails = [&](std::uint64_t other) {
            return std::any_of(all_.begin(), all_.end(),
                               [&](const auto& one) { return one->model == other && one->fails(now); });
        };
        const bool another_is_well = place.failing_since && goods_.latest_but(model, [&](std::uint64_t other) {
            return !fails(other);
        }) >= *place.failing_since;
        const bool another_fails = std::any_of(all_.begin(), all_.end(), [&](const auto& one) {
            return one.get() != &place && one->fails_with_others(now);
        });
        place.to_blame = place.to_blame || (another_is_well && !another_fails);
        return {another_is_well, !another_is_well || another_fails};
    }

private:
    static constexpr duration sweeps_every = std::chrono::minutes{1};

    void erase_if(const auto& what) {
        std::erase_if(all_, what);
        any_.store(!all_.empty(), std::memory_order_relaxed);
    }
    void sweep(steady_time now) {
        if (now < next_sweep_) return;
        next_sweep_ = now + sweeps_every;
        erase_if([&](const auto& one) {
            const duration since = now - one->latest_bad;
            return since >= unasked_for || (since >= well_for && one->is_idle(now));
        });
    }
    // Who is well makes place for who is not.
    [[nodiscard]] bool has_room(steady_time now) {
        const auto taken = [&] {
            return static_cast<std::size_t>(
                std::count_if(all_.begin(), all_.end(), [](const auto& one) { return one->model != shared_place; }));
        };
        if (taken() < max_models) return true;
        erase_if([&](const auto& one) { return !one->fails(now) && one->is_idle(now); });
        return taken() < max_models;
    }

    std::vector<std::shared_ptr<Kept>> all_;
    std::atomic<bool> any_{false};
    steady_time next_sweep_ = steady_time::min();
    good_answers goods_;
};

} // namespace evenkeel
