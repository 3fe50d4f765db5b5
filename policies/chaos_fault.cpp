#include "policies/chaos_fault.hpp"

#include <algorithm>
#include <array>
#include <vector>

namespace evenkeel {

namespace {

using namespace std::chrono_literals;

chaos_fault_options fault(chaos_fault is) {
    chaos_fault_options made;
    made.is = is;
    return made;
}
chaos_fault_options abort_with(int status, std::string code = {}, std::optional<duration> retry_after = {}) {
    chaos_fault_options made = fault(chaos_fault::abort);
    made.status = status;
    made.code = std::move(code);
    made.retry_after = retry_after;
    return made;
}
chaos_fault_options after_events(chaos_fault is, std::int64_t events) {
    chaos_fault_options made = fault(is);
    made.after_events = events;
    return made;
}
chaos_fault_options late(duration by) {
    chaos_fault_options made = fault(chaos_fault::latency);
    made.delay = by;
    return made;
}

struct named_fault {
    std::string_view name;
    chaos_profile_fault what;
};

// The numbers are those of the table of faults in deploy/README.md. 5 events: the client has seen content, and more is
// to come. 20 s is FailoverBench's own figure for a slow first token.
const std::vector<named_fault>& bench_faults() {
    static const std::vector<named_fault> all{
        {"rate_limit_hint", {abort_with(429, {}, 5s)}},                   // 1
        {"rate_limit", {abort_with(429)}},                                // 2
        {"server_error_once", {abort_with(500), 1}},                      // 3
        {"overloaded", {abort_with(503)}},                                // 4
        {"reset", {fault(chaos_fault::reset)}},                           // 5
        {"silence", {fault(chaos_fault::stall)}},                         // 6
        {"slow_first_token", {late(20s)}},                                // 7
        {"cut", {after_events(chaos_fault::reset, 5)}},                   // 8
        {"stall", {after_events(chaos_fault::stall, 5)}},                 // 9
        {"malformed_event", {after_events(chaos_fault::malformed, 5)}},   // 10
        {"missing_done", {fault(chaos_fault::truncate)}},                 // 11
        {"missing_terminal", {after_events(chaos_fault::truncate, 5)}},   // 11
        {"context_length", {abort_with(400, "context_length_exceeded")}}, // 12
        {"content_filter", {abort_with(400, "content_filter")}},          // 13
        {"server_error", {abort_with(500)}},                              // 14, 16
        {"outage", {fault(chaos_fault::connect_fail)}},                   // 15
    };
    return all;
}
const std::vector<named_fault>& further_faults() {
    static const std::vector<named_fault> all{
        {"invalid_request", {abort_with(400, "invalid_request_error")}}, // what the fallback of fault 14 says
        {"drip", {fault(chaos_fault::drip)}},
        {"error_in_stream", {fault(chaos_fault::stream_error)}},
        {"utf8_split", {fault(chaos_fault::split)}},
        {"gzip", {fault(chaos_fault::gzip)}},
    };
    return all;
}

} // namespace

std::string_view to_string(chaos_fault which) noexcept {
    static constexpr std::array<std::string_view, chaos_fault_count> words{
        "latency",  "abort",     "connect_fail", "reset", "stall", "drip",
        "truncate", "malformed", "stream_error", "split", "gzip"};
    return words[static_cast<std::size_t>(which)];
}

bool chaos_fault_options::spares_upstream() const noexcept {
    if (is == chaos_fault::abort || is == chaos_fault::connect_fail) return true;
    const bool may = is == chaos_fault::reset || is == chaos_fault::stall || is == chaos_fault::malformed;
    return may && !after_events && !after_bytes;
}

std::span<const chaos_profile> chaos_profiles() noexcept {
    static const std::vector<chaos_profile_fault> everything = [] {
        std::vector<chaos_profile_fault> faults;
        for (const named_fault& each : bench_faults()) faults.push_back(each.what);
        return faults;
    }();
    static const std::vector<chaos_profile> all = [] {
        std::vector<chaos_profile> made{{"failoverbench", everything}};
        for (const named_fault& each : bench_faults()) made.push_back({each.name, {&each.what, 1}});
        for (const named_fault& each : further_faults()) made.push_back({each.name, {&each.what, 1}});
        return made;
    }();
    return all;
}

const chaos_profile* find_chaos_profile(std::string_view name) noexcept {
    const auto all = chaos_profiles();
    const auto found = std::find_if(all.begin(), all.end(), [&](const chaos_profile& one) { return one.name == name; });
    return found == all.end() ? nullptr : &*found;
}

} // namespace evenkeel
