#include "proxy/wire/retry_hint.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>

namespace evenkeel::wire {

namespace {

constexpr double longest_seconds = 400.0 * 24 * 3600; // beyond a year nobody means it

std::string_view trimmed(std::string_view text) noexcept {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
    return text;
}

// Digits with an optional fraction, nothing else: no sign, no exponent, no inf.
std::optional<double> read_number(std::string_view text) noexcept {
    text = trimmed(text);
    const bool plain = !text.empty() && text.size() < 32 && text.front() != '.' &&
                       std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || c == '.'; });
    if (!plain) return std::nullopt;
    double number = 0;
    const auto result = std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
    if (result.ec != std::errc{} || result.ptr != text.data() + text.size()) return std::nullopt;
    return number;
}

std::optional<duration> of_seconds(double seconds) noexcept {
    if (!(seconds >= 0) || seconds > longest_seconds) return std::nullopt;
    return duration{std::llround(seconds * 1e9)};
}

std::optional<duration> read_seconds(std::string_view text, double scale = 1) noexcept {
    const auto number = read_number(text);
    return number ? of_seconds(*number * scale) : std::nullopt;
}

// "1s", "6m0s", "120ms", "1h2m3.5s", or plain seconds (the reset fields of OpenAI and those who copy it).
std::optional<duration> read_units(std::string_view text) noexcept {
    text = trimmed(text);
    if (const auto plain = read_seconds(text)) return plain;
    double total = 0;
    while (!text.empty()) {
        const auto end = text.find_first_not_of("0123456789.");
        if (end == 0 || end == std::string_view::npos) return std::nullopt;
        const auto number = read_number(text.substr(0, end));
        if (!number) return std::nullopt;
        text.remove_prefix(end);
        struct unit {
            std::string_view name;
            double seconds;
        };
        static constexpr std::array<unit, 5> units{{{"ms", 1e-3}, {"d", 86400}, {"h", 3600}, {"m", 60}, {"s", 1}}};
        const auto found =
            std::find_if(units.begin(), units.end(), [&](const unit& one) { return text.starts_with(one.name); });
        if (found == units.end()) return std::nullopt;
        total += *number * found->seconds;
        text.remove_prefix(found->name.size());
    }
    return of_seconds(total);
}

// A position in a text that is read from left to right; any mismatch makes it fail for good.
class cursor {
public:
    explicit cursor(std::string_view text) noexcept : rest_(text) {}
    bool is(std::string_view literal) noexcept {
        if (!good_ || !rest_.starts_with(literal)) return good_ = false;
        rest_.remove_prefix(literal.size());
        return true;
    }
    int number(std::size_t digits) noexcept {
        if (!good_ || rest_.size() < digits) return good_ = false, 0;
        int value = 0;
        for (std::size_t i = 0; i < digits; ++i) {
            if (rest_[i] < '0' || rest_[i] > '9') return good_ = false, 0;
            value = value * 10 + (rest_[i] - '0');
        }
        rest_.remove_prefix(digits);
        return value;
    }
    int padded_day() noexcept { // of asctime: " 6" or "16"
        if (good_ && rest_.starts_with(' ')) {
            rest_.remove_prefix(1);
            return number(1);
        }
        return number(2);
    }
    template <std::size_t n>
    int one_of(const std::array<std::string_view, n>& words) noexcept {
        for (std::size_t i = 0; good_ && i < n; ++i) {
            if (rest_.starts_with(words[i])) {
                rest_.remove_prefix(words[i].size());
                return static_cast<int>(i);
            }
        }
        return good_ = false, 0;
    }
    [[nodiscard]] bool starts_with(char c) const noexcept { return rest_.starts_with(c); }
    [[nodiscard]] std::string_view rest() const noexcept { return rest_; }
    void skip(std::size_t count) noexcept { rest_.remove_prefix(std::min(count, rest_.size())); }
    [[nodiscard]] bool done() const noexcept { return good_ && rest_.empty(); }
    [[nodiscard]] bool good() const noexcept { return good_; }

private:
    std::string_view rest_;
    bool good_ = true;
};

constexpr std::array<std::string_view, 12> months{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                  "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
constexpr std::array<std::string_view, 7> long_days{"Sunday",   "Monday", "Tuesday", "Wednesday",
                                                    "Thursday", "Friday", "Saturday"};
constexpr std::array<std::string_view, 7> days{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};

std::optional<wall_time> moment(int year, int month, int day, int hour, int minute, int second) noexcept {
    const std::chrono::year_month_day date{std::chrono::year{year}, std::chrono::month{static_cast<unsigned>(month)},
                                           std::chrono::day{static_cast<unsigned>(day)}};
    if (!date.ok() || hour > 23 || minute > 59 || second > 60 || year < 1970 || year > 2200) return std::nullopt;
    return wall_time{std::chrono::sys_days{date}.time_since_epoch() + std::chrono::hours{hour} +
                     std::chrono::minutes{minute} + std::chrono::seconds{second}};
}

// RFC 3339, in UTC or with an offset (Anthropic's reset fields).
std::optional<wall_time> read_rfc3339(std::string_view text) noexcept {
    cursor at(trimmed(text));
    const int year = at.number(4);
    at.is("-");
    const int month = at.number(2);
    at.is("-");
    const int day = at.number(2);
    if (!at.good() || !(at.starts_with('T') || at.starts_with('t') || at.starts_with(' '))) return std::nullopt;
    at.skip(1);
    const int hour = at.number(2);
    at.is(":");
    const int minute = at.number(2);
    at.is(":");
    const int second = at.number(2);
    if (at.starts_with('.')) at.skip(std::min(at.rest().find_first_not_of("0123456789", 1), at.rest().size()));
    std::chrono::minutes offset{0};
    if (at.starts_with('Z') || at.starts_with('z')) {
        at.skip(1);
    } else {
        const int sign = at.starts_with('-') ? -1 : 1;
        if (!at.starts_with('-') && !at.starts_with('+')) return std::nullopt;
        at.skip(1);
        const int hours = at.number(2);
        at.is(":");
        offset = sign * std::chrono::minutes{hours * 60 + at.number(2)};
    }
    if (!at.done()) return std::nullopt;
    const auto local = moment(year, month, day, hour, minute, second);
    return local ? std::optional{*local - offset} : std::nullopt;
}

std::optional<duration> until(std::optional<wall_time> when, wall_time now) noexcept {
    if (!when) return std::nullopt;
    const duration left = std::max(duration{*when - now}, duration::zero());
    return of_seconds(in_seconds(left));
}

std::string_view value_of(const response_head& head, std::string_view name) noexcept {
    const field* found = head.find(name);
    return found != nullptr ? found->value : std::string_view{};
}

// The limits that are used up say when they are full again; the last of them counts.
std::optional<duration> reset_hint(const response_head& head, wall_time now) noexcept {
    struct limit {
        std::string_view remaining, reset;
        bool dated;
    };
    static constexpr std::array<limit, 6> limits{{
        {"x-ratelimit-remaining-requests", "x-ratelimit-reset-requests", false},
        {"x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens", false},
        {"anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset", true},
        {"anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset", true},
        {"anthropic-ratelimit-input-tokens-remaining", "anthropic-ratelimit-input-tokens-reset", true},
        {"anthropic-ratelimit-output-tokens-remaining", "anthropic-ratelimit-output-tokens-reset", true},
    }};
    std::optional<duration> longest;
    for (const limit& one : limits) {
        if (trimmed(value_of(head, one.remaining)) != "0") continue;
        const std::string_view text = value_of(head, one.reset);
        const auto wait = one.dated ? until(read_rfc3339(text), now) : read_units(text);
        if (wait && (!longest || *wait > *longest)) longest = wait;
    }
    return longest;
}

} // namespace

std::optional<wall_time> parse_http_date(std::string_view text) noexcept {
    text = trimmed(text);
    if (cursor at(text); at.one_of(days), at.is(", ")) { // IMF-fixdate: Sun, 06 Nov 1994 08:49:37 GMT
        const int day = at.number(2);
        at.is(" ");
        const int month = at.one_of(months) + 1;
        at.is(" ");
        const int year = at.number(4);
        at.is(" ");
        const int hour = at.number(2);
        at.is(":");
        const int minute = at.number(2);
        at.is(":");
        const int second = at.number(2);
        at.is(" GMT");
        return at.done() ? moment(year, month, day, hour, minute, second) : std::nullopt;
    }
    if (cursor at(text); at.one_of(long_days), at.is(", ")) { // RFC 850: Sunday, 06-Nov-94 08:49:37 GMT
        const int day = at.number(2);
        at.is("-");
        const int month = at.one_of(months) + 1;
        at.is("-");
        const int year = at.number(2);
        at.is(" ");
        const int hour = at.number(2);
        at.is(":");
        const int minute = at.number(2);
        at.is(":");
        const int second = at.number(2);
        at.is(" GMT");
        // Two digits: of this century, unless that lies far ahead (RFC 9110 5.6.7).
        return at.done() ? moment(year + (year >= 70 ? 1900 : 2000), month, day, hour, minute, second) : std::nullopt;
    }
    cursor at(text); // asctime: Sun Nov  6 08:49:37 1994
    at.one_of(days);
    at.is(" ");
    const int month = at.one_of(months) + 1;
    at.is(" ");
    const int day = at.padded_day();
    at.is(" ");
    const int hour = at.number(2);
    at.is(":");
    const int minute = at.number(2);
    at.is(":");
    const int second = at.number(2);
    at.is(" ");
    const int year = at.number(4);
    return at.done() ? moment(year, month, day, hour, minute, second) : std::nullopt;
}

std::optional<duration> parse_reset(std::string_view text, wall_time now) noexcept {
    if (const auto wait = read_units(text)) return wait;
    return until(read_rfc3339(text), now);
}

std::optional<duration> parse_seconds(std::string_view text) noexcept {
    const auto seconds = read_seconds(text);
    return seconds && *seconds > duration::zero() ? seconds : std::nullopt;
}

std::optional<bool> should_retry(const response_head& head) noexcept {
    const field* said = head.find(field_id::x_should_retry);
    if (said == nullptr) return std::nullopt;
    if (said->value == "true") return true;
    if (said->value == "false") return false;
    return std::nullopt;
}

std::optional<duration> retry_hint(const response_head& head, const error_facts& error, wall_time local_now) {
    // The answer's own clock measures the answer's own dates.
    const field* date = head.find(field_id::date);
    const wall_time now = date != nullptr ? parse_http_date(date->value).value_or(local_now) : local_now;
    for (const std::string_view name : {"retry-after-ms", "x-ms-retry-after-ms"}) {
        if (const auto wait = read_seconds(value_of(head, name), 1e-3)) return wait;
    }
    if (const field* after = head.find(field_id::retry_after)) {
        if (const auto wait = read_seconds(after->value)) return wait;
        if (const auto wait = until(parse_http_date(after->value), now)) return wait;
    }
    if (error.retry_delay) return error.retry_delay;
    return reset_hint(head, now);
}

} // namespace evenkeel::wire
