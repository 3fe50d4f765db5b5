#include "proxy/simulate/report.hpp"

#include "proxy/telemetry/json_text.hpp"
#include "proxy/telemetry/request_story.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>

namespace evenkeel::simulate {

namespace {

std::string seconds_or_dash(const std::optional<double>& recovery) {
    if (!recovery) return "";
    return std::isfinite(*recovery) ? fmt::format("{:.0f}", *recovery) : "never";
}

constexpr std::string_view heading = "    ok  15 s   P50   P99   att   rec";
constexpr std::size_t columns = 80;

// A file's name may be longer than its columns; its end tells more.
std::string shortened(const std::string& name, std::size_t room) {
    return name.size() <= room ? name : "..." + name.substr(name.size() - (room - 3));
}

std::string columns_of(const figures& of) {
    return fmt::format("{:>6.1f}{:>6.1f}{:>6.1f}{:>6.1f}{:>6.2f}{:>6}", 100 * of.success, 100 * of.within_15s, of.p50,
                       of.p99, of.attempts, seconds_or_dash(of.recovery));
}

std::string list(const std::vector<std::uint64_t>& seeds) {
    std::string out;
    for (const auto seed : seeds) out += fmt::format("{}{}", out.empty() ? "" : ", ", seed);
    return out;
}

std::string quoted(std::string_view text) {
    std::string out;
    telemetry::append_quoted(out, text);
    return out;
}

std::string leftovers_of(const leftovers& left) {
    return fmt::format("{} coroutines, {} timers, {} exchanges, {} requests, {} held bytes, {} attempts",
                       left.coroutines, left.timers, left.exchanges, left.requests, left.held_bytes, left.attempts);
}

std::string json_of(const figures& of) {
    const std::string recovery = !of.recovery                  ? ""
                                 : std::isfinite(*of.recovery) ? fmt::format(R"(,"recovery_s":{:.3f})", *of.recovery)
                                                               : R"(,"recovery_s":null)";
    return fmt::format(R"({{"success":{:.6f},"within_15s":{:.6f},"degraded":{:.6f},"p50_s":{:.3f},"p99_s":{:.3f},)"
                       R"("first_token_p50_s":{:.3f},"first_token_p99_s":{:.3f},"attempts_per_request":{:.6f},)"
                       R"("wasted_events_per_request":{:.6f}{}}})",
                       of.success, of.within_15s, of.degraded, of.p50, of.p99, of.first_token_p50, of.first_token_p99,
                       of.attempts, of.wasted_events, recovery);
}

} // namespace

std::string text_of(const comparison& what) {
    std::size_t subject = std::string_view{"scenario"}.size(), policy = std::string_view{"recorded"}.size();
    for (const row& each : what.rows) subject = std::max(subject, each.name.size());
    for (const std::string& each : what.contestants) policy = std::max(policy, each.size());
    policy = std::min(policy, columns - heading.size() - subject - 2);

    std::string out = fmt::format("{:<{}}  {:<{}}{}\n", "scenario", subject, "policy", policy, heading);
    for (const row& each : what.rows) {
        std::string_view name = each.name;
        const auto add = [&](const std::string& who, const figures& of) {
            std::string line =
                fmt::format("{:<{}}  {:<{}}{}", name, subject, shortened(who, policy), policy, columns_of(of));
            while (line.back() == ' ') line.pop_back();
            out += line + '\n';
            name = {};
        };
        if (each.recorded) add("recorded", *each.recorded);
        for (std::size_t who = 0; who < each.by_contestant.size(); ++who)
            add(what.contestants[who], each.by_contestant[who].median);
    }
    out += fmt::format("\nok: % answered whole, correct and undegraded before the client's deadline;\n"
                       "15 s: % within 15 s; P50, P99: seconds to the whole answer, a failure counts as\n"
                       "the deadline; att: upstream attempts per request; rec: seconds from the end of\n"
                       "the disturbance until 95 % of the arrivals were answered within 15 s, for 10 s\n"
                       "and over the rest of the run. Medians over seeds: {}.\n",
                       list(what.seeds));
    for (const std::string& each : what.notes) out += each + '\n';
    for (const row& each : what.rows) {
        for (std::size_t who = 0; who < each.by_contestant.size(); ++who) {
            const cell& one = each.by_contestant[who];
            if (one.median.degraded > 0) {
                out += fmt::format("{}, {}: {:.1f} % of the answers are degraded ones.\n", each.name,
                                   what.contestants[who], 100 * one.median.degraded);
            }
            if (!one.left.none())
                out += fmt::format("{}, {}: LEFT OVER: {}\n", each.name, what.contestants[who], leftovers_of(one.left));
        }
    }
    if (const std::string said = conclusion_of(what); !said.empty()) out += '\n' + telemetry::wrapped(said);
    return out;
}

std::string conclusion_of(const comparison& what) {
    if (what.rows.size() != 1 || !what.rows.front().recorded || what.contestants.empty()) return {};
    const figures& was = *what.rows.front().recorded;
    const figures& is = what.rows.front().by_contestant.back().median;
    const std::string& who = what.contestants.back();
    // Less than one request in a thousand is chance.
    constexpr double notable = 0.001;
    const std::string price =
        fmt::format("with {:.2f} attempts per request instead of {:.2f}", is.attempts, was.attempts);
    const std::string tail = fmt::format("P99 {:.1f} s instead of {:.1f} s", is.p99, was.p99);
    if (is.success > was.success + notable)
        return fmt::format("{} would have answered {:.1f} % of that day well instead of {:.1f} %, {}, {}.", who,
                           100 * is.success, 100 * was.success, tail, price);
    if (is.success < was.success - notable)
        return fmt::format(
            "{} would have answered less of that day well, {:.1f} % instead of {:.1f} %, {}, {}: it is no "
            "improvement.",
            who, 100 * is.success, 100 * was.success, tail, price);
    const bool slower = is.p99 > 1.1 * was.p99, faster = is.p99 < was.p99 / 1.1;
    return fmt::format("{} would have answered as much of that day well, {:.1f} %, {}: {}, {}.", who, 100 * is.success,
                       faster   ? "and the slow ones sooner"
                       : slower ? "but the slow ones later"
                                : "and as fast",
                       tail, price);
}

std::string json_of(const comparison& what) {
    std::string out = fmt::format("{{\"seeds\":[{}],\"scenarios\":[", list(what.seeds));
    for (std::size_t at = 0; at < what.rows.size(); ++at) {
        const row& each = what.rows[at];
        out += fmt::format("{}{{\"name\":{},\"about\":{},\"results\":{{", at == 0 ? "\n" : ",\n", quoted(each.name),
                           quoted(each.about));
        for (std::size_t who = 0; who < each.by_contestant.size(); ++who) {
            const cell& one = each.by_contestant[who];
            out += fmt::format("{}\n {}:{{\"median\":{},\"by_seed\":[", who == 0 ? "" : ",",
                               quoted(what.contestants[who]), json_of(one.median));
            for (std::size_t seed = 0; seed < one.by_seed.size(); ++seed)
                out += (seed == 0 ? "" : ",") + json_of(one.by_seed[seed]);
            out += fmt::format("],\"leftovers\":{}}}", one.left.none() ? "null" : quoted(leftovers_of(one.left)));
        }
        out += '}';
        if (each.recorded) out += ",\n \"recorded\":" + json_of(*each.recorded);
        out += '}';
    }
    if (const std::string said = conclusion_of(what); !said.empty())
        out += "\n],\"conclusion\":" + quoted(said) + ",\"notes\":[";
    else
        out += "\n],\"notes\":[";
    for (std::size_t at = 0; at < what.notes.size(); ++at) out += (at == 0 ? "" : ",") + quoted(what.notes[at]);
    return out + "]}\n";
}

} // namespace evenkeel::simulate
