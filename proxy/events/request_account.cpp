#include "proxy/events/request_account.hpp"

#include "proxy/events/observer.hpp"
#include "proxy/events/tries.hpp"

#include <algorithm>

namespace evenkeel::telemetry {

attempt_number request_account::note(steady_time now, const event_origin& of, const any_happening& what) {
    attempt_number attempt = of.attempt;
    if (const auto* launched = std::get_if<happened::launched>(&what)) {
        attempt = static_cast<attempt_number>(++effort.attempts);
        effort.hedges += launched->kind == attempt_kind::hedge;
    } else if (const auto* over = std::get_if<happened::held>(&what)) {
        effort.held += over->waited;
    } else if (const auto* went = std::get_if<happened::paced>(&what)) {
        effort.paced += went->waited;
    } else if (const auto* turn = std::get_if<happened::queued>(&what)) {
        effort.queued = turn->waited;
    } else if (const auto* fault = std::get_if<happened::faulted>(&what)) {
        effort.chaos |= static_cast<std::uint16_t>(1U << static_cast<unsigned>(fault->with));
    } else if (const auto* end = std::get_if<happened::ended>(&what)) {
        (end->spent.became == spent_on::served ? effort.served : effort.lost).add(end->spent);
    }
    journal.add(now, of.upstream, attempt, what);
    return attempt;
}

departure request_account::departed() const noexcept {
    if (status != 0) return departure::answering;
    return effort.attempts == 0 ? departure::before_attempt : departure::unanswered;
}

void request_account::split_time(steady_time received, steady_time answering, steady_time decided,
                                 steady_time now) noexcept {
    const bool answered = answering != steady_time{};
    const steady_time until = answered ? answering : now;
    const duration waited = effort.queued + effort.held + effort.paced + effort.uploading;
    lost = paused = duration::zero();
    if (effort.attempts > 1 || !answered) {
        const all_tries tries = tries_of(journal);
        const steady_time first = tries.empty() ? until : std::min(tries.front().began, until);
        steady_time seen = first;
        for (const tried& one : tries) {
            const steady_time end = one.over ? std::min(one.began + one.how.took, until) : until;
            lost += std::max(end - std::max(one.began, seen), duration::zero());
            seen = std::max(seen, end);
        }
        paused = until - first - lost;
        for (const journal::entry& one : journal) { // those have a name of their own
            const auto* held = std::get_if<happened::held>(&one.what);
            if (held != nullptr && one.at > first) paused -= std::min(held->waited, one.at - first);
            const auto* went = std::get_if<happened::paced>(&one.what);
            if (went != nullptr && one.at > first) paused -= std::min(went->waited, one.at - first);
        }
        paused = std::max(paused, duration::zero());
    }
    const duration behind = answered ? now - decided : duration::zero();
    overhead = std::max(until - received - waited - lost - paused + behind, duration::zero());
}

void request_account::note_departure() noexcept {
    const tried* lived = nullptr; // of those that it left: the one that had moved last
    const all_tries tries = tries_of(journal);
    for (const tried& one : tries) {
        const bool left = one.over && one.how.why == to_string(cancel_cause::client_gone);
        if (left && (lived == nullptr || one.how.silent <= lived->how.silent)) lived = &one;
    }
    if (lived == nullptr && !tries.empty()) lived = &tries.back();
    if (lived == nullptr) return;
    upstream = lived->upstream;
    if (lived->over) silent = lived->how.silent;
}

void request_account::follow(const request_story& flight, const request_story& known, bool leads) {
    const int own = effort.attempts - known.effort.attempts;
    effort.attempts += flight.effort.attempts - known.effort.attempts;
    effort.hedges += flight.effort.hedges - known.effort.hedges;
    effort.chaos |= flight.effort.chaos;
    if (!leads) return;
    effort.resumed += flight.effort.resumed - known.effort.resumed;
    effort.held += flight.effort.held - known.effort.held;
    effort.paced += flight.effort.paced - known.effort.paced;
    effort.queued += flight.effort.queued - known.effort.queued;
    effort.uploading += flight.effort.uploading - known.effort.uploading;
    effort.served.add_since(flight.effort.served, known.effort.served);
    effort.lost.add_since(flight.effort.lost, known.effort.lost);
    journal.append(flight.journal, known.journal.added(), static_cast<attempt_number>(own));
}

attempt_number request_account::tell(observer& to, steady_time now, event_origin of, const any_happening& what) {
    of.attempt = note(now, of, what);
    of.request_id = request_id;
    to.request_event(of, what);
    return of.attempt;
}

} // namespace evenkeel::telemetry
