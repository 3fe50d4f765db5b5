#include "config/load.hpp"

#include "config/build.hpp"
#include "config/effective.hpp"
#include "config/expand.hpp"
#include "config/parse.hpp"
#include "config/report.hpp"

#include <sys/stat.h>

#include <cstdlib>
#include <exception>
#include <fstream>

namespace evenkeel::config {
namespace {

std::optional<std::string> read_bounded(const std::string& path, std::size_t most) {
    std::ifstream in(path, std::ios::binary);
    if (!in) return std::nullopt;
    std::string out(most + 1, '\0');
    in.read(out.data(), static_cast<std::streamsize>(out.size()));
    if (in.bad()) return std::nullopt;
    out.resize(static_cast<std::size_t>(in.gcount()));
    return out;
}

bool is_directory(const std::string& path) {
    struct stat about {};
    return ::stat(path.c_str(), &about) == 0 && S_ISDIR(about.st_mode);
}

} // namespace

environment process_environment() {
    environment out;
    out.variable = [](const std::string& name) -> std::optional<std::string> {
        // Read at start and on reload, on one thread; nothing in the process sets variables.
        const char* value = std::getenv(name.c_str()); // NOLINT(concurrency-mt-unsafe)
        return value != nullptr ? std::optional<std::string>(value) : std::nullopt;
    };
    out.file = [](const std::string& path) -> std::optional<std::string> {
        // A pipe or a device could block a reload for ever, so only regular files (symlinks included) count.
        struct stat about {};
        if (::stat(path.c_str(), &about) != 0 || !S_ISREG(about.st_mode)) return std::nullopt;
        return read_bounded(path, max_file_bytes);
    };
    return out;
}

load_result load_text(std::string_view yaml, const std::string& file_name, const environment& env) {
    load_result out;
    try {
        const auto read = read_effective(yaml, file_name, env);
        out.diagnostics = std::move(read->diagnostics);
        if (!read->root) return out;
        auto built = std::make_shared<settings>(build_settings(*read->root, directory_of(file_name), env.file));
        built->source = file_name;
        built->hash = hash_of(*read->root);
        out.settings = std::move(built);
    } catch (const std::exception&) {
        // Exhaustion, or a bug here: either way a reload must be refused rather than end the process.
        out.settings = nullptr;
        out.diagnostics.push_back(whole_file(file_name, "internal", "the file could not be processed"));
    }
    return out;
}

load_result load_file(const std::string& path, const environment& env) {
    load_result out;
    const std::optional<std::string> text = is_directory(path) ? std::nullopt : read_bounded(path, max_file_bytes);
    if (!text) {
        out.diagnostics.push_back(
            whole_file(path, "unreadable-file",
                       is_directory(path) ? "this is a directory, not a file" : "the file cannot be read"));
        return out;
    }
    return load_text(*text, path, env);
}

} // namespace evenkeel::config
