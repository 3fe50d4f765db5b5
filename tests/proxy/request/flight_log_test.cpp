#include "proxy/coalesce/flight_log.hpp"

#include <doctest/doctest.h>

#include <random>
#include <string>
#include <vector>

namespace evenkeel::test::flight_log_test {

using namespace evenkeel::request;
using telemetry::coalesce_detachment;

namespace {
std::string rest_of(flight_log& log, flight_log::cursor& place) {
    std::string out;
    while (const auto piece = log.take(place)) out += *piece->bytes;
    return out;
}
} // namespace

TEST_CASE("a reader that joins late replays from the first byte, then follows") {
    memory_bound memory;
    flight_log log(memory, 100);
    flight_log::cursor early, late;
    log.join(early);
    log.append("abc", true, false);
    log.append("def", false, true);
    CHECK(rest_of(log, early) == "abcdef");
    CHECK(log.wants_more());

    REQUIRE(log.open());
    log.join(late);
    const auto first = log.take(late);
    REQUIRE(first);
    CHECK(first->first_event);
    CHECK_FALSE(late.between_events);
    CHECK(rest_of(log, late) == "def");
    CHECK(late.between_events);
    CHECK(memory.used() == 6);
}

TEST_CASE("beyond the bound nobody joins, and only what somebody has yet to read is held") {
    memory_bound memory;
    flight_log log(memory, 10);
    flight_log::cursor fast, slow;
    log.join(fast);
    log.join(slow);
    log.append("0123456789", false, true);
    CHECK(log.open()); // exactly the bound
    CHECK(rest_of(log, fast).size() == 10);
    log.append("ab", false, true);
    CHECK_FALSE(log.open());
    CHECK(log.held() == 12); // the slow one has read nothing: 10 behind the fastest, which is allowed
    CHECK_FALSE(slow.detached);

    CHECK(rest_of(log, fast) == "ab");
    log.append("c", false, true); // now it is 12 behind
    CHECK(slow.detached == coalesce_detachment::slow);
    CHECK_FALSE(log.take(slow));
    CHECK(log.held() == 1);
    CHECK(memory.used() == 1);
    CHECK(rest_of(log, fast) == "c");
    CHECK_FALSE(fast.detached);
    CHECK(log.readers() == 1);
}

TEST_CASE("without room in the memory bound the slower ones are detached, and the fastest still gets every byte") {
    memory_bound memory;
    memory.set_limit(4);
    flight_log log(memory, 1000);
    flight_log::cursor fast, slow;
    log.join(fast);
    log.join(slow);
    log.append("abcd", false, true);
    CHECK(rest_of(log, fast) == "abcd");
    log.append("efghij", false, true); // more than there is room for at all
    CHECK_FALSE(log.open());
    CHECK(slow.detached == coalesce_detachment::memory);
    CHECK_FALSE(fast.detached);
    CHECK(rest_of(log, fast) == "efghij");
    CHECK(memory.used() == 0);
    log.leave(slow);
    log.leave(fast);
    CHECK(log.deserted());
}

TEST_CASE("the memory charge is exact whatever readers do, and goes back at the end") {
    memory_bound memory;
    for (std::uint32_t seed = 1; seed <= 2000; ++seed) {
        CAPTURE(seed);
        std::mt19937 random(seed);
        memory.set_limit(random() % 3 == 0 ? 200 : 100000);
        std::string whole;
        std::vector<std::string> read(5);
        std::vector<flight_log::cursor> places(5);
        {
            flight_log log(memory, 1 + random() % 300);
            log.join(places[0]);
            for (int step = 0; step < 60; ++step) {
                const std::size_t who = random() % places.size();
                switch (random() % 4) {
                case 0:
                    if (log.wants_more()) {
                        const std::string piece(1 + random() % 40, static_cast<char>('a' + step % 26));
                        whole += piece;
                        log.append(piece, false, true);
                    }
                    break;
                case 1:
                    if (log.open() && !places[who].reads && !places[who].detached && read[who].empty())
                        log.join(places[who]);
                    break;
                case 2:
                    if (who != 0 && random() % 4 == 0) log.leave(places[who]);
                    break;
                default:
                    if (const auto piece = log.take(places[who])) read[who] += *piece->bytes;
                }
                REQUIRE(memory.used() <= log.held());
            }
            for (std::size_t i = 0; i < places.size(); ++i) {
                if (places[i].reads) read[i] += rest_of(log, places[i]);
                if (places[i].reads) REQUIRE(read[i] == whole);
                REQUIRE(whole.starts_with(read[i])); // who left or was detached has a beginning, never something else
            }
        }
        REQUIRE(memory.used() == 0);
    }
}

} // namespace evenkeel::test::flight_log_test
