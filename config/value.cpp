#include "config/value.hpp"

#include "config/credentials.hpp"
#include "config/grammar.hpp"
#include "config/network.hpp"
#include "config/suggest.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace evenkeel::config {
namespace {

std::string list_words(const std::vector<std::string_view>& words) {
    std::string out;
    for (std::size_t i = 0; i < words.size(); ++i) {
        if (i > 0) out += i + 1 == words.size() ? " or " : ", ";
        out += words[i];
    }
    return out;
}

// Compares in the kind's own unit; the bounds are written like values.
template <class T, class Read>
std::string out_of_range(const key_row& row, const T& value, Read read) {
    const bool low = !row.min.empty() && value < std::get<T>(read(row.min));
    const bool high = !row.max.empty() && value > std::get<T>(read(row.max));
    if (!low && !high) return "";
    if (row.max.empty()) return fmt::format("must be at least {}", row.min);
    return fmt::format("must be from {} to {}", row.min, row.max);
}

template <class T, class Read>
leaf_or_failure quantity(const key_row& row, std::string_view text, Read read) {
    const auto parsed = read(text);
    if (const auto* wrong = std::get_if<failure>(&parsed)) return *wrong;
    const T value = std::get<T>(parsed);
    if (const std::string wrong = out_of_range(row, value, read); !wrong.empty()) return failure{"out-of-range", wrong};
    return leaf{value};
}

failure bad_word(const std::vector<std::string_view>& words, const std::string& text, bool echo) {
    std::string message = "must be " + list_words(words);
    const auto near = echo ? nearest(text, words) : std::nullopt;
    const auto insensitive = echo ? std::find_if(words.begin(), words.end(),
                                                 [&](std::string_view w) { return lower_case(w) == lower_case(text); })
                                  : words.end();
    if (insensitive != words.end())
        message += fmt::format(" (did you mean '{}'?)", *insensitive);
    else if (near)
        message += fmt::format(" (did you mean '{}'?)", *near);
    return {"bad-word", std::move(message)};
}

// Below the median half of all attempts would be doubled; beyond p99.9 nothing can be learned in a minute.
bool is_quantile(std::string_view text) {
    if (text == "p99.9") return true;
    return text.size() == 3 && text[0] == 'p' && text[1] >= '5' && text[1] <= '9' && text[2] >= '0' && text[2] <= '9';
}

failure bad_boolean(std::string_view text) {
    constexpr std::string_view yes[] = {"yes", "on", "y", "True", "TRUE", "Yes", "On", "ON", "YES"};
    constexpr std::string_view no[] = {"no", "off", "n", "False", "FALSE", "No", "Off", "OFF", "NO"};
    if (std::find(std::begin(yes), std::end(yes), text) != std::end(yes))
        return {"bad-boolean", "must be true or false; write true"};
    if (std::find(std::begin(no), std::end(no), text) != std::end(no))
        return {"bad-boolean", "must be true or false; write false"};
    return {"bad-boolean", "must be true or false"};
}

} // namespace

std::string check_text(value_kind kind, std::string_view text) {
    switch (kind) {
    case value_kind::name: return check_name(text);
    case value_kind::host: return check_host(text);
    case value_kind::path: return check_path(text);
    case value_kind::header_name: return check_header_name(text);
    case value_kind::header_value: return check_header_value(text);
    case value_kind::token: return check_token(text);
    case value_kind::tenant: return check_tenant(text);
    default: return check_plain_text(text);
    }
}

leaf_or_failure read_leaf(const key_row& row, const std::string& text, written how) {
    const bool echo = !how.secret && !how.expanded;
    std::vector<std::string_view> words = split_words(row.words);
    if (std::find(words.begin(), words.end(), text) != words.end()) return leaf{word{text}};
    const bool plain_only =
        row.kind == value_kind::boolean || row.kind == value_kind::integer || row.kind == value_kind::ratio;
    if (plain_only && how.quoted && !how.expanded) return failure{"wrong-type", "must be written without quotes"};
    const auto either = [&](leaf_or_failure result) -> leaf_or_failure {
        auto* wrong = std::get_if<failure>(&result);
        if (wrong != nullptr && !words.empty()) wrong->message += " (or " + list_words(words) + ")";
        return result;
    };
    switch (row.kind) {
    case value_kind::boolean:
        if (text == "true") return leaf{true};
        if (text == "false") return leaf{false};
        return echo ? bad_boolean(text) : bad_boolean("");
    case value_kind::word: return bad_word(words, text, echo);
    case value_kind::integer: return either(quantity<std::int64_t>(row, text, read_integer));
    case value_kind::ratio: return either(quantity<double>(row, text, read_number));
    case value_kind::duration: {
        auto result = either(quantity<duration>(row, text, read_duration));
        auto* wrong = std::get_if<failure>(&result);
        // The advice for a number without unit repeats the number, which must not happen to what came from outside.
        if (wrong != nullptr && !echo && wrong->code == "bad-duration")
            wrong->message = "this is not a duration like 250ms or 1m30s";
        return result;
    }
    case value_kind::delay: {
        if (is_quantile(text)) return leaf{word{text}};
        auto result = quantity<duration>(row, text, read_duration);
        auto* wrong = std::get_if<failure>(&result);
        if (wrong != nullptr && !echo && wrong->code == "bad-duration")
            wrong->message = "this is not a duration like 250ms";
        if (wrong != nullptr) wrong->message += " (or " + list_words(words) + ", or a quantile: p50 to p99, p99.9)";
        return result;
    }
    case value_kind::size: {
        auto result = either(quantity<bytes>(row, text, read_size));
        auto* wrong = std::get_if<failure>(&result);
        if (wrong != nullptr && !echo && wrong->code == "bad-size") wrong->message = "this is not a size like 64KiB";
        return result;
    }
    case value_kind::rate: return either(quantity<per_minute>(row, text, read_rate));
    default: break;
    }
    if (text.empty()) {
        if (row.can_be_empty) return leaf{text};
        return failure{"empty-value", "cannot be empty"};
    }
    if (row.kind == value_kind::address) {
        const auto parsed = read_address(text);
        if (const auto* wrong = std::get_if<bad_network_text>(&parsed)) return failure{"bad-address", wrong->message};
        return leaf{text};
    }
    if (row.kind == value_kind::url) {
        const auto parsed = read_url(text, row.path != "upstreams.proxy");
        if (const auto* wrong = std::get_if<bad_network_text>(&parsed)) {
            return failure{wrong->may_hold_secret ? "bad-url-hidden" : "bad-url", wrong->message};
        }
        return leaf{text};
    }
    if (row.kind == value_kind::credential) {
        const auto where = row.path == "credential_query"  ? credential_place::query
                           : row.path == "credential_body" ? credential_place::body
                                                           : credential_place::field;
        if (const std::string wrong = check_credential_pattern(where, text); !wrong.empty())
            return failure{"bad-credential-name", wrong};
        return leaf{text};
    }
    const std::string wrong = check_text(row.kind, text);
    if (wrong.empty()) return leaf{text};
    switch (row.kind) {
    case value_kind::name: return failure{"bad-name", wrong};
    case value_kind::path: return failure{"bad-path", wrong};
    case value_kind::header_name: return failure{"bad-header-name", wrong};
    case value_kind::header_value: return failure{"bad-header-value", wrong};
    case value_kind::tenant: return failure{"bad-tenant", wrong};
    default: return failure{"bad-text", wrong};
    }
}

std::string format_leaf(const leaf& value) {
    struct printer {
        std::string operator()(std::monostate) const { return ""; }
        std::string operator()(bool b) const { return b ? "true" : "false"; }
        std::string operator()(std::int64_t n) const { return std::to_string(n); }
        std::string operator()(double d) const { return fmt::format("{}", d); }
        std::string operator()(duration d) const { return format_duration(d); }
        std::string operator()(bytes b) const { return format_size(b); }
        std::string operator()(per_minute r) const { return std::to_string(r.count) + "/min"; }
        std::string operator()(const word& w) const { return w.text; }
        std::string operator()(const std::string& s) const { return s; }
    };
    return std::visit(printer{}, value);
}

} // namespace evenkeel::config
