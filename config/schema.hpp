#pragma once
// The one table of all configuration keys. The strict reader, the defaults, `check`, `config show` and the JSON Schema
// are all driven by it, so a key cannot be read but undocumented, or documented but ignored.

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace evenkeel::config {

struct entry;
struct destination;

enum class value_kind : unsigned char {
    block,        // a mapping of known keys
    boolean,      // true | false
    integer,      // decimal digits
    ratio,        // 0..1, or another range of plain numbers
    duration,     // 250ms, 1m30s
    delay,        // a duration, or a quantile that is learned: p50 to p99, p99.9
    size,         // 64KiB
    rate,         // 600/min
    word,         // one of `words`
    text,         // any non-empty string without control characters
    name,         // of a route or an upstream; becomes a metric label
    address,      // literal address:port or unix:/path
    url,          // absolute http(s) URL
    host,         // a host name
    path,         // of a request: starts with '/'
    glob,         // `*` and `?`
    header_name,  // a token; lower-cased
    credential,   // name or glob of a credential; with '!' before it an exception
    header_value, // visible ASCII and inner blanks
    token,        // visible ASCII; may be empty
    tenant,       // what names the tenant of a request: header:NAME
    file,         // of a file that must exist
    log_file,     // of a file that will be written
};

enum class value_shape : unsigned char { one, list, one_or_list, map };

// A row. Strings are written the way a user writes them in the file, so that documentation, schema and reader agree.
struct key_row {
    std::string_view path{}; // dotted; names of map members and list positions are not part of it
    value_kind kind = value_kind::text;
    value_shape shape = value_shape::one;
    // The built-in default; empty: none. Of a block only `off`: it is not in force until written.
    std::string_view fallback{};
    std::string_view min{}, max{}; // inclusive; empty: unbounded
    std::string_view words{};      // separated by '|': further words accepted beside the kind's own values
    std::string_view documentation{};
    std::string_view price{}; // what turning it up costs; empty where nothing is to be said
    bool secret = false;
    bool required = false;
    std::string_view instead{};    // of a required key: one beside it that may stand in its place
    bool optional_block = false;   // absent means absent, rather than a block of defaults
    bool can_be_empty = false;     // "" is a value
    bool available = true;         // false: accepts only `off` in this version
    std::string_view short_form{}; // of a block: a single value stands for a block with only this key, or these ('|')
    std::string_view map_keys{};   // of a map: what its keys are, name, header_name, path or text
    bool policy = false;           // lives under `defaults` and under each route
    // Puts what is written where it belongs (fill.hpp); null: whoever builds the block around it reads it.
    void (*fills)(const entry& from, const destination& into) = nullptr;
};

[[nodiscard]] const std::vector<key_row>& key_table();

// The table as a tree, so that the reader walks file and schema side by side.
struct schema_node {
    std::string name;
    std::string display;          // `routes[].match.path`, `upstreams.NAME.url`
    const key_row* row = nullptr; // null: the root and `defaults`
    std::vector<std::unique_ptr<schema_node>> children;
    bool holds_secrets = false; // itself or anything below

    [[nodiscard]] const schema_node* child(std::string_view key) const noexcept;
    [[nodiscard]] value_kind kind() const noexcept { return row != nullptr ? row->kind : value_kind::block; }
    [[nodiscard]] value_shape shape() const noexcept { return row != nullptr ? row->shape : value_shape::one; }
    [[nodiscard]] bool available() const noexcept { return row == nullptr || row->available; }
};
[[nodiscard]] const schema_node& schema_root();

[[nodiscard]] std::vector<std::string_view> split_words(std::string_view words);

// For quoting lines that could not be parsed: may what follows this key be shown? Is this a word of the schema at all?
[[nodiscard]] bool is_harmless_key(std::string_view key);
[[nodiscard]] bool is_schema_word(std::string_view word);

// What is good advice for an unknown key at this place: " (did you mean 'retry'?)", "; it is valid under `retry:`", or
// "".
[[nodiscard]] std::string suggest_key(const schema_node& at, std::string_view key);

} // namespace evenkeel::config
