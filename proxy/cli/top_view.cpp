#include "proxy/cli/top_view.hpp"

#include "proxy/cli/terminal.hpp"
#include "proxy/telemetry/request_story.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <sstream>

namespace evenkeel::cli {

namespace {
constexpr std::size_t name_columns = 25; // leaves 19 to the state: "open probe in 2.5 s"

std::string printable(std::string_view text) { return fitted(text, text.size()); }

tint tint_of(condition is) {
    return is == condition::well ? tint::good : is == condition::uneasy ? tint::warning : tint::bad;
}

std::string number_or_blank(const std::optional<double>& of, double times, int digits, std::string_view unit) {
    return of ? fmt::format("{:.{}f}{}", *of * times, digits, unit) : std::string{"-"};
}

std::string span_of(double seconds) {
    const auto whole = static_cast<std::uint64_t>(std::max(0.0, seconds));
    if (whole < 3600) return fmt::format("{}m {:02}s", whole / 60, whole % 60);
    if (whole < 86400) return fmt::format("{}h {:02}m", whole / 3600, whole / 60 % 60);
    return fmt::format("{}d {:02}h", whole / 86400, whole / 3600 % 24);
}

class writer {
public:
    writer(std::size_t width, bool colour) : width_(std::max<std::size_t>(width, 20)), colour_(colour) {}

    [[nodiscard]] std::string line(std::string_view text, tint how = tint::plain) const {
        return tinted(fitted(text, width_), how, colour_);
    }
    [[nodiscard]] std::vector<std::string> paragraph(std::string_view text, tint how,
                                                     std::string_view before = "") const {
        std::vector<std::string> out;
        std::istringstream lines(telemetry::wrapped(printable(text), width_ - before.size()));
        for (std::string each; std::getline(lines, each);) out.push_back(line(std::string(before) + each, how));
        return out;
    }
    [[nodiscard]] std::string row(std::size_t depth, std::string_view name, const figures& of, std::string_view state,
                                  condition is) const {
        const std::string cells = fmt::format(
            "{:<{}} {:>7} {:>7} {:>8} {:>8}", fitted(std::string(depth * 2, ' ') + std::string(name), name_columns),
            name_columns, number_or_blank(of.requests, 1, 0, ""), number_or_blank(of.success, 100, 1, "%"),
            number_or_blank(of.average_s, 1, 2, "s"), number_or_blank(of.p95_s, 1, 2, "s"));
        if (state.empty() || cells.size() + 2 >= width_) return line(cells);
        return cells + "  " + tinted(fitted(state, width_ - cells.size() - 2), tint_of(is), colour_);
    }
    // Columns that a row leaves to its state.
    [[nodiscard]] std::size_t beside_cells() const {
        constexpr std::size_t cells = name_columns + 36;
        return width_ > cells ? width_ - cells : 0;
    }
    [[nodiscard]] std::string heading() const {
        return line(fmt::format("{:<{}} {:>7} {:>7} {:>8} {:>8}  {}", "the last minute", name_columns, "asked",
                                "success", "average", "p95", "state"),
                    tint::strong);
    }
    [[nodiscard]] bool colour() const { return colour_; }
    [[nodiscard]] std::size_t width() const { return width_; }

private:
    std::size_t width_;
    bool colour_;
};

bool matches(const route_seen& one, std::string_view filter) {
    return filter.empty() || one.name.find(filter) != std::string::npos ||
           std::ranges::any_of(one.endpoints,
                               [&](const endpoint_seen& each) { return each.name.find(filter) != std::string::npos; });
}

// The larger, the further up.
double weight_of(const figures& of, top_order by) {
    switch (by) {
    case top_order::requests: return of.requests.value_or(-1);
    case top_order::success: return of.success ? 1 - *of.success : -1;
    case top_order::slowest: return of.p95_s.value_or(-1);
    case top_order::file: break;
    }
    return 0;
}
std::string_view word_of(top_order one) {
    switch (one) {
    case top_order::requests: return "busiest";
    case top_order::success: return "failing";
    case top_order::slowest: return "slowest";
    case top_order::file: break;
    }
    return "as in the file";
}

std::vector<std::string> opening_of(const top_document& what, const top_choice& how, const writer& to) {
    std::vector<std::string> out;
    std::string first = fmt::format("evenkeel {}{}{}", what.version, what.version.empty() ? "" : "  ", how.where);
    if (what.up_s) first += fmt::format("  up {}", span_of(*what.up_s));
    if (what.memory) first += fmt::format("  {:.0f} MiB", *what.memory / 1048576);
    out.push_back(to.line(first, tint::strong));
    if (!how.problem.empty()) {
        for (auto& each : to.paragraph(how.problem, tint::bad)) out.push_back(std::move(each));
        return out;
    }
    for (auto& each : to.paragraph(what.sentence, what.healthy ? tint::plain : tint::bad))
        out.push_back(std::move(each));
    std::string cost;
    const endpoint_seen* poorest = nullptr;
    for (const route_seen& route : what.routes)
        for (const endpoint_seen& each : route.endpoints)
            if (each.budget && (poorest == nullptr || *each.budget < *poorest->budget)) poorest = &each;
    if (poorest != nullptr)
        cost = fmt::format("budget {:.1f}{}{}", *poorest->budget,
                           poorest->burst ? fmt::format(" of {:.0f}", *poorest->burst) : "",
                           what.routes.size() > 1 || what.routes.front().endpoints.size() > 1
                               ? fmt::format(" at least ({})", poorest->name)
                               : "");
    if (what.overhead_share)
        cost += fmt::format("{}resilience took {:.1f} % of the tokens", cost.empty() ? "" : "; ",
                            *what.overhead_share * 100);
    if (what.cost)
        cost += fmt::format("{}cost {:.4g}, of it {:.4g} for resilience", cost.empty() ? "" : "; ", *what.cost,
                            what.cost_of_resilience.value_or(0));
    if (!cost.empty())
        for (auto& each : to.paragraph(cost, tint::faint)) out.push_back(std::move(each));
    return out;
}

std::vector<std::string> table_of(const top_document& what, const top_choice& how, const writer& to) {
    std::vector<const route_seen*> routes;
    for (const route_seen& each : what.routes)
        if (matches(each, how.filter)) routes.push_back(&each);
    std::ranges::stable_sort(routes, std::greater{},
                             [&](const route_seen* one) { return weight_of(one->minute, how.order); });
    std::vector<std::string> out;
    for (const route_seen* route : routes) {
        out.push_back(to.row(0, route->name, route->minute, route->state, route->is));
        std::vector<const endpoint_seen*> endpoints;
        for (const endpoint_seen& each : route->endpoints) endpoints.push_back(&each);
        std::ranges::stable_sort(endpoints, std::greater{},
                                 [&](const endpoint_seen* one) { return weight_of(one->minute, how.order); });
        for (const endpoint_seen* each : endpoints) {
            // What is short stands beside the state, the rest below.
            const std::string both = each->note.empty() ? each->state : each->state + ' ' + each->note;
            const bool beside = both.size() <= to.beside_cells();
            // Endpoints of one upstream differ at their ends.
            constexpr std::size_t most = name_columns - 2;
            const std::string name =
                each->name.size() <= most ? each->name : ".." + each->name.substr(each->name.size() - most + 2);
            out.push_back(to.row(1, name, each->minute, beside ? both : each->state, each->is));
            if (!beside && !each->note.empty())
                for (auto& line : to.paragraph(each->note, tint_of(each->is), "    ")) out.push_back(std::move(line));
            for (const credential_seen& key : each->credentials)
                out.push_back(to.line(
                    fmt::format("    key {}: {}{}{}", key.name, key.state, key.note.empty() ? "" : ", ", key.note),
                    key.is == condition::well ? tint::faint : tint_of(key.is)));
        }
    }
    if (out.empty())
        out.push_back(to.line(what.routes.empty() ? "no route that asks an upstream"
                                                  : "no route or upstream has this in its name",
                              tint::faint));
    return out;
}

std::vector<std::string> requests_of(const top_document& what, const top_choice& how, const writer& to,
                                     std::size_t most) {
    std::vector<std::string> out;
    for (const request_seen& each : what.requests) {
        if (!how.filter.empty() && each.route.find(how.filter) == std::string::npos) continue;
        if (out.size() + 2 > most) break;
        out.push_back(to.line(fmt::format(
            "{}  {:<{}} {:>3} {:<16} {:>2.0f} {:<8} {:>8.2f}s", each.time, fitted(each.route, name_columns - 4),
            name_columns - 4, each.status == 0 ? std::string{"-"} : std::to_string(each.status), each.outcome,
            each.attempts, each.attempts == 1 ? "attempt" : "attempts", each.duration_s)));
        out.push_back(to.line("  " + each.conclusion, tint::faint));
    }
    if (!out.empty()) out.insert(out.begin(), to.line("the last that were disturbed", tint::strong));
    return out;
}
} // namespace

top_order after(top_order one) noexcept {
    return one == top_order::slowest ? top_order::file : static_cast<top_order>(static_cast<unsigned char>(one) + 1);
}

std::vector<std::string> screen_of(const top_document& what, top_choice& how, std::size_t width, std::size_t height,
                                   bool colour) {
    const writer to(width, colour);
    std::vector<std::string> out = opening_of(what, how, to);
    out.emplace_back();
    out.push_back(to.heading());
    const std::vector<std::string> table = table_of(what, how, to);
    // A third of the screen for requests, or what the table leaves of it.
    const std::size_t fixed = out.size() + 1, room = height > fixed ? height - fixed : 0;
    const std::size_t left = room > table.size() + 1 ? room - table.size() - 1 : 0;
    std::vector<std::string> requests = requests_of(what, how, to, std::max({left, room / 3, std::size_t{1}}) - 1);
    if (requests.size() + 1 > room) requests.clear();
    const std::size_t rows = room - (requests.empty() ? 0 : requests.size() + 1);
    how.scrolled = std::min(how.scrolled, table.size() > rows ? table.size() - rows : 0);
    for (std::size_t i = how.scrolled; i < std::min(table.size(), how.scrolled + rows); ++i) out.push_back(table[i]);
    if (!requests.empty()) {
        out.emplace_back();
        out.insert(out.end(), requests.begin(), requests.end());
    }
    if (out.size() + 1 > height) out.resize(height > 0 ? height - 1 : 0);
    while (out.size() + 1 < height) out.emplace_back();
    const std::string hidden = table.size() > rows
                                   ? fmt::format("  {}-{} of {} lines", how.scrolled + 1,
                                                 std::min(table.size(), how.scrolled + rows), table.size())
                                   : std::string{};
    out.push_back(how.typing ? to.line(fmt::format("filter: {}_   Enter: done, Escape: none", how.filter), tint::strong)
                             : to.line(fmt::format("q quit  s sort: {}  / filter{}  every {:g} s{}", word_of(how.order),
                                                   how.filter.empty() ? "" : fmt::format(": {}", how.filter),
                                                   how.every_s, hidden),
                                       tint::faint));
    return out;
}

std::string page_of(const top_document& what, const top_choice& how, std::size_t width, bool colour) {
    const writer to(width, colour);
    std::string out;
    for (const auto& each : opening_of(what, how, to)) out += each + '\n';
    out += '\n' + to.heading() + '\n';
    for (const auto& each : table_of(what, how, to)) out += each + '\n';
    const auto requests = requests_of(what, how, to, 1000);
    if (!requests.empty()) out += '\n';
    for (const auto& each : requests) out += each + '\n';
    return out;
}

} // namespace evenkeel::cli
