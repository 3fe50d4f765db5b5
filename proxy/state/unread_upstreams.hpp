#pragma once
// Which upstreams answer in a coding that nobody asked for and nobody here reads (br, zstd). No head of a stream goes
// ahead of their answers: behind it they could not be told for what they are, and would be lost.

#include "config/settings.hpp"
#include "policies/time.hpp"

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <string>

namespace evenkeel::request {

// Process-wide, of one configuration: a reload forgets them. Thread-safe; no lock while there are none.
class unread_upstreams {
public:
    static constexpr duration remembered = std::chrono::hours{1}; // chosen, as for upcast

    void note(const config::upstream& at, steady_time now) {
        const std::scoped_lock lock(mutex_);
        until_[at.name] = now + remembered;
        any_.store(true, std::memory_order_relaxed);
    }
    [[nodiscard]] bool among(const config::route& asked, steady_time now) {
        if (!any_.load(std::memory_order_relaxed)) return false;
        const std::scoped_lock lock(mutex_);
        return std::any_of(asked.upstreams.begin(), asked.upstreams.end(), [&](const auto& one) {
            const auto found = until_.find(one->name);
            return found != until_.end() && now < found->second;
        });
    }

private:
    std::atomic<bool> any_{false};
    std::mutex mutex_;
    std::map<std::string, steady_time> until_;
};

} // namespace evenkeel::request
