#include "proxy/flight/in_turn.hpp"

#include "proxy/message/local_answer.hpp"
#include "proxy/net/event.hpp"
#include "proxy/net/loop.hpp"
#include "proxy/reading/principal.hpp"
#include "proxy/state/shard_of.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

namespace evenkeel::request {

namespace {
// Woken by whichever worker gives a permit back; goes on on its own. By the time the wake-up is there the wait may be
// over: then it finds nobody.
class turn final : public bulkhead::waiter, public std::enable_shared_from_this<turn> {
public:
    explicit turn(net::loop& worker) noexcept : worker_(worker), ready_(worker.executor()) {}

    [[nodiscard]] net::task<bool> wait_until(net::timer_queue& timers, steady_time due) {
        return ready_.wait_until(timers, due);
    }
    void client_left() {
        gone_ = true;
        ready_.set();
    }
    [[nodiscard]] bool is_gone() const noexcept { return gone_; }

private:
    void wake() noexcept override {
        worker_.post([self = shared_from_this()] { self->ready_.set(); });
    }

    net::loop& worker_;
    net::event ready_;
    bool gone_ = false;
};

bulkhead& bulkhead_of(const client_request& request, const errand& what) {
    return *request.came.policies->of(*what.asked).bulkhead;
}

bulkhead::requester requester_of(const client_request& request, const errand& what) noexcept {
    return {.known = told_tenant(request, *what.asked),
            .context = &request,
            // Asked by any thread: only what does not change while the request is served may be looked at.
            .identify = [](const void* of) noexcept {
                const auto& one = *static_cast<const client_request*>(of);
                return tenant_of(*one.came.head, rules_of(one));
            }};
}

struct refusal_words {
    std::string_view code, because;
};
refusal_words words_of(bulkhead_refusal why, bool waited) noexcept {
    switch (why) {
    case bulkhead_refusal::tenant_share:
        return {"bulkhead_tenant_share",
                waited ? "its tenant had more than bulkhead.tenant_share of the queue, and it made room for others"
                       : "its tenant has bulkhead.tenant_share of the queue, and others wait"};
    case bulkhead_refusal::queue_timeout:
        return {"bulkhead_timeout", "it did not get its turn within bulkhead.queue_timeout or its own time"};
    case bulkhead_refusal::queue_full:
    case bulkhead_refusal::none: break;
    }
    return {"bulkhead_full", "bulkhead.max_queue others wait already"};
}

answer refused(worker_services& services, const client_request& request, const errand& what, bulkhead_refusal why,
               bool waited) {
    const refusal_words said = words_of(why, waited);
    return make_local_answer(
        {.status = 503,
         .code = said.code,
         .proxy_error = "connection_limit_reached",
         .message =
             fmt::format("route '{}' serves bulkhead.max_concurrent requests at a time, and this one was refused: {}",
                         what.asked->name, said.because),
         .retry_after = bulkhead_of(request, what).retry_after(services.draw(), services.loop.now())},
        request.facts.dialect(), services.loop.wall_now());
}

net::task<answer> wait_in_turn(worker_services& services, client_request& request, errand what, next_stage next) {
    bulkhead& at = bulkhead_of(request, what);
    const steady_time came = services.loop.now();
    const auto& longest = what.asked->bulkhead.queue_timeout;
    steady_time until = longest ? came + *longest : steady_time::max();
    // Who waits for a shared flight leaves it by himself, and another's time may be longer.
    if (what.shared == nullptr) until = std::min(until, what.deadline);
    const auto mine = std::make_shared<turn>(services.loop);
    duration queued_for{};
    bulkhead::entry entry = at.wait(mine, requester_of(request, what), until, came);
    const bool queued = !entry.given && entry.refused == bulkhead_refusal::none;
    if (queued) {
        const net::cancel_source::hook left(
            request.gone, [](void* who) { static_cast<turn*>(who)->client_left(); }, mine.get());
        static_cast<void>(co_await mine->wait_until(services.loop.timers(), until));
        entry = at.stop_waiting(*mine);
        queued_for = services.loop.now() - came;
    }
    if (entry.given) what.permit = bulkhead_permit{at, *entry.given, services.loop};
    const bulkhead_refusal why = mine->is_gone() ? bulkhead_refusal::none : entry.refused;
    const telemetry::happened::queued passed{.waited = queued_for,
                                             .in_line = queued,
                                             .admitted = what.permit && !mine->is_gone(),
                                             .refused = why,
                                             .tenant_limited = entry.limited};
    request.account.tell(services.observer, services.loop.now(), {.route = what.asked.get()}, passed);
    if (mine->is_gone()) co_return client_left(); // a permit that came at the last moment goes back with the errand
    if (why != bulkhead_refusal::none) co_return refused(services, request, what, why, queued);
    co_return co_await next(services, request, std::move(what));
}
} // namespace

net::task<answer> in_turn(worker_services& services, client_request& request, errand&& what, next_stage next) {
    if (!what.asked->bulkhead.on) return next(services, request, std::move(what));
    bulkhead& at = bulkhead_of(request, what);
    const auto given = at.enter(requester_of(request, what), request.came.received);
    if (!given) return wait_in_turn(services, request, std::move(what), next);
    what.permit = bulkhead_permit{at, *given, services.loop};
    return next(services, request, std::move(what));
}

} // namespace evenkeel::request
