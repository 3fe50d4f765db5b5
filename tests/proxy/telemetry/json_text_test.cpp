#include "proxy/telemetry/json_text.hpp"

#include <boost/json.hpp>
#include <doctest/doctest.h>

#include <random>
#include <string>

namespace evenkeel::test::json_text_test {

using namespace evenkeel::telemetry;
using namespace std::chrono_literals;

namespace {

std::string escaped(std::string_view text) {
    std::string out(text.size() * max_escape, '\0');
    out.resize(static_cast<std::size_t>(write_escaped(out.data(), text) - out.data()));
    return out;
}
std::string stamp(wall_time when) {
    std::string out(timestamp_size, '\0');
    CHECK(write_timestamp(out.data(), when) == out.data() + out.size());
    return out;
}
std::string seconds(duration value) {
    char out[max_seconds_size];
    return {out, write_seconds(out, value)};
}

} // namespace

TEST_CASE("what could end a line, move a cursor or is not UTF-8 is escaped") {
    struct row {
        const char* name;
        std::string_view text, expected;
    };
    using namespace std::string_view_literals;
    for (const auto& [name, text, expected] : {
             row{"plain", "/v1/chat/completions", "/v1/chat/completions"},
             row{"CR LF", "a\r\nb", "a\\u000d\\u000ab"},
             row{"ESC", "\x1b[2J", "\\u001b[2J"},
             row{"NUL", "a\0b"sv, "a\\u0000b"},
             row{"DEL", "a\x7f", "a\\u007f"},
             row{"quote and backslash", "\"\\", "\\\"\\\\"},
             row{"within a run of eight", "abcdefg\"hijklmno\\pqrstuvw\n", "abcdefg\\\"hijklmno\\\\pqrstuvw\\u000a"},
             row{"UTF-8 of two, three, four bytes", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80",
                 "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
             row{"C1 control",
                 "\xc2\x9b"
                 "2J",
                 "\\u009b2J"},
             row{"no-break space is not a control", "\xc2\xa0", "\xc2\xa0"},
             row{"lone continuation", "a\x80z", "a\\ufffdz"},
             row{"overlong slash", "\xc0\xaf", "\\ufffd\\ufffd"},
             row{"overlong of three", "\xe0\x80\xaf", "\\ufffd\\ufffd\\ufffd"},
             row{"surrogate", "\xed\xa0\x80", "\\ufffd\\ufffd\\ufffd"},
             row{"beyond U+10FFFF", "\xf4\x90\x80\x80", "\\ufffd\\ufffd\\ufffd\\ufffd"},
             row{"cut short", "\xe2\x82", "\\ufffd\\ufffd"},
             row{"empty", "", ""},
         }) {
        CAPTURE(name);
        CHECK(escaped(text) == expected);
    }
}

TEST_CASE("random bytes always make a JSON string on one line, and ASCII text survives") {
    const unsigned seed = 20261123;
    CAPTURE(seed);
    std::mt19937 random(seed);
    for (int i = 0; i < 20'000; ++i) {
        std::string text(random() % 40, '\0');
        const bool ascii = i % 2 == 0;
        for (auto& c : text) c = static_cast<char>(random() % (ascii ? 128 : 256));

        std::string quoted;
        append_quoted(quoted, text);
        for (const char c : quoted) REQUIRE(static_cast<unsigned char>(c) >= 0x20);
        boost::system::error_code error;
        const auto read = boost::json::parse(quoted, error);
        REQUIRE_FALSE(error);
        if (ascii) REQUIRE(std::string_view(read.as_string()) == text);
    }
}

TEST_CASE("stamps are RFC 3339 with milliseconds, in UTC") {
    CHECK(stamp(wall_time{}) == "1970-01-01T00:00:00.000Z");
    CHECK(stamp(wall_time{1'790'159'975s + 123'999'999ns}) == "2026-09-23T10:39:35.123Z");
    CHECK(stamp(wall_time{951'782'399s + 999ms}) == "2000-02-28T23:59:59.999Z");
    CHECK(stamp(wall_time{951'782'400s}) == "2000-02-29T00:00:00.000Z");
    CHECK(stamp(wall_time{-1ms}) == "1969-12-31T23:59:59.999Z");
}

TEST_CASE("seconds have six decimals") {
    CHECK(seconds(0ns) == "0.000000");
    CHECK(seconds(-3s) == "0.000000");
    CHECK(seconds(999ns) == "0.000000");
    CHECK(seconds(1us) == "0.000001");
    CHECK(seconds(1250ms) == "1.250000");
    CHECK(seconds(duration::max()) == "9223372036.854775");
}

} // namespace evenkeel::test::json_text_test
