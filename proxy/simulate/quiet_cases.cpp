#include "proxy/simulate/quiet.hpp"

#include <algorithm>

namespace evenkeel::simulate {

const std::vector<quiet_case>& quiet_cases() {
    using t = quiet_trouble;
    using p = quiet_patience;
    static const std::vector<quiet_case> all{
        {.name = "calm", .about = "no trouble at all", .trouble = t::none},
        {.name = "calm-stream", .about = "no trouble at all, streams", .trouble = t::none, .stream = true},

        {.name = "silent-1s", .about = "answers of 1 s every second", .gap = 1, .answer = 1},
        {.name = "silent-4s", .about = "answers of 4 s every 10 s, 3 known", .gap = 10, .known = 3},
        {.name = "silent-30s", .about = "answers of 30 s every minute", .answer = 30},
        {.name = "silent-rare",
         .about = "answers of 4 s every 5 minutes, 3 known",
         .gap = 300,
         .known = 3,
         .lasts = 3600,
         .after = 1500},
        {.name = "silent-stream", .about = "streams of 4 s every 10 s", .gap = 10, .stream = true},
        {.name = "silent-stream-30s",
         .about = "streams of 30 s every minute, 3 known",
         .known = 3,
         .answer = 30,
         .stream = true},
        {.name = "silent-stream-100s", .about = "streams of 100 s every minute", .answer = 100, .stream = true},
        {.name = "silent-unknown", .about = "nothing known, answers of 4 s every minute", .known = 0},
        {.name = "silent-unknown-stream",
         .about = "nothing known, streams of 4 s every minute",
         .known = 0,
         .stream = true},
        {.name = "silent-outage", .about = "an hour of it, a request a minute", .lasts = 3600},
        {.name = "silent-burst", .about = "an idle hour, then 20 at once", .gap = 10, .at_once = 20},
        {.name = "silent-hedge-1s",
         .about = "hedge: {}, a request every second; clients leave after a minute",
         .gap = 1,
         .answer = 1,
         .patience = p::leaves,
         .patient = 60,
         .hedge = true,
         .in_step = true},
        {.name = "silent-hedge-60s",
         .about = "hedge: {}, a request a minute; clients leave after a minute",
         .patience = p::leaves,
         .patient = 60,
         .hedge = true,
         .in_step = true},

        {.name = "leaves-3s",
         .about = "silent; clients leave after 3 s, answers of 1 s",
         .gap = 10,
         .answer = 1,
         .patience = p::leaves,
         .patient = 3},
        {.name = "leaves-8s",
         .about = "silent; clients leave after 8 s, answers of 3 s",
         .answer = 3,
         .patience = p::leaves,
         .patient = 8},
        {.name = "leaves-20s",
         .about = "silent; clients leave after 20 s, streams, 3 known",
         .known = 3,
         .stream = true,
         .patience = p::leaves,
         .patient = 20},
        {.name = "leaves-8s-unknown",
         .about = "silent; clients leave after 8 s, nothing known",
         .known = 0,
         .patience = p::leaves,
         .patient = 8},
        {.name = "tells-3s",
         .about = "silent; clients tell their 3 s, answers of 1 s",
         .gap = 10,
         .answer = 1,
         .patience = p::told,
         .patient = 3},
        {.name = "tells-8s",
         .about = "silent; clients tell their 8 s, answers of 4 s, 3 known",
         .known = 3,
         .patience = p::told,
         .patient = 8},
        {.name = "tells-20s",
         .about = "silent; clients tell their 20 s, nothing known, streams",
         .known = 0,
         .stream = true,
         .patience = p::told,
         .patient = 20},
        {.name = "total-8s",
         .about = "silent; timeout.total: 8s, answers of 1 s",
         .answer = 1,
         .patience = p::route,
         .patient = 8},

        {.name = "black-hole", .about = "connections are never made", .trouble = t::black_hole, .gap = 10},
        {.name = "black-hole-unknown",
         .about = "... nothing known, streams",
         .trouble = t::black_hole,
         .known = 0,
         .stream = true},
        {.name = "resets", .about = "reset after 50 ms", .trouble = t::resets},
        {.name = "errors", .about = "500 after 0.3 s", .trouble = t::errors, .gap = 10},
        {.name = "slow", .about = "ten times slower, answers of 4 s", .trouble = t::slow},
        {.name = "slow-stream",
         .about = "ten times slower, streams of 4 s every 10 s",
         .trouble = t::slow,
         .gap = 10,
         .stream = true},
        {.name = "drips", .about = "a comment every second, and nothing else", .trouble = t::drips, .stream = true},
        {.name = "half", .about = "half of the requests meet silence", .trouble = t::half, .gap = 10},
        {.name = "throttled", .about = "429 without a hint", .trouble = t::throttles},
        {.name = "throttled-hint", .about = "429 with retry-after: 30", .trouble = t::throttles_with_hint},

        {.name = "model-silent", .about = "of two models, asked in turn, one is silent", .gap = 10, .one_model = true},
        {.name = "model-errors",
         .about = "... one has 500 after 0.3 s",
         .trouble = t::errors,
         .gap = 10,
         .one_model = true},

        {.name = "patient-100s",
         .about = "one upstream, answers of 100 s, no trouble",
         .trouble = t::none,
         .known = 0,
         .answer = 100,
         .alone = true},
        {.name = "patient-stream-100s",
         .about = "one upstream, first token after 100 s",
         .trouble = t::none,
         .known = 0,
         .answer = 100,
         .stream = true,
         .first = 0.99,
         .alone = true},
        {.name = "patient-signs-100s",
         .about = "... with a comment every second",
         .trouble = t::none,
         .known = 0,
         .answer = 100,
         .stream = true,
         .first = 0.99,
         .signs = 1,
         .alone = true},
    };
    return all;
}

const quiet_case* find_quiet(std::string_view name) noexcept {
    const auto found = std::ranges::find(quiet_cases(), name, &quiet_case::name);
    return found == quiet_cases().end() ? nullptr : &*found;
}

std::vector<quiet_case> quiet_cases_named(std::string_view model) {
    constexpr std::string_view family = "quiet";
    if (model == family) return quiet_cases();
    if (!model.starts_with("quiet:")) return {};
    const quiet_case* one = find_quiet(model.substr(family.size() + 1));
    if (one == nullptr) return {};
    return {*one};
}

} // namespace evenkeel::simulate
