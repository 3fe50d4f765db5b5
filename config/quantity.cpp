// Numbers with and without units. Strict on purpose: a factor of 1000 hides in every number without a unit.

#include "config/value.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <limits>

namespace evenkeel::config {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::size_t digits_at(std::string_view text, std::size_t at) {
    std::size_t n = 0;
    while (at + n < text.size() && is_digit(text[at + n])) ++n;
    return n;
}

bool is_plain_number(std::string_view text) {
    const std::size_t whole = digits_at(text, 0);
    if (whole == 0) return false;
    if (whole == text.size()) return true;
    if (text[whole] != '.') return false;
    const std::size_t fraction = digits_at(text, whole + 1);
    return fraction > 0 && whole + 1 + fraction == text.size();
}

struct unit {
    std::string_view name;
    std::int64_t nanoseconds;
};
// Longer names first, so that `ms` is not read as `m`.
constexpr std::array<unit, 5> time_units{
    {{"us", 1'000}, {"ms", 1'000'000}, {"s", 1'000'000'000}, {"m", 60'000'000'000}, {"h", 3'600'000'000'000}}};

struct size_unit {
    std::string_view name;
    std::uint64_t bytes;
};
constexpr std::array<size_unit, 5> size_units{{{"KiB", std::uint64_t{1} << 10U},
                                               {"MiB", std::uint64_t{1} << 20U},
                                               {"GiB", std::uint64_t{1} << 30U},
                                               {"TiB", std::uint64_t{1} << 40U},
                                               {"B", 1}}};

failure bad_duration(std::string_view text) {
    if (is_plain_number(text) && text.size() <= 12) {
        return {"bad-duration", fmt::format("a duration needs a unit: did you mean {0}ms or {0}s?", text)};
    }
    return {"bad-duration", "a duration is written like 250ms, 1.5s or 1m30s (units: us, ms, s, m, h)"};
}

} // namespace

std::variant<duration, failure> read_duration(std::string_view text) {
    if (text.empty() || text.size() > 64) return bad_duration(text.substr(0, 12));
    std::int64_t total = 0;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t whole = digits_at(text, at);
        if (whole == 0) return bad_duration(text);
        std::int64_t count = 0;
        const auto parsed = std::from_chars(text.data() + at, text.data() + at + whole, count);
        at += whole;
        std::string_view fraction;
        if (at < text.size() && text[at] == '.') {
            const std::size_t n = digits_at(text, at + 1);
            if (n == 0 || n > 9) return bad_duration(text);
            fraction = text.substr(at + 1, n);
            at += 1 + n;
        }
        const unit* found = nullptr;
        for (const unit& each : time_units) {
            if (text.substr(at, each.name.size()) != each.name) continue;
            found = &each;
            break;
        }
        if (found == nullptr) return bad_duration(text);
        at += found->name.size();

        // Whole units and the fraction are scaled apart: together they would not fit 64 bits exactly.
        std::int64_t scaled = 0;
        std::int64_t part = 0;
        if (!fraction.empty()) {
            std::int64_t numerator = 0;
            std::from_chars(fraction.data(), fraction.data() + fraction.size(), numerator);
            const double share = static_cast<double>(numerator) / std::pow(10.0, static_cast<double>(fraction.size()));
            part = std::llround(share * static_cast<double>(found->nanoseconds));
        }
        if (parsed.ec != std::errc{} || __builtin_mul_overflow(count, found->nanoseconds, &scaled) ||
            __builtin_add_overflow(total, scaled, &total) || __builtin_add_overflow(total, part, &total)) {
            return failure{"bad-duration", "this duration is too long to be meant"};
        }
    }
    return duration{total};
}

std::variant<bytes, failure> read_size(std::string_view text) {
    const std::size_t digits = digits_at(text, 0);
    const std::string_view suffix = text.substr(digits);
    const failure grammar{"bad-size", "a size is written like 64KiB, 2MiB or 512B (units: B, KiB, MiB, GiB, TiB)"};
    if (digits == 0 || digits > 19) return grammar;
    const std::string_view number = text.substr(0, digits);
    if (suffix.empty())
        return failure{"bad-size", fmt::format("a size needs a unit: did you mean {0}B or {0}KiB?", number)};
    for (const size_unit& each : size_units) {
        if (suffix != each.name) continue;
        std::uint64_t count = 0;
        const auto parsed = std::from_chars(number.data(), number.data() + number.size(), count);
        std::uint64_t scaled = 0;
        if (parsed.ec != std::errc{} || __builtin_mul_overflow(count, each.bytes, &scaled)) {
            return failure{"bad-size", "this size is too large to be meant"};
        }
        return bytes{scaled};
    }
    const char first = suffix.front();
    const char* const near = first == 'k' || first == 'K'   ? "KiB"
                             : first == 'm' || first == 'M' ? "MiB"
                             : first == 'g' || first == 'G' ? "GiB"
                                                            : nullptr;
    if (near != nullptr && suffix.size() <= 3) {
        return failure{"bad-size", fmt::format("sizes use binary units: did you mean {}{}?", number, near)};
    }
    return grammar;
}

std::variant<per_minute, failure> read_rate(std::string_view text) {
    constexpr std::string_view unit = "/min";
    const failure grammar{"bad-rate", "a rate is written like 600/min"};
    if (!text.ends_with(unit)) return grammar;
    const auto count = read_integer(text.substr(0, text.size() - unit.size()));
    if (std::holds_alternative<failure>(count)) return grammar;
    return per_minute{std::get<std::int64_t>(count)};
}

std::variant<std::int64_t, failure> read_integer(std::string_view text) {
    const bool negative = !text.empty() && text.front() == '-';
    const std::string_view digits = text.substr(negative ? 1 : 0);
    const failure grammar{"bad-integer", "this must be a whole number in decimal digits"};
    if (digits.empty() || digits_at(digits, 0) != digits.size()) return grammar;
    if (digits.size() > 1 && digits.front() == '0') {
        return failure{"bad-integer", "a whole number has no leading zero (octal numbers are not read)"};
    }
    std::int64_t out = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), out);
    if (parsed.ec != std::errc{}) return failure{"bad-integer", "this number is too large to be meant"};
    return out;
}

std::variant<double, failure> read_number(std::string_view text) {
    if (!text.empty() && text.back() == '%') {
        return failure{"bad-number", "shares are written 0 to 1, never in percent: 20% is 0.2"};
    }
    if (!is_plain_number(text) || text.size() > 32) return failure{"bad-number", "this must be a number like 0.2"};
    double out = 0;
    std::from_chars(text.data(), text.data() + text.size(), out);
    return out;
}

std::string format_duration(duration value) {
    std::int64_t rest = value.count();
    if (rest <= 0) return "0s";
    std::string out;
    const auto take = [&](std::int64_t unit_ns, std::string_view name) {
        if (rest / unit_ns == 0) return;
        out += std::to_string(rest / unit_ns);
        out += name;
        rest %= unit_ns;
    };
    take(3'600'000'000'000, "h");
    take(60'000'000'000, "m");
    take(1'000'000'000, "s");
    take(1'000'000, "ms");
    take(1'000, "us");
    if (rest > 0) out += fmt::format("0.{:03}us", rest);
    return out;
}

std::string format_size(bytes value) {
    for (std::size_t i = 4; i-- > 0;) {
        const size_unit& each = size_units[i];
        if (value.count >= each.bytes && value.count % each.bytes == 0) {
            return std::to_string(value.count / each.bytes) + std::string(each.name);
        }
    }
    return std::to_string(value.count) + "B";
}

} // namespace evenkeel::config
