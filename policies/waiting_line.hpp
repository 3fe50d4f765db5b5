#pragma once
// The requests of one route that wait for an endpoint to let them through, the one whose time is over first in front:
// who comes back because the endpoint failed it once more does not stand behind those who came later. They are let go
// as many at a time as there is room; who comes anew stands behind those who wait.
//
// One per route; thread-safe: one mutex, held for one call.

#include "policies/small_mutex.hpp"
#include "policies/time.hpp"

#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace evenkeel {

class waiting_line {
public:
    struct ticket {
        steady_time deadline;
        std::uint64_t number; // of two with the same deadline
        auto operator<=>(const ticket&) const = default;
    };

    // Empty where `limit` wait already.
    [[nodiscard]] std::optional<ticket> join(steady_time deadline, std::size_t limit);
    void leave(ticket one) noexcept;

    // How many stand in front: of a ticket, or of somebody who comes now.
    [[nodiscard]] std::size_t ahead_of(std::optional<ticket> one) const noexcept;
    [[nodiscard]] std::size_t size() const noexcept;

private:
    mutable small_mutex mutex_;
    std::vector<ticket> waiting_; // ascending
    std::uint64_t next_ = 1;
};

} // namespace evenkeel
