#include "proxy/serve/serve.hpp"

#include "proxy/coalesce/coalesce.hpp"
#include "proxy/fallback/fallback.hpp"
#include "proxy/fan_out/serve_parts.hpp"
#include "proxy/flight/bulkhead_turn.hpp"
#include "proxy/flight/run_flight.hpp"
#include "proxy/message/body_answers.hpp"
#include "proxy/message/local_answer.hpp"
#include "proxy/reading/credentials.hpp"
#include "proxy/reading/router.hpp"
#include "proxy/telemetry/health.hpp"
#include "proxy/wire/json_model.hpp"

#include <algorithm>

namespace evenkeel::request {

namespace {
constexpr std::uint64_t whole_body_bytes = 64 * 1024; // bodies up to this are read whole before the first attempt

// Whether the body is to be read on before the first attempt. One that is known to be larger than `limit` starts at
// once; the usual one came with the head and needs no coroutine.
bool reads_ahead(const client_request& request, std::uint64_t limit) {
    const auto& framing = request.body.framing();
    return !request.body.complete() && !(framing.kind == wire::body_kind::length && framing.length > limit);
}
bool has_failed(const client_request& request) { return request.body.failed() != request_body::failure::none; }

// A ladder may send the body elsewhere, or know the request by it.
bool needs_body(const std::vector<config::fallback_step>& ladder) {
    return std::any_of(ladder.begin(), ladder.end(),
                       [](const config::fallback_step& step) { return step.is != fallback_kind::respond; });
}

// Before a route is known, its own time is not either.
duration longest_total(const config::settings& settings) {
    duration all{};
    for (const auto& route : settings.routes) all = std::max(all, route->timeout.total);
    return all;
}

void find_model(client_request& request) { request.model = wire::find_members(request.body.text().view()).model; }

answer no_route(const worker_services& services, const client_request& request) {
    return make_local_answer(
        {.status = 404,
         .code = "no_route",
         .proxy_error = "destination_not_found",
         .message = "no route matches this method and path; see `routes` in the configuration file"},
        dialect_of(nullptr, request.head->path), services.loop.wall_now());
}

answer not_for_pages(const worker_services& services, const client_request& request, page_verdict why) {
    return make_local_answer({.status = 403,
                              .code = to_string(why),
                              .proxy_error = "http_request_denied",
                              .message = std::string{explain(why)}},
                             dialect_of(request.route.get(), request.head->path), services.loop.wall_now());
}

answer body_not_seen(const worker_services& services, const client_request& request) {
    if (request.body.lacked_memory()) return no_memory_answer(request, services.loop.wall_now());
    return make_local_answer(
        {.status = 413,
         .code = "body_too_large_to_inspect",
         .proxy_error = {},
         .message = "this route must see the whole body and it is larger than retry.replay_buffer"},
        dialect_of(request.route.get(), request.head->path), services.loop.wall_now());
}
} // namespace

net::task<answer> serve(worker_services& services, client_request& request) {
    // route: the first match wins, unless a foreign page asks; where a match depends on the model, the body is read
    // first
    bool seen = true;
    if (!request.route) {
        route_choice choice = choose_route(*request.settings, {*request.head, std::nullopt});
        if (const page_verdict why = judge_page(request.settings->pages, request.via, *request.head);
            why != page_verdict::welcome) {
            request.route = std::move(choice.route);
            services.observer.request_started(request.route.get());
            co_return not_for_pages(services, request, why);
        }
        if (choice.needs_model) {
            const std::uint64_t limit = request.settings->replay_buffer;
            if (reads_ahead(request, limit))
                co_await request.body.read_whole(limit, request.received + longest_total(*request.settings));
            seen = request.body.complete() && !has_failed(request);
            if (seen) {
                find_model(request);
                choice = choose_route(*request.settings, {*request.head, request.model});
            }
        }
        request.route = std::move(choice.route);
    }
    services.observer.request_started(request.route.get());
    request.announced = true;
    if (!seen) {
        co_return has_failed(request) ? body_failure_answer(request, services.loop.wall_now())
                                      : body_not_seen(services, request);
    }
    if (!request.route) co_return no_route(services, request);

    if (request.route->serves == config::route_serves::health) {
        health_text health = services.health_document();
        const bool says_so = !health.healthy && telemetry::asks_strict(request.head->query);
        co_return make_document(says_so ? 503 : 200, std::move(health.json), services.loop.wall_now());
    }

    const auto& upstreams = request.route->upstreams;
    const bool fans_out = request.route->serves == config::route_serves::fan_out;
    const bool must_see_body = fans_out || std::any_of(upstreams.begin(), upstreams.end(),
                                                       [](const auto& one) { return !one->models.empty(); });
    request.body.hold_up_to(request.route->retry.replay_buffer);
    const auto& ladder = request.route->fallback;
    // A member of the body may be a credential that not everybody is shown.
    const bool looks_for_credentials = request.route->hides_some && may_be_json(*request.head);
    const bool must_see_credentials = looks_for_credentials && request.route->credentials.names_body();
    // Whether a stream that broke may be asked for again is seen from its body.
    const bool replays = request.route->stream.resume == config::stream_resume::verified_replay;
    const bool wants_body = must_see_body || looks_for_credentials || request.route->coalesce != coalesce_mode::off ||
                            request.route->stream.upcast || replays || needs_body(ladder);
    const std::uint64_t ahead = wants_body ? request.route->retry.replay_buffer : whole_body_bytes;
    if (reads_ahead(request, ahead))
        co_await request.body.read_whole(ahead, request.received + request.route->timeout.total);
    if (has_failed(request)) co_return body_failure_answer(request, services.loop.wall_now());
    // What is only too large goes on unsearched where no member is named (README, credentials); what there was no room
    // for does not: else whoever fills the memory decides what another caller's upstream is shown.
    const bool unsearched = looks_for_credentials && request.body.lacked_memory();
    if ((must_see_body || must_see_credentials || unsearched) && !request.body.whole())
        co_return body_not_seen(services, request);

    if (fans_out) co_return co_await serve_parts(services, request, serve);
    if (!ladder.empty()) co_return co_await with_fallback(services, request);
    if (request.route->coalesce != coalesce_mode::off) co_return co_await coalesce(services, request);
    // As in_turn(), without a coroutine of its own.
    bulkhead_permit permit = enter_bulkhead(services, request);
    if (!permit && request.route->bulkhead.on) {
        if (auto refused = co_await wait_for_turn(services, request, permit)) co_return std::move(*refused);
    }
    answer given = co_await run_flight(services, request);
    given.permit = std::move(permit); // to the last byte
    co_return given;
}

} // namespace evenkeel::request
