#include "config/file_text.hpp"
#include "config/load.hpp"
#include "config/parse.hpp"
#include "config/show.hpp"
#include "proxy/cli/commands.hpp"
#include "proxy/cli/terminal.hpp"
#include "proxy/serve/order.hpp"
#include "proxy/telemetry/request_story.hpp"

#include <iostream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include <unistd.h>

namespace evenkeel::cli {

std::vector<std::string_view> stage_names() {
    std::vector<std::string_view> names;
    for (const request::stage& one : request::stages()) names.push_back(one.name);
    return names;
}

namespace {
// The order of policies is a long comment; on a terminal it stays one over several lines.
std::string narrowed(const std::string& text, std::size_t width) {
    std::string out;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        const std::size_t mark = line.find_first_not_of(' ');
        if (width == 0 || line.size() <= width || mark == std::string::npos || line[mark] != '#') {
            out += line + '\n';
            continue;
        }
        const std::string before = line.substr(0, mark) + "# ";
        std::istringstream parts(telemetry::wrapped(line.substr(before.size()), width - before.size() - 2));
        bool first = true;
        for (std::string part; std::getline(parts, part); first = false)
            out += before + (first ? "" : "  ") + part + '\n';
    }
    return out;
}
} // namespace

int config_show(const config_choice& choice) {
    // Read once: a pipe can be.
    const config::file_text file = config::read_file_or_pipe(choice.file, config::max_file_bytes);
    if (!file.text) {
        std::cerr << choice.file << ": error: " << file.problem << '\n';
        return 1;
    }
    const config::show_result shown =
        config::show(*file.text, choice.file, config::process_environment(), stage_names(),
                     {.route = choice.route, .overrides = choice.overrides, .json = choice.json});
    if (config::count_problems(shown.diagnostics).errors > 0) {
        print_problems(shown.diagnostics);
        return 1;
    }
    if (!shown.text) {
        std::cerr << choice.file << ": there is no route '" << choice.route << "'\n";
        return 1;
    }
    std::cout << (choice.json ? *shown.text : narrowed(*shown.text, look_of(STDOUT_FILENO).width));
    return 0;
}

} // namespace evenkeel::cli
