#include "proxy/wire/rate_limits.hpp"

#include "proxy/wire/characters.hpp"
#include "proxy/wire/retry_hint.hpp"

#include <array>
#include <charconv>
#include <optional>
#include <string_view>

namespace evenkeel::wire {

namespace {
// The number that a text begins with; Azure's -1 is none.
std::optional<double> leading_number(std::string_view text) noexcept {
    if (text.empty() || text.front() < '0' || text.front() > '9') return std::nullopt;
    double number = 0;
    const auto read = std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
    if (read.ec != std::errc{}) return std::nullopt;
    return number;
}

enum class about : unsigned char { limit, remaining, reset };
std::optional<about> about_of(std::string_view word) noexcept {
    if (iequals(word, "limit")) return about::limit;
    if (iequals(word, "remaining")) return about::remaining;
    if (iequals(word, "reset")) return about::reset;
    return std::nullopt;
}
std::optional<quota_unit> unit_of(std::string_view word) noexcept {
    if (iequals(word, "requests")) return quota_unit::requests;
    if (iequals(word, "tokens")) return quota_unit::tokens;
    if (iequals(word, "input-tokens")) return quota_unit::input_tokens;
    if (iequals(word, "output-tokens")) return quota_unit::output_tokens;
    return std::nullopt;
}

void put(quota_field& into, about what, std::string_view value, wall_time now) noexcept {
    switch (what) {
    case about::limit: into.limit = leading_number(value); break;
    case about::remaining: into.remaining = leading_number(value); break;
    case about::reset: into.reset = parse_reset(value, now); break;
    }
}

std::optional<duration> in_whole_seconds(std::string_view value) noexcept {
    const auto seconds = leading_number(value);
    return seconds && *seconds < 1e8 ? std::optional{scaled(std::chrono::seconds{1}, *seconds)} : std::nullopt;
}

// `"default";r=50;t=30`, `"default";q=100;w=60` and `limit=100, remaining=50, reset=30`: of several policies the first.
void put_parameters(quota_field& into, std::string_view value) noexcept {
    std::size_t policies = 0;
    while (!value.empty()) {
        const std::size_t end = value.find_first_of(";,");
        std::string_view part = value.substr(0, end);
        value.remove_prefix(end == std::string_view::npos ? value.size() : end + 1);
        while (!part.empty() && part.front() == ' ') part.remove_prefix(1);
        const std::size_t equals = part.find('=');
        if (equals == std::string_view::npos) {
            if (++policies > 1) return;
            continue;
        }
        const std::string_view name = part.substr(0, equals), said = part.substr(equals + 1);
        if (name == "q" || name == "limit")
            into.limit = leading_number(said);
        else if (name == "r" || name == "remaining")
            into.remaining = leading_number(said);
        else if (name == "t" || name == "reset")
            into.reset = in_whole_seconds(said);
        else if (name == "w")
            into.window = in_whole_seconds(said);
    }
}
} // namespace

quota_fields read_rate_limits(const response_head& head, wall_time local_now) noexcept {
    constexpr std::string_view common = "x-ratelimit-", anthropic = "anthropic-ratelimit-", ietf = "ratelimit";
    quota_fields all;
    const field* const date = head.find(field_id::date);
    std::optional<wall_time> read_now; // the answer's own clock measures its own dates
    const auto now = [&] {
        if (!read_now) read_now = date != nullptr ? parse_http_date(date->value).value_or(local_now) : local_now;
        return *read_now;
    };
    for (const field& one : head.fields) {
        if (one.id != field_id::other) continue;
        if (istarts_with(one.name, common)) {
            const std::string_view rest = one.name.substr(common.size());
            const std::size_t border = rest.find('-');
            if (border == std::string_view::npos) continue;
            const auto what = about_of(rest.substr(0, border));
            const auto unit = unit_of(rest.substr(border + 1));
            if (what && unit) put(all.at(*unit), *what, one.value, local_now);
        } else if (istarts_with(one.name, anthropic)) {
            const std::string_view rest = one.name.substr(anthropic.size());
            const std::size_t border = rest.rfind('-');
            if (border == std::string_view::npos) continue;
            const auto what = about_of(rest.substr(border + 1));
            const auto unit = unit_of(rest.substr(0, border));
            if (what && unit) put(all.at(*unit), *what, one.value, *what == about::reset ? now() : local_now);
        } else if (istarts_with(one.name, ietf)) {
            const std::string_view rest = one.name.substr(ietf.size());
            quota_field& requests = all.at(quota_unit::requests);
            if (rest.empty() || iequals(rest, "-policy"))
                put_parameters(requests, one.value);
            else if (const auto what = about_of(rest.substr(1)); rest.front() == '-' && what)
                put(requests, *what, one.value, local_now);
        }
    }
    return all;
}

} // namespace evenkeel::wire
