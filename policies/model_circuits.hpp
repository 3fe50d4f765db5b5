#pragma once
// Circuits of single models, beside that of their endpoint (NEXT section 2, "What is limited per model is kept per
// model"). A model that fails gets one with its first failure: a circuit_breaker like that of the whole, with its
// times, probes and ramp. An attempt needs the permission of both.
//
// Whose failure it is: model_places.hpp. What is the model's alone is nothing to the whole; what is the whole's is only
// counted by the model's own, and opens it once it turns out to be the model's after all. So a whole that opened
// because nothing but one model was asked, and is closed by another one, is not opened by the first again: its row of
// failures stands, and the next one opens its own circuit. That other one need not wait for the recovery time, or a
// model that is asked all the time would have all the probes: while one model fails and no other, who asks for
// another probes at once, and again in recovery times that double. A good answer helps both.
//
// That a model is well is only noted while one is not, so that an endpoint without trouble costs one atomic load. What
// its own circuit counts therefore begins with its first failure. One for each circuit of a whole, and scoped as that
// is; thread-safe.

#include "policies/circuit_breaker.hpp"
#include "policies/model_places.hpp"
#include "policies/small_mutex.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace evenkeel {

struct model_circuit : model_row {
    model_circuit(std::uint64_t of, std::string named, const breaker_options& options)
        : model_row(of, std::move(named)), breaker(options) {}
    [[nodiscard]] bool is_idle(steady_time now) { return breaker.report({}, now).state == circuit_state::closed; }
    circuit_breaker breaker;
};

class model_circuits {
public:
    using places = model_places<model_circuit>;
    static constexpr std::size_t max_models = places::max_models;

    explicit model_circuits(const breaker_options& options) noexcept : options_(options) {}
    void configure(const breaker_options& options) noexcept; // after a reload; what is known stays

    // No model has one: there is nothing to ask.
    [[nodiscard]] bool none() const noexcept { return places_.none(); }
    // That of a model; null: it has none. `model`: a hash; 0: not known, and then only the whole is asked.
    [[nodiscard]] std::shared_ptr<model_circuit> of(std::uint64_t model, steady_time now);

    // The whole is open for what another model did alone, as far as is known, and this one may find out for itself.
    // `taking`: it does, and the next one is due later.
    [[nodiscard]] bool may_look_early(std::uint64_t model, bool taking, steady_time now);

    struct blame {
        std::shared_ptr<model_circuit> own{}; // to be told; null: there is none
        bool model = false;                   // ... and heeds it; else it only counts
        bool whole = true;                    // to be told
    };
    // An attempt that was sent then has failed, not for want of a connection. `name()`: the model's, asked for once.
    template <class Name>
    [[nodiscard]] blame failed(std::uint64_t model, steady_time sent, const Name& name, steady_time now) {
        const std::scoped_lock lock(mutex_);
        if (model == 0 || held_) return {};
        const auto make = [&](std::uint64_t of, bool shared) {
            return std::make_shared<model_circuit>(of, shared ? std::string{} : name(), options_);
        };
        return blamed(places_.find_or_make(model, make, now), model, sent, now);
    }
    // ... was answered well. Its own circuit, where it has one and this is about how it is now.
    std::shared_ptr<model_circuit> answered(std::uint64_t model, steady_time sent, steady_time now);

    // An operator's word stands above all models: what is known is forgotten, and while he holds the whole none is
    // made.
    void hold(bool held) noexcept;

    struct summary {
        std::uint64_t model = 0;
        std::string name{}; // empty: those that share a place
        circuit_breaker::summary circuit{};
    };
    [[nodiscard]] std::vector<summary> report(steady_time now); // of those that are not closed

private:
    [[nodiscard]] blame blamed(std::shared_ptr<model_circuit> own, std::uint64_t model, steady_time sent,
                               steady_time now);

    small_mutex mutex_;
    breaker_options options_;
    bool held_ = false;
    steady_time next_look_ = steady_time::min();
    duration look_pause_{}; // to the next one; grows until somebody is answered well
    places places_;
};

} // namespace evenkeel
