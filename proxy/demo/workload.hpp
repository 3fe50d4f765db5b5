#pragma once
// The workload of the demo: which requests are sent when, and what each attempt at one meets at the provider. Pure: all
// luck is a function of (seed, request, attempt number), so that the first attempt at a request fares the same with and
// without evenkeel, and an extra attempt has luck of its own.
//
// Times are in seconds of the scenario ("document seconds"). The demo runs faster than that: whatever goes to a socket
// or a timer is divided by the speed, whatever is shown is multiplied by it.

#include "proxy/model/load.hpp"
#include "proxy/model/traffic.hpp"
#include "proxy/provider/simulated_provider.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace evenkeel::demo {

// The case evenkeel's rules were first written for: a provider that fails every third time, and sometimes says nothing.
struct original {
    static constexpr double error_share = 0.30; // of attempts: 500, 502, 503 or 529
    static constexpr double error_median = 0.4; // seconds until the error, lognormal
    static constexpr double error_sigma = 0.6;
    static constexpr double hang_share = 0.04;   // of attempts: silence
    static constexpr double hang = 90;           // seconds, longer than any client here waits
    static constexpr double answer_median = 3.2; // seconds until the answer is whole, lognormal
    static constexpr double answer_sigma = 0.4;
    static constexpr double rate = 2;           // requests per second, whether or not earlier ones were answered
    static constexpr double stream_share = 0.5; // of requests
    static constexpr double deadline = 60;      // seconds, then the client gives up
    static constexpr unsigned warm_up = 24;     // requests before the first that counts; all meet a healthy provider
};

enum class side : unsigned char { direct, classic, tuned }; // straight, or through evenkeel with that profile
inline constexpr std::array sides{side::direct, side::classic, side::tuned};

// Requests are counted from 0; the warm-up comes first.
class workload final : public model::traffic {
public:
    workload(std::uint64_t seed, unsigned requests); // so many that count

    [[nodiscard]] const model::traffic_facts& facts() const noexcept override { return facts_; }
    [[nodiscard]] model::planned_request plan(unsigned number) const override;
    [[nodiscard]] model::fate meet(unsigned number, unsigned attempt, int server = 0, double now = 0) const override;

private:
    const std::uint64_t seed_;
    model::traffic_facts facts_;
};

// What an attempt meets, as the simulated provider is told (proxy/provider/script.hpp).
[[nodiscard]] std::string script_of(const model::fate& met, double speed);
[[nodiscard]] std::string script_for(const provider::attempt_record& attempt, const workload& of, double speed);

// A request carries its name in its text, and the answer repeats it in every piece: "direct.17".
[[nodiscard]] std::string nonce_of(side from, unsigned number);
struct request_name {
    side from;
    unsigned number;
};
[[nodiscard]] std::optional<request_name> parse_nonce(std::string_view nonce);

[[nodiscard]] model::question question_of(side from, unsigned number, const model::planned_request& plan);

} // namespace evenkeel::demo
