#include "proxy/admin/resources.hpp"

#include "config/load.hpp"
#include "config/value.hpp"
#include "proxy/admin/chaos_document.hpp"
#include "proxy/admin/overview.hpp"
#include "proxy/admin/query.hpp"
#include "proxy/telemetry/request_story.hpp"

#include <charconv>
#include <chrono>
#include <optional>
#include <system_error>
#include <utility>

namespace evenkeel::admin {

namespace {

// For a terminal; a browser gets the page.
constexpr std::string_view list_of_endpoints =
    R"(evenkeel. In a browser this address is the dashboard.

GET  /metrics            everything counted, for Prometheus
GET  /health             the last minute of every route (?strict=1: 503 when nothing can be served)
GET  /livez              whether the process works
GET  /readyz             whether it takes requests
GET  /-/overview         what the dashboard shows, in one document; /-/live: once a second, as server-sent events
GET  /-/requests         the last requests that were disturbed, and some of the others
                         (?route=, upstream=, model=, outcome=, disturbed, limit=, tries, and of when they came
                         since=15m or since=2026-11-30T03:10Z, until=)
GET  /-/requests/ID      what happened to one, and why (?format=text: in sentences)
POST /-/reload           reads the configuration again
POST /-/circuits/UPSTREAM?state=open|closed|auto
                         holds its circuits open or closed, or releases them; with &endpoint=, as /health names it,
                         that of one endpoint; with &route= a route's own
POST /-/rests/UPSTREAM   ends its rests after 429, 529, 401 and the like; with ?endpoint=, those of one endpoint
POST /-/credentials/UPSTREAM?name=NAME&state=drained|resting|well
                         no new request uses that credential, or none for=10m (an hour, if that is left out), or it is
                         asked again as if nothing had been said of it; without name= all of that upstream
POST /-/drain            finishes what is in flight and ends
GET  /-/config           the configuration in force, each value with its origin, secrets masked
GET  /-/log              the level of the log; POST /-/log?level=debug|info|warning|error changes it until the next
                         reload or restart
GET  /-/chaos            faults injected on purpose; POST sets rules, POST /-/chaos/off ends them all
POST /-/login            token=...: a session for a browser; POST /-/logout ends it
)";
constexpr std::string_view bad_escape = "A percent sign begins an escape of two hexadecimal digits.";
constexpr std::size_t requests_of_the_page = 25;
constexpr duration longest_rest = std::chrono::hours{24}; // by an operator's word; whoever wants more says drained

std::optional<telemetry::request_ending> ending_named(std::string_view word) {
    for (int i = 0; i < telemetry::request_ending_count; ++i) {
        const auto each = static_cast<telemetry::request_ending>(i);
        if (to_string(each) == word) return each;
    }
    return std::nullopt;
}

std::string requests_json(const telemetry::journal_store& from, const telemetry::journal_store::wanted& which,
                          bool with_tries, std::string_view between) {
    const auto kept = from.summary();
    std::string body = "{\"kept\":" + std::to_string(kept.requests) + ",\"bytes\":" + std::to_string(kept.bytes) +
                       ",\"evicted\":" + std::to_string(kept.evicted) + ",\"requests\":[";
    for (const auto& each : from.list(which)) {
        if (body.back() != '[') body += between;
        body += telemetry::summary_json(*each, with_tries);
    }
    return body + "]}";
}

} // namespace

std::string resources::overview() const {
    const auto health = sources_.health.view();
    const auto totals = sources_.metrics.totals();
    const std::string not_ready = callbacks_.why_not_ready ? callbacks_.why_not_ready() : std::string{};
    std::optional<chaos::summary> faults;
    if (callbacks_.chaos_rules) faults = callbacks_.chaos_rules();
    std::optional<configuration_state> file;
    if (callbacks_.configuration_state) file = callbacks_.configuration_state();
    return overview_json({.health = health,
                          .totals = totals,
                          .at = std::chrono::system_clock::now(),
                          .not_ready = not_ready,
                          .chaos_rules = faults ? &*faults : nullptr,
                          .configuration = file ? &*file : nullptr});
}

std::string resources::latest_requests() const {
    if (sources_.journal == nullptr) return R"({"kept":0,"bytes":0,"evicted":0,"requests":[]})";
    return requests_json(*sources_.journal, {.disturbed_only = true, .limit = requests_of_the_page}, true, ",");
}

std::uint64_t resources::requests_kept() const {
    if (sources_.journal == nullptr) return 0;
    const auto kept = sources_.journal->summary();
    return kept.requests + kept.evicted;
}

reply resources::perform(const access_rules& rules, const order& given) {
    switch (given.asked) {
    case endpoint::index: return {.body = std::string(list_of_endpoints)};
    case endpoint::overview: return {.type = json_text, .body = overview() + '\n'};
    case endpoint::metrics:
        return {.type = telemetry::metrics::content_type, .body = *scrapes_.text(std::chrono::steady_clock::now())};
    case endpoint::health: {
        const auto view = sources_.health.view();
        auto body = telemetry::health_json(view, rules.what == surface::full);
        body += '\n';
        return {.status = !view.healthy && telemetry::asks_strict(given.query) ? 503 : 200,
                .type = json_text,
                .body = std::move(body)};
    }
    case endpoint::livez:
        if (sources_.liveness.alive(std::chrono::steady_clock::now())) return {.body = "ok\n"};
        return {.status = 503, .body = "a worker has not answered for more than 10 seconds\n"};
    case endpoint::readyz: {
        const auto why = callbacks_.why_not_ready ? callbacks_.why_not_ready() : std::string{};
        if (why.empty()) return {.body = "ok\n"};
        return {.status = 503, .body = "not ready: " + why + '\n'};
    }
    case endpoint::reload: // the server's own
    case endpoint::live:
    case endpoint::login:
    case endpoint::logout: break;
    case endpoint::drain: return control("drain", callbacks_.drain);
    case endpoint::circuit: return force_circuit(given);
    case endpoint::rest: return end_rests(given);
    case endpoint::credential: return set_credential(given);
    case endpoint::chaos:
        if (given.change)
            return control("chaos", callbacks_.set_chaos ? [&] { return callbacks_.set_chaos(given.body); }
                                                         : std::function<control_result()>{});
        if (!callbacks_.chaos_rules) return sentence(501, "This process cannot do that.");
        return {.type = json_text, .body = chaos_document(callbacks_.chaos_rules())};
    case endpoint::requests: return list_requests(given);
    case endpoint::request: return tell_request(given);
    case endpoint::log: return log_level(given);
    case endpoint::configuration: return show_configuration();
    case endpoint::chaos_off: return control("chaos off", callbacks_.chaos_off);
    }
    return sentence(404, "There is no such endpoint here.");
}

reply resources::log_level(const order& given) {
    auto& log = sources_.log;
    if (!given.change) return sentence(200, telemetry::to_string(log.level()), "level");
    const auto body = trimmed(given.body);
    const auto in_query = parameter(given.query, "level");
    const auto word = in_query ? in_query : parameter(body, "level");
    const auto wanted = telemetry::log_level_named(word.value_or(body));
    if (!wanted) return sentence(400, "Say level=debug, level=info, level=warning or level=error.");
    // Told at the more talkative of the two.
    const bool more = *wanted < log.level();
    if (more) log.set_level(*wanted);
    log.info("asked for over the admin listener", {{"action", "log"}, {"level", telemetry::to_string(*wanted)}});
    if (!more) log.set_level(*wanted);
    return sentence(
        200, "the log is at level " + std::string{telemetry::to_string(*wanted)} + " until the next reload or restart",
        "message");
}

reply resources::show_configuration() const {
    const config::snapshot now_in_force = callbacks_.configuration ? callbacks_.configuration() : nullptr;
    if (now_in_force == nullptr || now_in_force->shown == nullptr) return sentence(501, "This process cannot do that.");
    return {.body = config::heading(*now_in_force) + *now_in_force->shown};
}

reply resources::list_requests(const order& given) const {
    if (sources_.journal == nullptr) return sentence(501, "This process cannot do that.");
    constexpr std::size_t most = 1000;
    bool readable = true;
    const auto asked = [&](std::string_view name) {
        auto text = decoded(parameter(given.query, name).value_or(""));
        readable = readable && text.has_value();
        return std::move(text).value_or("");
    };
    const std::string route = asked("route"), upstream = asked("upstream"), model = asked("model");
    telemetry::journal_store::wanted which{.route = route, .upstream = upstream, .model = model};
    if (const std::string word = asked("outcome"); !word.empty()) {
        which.outcome = ending_named(word);
        if (!which.outcome)
            return sentence(400, "There is no such outcome; see evenkeel_requests_total in deploy/README.md.");
    }
    which.disturbed_only = parameter(given.query, "disturbed").has_value();
    const std::string limit = asked("limit"), since = asked("since"), until = asked("until");
    if (!readable) return sentence(400, bad_escape);
    if (!limit.empty()) {
        const auto [end, error] = std::from_chars(limit.data(), limit.data() + limit.size(), which.limit);
        if (error != std::errc{} || end != limit.data() + limit.size() || which.limit == 0 || which.limit > most)
            return sentence(400, "limit is a number from 1 to 1000.");
    }
    const wall_time now = std::chrono::system_clock::now();
    for (const auto& [text, bound] : {std::pair{&since, &which.since}, std::pair{&until, &which.until}}) {
        if (text->empty()) continue;
        const auto read = moment(*text, now);
        if (!read) return sentence(400, "since and until are times, 2026-11-30T03:10:00Z, or how long ago, 15m.");
        *bound = *read;
    }
    const bool with_tries = parameter(given.query, "tries").has_value();
    return {.type = json_text, .body = requests_json(*sources_.journal, which, with_tries, ",\n") + '\n'};
}

reply resources::tell_request(const order& given) const {
    if (sources_.journal == nullptr) return sentence(501, "This process cannot do that.");
    const auto id = decoded(given.subject);
    if (!id || id->empty()) return sentence(400, "That is no id of a request.");
    const auto found = sources_.journal->find(*id);
    if (found.empty())
        return sentence(404, "Nothing is kept of a request with this id: it is too long ago, one of many that went "
                             "well, another process served it, or `journal` is off.");
    const bool text = parameter(given.query, "format") == "text";
    std::string body = text ? "" : "{\"requests\":[";
    for (const auto& each : found) {
        if (each != found.front()) body += text ? "\n" : ",\n";
        body += text ? telemetry::story_text(*each) : telemetry::story_json(*each);
    }
    if (!text) body += "]}\n";
    return {.type = text ? plain_text : json_text, .body = std::move(body)};
}

reply resources::control(std::string_view what, const std::function<control_result()>& call) {
    if (!call) return sentence(501, "This process cannot do that.");
    sources_.log.info("asked for over the admin listener", {{"action", what}});
    return told(call());
}

reply resources::force_circuit(const order& given) {
    const auto body = trimmed(given.body);
    const auto asked = [&](std::string_view name) {
        const auto in_query = parameter(given.query, name);
        return in_query ? in_query : parameter(body, name);
    };
    const auto word = asked("state").value_or(body);
    auto upstream = decoded(given.subject), route = decoded(asked("route").value_or("")),
         endpoint = decoded(asked("endpoint").value_or(""));
    if (!upstream || !route || !endpoint) return sentence(400, bad_escape);
    circuit_order wanted{
        .upstream = std::move(*upstream), .route = std::move(*route), .state = {}, .endpoint = std::move(*endpoint)};
    if (word == "open")
        wanted.state = circuit_state::open;
    else if (word == "closed")
        wanted.state = circuit_state::closed;
    else if (word != "auto")
        return sentence(400, "Say state=open, state=closed or state=auto.");
    if (!callbacks_.force_circuit) return sentence(501, "This process cannot do that.");
    sources_.log.info(
        "asked for over the admin listener",
        {{"action", "circuit"},
         {"upstream", wanted.upstream},
         {"route", wanted.route},
         wanted.endpoint.empty() ? telemetry::log_field{} : telemetry::log_field{"endpoint", wanted.endpoint},
         {"state", word}});
    const auto result = callbacks_.force_circuit(wanted);
    return sentence(result.done ? 200 : 422, result.message, result.done ? "message" : "error");
}

reply resources::end_rests(const order& given) {
    const auto in_query = parameter(given.query, "endpoint");
    const auto named = in_query ? in_query : parameter(trimmed(given.body), "endpoint");
    auto upstream = decoded(given.subject), endpoint = decoded(named.value_or(""));
    if (!upstream || !endpoint) return sentence(400, bad_escape);
    const rest_order wanted{.upstream = std::move(*upstream), .endpoint = std::move(*endpoint)};
    if (!callbacks_.end_rests) return sentence(501, "This process cannot do that.");
    sources_.log.info(
        "asked for over the admin listener",
        {{"action", "end rests"},
         {"upstream", wanted.upstream},
         wanted.endpoint.empty() ? telemetry::log_field{} : telemetry::log_field{"endpoint", wanted.endpoint}});
    const auto result = callbacks_.end_rests(wanted);
    return sentence(result.done ? 200 : 422, result.message, result.done ? "message" : "error");
}

reply resources::set_credential(const order& given) {
    const auto body = trimmed(given.body);
    const auto asked = [&](std::string_view name) {
        const auto in_query = parameter(given.query, name);
        return in_query ? in_query : parameter(body, name);
    };
    const auto word = asked("state").value_or("");
    auto upstream = decoded(given.subject), name = decoded(asked("name").value_or("")),
         length = decoded(asked("for").value_or("1h"));
    if (!upstream || !name || !length) return sentence(400, bad_escape);
    using state = credential_word::state;
    credential_word wanted{.upstream = std::move(*upstream), .name = std::move(*name)};
    if (word == "drained")
        wanted.wanted = state::drained;
    else if (word == "resting")
        wanted.wanted = state::resting;
    else if (word != "well")
        return sentence(400, "Say state=drained, state=resting or state=well.");
    const auto time = config::read_duration(*length);
    const auto* const read = std::get_if<duration>(&time);
    if (read == nullptr || *read <= duration::zero() || *read > longest_rest)
        return sentence(400, "for is a time of at most 24h, like for=10m.");
    wanted.length = *read;
    if (!callbacks_.set_credential) return sentence(501, "This process cannot do that.");
    sources_.log.info(
        "asked for over the admin listener",
        {{"action", "credential"},
         {"upstream", wanted.upstream},
         wanted.name.empty() ? telemetry::log_field{} : telemetry::log_field{"credential", wanted.name},
         {"state", word},
         wanted.wanted == state::resting ? telemetry::log_field{"for", *length} : telemetry::log_field{}});
    const auto result = callbacks_.set_credential(wanted);
    return sentence(result.done ? 200 : 422, result.message, result.done ? "message" : "error");
}

} // namespace evenkeel::admin
