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
};
[[nodiscard]] subject subject_of(const scenario& model);

struct cell {
    figures median;
    std::vector<figures> by_seed; // in the order of the seeds
    leftovers left;               // sums over the seeds: all zero
};
struct row {
    std::string name, about;
    std::vector<cell> by_contestant;
};
struct comparison {
    std::vector<std::uint64_t> seeds;
    std::vector<std::string> contestants;
    std::vector<row> rows;
    std::vector<std::string> notes{}; // shown with the result
};

// `threads` 0: one per core. An exception of any run is thrown here.
[[nodiscard]] comparison compare(const std::vector<subject>& subjects, const std::vector<contestant>& contestants,
                                 const std::vector<std::uint64_t>& seeds, unsigned threads = 0);

} // namespace evenkeel::simulate
