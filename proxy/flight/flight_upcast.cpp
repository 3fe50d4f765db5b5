// Which of a flight's attempts ask for a stream although its client did not (stream.upcast).

#include "proxy/flight/flight.hpp"

#include "proxy/reading/outgoing.hpp"
#include "proxy/reading/repeatable.hpp"
#include "proxy/wire/upcast_request.hpp"

namespace evenkeel::request {

// The same key with another body would be taken for a mistake.
namespace {
bool has_idempotency_key(const wire::request_head& head) noexcept {
    return head.find(std::string_view{"idempotency-key"}) != nullptr;
}
} // namespace

bool flight::upcasts(endpoint_index at) {
    if (!route_.stream.upcast || !request_.came.head->is_post() || !request_.body.complete() || !repeatable(at))
        return false;
    const config::upstream& upstream = *route_.upstreams[at];
    const bool own_paths = !upstream.paths.empty(); // then the client's says what is called
    const std::string_view target = own_paths ? request_.came.head->path : aim(at).target;
    const auto dialect = wire::upcast_dialect(dialect_of(route_, upstream, request_.came.head->path), target,
                                              own_paths ? 0 : base_of(route_, upstream));
    if (!dialect) return false;
    auto& possible = can_upcast_[*dialect == wire::dialect::anthropic ? 1 : 0];
    if (!possible) {
        possible = !has_idempotency_key(*request_.came.head) && !request_.facts.wants_stream() &&
                   wire::upcast_request(*dialect, request_.body.text().view()).has_value();
    }
    return *possible && !request_.came.policies->not_upcast().excludes(upstream.name, request_.facts.members().model,
                                                                       services_.loop.now());
}

void flight::fill_upcast(attempt_order& order, const flight_action::launch& what, std::string_view target) {
    std::string renamed;
    for (const shared_bytes& one : order.renamed) renamed += one.view();
    const shared_bytes own = request_.body.text();
    const auto body =
        wire::upcast_request(order.rules.dialect, renamed.empty() ? own.view() : std::string_view{renamed});
    if (!body) return;
    auto made = std::make_unique<upcast_order>();
    block_ptr place = services_.buffers.take_if_room(body->size());
    if (!place) return; // it goes as it is
    made->body.push_back(copy_to_block(std::move(place), *body));
    made->model = request_.facts.members().model;
    made->exclusions = &request_.came.policies->not_upcast();
    made->plain_hold = what.hold;
    made->span_at = append_request_head(
        made->head, *request_.came.head, target, route_, *order.upstream, {wire::body_kind::length, body->size()},
        request_.came.client_address, answer_coding::identity,
        {request_.account.trace, request_.came.settings->tracing.propagate}, order.shown);
    order.hold = holding::answers; // the last attempt's as well: nothing of a stream may be passed on
    order.leaves_last_words = false;
    order.upcast = std::move(made);
}

} // namespace evenkeel::request
