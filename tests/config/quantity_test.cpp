#include "config/suggest.hpp"
#include "config/value.hpp"

#include <doctest/doctest.h>

#include <random>

namespace evenkeel::test::quantity_test {

using namespace evenkeel::config;
using namespace std::chrono_literals;

TEST_CASE("durations are read exactly and printed so that they are read again") {
    struct row {
        const char* text;
        duration value;
        const char* printed;
    };
    for (const row& r :
         {row{"250ms", 250ms, "250ms"}, row{"1.5s", 1500ms, "1s500ms"}, row{"1m30s", 90s, "1m30s"},
          row{"90s", 90s, "1m30s"}, row{"600s", 600s, "10m"}, row{"24h", 24h, "24h"}, row{"0s", 0s, "0s"},
          row{"5us", 5us, "5us"}, row{"0.001us", 1ns, "0.001us"}, row{"0.1s", 100ms, "100ms"},
          row{"0.000000001s", 1ns, "0.001us"}, row{"1h0.5m", 3630s, "1h30s"}, row{"30s1m", 90s, "1m30s"}}) {
        CAPTURE(r.text);
        const auto read = read_duration(r.text);
        REQUIRE(std::holds_alternative<duration>(read));
        CHECK(std::get<duration>(read) == r.value);
        CHECK(format_duration(r.value) == r.printed);
    }
}

TEST_CASE("whatever is no duration is refused, a bare number with advice") {
    for (const char* text : {"", "s", "5 s", "-5s", "+5s", "5.s", ".5s", "5S", "5sec", "5d", "1e3s", "5s ", "s5",
                             "1m30", "1,5s", "0x5s", "99999999999999999999s", "9999999999h", "1.0000000001s"}) {
        CAPTURE(text);
        CHECK(std::holds_alternative<failure>(read_duration(text)));
    }
    const auto bare = read_duration("500");
    REQUIRE(std::holds_alternative<failure>(bare));
    CHECK(std::get<failure>(bare).message.find("did you mean 500ms or 500s?") != std::string::npos);
}

TEST_CASE("any duration that is printed is read back") {
    std::mt19937_64 random(7);
    for (int i = 0; i < 5000; ++i) {
        const duration value{static_cast<std::int64_t>(random() >> (2 + random() % 60))};
        CAPTURE(value.count());
        const auto read = read_duration(format_duration(value));
        REQUIRE(std::holds_alternative<duration>(read));
        REQUIRE(std::get<duration>(read) == value);
    }
}

TEST_CASE("sizes have binary units") {
    struct row {
        const char* text;
        std::uint64_t count;
        const char* printed;
    };
    for (const row& r : {row{"0B", 0, "0B"}, row{"512B", 512, "512B"}, row{"64KiB", 65536, "64KiB"},
                         row{"2MiB", 2097152, "2MiB"}, row{"1024MiB", 1073741824, "1GiB"},
                         row{"1TiB", std::uint64_t{1} << 40U, "1TiB"}, row{"1025B", 1025, "1025B"}}) {
        CAPTURE(r.text);
        const auto read = read_size(r.text);
        REQUIRE(std::holds_alternative<bytes>(read));
        CHECK(std::get<bytes>(read).count == r.count);
        CHECK(format_size({r.count}) == r.printed);
    }
    for (const char* text : {"", "B", "64", "64K", "64KB", "64kib", "1.5MiB", "-1B", "64 KiB", "99999999999TiB",
                             "18446744073709551616B"}) {
        CAPTURE(text);
        CHECK(std::holds_alternative<failure>(read_size(text)));
    }
    CHECK(std::get<failure>(read_size("64")).message.find("64KiB") != std::string::npos);
    CHECK(std::get<failure>(read_size("64kb")).message.find("did you mean 64KiB?") != std::string::npos);
}

TEST_CASE("whole numbers are decimal, and only decimal") {
    CHECK(std::get<std::int64_t>(read_integer("0")) == 0);
    CHECK(std::get<std::int64_t>(read_integer("-12")) == -12);
    CHECK(std::get<std::int64_t>(read_integer("9223372036854775807")) == INT64_MAX);
    for (const char* text :
         {"", "-", "+1", "0777", "0x1f", "0b11", "0o17", "1_000", "1.0", "1e3", " 1", "9223372036854775808", ".5"}) {
        CAPTURE(text);
        CHECK(std::holds_alternative<failure>(read_integer(text)));
    }
}

TEST_CASE("shares are numbers, never percent") {
    CHECK(std::get<double>(read_number("0.2")) == 0.2);
    CHECK(std::get<double>(read_number("1")) == 1.0);
    for (const char* text : {"", "20%", ".2", "2.", "1e-3", "nan", "inf", "-0.1", "0x1"}) {
        CAPTURE(text);
        CHECK(std::holds_alternative<failure>(read_number(text)));
    }
    CHECK(std::get<failure>(read_number("20%")).message.find("0.2") != std::string::npos);
}

TEST_CASE("the distance of two words counts edits and swaps of neighbours") {
    CHECK(edit_distance("", "") == 0);
    CHECK(edit_distance("retry", "retrys") == 1);
    CHECK(edit_distance("lisetn", "listen") == 1);
    CHECK(edit_distance("kitten", "sitting") == 3);
    CHECK(edit_distance("abc", "") == 3);
}

TEST_CASE("a suggestion is close, and there is none for a word that is not") {
    const std::vector<std::string_view> keys{"listen", "limits", "log", "routes", "retry", "url"};
    CHECK(nearest("lisetn", keys) == "listen");
    CHECK(nearest("route", keys) == "routes");
    CHECK(nearest("ulr", keys) == "url");
    CHECK(nearest("retries", {"max_retries", "retry"}) == "retry");
    CHECK(nearest("hedges", {"hedge"}) == "hedge");
    CHECK_FALSE(nearest("banana", keys));
    CHECK_FALSE(nearest("", keys));
    CHECK_FALSE(nearest("x", keys));
    CHECK_FALSE(nearest(std::string(5000, 'l'), keys));
}

} // namespace evenkeel::test::quantity_test
