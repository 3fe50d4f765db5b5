#pragma once
// Whether an endpoint is asked second, and for which of its models: the doubt of the whole, and one of each model that
// has been silent or slow (endpoint_doubt.hpp). Whose silence it is: model_places.hpp; what is not the model's alone is
// held against the whole as well.
//
// A model's own doubt hears all that its model does, also while the whole is doubted for it. So where another model
// shows that the whole is well, what stays doubted is the model that was silent, and none of its callers waits to find
// out. Were there several, and one of them is well again, the cause was common, and they are all asked first again.
//
// Copies of requests that look (flight/probe_beside.hpp) are of one model each: one at a time of each, up to four of an
// endpoint. Where the whole is doubted and another model was silent, the first copy of a model looks at once.
//
// One for each endpoint, as its circuit is scoped; thread-safe. On the path of a request that is answered, an endpoint
// that is not doubted costs an atomic load and a word more than endpoint_doubt.

#include "policies/endpoint_doubt.hpp"
#include "policies/model_places.hpp"
#include "policies/small_mutex.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace evenkeel {

struct model_doubt : model_row {
    using model_row::model_row;
    [[nodiscard]] bool is_idle(steady_time) const noexcept { return !doubt.doubted(); }
    endpoint_doubt doubt;
};

class model_doubts {
public:
    using places = model_places<model_doubt>;
    static constexpr std::size_t most_probers = 4;

    // What came of a word about a model.
    struct change {
        bool whole = false; // is doubted from now on, or no longer
        // Whose own doubt now counts, or no longer does; while the whole is doubted none is told.
        std::vector<std::shared_ptr<const model_doubt>> begun{}, ended{};
        bool model_alone = false; // the word is nothing to the whole
    };
    // As of endpoint_doubt, for a model; 0: not known, or it was the way there that was silent. `name()`: the model's,
    // asked for once.
    using silence = endpoint_doubt::silence;
    template <class Name>
    change silent(std::uint64_t model, steady_time sent, const Name& name, steady_time now,
                  silence how = silence::given_up) {
        if (model == 0) return of_whole(whole_.silent(sent, now, how));
        const std::scoped_lock lock(mutex_);
        return held_against(model, sent, how, name, now);
    }
    template <class Name>
    change answered(std::uint64_t model, steady_time sent, bool good, const Name& name, steady_time now) {
        if (good) {
            if (model != 0) places_.goods().note(model, sent);
            if (model == 0 || places_.none()) return of_whole(whole_.answered(sent, true, now));
            const std::scoped_lock lock(mutex_);
            return good_for(model, sent, now);
        }
        if (model == 0) return of_whole(whole_.answered(sent, false, now));
        const std::scoped_lock lock(mutex_);
        return held_against(model, sent, {}, name, now);
    }

    [[nodiscard]] bool doubted(std::uint64_t model, steady_time now) {
        return whole_.doubted() || (model != 0 && !places_.none() && own(model, now, &endpoint_doubt::doubted));
    }
    // ... for a silence; and it is more than a suspicion.
    [[nodiscard]] bool silent(std::uint64_t model, steady_time now) {
        return whole_.silent() || (model != 0 && !places_.none() && own(model, now, &endpoint_doubt::silent));
    }
    [[nodiscard]] bool shown(std::uint64_t model, steady_time now) {
        return whole_.shown() || (model != 0 && !places_.none() && own(model, now, &endpoint_doubt::shown));
    }
    [[nodiscard]] const endpoint_doubt& whole() const noexcept { return whole_; }
    [[nodiscard]] bool none_of_models() const noexcept { return places_.none(); }
    void clear() noexcept; // an operator knows better

    [[nodiscard]] change lapse(std::uint64_t model, steady_time now);
    // A request for it goes elsewhere instead.
    void passed(std::uint64_t model, steady_time now);
    // A connection was made, or not, beside all requests: a word about the whole.
    [[nodiscard]] change connected(bool made, steady_time now);
    // Nobody has asked this model yet since another one was silent: the first copy need not wait for its turn.
    [[nodiscard]] bool is_news(std::uint64_t model, steady_time now);
    // As of the doubt that keeps this model away.
    [[nodiscard]] bool probe_due(std::uint64_t model, double u, duration takes, steady_time now);
    [[nodiscard]] bool goes_on_well(std::uint64_t model, int under_way, steady_time now);
    [[nodiscard]] duration gap(std::uint64_t model, steady_time now);
    [[nodiscard]] bool may_begin_probing(std::uint64_t model) noexcept;
    [[nodiscard]] bool probed(std::uint64_t model) noexcept;
    [[nodiscard]] bool begin_probing(std::uint64_t model) noexcept; // false: there is one, or they are too many
    void end_probing(std::uint64_t model) noexcept;
    [[nodiscard]] bool probed() noexcept; // for any model
    // One opens connections at a time. False: there is one.
    [[nodiscard]] bool begin_connecting() noexcept { return !connecting_.exchange(true); }
    void end_connecting() noexcept { connecting_.store(false); }
    [[nodiscard]] bool connecting() const noexcept { return connecting_.load(std::memory_order_relaxed); }

    struct summary {
        std::uint64_t model = 0;
        std::string name{}; // empty: those that share a place
        endpoint_doubt::summary doubt{};
    };
    [[nodiscard]] std::vector<summary> report(); // of single models, while the whole is not doubted

private:
    static change of_whole(bool changed) { return {.whole = changed}; }
    // All with the mutex held. `mute`: how it was silent; empty: it was answered, far too late.
    template <class Name>
    change held_against(std::uint64_t model, steady_time sent, std::optional<silence> mute, const Name& name,
                        steady_time now) {
        if (!is_evidence(model, sent, mute.has_value())) return against_whole(sent, mute, now);
        const auto make = [&](std::uint64_t of, bool shared) {
            return std::make_shared<model_doubt>(of, shared ? std::string{} : name());
        };
        return blamed(places_.find_or_make(model, make, now), model, sent, mute, now);
    }
    [[nodiscard]] bool is_evidence(std::uint64_t model, steady_time sent, bool mute) const noexcept;
    change against_whole(steady_time sent, std::optional<silence> mute, steady_time now);
    change blamed(const std::shared_ptr<model_doubt>& own, std::uint64_t model, steady_time sent,
                  std::optional<silence> mute, steady_time now);
    change good_for(std::uint64_t model, steady_time sent, steady_time now);
    // The whole is well: those that are not begin to count.
    void tell_who_stays(change& to) const;
    // Without it.
    [[nodiscard]] bool own(std::uint64_t model, steady_time now, bool (endpoint_doubt::*is)() const noexcept);
    [[nodiscard]] bool is_probing(std::uint64_t model) const noexcept;

    endpoint_doubt whole_;
    std::atomic<bool> connecting_{false};
    small_mutex mutex_; // of all below; but for what places_ gives without
    places places_;
    std::array<std::optional<std::uint64_t>, most_probers> probing_{};
};

} // namespace evenkeel
