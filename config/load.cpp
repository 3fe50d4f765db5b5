#include "config/load.hpp"

#include "config/build.hpp"
#include "config/effective.hpp"
#include "config/expand.hpp"
#include "config/file_text.hpp"
#include "config/parse.hpp"
#include "config/problem_list.hpp"

#include <cstdlib>
#include <exception>

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
