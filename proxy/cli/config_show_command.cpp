#include "config/file_text.hpp"
#include "config/load.hpp"
#include "config/parse.hpp"
#include "config/show.hpp"
#include "proxy/cli/commands.hpp"
#include "proxy/cli/terminal.hpp"
#include "proxy/serve/order.hpp"

#include <iostream>
#include <string>
#include <string_view>
#include <vector>

namespace evenkeel::cli {

std::vector<std::string_view> stage_names() {
    std::vector<std::string_view> names;
    for (const request::stage& one : request::stages()) names.push_back(one.name);
    return names;
}

int config_show(const config_choice& choice) {
    // Read once: a pipe can be.
    const config::file_text file = config::read_file_or_pipe(choice.file, config::max_file_bytes);
    if (!file.text) {
        std::cerr << choice.file << ": error: " << file.problem << '\n';
        return 1;
    }
    const config::shown shown =
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
    std::cout << *shown.text;
    return 0;
}

} // namespace evenkeel::cli
