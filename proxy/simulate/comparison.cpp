#include "proxy/simulate/comparison.hpp"

#include "proxy/simulate/model_traffic.hpp"
#include "proxy/simulate/profiles.hpp"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

namespace evenkeel::simulate {

std::vector<contestant> usual_contestants() {
    std::vector<contestant> all{{"direct", nullptr}};
    for (const profile& each : profiles()) all.push_back({std::string{each.name}, settings_of(each)});
    return all;
}

subject subject_of(const scenario& model) {
    return {std::string{model.name}, std::string{model.about},
            [model](std::uint64_t seed) { return std::make_unique<model_traffic>(model, seed); }};
}

comparison compare(const std::vector<subject>& subjects, const std::vector<contestant>& contestants,
                   const std::vector<std::uint64_t>& seeds, unsigned threads, const compare_options& options) {
    comparison out;
    out.seeds = seeds;
    for (const contestant& each : contestants) out.contestants.push_back(each.name);
    for (const subject& each : subjects) {
        cell empty;
        empty.by_seed.resize(seeds.size());
        out.rows.push_back({each.name, each.about, std::vector<cell>(contestants.size(), empty)});
        if (!each.recorded) continue;
        out.rows.back().recorded = figures_of(*each.recorded, {});
        if (options.keep_samples) out.rows.back().recorded_samples = each.recorded->samples;
    }

    const std::size_t runs = subjects.size() * contestants.size() * seeds.size();
    std::atomic<std::size_t> next{0};
    std::mutex mutex;
    std::size_t done = 0;
    std::exception_ptr failure;
    const auto work = [&] {
        for (std::size_t run = next++; run < runs; run = next++) {
            try {
                const std::size_t seed = run % seeds.size();
                const std::size_t who = run / seeds.size() % contestants.size();
                const std::size_t what = run / seeds.size() / contestants.size();
                const auto fed = subjects[what].make(seeds[seed]);
                run_result result = simulate(*fed, contestants[who].settings, seeds[seed]);
                const figures found = figures_of(result, fed->facts());
                const std::scoped_lock lock(mutex);
                cell& into = out.rows[what].by_contestant[who];
                into.by_seed[seed] = found;
                into.left += result.left;
                if (options.keep_samples && seed == 0) into.samples = std::move(result.samples);
                ++done;
                if (options.progress) options.progress(done, runs);
            } catch (...) {
                const std::scoped_lock lock(mutex);
                if (!failure) failure = std::current_exception();
                next = runs;
            }
        }
    };
    if (threads == 0) threads = std::max(1U, std::thread::hardware_concurrency());
    threads = static_cast<unsigned>(std::min<std::size_t>(threads, runs));
    {
        std::vector<std::jthread> others;
        for (unsigned extra = 1; extra < threads; ++extra) others.emplace_back(work);
        work();
    }
    if (failure) std::rethrow_exception(failure);
    for (row& each : out.rows) {
        for (cell& one : each.by_contestant) one.median = median_of(one.by_seed);
    }
    return out;
}

} // namespace evenkeel::simulate
