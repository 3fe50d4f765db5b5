#pragma once
// The requests that are kept for whoever asks what happened (`journal` in the configuration): the last disturbed ones,
// and of the others one a second, so that on a quiet proxy every request is there and on a busy one they cost nothing.
// Those have a quarter of the room at most; they never push out what went wrong.
//
// Bounded in number and in memory, the oldest go first. One for the process; it outlives every configuration, so a
// reload loses nothing but what its bounds no longer allow. An undisturbed request costs a look at a clock that is read
// already; what is kept is copied outside of the mutex.

#include "policies/time.hpp"
#include "proxy/events/observer.hpp"
#include "proxy/telemetry/kept_request.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <vector>

namespace evenkeel::telemetry {

class journal_store final : public observer {
public:
    using kept = std::shared_ptr<const kept_request>;

    void request_finished(const request_account& what) noexcept override;
    void configuration_loaded(const config::snapshot& snapshot) noexcept override;

    struct wanted {
        std::string_view route{}, upstream{}, model{}; // empty: any
        std::optional<request_ending> outcome{};
        bool disturbed_only = false;
        wall_time since = wall_time::min(), until = wall_time::max(); // of when they came; without `until` itself
        std::size_t limit = 100;
    };
    [[nodiscard]] std::vector<kept> list(const wanted& which) const; // newest first
    // All of that id, which is its client's to choose, or whose upstream named its answer so, which is what its client
    // was shown: newest first, parts of a fan-out behind it.
    [[nodiscard]] std::vector<kept> find(std::string_view id) const;

    struct report {
        std::size_t requests = 0, bytes = 0;
        std::uint64_t evicted = 0; // since the start
    };
    [[nodiscard]] report summary() const;

private:
    struct place {
        kept request;
        std::size_t bytes = 0;
        std::uint64_t number = 0;
    };
    struct ring {
        std::deque<place> requests; // the oldest in front
        std::size_t bytes = 0;
        void drop_oldest() noexcept;
    };
    void make_room() noexcept; // under the mutex

    std::atomic<bool> on_{false};
    std::atomic<steady_time::rep> next_sample_{0};
    mutable std::mutex mutex_; // all below
    std::size_t keep_ = 0, max_bytes_ = 0;
    ring disturbed_, others_;
    std::uint64_t numbered_ = 0, evicted_ = 0;
};

} // namespace evenkeel::telemetry
