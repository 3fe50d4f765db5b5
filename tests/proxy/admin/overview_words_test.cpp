// What is said of everything at once, of each kind of trouble.

#include "proxy/admin/overview_words.hpp"

#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

namespace evenkeel::test::overview_words_test {

using namespace evenkeel::admin;
using namespace std::chrono_literals;
using telemetry::health_view;
using telemetry::route_health;
using telemetry::upstream_health;

namespace {

constexpr steady_time now{5000s};

upstream_health up(std::string name) {
    upstream_health made{.name = std::move(name), .url = "https://secret-host.example", .seen = {}};
    made.policies = telemetry::endpoint_report{.upstream = made.name,
                                               .circuit = circuit_breaker::summary{},
                                               .cooldown = cooldown::summary{},
                                               .overload = overload_control::summary{},
                                               .latency = {}};
    return made;
}
upstream_health open(std::string name) {
    auto made = up(std::move(name));
    made.policies->circuit->state = circuit_state::open;
    made.policies->circuit->consecutive_failures = made.policies->circuit->failures = 3;
    made.policies->circuit->next_probe = now + 3500ms;
    made.last_failure = telemetry::failed_attempt{telemetry::attempt_result::server_error, 500, now - 2s};
    return made;
}
upstream_health resting(std::string name) {
    auto made = up(std::move(name));
    made.policies->cooldown->resting = 1;
    made.policies->cooldown->until = now + 11200ms;
    return made;
}
route_health route(std::string name, std::vector<upstream_health> upstreams) {
    route_health made{.name = std::move(name), .seen = {}, .upstreams = std::move(upstreams)};
    made.circuit = circuit_state::closed;
    return made;
}
health_view view(std::vector<route_health> routes) { return {.routes = std::move(routes), .at = now}; }
overall of(const health_view& health) { return overall_of({.health = health}); }

} // namespace

TEST_CASE("overview: keys that are dead, and those that somebody keeps back, once however many routes use them") {
    using telemetry::credential_report;
    auto upstream = up("openai");
    const auto key = [&](const char* name, credential_state state, outcome_kind why = outcome_kind::credential) {
        upstream.policies->credentials.push_back({name, {.state = state, .why = why}});
    };
    key("team", credential_state::dead);
    key("poor", credential_state::dead, outcome_kind::quota);
    key("last", credential_state::resting);
    key("kept", credential_state::drained);
    const auto told = of(view({route("a", {upstream}), route("b", {upstream})}));
    CHECK(told.sentence == "Both routes serve. Dead credentials: 'team' of openai (not accepted) and 'poor' of openai "
                           "(money). Drained by an operator: credential 'kept' of openai.");
    CHECK(told.level == alarm_level::notice);
}

TEST_CASE("overview: in calm one sentence") {
    const auto three = of(view({route("a", {up("x")}), route("b", {up("x")}), route("c", {up("y")})}));
    CHECK(three.level == alarm_level::calm);
    CHECK(three.sentence == "All 3 routes serve.");
    CHECK(of(view({route("chat", {up("x")})})).sentence == "chat serves.");
    CHECK(of(view({})).sentence == "No route has an upstream.");
}

TEST_CASE("overview: who rests, why, for how long, and who does its work") {
    const auto told = of(view(
        {route("chat", {resting("deepseek"), up("openai")}), route("other", {resting("deepseek"), up("openai")})}));
    CHECK(told.level == alarm_level::trouble);
    CHECK(told.sentence == "Both routes serve. deepseek rests (rate limited) for 12 s more; openai takes its traffic.");
    // Of one that is asked second anyway nobody takes the traffic.
    CHECK(of(view({route("chat", {up("openai"), resting("deepseek")})})).sentence ==
          "chat serves. deepseek rests (rate limited) for 12 s more.");
}

TEST_CASE("overview: a route without an endpoint that may be asked is down, and the others are told to serve") {
    auto dead = route("chat", {open("deepseek")});
    dead.circuit = circuit_state::open;
    const auto told = of(view({dead, route("a", {up("x")}), route("b", {up("x")})}));
    CHECK(told.level == alarm_level::down);
    CHECK(told.sentence == "chat does not serve; 2 of 3 do. deepseek has an open circuit after 3 failures in a row, "
                           "the last: server error 500; next probe in 4 s.");
    CHECK(of(view({dead})).sentence.starts_with("chat does not serve. "));
    // Why comes before all other trouble.
    auto failing = route("chat", {up("deepseek")});
    failing.seen.requests = failing.upstreams[0].seen.requests = 4;
    failing.upstreams[0].last_failure = telemetry::failed_attempt{telemetry::attempt_result::timeout, 0, now - 2s};
    CHECK(of(view({route("other", {open("z"), up("y")}), failing}))
              .sentence.starts_with(
                  "chat does not serve; 1 of 2 does. deepseek fails: 4 of 4 attempts in the last minute, "
                  "the last: timeout. z has an open circuit"));
    CHECK(of(view({dead, dead})).sentence.starts_with("None of the 2 routes serves. "));
}

TEST_CASE("overview: many failures make a route disturbed, nothing but failures make it down, one does not") {
    auto failing = route("chat", {up("deepseek")});
    failing.seen.requests = 50;
    failing.seen.successes = 40;
    failing.seen.success_rate = 0.8;
    CHECK(of(view({failing})).sentence == "chat serves. chat: 10 of 50 requests failed in the last minute.");
    CHECK(state_of(failing, now) == route_state::disturbed);
    failing.seen.requests = 3;
    failing.seen.successes = 0;
    failing.seen.success_rate = 0.0;
    CHECK(state_of(failing, now) == route_state::down);
    failing.seen.requests = 2;
    CHECK(state_of(failing, now) == route_state::disturbed);
    failing.seen.requests = 100;
    failing.seen.successes = 99;
    failing.seen.success_rate = 0.99;
    CHECK(state_of(failing, now) == route_state::serves);
    failing.degraded = true;
    CHECK(of(view({failing})).sentence == "chat serves. chat is answered by the fallback.");
}

TEST_CASE("overview: a state and a note for each trouble of an endpoint") {
    const auto check = [](const upstream_health& one, endpoint_state state, std::string_view note) {
        CHECK(state_of(one, now) == state);
        CHECK(note_of(one, now) == note);
    };
    check(up("a"), endpoint_state::up, "");
    check(upstream_health{.name = "nobody reports", .url = {}, .seen = {}}, endpoint_state::up, "");
    auto one = open("a");
    one.policies->circuit->forced = circuit_state::open;
    check(one, endpoint_state::held_open, "is held open by an operator: nothing is sent there");
    one = open("a");
    one.policies->circuit->consecutive_failures = 0;
    one.policies->circuit->failures = 9;
    one.policies->circuit->calls = 10;
    one.policies->circuit->next_probe = now - 1s;
    check(one, endpoint_state::open,
          "has an open circuit after 9 of 10 attempts failed, the last: server error 500; the next request probes it");
    one = up("a");
    one.policies->circuit->state = circuit_state::half_open;
    check(one, endpoint_state::half_open, "is probed: a few requests find out whether it is well");
    one = up("a");
    one.policies->circuit->forced = circuit_state::closed;
    check(one, endpoint_state::held_closed, "has a circuit that an operator holds closed");
    one = up("a");
    one.seen.requests = 12;
    one.seen.successes = 4;
    one.last_failure = telemetry::failed_attempt{telemetry::attempt_result::timeout, 0, now - 2s};
    check(one, endpoint_state::failing, "fails: 8 of 12 attempts in the last minute, the last: timeout");
    one.last_failure->at = now - 20s; // that is over
    check(one, endpoint_state::up, "");
    one.seen.successes = 0; // or would be, had anybody asked
    check(one, endpoint_state::failing, "fails: 12 of 12 attempts in the last minute, the last: timeout");
    one = open("a");
    one.policies->circuit->consecutive_failures = one.policies->circuit->failures = 0; // an operator released it
    check(one, endpoint_state::open, "has an open circuit; next probe in 4 s");
    one = up("a");
    one.policies->overload->active = true;
    one.policies->overload->limit = 8;
    check(one, endpoint_state::overloaded, "is overloaded, and given 8 attempts at a time");
    one = up("a");
    one.policies->doubt = endpoint_doubt::summary{.since = now - 30s};
    check(one, endpoint_state::second, "is asked second, since it was silent 30 s ago");
    one.policies->doubt->slow = true;
    check(one, endpoint_state::second, "is asked second, slow for 30 s");
    one = up("a"); // up, but not for every model
    telemetry::model_report big{.model = 1, .name = "big"}, small{.model = 2, .name = "small"};
    big.circuit.emplace().state = circuit_state::open;
    big.circuit->next_probe = now + 4s;
    small.doubt.emplace();
    one.policies->models = {big};
    check(one, endpoint_state::up, "has an open circuit for the model big (next probe in 4 s)");
    one.policies->models = {big, small, small};
    check(one, endpoint_state::up,
          "has an open circuit for the model big (next probe in 4 s); is asked second for the models small and small");
    big.circuit->state = circuit_state::half_open;
    big.name.clear();
    one.policies->models = {big};
    check(one, endpoint_state::up, "is probed for the model others");
    one = resting("a");
    one.policies->cooldown->resting = 3;
    one.policies->cooldown->why = outcome_kind::quota;
    one.policies->cooldown->until = now + 20min;
    check(one, endpoint_state::rests, "rests (quota, 3 models or credentials) for 20 min more");
}

TEST_CASE("overview: many troubles are counted, the worst are told first") {
    auto all = view({route("chat", {up("z")})});
    for (const char* name : {"a", "b", "c"}) all.routes[0].upstreams.push_back(resting(name));
    all.routes[0].upstreams.push_back(open("worst"));
    const auto told = of(all);
    CHECK(told.sentence.starts_with("chat serves. worst has an open circuit"));
    CHECK(told.sentence.ends_with("b rests (rate limited) for 12 s more. One more endpoint is not up."));
}

TEST_CASE("overview: rehearsals, a failed reload, a wanted restart and draining are told") {
    const auto calm = view({route("chat", {up("x")})});
    admin::configuration_state file{.last_reload_taken = false, .restart_required = {"listen", "workers"}};
    const auto told = overall_of({.health = calm, .not_ready = "draining", .chaos_rules = 1, .configuration = &file});
    CHECK(told.level == alarm_level::trouble);
    CHECK(told.sentence ==
          "Not ready: draining. chat serves. A rehearsal is on: 1 rule injects faults on purpose. The last reload "
          "failed: the configuration before it stays in force. A changed key waits for a restart: listen and workers.");
    file = {};
    CHECK(overall_of({.health = calm, .chaos_rules = 2, .configuration = &file}).level == alarm_level::notice);
    CHECK(overall_of({.health = calm, .configuration = &file}).level == alarm_level::calm);
}

} // namespace evenkeel::test::overview_words_test
