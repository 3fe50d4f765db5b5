#pragma once
// For our own bugs only: conditions that no peer, file or clock can cause. On in every build, because what it guards
// against (a lost waiter, bytes of another's) does silent harm, and a test of one pointer costs nothing beside an I/O
// operation.

namespace evenkeel {

// Says on stderr which claim did not hold and where, then aborts.
[[noreturn]] void assertion_failed(const char* claim, const char* because, const char* file, int line) noexcept;

} // namespace evenkeel

#define EVENKEEL_ASSERT(claim, because)                                                                                \
    do {                                                                                                               \
        if (!(claim)) [[unlikely]]                                                                                     \
            ::evenkeel::assertion_failed(#claim, because, __FILE__, __LINE__);                                         \
    } while (false)
