#include "proxy/simulate/trace.hpp"

#include "proxy/model/traffic.hpp"

#include <boost/json/monotonic_resource.hpp>
#include <boost/json/parse.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cmath>
#include <istream>
#include <optional>
#include <string_view>

namespace evenkeel::simulate {

using namespace model;

namespace {

namespace json = boost::json;

constexpr double usual_failure = 0.4; // seconds until an error answer
constexpr double silence_from = 10;   // seconds without a byte: a client that leaves then was not answered
constexpr double longest = 24 * 3600; // seconds, of a duration
constexpr double most_attempts = 1000;

// Calls `take` with each line, without its end; one that is too long comes as nothing but its first bytes.
template <class Take>
void for_each_line(std::istream& in, Take take) {
    std::array<char, 16 * 1024> block;
    std::string line;
    bool too_long = false;
    const auto end_line = [&] {
        if (!line.empty()) take(std::string_view{line}, too_long);
        line.clear();
        too_long = false;
    };
    while (in.read(block.data(), block.size()), in.gcount() > 0) {
        std::string_view rest(block.data(), static_cast<std::size_t>(in.gcount()));
        while (!rest.empty()) {
            const auto end = rest.find('\n');
            const auto piece = rest.substr(0, end);
            too_long = too_long || line.size() + piece.size() > max_trace_line;
            if (!too_long) line += piece;
            if (end == std::string_view::npos) break;
            end_line();
            rest.remove_prefix(end + 1);
        }
    }
    end_line();
}

// 2026-11-23T10:19:35.123Z, in seconds since 1970; 100 years are told apart.
std::optional<double> parse_time(std::string_view text) {
    const auto number = [&](std::size_t at, std::size_t digits) {
        int value = -1;
        const auto [end, error] = std::from_chars(text.data() + at, text.data() + at + digits, value);
        return error == std::errc{} && end == text.data() + at + digits ? value : -1;
    };
    if (text.size() != 24 || text[4] != '-' || text[7] != '-' || text[10] != 'T' || text[13] != ':' ||
        text[16] != ':' || text[19] != '.' || text[23] != 'Z') {
        return std::nullopt;
    }
    const int year = number(0, 4), month = number(5, 2), day = number(8, 2);
    const int hour = number(11, 2), minute = number(14, 2), second = number(17, 2), milli = number(20, 3);
    const std::chrono::year_month_day date{std::chrono::year{year}, std::chrono::month{static_cast<unsigned>(month)},
                                           std::chrono::day{static_cast<unsigned>(day)}};
    if (year < 2020 || year >= 2120 || !date.ok() || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 ||
        second > 60 || milli < 0) {
        return std::nullopt;
    }
    const auto days = std::chrono::sys_days{date}.time_since_epoch().count();
    return static_cast<double>(days) * 86400 + hour * 3600 + minute * 60 + second + milli / 1000.0;
}

std::string_view text_at(const json::object& in, std::string_view name) {
    const json::value* found = in.if_contains(name);
    const json::string* text = found != nullptr ? found->if_string() : nullptr;
    return text != nullptr ? std::string_view{text->data(), text->size()} : std::string_view{};
}

// Within 0 and `most`.
std::optional<double> number_at(const json::object& in, std::string_view name, double most) {
    const json::value* found = in.if_contains(name);
    if (found == nullptr || !found->is_number()) return std::nullopt;
    const double value = found->to_number<double>();
    if (!std::isfinite(value) || value < 0 || value > most) return std::nullopt;
    return value;
}

bool names_a_timeout(std::string_view token) { return token.find("timeout") != std::string_view::npos; }

// How a good answer came about (request_ending).
bool is_answer(std::string_view outcome) {
    static constexpr std::array<std::string_view, 6> words{"ok",     "rerouted",    "retried",
                                                           "hedged", "failed_over", "degraded"};
    return std::find(words.begin(), words.end(), outcome) != words.end();
}

enum class reading : unsigned char { junk, left_out, good };

reading read_entry(const json::object& line, trace_entry& out) {
    using end = trace_entry::end;
    const auto at = parse_time(text_at(line, "ts"));
    const auto status = number_at(line, "status", 999);
    const auto attempts = number_at(line, "attempts", most_attempts);
    const auto duration = number_at(line, "duration_s", longest);
    const std::string_view outcome = text_at(line, "outcome");
    if (!at || !status || !attempts || !duration) return reading::junk;
    const json::value* stream = line.if_contains("stream");
    out.due = *at;
    out.stream = stream != nullptr && stream->is_bool() && stream->get_bool();
    out.attempts = static_cast<std::uint16_t>(*attempts);
    out.status = static_cast<std::uint16_t>(*status);

    if (is_answer(outcome)) {
        out.how = end::answered;
    } else if (outcome == "upstream_error") {
        out.how = end::status;
        if (out.status < 400 || out.status > 599) out.status = 500; // it had its head ahead: the client was shown a 200
    } else if (outcome == "proxy_error") {
        out.how = names_a_timeout(text_at(line, "proxy_error")) ? end::silence : end::reset;
    } else if (outcome == "truncated") {
        const std::string_view how = text_at(line, "stream_end");
        out.how = how == "idle" ? end::cut_silence : how == "upstream_error" ? end::cut_error : end::cut_reset;
    } else if (outcome == "client_cancelled") {
        if (line.contains("first_byte_s") || *duration < silence_from) return reading::left_out;
        out.how = end::silence;
    } else {
        return outcome == "rejected" ? reading::left_out : reading::junk;
    }
    if (out.attempts == 0) return reading::left_out;

    const double failed_after = std::min(usual_failure, *duration / (2.0 * out.attempts));
    const double before = failed_after * (out.attempts - 1);
    const double whole = *duration - before;
    const auto first_token = number_at(line, "first_token_s", longest);
    const double first = first_token && *first_token >= before ? *first_token - before : first_of_whole * whole;
    out.failed_after = static_cast<float>(failed_after);
    out.whole = static_cast<float>(whole);
    out.first = static_cast<float>(std::min(first, whole));
    return reading::good;
}

} // namespace

trace read_trace(std::istream& in) {
    trace out;
    std::array<unsigned char, 16 * 1024> memory;
    for_each_line(in, [&](std::string_view line, bool too_long) {
        ++out.lines;
        if (too_long) {
            ++out.junk;
            return;
        }
        json::monotonic_resource resource(memory.data(), memory.size());
        boost::system::error_code malformed;
        const json::value parsed = json::parse(line, malformed, &resource);
        const json::object* object = malformed ? nullptr : parsed.if_object();
        trace_entry entry;
        switch (object != nullptr ? read_entry(*object, entry) : reading::junk) {
        case reading::junk: ++out.junk; break;
        case reading::left_out: ++out.left_out; break;
        case reading::good:
            if (out.entries.size() < max_trace_entries) {
                out.entries.push_back(entry);
            } else {
                ++out.left_out;
            }
        }
    });
    // Lines are written when a request ends, hence not in the order of arrival.
    std::ranges::stable_sort(out.entries, {}, &trace_entry::due);
    if (!out.entries.empty()) {
        const double begin = out.entries.front().due;
        for (trace_entry& each : out.entries) each.due -= begin;
    }
    return out;
}

std::string describe(const trace& what) {
    return fmt::format("{} lines: {} replayed, {} junk, {} left out", what.lines, what.entries.size(), what.junk,
                       what.left_out);
}

} // namespace evenkeel::simulate
