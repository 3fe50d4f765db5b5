#pragma once
// Is an upload too slow to be waited for? A client that sends a byte every 29 s is never silent for
// `limits.body_timeout`, and keeps a connection, a buffer, perhaps an upstream, for as long as it likes.
//
// Only the time that was spent waiting for the client counts. An upload that stands still because the upstream does not
// take it is the upstream's doing; what the client sent meanwhile lies in the kernel and comes without a wait. Pure.
//
// Judged window by window, of at least 10 s of waiting; the first takes 20 s, since a connection begins slowly and a
// small body has little to show. At 1 KiB/s that is 20 KiB in 20 s, then 10 KiB in each 10 s. A window ends with a
// piece, so one that is silent is noticed by `limits.body_timeout`, or here when its next piece comes.

#include "policies/time.hpp"

#include <cstdint>

namespace evenkeel::request {

class upload_rate {
public:
    explicit upload_rate(std::uint64_t bytes_per_second = 0) noexcept : least_(bytes_per_second) {} // 0: off

    // A piece came after `waited`. False: too slow.
    [[nodiscard]] bool note(std::uint64_t bytes, duration waited) noexcept {
        if (least_ == 0) return true;
        bytes_ += bytes;
        waited_ += waited;
        if (waited_ < (first_ ? 2 * window : window)) return true;
        const double wanted = static_cast<double>(least_) * std::chrono::duration<double>(waited_).count();
        const bool enough = static_cast<double>(bytes_) >= wanted;
        first_ = false;
        bytes_ = 0;
        waited_ = duration::zero();
        return enough;
    }

private:
    static constexpr duration window = std::chrono::seconds{10};

    std::uint64_t least_;
    std::uint64_t bytes_ = 0;
    duration waited_{};
    bool first_ = true;
};

} // namespace evenkeel::request
