// The scenarios on real sockets, through the real program, 20 times faster: `evenkeel run` as a child process with the
// tuned profile at that speed (proxy/simulate/faster), between real clients and the simulated servers, which meet it
// with the luck that they meet the simulation with. What comes out must be what virtual time says of the same scenario
// and seed, within a few points.
//
// A machine that is too busy to wake a sleeping thread in time is not the proxy's doing: the lag is measured meanwhile,
// and a scenario that misses its figures in a laggard run is played again, alone and at a quarter of the speed, where
// the same lag weighs a quarter; if the lag is too large even there, it is printed as not judged.
//
// EVENKEEL_SOCKET_SCENARIOS=all, or calm,outage,...: other ones than the usual selection. EVENKEEL_SOCKET_SEED: 1.

#include "proxy/model/answer_text.hpp"
#include "proxy/model/load.hpp"
#include "proxy/simulate/faster.hpp"
#include "proxy/simulate/figures.hpp"
#include "proxy/simulate/model_traffic.hpp"
#include "proxy/simulate/percentile.hpp"
#include "proxy/simulate/profiles.hpp"
#include "proxy/simulate/scenario.hpp"
#include "tests/scenarios/model_server.hpp"
#include "tests/scenarios/program.hpp"

#include <doctest/doctest.h>

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace evenkeel::test::sockets_test {

using namespace evenkeel::simulate;

namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool sanitized = true; // figures are for the plain build
#else
constexpr bool sanitized = false;
#endif

constexpr double usual_speed = 20, careful_speed = 5;
constexpr double most_lag = 0.3;         // seconds of the scenario (15 ms at speed 20), of all but 1 % of the wake-ups
constexpr unsigned at_once = 3;          // scenarios: they sleep most of the time
constexpr unsigned most_requests = 1000; // of the usual selection: `original` has 2,000
// Points of success, and of answers within 15 s. On sockets times are the model's and what the machine adds, 20 times
// enlarged, so what a request meets at a given moment is not the same to the last one: measured spread 0 to 2 points.
constexpr double tolerance = 5;

struct outcome {
    std::string name;
    figures sockets{}, virtual_time{};
    double lag = 0; // seconds of the scenario, 99th percentile
    double requests = 0;
    int exit_code = -1;
    std::string problem{};
};

std::string environment(const char* name, const char* otherwise) {
    const char* told = std::getenv(name);
    return told != nullptr && *told != '\0' ? told : otherwise;
}

// How late a thread is woken that sleeps a millisecond at a time.
class lag_meter {
public:
    ~lag_meter() { static_cast<void>(stop()); }
    double stop() { // seconds, 99th percentile
        stopping_ = true;
        if (thread_.joinable()) thread_.join();
        return percentile(late_, 0.99);
    }

private:
    void measure() {
        while (!stopping_) {
            const auto due = std::chrono::steady_clock::now() + std::chrono::milliseconds{1};
            std::this_thread::sleep_until(due);
            late_.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - due).count());
        }
    }
    std::vector<double> late_;
    std::atomic<bool> stopping_{false};
    std::thread thread_{[this] { measure(); }};
};

bool as_in_virtual_time(const outcome& of) {
    // 20 requests: two of them are 10 points.
    const double points = std::max(tolerance, 250 / std::max(of.requests, 1.0));
    const auto near = [](double a, double b, double within) { return std::abs(a - b) * 100 <= within; };
    return near(of.sockets.success, of.virtual_time.success, points) &&
           100 * of.sockets.within_15s >= 100 * of.virtual_time.within_15s - points &&
           of.sockets.attempts <= of.virtual_time.attempts + 0.15;
}

model::question ask(unsigned number, const model::planned_request& plan) {
    const auto nonce = model::nonce_of(number);
    model::question out{{}, {nonce.data(), nonce.size()}};
    model::request_text(plan.stream, plan.max_tokens).append(out.request, number);
    return out;
}

outcome run(scenario played, std::uint64_t seed, double speed) {
    outcome out{.name = std::string{played.name}};
    const profile& tuned = profiles().back();
    const model_traffic traffic(std::move(played), seed);
    const auto& facts = traffic.facts();
    out.requests = facts.requests - facts.warm_up;
    out.virtual_time = figures_of(simulate::simulate(traffic, settings_of(tuned), seed), facts);

    const auto zero = std::chrono::steady_clock::now() + std::chrono::seconds{1} +
                      std::chrono::duration_cast<duration>(std::chrono::duration<double>(-facts.begin / speed));
    model_server servers(traffic, zero, speed);
    program proxy(fmt::format("{}\n"
                              "upstreams:\n  first: {{url: \"http://127.0.0.1:{}\"}}\n  second: {{url: "
                              "\"http://127.0.0.1:{}\", caller_credentials: drop}}\n"
                              "routes:\n  - {{name: llm, match: {{path_prefix: /v1}}, upstreams: [first, second]}}\n",
                              faster(tuned, speed), servers.port(0), servers.port(1)));
    run_result result;
    lag_meter meter;
    result.samples =
        model::load(traffic, model::scenario_time(zero, speed), {.port = proxy.port(), .asks = ask}).wait();
    out.lag = meter.stop() * speed;
    out.exit_code = proxy.finish();
    servers.stop();
    for (std::size_t at = 0; at < result.samples.size(); ++at) {
        result.samples[at].attempts =
            static_cast<std::uint16_t>(servers.attempts(facts.warm_up + static_cast<unsigned>(at)));
    }
    result.refused = servers.refused();
    out.sockets = figures_of(result, facts);
    return out;
}

std::vector<scenario> selection() {
    const std::string told = environment("EVENKEEL_SOCKET_SCENARIOS", "");
    if (told == "all") return scenarios();
    std::vector<scenario> chosen;
    std::istringstream in(told.empty() ? "original,calm,tail-5,errors-30,outage,resets,throttled,brown-out,collapse"
                                       : told);
    for (std::string name; std::getline(in, name, ',');) {
        const scenario* found = find_scenario(name);
        REQUIRE(found != nullptr);
        chosen.push_back(*found);
        if (told.empty()) chosen.back().requests = std::min(chosen.back().requests, most_requests);
    }
    return chosen;
}

} // namespace

TEST_CASE("on real sockets the tuned profile does what virtual time says") {
    const auto chosen = selection();
    const auto seed = std::stoull(environment("EVENKEEL_SOCKET_SEED", "1"));
    std::vector<outcome> outcomes(chosen.size());
    std::atomic<std::size_t> next{0};
    const auto work = [&] {
        for (std::size_t at = next++; at < chosen.size(); at = next++) {
            try {
                outcomes[at] = run(chosen[at], seed, usual_speed);
            } catch (const std::exception& error) {
                outcomes[at] = {.name = std::string{chosen[at].name}, .problem = error.what()};
            }
        }
    };
    {
        std::vector<std::jthread> workers;
        for (unsigned each = 0; each < at_once; ++each) workers.emplace_back(work);
    }

    for (std::size_t at = 0; at < chosen.size(); ++at) {
        outcome& first = outcomes[at];
        if (sanitized || !first.problem.empty() || as_in_virtual_time(first)) continue;
        MESSAGE(fmt::format("{}: {:.1f} % at a lag of {:.2f} s: again, slower", first.name, 100 * first.sockets.success,
                            first.lag));
        first = run(chosen[at], seed, careful_speed);
    }

    const auto columns = [](const figures& of) {
        return fmt::format("{:>8.1f}{:>7.1f}{:>7.1f}{:>7.1f}{:>7.2f}", 100 * of.success, 100 * of.within_15s, of.p50,
                           of.p99, of.attempts);
    };
    std::string table = fmt::format("\nseed {}          | {:35} | {:35}\n{:16} |      ok   15 s    P50    P99    att | "
                                    "     ok   15 s    P50    P99    att |   lag\n",
                                    seed, "on sockets", "in virtual time", "scenario");
    for (const outcome& each : outcomes)
        table += fmt::format("{:16} |{} |{} |{:6.2f}\n", each.name, columns(each.sockets), columns(each.virtual_time),
                             each.lag);
    MESSAGE(table);
    for (const outcome& each : outcomes) {
        CAPTURE(each.name);
        CHECK(each.problem.empty());
        CHECK(each.exit_code == 0);
        if (sanitized) continue;
        if (!as_in_virtual_time(each) && each.lag > most_lag) {
            MESSAGE(fmt::format("{}: not judged: the machine is too busy", each.name));
            continue;
        }
        CAPTURE(table);
        CHECK(as_in_virtual_time(each));
    }
}

} // namespace evenkeel::test::sockets_test
