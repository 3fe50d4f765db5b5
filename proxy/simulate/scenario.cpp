#include "proxy/simulate/scenario.hpp"

#include <algorithm>

namespace evenkeel::simulate {

namespace {

scenario named(std::string_view name, std::string_view about, const conditions& usual = {}) {
    scenario made{.name = name, .about = about};
    made.usual = {usual, usual};
    return made;
}

scenario with_spells(scenario made, std::vector<spell> spells) {
    made.spells = std::move(spells);
    return made;
}

scenario outage() {
    auto made =
        named("outage", "every connection is reset from 80 to 125 s; 1 % 4x slower", {.slow = 0.01, .slower = 4});
    made.spells = {{80, 125, {.cut_at_once = 1}}};
    made.cuts = {80};
    made.disturbed_until = 125;
    return made;
}

scenario bursts() {
    const conditions good{.errors = 0.01, .slow = 0.02, .slower = 6};
    auto made = named("bursts", "good spells of mean 30 s, bad ones of mean 8 s with 80 % errors", good);
    conditions bad = good;
    bad.errors = 0.8;
    made.bursts = spells_by_chance{30, 8, bad};
    return made;
}

scenario brown_out() {
    auto made = named("brown-out", "from 80 to 180 s 2x slower and 10 % errors, capacity 26");
    made.spells = {{80, 180, {.errors = 0.1}}};
    made.speeds = {{80, 2}, {180, 1}};
    made.server = {26, 0.5};
    made.refuse_from = 110;
    made.disturbed_until = 180;
    return made;
}

scenario collapse() {
    auto made = named("collapse", "from 80 to 100 s attempts hang, capacity 18");
    made.spells = {{80, 100, {.hangs = 1}}};
    made.server = {18, 0.8};
    made.refuse_from = 80;
    made.disturbed_until = 100;
    return made;
}

// One of two servers is another than the first.
scenario second_server(std::string_view name, std::string_view about, const conditions& first,
                       const conditions& second) {
    scenario made = named(name, about, first);
    made.servers = 2;
    made.usual[1] = second;
    return made;
}

scenario mixed_lengths() {
    auto made = named("mixed-lengths", "70 % short answers, 30 % long ones; 3 % hang for ever", {.hangs = 0.03});
    made.lengths = {{0.7, 64, 30, 0.3}, {0.3, 1500, 800, 0.3}};
    return made;
}

scenario slowdown_step() {
    auto made = named("slowdown", "everything 3x slower from 100 s on");
    made.speeds = {{100, 3}};
    return made;
}

// The case the rules of evenkeel were first written for; its hangs last 90 s, longer than any client here waits.
scenario original() {
    auto made = named("original", "30 % errors, 4 % hang, whole answers of median 3.2 s, 2 a second",
                      {.errors = 0.3, .hangs = 0.04});
    made.rate = 2;
    made.requests = 2000;
    made.times.whole = 3.2;
    made.times.whole_sigma = 0.4;
    return made;
}

scenario intermittent(std::string_view name, std::string_view about, unsigned requests) {
    auto made = named(name, about);
    made.redrawn = redrawn_errors{10, 0.2, 0.95};
    made.requests = requests;
    return made;
}

scenario everything() {
    const conditions usual{.errors = 0.1,
                           .resets_before = 0.02,
                           .resets_after = 0.01,
                           .truncations = 0.01,
                           .errors_in_200 = 0.01,
                           .stalls = 0.01,
                           .hangs = 0.02,
                           .slow = 0.03,
                           .slower = 8};
    conditions throttled = usual, bad = usual;
    throttled.throttled = 0.6;
    bad.errors = 0.5;
    auto made = named("everything", "errors, tail, resets, stalls, hangs, a 429 window, a bad and a slow spell", usual);
    made.spells = {{60, 75, throttled}, {140, 155, bad}};
    made.speeds = {{200, 2}, {230, 1}};
    return made;
}

std::vector<scenario> make_all() {
    const conditions tail{.slow = 0.02, .slower = 6};
    return {
        named("calm", "1 % of attempts 4x slower", {.slow = 0.01, .slower = 4}),
        named("tail-5", "5 % of attempts 10x slower", {.slow = 0.05, .slower = 10}),
        named("tail-20", "20 % of attempts 10x slower", {.slow = 0.2, .slower = 10}),
        named("errors-30", "30 % errors after 0.4 s; 1 % 4x slower", {.errors = 0.3, .slow = 0.01, .slower = 4}),
        intermittent("varying-errors", "error rate redrawn every 10 s between 20 and 95 %", 700),
        bursts(),
        outage(),
        brown_out(),
        collapse(),
        named("resets", "8 % reset before the head, 4 % after, 3 % clean truncation, 2 % error inside a 200",
              {.resets_before = 0.08, .resets_after = 0.04, .truncations = 0.03, .errors_in_200 = 0.02}),
        named("stalls", "4 % of attempts go silent in mid-answer, for ever", {.stalls = 0.04}),
        with_spells(named("throttled", "every attempt 429 from 60 to 80 and 110 to 130 s, 60 % from 160 to 180 s"),
                    {{60, 80, {.throttled = 1}}, {110, 130, {.throttled = 1}}, {160, 180, {.throttled = 0.6}}}),
        second_server("one-dead", "two servers, the second refuses connections; 2 % 6x slower", tail,
                      {.refused = true}),
        second_server("one-hanging", "two servers, the second never answers; 2 % 6x slower", tail, {.hangs = 1}),
        second_server("one-slow", "two servers, the second 6x slower; 2 % 6x slower", tail, {.slow = 1, .slower = 6}),
        mixed_lengths(),
        slowdown_step(),
        everything(),
        original(),
        intermittent("intermittent-20",
                     "the 20-request demonstration: error rate redrawn every 10 s between 20 and 95 %", 20),
    };
}

} // namespace

const std::vector<scenario>& scenarios() {
    static const std::vector<scenario> all = make_all();
    return all;
}

const scenario* find_scenario(std::string_view name) noexcept {
    const auto found = std::ranges::find(scenarios(), name, &scenario::name);
    return found == scenarios().end() ? nullptr : &*found;
}

std::string scenario_names() {
    std::string all;
    for (const scenario& each : scenarios()) {
        if (!all.empty()) all += ", ";
        all += each.name;
    }
    return all;
}

} // namespace evenkeel::simulate
