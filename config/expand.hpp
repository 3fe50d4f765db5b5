#pragma once
// `${env:VAR}`, `${env:VAR:-x}`, `${file:PATH}` and `$$`, on single values after parsing: what comes from outside can
// never change the structure of the configuration.

#include "config/load.hpp"

#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace evenkeel::config {

struct expansion {
    std::string text;
    std::vector<std::string> sources; // `${env:VAR}`, `${file:PATH}`; empty: the text is as written
    bool from_file = false;           // files hold secrets more often than not
    bool assumed = false;             // holds what stands in for a variable
};

struct bad_expansion {
    std::string code;
    std::string message;
};

// `directory` is the configuration file's, with a trailing slash or empty.
[[nodiscard]] std::variant<expansion, bad_expansion> expand(std::string_view text, const environment& env,
                                                            const std::string& directory);

[[nodiscard]] std::string resolve_path(const std::string& directory, const std::string& path);
[[nodiscard]] std::string directory_of(const std::string& file_name);

} // namespace evenkeel::config
