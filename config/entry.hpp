#pragma once
// The file after reading: typed values in the shape of the schema, each with its place and origin. Reading fills it,
// `complete` adds defaults and inheritance, and settings, `config show` and the hash are three views of the result.

#include "config/source_text.hpp"
#include "config/value.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace evenkeel::config {

enum class origin : unsigned char { built_in, environment, file, upstream, defaults, route };

struct entry {
    const schema_node* schema = nullptr;
    std::string key; // name of the key, or of the member of a map; empty for an element of a list
    span key_at;     // equals `at` where there is no key
    span at;
    bool single = true;  // false: a list or a map of `schema`, whose elements are `children`
    leaf value;          // of a leaf; of a block only the word `off`
    bool secret = false; // never printed
    origin from = origin::file;
    std::string_view profile; // of a built-in value: the profile it belongs to, where that is not the usual one
    std::string note;         // further words on the origin: clamped by what, taken from which variable
    std::vector<entry> children;
    std::vector<std::string> refused; // keys of a block that are there, or meant to be, but were reported as wrong

    [[nodiscard]] const entry* find(std::string_view name) const noexcept;
    [[nodiscard]] entry* find(std::string_view name) noexcept;
    [[nodiscard]] bool was_refused(std::string_view name) const noexcept;
    [[nodiscard]] bool is_off() const noexcept;
    [[nodiscard]] bool is_block() const noexcept { return single && schema->kind() == value_kind::block; }
    [[nodiscard]] bool is_leaf() const noexcept { return single && schema->kind() != value_kind::block; }
    [[nodiscard]] bool is_word(std::string_view text) const noexcept;
    // Of a leaf that holds one; the reader has made sure of the type.
    template <class T>
    [[nodiscard]] const T* get() const noexcept {
        return std::get_if<T>(&value);
    }
    [[nodiscard]] std::string text() const; // of a string leaf; empty for words and for nothing
};

} // namespace evenkeel::config
