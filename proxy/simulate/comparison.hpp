#pragma once
// Runs every scenario with every seed and every contestant, on all cores, and collects the medians. What comes out does
// not depend on how many threads there are.

#include "config/settings.hpp"
#include "proxy/model/traffic.hpp"
#include "proxy/simulate/figures.hpp"
#include "proxy/simulate/scenario.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace evenkeel::simulate {

struct contestant {
    std::string name;
    config::snapshot settings; // null: direct
};
// Without a file: direct, classic, tuned.
[[nodiscard]] std::vector<contestant> usual_contestants();

// Something to be simulated: a name and how its traffic is made from a seed. `make` is called on any thread.
struct subject {
    std::string name, about;
    std::function<std::unique_ptr<model::traffic>(std::uint64_t seed)> make;
    std::optional<run_result> recorded{}; // of a log: how the day went that it tells of
};
[[nodiscard]] subject subject_of(const scenario& model);

struct cell {
    figures median;
    std::vector<figures> by_seed;         // in the order of the seeds
    leftovers left;                       // sums over the seeds: all zero
    std::vector<model::sample> samples{}; // of the first seed, where they are to be kept
};
struct row {
    std::string name, about;
    std::vector<cell> by_contestant;
    std::optional<figures> recorded{};
    std::vector<model::sample> recorded_samples{};
};
struct comparison {
    std::vector<std::uint64_t> seeds;
    std::vector<std::string> contestants;
    std::vector<row> rows;
    std::vector<std::string> notes{}; // shown with the result
};

struct compare_options {
    bool keep_samples = false;
    std::function<void(std::size_t done, std::size_t of)> progress{}; // called on any thread, one at a time
};
// `threads` 0: one per core. An exception of any run is thrown here.
[[nodiscard]] comparison compare(const std::vector<subject>& subjects, const std::vector<contestant>& contestants,
                                 const std::vector<std::uint64_t>& seeds, unsigned threads = 0,
                                 const compare_options& options = {});

} // namespace evenkeel::simulate
