#include "proxy/wire/lenient_json.hpp"

#include "proxy/wire/characters.hpp"

#include <boost/json/parse.hpp>

#include <algorithm>
#include <array>
#include <utility>

namespace evenkeel::wire {

namespace {
namespace json = boost::json;

constexpr std::size_t escape_size = 6; // \uXXXX

// The code of the \uXXXX that `text` begins with; -1: it does not.
int escaped_code(std::string_view text) noexcept {
    if (text.size() < escape_size || text[0] != '\\' || text[1] != 'u') return -1;
    int code = 0;
    for (std::size_t i = 2; i < escape_size; ++i) {
        const int digit = hex_value(text[i]);
        if (digit < 0) return -1;
        code = code * 16 + digit;
    }
    return code;
}
constexpr bool is_high(int code) noexcept { return code >= 0xd800 && code <= 0xdbff; }
constexpr bool is_low(int code) noexcept { return code >= 0xdc00 && code <= 0xdfff; }

class mender {
public:
    mender(std::string_view text, std::size_t max_depth) : rest_(text), max_depth_(max_depth) {
        out_.reserve(text.size());
    }
    std::string run() {
        while (!rest_.empty()) step();
        return std::move(out_);
    }

private:
    void pass(std::size_t size) {
        if (depth_ <= max_depth_) out_.append(rest_, 0, size);
        rest_.remove_prefix(size);
    }
    void replace(std::size_t size, std::string_view by) {
        if (depth_ <= max_depth_) out_ += by;
        rest_.remove_prefix(size);
    }
    void step();
    void escape();

    std::string_view rest_;
    std::size_t max_depth_;
    std::size_t depth_ = 0;
    bool in_string_ = false;
    std::string out_;
};

void mender::escape() {
    const int code = escaped_code(rest_);
    if (is_high(code) && is_low(escaped_code(rest_.substr(escape_size)))) return pass(2 * escape_size);
    if (is_high(code) || is_low(code)) return replace(escape_size, "\\ufffd");
    pass(std::min<std::size_t>(rest_.size(), 2));
}

void mender::step() {
    const char c = rest_.front();
    if (in_string_) {
        if (c == '\\') return escape();
        if (c == '"') {
            in_string_ = false;
            return pass(1);
        }
        return pass(std::min(rest_.find_first_of("\"\\"), rest_.size()));
    }
    static constexpr std::array<std::string_view, 3> no_numbers{"NaN", "-Infinity", "Infinity"};
    for (const std::string_view word : no_numbers) {
        if (c == word.front() && rest_.starts_with(word)) return replace(word.size(), "null");
    }
    if (c == '{' || c == '[') {
        if (depth_ == max_depth_) out_ += "\"...\"";
        ++depth_;
    } else if ((c == '}' || c == ']') && depth_ > 0) {
        pass(1);
        --depth_;
        return;
    }
    in_string_ = c == '"';
    pass(1);
}
} // namespace

std::string mended_json(std::string_view text, std::size_t max_depth) { return mender(text, max_depth).run(); }

json::value parse_leniently(std::string_view text, std::size_t max_depth, json::storage_ptr memory,
                            json::error_code& failed) {
    text = without_mark(text);
    json::parse_options options;
    options.max_depth = max_depth;
    options.allow_invalid_utf8 = true;
    json::value parsed = json::parse({text.data(), text.size()}, failed, memory, options);
    if (!failed) return parsed;
    const std::string mended = mended_json(text, max_depth);
    if (mended == text) return parsed;
    failed = {};
    return json::parse({mended.data(), mended.size()}, failed, std::move(memory), options);
}

} // namespace evenkeel::wire
