#pragma once
// How many descriptors the process may have open: two a request, and by default a shell gives 1,024, which is for
// programs that use select(). At the start it takes what the system allows at most.

#include <cstdint>

namespace evenkeel::server {

struct descriptor_limit {
    std::uint64_t before = 0, now = 0;
};

[[nodiscard]] descriptor_limit raise_descriptor_limit() noexcept;

} // namespace evenkeel::server
