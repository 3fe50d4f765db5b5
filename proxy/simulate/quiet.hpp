#pragma once
// The other family of scenarios: quiet. What one pod sees: a request now and then, hours of nothing, twenty at once; a
// configuration in which nothing is set; clients that say nothing of their patience. The first upstream falls into a
// trouble that lasts, and the question is what its callers pay for that, and how many of them.
//
// Played on a stage, so the same each time for a case and a seed. Times in seconds.

#include "config/settings.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace evenkeel::simulate {

// Of the first upstream; the second one is well.
enum class quiet_trouble : unsigned char {
    none,
    silent,              // takes requests and says nothing
    black_hole,          // connections are neither made nor refused
    resets,              // after 50 ms, before anything of an answer
    errors,              // 500 after 0.3 s
    slow,                // ten times
    drips,               // streams of comments, one a second, and nothing else
    half,                // every other request meets silence, by chance
    throttles,           // 429
    throttles_with_hint, // ... and says to come back in 30 s
};

enum class quiet_patience : unsigned char {
    endless,
    leaves, // when it is over, without having said so
    told,   // in x-evenkeel-timeout; leaves likewise
    route,  // timeout.total of the route; the client itself waits
};

struct quiet_case {
    std::string_view name;  // as on the command line, behind "quiet:"
    std::string_view about; // one line
    quiet_trouble trouble = quiet_trouble::silent;
    double gap = 60;     // from an answer to the next request
    unsigned known = 20; // answers before the trouble begins
    double answer = 4;   // until it is whole, give or take a twentieth
    bool stream = false;
    double first = 0.25; // of a stream: the part of its time in which nothing comes ...
    double signs = 0;    // ... but comments, every so often
    bool alone = false;  // one upstream
    quiet_patience patience = quiet_patience::endless;
    double patient = 0; // for so long
    double lasts = 1800;
    double after = 600;     // goes on for so long when the trouble is over
    unsigned at_once = 0;   // so many when it begins, after an hour of nothing
    bool hedge = false;     // hedge: {}
    bool in_step = false;   // requests come every `gap`, whether or not earlier ones were answered
    bool one_model = false; // two models are asked for in turn, and the trouble is that of the first alone
};

enum class quiet_end : unsigned char { served, failed, cut, left };
[[nodiscard]] std::string_view to_string(quiet_end how) noexcept;

struct quiet_request {
    double came = 0, waited = 0; // `came`: since the trouble began
    quiet_end how = quiet_end::served;
    int attempts = 0; // made for it, whether or not they were sent
    std::string by{}; // the upstream that served it
    bool by_first = false;
    bool during = true; // it came before the trouble was over
    bool paid = false;  // it was not served, or waited for over 1.2 times the usual
    double beyond = 0;  // what it waited beyond the usual
};

struct quiet_run {
    std::vector<quiet_request> requests; // from the beginning of the trouble on, in the order in which they came
    unsigned sent = 0;                   // upstream requests since then
};

// `settings` null: the case's own, in which nothing is set but what it says. Else its first route, whose first upstream
// falls into the trouble.
[[nodiscard]] quiet_run play_quiet(const quiet_case& which, std::uint64_t seed, const config::snapshot& settings = {});

// What one seed comes to, or the worst of several and sums over them.
struct quiet_figures {
    std::size_t requests = 0, served = 0;
    double longest = 0;       // wait
    double waited = 0;        // of all
    unsigned sent = 0;        // upstream requests
    int most_attempts = 0;    // for one request
    std::size_t payers = 0;   // of one seed, at most
    std::size_t late = 0;     // ... from the third request of the trouble on
    std::size_t unserved = 0; // ... from the second one on
    double most_paid = 0;     // by one caller
    double paid = 0;          // by all of them, mean over the seeds
    double back = 0;          // from the end of the trouble until the first upstream serves again
    std::size_t back_by = 0;  // ... the how-many-th request since then it serves; never: 0
    std::size_t seeds = 1;
    [[nodiscard]] double success() const { return static_cast<double>(served) / static_cast<double>(requests); }
};
[[nodiscard]] quiet_figures figures_of(const quiet_case& which, const quiet_run& run);
[[nodiscard]] quiet_figures figures_of(const quiet_case& which, const std::vector<std::uint64_t>& seeds,
                                       const config::snapshot& settings = {});

// The 95th percentile of what is usual.
[[nodiscard]] double usual_of(const quiet_case& which) noexcept;

[[nodiscard]] const std::vector<quiet_case>& quiet_cases(); // in the order of the table
[[nodiscard]] const quiet_case* find_quiet(std::string_view name) noexcept;

// "quiet" is all of them, "quiet:NAME" is one; empty: no such case.
[[nodiscard]] std::vector<quiet_case> quiet_cases_named(std::string_view model);
struct quiet_row {
    quiet_case which;
    quiet_figures found;
};
[[nodiscard]] std::string text_of(const std::vector<quiet_row>& rows, const std::vector<std::uint64_t>& seeds);
[[nodiscard]] std::string json_of(const std::vector<quiet_row>& rows, const std::vector<std::uint64_t>& seeds);

} // namespace evenkeel::simulate
