#include "config/load.hpp"
#include "proxy/cli/commands.hpp"
#include "proxy/cli/progress.hpp"
#include "proxy/cli/terminal.hpp"
#include "proxy/simulate/comparison.hpp"
#include "proxy/simulate/demonstrations.hpp"
#include "proxy/simulate/plot.hpp"
#include "proxy/simulate/profiles.hpp"
#include "proxy/simulate/quiet.hpp"
#include "proxy/simulate/report.hpp"
#include "proxy/simulate/trace_traffic.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <optional>
#include <string_view>

#include <unistd.h>

namespace evenkeel::cli {

namespace {

int usage(std::string_view why) {
    std::cerr << "evenkeel simulate: " << why << '\n';
    return 2;
}

// A table, whose first line says what the columns are.
std::string headed(const std::string& text) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    return tinted(text.substr(0, end), tint::strong, look_of(STDOUT_FILENO).colour) + text.substr(end);
}

// "1,2,3"; nothing else, no seed twice.
std::optional<std::vector<std::uint64_t>> parse_seeds(std::string_view text) {
    std::vector<std::uint64_t> seeds;
    const char* at = text.data();
    const char* const end = at + text.size();
    for (;;) {
        std::uint64_t seed = 0;
        const auto [stopped, error] = std::from_chars(at, end, seed);
        if (error != std::errc{} || std::ranges::find(seeds, seed) != seeds.end()) return std::nullopt;
        seeds.push_back(seed);
        if (stopped == end) return seeds;
        if (*stopped != ',') return std::nullopt;
        at = stopped + 1;
    }
}

std::vector<simulate::subject> models_of(const simulate_choice& choice) {
    std::vector<simulate::subject> subjects;
    for (simulate::scenario each : simulate::scenarios()) {
        if (choice.model != "all" && choice.model != each.name) continue;
        if (choice.requests) each.requests = *choice.requests;
        if (choice.rate) each.rate = *choice.rate;
        subjects.push_back(simulate::subject_of(each));
    }
    return subjects;
}

// Empty: said why.
std::vector<simulate::subject> trace_of(const simulate_choice& choice, std::vector<std::string>& notes) {
    std::ifstream in(choice.trace, std::ios::binary);
    if (!in || std::filesystem::is_directory(choice.trace)) {
        std::cerr << "evenkeel simulate: " << choice.trace << ": the file cannot be read\n";
        return {};
    }
    const auto read = std::make_shared<const simulate::trace>(simulate::read_trace(in));
    if (read->entries.empty()) {
        std::cerr << "evenkeel simulate: " << choice.trace << ": no line of it can be replayed ("
                  << simulate::describe(*read) << ")\n";
        return {};
    }
    notes.push_back(choice.trace + ": " + simulate::describe(*read));
    const simulate::replay_options options{choice.requests, choice.rate};
    simulate::subject all{"trace", choice.trace, [read, options](std::uint64_t seed) {
                              return std::make_unique<simulate::trace_traffic>(read, options, seed);
                          }};
    all.recorded = simulate::recorded(*read, options);
    return {std::move(all)};
}

// Null: said why.
config::snapshot settings_of(const simulate_choice& choice) {
    const auto loaded = config::load_file(choice.config, config::process_environment());
    print_problems(loaded.diagnostics);
    if (!loaded.ok()) return nullptr;
    auto settings = simulate::only_route(*loaded.settings, choice.route);
    if (!settings) {
        std::cerr << "evenkeel simulate: " << choice.config << ": there is no route "
                  << (choice.route.empty() ? "that calls an upstream" : "'" + choice.route + "' that calls an upstream")
                  << '\n';
    }
    return settings;
}

// Empty: said why.
std::vector<simulate::contestant> contestants_of(const simulate_choice& choice) {
    if (choice.config.empty()) return simulate::usual_contestants();
    const auto settings = settings_of(choice);
    if (!settings) return {};
    return std::vector<simulate::contestant>{{"direct", nullptr}, {choice.config, settings}};
}

int quiet(const simulate_choice& choice, const std::vector<std::uint64_t>& seeds) {
    if (choice.requests || choice.rate) return usage("a quiet model has its own number of requests and its own rate");
    const auto cases = simulate::quiet_cases_named(choice.model);
    if (cases.empty()) {
        std::string names;
        for (const auto& each : simulate::quiet_cases()) names += fmt::format(", quiet:{}", each.name);
        return usage("there is no model '" + choice.model + "'; there are: quiet" + names);
    }
    config::snapshot settings;
    if (!choice.config.empty() && !(settings = settings_of(choice))) return 1;
    std::vector<simulate::quiet_row> rows;
    progress shown;
    for (const auto& each : cases) {
        rows.push_back({each, simulate::figures_of(each, seeds, settings)});
        shown.at(rows.size(), cases.size());
    }
    shown.end();
    std::cout << (choice.json ? simulate::json_of(rows, seeds) : headed(simulate::text_of(rows, seeds)));
    return 0;
}

int demonstrate(const std::string& wanted) {
    std::string names = "all";
    int number = 0;
    bool any = false;
    for (const auto& each : simulate::demonstrations()) {
        ++number;
        names += fmt::format(", {}", each.name);
        if (wanted != "all" && wanted != each.name) continue;
        std::cout << fmt::format("{}{}  {}\n", any ? "\n" : "", number, each.title) << in_columns(each.play(), 80)
                  << std::flush;
        any = true;
    }
    return any ? 0 : usage("there is no demonstration '" + wanted + "'; there are: " + names);
}

} // namespace

std::string simulate_footer() {
    std::string out = "\nModels:\n";
    for (const auto& each : simulate::scenarios()) out += fmt::format("  {:<16} {}\n", each.name, each.about);
    out += "\nQuiet models, all of them with --model quiet:\n";
    for (const auto& each : simulate::quiet_cases())
        out += fmt::format("  {:<28} {}\n", fmt::format("quiet:{}", each.name), each.about);
    out += "\nDemonstrations (--demonstrate):\n";
    for (const auto& each : simulate::demonstrations()) out += fmt::format("  {:<16} {}\n", each.name, each.title);
    return out + R"(
The real request path (routing, retries, policies) runs on a virtual clock
against a simulated provider; the same seed and file give the same output.
Clients leave after 60 s; those of the quiet models have the patience that their
case says, and run with nothing configured, or with -c FILE.

A trace is replayed with its times of arrival, and stands beside its own day
(`recorded`), which counts by the same rules: a failure, or an answer after 60
s, counts as 60 s. A log has one line per request, so this is inferred:
  - of N attempts, the first N - 1 failed with a 500 after 0.4 s (or duration_s
    / 2N, if shorter), and the last one took the rest of duration_s and ended as
    `outcome` says: an answer, the error status, silence (proxy_error names a
    timeout), a reset, or a cut in the middle (truncated);
  - first_token_s is when a stream's first token came; without it, a quarter of
    the time;
  - client_cancelled is silence if nothing came for 10 s, else left out; so is
    what was rejected;
  - attempts beyond those recorded meet what first attempts met at that time of
    the log;
  - attempts do not slow each other down: a log does not tell a provider's
    capacity.
Lines that are cut, too long (64 KiB) or no access log are counted and passed
over.
)";
}

int simulate(const simulate_choice& choice) {
    const auto seeds = parse_seeds(choice.seeds);
    if (!seeds) return usage("--seed takes one or more different whole numbers, like 1,2,3");
    if (!choice.route.empty() && choice.config.empty()) return usage("--route names a route of the file given with -c");
    if (!choice.plot.empty() && (!choice.demonstrate.empty() || choice.model.starts_with("quiet")))
        return usage("--plot draws a comparison of policies: a model that is not quiet, or a trace");
    if (!choice.demonstrate.empty()) {
        if (!choice.model.empty() || !choice.trace.empty() || !choice.config.empty())
            return usage("a demonstration takes no model, trace or file");
        return demonstrate(choice.demonstrate);
    }
    if (choice.model.empty() == choice.trace.empty()) return usage("either --model or --trace says what is simulated");
    try {
        if (choice.model.starts_with("quiet")) return quiet(choice, *seeds);
        std::vector<std::string> notes;
        const auto subjects = choice.trace.empty() ? models_of(choice) : trace_of(choice, notes);
        if (subjects.empty() && choice.trace.empty()) {
            return usage("there is no model '" + choice.model + "'; there are: all, " + simulate::scenario_names() +
                         ", and quiet");
        }
        if (subjects.empty()) return 1;
        const auto contestants = contestants_of(choice);
        if (contestants.empty()) return 1;
        progress shown;
        auto result = simulate::compare(subjects, contestants, *seeds, 0,
                                        {.keep_samples = !choice.plot.empty(),
                                         .progress = [&](std::size_t done, std::size_t of) { shown.at(done, of); }});
        shown.end();
        result.notes = std::move(notes);
        if (!choice.plot.empty()) {
            std::ofstream out(choice.plot, std::ios::binary | std::ios::trunc);
            out << simulate::plot_of(result) << std::flush;
            if (!out) {
                std::cerr << "evenkeel simulate: " << choice.plot << ": the file cannot be written\n";
                return 1;
            }
        }
        std::cout << (choice.json ? simulate::json_of(result) : headed(simulate::text_of(result)));
        return 0;
    } catch (const std::exception& error) {
        std::cerr << "evenkeel simulate: " << error.what() << '\n';
        return 1;
    }
}

} // namespace evenkeel::cli
