#pragma once
// Reads a configuration file: every problem at once, each with file, line, column, source line, caret and advice.

#include "config/settings.hpp"

#include <cstddef>
#include <functional>
#include <iosfwd>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace evenkeel::config {

enum class severity : unsigned char { error, warning };

// Another place that explains a diagnostic: the other side of a contradiction, the first of two duplicates.
struct related_place {
    int line = 0;
    int column = 0;
    std::string message;
    std::string source;
    int source_column = 1;
    int source_length = 1;
    std::string file{}; // empty: that of the diagnostic
};

struct diagnostic {
    severity level = severity::error;
    std::string file;
    int line = 0;          // from 1; 0: the file as a whole
    int column = 0;        // from 1
    int length = 1;        // characters under the caret line
    std::string code;      // stable, e.g. "unknown-key"
    std::string message;   // says what is wrong and what to do
    std::string source;    // the line, without its newline; secrets are ***, a long line is cut to a window
    int source_column = 1; // where the caret goes in `source`: masks and cuts move it away from `column`
    int source_length = 1;
    std::vector<related_place> related;
};

struct problem_count {
    std::size_t errors = 0;
    std::size_t warnings = 0; // `check --strict` fails on these too
};
[[nodiscard]] problem_count count_problems(const std::vector<diagnostic>& diagnostics) noexcept;

// Where `${env:}` and `${file:}` look; a test hands in its own. Empty: nothing is found.
struct environment {
    std::function<std::optional<std::string>(const std::string&)> variable;
    // Path relative to the configuration file resolved.
    std::function<std::optional<std::string>(const std::string&)> file;
    // What is taken for a variable that is not set, where a file is looked at away from where it will run; may be
    // empty. What it gives counts as anything that the key can hold.
    std::function<std::string(const std::string&)> stand_in{};
};
[[nodiscard]] environment process_environment();
// Variables of `base` that are not set count as set; their names are added to `assumed`, which must outlive the result.
[[nodiscard]] environment assuming(environment base, std::set<std::string>& assumed);

struct load_result {
    snapshot settings;                   // null if there is an error
    std::vector<diagnostic> diagnostics; // in file order
    [[nodiscard]] bool ok() const noexcept { return settings != nullptr; }
};

// `stages`: the names of the stages of a request's way, outermost first, for settings::shown.
[[nodiscard]] load_result load_text(std::string_view yaml, const std::string& file_name, const environment& env,
                                    std::span<const std::string_view> stages = {});
// A file, or a pipe that somebody writes to. `text`, if given, gets what was read.
[[nodiscard]] load_result load_file(const std::string& path, const environment& env, std::string* text = nullptr,
                                    std::span<const std::string_view> stages = {});

struct print_style {
    bool colour = false;
    std::size_t width = 0; // of a terminal, to be wrapped at; 0: a message is one line, as editors want it
};
// "file:line:col: error: message", the source line and a caret, one after the other, then a count.
void print_text(std::ostream& out, const std::vector<diagnostic>& diagnostics, print_style style = {});
// `hash`: of the configuration, where it can be taken; empty: it cannot. `assumed`: variables taken as set.
void print_json(std::ostream& out, const std::vector<diagnostic>& diagnostics, std::string_view hash = {},
                const std::set<std::string>& assumed = {});

// The effective configuration as YAML, each leaf with its origin (`built-in`, `defaults:12`, `route:31`) and each
// route with the order of its policies; secrets as ***.
// `route` empty: everything. `stages`: as load_text takes them.
[[nodiscard]] std::optional<std::string> show_effective(std::string_view yaml, const std::string& file_name,
                                                        const environment& env, std::string_view route,
                                                        std::span<const std::string_view> stages);

// What stands above that, as a comment: the file, and the hash that `check` and evenkeel_config_info name.
[[nodiscard]] std::string heading(const settings& of);

// JSON Schema (draft-07), made from the same table the reader uses.
[[nodiscard]] std::string json_schema();

} // namespace evenkeel::config
