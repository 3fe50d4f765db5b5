#include "proxy/telemetry/access_text.hpp"

#include "proxy/events/disturbed.hpp"
#include "proxy/events/tries.hpp"
#include "proxy/telemetry/json_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <string_view>

namespace evenkeel::telemetry {

namespace {

constexpr std::size_t longest_name = 24; // of a route or an upstream, on a line that others share
constexpr std::string_view margin = "         ";

// What a terminal may be shown, cut to `columns`: what is not ASCII, and what would move the cursor, is escaped.
std::string shown(std::string_view text, std::size_t columns) {
    std::string out;
    for (const char c : text.substr(0, columns + 1)) {
        if (c >= ' ' && c < 0x7f)
            out += c;
        else
            fmt::format_to(std::back_inserter(out), "\\x{:02x}", static_cast<unsigned char>(c));
    }
    if (out.size() > columns) out.replace(columns - 3, std::string::npos, "...");
    return out;
}

std::string_view colour_of(const request_account& record) {
    if (record.status >= 500 || record.status == 0) return "\x1b[31m";
    if (record.status >= 400 || is_disturbed(record)) return "\x1b[33m";
    return "\x1b[32m";
}

std::string time_of(duration value) { return fmt::format("{:.3f}s", in_seconds(value)); }

// Adds `piece` where it still fits, with a gap of two.
void add_if_room(std::string& to, std::size_t width, std::string_view piece) {
    if (width + 2 + piece.size() <= access_text_width) to.append("  ").append(piece);
}

std::string second_line(const request_account& record) {
    std::string out{margin};
    const auto add = [&](std::string_view what) {
        if (out.size() > margin.size()) out += ", ";
        out += what;
    };
    const std::string id = " id=" + shown(record.request_id, 40);
    const std::size_t room = access_text_width - id.size() - std::string_view{", and 100 more"}.size();
    if (!record.reason.empty()) add(shown(record.reason, longest_name));
    if (!record.proxy_error.empty() && record.proxy_error != record.reason)
        add(shown(record.proxy_error, longest_name));
    const duration waited = record.effort.held + record.effort.paced + record.effort.queued;
    if (waited > duration::zero()) add("waited " + time_of(waited));
    const all_tries tries = tries_of(record.journal);
    for (std::size_t place = 0; place < tries.size(); ++place) {
        const tried& one = tries[place];
        std::string told = one.upstream != nullptr ? shown(one.upstream->name, longest_name) : "none";
        if (place > 0) fmt::format_to(std::back_inserter(told), " ({})", one.as.why);
        fmt::format_to(std::back_inserter(told), " {}", ending_of(one));
        if (one.over && one.how.status != 0) fmt::format_to(std::back_inserter(told), " {}", one.how.status);
        const duration took = one.over ? one.how.took : std::max(record.at - one.began, duration::zero());
        fmt::format_to(std::back_inserter(told), " {:.3f}s", in_seconds(took));
        if (out.size() + 2 + told.size() > room) {
            add(fmt::format("and {} more", std::min<std::size_t>(tries.size() - place, 100)));
            break;
        }
        add(told);
    }
    return out.append(id);
}

} // namespace

std::string access_text(const request_account& record, bool colour) {
    char stamp[timestamp_size];
    write_timestamp(stamp, record.started);
    const std::string_view clock = std::string_view{stamp, timestamp_size}.substr(11, 8);
    std::string status = record.status == 0 ? "---" : fmt::format("{:3}", record.status);
    std::string word = fmt::format("{:<11}", to_string(record.ending()));
    std::string way = record.route != nullptr ? shown(record.route->name, longest_name) : "none";
    if (record.upstream != nullptr) way += " > " + shown(record.upstream->name, longest_name);
    const std::string head = fmt::format(" {:>8} {} ", time_of(record.total), shown(record.method, 8));
    const std::size_t before = clock.size() + 1 + status.size() + 1 + word.size() + head.size();
    // The path has what the names leave of the width.
    const std::string path =
        shown(record.path.substr(0, record.path.find('?')), access_text_width - before - 2 - way.size());
    std::string tail = head + path + "  " + way;
    const auto width = [&] { return clock.size() + 1 + status.size() + 1 + word.size() + tail.size(); };
    if (record.first_token > duration::zero()) add_if_room(tail, width(), "first " + time_of(record.first_token));
    const bill& served = record.effort.served;
    if (served.all() > 0) add_if_room(tail, width(), fmt::format("{}+{} tokens", served.input(), served.output()));
    if (record.by != nullptr) add_if_room(tail, width(), "by " + shown(record.by->name, longest_name));

    const std::string_view paint = colour ? colour_of(record) : std::string_view{}, reset = colour ? "\x1b[0m" : "";
    std::string out = fmt::format("{} {}{} {}{}{}\n", clock, paint, status, word, reset, tail);
    if (is_disturbed(record)) out.append(second_line(record)) += '\n';
    return out;
}

bool terminals_have_colour() {
    static const bool have = [] {
        const char* const no = std::getenv("NO_COLOR"); // NOLINT(concurrency-mt-unsafe): nothing sets variables
        const char* const kind = std::getenv("TERM");   // NOLINT(concurrency-mt-unsafe)
        return (no == nullptr || *no == '\0') && kind != nullptr && std::string_view{kind} != "dumb";
    }();
    return have;
}

} // namespace evenkeel::telemetry
