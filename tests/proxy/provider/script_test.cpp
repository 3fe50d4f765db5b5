#include "proxy/provider/answers.hpp"
#include "proxy/provider/script.hpp"
#include "proxy/provider/wire.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace evenkeel::provider::script_test {

TEST_CASE("a script is read setting by setting") {
    const auto script = script_choice{"status=429; retry_after=2 ;events=20;gap=10ms;stall_after=5;unicode"}.pick(0);

    CHECK(script.status == 429);
    CHECK(script.retry_after == "2");
    CHECK(script.events == 20);
    CHECK(script.gap.value_ns == 10'000'000);
    REQUIRE(script.stall_after.has_value());
    CHECK(script.stall_after->is == script_place::at::events);
    CHECK(script.stall_after->count == 5);
    CHECK(script.unicode);
}

TEST_CASE("places are phases, events or bytes") {
    const auto place = [](const std::string& text) {
        return *script_choice{"close_after=" + text}.pick(0).close_after;
    };

    CHECK(place("request").is == script_place::at::request);
    CHECK(place("status_line").is == script_place::at::status_line);
    CHECK(place("head").is == script_place::at::head);
    CHECK(place("100b").is == script_place::at::bytes);
    CHECK(place("2KiB").count == 2048);
}

TEST_CASE("alternatives share the unit interval, and the rest is healthy") {
    const script_choice choice{"0.25: status=500 | 0.25: status=503"};

    CHECK(choice.pick(0).status == 500);
    CHECK(choice.pick(0.2499).status == 500);
    CHECK(choice.pick(0.25).status == 503);
    CHECK(choice.pick(0.5).status == 0);
    CHECK(choice.pick(0.9999).status == 0);
    CHECK(script_choice{"0.5: status=500 | delay=lognormal:800ms:0.45"}.pick(0.7).delay.value_ns == 800'000'000);
}

TEST_CASE("a quota is a number of requests and a time") {
    const auto script = script_choice{"quota=20/500ms; key=k"}.pick(0);
    CHECK(script.quota == 20);
    CHECK(script.quota_window_ns == 500'000'000);
    CHECK_FALSE(script.quota_fills_steadily);
    CHECK(script.quota_says.empty());
    const auto told = script_choice{"quota=20/1s; quota_fills=steadily; quota_says=openai"}.pick(0);
    CHECK(told.quota_fills_steadily);
    CHECK(told.quota_says == "openai");
}

TEST_CASE("a bad script names what is wrong") {
    for (const char* text : {"bogus",
                             "status=x",
                             "gap=5",
                             "gap=5m",
                             "error=nothing",
                             "keepalive=3",
                             "header=x",
                             "delay=lognormal:1s",
                             "close_after=far",
                             "quota=5",
                             "quota=0/1s",
                             "quota=5/0ms",
                             "quota_says=nobody",
                             "quota_fills=never",
                             "x: status=500",
                             "split=",
                             "events=1 2",
                             R"(raw=\q)",
                             R"(raw=\x4g)",
                             "raw=\\"}) {
        CAPTURE(std::string{text});
        CHECK_THROWS_AS(script_choice{text}, script_error);
    }
}

TEST_CASE("drawn times follow their law") {
    const auto lognormal = script_choice{"delay=lognormal:100ms:0.5"}.pick(0).delay;
    const auto uniform = script_choice{"delay=uniform:10ms:30ms"}.pick(0).delay;
    std::vector<std::int64_t> draws;
    for (int i = 0; i < 100; ++i)
        for (int k = 0; k < 100; ++k) draws.push_back(lognormal.draw((i + 0.5) / 100, (k + 0.5) / 100));
    std::sort(draws.begin(), draws.end());

    CHECK(draws[5000] > 98'000'000);
    CHECK(draws[5000] < 102'000'000);
    CHECK(draws[8413] > 155'000'000); // one sigma: exp(0.5) = 1.65
    CHECK(draws[8413] < 175'000'000);
    CHECK(uniform.draw(0, 0) == 10'000'000);
    CHECK(uniform.draw(0.5, 0) == 20'000'000);
}

TEST_CASE("nonces, paths and gzip") {
    CHECK(find_nonce(R"({"x":"say nonce:a-1.b_C please"})") == "a-1.b_C");
    CHECK(find_nonce("{}").empty());
    CHECK(api_path("/backup/v1/models?x=/v1/") == "/v1/models");
    CHECK(api_path("/echo") == "/echo");

    stored_gzip gzip;
    const auto begun = gzip.block("hello ");
    const auto more = gzip.block("world");
    const auto end = gzip.finish();
    CHECK(begun.substr(0, 3) == "\x1f\x8b\x08");
    // CRC-32 of "hello world" is 0x0d4a1185, least significant byte first, then the length.
    CHECK(end.substr(5) == std::string("\x85\x11\x4a\x0d\x0b\x00\x00\x00", 8));
    CHECK(more.substr(0, 5) == std::string("\x00\x05\x00\xfa\xff", 5));
}

} // namespace evenkeel::provider::script_test
