#pragma once
// What callers may pay for the troubles of an upstream in quiet hours, with nothing configured. `due` has a letter for
// each of a case's goals that must hold; one whose letter is missing is measured and told, and does not fail the test:
//
//   P payers        callers that pay, at most, of one seed
//   M most_paid     seconds beyond the usual, by any of them
//   L late          ... callers that pay from the third request of the trouble on: none
//   S success       %, at least
//   U unserved      from the second request of the trouble on: none
//   B back          seconds from the end of the trouble until the first upstream serves again, at most
//   A attempts      for one request, at most
//   R requests      sent upstream, per request, at most
//   T paid          seconds beyond the usual, by all callers, mean over the seeds, at most

#include <limits>
#include <string_view>
#include <vector>

namespace evenkeel::test {

struct quiet_goal {
    static constexpr double any = std::numeric_limits<double>::infinity();
    std::string_view name;
    std::string_view due;
    double payers = 2, most_paid = 10, success = 100, back = 60, attempts = 2, requests = 2.2, paid = any;
    bool late = true;     // L is one of its goals
    bool unserved = true; // U is
};

// The longest that one caller may pay: max(5 s, 3 x the usual P95 + 1 s), and half a second for what comes around it.
constexpr double known_pays(double answer) {
    const double rescue = 3 * 1.045 * answer + 1;
    return (rescue > 5 ? rescue : 5) + 0.5;
}
inline constexpr double stream_unknown_pays = 10.5, buffered_unknown_pays = 30.5;

inline const std::vector<quiet_goal>& quiet_goals() {
    constexpr double any = quiet_goal::any;
    static const std::vector<quiet_goal> all{
        {.name = "calm", .due = "PMLSUBART", .payers = 0, .most_paid = 0, .attempts = 1, .requests = 1},
        {.name = "calm-stream", .due = "PMLSUBART", .payers = 0, .most_paid = 0, .attempts = 1, .requests = 1},

        {.name = "silent-1s", .due = "PMLSUBART", .most_paid = known_pays(1), .requests = 1.3},
        {.name = "silent-4s", .due = "PMLSUBART", .most_paid = known_pays(4)},
        {.name = "silent-30s", .due = "PMLSUBRT", .most_paid = known_pays(30), .back = 120},
        {.name = "silent-rare", .due = "PMLSUBAT", .most_paid = known_pays(4), .back = 610},
        {.name = "silent-stream", .due = "PMLSUBART", .most_paid = known_pays(4)},
        {.name = "silent-stream-30s", .due = "PMLSUBAT", .most_paid = known_pays(30), .back = 120},
        {.name = "silent-stream-100s", .due = "PMLSUBT", .most_paid = known_pays(100), .back = 330},
        {.name = "silent-unknown", .due = "PMLSUBAT", .most_paid = buffered_unknown_pays, .back = 120},
        {.name = "silent-unknown-stream", .due = "PMLSUBAT", .most_paid = stream_unknown_pays, .back = 120},
        {.name = "silent-outage",
         .due = "PMLSUBART",
         .most_paid = known_pays(4),
         .back = 120,
         .paid = 2 * known_pays(4)},
        // All of the first twenty may pay: they are under way together.
        {.name = "silent-burst", .due = "SUBART", .payers = 20, .most_paid = known_pays(4), .attempts = 3},
        {.name = "silent-hedge-1s",
         .due = "PMLSUBART",
         .payers = any,
         .most_paid = any,
         .success = 99,
         .attempts = 3,
         .requests = 1.5,
         .late = false,
         .unserved = false},
        {.name = "silent-hedge-60s",
         .due = "PMLSUBART",
         .payers = any,
         .most_paid = known_pays(4),
         .success = 99,
         .back = 120,
         .attempts = 3,
         .late = false,
         .unserved = false},

        {.name = "leaves-3s", .due = "PMLSUBART", .most_paid = 3, .success = 99},
        {.name = "leaves-8s", .due = "PMLSUBART", .most_paid = 8, .success = 97, .back = 120},
        {.name = "leaves-20s", .due = "PMLSUBART", .most_paid = known_pays(4), .success = 97, .back = 120},
        {.name = "leaves-8s-unknown", .due = "PMLSUBAT", .most_paid = 8, .success = 97, .back = 120},
        {.name = "tells-3s", .due = "PMLSUBART", .most_paid = 3},
        {.name = "tells-8s", .due = "PMLUBART", .most_paid = 8, .back = 120},
        {.name = "tells-20s", .due = "PMLSUBAT", .most_paid = 10.5, .back = 120},
        {.name = "total-8s", .due = "PMLSUBART", .most_paid = 8, .back = 120},

        {.name = "black-hole", .due = "PMLSUBART", .most_paid = 3},
        {.name = "black-hole-unknown", .due = "PMLSUBART", .most_paid = 3, .back = 120},
        {.name = "resets", .due = "PMLSUBART", .payers = 0, .most_paid = 0, .back = 120},
        {.name = "errors", .due = "PMLSUBART", .payers = 0, .most_paid = 0},
        {.name = "slow", .due = "PMLSUBART", .most_paid = known_pays(4), .back = 120},
        {.name = "slow-stream", .due = "PMLSUBART", .most_paid = known_pays(4)},
        {.name = "drips", .due = "PLSUBAT", .payers = 3, .most_paid = 40, .back = 120},
        {.name = "half", .due = "PMLSUBART", .payers = any, .most_paid = known_pays(4), .late = false},
        {.name = "throttled", .due = "PMLSUBART", .payers = 0, .most_paid = 0, .back = 120},
        {.name = "throttled-hint", .due = "PMLSUBART", .payers = 0, .most_paid = 0, .back = 120},

        {.name = "patient-100s", .due = "PMLSUBART", .payers = 0, .most_paid = 0, .requests = 2},
        {.name = "patient-stream-100s", .due = "PMLSUBART", .payers = 0, .most_paid = 0, .requests = 2},
        {.name = "patient-signs-100s", .due = "PMLSUBART", .payers = 0, .most_paid = 0, .attempts = 1, .requests = 1},
    };
    return all;
}

} // namespace evenkeel::test
