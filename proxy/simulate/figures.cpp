#include "proxy/simulate/figures.hpp"

#include "proxy/simulate/percentile.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace evenkeel::simulate {

using namespace model;

namespace {

constexpr double promptly = 15;                       // seconds
constexpr double window = 10, recovered_share = 0.95; // of arrivals

bool is_prompt(const sample& one) { return one.how == model::verdict::success && one.seconds <= promptly; }

double recovery_after(const std::vector<sample>& samples, double end_of_trouble) {
    const auto first = std::ranges::lower_bound(samples, end_of_trouble, {}, &sample::due);
    const auto enough = [](std::ptrdiff_t prompt, std::ptrdiff_t all) {
        return static_cast<double>(prompt) >= recovered_share * static_cast<double>(all);
    };
    std::ptrdiff_t prompt_left = std::count_if(first, samples.end(), is_prompt), prompt = 0;
    auto last = first; // behind the window
    for (auto from = first; from != samples.end(); ++from) {
        for (; last != samples.end() && last->due < from->due + window; ++last) prompt += is_prompt(*last) ? 1 : 0;
        if (samples.back().due < from->due + window) break; // the run ends within the window
        if (enough(prompt, last - from) && enough(prompt_left, samples.end() - from)) return from->due - end_of_trouble;
        prompt -= is_prompt(*from) ? 1 : 0;
        prompt_left -= is_prompt(*from) ? 1 : 0;
    }
    return std::numeric_limits<double>::infinity();
}

double middle(std::vector<double> values) {
    if (values.empty()) return 0;
    std::ranges::sort(values);
    const std::size_t half = values.size() / 2;
    return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

} // namespace

figures figures_of(const run_result& run, const traffic_facts& facts) {
    figures out;
    const auto all = static_cast<double>(std::max<std::size_t>(run.samples.size(), 1));
    std::vector<double> seconds, first_tokens;
    seconds.reserve(run.samples.size());
    std::size_t success = 0, prompt = 0, degraded = 0;
    auto attempts = static_cast<double>(run.refused);
    for (const sample& each : run.samples) {
        success += each.how == model::verdict::success ? 1 : 0;
        prompt += is_prompt(each) ? 1 : 0;
        degraded += each.how == model::verdict::degraded ? 1 : 0;
        attempts += each.attempts;
        seconds.push_back(each.seconds);
        if (each.stream) first_tokens.push_back(each.first_token);
    }
    out.success = static_cast<double>(success) / all;
    out.within_15s = static_cast<double>(prompt) / all;
    out.degraded = static_cast<double>(degraded) / all;
    out.attempts = attempts / all;
    out.wasted_events = static_cast<double>(run.wasted_events) / all;
    out.p50 = percentile(seconds, 0.50);
    out.p99 = percentile(std::move(seconds), 0.99);
    out.first_token_p50 = percentile(first_tokens, 0.50);
    out.first_token_p99 = percentile(std::move(first_tokens), 0.99);
    if (facts.disturbed_until) out.recovery = recovery_after(run.samples, *facts.disturbed_until);
    return out;
}

figures median_of(const std::vector<figures>& seeds) {
    figures out;
    const auto each = [&](double figures::*what) {
        std::vector<double> values;
        for (const figures& one : seeds) values.push_back(one.*what);
        out.*what = middle(std::move(values));
    };
    for (const auto what :
         {&figures::success, &figures::within_15s, &figures::degraded, &figures::p50, &figures::p99,
          &figures::first_token_p50, &figures::first_token_p99, &figures::attempts, &figures::wasted_events}) {
        each(what);
    }
    std::vector<double> recoveries;
    for (const figures& one : seeds) {
        if (one.recovery) recoveries.push_back(*one.recovery);
    }
    if (!recoveries.empty()) out.recovery = middle(std::move(recoveries));
    return out;
}

} // namespace evenkeel::simulate
