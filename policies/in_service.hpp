#pragma once
// The attempts that are under way, in order of their start: how many, and how many of them for longer than some time. A
// list in a vector that grows to the largest number there ever was; everything but the count of the old ones costs a
// few instructions. Not thread-safe; owned by one overload_control.

#include "policies/time.hpp"

#include <cstdint>
#include <vector>

namespace evenkeel {

class in_service {
public:
    [[nodiscard]] std::uint32_t enter(steady_time now); // a number for leave()
    steady_time leave(std::uint32_t number) noexcept;   // when it had entered
    [[nodiscard]] int count() const noexcept { return count_; }
    [[nodiscard]] int older_than(duration age, steady_time now) const noexcept; // costs a step for each that is

private:
    static constexpr std::uint32_t nobody = 0xffffffff;
    struct attempt {
        steady_time start{};
        std::uint32_t before = nobody, after = nobody; // free ones: after
    };
    std::vector<attempt> attempts_;
    std::uint32_t first_ = nobody, last_ = nobody, free_ = nobody;
    int count_ = 0;
};

} // namespace evenkeel
