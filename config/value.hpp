#pragma once
// What one leaf of the file can hold, and how each kind is written and read. The same functions read the file, the
// table's defaults and its ranges, and print the effective configuration, so that none of them can disagree.

#include "config/schema.hpp"
#include "policies/time.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

namespace evenkeel::config {

struct bytes {
    std::uint64_t count = 0;
    auto operator<=>(const bytes&) const = default;
};
struct per_minute {
    std::int64_t count = 0;
    auto operator<=>(const per_minute&) const = default;
};
// One of the words that a key accepts beside its own kind: auto, off, stdout.
struct word {
    std::string text;
    bool operator==(const word&) const = default;
};
using leaf = std::variant<std::monostate, bool, std::int64_t, double, duration, bytes, per_minute, word, std::string>;

struct failure {
    std::string code;
    std::string message;
};
using leaf_or_failure = std::variant<leaf, failure>;

// How the text came about decides what it may mean and whether a message may repeat it.
struct written {
    bool quoted = false;   // a quoted number is a string, unless an expansion made the quotes necessary
    bool expanded = false; // holds something from outside the file
    bool secret = false;
};

[[nodiscard]] leaf_or_failure read_leaf(const key_row& row, const std::string& text, written how);
[[nodiscard]] std::string format_leaf(const leaf& value); // as a user would write it, without YAML quoting

[[nodiscard]] std::variant<duration, failure> read_duration(std::string_view text);
[[nodiscard]] std::variant<bytes, failure> read_size(std::string_view text);
[[nodiscard]] std::variant<per_minute, failure> read_rate(std::string_view text);
[[nodiscard]] std::variant<std::int64_t, failure> read_integer(std::string_view text);
[[nodiscard]] std::variant<double, failure> read_number(std::string_view text);
[[nodiscard]] std::string format_duration(duration value);
[[nodiscard]] std::string format_size(bytes value);

// Texts with a grammar of their own; empty if good, else what is wrong. They do not repeat the text.
[[nodiscard]] std::string check_text(value_kind kind, std::string_view text);

} // namespace evenkeel::config
