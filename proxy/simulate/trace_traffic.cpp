#include "proxy/simulate/trace_traffic.hpp"

#include "proxy/model/luck.hpp"

#include <algorithm>
#include <utility>

namespace evenkeel::simulate {

using namespace model;

namespace {

constexpr std::uint64_t use_neighbour = 1; // what a draw is for
constexpr unsigned neighbours = 50;        // to each side

fate last_attempt(const trace_entry& of) {
    using end = trace_entry::end;
    fate met;
    met.first = of.first;
    met.whole = of.whole;
    const auto broken = [&](fate::flaw how) {
        met.broken = how;
        met.broken_at = answer_pieces / 2;
    };
    switch (of.how) {
    case end::answered: break;
    case end::status:
        met.is = fate::kind::status;
        met.first = of.whole;
        met.status = of.status;
        break;
    case end::silence: met.is = fate::kind::hang; break;
    case end::reset:
        met.is = fate::kind::reset;
        met.first = of.whole;
        break;
    case end::cut_reset: broken(fate::flaw::reset); break;
    case end::cut_error: broken(fate::flaw::error); break;
    case end::cut_silence: broken(fate::flaw::stall); break;
    }
    return met;
}

fate nth_attempt(const trace_entry& of, unsigned attempt) {
    if (attempt >= of.attempts) return last_attempt(of);
    fate met;
    met.is = fate::kind::status;
    met.first = of.failed_after;
    met.status = 500;
    return met;
}

} // namespace

// There is at least one entry, as for the replay.
run_result recorded(const trace& what, const replay_options& options) {
    run_result out;
    const traffic_facts usual;
    for (const trace_entry& each : what.entries) {
        if (options.requests && out.samples.size() >= *options.requests) break;
        const double took =
            static_cast<double>(each.failed_after) * (each.attempts - 1) + static_cast<double>(each.whole);
        const bool answered = each.how == trace_entry::end::answered, in_time = took <= usual.deadline;
        const bool cut = each.how >= trace_entry::end::cut_reset;
        out.samples.push_back({.due = each.due,
                               .seconds = answered && in_time ? took : usual.deadline,
                               .first_token = answered && in_time ? took - static_cast<double>(each.whole) +
                                                                        static_cast<double>(each.first)
                                                                  : usual.deadline,
                               .attempts = each.attempts,
                               .how = answered ? in_time ? model::verdict::success : model::verdict::late
                                      : cut    ? model::verdict::broken
                                               : model::verdict::error,
                               .stream = each.stream});
    }
    const double span = out.samples.back().due;
    if (options.rate && span > 0)
        for (sample& each : out.samples) each.due *= static_cast<double>(out.samples.size()) / *options.rate / span;
    return out;
}

trace_traffic::trace_traffic(std::shared_ptr<const trace> what, const replay_options& options, std::uint64_t seed)
    : trace_(std::move(what)), seed_(seed) {
    const auto& entries = trace_->entries;
    facts_.requests = static_cast<unsigned>(entries.size());
    if (options.requests) facts_.requests = std::min(facts_.requests, *options.requests);
    const double span = entries[facts_.requests - 1].due;
    if (options.rate && span > 0) stretch_ = facts_.requests / *options.rate / span;
    facts_.end = span * stretch_;
}

planned_request trace_traffic::plan(unsigned number) const {
    const trace_entry& entry = trace_->entries[number];
    return {.due = entry.due * stretch_, .stream = entry.stream};
}

fate trace_traffic::meet(unsigned number, unsigned attempt, int, double) const {
    const auto& entries = trace_->entries;
    if (attempt <= entries[number].attempts) return nth_attempt(entries[number], attempt);
    const unsigned from = number - std::min(number, neighbours);
    const unsigned to = std::min(number + neighbours + 1, facts_.requests);
    const auto other = from + static_cast<unsigned>(draw(seed_, number, attempt, use_neighbour) * (to - from));
    return nth_attempt(entries[other], 1);
}

} // namespace evenkeel::simulate
