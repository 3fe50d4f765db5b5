#pragma once
// Which models are not asked for as streams any more (attempt/upcast.hpp).

#include "policies/time.hpp"

#include <atomic>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

namespace evenkeel::request {

// The models whose streams turned out to hold what is not known, by upstream: their requests go as they are.
// Process-wide, of one configuration: a reload forgets them. Thread-safe.
class upcast_memory {
public:
    // A provider that learned something new, or a request that asked for something rare, costs one request twice this
    // often.
    static constexpr duration remembered = std::chrono::hours{1}; // chosen
    static constexpr std::size_t most = 1024;                     // chosen: models are named by clients

    [[nodiscard]] bool excludes(std::string_view upstream, std::string_view model, steady_time now);
    // True: it was not excluded before.
    bool exclude(std::string_view upstream, std::string_view model, steady_time now);

private:
    [[nodiscard]] static std::string key_of(std::string_view upstream, std::string_view model);

    std::atomic<bool> any_{false};
    std::mutex mutex_;
    std::unordered_map<std::string, steady_time> until_;
};

} // namespace evenkeel::request
