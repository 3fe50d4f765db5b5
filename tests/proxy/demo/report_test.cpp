#include "proxy/demo/report.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <sstream>
#include <string>
#include <vector>

namespace evenkeel::test::report_test {

using namespace evenkeel::demo;
using model::verdict;

namespace {
std::size_t widest_line(const std::string& text) {
    std::istringstream in(text);
    std::size_t widest = 0;
    for (std::string line; std::getline(in, line);) widest = std::max(widest, line.size());
    return widest;
}
// The line that begins with `name`, its words set one space apart.
std::string line_of(const std::string& text, const std::string& name) {
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) {
        std::istringstream words(line);
        std::string out;
        for (std::string word; words >> word;) out += (out.empty() ? "" : " ") + word;
        if (out.starts_with(name)) return out;
    }
    return {};
}
} // namespace

TEST_CASE("a failure counts as the deadline, in the first tokens of streams too") {
    const std::vector<model::sample> samples{
        {.seconds = 2.0, .first_token = 60, .how = verdict::success},
        {.seconds = 3.0, .first_token = 0.5, .how = verdict::success, .stream = true},
        {.seconds = 60, .first_token = 60, .how = verdict::late, .stream = true},
        {.seconds = 60, .first_token = 60, .how = verdict::error},
    };

    const auto out = summarize(samples, 6);

    CHECK(out.requests == 4);
    CHECK(out.succeeded == 2);
    CHECK(out.errors == 1);
    CHECK(out.late == 1);
    CHECK(out.broken == 0);
    CHECK(out.p50 == 3.0);
    CHECK(out.p99 == 60);
    CHECK(out.first_token_p50 == 0.5);
    CHECK(out.first_token_p99 == 60);
    CHECK(out.attempts_per_request == 1.5);
    CHECK(summarize({}, 0).attempts_per_request == 0);
}

TEST_CASE("the table names all sides and the target, every measure, the seed and the speed, in 80 columns") {
    summary direct;
    direct.requests = 2000;
    direct.succeeded = 1313;
    direct.errors = 609;
    direct.late = 78;
    direct.p50 = 4.24;
    direct.p99 = 60;
    direct.first_token_p50 = 1.06;
    direct.first_token_p99 = 60;
    direct.attempts_per_request = 1;
    summary classic = direct;
    classic.succeeded = 80;
    summary tuned = direct;
    tuned.succeeded = 1992;
    tuned.attempts_per_request = 1.456;

    const auto plain = table({direct, classic, tuned}, {.seed = 42, .speed = 20}, false);

    CHECK(widest_line(plain) <= 80);
    CHECK(line_of(plain, "direct") == "direct classic tuned target");
    CHECK(line_of(plain, "success") == "success 65.7 % 4.0 % 99.6 % at least 98 %");
    CHECK(line_of(plain, "whole answer, P50") == "whole answer, P50 4.2 s 4.2 s 4.2 s at most 5 s");
    CHECK(line_of(plain, "whole answer, P99") == "whole answer, P99 60.0 s 60.0 s 60.0 s at most 15 s");
    CHECK(line_of(plain, "first token of a stream, P50") == "first token of a stream, P50 1.1 s 1.1 s 1.1 s");
    CHECK(line_of(plain, "upstream attempts") == "upstream attempts per request 1.00 1.00 1.46");
    CHECK(line_of(plain, "failed: error answer") == "failed: error answer 609 609 609");
    CHECK(line_of(plain, "failed: not complete") == "failed: not complete after 60 s 78 78 78");
    CHECK(line_of(plain, "Seed").find("Seed 42. Times are shown as in the original; the run was 20 times faster.") ==
          0);
    CHECK(plain.find('\x1b') == std::string::npos);
    CHECK(table({direct, classic, tuned}, {.seed = 42, .speed = 20}, true).find("\x1b[1m") != std::string::npos);
}

TEST_CASE("the progress bar fills and fits") {
    CHECK(progress_bar(0, 10, 53) == "[" + std::string(40, '.') + "]   0 %  about 53 s left");
    CHECK(progress_bar(5, 10, 20.2) == "[" + std::string(20, '#') + std::string(20, '.') + "]  50 %  about 21 s left");
    CHECK(progress_bar(10, 10, -3) == "[" + std::string(40, '#') + "] 100 %  about 0 s left");
    CHECK(progress_bar(3'999'999'999, 4'000'000'000, 123456).size() <= 78);
}

} // namespace evenkeel::test::report_test
