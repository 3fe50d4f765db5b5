#include "config/glob.hpp"

#include <doctest/doctest.h>

#include <random>
#include <string>

namespace evenkeel::test::glob_test {

using evenkeel::config::glob_match;

namespace {

// The definition, literally; exponential, so only for short texts.
bool naive(std::string_view pattern, std::string_view text) {
    if (pattern.empty()) return text.empty();
    if (pattern.front() == '*') {
        for (std::size_t n = 0; n <= text.size(); ++n) {
            if (naive(pattern.substr(1), text.substr(n))) return true;
        }
        return false;
    }
    return !text.empty() && (pattern.front() == '?' || pattern.front() == text.front()) &&
           naive(pattern.substr(1), text.substr(1));
}

} // namespace

TEST_CASE("a glob matches the whole text, case-sensitively") {
    struct row {
        const char* pattern;
        const char* text;
        bool matches;
    };
    for (const row& r : {row{"", "", true},
                         row{"", "a", false},
                         row{"*", "", true},
                         row{"*", "anything", true},
                         row{"**", "", true},
                         row{"?", "", false},
                         row{"?", "a", true},
                         row{"?", "ab", false},
                         row{"gpt-4*", "gpt-4", true},
                         row{"gpt-4*", "gpt-4o-mini", true},
                         row{"gpt-4*", "GPT-4", false},
                         row{"gpt-4*", "xgpt-4", false},
                         row{"*-mini", "gpt-4o-mini", true},
                         row{"*-mini", "gpt-4o-mini-2", false},
                         row{"o?-*", "o1-preview", true},
                         row{"o?-*", "o-preview", false},
                         row{"*a*b*c", "xxaxxbxxc", true},
                         row{"*a*b*c", "xxbxxaxxc", false},
                         row{"a*b", "ab", true},
                         row{"a*b", "abab", true},
                         row{"a*?", "a", false},
                         row{"[a]", "[a]", true},
                         row{"\\*", "\\x", true}}) {
        CAPTURE(r.pattern);
        CAPTURE(r.text);
        CHECK(glob_match(r.pattern, r.text) == r.matches);
    }
}

TEST_CASE("a glob agrees with its definition on random short texts") {
    std::mt19937 random(20261123);
    const auto word = [&](std::string_view letters, std::size_t most) {
        std::string out(random() % (most + 1), '\0');
        for (char& c : out) c = letters[random() % letters.size()];
        return out;
    };
    for (int i = 0; i < 20000; ++i) {
        const std::string pattern = word("ab*?", 7);
        const std::string text = word("ab", 8);
        CAPTURE(pattern);
        CAPTURE(text);
        REQUIRE(glob_match(pattern, text) == naive(pattern, text));
    }
}

TEST_CASE("a hostile glob stays cheap") {
    std::string pattern;
    for (int i = 0; i < 500; ++i) pattern += "*a";
    const std::string text = std::string(20000, 'a') + 'b';

    CHECK_FALSE(glob_match(pattern, text));
}

} // namespace evenkeel::test::glob_test
