// Whatever is done to a good file, loading it ends, says why, and never throws.

#include "support.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <random>

namespace evenkeel::test::mutation_test {

using namespace evenkeel::config;
using namespace evenkeel::config::test;

namespace {

// The reference file without its comments: the same keys, a third of the bytes, so that mutations hit something.
std::string compact_reference() {
    std::istringstream in(read_file(config_file("reference.yaml")));
    std::string out;
    for (std::string line; std::getline(in, line);) {
        const std::size_t first = line.find_first_not_of(' ');
        if (first == std::string::npos || line[first] == '#') continue;
        const std::size_t comment = line.find(" #");
        if (comment != std::string::npos) line.resize(comment);
        while (!line.empty() && line.back() == ' ') line.pop_back();
        out += line + '\n';
    }
    return out;
}

std::string mutate(std::string text, std::mt19937& random) {
    static const std::vector<std::string> pieces{"{",      "}",        "[",
                                                 "]",      ":",        ": ",
                                                 ",",      "- ",       "\n",
                                                 "\n  ",   " ",        "\t",
                                                 "#",      "\"",       "'",
                                                 "|",      ">",        "&a ",
                                                 "*a",     "!!x ",     "<<: ",
                                                 "${env:", "${file:",  "}",
                                                 "$$",     "$",        "~",
                                                 "null",   "off",      "true",
                                                 "0777",   "1e9",      "99999999999999999999",
                                                 "\xff",   "\xc3\xa4", "\xEF\xBB\xBF",
                                                 "---\n",  "...\n",    "%YAML\n",
                                                 "\r",     "\x01",     "0s",
                                                 "auto",   "? "};
    const int edits = 1 + static_cast<int>(random() % 4);
    for (int i = 0; i < edits && !text.empty(); ++i) {
        const std::size_t at = random() % text.size();
        const std::size_t length = std::min<std::size_t>(1 + random() % 24, text.size() - at);
        switch (random() % 6) {
        case 0: text.erase(at, length); break;
        case 1: text.insert(at, pieces[random() % pieces.size()]); break;
        case 2: text[at] = static_cast<char>(random() % 256); break;
        case 3: text.insert(random() % text.size(), text.substr(at, length)); break;
        case 4: std::swap(text[at], text[random() % text.size()]); break;
        default: {
            // Two lines change places: keys end up under other parents.
            const std::size_t start = text.rfind('\n', at);
            const std::size_t begin = start == std::string::npos ? 0 : start + 1;
            const std::size_t end = std::min(text.find('\n', at), text.size());
            const std::string line = text.substr(begin, end - begin) + "\n";
            text.erase(begin, line.size());
            const std::size_t target = text.empty() ? 0 : text.find('\n', random() % text.size());
            text.insert(target == std::string::npos ? text.size() : target + 1, line);
        }
        }
    }
    return text;
}

} // namespace

TEST_CASE("random damage to the reference file is survived, explained and answered in time") {
    constexpr unsigned seed = 20261123;
    std::mt19937 random(seed);
    const std::string original = compact_reference();
    REQUIRE(load(original).ok());
    const auto begin = std::chrono::steady_clock::now();

    for (int i = 0; i < 20000; ++i) {
        const std::string damaged = mutate(original, random);
        load_result result;
        try {
            result = load(damaged);
        } catch (...) {
            CAPTURE(seed);
            CAPTURE(damaged);
            FAIL("an exception left load_text");
        }
        const problem_count n = count_problems(result.diagnostics);
        int last_line = 0;
        bool ordered = true;
        bool placed = true;
        for (const diagnostic& d : result.diagnostics) {
            if (d.line == 0) continue;
            ordered = ordered && d.line >= last_line;
            last_line = d.line;
            placed = placed && d.column >= 1 && d.length >= 1 && d.source_column >= 1 && d.code != "internal";
        }
        if (result.ok() != (n.errors == 0) || !ordered || !placed) {
            CAPTURE(i);
            CAPTURE(seed);
            CAPTURE(damaged);
            CAPTURE(printed(result.diagnostics));
            FAIL("a damaged file is neither refused with an error nor loaded without one");
        }
    }
    // A bound against hanging, not a measurement: seconds even where everything is instrumented.
    CHECK(std::chrono::steady_clock::now() - begin < std::chrono::minutes(4));
}

TEST_CASE("loading is deterministic") {
    std::mt19937 random(5);
    const std::string original = compact_reference();
    for (int i = 0; i < 200; ++i) {
        const std::string damaged = mutate(original, random);
        const load_result a = load(damaged);
        const load_result b = load(damaged);
        REQUIRE(printed(a.diagnostics) == printed(b.diagnostics));
        REQUIRE(a.ok() == b.ok());
        if (a.ok()) REQUIRE(same_meaning(*a.settings, *b.settings));
    }
}

} // namespace evenkeel::test::mutation_test
