// What is made of a comparison: the table, a recorded day beside it, the sentence about it, and the picture.

#include "proxy/simulate/plot.hpp"
#include "proxy/simulate/report.hpp"
#include "proxy/simulate/trace_traffic.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace evenkeel::simulate::plot_test {

namespace {
bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

std::size_t count(std::string_view text, std::string_view part) {
    std::size_t n = 0;
    for (auto at = text.find(part); at != std::string_view::npos; at = text.find(part, at + part.size())) ++n;
    return n;
}

std::string line(int second, const char* outcome, int status, int attempts, const char* duration) {
    return "{\"ts\":\"2026-11-23T10:" + std::to_string(10 + second / 60) + ":" + std::to_string(10 + second % 50) +
           ".000Z\",\"status\":" + std::to_string(status) + ",\"outcome\":\"" + outcome +
           "\",\"attempts\":" + std::to_string(attempts) + ",\"duration_s\":" + duration + "}\n";
}

// Four requests: one good at once, one good after two failures, an error, and one that came too late.
std::shared_ptr<const trace> small_day() {
    std::istringstream in(line(0, "ok", 200, 1, "2.0") + line(1, "ok", 200, 3, "5.0") +
                          line(2, "upstream_error", 503, 2, "1.0") + line(3, "ok", 200, 1, "70.0"));
    return std::make_shared<const trace>(read_trace(in));
}

subject of(const std::shared_ptr<const trace>& day) {
    subject out{"trace", "a <day> & \"more\"",
                [day](std::uint64_t seed) { return std::make_unique<trace_traffic>(day, replay_options{}, seed); }};
    out.recorded = recorded(*day, {});
    return out;
}

// Every element is closed in its order, every attribute quoted, every ampersand an entity.
bool well_formed(std::string_view text) {
    std::vector<std::string> open;
    for (std::size_t at = 0; at < text.size();) {
        if (text[at] == '&') {
            const auto end = text.find(';', at);
            if (end == std::string_view::npos || end - at > 6) return false;
        }
        if (text[at] == '>') return false;
        if (text[at] != '<') {
            ++at;
            continue;
        }
        const auto end = text.find('>', at);
        if (end == std::string_view::npos) return false;
        const std::string_view tag = text.substr(at + 1, end - at - 1);
        at = end + 1;
        if (tag.find('<') != std::string_view::npos || count(tag, "\"") % 2 != 0) return false;
        if (tag.starts_with('?')) continue;
        const std::string name(
            tag.substr(tag.starts_with('/') ? 1 : 0, tag.find_first_of(" /", 1) - (tag.starts_with('/') ? 1 : 0)));
        if (tag.starts_with('/')) {
            if (open.empty() || open.back() != std::string(tag.substr(1))) return false;
            open.pop_back();
        } else if (!tag.ends_with('/')) {
            open.push_back(name);
        }
    }
    return open.empty();
}
} // namespace

TEST_CASE("a recorded day counts by the rules of its replay") {
    const auto day = small_day();
    REQUIRE(day->entries.size() == 4);
    const figures was = figures_of(recorded(*day, {}), {});
    CHECK(was.success == 0.5);
    CHECK(was.within_15s == 0.5);
    CHECK(was.attempts == doctest::Approx(7.0 / 4));
    CHECK(was.p50 == doctest::Approx(5.0));
    CHECK(was.p99 == 60);
    CHECK(recorded(*day, {.requests = 2}).samples.size() == 2);
    CHECK(recorded(*day, {.rate = 0.5}).samples.back().due == doctest::Approx(8.0));
}

TEST_CASE("the table has a line for the day as recorded and a sentence about it, within 80 columns") {
    const auto result = compare({of(small_day())}, usual_contestants(), {1}, 1);
    const std::string text = text_of(result);
    CAPTURE(text);
    CHECK(has(text, "\ntrace     recorded  50.0  50.0   5.0  60.0  1.75\n"));
    CHECK(has(text, "\n          direct  "));
    CHECK(has(text, "\ntuned would have answered "));
    std::istringstream lines(text);
    for (std::string each; std::getline(lines, each);) CHECK_MESSAGE(each.size() <= 80, each);
    CHECK(has(json_of(result), "\"recorded\":{\"success\":0.500000,"));
    CHECK(has(json_of(result), "\"conclusion\":\"tuned would"));

    auto models = compare({subject_of(*find_scenario("intermittent-20"))},
                          {{"direct", nullptr}, {std::string(200, 'x') + "evenkeel.yaml", nullptr}}, {1}, 1);
    CHECK(conclusion_of(models).empty());
    const std::string wide = text_of(models);
    CHECK(has(wide, "evenkeel.yaml "));
    std::istringstream others(wide);
    for (std::string each; std::getline(others, each);) CHECK_MESSAGE(each.size() <= 80, each);
}

TEST_CASE("the sentence says better, worse or as good, with what it costs") {
    comparison what;
    what.contestants = {"direct", "tuned"};
    row& day = what.rows.emplace_back();
    day.recorded = figures{.success = 0.90, .within_15s = 0.9, .p50 = 3, .p99 = 60, .attempts = 1.2};
    day.by_contestant.resize(2);
    figures& tuned = day.by_contestant[1].median;
    tuned = {.success = 0.99, .within_15s = 0.98, .p50 = 3, .p99 = 20, .attempts = 1.3};
    CHECK(conclusion_of(what) ==
          "tuned would have answered 99.0 % of that day well instead of 90.0 %, P99 20.0 s instead of "
          "60.0 s, with 1.30 attempts per request instead of 1.20.");
    tuned.success = 0.80;
    CHECK(has(conclusion_of(what), "less of that day well, 80.0 % instead of 90.0 %"));
    CHECK(has(conclusion_of(what), "no improvement."));
    tuned.success = 0.9005;
    CHECK(has(conclusion_of(what), "as much of that day well, 90.0 %, and the slow ones sooner: P99 20.0 s"));
    tuned.p99 = 61;
    CHECK(has(conclusion_of(what), "and as fast: P99"));
    day.recorded->p99 = 10;
    CHECK(has(conclusion_of(what), "but the slow ones later: P99 61.0 s instead of 10.0 s"));
}

TEST_CASE("the picture is well-formed, has no script and no colour, and a pattern and a name for each line") {
    const auto result = compare({of(small_day()), subject_of(*find_scenario("intermittent-20"))}, usual_contestants(),
                                {1}, 1, {.keep_samples = true});
    const std::string svg = plot_of(result);
    CHECK(well_formed(svg));
    CHECK(svg.starts_with("<?xml"));
    for (const char* never : {"<script", "href", "onload", "javascript", "url(", "nan", "inf"})
        CHECK_MESSAGE(!has(svg, never), never);
    for (const char* name : {"direct", "classic", "tuned"}) CHECK(count(svg, std::string(">") + name + "</text>") == 6);
    CHECK(count(svg, ">recorded</text>") == 3);
    CHECK(has(svg, "a &lt;day&gt; &amp; &quot;more&quot;"));
    for (const char* pattern : {"stroke-dasharray=\"7 4\"", "stroke-dasharray=\"1.5 3\"", "stroke-width=\"2.2\""})
        CHECK(has(svg, pattern));
    for (std::size_t at = svg.find('#'); at != std::string::npos; at = svg.find('#', at + 1)) {
        const std::string tone = svg.substr(at + 1, 3);
        CHECK((tone == "000" || tone == "bbb" || tone == "fff"));
    }
    CHECK(plot_of(result) == svg);
    // Where nothing was kept there is nothing to draw, and that is no error.
    CHECK(well_formed(plot_of(compare({of(small_day())}, usual_contestants(), {1}, 1))));
}

} // namespace evenkeel::simulate::plot_test
