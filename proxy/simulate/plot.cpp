#include "proxy/simulate/plot.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>
#include <utility>
#include <vector>

namespace evenkeel::simulate {

namespace {
using model::sample;

struct point {
    double x = 0, y = 0;
};
struct curve {
    std::string name;
    std::vector<point> points;
};
struct axis {
    double low = 0, high = 1;
    bool logarithmic = false;
    std::vector<std::pair<double, std::string>> marks{};

    [[nodiscard]] double share(double value) const { // 0 to 1 along it
        const auto scale = [&](double v) { return logarithmic ? std::log10(std::max(v, low)) : v; };
        const double span = scale(high) - scale(low);
        return span <= 0 ? 0 : std::clamp((scale(value) - scale(low)) / span, 0.0, 1.0);
    }
};

constexpr double panel_width = 190, panel_height = 170, before_panel = 46, behind_panel = 106, above_panel = 56,
                 below_panel = 44;
constexpr double across_panel = before_panel + panel_width + behind_panel,
                 down_block = above_panel + panel_height + below_panel;
constexpr int buckets = 40;

// Thin and whole, dashed, thick and whole, dotted, ...: the first four differ also where one lies on another.
constexpr std::array<std::string_view, 5> strokes{
    R"(stroke-width="1")", R"(stroke-width="1.4" stroke-dasharray="7 4")", R"(stroke-width="2.2")",
    R"(stroke-width="1.6" stroke-dasharray="1.5 3" stroke-linecap="round")",
    R"(stroke-width="1.4" stroke-dasharray="10 3 2 3")"};

std::string escaped(std::string_view text) {
    std::string out;
    for (const char c : text) {
        switch (c) {
        case '&': out += "&amp;"; break;
        case '<': out += "&lt;"; break;
        case '>': out += "&gt;"; break;
        case '"': out += "&quot;"; break;
        default: out += c < ' ' || c > '~' ? '?' : c;
        }
    }
    return out;
}

// A round step, so that there are at most `most` of them.
double step_of(double span, int most) {
    if (!(span > 0)) return 1;
    const double rough = span / most, power = std::pow(10, std::floor(std::log10(rough)));
    for (const double each : {1.0, 2.0, 5.0})
        if (each * power >= rough) return each * power;
    return 10 * power;
}
std::vector<std::pair<double, std::string>> marks_of(double low, double high, int most) {
    std::vector<std::pair<double, std::string>> out;
    const double step = step_of(high - low, most);
    for (double at = std::ceil(low / step) * step; at <= high + step * 1e-6; at += step)
        out.emplace_back(at, fmt::format("{:g}", std::abs(at) < step * 1e-6 ? 0 : at));
    return out;
}

// Of each stretch of time in which requests came: where it lies, and what `of` makes of them.
template <class Of>
std::vector<point> over_time(const std::vector<sample>& samples, double begin, double end, Of of) {
    std::array<std::pair<double, double>, buckets> sums{}; // of what is measured; how many
    for (const sample& each : samples) {
        const double share = end > begin ? (each.due - begin) / (end - begin) : 0;
        auto& into = sums[static_cast<std::size_t>(std::clamp(share * buckets, 0.0, buckets - 1.0))];
        into.first += of(each);
        into.second += 1;
    }
    std::vector<point> out;
    for (int at = 0; at < buckets; ++at) {
        const auto& [sum, count] = sums[static_cast<std::size_t>(at)];
        if (count > 0) out.push_back({begin + (end - begin) * (at + 0.5) / buckets, sum / count});
    }
    return out;
}

// Share of all requests that were answered well within so many seconds.
std::vector<point> within(const std::vector<sample>& samples, double low, double high) {
    std::vector<double> good;
    for (const sample& each : samples)
        if (each.how == model::verdict::success) good.push_back(each.seconds);
    std::ranges::sort(good);
    std::vector<point> out;
    constexpr int steps = 120;
    for (int i = 0; i <= steps; ++i) {
        const double x = low * std::pow(high / low, static_cast<double>(i) / steps);
        const auto count = std::ranges::upper_bound(good, x) - good.begin();
        out.push_back({x, static_cast<double>(count) / static_cast<double>(std::max<std::size_t>(samples.size(), 1))});
    }
    return out;
}

class panel {
public:
    panel(double x, double y, axis across, axis up) : x_(x), y_(y), across_(std::move(across)), up_(std::move(up)) {}

    std::string draw(std::string_view title, std::string_view unit, const std::vector<curve>& curves) const {
        std::string out = fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" class=\"t\">{}</text>\n", x_, y_ - 10, title);
        for (const auto& [value, text] : up_.marks) {
            const double y = at_y(value);
            out += fmt::format("<path d=\"M{:.1f} {:.1f}H{:.1f}\" class=\"g\"/>"
                               "<text x=\"{:.1f}\" y=\"{:.1f}\" class=\"e\">{}</text>\n",
                               x_, y, x_ + panel_width, x_ - 5, y + 3.5, text);
        }
        for (const auto& [value, text] : across_.marks) {
            const double x = at_x(value);
            out += fmt::format("<path d=\"M{:.1f} {:.1f}v4\" class=\"a\"/>"
                               "<text x=\"{:.1f}\" y=\"{:.1f}\" class=\"m\">{}</text>\n",
                               x, y_ + panel_height, x, y_ + panel_height + 15, text);
        }
        out += fmt::format("<path d=\"M{0:.1f} {1:.1f}V{2:.1f}H{3:.1f}\" class=\"a\"/>"
                           "<text x=\"{4:.1f}\" y=\"{5:.1f}\" class=\"m\">{6}</text>\n",
                           x_, y_, y_ + panel_height, x_ + panel_width, x_ + panel_width / 2, y_ + panel_height + 30,
                           unit);
        for (std::size_t i = 0; i < curves.size(); ++i) {
            std::string path;
            for (const point& each : curves[i].points)
                path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", at_x(each.x), at_y(each.y));
            if (!path.empty())
                out += fmt::format("<path d=\"{}\" class=\"l\" {}/>\n", path, strokes[i % strokes.size()]);
        }
        return out + labels(curves);
    }

private:
    [[nodiscard]] double at_x(double value) const { return x_ + panel_width * across_.share(value); }
    [[nodiscard]] double at_y(double value) const { return y_ + panel_height * (1 - up_.share(value)); }

    // Each beside the end of its line, moved apart where ends are close.
    [[nodiscard]] std::string labels(const std::vector<curve>& curves) const {
        struct label {
            const curve* of;
            double end_x, end_y, y;
        };
        std::vector<label> all;
        for (const curve& each : curves)
            if (!each.points.empty()) {
                const double y = at_y(each.points.back().y);
                all.push_back({&each, at_x(each.points.back().x), y, y});
            }
        std::ranges::sort(all, {}, &label::y);
        constexpr double apart = 12;
        for (std::size_t i = 1; i < all.size(); ++i) all[i].y = std::max(all[i].y, all[i - 1].y + apart);
        const double over = all.empty() ? 0 : std::max(0.0, all.back().y - (y_ + panel_height));
        for (label& each : all) each.y -= over;
        for (std::size_t i = all.size(); i > 1; --i) all[i - 2].y = std::min(all[i - 2].y, all[i - 1].y - apart);
        std::string out;
        for (const label& each : all) {
            constexpr std::size_t longest = 12;
            const std::string& name = each.of->name;
            // A piece of the line itself beside its name, for where several end in one point.
            const double from = x_ + panel_width + 9;
            const auto number = static_cast<std::size_t>(each.of - curves.data());
            out += fmt::format("<path d=\"M{:.1f} {:.1f}L{:.1f} {:.1f}\" class=\"g\"/>"
                               "<path d=\"M{:.1f} {:.1f}h20\" class=\"l\" {}/>"
                               "<text x=\"{:.1f}\" y=\"{:.1f}\">{}</text>\n",
                               each.end_x, each.end_y, from, each.y, from, each.y, strokes[number % strokes.size()],
                               from + 24, each.y + 3.5,
                               escaped(name.size() <= longest ? name : ".." + name.substr(name.size() - longest + 2)));
        }
        return out;
    }

    double x_, y_;
    axis across_, up_;
};

std::string block_of(const row& of, const std::vector<std::string>& contestants, double y) {
    std::vector<std::pair<std::string, const std::vector<sample>*>> who;
    for (std::size_t i = 0; i < contestants.size(); ++i) who.emplace_back(contestants[i], &of.by_contestant[i].samples);
    if (!of.recorded_samples.empty()) who.emplace_back("recorded", &of.recorded_samples);
    double begin = 0, end = 0, most = 1;
    bool first = true;
    for (const auto& [name, samples] : who)
        for (const sample& each : *samples) {
            begin = first ? each.due : std::min(begin, each.due);
            end = first ? each.due : std::max(end, each.due);
            first = false;
        }
    std::vector<curve> success, times, attempts;
    constexpr double fastest = 0.1, deadline = 60;
    for (const auto& [name, samples] : who) {
        success.push_back({name, over_time(*samples, begin, end, [](const sample& each) {
                               return each.how == model::verdict::success ? 100.0 : 0.0;
                           })});
        times.push_back({name, within(*samples, fastest, deadline)});
        for (point& each : times.back().points) each.y *= 100;
        attempts.push_back({name, over_time(*samples, begin, end,
                                            [](const sample& each) { return static_cast<double>(each.attempts); })});
        for (const point& each : attempts.back().points) most = std::max(most, each.y);
    }
    const axis time{.low = begin, .high = end, .marks = marks_of(begin, end, 4)};
    const axis percent{.low = 0, .high = 100, .marks = marks_of(0, 100, 5)};
    const axis count{.low = 0, .high = most, .marks = marks_of(0, most, 5)};
    const axis seconds{.low = fastest,
                       .high = deadline,
                       .logarithmic = true,
                       .marks = {{0.1, "0.1"}, {0.3, "0.3"}, {1, "1"}, {3, "3"}, {10, "10"}, {30, "30"}}};
    std::string out = fmt::format("<text x=\"10\" y=\"{:.1f}\" class=\"h\">{}</text>\n"
                                  "<text x=\"10\" y=\"{:.1f}\" class=\"t\">{}</text>\n",
                                  y + 14, escaped(of.name), y + 30, escaped(of.about.substr(0, 140)));
    const double top = y + above_panel;
    out += panel(before_panel, top, time, percent).draw("answered well, %", "time, s", success);
    out += panel(across_panel + before_panel, top, seconds, percent)
               .draw("answered well within, %", "seconds since it was asked", times);
    out += panel(2 * across_panel + before_panel, top, time, count).draw("attempts per request", "time, s", attempts);
    return out;
}
} // namespace

std::string plot_of(const comparison& what) {
    std::string blocks;
    double y = 6;
    for (const row& each : what.rows) {
        if (std::ranges::all_of(each.by_contestant, [](const cell& one) { return one.samples.empty(); })) continue;
        blocks += block_of(each, what.contestants, y);
        y += down_block;
    }
    const double width = 3 * across_panel, height = y + 4;
    return fmt::format(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.0f}\" height=\"{1:.0f}\" "
        "viewBox=\"0 0 {0:.0f} {1:.0f}\" role=\"img\">\n"
        "<title>evenkeel simulate: success, times and attempts by policy</title>\n"
        "<style>text{{font:11px sans-serif;fill:#000}}.h{{font-size:14px;font-weight:bold}}"
        ".m{{text-anchor:middle}}.e{{text-anchor:end}}.g{{stroke:#bbb;stroke-width:.7;fill:none}}"
        ".a{{stroke:#000;stroke-width:1;fill:none}}.l{{stroke:#000;fill:none;stroke-linejoin:round}}</style>\n"
        "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n{2}</svg>\n",
        width, height, blocks);
}

} // namespace evenkeel::simulate
