#include "proxy/cli/mistyped.hpp"

#include "config/suggest.hpp"

#include <fmt/format.h>

#include <string_view>

namespace evenkeel::cli {

namespace {
std::string no_such(std::string_view what, std::string_view word, std::string_view dashes,
                    const std::vector<std::string>& known) {
    std::string out = fmt::format("there is no {} '{}{}'", what, dashes, word);
    const std::vector<std::string_view> candidates(known.begin(), known.end());
    if (const auto meant = evenkeel::config::nearest(word, candidates))
        out += fmt::format("; did you mean '{}{}'?", dashes, *meant);
    return out;
}
} // namespace

std::string mistyped(CLI::App& program, const std::vector<std::string>& arguments) {
    CLI::App* at = &program;
    for (const std::string& each : arguments) {
        if (each == "--") break;
        if (each.starts_with("--")) {
            const std::string name = each.substr(2, each.find('=') - 2);
            if (at->get_option_no_throw("--" + name) != nullptr) continue;
            std::vector<std::string> known;
            for (const CLI::Option* one : at->get_options())
                known.insert(known.end(), one->get_lnames().begin(), one->get_lnames().end());
            return no_such("option", name, "--", known);
        }
        const auto commands = at->get_subcommands([](CLI::App*) { return true; });
        if (each.starts_with('-') || commands.empty()) continue;
        std::vector<std::string> known;
        CLI::App* next = nullptr;
        for (CLI::App* one : commands) {
            known.push_back(one->get_name());
            if (one->get_name() == each) next = one;
        }
        if (next == nullptr) return no_such("command", each, "", known);
        at = next;
    }
    return {};
}

} // namespace evenkeel::cli
