#pragma once
// The models by name: traffic, and one or two servers with their troubles. All that is random in them is drawn by
// model_traffic; here are only the numbers. Times are seconds of the scenario, shares 0..1.

#include "proxy/model/work_clock.hpp"

#include <array>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace evenkeel::simulate {

// What attempts meet at a server. The shares of what fails exclude one another; what they leave over is answered.
struct conditions {
    double errors = 0;        // 500, 502, 503 or 529, after a lognormal time of median 0.4 s, sigma 0.6
    double throttled = 0;     // 429 after 0.1 s, with Retry-After to the end of the spell
    double resets_before = 0; // reset at the moment of the head
    double resets_after = 0;  // reset instead of one of the ten pieces
    double truncations = 0;   // a clean end instead of one of the ten pieces
    double errors_in_200 = 0; // an error event instead of one of the ten pieces; a buffered answer is the error
    double stalls = 0;        // silence instead of one of the ten pieces, for ever
    double hangs = 0;         // no byte, ever; holds no capacity
    double cut_at_once = 0;   // reset 0.05 s after the request
    double slow = 0;          // of those answered: so many times `slower`
    double slower = 1;
    bool refused = false; // no connection is accepted
};

struct spell {
    double from = 0, to = 0;
    conditions meanwhile; // at every server
};
struct spells_by_chance { // good and bad take turns, beginning with a good one; lengths are exponential
    double mean_good = 0, mean_bad = 0;
    conditions bad;
};
struct redrawn_errors { // the share of errors is drawn anew, uniformly, at every multiple of `every`
    double every = 0, low = 0, high = 0;
};

struct answer_times {
    double first_token = 0.8, first_token_sigma = 0.45; // lognormal
    double token = 0.03, token_sigma = 0.15;            // per token, drawn once for an attempt
    // Above 0: the whole answer is lognormal instead, and a stream's first token comes after a quarter of it.
    double whole = 0, whole_sigma = 0;
};
struct length_class {
    double share = 1;
    int max_tokens = 512;
    double tokens = 120, sigma = 0.4; // lognormal; at most max_tokens
};

struct scenario {
    std::string_view name;  // as on the command line
    std::string_view about; // one line
    double rate = 2.5;      // requests per second, whether or not earlier ones were answered
    unsigned requests = 700;
    unsigned warm_up = 24; // before them, meeting only healthy servers
    double stream_share = 0.5;
    double deadline = 60;
    answer_times times{};
    std::vector<length_class> lengths{length_class{}};

    int servers = 1;                   // 1: both endpoints are the same server
    std::array<conditions, 2> usual{}; // by server
    std::vector<spell> spells{};
    std::optional<spells_by_chance> bursts{};
    std::optional<redrawn_errors> redrawn{};
    model::capacity server{};
    std::size_t refuse_from = std::numeric_limits<std::size_t>::max(); // in service; 503 after 0.5 s
    std::vector<model::speed_step> speeds{};
    std::vector<double> cuts{};
    std::optional<double> disturbed_until{};
};

[[nodiscard]] const std::vector<scenario>& scenarios(); // in the order of the tables
[[nodiscard]] const scenario* find_scenario(std::string_view name) noexcept;
[[nodiscard]] std::string scenario_names(); // "calm, tail-5, ..."

} // namespace evenkeel::simulate
