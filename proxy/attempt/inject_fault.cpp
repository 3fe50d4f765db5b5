#include "proxy/attempt/inject_fault.hpp"

#include "proxy/message/local_answer.hpp"
#include "proxy/net/chaos_transport.hpp"

#include <utility>

namespace evenkeel::request {

injected_fault inject_fault(worker_services& services, client_request& request, const config::route& route,
                            const config::upstream& upstream) {
    telemetry::request_effort& effort = request.account.effort;
    ++effort.chaos_asked;
    auto found =
        services.chaos->decide({route.name, upstream.name, request.came.id, effort.chaos_asked}, services.loop.now());
    if (!found) return {};
    const auto next = static_cast<telemetry::attempt_number>(effort.attempts + 1);
    request.account.tell(services.observer, services.loop.now(),
                         {.route = &route, .upstream = &upstream, .attempt = next},
                         telemetry::happened::faulted{found->fault.is});
    const net::chaos_answer_context context{dialect_of(route, upstream, request.came.head->path),
                                            request.came.head->is_head()};
    const bool spares = found->fault.spares_upstream();
    return {std::make_unique<net::chaos_transport>(services.loop, services.transport, std::move(*found), context),
            spares};
}

} // namespace evenkeel::request
