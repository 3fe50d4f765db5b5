#include "proxy/events/request_account.hpp"

#include "proxy/events/observer.hpp"

namespace evenkeel::telemetry {

attempt_number request_account::note(steady_time now, const event_origin& of, const any_happening& what) {
    attempt_number attempt = of.attempt;
    if (const auto* launched = std::get_if<happened::launched>(&what)) {
        attempt = static_cast<attempt_number>(++effort.attempts);
        effort.hedges += launched->kind == attempt_kind::hedge;
    } else if (const auto* over = std::get_if<happened::held>(&what)) {
        effort.held += over->waited;
    } else if (const auto* turn = std::get_if<happened::queued>(&what)) {
        effort.queued = turn->waited;
    } else if (const auto* fault = std::get_if<happened::faulted>(&what)) {
        effort.chaos |= static_cast<std::uint16_t>(1U << static_cast<unsigned>(fault->with));
    }
    journal.add(now, of.upstream, attempt, what);
    return attempt;
}

void request_account::follow(const request_story& flight, const request_story& known, bool leads) {
    const int own = effort.attempts - known.effort.attempts;
    effort.attempts += flight.effort.attempts - known.effort.attempts;
    effort.hedges += flight.effort.hedges - known.effort.hedges;
    effort.chaos |= flight.effort.chaos;
    if (!leads) return;
    effort.resumed += flight.effort.resumed - known.effort.resumed;
    effort.held += flight.effort.held - known.effort.held;
    effort.queued += flight.effort.queued - known.effort.queued;
    journal.append(flight.journal, known.journal.added(), static_cast<attempt_number>(own));
}

attempt_number request_account::tell(observer& to, steady_time now, event_origin of, const any_happening& what) {
    of.attempt = note(now, of, what);
    of.request_id = request_id;
    to.request_event(of, what);
    return of.attempt;
}

} // namespace evenkeel::telemetry
