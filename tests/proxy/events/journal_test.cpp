// What a request's journal keeps, and what its account counts of what goes into it.

#include "proxy/events/journal.hpp"

#include "proxy/events/observer.hpp"
#include "proxy/events/request_account.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <string>
#include <vector>

namespace evenkeel::test::journal_test {

using namespace evenkeel::telemetry;
using namespace std::chrono_literals;

namespace {

constexpr steady_time start{100s};

struct upstreams {
    config::upstream first, second;
    upstreams() {
        first.name = "a";
        second.name = "b";
    }
};

const happened::passed_over overloaded{attempt_purpose::retry, retry_denial::overload};
const happened::passed_over too_dear{attempt_purpose::retry, retry_denial::budget};

std::vector<std::string> names_of(const journal& of) {
    std::vector<std::string> names;
    for (const auto& one : of) names.emplace_back(words_of(one.what).name);
    return names;
}

} // namespace

TEST_CASE("a journal keeps what happened in order, with its time, its endpoint and its attempt") {
    const upstreams of;
    journal kept;
    kept.add(start, &of.first, 1, happened::launched{attempt_kind::first, "first"});
    kept.add(start + 2500ms, &of.first, 1, happened::ended{attempt_result::server_error, 503, 2500ms, "slow_down"});
    kept.add(start + 2600ms, nullptr, 0, happened::gave_up{"refused", retry_denial::limit});

    REQUIRE(kept.size() == 3);
    CHECK(kept.begin()->at == start);
    CHECK(kept.begin()->upstream == &of.first);
    CHECK(kept.begin()->attempt == 1);
    CHECK(std::get<happened::ended>((kept.begin() + 1)->what).status == 503);
    CHECK(kept.left_out() == 0);
    CHECK(text_of(kept, start) == "+0.000s launched first attempt=1 upstream=a; "
                                  "+2.500s server_error slow_down attempt=1 upstream=a status=503; "
                                  "+2.600s gave_up refused");
}

TEST_CASE("of a request with more events than are kept the beginning and the end are, and the rest is counted") {
    const upstreams of;
    journal kept;
    constexpr int many = 1000;
    for (int i = 0; i < many; ++i)
        kept.add(start + std::chrono::seconds{i}, &of.first, static_cast<attempt_number>(i + 1),
                 happened::launched{attempt_kind::retry, "retry"});

    CHECK(kept.size() == journal::most_entries);
    CHECK(kept.left_out() == many - journal::most_entries);
    std::size_t place = 0;
    for (const auto& one : kept) {
        const std::size_t half = journal::most_entries / 2;
        const std::size_t number = place < half ? place : many - journal::most_entries + place;
        CAPTURE(place);
        CHECK(one.attempt == number + 1);
        ++place;
    }
    const std::string text = text_of(kept, start);
    const auto gap = text.find("attempt=32 upstream=a; (936 left out); +968.000s launched retry attempt=969");
    CHECK(gap != std::string::npos);
    CHECK(text.find("left out", gap + 40) == std::string::npos);
}

TEST_CASE("a journal of exactly as many events as are kept leaves nothing out") {
    journal kept;
    for (std::size_t i = 0; i < journal::most_entries; ++i)
        kept.add(start, nullptr, static_cast<attempt_number>(i), happened::committed{"answer"});
    CHECK(kept.size() == journal::most_entries);
    CHECK(kept.left_out() == 0);
    CHECK(text_of(kept, start).find("left out") == std::string::npos);
}

TEST_CASE("what is told again and again while nothing else happens is one entry with a count") {
    const upstreams of;
    journal kept;
    kept.add(start, nullptr, 0, happened::holding{retry_denial::circuit_open});
    for (int i = 1; i <= 3; ++i) {
        // In turns: each is the same as one before, if not as the last.
        kept.add(start + std::chrono::seconds{i}, &of.first, 0, overloaded);
        kept.add(start + std::chrono::seconds{i}, &of.second, 0, overloaded);
        kept.add(start + std::chrono::seconds{i}, &of.second, 0, too_dear);
        kept.add(start + std::chrono::seconds{i}, &of.first, 0, happened::not_hedged{hedge_refusal::budget});
        kept.add(start + std::chrono::seconds{i}, &of.first, 0, happened::overdue{});
    }
    REQUIRE(kept.size() == 6);
    for (auto one = kept.begin() + 1; one != kept.end(); ++one) {
        CHECK(one->times == 3);
        CHECK(one->at == start + 1s); // of the first
    }
    CHECK(text_of(kept, start)
              .starts_with("+0.000s holding circuit_open; +1.000s passed_over overload upstream=a "
                           "times=3; +1.000s passed_over overload upstream=b times=3; "));

    // Once something else has happened it is told anew; and of another attempt, for another reason, of another kind.
    kept.add(start + 4s, &of.first, 1, happened::launched{attempt_kind::first, "first"});
    kept.add(start + 5s, &of.first, 1, happened::overdue{});
    kept.add(start + 5s, &of.first, 2, happened::overdue{});
    kept.add(start + 5s, &of.first, 0, overloaded);
    kept.add(start + 5s, &of.first, 0, happened::passed_over{attempt_purpose::first, retry_denial::overload});
    CHECK(kept.size() == 11);
    CHECK((kept.end() - 1)->times == 1);
    CHECK((kept.begin() + 1)->times == 3);
}

TEST_CASE("a count of repetitions ends at what it can hold") {
    journal kept;
    for (int i = 0; i < 70'000; ++i) kept.add(start, nullptr, 0, happened::overdue{});
    REQUIRE(kept.size() == 1);
    CHECK(kept.begin()->times == 65'535);
    CHECK(kept.left_out() == 0);
}

TEST_CASE("what is no repetition by nature is kept each time") {
    journal kept;
    for (int i = 0; i < 3; ++i) kept.add(start, nullptr, 0, happened::holding{retry_denial::circuit_open});
    for (int i = 0; i < 2; ++i) kept.add(start, nullptr, 0, happened::upcast{upcast_result::assembled});
    CHECK(kept.size() == 5);
}

TEST_CASE("every event has words, and the text of a journal is one line") {
    const std::vector<any_happening> all{
        happened::queued{.admitted = true},
        happened::queued{.refused = bulkhead_refusal::queue_full},
        happened::queued{},
        happened::joined{coalesce_role::leader},
        happened::detached{coalesce_detachment::slow},
        happened::shared_flight_ended{},
        happened::launched{attempt_kind::hedge, "hedge"},
        overloaded,
        happened::not_followed{retry_denial::deadline},
        happened::not_hedged{hedge_refusal::guard},
        happened::overdue{},
        happened::committed{"first_event"},
        happened::holding{retry_denial::no_endpoint},
        happened::held{1s, true},
        happened::held{1s, false},
        happened::pacing{},
        happened::paced{1s, happened::paced::end::went_through},
        happened::gave_up{"deadline", retry_denial::deadline},
        happened::ended{attempt_result::success, 200},
        happened::faulted{chaos_fault::stall},
        happened::upcast{upcast_result::refused},
        happened::resumed{stream_resumption::differs},
        happened::step_skipped{fallback_kind::route, fallback_skip::no_time},
        happened::step_taken{fallback_kind::respond},
        happened::ladder_exhausted{},
    };
    journal kept;
    for (const auto& one : all) {
        CHECK(!words_of(one).name.empty());
        kept.add(start, nullptr, 0, one);
    }
    CHECK(names_of(kept) == std::vector<std::string>{"admitted",
                                                     "refused",
                                                     "left",
                                                     "joined",
                                                     "detached",
                                                     "shared_flight_ended",
                                                     "launched",
                                                     "passed_over",
                                                     "not_followed",
                                                     "not_hedged",
                                                     "overdue",
                                                     "committed",
                                                     "holding",
                                                     "held",
                                                     "held",
                                                     "pacing",
                                                     "paced",
                                                     "gave_up",
                                                     "success",
                                                     "chaos",
                                                     "upcast",
                                                     "stream",
                                                     "fallback_skipped",
                                                     "fallback",
                                                     "fallback_exhausted"});
    const std::string text = text_of(kept, start);
    CHECK(text.find("+0.000s refused queue_full; +0.000s left bulkhead; ") != std::string::npos);
    CHECK(text.find("held went_on; +0.000s held gave_up; ") != std::string::npos);
    CHECK(text.find('\n') == std::string::npos);
}

TEST_CASE("an account counts what goes into its journal, and numbers the attempts that are launched") {
    const upstreams of;
    config::route route;
    request_account account{.request_id = "r-1"};
    const event_origin first{&route, &of.first}, second{&route, &of.second, {}, 7};
    account.note(start, {&route}, happened::queued{.waited = 125ms, .in_line = true, .admitted = true});
    account.note(start, {&route}, happened::holding{retry_denial::circuit_open});
    account.note(start + 250ms, {&route}, happened::held{250ms, true});
    account.note(start + 250ms, first, happened::launched{attempt_kind::first, "first"});
    account.note(start + 1s, second,
                 happened::launched{attempt_kind::hedge, "hedge"}); // the next one, whatever is said
    account.note(start + 2s, {&route}, happened::held{50ms, false});
    account.note(start + 2s, first, happened::faulted{chaos_fault::abort});
    account.note(start + 2s, first, happened::faulted{chaos_fault::stall});
    account.note(start + 2s, second, happened::ended{attempt_result::success, 200});

    CHECK(account.effort.attempts == 2);
    CHECK(account.effort.hedges == 1);
    CHECK(account.effort.queued == 125ms);
    CHECK(account.effort.held == 300ms);
    CHECK(account.effort.chaos ==
          (1U << static_cast<unsigned>(chaos_fault::abort) | 1U << static_cast<unsigned>(chaos_fault::stall)));
    REQUIRE(account.journal.size() == 9);
    CHECK((account.journal.begin() + 3)->attempt == 1);
    CHECK((account.journal.begin() + 4)->attempt == 2);
    CHECK((account.journal.begin() + 8)->attempt == 7);
}

TEST_CASE("who listens hears of an event once it is in the account, with the request's id and the attempt's number") {
    struct listening final : observer {
        std::vector<event_origin> of;
        std::vector<std::string> what;
        void request_event(const event_origin& origin, const any_happening& happening) noexcept override {
            of.push_back(origin);
            what.emplace_back(words_of(happening).name);
        }
    } to;
    config::route route;
    const upstreams of;
    request_account account{.request_id = "r-1"};
    account.tell(to, start, {&route, &of.first}, happened::launched{attempt_kind::first, "first"});
    account.tell(to, start, {&route, &of.second}, happened::launched{attempt_kind::retry, "failover"});
    account.tell(to, start, {&route, &of.second, {}, 2}, happened::committed{"answer"});
    account.tell(to, start, {&route}, happened::holding{retry_denial::circuit_open});

    CHECK(to.what == std::vector<std::string>{"launched", "launched", "committed", "holding"});
    const std::vector<attempt_number> attempts{1, 2, 2, 0};
    for (std::size_t i = 0; i < to.of.size(); ++i) {
        CHECK(to.of[i].request_id == "r-1");
        CHECK(to.of[i].route == &route);
        CHECK(to.of[i].attempt == attempts[i]);
    }
    CHECK(to.of[1].upstream == &of.second);
    CHECK(account.journal.size() == 4);
}

} // namespace evenkeel::test::journal_test
