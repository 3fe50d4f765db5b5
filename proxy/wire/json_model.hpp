#pragma once
// Finds the two members of a request body that routing needs, `model` and `stream`, and where `model` stands, so that
// a rename changes these bytes and no others: parsing and printing the body anew would touch numbers, order and
// spacing, and defeat the upstream's prompt cache. Boost.JSON's parser reports no byte positions, hence a scanner of
// our own; the tests and a fuzzer hold it against Boost.JSON.

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace evenkeel::wire {

// Nesting beyond this is treated as no JSON. (chosen: a tool schema nests two levels per property, real ones stay below
// 40)
inline constexpr int json_max_depth = 128;

struct json_members {
    bool is_object = false;       // the body is one well-formed JSON object; everything else is empty if not
    bool has_model = false;       // `model` is there and is a string; of several the last one counts
    std::string model;            // decoded
    std::size_t model_offset = 0; // of the string in the body, from its opening quote
    std::size_t model_size = 0;   // to its closing quote, in bytes
    std::optional<bool> stream;   // the last one, if it is true or false
};

// Checks the whole body: an object that breaks off or goes on behind its end is no object. UTF-8 is checked, lone
// surrogates written as escapes are let through (Python's json.dumps emits them) and read as U+FFFD in the model.
[[nodiscard]] json_members find_members(std::string_view body);

// `text` as a JSON string, with its quotes: another model's name in the place of model_size bytes at model_offset.
[[nodiscard]] std::string json_string(std::string_view text);

// Of a body that is looked into; real ones have up to about 40.
inline constexpr std::size_t most_members = 1000;

// The members of the outermost object in their order, each with the bytes of its value as they stand; empty if `body`
// is no well-formed object or has more than `most` members.
struct json_member {
    std::string name;       // decoded
    std::string_view value; // within the body, without the blanks around it
};
[[nodiscard]] std::vector<json_member> list_members(std::string_view body, std::size_t most);

// Those whose name `wanted` says. What list_members() does not take is read as a lenient server would read it: `NaN`,
// bytes that are no UTF-8, any depth and number, and something behind the object.
[[nodiscard]] std::vector<json_member> pick_members(std::string_view body, std::size_t most,
                                                    const std::function<bool(std::string_view name)>& wanted);

// The object without those members whose name `drops` says, read likewise, as pieces of it in their order. Empty: none
// is dropped.
[[nodiscard]] std::vector<std::string_view> without_members(std::string_view body, std::size_t most,
                                                            const std::function<bool(std::string_view name)>& drops);

// The values of an array in their order, likewise; empty optional: it is none, or has more than `most`.
[[nodiscard]] std::optional<std::vector<std::string_view>> list_values(std::string_view array, std::size_t most);

// What the inside of a well-formed JSON string says; lone surrogates are read as U+FFFD.
[[nodiscard]] std::string unescape_json(std::string_view inside);

// Whether `text` is one well-formed JSON value of any kind, by the same rules; nesting beyond json_max_depth is none.
[[nodiscard]] bool is_json(std::string_view text) noexcept;
[[nodiscard]] bool is_utf8(std::string_view text) noexcept;

// Appends `text` as the inside of a JSON string, without quotes. Invalid UTF-8 becomes U+FFFD, so that the result is
// JSON whatever a peer sent.
void append_json_escaped(std::string& out, std::string_view text);

// The same for what people read in a terminal, which is read line by line besides: all controls (C0, DEL, C1) become
// \u00xx and a byte that is no UTF-8 \ufffd. At most `max_json_escape` bytes for each of text; the end of them.
inline constexpr std::size_t max_json_escape = 6;
char* write_json_escaped(char* out, std::string_view text) noexcept;

} // namespace evenkeel::wire
