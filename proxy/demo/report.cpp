#include "proxy/demo/report.hpp"

#include "proxy/simulate/percentile.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>

namespace evenkeel::demo {

namespace {

constexpr std::size_t bar_width = 40;

std::string painted(std::string_view text, bool colour) {
    return colour ? fmt::format("\x1b[1m{}\x1b[0m", text) : std::string{text}; // bold
}

using cells = std::array<std::string, sides.size()>;

std::string row(std::string_view name, const cells& by_side, std::string_view target = {}) {
    std::string out = fmt::format("  {:<32}{:>10}{:>10}{:>10}", name, by_side[0], by_side[1], by_side[2]);
    if (!target.empty()) out += fmt::format("{:>16}", target);
    return out;
}
template <class Format>
cells each_of(const summaries& of, Format format) {
    cells out;
    std::ranges::transform(of, out.begin(), format);
    return out;
}
std::string seconds_row(std::string_view name, const summaries& of, double summary::*what,
                        std::string_view target = {}) {
    return row(name, each_of(of, [&](const summary& one) { return fmt::format("{:.1f} s", one.*what); }), target) +
           '\n';
}
std::string count_row(std::string_view name, const summaries& of, std::size_t summary::*what) {
    return row(name, each_of(of, [&](const summary& one) { return fmt::format("{}", one.*what); })) + '\n';
}

std::string share_of(const summary& of) {
    const auto all = static_cast<double>(std::max<std::size_t>(of.requests, 1));
    const double percent = 100 * static_cast<double>(of.succeeded) / all;
    return fmt::format("{:.1f} %", of.succeeded < of.requests ? std::min(percent, 99.9) : percent); // 100 % means all
}

} // namespace

summary summarize(const std::vector<model::sample>& samples, std::uint64_t attempts) {
    summary out;
    out.requests = samples.size();
    std::vector<double> seconds, first_tokens;
    for (const model::sample& each : samples) {
        switch (each.how) {
        case model::verdict::success: ++out.succeeded; break;
        case model::verdict::error: ++out.errors; break;
        case model::verdict::late: ++out.late; break;
        case model::verdict::broken: ++out.broken; break;
        case model::verdict::degraded: ++out.degraded; break;
        }
        seconds.push_back(each.seconds);
        if (each.stream) first_tokens.push_back(each.first_token);
    }
    out.p50 = simulate::percentile(seconds, 0.50);
    out.p99 = simulate::percentile(std::move(seconds), 0.99);
    out.first_token_p50 = simulate::percentile(first_tokens, 0.50);
    out.first_token_p99 = simulate::percentile(std::move(first_tokens), 0.99);
    out.attempts_per_request =
        static_cast<double>(attempts) / static_cast<double>(std::max<std::size_t>(samples.size(), 1));
    return out;
}

std::string table(const summaries& of, const run_facts& facts, bool colour) {
    std::string out = painted(row("", {"direct", "classic", "tuned"}, "target"), colour) + '\n';
    out += painted(row("success", each_of(of, share_of), "at least 98 %"), colour) + '\n';
    out += seconds_row("whole answer, P50", of, &summary::p50, "at most 5 s");
    out += seconds_row("whole answer, P99", of, &summary::p99, "at most 15 s");
    out += seconds_row("first token of a stream, P50", of, &summary::first_token_p50);
    out += seconds_row("first token of a stream, P99", of, &summary::first_token_p99);
    out += row("upstream attempts per request",
               each_of(of, [](const summary& one) { return fmt::format("{:.2f}", one.attempts_per_request); })) +
           '\n';
    out += count_row("failed: error answer", of, &summary::errors);
    out += count_row(fmt::format("failed: not complete after {:.0f} s", original::deadline), of, &summary::late);
    out += count_row("failed: cut off or wrong", of, &summary::broken);
    out += count_row("failed: degraded answer", of, &summary::degraded);
    out += fmt::format("\n"
                       "  Direct: straight to the provider. Classic, tuned: through evenkeel with that\n"
                       "  profile. {} requests on each side, the same ones and with the same luck at\n"
                       "  the first attempt: OpenAI chat and Anthropic messages, half of them streamed,\n"
                       "  {:.0f} a second, whether or not earlier ones were answered. Success: complete,\n"
                       "  correct and undegraded within the client's {:.0f} s; a failure counts as {:.0f} s in\n"
                       "  every time above.\n",
                       of.front().requests, original::rate, original::deadline, original::deadline);
    out += fmt::format("  Provider: {:.0f} % of attempts end in a 500, 502, 503 or 529 (median {} s,\n"
                       "  sigma {}), {:.0f} % hang for {:.0f} s, the others take {} s (sigma {}); lognormal.\n",
                       100 * original::error_share, original::error_median, original::error_sigma,
                       100 * original::hang_share, original::hang, original::answer_median, original::answer_sigma);
    out += fmt::format("  Seed {}. Times are shown as in the original; the run was {} times faster.\n", facts.seed,
                       facts.speed);
    return out;
}

std::string progress_bar(unsigned done, unsigned total, double seconds_left) {
    const auto filled = total == 0 ? bar_width : bar_width * done / total;
    return fmt::format("[{:#<{}}{:.<{}}] {:>3} %  about {:.0f} s left", "", filled, "", bar_width - filled,
                       total == 0 ? 100 : 100 * std::uint64_t{done} / total, std::ceil(std::max(seconds_left, 0.0)));
}

} // namespace evenkeel::demo
