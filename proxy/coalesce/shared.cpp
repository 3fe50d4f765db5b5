#include "proxy/coalesce/shared.hpp"

#include "proxy/coalesce/coalesce_key.hpp"
#include "proxy/coalesce/shared_body.hpp"
#include "proxy/coalesce/shared_flight.hpp"
#include "proxy/coalesce/shared_flights.hpp"
#include "proxy/message/local_answer.hpp"

#include <fmt/format.h>

#include <utility>

namespace evenkeel::request {

namespace {
using telemetry::coalesce_role;

constexpr int max_tries = 8; // to find or found a flight while others do the same; then the request goes by itself
// What the flight itself says at the deadline is heard: it knows what was tried. (chosen: a few turns of a busy loop)
constexpr duration flights_last_words = std::chrono::milliseconds{5};

void tell(worker_services& services, client_request& request, const telemetry::any_happening& what) {
    request.account.tell(services.observer, services.loop.now(), {.route = request.route.get()}, what);
}

// none: it goes by itself.
coalesce_role enter(worker_services& services, const client_request& request, const errand& what, next_stage next,
                    const coalesce_key& key, flight_reader& reader) {
    std::shared_ptr<shared_flight> made;
    for (int tries = 0; tries < max_tries; ++tries) {
        auto found = services.flights->find(key);
        if (found && found->join(reader, what.deadline)) return coalesce_role::follower;
        if (!made) made = shared_flight::make(services, *services.flights, key, request, what, next);
        if (!made || !made->join(reader, what.deadline)) break;
        if (services.flights->put(key, made, found.get())) {
            made->start();
            return coalesce_role::leader;
        }
        reader.leave(); // somebody else was quicker
        made = nullptr;
    }
    return coalesce_role::none;
}

answer too_late(const worker_services& services, const client_request& request, const errand& what) {
    const auto& patience = request.facts.hints().timeout;
    const bool client_said = patience && answer_within(*patience) < what.asked->timeout.total;
    answer made = make_local_answer(
        {.status = 504,
         .code = "deadline_exceeded",
         .proxy_error = "http_response_timeout",
         .message = fmt::format("no answer came within {}",
                                client_said ? "the time this client waits" : "timeout.total of this route"),
         .outcome = telemetry::request_outcome::proxy_error},
        request.facts.dialect(), services.loop.wall_now());
    made.service = telemetry::request_service::error;
    made.may_have_arrived = true;
    return made;
}

answer readers_answer(worker_services& services, client_request& request, flight_reader reader,
                      std::shared_ptr<const shared_answer> told, coalesce_role role, steady_time deadline) {
    const bool leader = role == coalesce_role::leader;
    answer made;
    static_cast<provenance&>(made) = *told;
    made.coalesced = role;
    if (!leader)
        made.launched = made.sent = made.decided = {}; // its own share of the time has nothing to do with these
    request.account.follow(told->so_far, {}, leader);
    auto body = std::make_unique<shared_body>(std::move(reader), std::move(told), services, request, leader, deadline);
    made.head = &body->head();
    made.body = std::move(body);
    return made;
}

net::task<answer> read_along(worker_services& services, client_request& request, errand what, next_stage next) {
    const auto key = coalesce_key_of(request, what, services.flights->key());
    if (!key) co_return co_await next(services, request, std::move(what));

    const steady_time deadline = what.deadline + flights_last_words;
    coalesce_role role = coalesce_role::none;
    {
        flight_reader reader(services.loop);
        role = enter(services, request, what, next, *key, reader);
        if (role != coalesce_role::none) {
            const bool follows = role == coalesce_role::follower;
            tell(services, request,
                 telemetry::happened::joined{role, follows ? reader.flight()->leader() : telemetry::trace_link{}});
            const net::cancel_source::hook left(
                request.gone, [](void* who) { static_cast<flight_reader*>(who)->set(); }, &reader);
            for (;;) {
                auto seen = reader.flight()->look(reader);
                if (request.gone.requested()) co_return client_left();
                if (seen.detached) {
                    tell(services, request, telemetry::happened::detached{*seen.detached});
                    break;
                }
                if (seen.answer)
                    co_return readers_answer(services, request, std::move(reader), std::move(seen.answer), role,
                                             deadline);
                if (seen.no_answer) break;
                if (co_await reader.wait_until(deadline)) continue;
                seen = reader.flight()->look(reader);
                if (seen.answer && !seen.detached) continue;
                co_return too_late(services, request, what);
            }
            if (role == coalesce_role::follower) role = coalesce_role::detached;
        }
    }
    answer given = co_await next(services, request, std::move(what));
    given.coalesced = role;
    co_return given;
}
} // namespace

net::task<answer> shared(worker_services& services, client_request& request, errand&& what, next_stage next) {
    const bool shares = request.route->coalesce != coalesce_mode::off && services.flights != nullptr;
    return shares ? read_along(services, request, std::move(what), next) : next(services, request, std::move(what));
}

} // namespace evenkeel::request
