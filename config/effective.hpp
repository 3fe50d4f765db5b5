#pragma once
// A whole load, up to the complete tree. load_text and show_effective both begin here.

#include "config/entry.hpp"
#include "config/load.hpp"
#include "config/source_text.hpp"

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace evenkeel::config {

struct effective {
    std::optional<entry> root; // without a value if there is an error
    std::vector<diagnostic> diagnostics;
    std::string text;                    // what `source` looks at
    std::unique_ptr<source_text> source; // for the lines of origins
};

[[nodiscard]] std::unique_ptr<effective> read_effective(std::string_view yaml, const std::string& file_name,
                                                        const environment& env,
                                                        std::span<const std::string> overrides = {});

// What show_effective says of all of it; there is a root.
[[nodiscard]] std::string show_whole(const effective& read, std::span<const std::string_view> stages);

// SHA-256 in hex over keys and values, secrets included, origins not.
[[nodiscard]] std::string hash_of(const entry& root);

} // namespace evenkeel::config
