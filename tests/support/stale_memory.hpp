#pragma once
// While one lives, what is read after it was freed does not look as it did: freed memory is written over, and none goes
// back to the kernel, where reading it would end the process, or fail a write that then passes for a broken connection.
// A sanitizer does better, and ends the process: then with a word of the test's own about what was under way.

#include <cstdint>
#include <cstdio>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#elif defined(__GLIBC__) && !defined(__SANITIZE_THREAD__)
#include <malloc.h>
#endif

namespace evenkeel::test {

class stale_memory_shows {
public:
#if defined(__SANITIZE_ADDRESS__)
    stale_memory_shows() {
        __sanitizer_set_death_callback([] { std::fprintf(stderr, "EVENKEEL_SEED=%u\n", seed); });
    }
#elif defined(__GLIBC__) && !defined(__SANITIZE_THREAD__)
    stale_memory_shows() {
        mallopt(M_PERTURB, 0x5a);
        mallopt(M_MMAP_THRESHOLD, 256 * 1024 * 1024);
        mallopt(M_TRIM_THRESHOLD, 1024 * 1024 * 1024);
    }
    ~stale_memory_shows() { mallopt(M_PERTURB, 0); }
#else
    stale_memory_shows() {}
#endif
    stale_memory_shows(const stale_memory_shows&) = delete;
    stale_memory_shows& operator=(const stale_memory_shows&) = delete;

    static inline std::uint32_t seed = 0; // of the case under way, where cases have one
};

} // namespace evenkeel::test
