#include "proxy/wire/retry_hint.hpp"

#include <doctest/doctest.h>

#include <fmt/format.h>

#include <string>
#include <utility>
#include <vector>

namespace evenkeel::test::retry_hint_test {

using namespace evenkeel::wire;
using namespace std::chrono_literals;

namespace {
const wall_time noon{std::chrono::sys_days{std::chrono::year{2026} / 11 / 24}.time_since_epoch() + 12h};

field_id id_of(std::string_view name) {
    return name == "retry-after"      ? field_id::retry_after
           : name == "date"           ? field_id::date
           : name == "x-should-retry" ? field_id::x_should_retry
                                      : field_id::other;
}
std::optional<duration> hint(const std::vector<std::pair<std::string, std::string>>& fields,
                             const error_facts& error = {}) {
    response_head head;
    head.status = 429;
    for (const auto& [name, value] : fields) head.fields.push_back({name, value, id_of(name)});
    return retry_hint(head, error, noon);
}
} // namespace

TEST_CASE("P3.5: numbers in every spelling, in seconds and milliseconds") {
    int rows = 0;
    const auto expect = [&](const std::string& value, std::optional<duration> seconds) {
        CAPTURE(value);
        ++rows;
        CHECK(hint({{"retry-after", value}}) == seconds);
        for (const char* name : {"retry-after-ms", "x-ms-retry-after-ms"}) {
            const auto ms = hint({{name, value}});
            CHECK(ms.has_value() == seconds.has_value());
            if (ms && seconds) CHECK(std::chrono::abs(*ms - *seconds / 1000) <= 1us);
        }
    };
    for (int n = 0; n < 60; ++n) expect(std::to_string(n), std::chrono::seconds(n));
    for (int n = 0; n < 40; ++n)
        expect(fmt::format("{}.{}", n, n % 10), duration{std::chrono::seconds(n)} + n % 10 * 100ms);
    for (int n = 1; n < 30; ++n) expect(fmt::format("00{}", n), std::chrono::seconds(n));
    for (int n = 1; n < 30; ++n) expect(fmt::format("  {} ", n), std::chrono::seconds(n));
    for (int n = 1; n < 20; ++n) expect(fmt::format("-{}", n), std::nullopt);
    for (const char* bad : {"",
                            " ",
                            "+5",
                            "1e3",
                            "1e309",
                            "0x10",
                            "inf",
                            "nan",
                            "NaN",
                            "Infinity",
                            "1,5",
                            "5s",
                            "five",
                            ".5",
                            "1.2.3",
                            "5 6",
                            "5;q=1",
                            "999999999999",
                            "99999999999999999999999999999999999",
                            "\x01",
                            "5\t5",
                            "--5",
                            "1_000",
                            "٣"}) {
        expect(bad, std::nullopt);
    }
    CHECK(rows >= 200);
}

TEST_CASE("dates in three forms, against the answer's own clock") {
    const std::string date = "Tue, 24 Nov 2026 12:00:00 GMT";
    for (const char* later :
         {"Tue, 24 Nov 2026 12:01:30 GMT", "Tuesday, 24-Nov-26 12:01:30 GMT", "Tue Nov 24 12:01:30 2026"}) {
        CAPTURE(later);
        CHECK(hint({{"retry-after", later}, {"date", date}}) == 90s);
        CHECK(hint({{"retry-after", later}}) == 90s); // the local clock
    }
    // A skewed clock.
    CHECK(hint({{"retry-after", "Tue, 24 Nov 2026 12:01:30 GMT"}, {"date", "Tue, 24 Nov 2026 12:01:00 GMT"}}) == 30s);
    CHECK(hint({{"retry-after", "Tue, 24 Nov 2026 11:59:00 GMT"}, {"date", date}}) == 0s);
    CHECK(hint({{"retry-after", "Sun Nov  1 12:00:00 2026"}}) == 0s);
    for (const char* bad : {"Tue, 31 Feb 2026 12:00:00 GMT", "Tue, 24 Nov 2026 25:00:00 GMT",
                            "Tue, 24 Nov 2026 12:00:00", "24 Nov 2026 12:00:00 GMT", "Tue, 24 Nov 2026 12:00:00 CET",
                            "Tue, 24 Now 2026 12:00:00 GMT", "Tue, 24 Nov 2526 12:00:00 GMT"}) {
        CAPTURE(bad);
        CHECK_FALSE(hint({{"retry-after", bad}}));
    }
}

TEST_CASE("the first that can be read wins") {
    error_facts google;
    google.retry_delay = 46s;
    CHECK(hint({{"retry-after", "7"}, {"retry-after-ms", "1500"}}) == 1500ms);
    CHECK(hint({{"retry-after", "7"}, {"retry-after-ms", "soon"}}) == 7s);
    CHECK(hint({{"retry-after", "7"}}, google) == 7s);
    CHECK(hint({}, google) == 46s);
    CHECK(hint({{"retry-after", "3"}, {"retry-after", "9"}}) == 3s);
    CHECK_FALSE(hint({}));
}

TEST_CASE("limits that are used up say when they are full again") {
    CHECK(hint({{"x-ratelimit-remaining-requests", "0"}, {"x-ratelimit-reset-requests", "6m0s"}}) == 6min);
    CHECK(hint({{"x-ratelimit-remaining-requests", "0"}, {"x-ratelimit-reset-requests", "120ms"}}) == 120ms);
    CHECK(hint({{"x-ratelimit-remaining-tokens", "0"}, {"x-ratelimit-reset-tokens", "1h2m3.5s"}}) ==
          1h + 2min + 3500ms);
    CHECK(hint({{"x-ratelimit-remaining-tokens", "0"}, {"x-ratelimit-reset-tokens", "17"}}) == 17s);
    CHECK(hint({{"x-ratelimit-remaining-requests", "0"},
                {"x-ratelimit-reset-requests", "1s"},
                {"x-ratelimit-remaining-tokens", "0"},
                {"x-ratelimit-reset-tokens", "2s"}}) == 2s);
    CHECK_FALSE(hint({{"x-ratelimit-remaining-requests", "3"}, {"x-ratelimit-reset-requests", "6m0s"}}));
    CHECK_FALSE(hint({{"x-ratelimit-remaining-requests", "0"}, {"x-ratelimit-reset-requests", "later"}}));
    for (const char* when : {"2026-11-24T12:00:30Z", "2026-11-24T12:00:30.25Z", "2026-11-24T13:00:30+01:00",
                             "2026-11-24T06:30:30-05:30"}) {
        CAPTURE(when);
        CHECK(hint({{"anthropic-ratelimit-tokens-remaining", "0"}, {"anthropic-ratelimit-tokens-reset", when}}) == 30s);
    }
    CHECK(hint({{"anthropic-ratelimit-requests-remaining", "0"},
                {"anthropic-ratelimit-requests-reset", "2026-11-24T11:00:00Z"}}) == 0s);
    for (const char* bad :
         {"2026-11-24", "2026-11-24T12:00:30", "2026-13-24T12:00:30Z", "x", "2026-11-24T12:00:30+0100"}) {
        CHECK_FALSE(
            hint({{"anthropic-ratelimit-requests-remaining", "0"}, {"anthropic-ratelimit-requests-reset", bad}}));
    }
}

TEST_CASE("x-should-retry, and what clients say of their timeouts") {
    response_head head;
    CHECK_FALSE(should_retry(head));
    for (const auto& [value, meant] : std::vector<std::pair<std::string, std::optional<bool>>>{
             {"true", true}, {"false", false}, {"TRUE", std::nullopt}, {"", std::nullopt}, {"1", std::nullopt}}) {
        head.fields = {{"x-should-retry", value, field_id::x_should_retry}};
        CHECK(should_retry(head) == meant);
    }
    CHECK(parse_seconds("600") == 600s);
    CHECK(parse_seconds("2.5") == 2500ms);
    for (const char* bad : {"0", "-1", "", "nan", "1e9", "10m"}) CHECK_FALSE(parse_seconds(bad));
}

} // namespace evenkeel::test::retry_hint_test
