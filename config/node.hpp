#pragma once
// What the parser hands to the reader: the file's structure with the place of everything, and no YAML library in sight.

#include "config/source_text.hpp"

#include <string>
#include <vector>

namespace evenkeel::config {

enum class node_kind : unsigned char { null, scalar, sequence, mapping };

struct node {
    node_kind kind = node_kind::null;
    std::string text; // of a scalar, unquoted and unescaped
    bool quoted = false;
    span at;            // of the value; of a collection only its first character
    bool exact = false; // whether `at` is the whole scalar; not where it runs over several lines or follows a tag
    span extent;        // the whole scalar, rather too much than too little: what has to be hidden if it is a secret
    std::string key;    // of a member of a mapping
    span key_at;
    std::vector<node> children; // members or items, in file order
};

[[nodiscard]] constexpr const char* describe(node_kind kind) noexcept {
    switch (kind) {
    case node_kind::null: return "nothing";
    case node_kind::scalar: return "a single value";
    case node_kind::sequence: return "a list";
    case node_kind::mapping: return "a mapping";
    }
    return "";
}

} // namespace evenkeel::config
