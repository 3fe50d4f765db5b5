#include "proxy/telemetry/metric_rows.hpp"

#include "proxy/telemetry/from_start.hpp"
#include "proxy/telemetry/row_readers.hpp"

#include <array>
#include <string_view>
#include <type_traits>

namespace evenkeel::telemetry {

namespace {

using namespace row_readers;
using namespace row_rules;

#ifdef __clang__
constexpr std::string_view compiler = __VERSION__;
#else
constexpr std::string_view compiler = "g++ " __VERSION__;
#endif

template <class Word>
label words(std::string_view name, int end, int first = 0) {
    return {name, [](const subject&, std::size_t i) -> std::string_view { return to_string(static_cast<Word>(i)); },
            static_cast<std::size_t>(first), static_cast<std::size_t>(end)};
}
template <const auto& List>
label listed(std::string_view name) {
    return {name, [](const subject&, std::size_t i) { return List[i]; }, 0, List.size()};
}

constexpr label refusal_reasons{"reason", [](const subject&, std::size_t i) { return refusal_word(i); }, 0,
                                refusal_count};
constexpr label config_hash{"hash", [](const subject& of, std::size_t) {
                                return of.at->in_force ? std::string_view(of.at->in_force->hash) : std::string_view("");
                            }};
constexpr label program_version{"version", [](const subject& of, std::size_t) { return of.at->version; }};
constexpr label built_by{"compiler", [](const subject&, std::size_t) { return compiler; }};

constexpr std::string_view truth(std::size_t number) noexcept { return number == 0 ? "false" : "true"; }
// Two labels of one number, which go together.
constexpr label kind_of_token{"kind",
                              [](const subject&, std::size_t i) { return to_string(static_cast<token_kind>(i / 2)); },
                              0, 2 * token_kind_count};
constexpr label tokens_estimated{"estimated", [](const subject&, std::size_t i) { return truth(i % 2); }, 0,
                                 2 * token_kind_count, true};
constexpr label cost_estimated{"estimated", [](const subject&, std::size_t i) { return truth(i); }, 0, 2};

template <auto Member>
label of_transition(std::string_view name, bool same_number) {
    return {name,
            [](const subject&, std::size_t i) -> std::string_view {
                if constexpr (std::is_same_v<decltype(Member), circuit_state known_transition::*>)
                    return to_string(transitions[i].*Member);
                else
                    return transitions[i].*Member;
            },
            0, transition_count, same_number};
}

// The rows are laid out by hand: one metric each, which the formatter would spread over six lines.
// clang-format off

void add(std::vector<metric_row>& to, std::initializer_list<metric_row> rows) { to.insert(to.end(), rows); }

void add_requests(std::vector<metric_row>& to) {
    using enum about;
    using enum metric_type;
    add(to, {
        {route, counter, "requests_total",
         "Requests by what became of them, or how a good answer came about, and the class of the status the client "
         "got.",
         {words<request_ending>("outcome", request_ending_count), listed<code_classes>("code_class")},
         count<&route_cells::finished>,
         {"from the start, and how an answer may come about on this route", is_usual, true}},
        {route, counter, "client_departures_total",
         "Clients that left before their answer was whole, by what they waited for.",
         {words<departure>("when", departure_count)}, count<&rare_route_cells::departures>, from_the_start},
        {route, histogram, "client_departure_silence_seconds",
         "How long the upstream had been silent when a client left that waited for it.",
         {}, spread<&rare_route_cells::departure_silence>, when_observed},
        {route, histogram, "request_lost_seconds",
         "Time of a request in which none but attempts were under way that did not become its answer.",
         {}, spread<&rare_route_cells::lost>, when_observed},
        {route, histogram, "request_pause_seconds",
         "Time of a request between its attempts, while none was under way.",
         {}, spread<&rare_route_cells::paused>, when_observed},
        {route, counter, "retries_denied_total", "Failed attempts that were not followed by another, by reason.",
         {words<denied_reason>("reason", retry_denial_count, 1)}, count<&rare_route_cells::denied>, with_its_first},
        {route, counter, "stream_ends_total", "Streams that clients were sent something of, by how they ended.",
         {words<stream_end>("reason", stream_end_count, 1)}, count<&route_cells::stream_ends>, with_its_first},
        {route, counter, "stream_resumptions_total",
         "Streams that broke on a route with stream.resume: verified_replay, by what became of them.",
         {words<stream_resumption>("result", stream_resumption_count)}, count<&rare_route_cells::resumptions>,
         {"with `stream.resume: verified_replay`", route_has<resumes>}},
        {route, counter, "upcast_total",
         "Attempts of buffered requests that went upstream as streams (stream.upcast), by what became of them.",
         {words<upcast_result>("result", upcast_result_count)}, count<&rare_route_cells::upcasts>,
         {"with `stream.upcast`", route_has<upcasts>}},
        {route, gauge, "requests_in_flight", "Requests begun and not yet finished.",
         {}, level<&route_cells::in_flight>, from_the_start},
        {route, histogram, "request_duration_seconds", "From a request's head to the end of its answer.",
         {}, spread<&route_cells::duration>, when_observed},
        {route, histogram, "proxy_overhead_seconds",
         "The proxy's own time for a request that was sent upstream: no queue, no pause, no attempt.",
         {}, spread<&route_cells::overhead>, when_observed},
        {route, counter, "body_bytes_total", "Body bytes read from clients (request) and sent to them (response).",
         {listed<body_directions>("direction")}, count<&route_cells::body_bytes>, with_its_first},
        {client, counter, "client_requests_total",
         "Requests that showed the key of one of `clients`, by its name and the class of the status it got.",
         {listed<code_classes>("code_class")}, count<&client_cells::finished>, with_its_first},
        {client, counter, "client_tokens_total",
         "Tokens that its requests took, by kind: served with the answers it got, or lost with other attempts.",
         {listed<bill_sides>("outcome"), words<token_kind>("kind", token_kind_count)}, count<&client_cells::tokens>,
         with_its_first},
        {client, counter, "client_cost_total", "What those tokens cost, by the prices of their upstreams.",
         {listed<bill_sides>("outcome")}, billionths<&client_cells::cost>, with_its_first},
        {client, gauge, "client_requests_in_flight", "Requests of one of `clients` that are under way.",
         {}, client_in_flight, while_told("from the start, with `clients`")},
    });
}

void add_attempts(std::vector<metric_row>& to) {
    using enum about;
    using enum metric_type;
    add(to, {
        {pair, counter, "upstream_attempts_total", "Tries sent upstream, or meant to be, by kind and result.",
         {words<attempt_kind>("kind", attempt_kind_count), words<attempt_result>("result", attempt_result_count)},
         count<&pair_cells::attempts>, {"from the start", is_alerted, true}},
        {pair, histogram, "time_to_first_byte_seconds",
         "From a request's head to the first body byte sent to the client.",
         {}, spread<&pair_cells::first_byte>, when_observed},
        {pair, histogram, "time_to_first_token_seconds",
         "From a request's head to the first meaningful event of its stream sent to the client.",
         {}, spread<&pair_cells::first_token>, when_observed},
        {pair, counter, "wasted_output_events_total",
         "Meaningful events of streams whose attempt was not the answer.",
         {}, count<&pair_cells::wasted_events>, {"with `hedge`", route_has<hedges>}},
        {pair, counter, "tokens_total",
         "Tokens that attempts took, by kind and by what became of them; estimated where the answer did not tell.",
         {words<spent_on>("outcome", spent_on_count), kind_of_token, tokens_estimated}, count<&pair_cells::tokens>,
         with_its_first, "All kinds and outcomes together are what the provider counts: no token is in two of them."},
        {pair, counter, "cost_total", "What those tokens cost, by the prices of their upstream.",
         {words<spent_on>("outcome", spent_on_count), cost_estimated}, billionths<&pair_cells::cost>, with_its_first},
        {pair, counter, "upstream_unread_answers_total",
         "Answers that came compressed, unasked, in a way that cannot be read: passed on, not judged.",
         {}, count<&rare_pair_cells::unread>, with_its_first},
        {upstream, histogram, "upstream_attempt_duration_seconds",
         "From the launch of an attempt to its end, however it ended.",
         {}, spread<&upstream_cells::attempt_duration>, when_observed},
        {upstream, gauge, "upstream_attempts_in_flight", "Attempts begun and not yet finished.",
         {}, level<&upstream_cells::attempts_in_flight>, from_the_start},
    });
}

void add_policies(std::vector<metric_row>& to) {
    using enum about;
    using enum metric_type;
    add(to, {
        {pair, counter, "hedges_total",
         "Hedges that were launched: won (its answer became the request's), lost (cancelled), failed by itself.",
         {listed<hedge_ends>("result")}, count<&rare_pair_cells::hedges>, {"with `hedge`", route_has<hedges>}},
        {route, counter, "hedges_refused_total", "Hedges that were wanted and not launched, by reason.",
         {words<hedge_refusal>("reason", hedge_refusal_count, 1)}, count<&rare_route_cells::hedges_refused>,
         {"with `hedge`", route_has<hedges>}},
        {route, counter, "rescues_refused_total",
         "Rescues of silent attempts that were due and not launched, by reason; once a request for each.",
         {words<rescue_refusal>("reason", rescue_refusal_count, 1)}, count<&rare_route_cells::rescues_refused>,
         with_its_first},
        {pair, counter, "circuit_breaker_transitions_total",
         "Changes of a circuit, by the states between and the reason.",
         {of_transition<&known_transition::from>("from", false), of_transition<&known_transition::to>("to", true),
          of_transition<&known_transition::why>("why", true)}, count<&rare_pair_cells::transitions>,
         {"from the start", route_has<trips>, true}},
        {pair, counter, "model_circuit_transitions_total",
         "Changes of circuits of single models, which are none of their endpoint's, by the state they came into.",
         {words<circuit_state>("to", circuit_state_count)}, count<&rare_pair_cells::model_transitions>, with_its_first},
        {pair, counter, "circuit_breaker_probes_total", 
         "Attempts sent to a half-open circuit, of an endpoint or of a model there, by what they showed.",
         {listed<probe_verdicts>("result")}, count<&rare_pair_cells::probes>, with_its_first},
        {pair, counter, "cooldowns_total", "Rests that began because an endpoint asked for less, by reason.",
         {listed<cooldown_reasons>("reason")}, count<&rare_pair_cells::cooldowns>, with_its_first},
        {credential, counter, "upstream_credential_attempts_total",
         "Attempts that showed one of several credentials of an upstream, by its name and their result.",
         {words<attempt_result>("result", attempt_result_count)}, count<&credential_cells::attempts>, with_its_first},
        {credential, counter, "upstream_credential_refusals_total",
         "Rests (rate_limited) and deaths (quota, credential) of one that began, by reason.",
         {listed<cooldown_reasons>("reason")}, count<&rare_credential_cells::refused>, with_its_first},
        {pair, counter, "endpoint_doubt_changes_total",
         "Times at which an endpoint came to be asked second, because it was silent or slow, and no longer.",
         {listed<overload_changes>("change")}, count<&rare_pair_cells::doubts>, with_its_first},
        {pair, counter, "model_doubt_changes_total",
         "Times at which an endpoint came to be asked second for one of its models only, and no longer.",
         {listed<overload_changes>("change")}, count<&rare_pair_cells::model_doubts>, with_its_first},
        {pair, counter, "endpoint_connection_probes_total",
         "Connections opened to find out whether an endpoint that is asked second, or not at all, is there again.",
         {listed<connection_ends>("result")}, count<&rare_pair_cells::connections>, with_its_first},
        {pair, counter, "overload_changes_total", "Beginnings and ends of overload.",
         {listed<overload_changes>("change")}, count<&rare_pair_cells::overload>, with_its_first},
        {pair, counter, "budget_refusals_total", "Extra attempts that an empty budget refused.",
         {listed<budget_kinds>("kind")}, count<&rare_pair_cells::budget_refusals>,
         {"from the start `retry`, unless `retry: off`; with `hedge` also `hedge`", route_has<spends>}},
        {route, gauge, "requests_held", "Requests that wait because no endpoint may be asked.",
         {}, level<&rare_route_cells::holding>, of_asking},
        {route, counter, "holds_total",
         "Such waits by their end: went_on to an endpoint, or gave_up (refused, or its client left).",
         {listed<hold_ends>("result")}, count<&rare_route_cells::held>, of_asking},
        {route, histogram, "hold_duration_seconds", "How long such waits lasted.",
         {}, spread<&rare_route_cells::hold>, when_observed},
        {route, gauge, "pace_waiting", "Requests that wait for their turn at a quota.",
         {}, level<&rare_route_cells::pacing>, {"with `pace`", route_has<paces>}},
        {route, counter, "pace_waits_total",
         "Such waits by their end: went_on in its turn, went_through after pace.max_wait, or gave_up.",
         {listed<pace_ends>("result")}, count<&rare_route_cells::paced>, {"with `pace`", route_has<paces>}},
        {route, histogram, "pace_wait_seconds", "How long such waits lasted.",
         {}, spread<&rare_route_cells::pace_wait>, when_observed},
        {route, counter, "bulkhead_rejected_total",
         "Requests refused by the bulkhead: the queue was full, their time in it was over, or their tenant had its "
         "share.",
         {words<bulkhead_refusal>("reason", bulkhead_refusal_count, 1)}, count<&rare_route_cells::bulkhead_refused>,
         {"with `bulkhead`", route_has<has_bulkhead>}},
        {route, counter, "bulkhead_tenant_limited_total",
         "Requests that let others pass or were refused because their tenant had its share.",
         {}, count<&rare_route_cells::tenant_limited>, {"with `bulkhead`", route_has<has_bulkhead>}},
        {route, histogram, "bulkhead_queue_seconds",
         "How long requests were queued for a permit, whatever came of it.",
         {}, spread<&rare_route_cells::bulkhead_wait>, when_observed},
    });
}

void add_policy_states(std::vector<metric_row>& to) {
    using enum about;
    using enum metric_type;
    add(to, {
        {pair, gauge, "circuit_breaker_state", "1 for the state a circuit is in, 0 for the others.",
         {words<circuit_state>("state", circuit_state_count)}, of_endpoint<circuit_state_of>,
         while_told("from the start, unless `circuit_breaker: off`")},
        {pair, gauge, "circuit_breaker_last_transition_timestamp_seconds",
         "When a circuit came into its state, once it has left the first one.",
         {}, of_endpoint<circuit_since>, while_told("from its first transition on")},
        {pair, gauge, "circuit_breaker_next_probe_seconds", "Time until an open circuit may be probed; 0: now.",
         {}, of_endpoint<next_probe>, while_told("while it is open")},
        {pair, gauge, "circuit_breaker_forced", "1 while an operator holds a circuit in its state.",
         {}, of_endpoint<circuit_forced>, while_told("while it is forced")},
        {pair, gauge, "model_circuits",
         "Models whose own circuit is not closed, by its state: their endpoint is left alone for these only.",
         {words<circuit_state>("state", circuit_state_count, 1)}, of_endpoint<models_broken>,
         while_told("while there is one")},
        {pair, gauge, "cooldown_seconds", "Time until the last of its rests ends.",
         {}, of_endpoint<rest_left>, while_told("while one rests")},
        {pair, gauge, "cooldown_credentials", "Rests of an endpoint, each of a credential or of one model with it.",
         {}, of_endpoint<credentials_resting>, while_told("while one rests")},
        {credential, gauge, "upstream_credential_state", "1 for the state a credential is in, 0 for the others.",
         {words<credential_state>("state", credential_state_count)}, state_of_credential,
         while_told("from the start, of upstreams with `credentials`")},
        {credential, gauge, "upstream_credential_in_flight", "Attempts under way that show it.",
         {}, credential_in_flight, while_told("from the start, of upstreams with `credentials`")},
        {credential, gauge, "upstream_credential_asked_again_seconds",
         "Time until the last of its rests ends, or until it is asked again although it is dead.",
         {}, credential_left, while_told("while it rests or is dead")},
        {pair, gauge, "pace_limit_per_second",
         "What an upstream's quotas bring a second, as learned or configured, of all models and credentials together.",
         {words<quota_unit>("unit", static_cast<int>(quota_units))}, of_endpoint<pace_limit>,
         while_told("with `pace`, once known")},
        {pair, gauge, "pace_remaining", "What is left of them.",
         {words<quota_unit>("unit", static_cast<int>(quota_units))}, of_endpoint<pace_remaining>,
         while_told("with `pace`, once known")},
        {pair, gauge, "pace_guessed_per_second",
         "Requests a second that are sent where nothing but refusals tell of a quota.",
         {}, of_endpoint<pace_guessed>, while_told("with `pace`, once something was refused")},
        {pair, gauge, "endpoint_doubted", "1 while an endpoint is asked second: it was silent or slow.",
         {}, of_endpoint<is_doubted>, while_told("while it is")},
        {pair, gauge, "models_doubted", "Models for which alone an endpoint is asked second.",
         {}, of_endpoint<models_doubted>, while_told("while there is one")},
        {pair, gauge, "overload_active", "1 while an endpoint counts as overloaded.",
         {}, of_endpoint<overload_active>, while_told("from the start, unless `overload: off`")},
        {pair, gauge, "overload_limit", "Attempts at a time that an endpoint is given, while something limits.",
         {}, of_endpoint<overload_limit>, while_told("while something limits")},
        {pair, gauge, "overload_in_service", "Attempts that occupy a place of that limit, while some do.",
         {}, of_endpoint<overload_in_service>, while_told("while some do")},
        {pair, gauge, "budget_work", "What is left for extra attempts, in work; 1 is an ordinary attempt.",
         {}, of_endpoint<budget_level>, while_told("from the start")},
        {pair, gauge, "adaptive_timeout_seconds",
         "How long an attempt may take, as learned, by the shape of its answer.",
         {listed<shapes>("shape")}, of_endpoint<learned_timeout>, while_told("once learned")},
        {pair, gauge, "learned_latency_seconds", "What share of the attempts stays within, once it is known.",
         {listed<percentiles>("percentile")}, of_endpoint<learned_latency>, while_told("once known")},
        {pair, gauge, "learned_latency_samples", "Attempts that this is learned from, while there are some.",
         {}, of_endpoint<learned_samples>, while_told("while there are some")},
        {route, gauge, "bulkhead_in_use", "Permits that are out: requests being served.",
         {}, of_bulkhead<&bulkhead::summary::in_use>, while_told("with `bulkhead`")},
        {route, gauge, "bulkhead_limit", "bulkhead.max_concurrent.",
         {}, of_bulkhead<&bulkhead::summary::limit>, while_told("with `bulkhead`")},
        {route, gauge, "bulkhead_queued", "Requests that wait for a permit.",
         {}, of_bulkhead<&bulkhead::summary::queued>, while_told("with `bulkhead`")},
        {route, gauge, "bulkhead_queue_limit", "bulkhead.max_queue.",
         {}, of_bulkhead<&bulkhead::summary::queue_limit>, while_told("with `bulkhead`")},
        {route, gauge, "hedging_suspended",
         "1 while a route's hedges pause, because they do not win or everything is slow.",
         {}, hedging_suspended, while_told("with `hedge`")},
    });
}

void add_fallbacks(std::vector<metric_row>& to) {
    using enum about;
    using enum metric_type;
    add(to, {
        {route, counter, "fallbacks_total", "Requests answered by a step of their route's fallback ladder.",
         {words<fallback_kind>("step", fallback_kind_count)}, count<&rare_route_cells::fallbacks>,
         {"with `fallback`, the steps of the ladder", route_has<has_step>}},
        {route, counter, "fallback_steps_skipped_total", "Steps of fallback ladders that could not answer, by reason.",
         // `respond`, the last, always answers.
         {words<fallback_kind>("step", fallback_kind_count - 1), words<fallback_skip>("reason", fallback_skip_count)},
         steps_skipped, {"with `fallback`, the steps of the ladder", route_has<has_step>},
         "The first three reasons are `last_good`'s, the others `route`'s."},
        {route, counter, "fallbacks_exhausted_total",
         "Requests that no step of their route's fallback ladder could answer.",
         {}, count<&rare_route_cells::ladders_exhausted>, {"with `fallback`", route_has<has_ladder>}},
        {process, counter, "last_good_lookups_total", "Look-ups of last good answers by requests that needed one.",
         {listed<lookup_results>("result")}, lookups, from_the_start},
        {process, counter, "last_good_kept_total", "Answers put into the store of last good answers.",
         {}, reported<&scrape::last_good, &last_good_report::kept>, from_the_start},
        {process, counter, "last_good_not_kept_total",
         "Good answers of routes with a last_good step that were not kept, by reason.",
         {words<not_kept>("reason", static_cast<int>(not_kept_count))}, not_kept_for, from_the_start},
        {process, counter, "last_good_evictions_total", "Last good answers dropped because the store was full.",
         {}, reported<&scrape::last_good, &last_good_report::evicted>, from_the_start},
        {process, gauge, "last_good_entries", "Answers in the store of last good answers.",
         {}, reported<&scrape::last_good, &last_good_report::entries>, from_the_start},
        {process, gauge, "last_good_bytes", "What they take.",
         {}, reported<&scrape::last_good, &last_good_report::bytes>, from_the_start},
        {process, gauge, "last_good_max_bytes", "What they may take.",
         {}, reported<&scrape::last_good, &last_good_report::max_bytes>, from_the_start},
        {process, gauge, "last_good_file_configured", "Whether last_good.path names a file.",
         {}, reported<&scrape::last_good, &last_good_report::has_file>, from_the_start},
        {process, gauge, "last_good_file_working", "Whether that file could be used the last time it was.",
         {}, reported<&scrape::last_good, &last_good_report::file_works>, from_the_start},
        {process, counter, "last_good_file_errors_total",
         "Failed openings, reads and writes of that file, and rows of it that were damaged.",
         {}, reported<&scrape::last_good, &last_good_report::file_errors>, from_the_start},
        {process, counter, "last_good_file_dropped_total",
         "Answers that were not written to that file: its queue was full, or writing failed.",
         {}, reported<&scrape::last_good, &last_good_report::file_dropped>, from_the_start},
    });
}

void add_shared_flights_and_faults(std::vector<metric_row>& to) {
    using enum about;
    using enum metric_type;
    add(to, {
        {route, counter, "chaos_injected_total", "Attempts that a chaos rule chose to suffer a fault.",
         {words<chaos_fault>("fault", chaos_fault_count)}, count<&rare_route_cells::faults>, with_its_first},
        {process, gauge, "chaos_active_rules", "Chaos rules in force.",
         {}, reported<&scrape::policies, &policy_report::chaos_rules>, from_the_start},
        {route, counter, "coalesced_requests_total",
         "Requests that took part in a shared flight: as the leader it was started for, or as a follower.",
         {words<coalesce_role>("role", static_cast<int>(coalesce_role::follower) + 1,
                               static_cast<int>(coalesce_role::leader))},
         count<&rare_route_cells::coalesced>, {"with `coalesce`", route_has<coalesces>}},
        {route, gauge, "coalesced_flights", "Shared flights under way.",
         {}, flights_under_way, {"with `coalesce`", route_has<coalesces>}},
        {route, counter, "coalesced_detached_total", "Requests that lost the flight they shared, by reason.",
         {words<coalesce_detachment>("reason", coalesce_detachment_count)}, count<&rare_route_cells::detached>,
         {"with `coalesce`", route_has<coalesces>}},
    });
}

void add_connections(std::vector<metric_row>& to) {
    using enum about;
    using enum metric_type;
    add(to, {
        {connections, gauge, "connections", "Open connections from clients and to upstreams.",
         {}, level<&upstream_cells::connections>, from_the_start},
        {connections, counter, "connections_opened_total", "Connections accepted from clients and opened to upstreams.",
         {}, count<&upstream_cells::connections_opened>, from_the_start},
        {connections, gauge, "certificate_expiry_timestamp_seconds",
         "When the certificate that is shown on that side, or one of its chain, expires: the first of them.",
         {}, certificate_expires, while_told("where one is shown: `listen` with `tls`, `tls.cert_file` of upstreams")},
        {upstream, gauge, "upstream_idle_connections", "Open connections to an upstream that wait for work.",
         {}, level<&upstream_cells::idle_connections>, from_the_start},
        {upstream, counter, "upstream_cold_connections_total",
         "Attempts that found no connection ready and had to open one.",
         {}, count<&upstream_cells::connected_cold>, from_the_start},
        {upstream, counter, "prewarm_connections_total",
         "Connections opened ahead of demand, by what became of them.",
         {words<prewarm_event>("result", prewarm_event_count)}, count<&rare_upstream_cells::prewarmed>,
         {"with `prewarm`", upstream_has<warms>}},
        {upstream, counter, "prewarm_probes_total", "Requests of prewarm.probe, by how they ended.",
         {words<probe_result>("result", probe_result_count)}, count<&rare_upstream_cells::probed>,
         {"with `prewarm.probe`", upstream_has<probes>},
         "`refused`: 401 or 403; `error`: 500 and above; `failed`: no answer."},
        {upstream, gauge, "prewarm_target_connections",
         "Idle connections that pre-warming wants, all workers together.",
         {}, level<&rare_upstream_cells::prewarm_target>, {"with `prewarm`", upstream_has<warms>}},
        {process, counter, "connections_refused_total", "Client connections closed unheard.",
         {listed<connection_refusals>("reason")}, count<&process_cells::connections_refused>, from_the_start},
        {process, counter, "requests_refused_total",
         "Requests answered by a refusal of the proxy's own, by its reason.",
         {refusal_reasons}, count<&process_cells::requests_refused>, from_the_start,
         "The reason is the error's word, as in the access log; `other`: one that is not on the list."},
    });
}

void add_process(std::vector<metric_row>& to) {
    using enum about;
    using enum metric_type;
    add(to, {
        {process, counter, "internal_errors_total",
         "Requests and connections given up because of an error of ours.",
         {}, count<&process_cells::internal_errors>, from_the_start,
         "A bug, or no memory; the log has a line for each."},
        {process, gauge, "config_last_reload_successful",
         "Whether the configuration was accepted when it was last read.",
         {}, of_scrape<&scrape::reload_successful>, from_the_start},
        {process, gauge, "config_last_reload_success_timestamp_seconds", "When a configuration was last accepted.",
         {}, of_scrape<&scrape::reload_success_seconds>, from_the_start},
        {process, gauge, "config_restart_required",
         "Whether the file that is in force changes what only a restart does; the log says which keys.",
         {}, of_process<&process_report::restart_required>, from_the_start},
        {process, gauge, "config_info", "The configuration in force.", {config_hash}, just_one, from_the_start},
        {process, gauge, "build_info", "The program that runs.", {program_version, built_by}, just_one, from_the_start},
        {process, counter, "access_log_dropped_total", "Access log lines dropped because the queue was full.",
         {}, of_process<&process_report::access_log_dropped>, from_the_start},
        {process, gauge, "journal_requests", "Requests that the journal keeps.",
         {}, of_process<&process_report::journal_requests>, from_the_start},
        {process, gauge, "journal_bytes", "Memory that they take; journal.max_bytes bounds it.",
         {}, of_process<&process_report::journal_bytes>, from_the_start},
        {process, counter, "journal_evicted_total", "Requests that the journal gave up for later ones.",
         {}, of_process<&process_report::journal_evicted>, from_the_start},
        {process, counter, "trace_spans_total",
         "Spans for the collector of `tracing`, by what became of them. `queue_full`: dropped, the collector is slow "
         "or away; `rejected`: it does not want them; `failed`: it did not take them in time.",
         {words<trace_result>("result", static_cast<int>(trace_result_count))}, spans_of_traces, from_the_start},
        {process, gauge, "memory_held_bytes", "What counts against limits.memory.",
         {}, of_process<&process_report::memory_held>, from_the_start},
        {process, gauge, "memory_limit_bytes", "limits.memory.",
         {}, of_process<&process_report::memory_limit>, from_the_start},
        {process, counter, "process_cpu_seconds_total", "User and system time spent.",
         {}, reported<&scrape::sample, &process_sample::cpu_seconds>, from_the_start},
        {process, gauge, "process_resident_memory_bytes", "Resident memory.",
         {}, reported<&scrape::sample, &process_sample::resident_bytes>, from_the_start},
        {process, gauge, "process_open_fds", "Open file descriptors.",
         {}, reported<&scrape::sample, &process_sample::open_fds>, from_the_start},
        {process, gauge, "process_max_fds", "Most file descriptors that may be open.",
         {}, reported<&scrape::sample, &process_sample::max_fds>, from_the_start},
        {process, gauge, "process_start_time_seconds", "When the process started.",
         {}, reported<&scrape::sample, &process_sample::start_time_seconds>, from_the_start},
    });
}
// clang-format on

} // namespace

std::string_view to_string(metric_type type) noexcept {
    switch (type) {
    case metric_type::counter: return "counter";
    case metric_type::gauge: return "gauge";
    case metric_type::histogram: return "histogram";
    }
    return "counter";
}

const std::vector<label>& labels_of(about whom) {
    static const label route{"route", [](const subject& of, std::size_t) { return of.route_name; }};
    static const label upstream{"upstream", [](const subject& of, std::size_t) { return of.upstream_name; }};
    static const label endpoint{"endpoint", [](const subject& of, std::size_t) {
                                    return of.endpoint_name.empty() ? std::string_view{} : of.endpoint_name;
                                }};
    static const label credential{"credential", [](const subject& of, std::size_t) { return of.credential_name; }};
    static const label client{"client", [](const subject& of, std::size_t) { return of.client_name; }};
    static const label side{"side", [](const subject& of, std::size_t) -> std::string_view {
                                return of.upstream_name.empty() ? "downstream" : "upstream";
                            }};
    static const std::array<std::vector<label>, about_count> of{{{},
                                                                 {route},
                                                                 {route, upstream, endpoint},
                                                                 {upstream, endpoint},
                                                                 {side, upstream, endpoint},
                                                                 {upstream, credential},
                                                                 {client}}};
    return of[static_cast<std::size_t>(whom)];
}

const std::vector<metric_row>& metric_rows() {
    static const std::vector<metric_row> table = [] {
        std::vector<metric_row> rows;
        add_requests(rows);
        add_attempts(rows);
        add_policies(rows);
        add_policy_states(rows);
        add_fallbacks(rows);
        add_shared_flights_and_faults(rows);
        add_connections(rows);
        add_process(rows);
        return rows;
    }();
    return table;
}

} // namespace evenkeel::telemetry
