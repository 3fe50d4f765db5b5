#include "proxy/serve/serve.hpp"

#include "proxy/coalesce/shared.hpp"
#include "proxy/fallback/with_fallback.hpp"
#include "proxy/fan_out/in_parts.hpp"
#include "proxy/flight/in_turn.hpp"
#include "proxy/flight/run_flight.hpp"
#include "proxy/flight/within_deadline.hpp"
#include "proxy/message/local_answer.hpp"
#include "proxy/serve/admitted.hpp"
#include "proxy/serve/order.hpp"
#include "proxy/serve/routed.hpp"
#include "proxy/telemetry/health.hpp"

namespace evenkeel::request {

namespace {
net::task<answer> health(worker_services& services, client_request& request, errand&& what, next_stage next) {
    if (request.route->serves != config::route_serves::health) return next(services, request, std::move(what));
    health_text told = services.health_document();
    const bool says_so = !told.healthy && telemetry::asks_strict(request.came.head->query);
    return at_once(make_document(says_so ? 503 : 200, std::move(told.json), services.loop.wall_now()));
}

constexpr stage order[] = {
    {"routed", routed, "the first route that matches, by path and fields, by the model where a route asks for it"},
    {"health", health, "answers routes that serve the health document"},
    {"admitted", admitted, "reads and bounds what must be seen of the body"},
    {"in_parts", in_parts, "fan_out: each part takes what stands below by itself"},
    {"with_fallback", with_fallback, "fallback: last good answer, another route, a canned answer"},
    {"within_deadline", within_deadline, "timeout.total, and the time the client says it waits"},
    {"shared", shared, "coalesce: identical requests of one caller share a flight"},
    {"in_turn", in_turn, "bulkhead: a permit, or a bounded wait for one"},
    {"run_flight", run_flight,
     "attempts, retries and hedges: balance, circuit breaker, cooldown, overload, pace, budget, chaos, transport"},
};
} // namespace

std::span<const stage> stages() noexcept { return order; }

net::task<answer> serve(worker_services& services, client_request& request) {
    return next_stage{order}(services, request, {});
}

} // namespace evenkeel::request
