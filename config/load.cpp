#include "config/load.hpp"

#include "config/build.hpp"
#include "config/effective.hpp"
#include "config/expand.hpp"
#include "config/file_text.hpp"
#include "config/grammar.hpp"
#include "config/parse.hpp"
#include "config/problem_list.hpp"

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <utility>

namespace evenkeel::config {
environment process_environment() {
    environment out;
    out.variable = [](const std::string& name) -> std::optional<std::string> {
        // Read at start and on reload, on one thread; nothing in the process sets variables.
        const char* value = std::getenv(name.c_str()); // NOLINT(concurrency-mt-unsafe)
        return value != nullptr ? std::optional<std::string>(value) : std::nullopt;
    };
    out.file = [](const std::string& path) -> std::optional<std::string> {
        return read_regular_file(path, max_file_bytes); // a pipe or a device could block a reload for ever
    };
    return out;
}

namespace {
// That could be a part of a host name too.
std::string stand_in_for(const std::string& name) {
    std::string out = "assumed-" + lower_case(name);
    std::replace(out.begin(), out.end(), '_', '-');
    return out;
}
} // namespace

environment assuming(environment base, std::set<std::string>& assumed) {
    environment out = base;
    out.stand_in = [&assumed](const std::string& name) {
        assumed.insert(name);
        return stand_in_for(name);
    };
    // A file whose name depends on one of them is there too.
    out.file = [&assumed, read = std::move(base.file)](const std::string& path) -> std::optional<std::string> {
        if (auto text = read ? read(path) : std::nullopt) return text;
        for (const std::string& name : assumed)
            if (path.find(stand_in_for(name)) != std::string::npos) return "{}"; // as JSON it is some too
        return std::nullopt;
    };
    return out;
}

load_result load_text(std::string_view yaml, const std::string& file_name, const environment& env,
                      std::span<const std::string_view> stages) {
    load_result out;
    try {
        const auto read = read_effective(yaml, file_name, env);
        out.diagnostics = std::move(read->diagnostics);
        if (!read->root) return out;
        auto built = std::make_shared<settings>(build_settings(*read->root, directory_of(file_name), env.file));
        built->source = file_name;
        built->hash = hash_of(*read->root);
        built->shown = std::make_shared<const std::string>(show_whole(*read, stages));
        out.settings = std::move(built);
    } catch (const std::exception&) {
        // Exhaustion, or a bug here: either way a reload must be refused rather than end the process.
        out.settings = nullptr;
        out.diagnostics.push_back(whole_file(file_name, "internal", "the file could not be processed"));
    }
    return out;
}

load_result load_file(const std::string& path, const environment& env, std::string* text,
                      std::span<const std::string_view> stages) {
    const file_text read = read_file_or_pipe(path, max_file_bytes);
    if (text != nullptr) *text = read.text.value_or(std::string{});
    if (read.text) return load_text(*read.text, path, env, stages);
    load_result out;
    out.diagnostics.push_back(whole_file(path, "unreadable-file", read.problem));
    return out;
}

} // namespace evenkeel::config
