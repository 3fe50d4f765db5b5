#include "config/suggest.hpp"
#include "proxy/cli/commands.hpp"
#include "proxy/cli/starter_file.hpp"
#include "proxy/cli/terminal.hpp"
#include "proxy/telemetry/request_story.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

namespace evenkeel::cli {

namespace {
std::string known_names() {
    std::string out;
    for (const provider_facts& each : providers()) out += fmt::format("{}{}", out.empty() ? "" : " ", each.name);
    return out;
}

// Empty: done. Never over a file that is there, unless told so: not even over one that came a moment ago.
std::string write(const std::string& file, std::string_view text, bool force) {
    const int to = ::open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | (force ? O_TRUNC : O_EXCL), 0644);
    if (to < 0 && errno == EEXIST) return "is there already; --force writes over it, `-o -` prints";
    if (to < 0) return std::strerror(errno); // NOLINT(concurrency-mt-unsafe): the only thread
    while (!text.empty()) {
        const ssize_t n = ::write(to, text.data(), text.size());
        if (n <= 0 && errno == EINTR) continue;
        if (n <= 0) break;
        text.remove_prefix(static_cast<std::size_t>(n));
    }
    const bool closed = ::close(to) == 0;
    return text.empty() && closed ? std::string{} : "could not be written in full";
}
} // namespace

std::string init_footer() {
    std::string out = "\nKnown providers:\n";
    for (const provider_facts& each : providers())
        out += fmt::format("  {:<12} {:<26} {}\n", each.name, each.title, each.key.empty() ? "no key" : each.key);
    return out +
           "\nThe application keeps its own key for the first; each further one takes over where those before it\n"
           "fail, with its own key from the environment.\n";
}

int init(init_choice choice) {
    std::vector<const provider_facts*> chosen;
    if (std::erase(choice.providers, "-") > 0) choice.file = "-";
    if (choice.providers.empty()) return wrong_usage("init", "say one or more providers: " + known_names());
    for (const std::string& each : choice.providers) {
        const provider_facts* const known = provider_named(each);
        if (known == nullptr) {
            std::vector<std::string_view> candidates;
            for (const provider_facts& one : providers()) candidates.push_back(one.name);
            const auto near = config::nearest(each, candidates);
            return wrong_usage("init", fmt::format("there is no provider '{}' here; {}", each,
                                                   near ? fmt::format("did you mean '{}'?", *near)
                                                        : fmt::format("there are: {}", known_names())));
        }
        if (std::ranges::find(chosen, known) != chosen.end())
            return wrong_usage("init", fmt::format("'{}' is named twice", each));
        chosen.push_back(known);
    }
    const std::string text = starter_file(chosen);
    if (choice.file == "-") {
        std::cout << text;
        return 0;
    }
    if (const std::string why = write(choice.file, text, choice.force); !why.empty()) {
        std::cerr << fmt::format("evenkeel init: {}: {}\n", choice.file, why);
        return 1;
    }
    std::cout << telemetry::wrapped(
        fmt::format("wrote {0}; next: evenkeel check {0}, evenkeel try {0}, evenkeel run {0}", choice.file));
    return 0;
}

} // namespace evenkeel::cli
