#include "proxy/attempt/inject_fault.hpp"

#include "proxy/message/local_answer.hpp"
#include "proxy/net/chaos_transport.hpp"

#include <utility>

namespace evenkeel::request {

std::unique_ptr<net::transport> inject_fault(worker_services& services, client_request& request,
                                             const config::route& route, const config::upstream& upstream) {
    ++request.account.chaos_asked;
    auto found = services.chaos->decide({route.name, upstream.name, request.came.id, request.account.chaos_asked},
                                        services.loop.now());
    if (!found) return nullptr;
    request.account.chaos |= static_cast<std::uint16_t>(1U << static_cast<unsigned>(found->fault.is));
    services.observer.fault_injected(route, found->fault.is);
    const net::chaos_answer_context context{dialect_of(route, upstream, request.came.head->path),
                                            request.came.head->is_head()};
    return std::make_unique<net::chaos_transport>(services.loop, services.transport, std::move(*found), context);
}

} // namespace evenkeel::request
