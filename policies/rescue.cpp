#include "policies/rescue.hpp"

#include <algorithm>

namespace evenkeel {

namespace {
constexpr duration unknown_stream = std::chrono::seconds{10}, unknown_buffered = std::chrono::seconds{30};
constexpr double usual_times = 3;
constexpr duration seconds_long = std::chrono::seconds{1}; // what "answers take seconds" begins at
constexpr duration least_short = std::chrono::seconds{1}, least_long = std::chrono::seconds{5};
constexpr double room_for_other = 1.3;
constexpr int most_doublings = 8;
} // namespace

duration rescue_delay(const rescue_options& options, const std::optional<duration>& usual_p95, bool stream) noexcept {
    if (options.after) return *options.after;
    if (!usual_p95) return stream ? unknown_stream : unknown_buffered;
    return std::max(scaled(*usual_p95, usual_times), *usual_p95 < seconds_long ? least_short : least_long);
}

steady_time rescue_due(const rescue_options& options, const rescue_question& of) noexcept {
    const duration wait = rescue_delay(options, of.own, of.stream) * (1 << std::min(of.joined, most_doublings));
    const steady_time nothing_said = of.asked.value_or(of.since);
    steady_time due = nothing_said + wait;
    if (const auto& known = of.own ? of.own : of.other; of.shown && known && !options.after)
        due = std::min(due, of.since + std::max(scaled(*known, still_usual), least_short));
    // Nothing else is known of patience than the deadline; where it is far away, this is later.
    const steady_time latest =
        of.other ? of.deadline - scaled(*of.other, room_for_other) : of.launched + (of.deadline - of.launched) / 2;
    const steady_time earliest = nothing_said + scaled(of.own.value_or(duration::zero()), still_usual);
    return std::min(due, std::max(latest, earliest));
}

std::string_view to_string(rescue_refusal refusal) noexcept {
    switch (refusal) {
    case rescue_refusal::none: return "none";
    case rescue_refusal::limit: return "limit";
    case rescue_refusal::not_replayable: return "not_replayable";
    case rescue_refusal::no_endpoint: return "no_endpoint";
    case rescue_refusal::overload: return "overload";
    case rescue_refusal::budget: return "budget";
    case rescue_refusal::deadline: return "deadline";
    }
    return "none";
}

void rescue_allowance::add() noexcept {
    std::int32_t now = left_.load(std::memory_order_relaxed);
    while (now < most && !left_.compare_exchange_weak(now, std::min(now + part, most), std::memory_order_relaxed)) {}
}

bool rescue_allowance::take() noexcept {
    std::int32_t now = left_.load(std::memory_order_relaxed);
    while (now >= unit) {
        if (left_.compare_exchange_weak(now, now - unit, std::memory_order_relaxed)) return true;
    }
    return false;
}

} // namespace evenkeel
