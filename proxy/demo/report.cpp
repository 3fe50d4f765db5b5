#include "proxy/demo/report.hpp"

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

std::string row(std::string_view name, std::string_view direct, std::string_view proxied) {
    return fmt::format("  {:<36}{:>14}{:>22}", name, direct, proxied);
}
std::string seconds_row(std::string_view name, double direct, double proxied) {
    return row(name, fmt::format("{:.1f} s", direct), fmt::format("{:.1f} s", proxied)) + '\n';
}
std::string count_row(std::string_view name, std::size_t direct, std::size_t proxied) {
    return row(name, fmt::format("{}", direct), fmt::format("{}", proxied)) + '\n';
}

std::string share_of(const summary& of) {
    const auto all = static_cast<double>(std::max<std::size_t>(of.requests, 1));
    return fmt::format("{:.1f} %", 100 * static_cast<double>(of.succeeded) / all);
}

} // namespace

double percentile(std::vector<double> values, double q) {
    if (values.empty()) return 0;
    std::ranges::sort(values);
    const auto rank = static_cast<std::size_t>(std::ceil(q * static_cast<double>(values.size())));
    return values[std::clamp<std::size_t>(rank, 1, values.size()) - 1];
}

summary summarize(const std::vector<sample>& samples, std::uint64_t attempts) {
    summary out;
    out.requests = samples.size();
    std::vector<double> seconds, first_tokens;
    for (const sample& each : samples) {
        switch (each.how) {
        case verdict::success:
            ++out.succeeded;
            break;
        case verdict::error:
            ++out.errors;
            break;
        case verdict::late:
            ++out.late;
            break;
        case verdict::broken:
            ++out.broken;
            break;
        case verdict::degraded:
            ++out.degraded;
            break;
        }
        seconds.push_back(each.seconds);
        if (each.stream) first_tokens.push_back(each.first_token);
    }
    out.p50 = percentile(seconds, 0.50);
    out.p99 = percentile(std::move(seconds), 0.99);
    out.first_token_p50 = percentile(first_tokens, 0.50);
    out.first_token_p99 = percentile(std::move(first_tokens), 0.99);
    out.attempts_per_request =
        static_cast<double>(attempts) / static_cast<double>(std::max<std::size_t>(samples.size(), 1));
    return out;
}

std::string table(const summary& direct, const summary& proxied, const run_facts& facts, bool colour) {
    std::string out = painted(row("", "direct", "through evenkeel"), colour) + '\n';
    out += painted(row("success", share_of(direct), share_of(proxied)), colour) + '\n';
    out += seconds_row("whole answer, P50", direct.p50, proxied.p50);
    out += seconds_row("whole answer, P99", direct.p99, proxied.p99);
    out += seconds_row("first token of a stream, P50", direct.first_token_p50, proxied.first_token_p50);
    out += seconds_row("first token of a stream, P99", direct.first_token_p99, proxied.first_token_p99);
    out += row("upstream attempts per request", fmt::format("{:.2f}", direct.attempts_per_request),
               fmt::format("{:.2f}", proxied.attempts_per_request)) +
           '\n';
    out += count_row("failed: error answer", direct.errors, proxied.errors);
    out += count_row(fmt::format("failed: not complete after {:.0f} s", model::deadline), direct.late, proxied.late);
    out += count_row("failed: cut off or wrong", direct.broken, proxied.broken);
    out += count_row("failed: degraded answer", direct.degraded, proxied.degraded);
    out += fmt::format("\n"
                       "  {} requests on each side, the same ones and with the same luck at the first\n"
                       "  attempt: OpenAI chat and Anthropic messages, half of them streamed, {:.0f} a\n"
                       "  second, whether or not earlier ones were answered. Success: complete, correct\n"
                       "  and undegraded within the client's {:.0f} s; a failure counts as {:.0f} s in every\n"
                       "  time above.\n",
                       direct.requests, model::rate, model::deadline, model::deadline);
    out += fmt::format("  Provider: {:.0f} % of attempts end in a 500, 502, 503 or 529 (median {} s,\n"
                       "  sigma {}), {:.0f} % hang for {:.0f} s, the others take {} s (sigma {}); lognormal.\n",
                       100 * model::error_share, model::error_median, model::error_sigma, 100 * model::hang_share,
                       model::hang, model::answer_median, model::answer_sigma);
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
