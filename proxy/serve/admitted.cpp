#include "proxy/serve/admitted.hpp"

#include "proxy/message/body_answers.hpp"
#include "proxy/message/local_answer.hpp"
#include "proxy/reading/credentials.hpp"
#include "proxy/wire/model_place.hpp"

#include <algorithm>

namespace evenkeel::request {

namespace {
constexpr std::uint64_t whole_body_bytes = 64 * 1024; // bodies up to this are read whole before the first attempt

bool has_failed(const client_request& request) { return request.body.failed() != request_body::failure::none; }

// A ladder may send the body elsewhere, or know the request by it.
bool needs_body(const std::vector<config::fallback_step>& ladder) {
    return std::any_of(ladder.begin(), ladder.end(),
                       [](const config::fallback_step& step) { return step.is != fallback_kind::respond; });
}

// A member of the body may be a credential that not everybody is shown.
bool looks_for_credentials(const client_request& request) {
    return request.route->hides_some && may_be_json(*request.came.head);
}

bool must_be_whole(const client_request& request) {
    const config::route& route = *request.route;
    if (route.serves == config::route_serves::fan_out) return true;
    if (std::any_of(route.upstreams.begin(), route.upstreams.end(),
                    [](const auto& one) { return !one->models.empty(); }) &&
        !wire::find_model_in_path(request.came.head->path))
        return true;
    if (!looks_for_credentials(request)) return false;
    // What is only too large goes on unsearched where no member is named (config/README.md, Credentials); what there
    // was no room for does not: else whoever fills the memory decides what another caller's upstream is shown.
    return route.credentials.names_body() || request.body.lacked_memory();
}

bool is_looked_into(const client_request& request) {
    const config::route& route = *request.route;
    // Whether a stream that broke may be asked for again is seen from its body.
    const bool replays = route.stream.resume == config::stream_resume::verified_replay;
    const bool counts = route.stream.asks_usage || std::any_of(route.upstreams.begin(), route.upstreams.end(),
                                                               [](const auto& one) { return !one->prices.empty(); });
    return counts || must_be_whole(request) || looks_for_credentials(request) || route.coalesce != coalesce_mode::off ||
           route.stream.upcast || replays || needs_body(route.fallback);
}

std::optional<answer> refusal_of(const worker_services& services, const client_request& request) {
    if (has_failed(request)) return body_failure_answer(request, services.loop.wall_now());
    if (must_be_whole(request) && !request.body.whole()) return body_not_seen(services, request);
    return std::nullopt;
}

net::task<answer> read_first(worker_services& services, client_request& request, errand what, next_stage next,
                             std::uint64_t ahead) {
    const steady_time since = services.loop.now();
    co_await request.body.read_whole(ahead, request.came.received + request.route->timeout.total);
    request.account.effort.uploading += services.loop.now() - since;
    request.note_model();
    if (auto refused = refusal_of(services, request)) co_return std::move(*refused);
    co_return co_await next(services, request, std::move(what));
}
} // namespace

bool reads_ahead(const client_request& request, std::uint64_t limit) {
    const auto& framing = request.body.framing();
    return !request.body.complete() && !(framing.kind == wire::body_kind::length && framing.length > limit);
}

answer body_not_seen(const worker_services& services, const client_request& request) {
    if (has_failed(request)) return body_failure_answer(request, services.loop.wall_now());
    if (request.body.lacked_memory()) return no_memory_answer(request, services.loop.wall_now());
    return make_local_answer(
        {.status = 413,
         .code = "body_too_large_to_inspect",
         .proxy_error = {},
         .message = "this route must see the whole body and it is larger than retry.replay_buffer"},
        request.facts.dialect(), services.loop.wall_now());
}

net::task<answer> admitted(worker_services& services, client_request& request, errand&& what, next_stage next) {
    const std::uint64_t may_hold = request.route->retry.replay_buffer;
    request.body.hold_up_to(may_hold);
    if (!request.body.complete()) {
        const std::uint64_t ahead = is_looked_into(request) ? may_hold : whole_body_bytes;
        if (reads_ahead(request, ahead)) return read_first(services, request, std::move(what), next, ahead);
    }
    request.note_model();
    if (auto refused = refusal_of(services, request)) return at_once(std::move(*refused));
    return next(services, request, std::move(what));
}

} // namespace evenkeel::request
