#pragma once
// How many tokens a request is going to take, before it is sent: input by the bytes of its body (a quarter of them,
// then what `usage` said of earlier ones), output by what was written lately for the same model.
//
// One per route; bounded; thread-safe: a mutex held for one call.

#include "policies/small_mutex.hpp"

#include <array>
#include <cstddef>
#include <cstdint>

namespace evenkeel {

class token_estimates {
public:
    static constexpr std::size_t most_models = 64;
    struct tokens {
        double input = 0, output = 0;
        [[nodiscard]] double all() const noexcept { return input + output; }
    };
    [[nodiscard]] tokens of(std::uint64_t model, std::uint64_t bytes) const noexcept;
    void learn(std::uint64_t model, std::uint64_t bytes, tokens took) noexcept;

private:
    struct row {
        std::uint64_t model = 0, used = 0;
        double per_byte = 0.25, output = 0;
        std::uint32_t samples = 0;
    };
    mutable small_mutex mutex_;
    std::array<row, most_models> rows_{};
    std::uint64_t uses_ = 0;
};

} // namespace evenkeel
