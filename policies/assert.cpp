#include "policies/assert.hpp"

#include <cstdio>
#include <cstdlib>

namespace evenkeel {

void assertion_failed(const char* claim, const char* because, const char* file, int line) noexcept {
    std::fprintf(stderr, "evenkeel: a bug of ours at %s:%d: %s (%s does not hold)\n", file, line, because, claim);
    std::fflush(stderr);
    std::abort();
}

} // namespace evenkeel
