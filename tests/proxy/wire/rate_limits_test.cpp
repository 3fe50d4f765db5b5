#include "proxy/wire/rate_limits.hpp"

#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

namespace evenkeel::test::rate_limits_test {

using namespace evenkeel::wire;
using namespace std::chrono_literals;

namespace {
const wall_time noon{std::chrono::sys_days{std::chrono::year{2026} / 11 / 24}.time_since_epoch() + 12h};
using fields = std::vector<std::pair<std::string, std::string>>;

quota_fields read(const fields& told) {
    response_head head;
    head.status = 200;
    for (const auto& [name, value] : told)
        head.fields.push_back({name, value, name == "date" ? field_id::date : field_id::other});
    return read_rate_limits(head, noon);
}
quota_field of(double limit, double remaining, duration reset) {
    return {.limit = limit, .remaining = remaining, .reset = reset};
}
} // namespace

TEST_CASE("rate limits: OpenAI and those who copy it, with resets as durations") {
    const auto told = read({{"x-ratelimit-limit-requests", "60"},
                            {"X-RateLimit-Remaining-Requests", "59"},
                            {"x-ratelimit-reset-requests", "1s"},
                            {"x-ratelimit-limit-tokens", "150000"},
                            {"x-ratelimit-remaining-tokens", "149984"},
                            {"x-ratelimit-reset-tokens", "6m0s"}});
    CHECK(told.at(quota_unit::requests) == of(60, 59, 1s));
    CHECK(told.at(quota_unit::tokens) == of(150000, 149984, 6min));
    CHECK_FALSE(told.at(quota_unit::input_tokens).any());
    CHECK(read({{"x-ratelimit-remaining-requests", "1"}, {"x-ratelimit-reset-requests", "20ms"}})
              .at(quota_unit::requests)
              .reset == duration{20ms});
    // Groq: of a day.
    CHECK(read({{"x-ratelimit-limit-requests", "14400"},
                {"x-ratelimit-remaining-requests", "14370"},
                {"x-ratelimit-reset-requests", "2m59.56s"}})
              .at(quota_unit::requests) == of(14400, 14370, 179560ms));
}

TEST_CASE("rate limits: Anthropic, with moments, measured by the answer's own clock") {
    const fields told{{"date", "Tue, 24 Nov 2026 13:00:00 GMT"},
                      {"anthropic-ratelimit-requests-limit", "50"},
                      {"anthropic-ratelimit-requests-remaining", "49"},
                      {"anthropic-ratelimit-requests-reset", "2026-11-24T13:00:02Z"},
                      {"anthropic-ratelimit-input-tokens-limit", "40000"},
                      {"anthropic-ratelimit-input-tokens-remaining", "39000"},
                      {"anthropic-ratelimit-input-tokens-reset", "2026-11-24T13:00:30Z"},
                      {"anthropic-ratelimit-output-tokens-remaining", "7000"},
                      {"anthropic-ratelimit-tokens-remaining", "46000"}};
    const auto all = read(told);
    CHECK(all.at(quota_unit::requests) == of(50, 49, 2s));
    CHECK(all.at(quota_unit::input_tokens) == of(40000, 39000, 30s));
    CHECK(all.at(quota_unit::output_tokens).remaining == 7000);
    CHECK(all.at(quota_unit::tokens).remaining == 46000);
}

TEST_CASE("rate limits: Azure tells what is left, the IETF's drafts in their forms") {
    const auto azure = read({{"x-ratelimit-remaining-requests", "9"}, {"x-ratelimit-remaining-tokens", "-1"}});
    CHECK(azure.at(quota_unit::requests).remaining == 9);
    CHECK_FALSE(azure.at(quota_unit::requests).limit);
    CHECK_FALSE(azure.at(quota_unit::tokens).any());
    const quota_field whole{.limit = 100, .remaining = 50, .reset = duration{30s}, .window = duration{60s}};
    CHECK(read({{"ratelimit-policy", R"("default";q=100;w=60)"}, {"RateLimit", R"("default";r=50;t=30)"}})
              .at(quota_unit::requests) == whole);
    CHECK(read({{"ratelimit", "limit=100, remaining=50, reset=30"}}).at(quota_unit::requests) == of(100, 50, 30s));
    CHECK(read({{"ratelimit-limit", "100, 100;w=60"}, {"ratelimit-remaining", "50"}, {"ratelimit-reset", "30"}})
              .at(quota_unit::requests) == of(100, 50, 30s));
    // Of several policies the first.
    CHECK(read({{"ratelimit", R"("burst";r=5;t=1, "day";r=900;t=80000)"}}).at(quota_unit::requests).remaining == 5);
}

TEST_CASE("rate limits: what cannot be read is not there") {
    for (const char* value : {"", "many", "-5", "nan", "inf", "0x10", "1e"}) {
        CAPTURE(value);
        const auto told = read({{"x-ratelimit-remaining-requests", value}, {"x-ratelimit-reset-requests", value}});
        const bool number = std::string{value} == "0x10" || std::string{value} == "1e"; // as far as it is one
        CHECK(told.at(quota_unit::requests).remaining.has_value() == number);
    }
    for (const char* name : {"x-ratelimit-", "x-ratelimit-remaining", "x-ratelimit-remaining-images", "ratelimit-",
                             "ratelimitless", "anthropic-ratelimit-", "anthropic-ratelimit-requests", "x-rate"}) {
        CAPTURE(name);
        CHECK_FALSE(read({{name, "5"}}).any());
    }
}

} // namespace evenkeel::test::rate_limits_test
