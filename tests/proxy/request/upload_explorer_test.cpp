// Property: whatever uploads that are still coming, attempts that read them at different pace, early answers, cancels,
// timers, pauses and departures of clients, reloads and drains do, and in whatever order: what an upstream gets is its
// own client's body, as far as it goes; every request has one answer; and nothing is left over.
//
// A case is a seed (upload_case.hpp). Beside what the seed draws, completions of the same instant come in a drawn
// order. The default is 10 to 20 s of a release build; EVENKEEL_STORM=10 runs ten times as many; EVENKEEL_SEED=n runs
// one case again.

#include "tests/proxy/request/upload_case.hpp"
#include "tests/support/stale_memory.hpp"
#include "tests/support/storm_scale.hpp"

#include <cstdlib>
#include <unordered_set>

namespace evenkeel::test::upload_explorer_test {

TEST_CASE("uploads that are still coming, in every order: each upstream gets its client's bytes, each request one "
          "answer, nothing is left over") {
    const stale_memory_shows memory;
#ifdef NDEBUG
    const int cases = scaled(8000);
#else
    const int cases = scaled(8000, 0.1);
#endif
    const char* const only = std::getenv("EVENKEEL_SEED");
    std::unordered_set<std::uint64_t> orders;
    upload_tally sum;
    int ran = 0, failed = 0;
    for (std::uint32_t seed = 1; seed <= static_cast<std::uint32_t>(cases); ++seed) {
        if (only != nullptr) seed = static_cast<std::uint32_t>(std::strtoul(only, nullptr, 10));
        stale_memory_shows::seed = seed;
        CAPTURE(seed);
        auto one = std::make_unique<upload_case>(seed);
        const auto wrong = one->run(sum);
        ++ran;
        orders.insert(one->order());
        if (!wrong.empty()) {
            std::string words;
            for (const std::string& each : wrong) words += "\n  " + each;
            if (++failed <= 5) MESSAGE("EVENKEEL_SEED=", seed, ":", words);
            static_cast<void>(one.release()); // what is left over refers to it
        }
        if (only != nullptr) break;
    }
    MESSAGE(ran, " cases, ", orders.size(), " different orders of ", sum.steps, " steps; requests ", sum.requests,
            ": whole ", sum.whole, ", errors ", sum.refused, ", cut and shown so ", sum.cut, ", left by their clients ",
            sum.left, ", behind a last answer ", sum.unasked, "; uploads ", sum.exchanges, ": whole ",
            sum.whole_uploads, ", cut ", sum.cut_uploads, ", MiB ", sum.bytes >> 20U, "; retries ", sum.retries,
            ", hedges ", sum.hedges, ", reloads ", sum.reloads, ", drains ", sum.drains);
    CHECK(failed == 0);
    if (only != nullptr) return;
    CHECK(orders.size() > static_cast<std::size_t>(ran) * 9 / 10);
    CHECK(sum.whole > sum.requests / 4);
    CHECK(sum.hedges > ran / 10);
    CHECK(sum.retries > ran / 10);
}

} // namespace evenkeel::test::upload_explorer_test
