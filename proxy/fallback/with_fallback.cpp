#include "proxy/fallback/with_fallback.hpp"

#include "proxy/fallback/last_good_use.hpp"
#include "proxy/message/local_answer.hpp"
#include "proxy/message/stored_body.hpp"
#include "proxy/wire/one_event_stream.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace evenkeel::request {

namespace {
namespace happened = telemetry::happened;

constexpr std::string_view events = "text/event-stream";

unaided_answer facts_of(const answer& given, const client_request& request) {
    return {.is_there = given.body != nullptr && !request.gone.requested(),
            .status = given.head != nullptr ? given.head->status : 0,
            .failed_as = given.failed_as,
            .body_failed = request.body.failed() != request_body::failure::none};
}

// Whether a step from `from` on may be expected to answer. Only last_good is known to have nothing beforehand.
bool follows(const std::vector<config::fallback_step>& ladder, std::size_t from) noexcept {
    return std::any_of(ladder.begin() + static_cast<std::ptrdiff_t>(from), ladder.end(),
                       [](const config::fallback_step& step) { return step.is != fallback_kind::last_good; });
}

// An answer that is here, in the form the client asked for: what lies in one piece becomes a stream of one event.
// Empty: it cannot be had in that form.
struct ready_answer {
    int status;
    std::string_view content_type;
    std::shared_ptr<const std::string> body;
    bool encoded = false;
    bool stream = false; // of any kind, whole
};
std::unique_ptr<stored_body> in_form(const client_request& request, const ready_answer& what, bool must_fit,
                                     wall_time now) {
    const bool is_stream = what.stream || what.content_type.starts_with(events);
    std::unique_ptr<stored_body> made;
    std::string_view type = what.content_type;
    if (what.status < 400 && !is_stream && request.facts.wants_events()) {
        auto converted = what.encoded ? std::nullopt : wire::one_event_stream(request.facts.dialect(), *what.body);
        if (converted) {
            made = std::make_unique<stored_body>(std::move(*converted));
            type = events;
        } else if (must_fit) {
            return nullptr;
        }
    }
    if (!made) made = std::make_unique<stored_body>(what.body);
    if (is_stream || type.starts_with(events)) made->be_stream();
    made->status(what.status);
    if (!type.empty()) made->add_field("content-type", std::string{type});
    made->add_field("cache-control", "no-store"); // it stands in for another answer for now
    made->add_field("date", http_date(now));
    return made;
}

answer answer_of(std::unique_ptr<stored_body> body) {
    answer made;
    made.head = &body->finish_head();
    made.stream = made.head->body.kind == wire::body_kind::chunked;
    made.body = std::move(body);
    made.local = true;
    return made;
}

// The label, and why it is needed.
answer degraded(answer made, const answer& unaided, const telemetry::degradation& how) {
    made.degraded = how;
    made.degraded.is = true;
    if (made.coalesced == telemetry::coalesce_role::none) made.coalesced = unaided.coalesced;
    made.service = telemetry::request_service::degraded;
    made.denied = unaided.denied;
    made.reason = !unaided.reason.empty() ? unaided.reason : std::string_view{"upstream_error"};
    made.proxy_error = unaided.proxy_error;
    return made;
}

// The ladder of one request.
class ladder {
public:
    ladder(worker_services& services, client_request& request)
        : services_(services), request_(request), route_(*request.route), steps_(route_.fallback) {
        if (services.last_good != nullptr && steps_.front().is == fallback_kind::last_good)
            kept_.emplace(*services.last_good, request, steps_.front());
    }

    [[nodiscard]] bool can_answer() const {
        return follows(steps_, 0) || (kept_ && kept_->look(services_.loop.now()).answer != nullptr);
    }
    [[nodiscard]] answer keep(answer given) const {
        if (!kept_ || given.coalesced == telemetry::coalesce_role::follower) return given; // its leader keeps it
        const auto dialect = given.upstream != nullptr ? dialect_of(route_, *given.upstream, request_.came.head->path)
                                                       : wire::dialect::generic;
        return kept_->keep(std::move(given), services_.memory, dialect, services_.loop.now(),
                           services_.loop.wall_now());
    }

    [[nodiscard]] std::optional<answer> last_good(const answer& unaided) const {
        const steady_time now = services_.loop.now();
        auto found = kept_ ? kept_->take(now) : last_good_use::found{};
        if (!found.answer) return skip(fallback_kind::last_good, found.why);
        const stored_answer& stored = *found.answer;
        const auto field = [&](std::string_view name) -> std::string_view {
            for (const auto& [known, value] : stored.fields)
                if (known == name) return value;
            return {};
        };
        auto body = in_form(request_,
                            {stored.status,
                             field("content-type"),
                             {found.answer, &stored.body},
                             !field("content-encoding").empty(),
                             stored.stream},
                            true, services_.loop.wall_now());
        if (!body) return skip(fallback_kind::last_good, fallback_skip::no_entry);
        for (const auto& [name, value] : stored.fields)
            if (name != "content-type") body->add_field(name, value);
        const duration age = std::max(now - stored.kept, duration::zero());
        const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(age).count();
        body->add_field("age", std::to_string(seconds));
        // It was never fresh: nothing of what is kept is given while there is anything better (RFC 9211 2.4).
        body->add_field("cache-status", fmt::format("evenkeel; hit; ttl={}; detail=last_good", -seconds));
        return degraded(answer_of(std::move(body)), unaided, {.by = fallback_kind::last_good, .age = age});
    }

    [[nodiscard]] answer respond(const config::canned_answer& canned, const answer& unaided) const {
        auto body =
            in_form(request_, {canned.status, canned.content_type, canned.body}, false, services_.loop.wall_now());
        if (canned.status >= 400 && unaided.head != nullptr) {
            for (const std::string_view name : {"retry-after", "retry-after-ms"})
                if (const wire::field* const told = unaided.head->find(name))
                    body->add_field(std::string{name}, std::string{told->value});
        }
        answer made = degraded(answer_of(std::move(body)), unaided, {.by = fallback_kind::respond});
        if (canned.status < 400) return made;
        made.outcome = request_.account.effort.attempts > 0 ? telemetry::request_outcome::proxy_error
                                                            : telemetry::request_outcome::rejected;
        made.stop_client_retries = unaided.stop_client_retries;
        return made;
    }

    // The request on its way to the other route; none: it is not to go there.
    [[nodiscard]] std::optional<errand> elsewhere(std::size_t step, const errand& what, bool may_have_arrived) const {
        const steady_time now = services_.loop.now();
        errand other{.asked = request_.came.settings->routes[steps_[step].route],
                     .since = now,
                     .bound = what.bound,
                     .deadline = request_.came.received + route_.timeout.total,
                     .something_follows = follows(steps_, step + 1)};
        const reroute_facts facts{.time_left = deadline_of(request_, other) - now,
                                  .attempt_needs = flight_plan::min_attempt_time,
                                  .body_held = request_.body.replayable(),
                                  .may_have_arrived = may_have_arrived,
                                  .repeatable = request_.facts.may_repeat(route_)};
        if (const auto why_not = why_not_reroute(facts)) return skip(fallback_kind::route, *why_not);
        return other;
    }

    void turn_to(fallback_kind step) const {
        request_.account.note(services_.loop.now(), {.route = &route_}, happened::step_taken{step});
    }
    void tell(const telemetry::any_happening& what) const {
        request_.account.tell(services_.observer, services_.loop.now(), {.route = &route_}, what);
    }

private:
    std::nullopt_t skip(fallback_kind step, fallback_skip why) const {
        tell(happened::step_skipped{step, why});
        return std::nullopt;
    }

    worker_services& services_;
    client_request& request_;
    const config::route& route_;
    const std::vector<config::fallback_step>& steps_;
    std::optional<last_good_use> kept_;
};

net::task<answer> climb(worker_services& services, client_request& request, errand what, next_stage next) {
    const config::route& route = *request.route;
    const ladder one(services, request);
    errand first = what.without_permit();
    first.something_follows = one.can_answer();
    answer unaided = co_await next(services, request, std::move(first));
    if (!needs_fallback(facts_of(unaided, request))) co_return one.keep(std::move(unaided));

    unaided.permit = {}; // its upstreams have done with it
    bool may_have_arrived = unaided.may_have_arrived;
    for (std::size_t i = 0; i < route.fallback.size(); ++i) {
        const config::fallback_step& step = route.fallback[i];
        if (step.is == fallback_kind::last_good) {
            auto made = one.last_good(unaided);
            if (!made) continue;
            one.turn_to(step.is);
            co_return std::move(*made);
        } else if (step.is == fallback_kind::respond) {
            one.turn_to(step.is);
            co_return one.respond(step.respond, unaided);
        } else if (auto elsewhere = one.elsewhere(i, what, may_have_arrived)) {
            const std::string_view name = elsewhere->asked->name; // the settings of the request keep it
            one.turn_to(step.is);
            answer other = co_await next(services, request, std::move(*elsewhere));
            if (!other.body || request.gone.requested()) co_return other;
            if (other.head->status < 400 && !other.failed_as)
                co_return degraded(std::move(other), unaided, {.by = fallback_kind::route, .route = name});
            one.tell(happened::step_skipped{fallback_kind::route, fallback_skip::failed});
            may_have_arrived = may_have_arrived || other.may_have_arrived;
            if (request.body.failed() != request_body::failure::none) co_return other; // the client's own doing
        }
    }
    one.tell(happened::ladder_exhausted{});
    co_return unaided;
}
} // namespace

net::task<answer> with_fallback(worker_services& services, client_request& request, errand&& what, next_stage next) {
    return request.route->fallback.empty() ? next(services, request, std::move(what))
                                           : climb(services, request, std::move(what), next);
}

} // namespace evenkeel::request
