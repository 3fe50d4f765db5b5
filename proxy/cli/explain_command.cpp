#include "config/file_text.hpp"
#include "config/load.hpp"
#include "proxy/cli/admin_place.hpp"
#include "proxy/cli/commands.hpp"
#include "proxy/cli/symptoms.hpp"
#include "proxy/cli/terminal.hpp"
#include "proxy/simulate/hypothetical.hpp"
#include "proxy/telemetry/request_story.hpp"

#include <fmt/format.h>

#include <exception>
#include <fstream>
#include <iostream>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>

namespace evenkeel::cli {

namespace {
int failed(std::string_view why) {
    std::cerr << telemetry::wrapped(fmt::format("evenkeel explain: {}", why));
    return 1;
}

constexpr std::size_t largest_body = std::size_t{64} * 1024 * 1024; // (chosen: larger ones are not looked into)

config::file_text text_of_file(const std::string& path) {
    config::file_text read = config::read_file_or_pipe(path, largest_body);
    if (read.text && read.text->size() > largest_body) return {std::nullopt, "it is larger than 64 MiB"};
    return read;
}

// Null: said why.
config::snapshot settings_of(const std::string& file) {
    const auto loaded = config::load_file(file, config::process_environment());
    if (!loaded.ok()) print_problems(loaded.diagnostics);
    return loaded.ok() ? loaded.settings : nullptr;
}

std::string escaped(std::string_view id) {
    std::string out;
    for (const char c : id) {
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                           c == '_' || c == '.' || c == '~';
        if (plain)
            out += c;
        else
            out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
    return out;
}

int explain_sent(const explain_choice& choice) {
    std::string why;
    const auto at = find_admin(choice.admin, choice.config, why);
    if (!at) return wrong_usage("explain", why);
    const admin_answer told = ask_admin(*at, "/-/requests/" + escaped(choice.id) + "?format=text");
    if (!told.problem.empty()) {
        const bool alone = choice.admin.empty() && choice.config.empty();
        return failed((alone
                           ? fmt::format("'{}' is no word that is known here, so it is taken for the id of a request. ",
                                         choice.id)
                           : std::string{}) +
                      told.problem);
    }
    if (told.status == 200) {
        std::cout << printable_lines(told.body);
        return 0;
    }
    return failed(
        told.status == 404
            ? fmt::format("nothing is kept of a request '{}': it is too long ago, one of many that went well, "
                          "another process served it, or `journal` is off",
                          choice.id)
            : fmt::format("the proxy answered {}", told.status));
}

int explain_unsent(const explain_choice& choice) {
    if (choice.path.empty())
        return wrong_usage("explain",
                           "say the id of a request that was sent, or with -c FILE the --path of one that was not");
    if (choice.config.empty()) return wrong_usage("explain", "--path is looked at by a configuration file: -c FILE");
    if (choice.status && !choice.fault.empty())
        return wrong_usage("explain", "--fault stands in place of an answer: no --status with it");
    if (!choice.status && (!choice.answer_file.empty() || !choice.retry_after.empty()))
        return wrong_usage("explain", "--body-file and --retry-after are of an answer: say its --status");
    if (choice.retry_after.find_first_of("\r\n") != std::string::npos)
        return wrong_usage("explain", "--retry-after is one line");
    simulate::hypothesis what{.method = choice.method,
                              .path = choice.path,
                              .body = {},
                              .fields = choice.fields,
                              .status = choice.status,
                              .answer = {},
                              .retry_after = choice.retry_after,
                              .everywhere = choice.everywhere};
    using fault = simulate::hypothesis::fault;
    what.does = choice.fault == "silent"        ? fault::silent
                : choice.fault == "reset"       ? fault::reset
                : choice.fault == "unreachable" ? fault::unreachable
                                                : fault::none;
    for (const auto& [file, into] : {std::pair{&choice.body_file, &what.body}, {&choice.answer_file, &what.answer}}) {
        if (file->empty()) continue;
        auto read = text_of_file(*file);
        if (!read.text) return failed(fmt::format("{}: {}", *file, read.problem));
        *into = std::move(*read.text);
    }
    const auto settings = settings_of(choice.config);
    if (!settings) return 1;
    try {
        std::cout << simulate::explain(settings, what);
        return 0;
    } catch (const std::invalid_argument& error) {
        return wrong_usage("explain", error.what());
    }
}
} // namespace

int explain(const explain_choice& choice) {
    if (!choice.id.empty() && !choice.path.empty())
        return wrong_usage("explain", "an id is of a request that was sent, --path of one that was not");
    if (choice.id.empty()) return explain_unsent(choice);
    if (choice.admin.empty() && choice.config.empty()) {
        const std::string known = symptoms_of(choice.id);
        if (!known.empty()) {
            std::cout << known;
            return 0;
        }
    }
    return explain_sent(choice);
}

} // namespace evenkeel::cli
