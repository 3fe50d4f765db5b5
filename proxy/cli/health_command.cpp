#include "proxy/cli/admin_place.hpp"
#include "proxy/cli/commands.hpp"
#include "proxy/cli/terminal.hpp"
#include "proxy/telemetry/request_story.hpp"

#include <boost/json.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <exception>
#include <iostream>
#include <string>
#include <string_view>

#include <unistd.h>

namespace evenkeel::cli {

namespace {
namespace json = boost::json;

std::string number_or_dash(const json::object& of, std::string_view key, double times, std::string_view unit) {
    const json::value* const found = of.if_contains(key);
    if (found == nullptr || !found->is_number()) return "-";
    const double value = found->to_number<double>() * times;
    return fmt::format("{:.{}f}{}", value, unit == "s" ? 3 : 1, unit);
}
std::string_view word_of(const json::object& of, std::string_view key) {
    const json::value* const found = of.if_contains(key);
    if (found == nullptr || !found->is_string()) return "-";
    return {found->as_string().data(), found->as_string().size()};
}
double value_of(const json::object& of, std::string_view key) {
    const json::value* const found = of.if_contains(key);
    return found != nullptr && found->is_number() ? found->to_number<double>() : 0;
}

std::string time_left(const json::object& of, std::string_view key) {
    const double seconds = value_of(of, key);
    return fmt::format("{:.{}f}s", seconds, seconds < 10 ? 1 : 0);
}

// Of an endpoint that is asked as usual but for these.
std::string note_of_models(const json::array& models) {
    if (models.empty() || !models.front().is_object()) return {};
    const json::object& first = models.front().as_object();
    const std::string_view circuit = word_of(first, "circuit_state");
    return fmt::format("{} for {}{}",
                       circuit == "open"        ? "open"
                       : circuit == "half_open" ? "half-open"
                                                : "second",
                       word_of(first, "model"),
                       models.size() > 1 ? fmt::format(" and {} more", models.size() - 1) : "");
}

// Why an upstream, or an endpoint of it, is not asked as usual; the first that matters.
std::string note_of(const json::object& one) {
    const std::string_view circuit = word_of(one, "circuit_state");
    const json::value* const forced = one.if_contains("forced");
    if (forced != nullptr && forced->is_bool() && forced->as_bool()) return fmt::format("{} by operator", circuit);
    if (circuit == "open") return "open, probe in " + time_left(one, "next_probe");
    if (value_of(one, "cooldown") > 0) return "rests for " + time_left(one, "cooldown");
    if (word_of(one, "overload") != "normal" && word_of(one, "overload") != "-") return "overloaded";
    if (const json::value* const doubt = one.if_contains("doubted"); doubt != nullptr && doubt->is_number())
        return "asked second";
    if (const json::value* const models = one.if_contains("models"); models != nullptr && models->is_array())
        return note_of_models(models->as_array());
    return circuit == "half_open" ? "half-open" : "";
}

void add_row(std::string& to, int depth, std::string_view name, const json::object& of, std::string_view note,
             bool colour) {
    const std::string row =
        fmt::format("{:<24} {:>8} {:>7} {:>8} {:>8}",
                    fitted(std::string(static_cast<std::size_t>(depth) * 2, ' ') + std::string{name}, 24),
                    static_cast<std::uint64_t>(value_of(of, "requests")), number_or_dash(of, "success_rate", 100, "%"),
                    number_or_dash(of, "avg_latency", 1, "s"), number_or_dash(of, "p95_latency", 1, "s"));
    to += row;
    constexpr std::size_t gap = 2, columns = 80;
    if (!note.empty() && row.size() + gap < columns) {
        const tint how = note.starts_with("open") || note == "degraded" ? tint::bad : tint::warning;
        to += std::string(gap, ' ') + tinted(fitted(note, columns - gap - row.size()), how, colour);
    }
    to += '\n';
}

void add_members(std::string& to, int depth, const json::object& of, std::string_view key, bool colour) {
    const json::value* const found = of.if_contains(key);
    if (found == nullptr || !found->is_object()) return;
    for (const auto& [name, what] : found->as_object()) {
        if (!what.is_object()) continue;
        add_row(to, depth, {name.data(), name.size()}, what.as_object(), note_of(what.as_object()), colour);
        add_members(to, depth + 1, what.as_object(), "endpoints", colour);
    }
}
} // namespace

// Of GET /health; throws where it is none.
std::string health_table(std::string_view document, bool colour) {
    const json::value parsed = json::parse(json::string_view(document.data(), document.size()));
    const json::object& whole = parsed.at("overall_status").as_object();
    std::string out = tinted(
        fmt::format("{:<24} {:>8} {:>7} {:>8} {:>8}", "the last minute", "requests", "success", "average", "p95"),
        tint::strong, colour);
    out += '\n';
    for (const auto& [name, what] : parsed.at("services").as_object()) {
        const json::object& route = what.as_object();
        std::string note;
        if (route.if_contains("degraded") != nullptr && route.at("degraded").is_bool() &&
            route.at("degraded").as_bool())
            note = "degraded";
        if (const double held = value_of(route, "held"); held > 0)
            note += fmt::format("{}{:.0f} held", note.empty() ? "" : ", ", held);
        add_row(out, 0, {name.data(), name.size()}, route, note, colour);
        add_members(out, 1, route, "upstreams", colour);
    }
    const auto open = static_cast<std::uint64_t>(value_of(whole, "open_circuits"));
    const auto chaos = static_cast<std::uint64_t>(value_of(whole, "chaos_rules"));
    out += fmt::format(
        "\n{}; {}{}\n",
        whole.at("healthy").as_bool() ? tinted("healthy", tint::good, colour)
                                      : tinted(open == 0 ? "unhealthy: every attempt of the last minute failed"
                                                         : "unhealthy: nothing can be served",
                                               tint::bad, colour),
        open == 0   ? std::string{"no circuit is open"}
        : open == 1 ? std::string{"1 circuit is open"}
                    : fmt::format("{} circuits are open", open),
        chaos == 0 ? std::string{} : fmt::format("; chaos is on ({} {})", chaos, chaos == 1 ? "rule" : "rules"));
    return out;
}

int health(const std::string& admin, const std::string& config) {
    std::string why;
    const auto at = find_admin(admin, config, why);
    if (!at) return wrong_usage("health", why);
    const auto failed = [](std::string_view problem) {
        std::cerr << telemetry::wrapped(fmt::format("evenkeel health: {}", problem));
        return 1;
    };
    const admin_answer told = ask_admin(*at, "/health?strict=1");
    if (!told.problem.empty()) return failed(told.problem);
    if (told.status != 200 && told.status != 503) return failed(fmt::format("the proxy answered {}", told.status));
    try {
        std::cout << health_table(told.body, look_of(STDOUT_FILENO).colour);
    } catch (const std::exception&) {
        return failed("what answers there is no evenkeel");
    }
    return told.status == 200 ? 0 : 1;
}

} // namespace evenkeel::cli
