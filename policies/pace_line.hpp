#pragma once
// Those that wait for one quota: interactive before batch; within that the tenant in front that was given least, so
// that each has its share whatever it asks for (start-time fair queueing: P. Goyal, H. Vin, H. Cheng, 1996; one that
// comes back begins where the others are); of a tenant's own the one whose time is over first.
//
// Nobody is woken: who waits comes back when its turn is likely (pace.hpp). Bounded. Not thread-safe.

#include "policies/quota_level.hpp"
#include "policies/time.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace evenkeel {

class pace_line {
public:
    static constexpr std::size_t most_waiting = 4096, most_tenants = 1024; // remembered beyond those that wait

    struct ticket {
        pace_priority priority = pace_priority::interactive;
        std::uint64_t tenant = 0;
        steady_time deadline{};
        std::uint64_t number = 0;
        double cost = 1; // in what they are compared by
    };
    [[nodiscard]] bool empty() const noexcept { return waiting_ == 0; }
    [[nodiscard]] std::size_t size() const noexcept { return waiting_; }
    // False: too many wait.
    [[nodiscard]] bool join(ticket& one);
    void leave(const ticket& one) noexcept;
    void served(const ticket& one) noexcept; // it goes: still in line, or never was
    // How many go before it, in line or about to join; about, where there are several tenants.
    [[nodiscard]] std::size_t ahead_of(const ticket& one) const noexcept;

private:
    struct waiter {
        steady_time deadline;
        std::uint64_t number;
        double cost;
        [[nodiscard]] auto operator<=>(const waiter& other) const noexcept {
            return deadline != other.deadline ? deadline <=> other.deadline : number <=> other.number;
        }
        bool operator==(const waiter&) const = default;
    };
    struct tenant {
        double given = 0;
        std::vector<waiter> waiting; // ascending
    };
    using tenants = std::map<std::uint64_t, tenant>;
    struct lane {
        tenants all;
        double now = 0; // what the one that was served last had been given
        std::size_t waiting = 0;
    };
    [[nodiscard]] lane& lane_of(pace_priority who) noexcept { return lanes_[static_cast<std::size_t>(who)]; }
    [[nodiscard]] const lane& lane_of(pace_priority who) const noexcept {
        return lanes_[static_cast<std::size_t>(who)];
    }

    std::array<lane, 2> lanes_;
    std::size_t waiting_ = 0;
    std::uint64_t next_ = 1;
};

} // namespace evenkeel
