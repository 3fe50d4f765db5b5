#include "proxy/simulate/quiet.hpp"

#include "proxy/telemetry/json_text.hpp"
#include "proxy/telemetry/request_story.hpp"

#include <fmt/format.h>

#include <cmath>

namespace evenkeel::simulate {

namespace {
double mean_of(double sum, std::size_t count) { return count == 0 ? 0 : sum / static_cast<double>(count); }

std::string back_of(const quiet_row& row) {
    if (row.which.trouble == quiet_trouble::none) return "";
    return std::isfinite(row.found.back) ? fmt::format("{:.0f}", row.found.back) : "never";
}
} // namespace

std::string text_of(const std::vector<quiet_row>& rows, const std::vector<std::uint64_t>& seeds) {
    // 80 columns.
    std::string out = fmt::format("{:<22}{:>6}{:>8}{:>6}{:>6}{:>5}{:>7}{:>7}{:>7}{:>6}\n", "quiet", "ok", "longest",
                                  "mean", "sent", "most", "payers", "worst", "paid", "back");
    for (const quiet_row& each : rows) {
        const quiet_figures& of = each.found;
        std::string line =
            fmt::format("{:<22}{:>6.1f}{:>8.1f}{:>6.1f}{:>6.2f}{:>5}{:>7}{:>7.1f}{:>7.0f}{:>6}", each.which.name,
                        100 * of.success(), of.longest, mean_of(of.waited, of.requests), mean_of(of.sent, of.requests),
                        of.most_attempts, of.payers, of.most_paid, of.paid, back_of(each));
        while (line.back() == ' ') line.pop_back();
        out += line + '\n';
    }
    return out + '\n' +
           telemetry::wrapped(fmt::format(
               "From the moment the first upstream fell into its trouble. ok: % served whole; longest, mean: seconds "
               "until "
               "the answer was whole, or nobody waited any more; sent: upstream requests per request; most: attempts "
               "for "
               "one request; payers: callers that were not served or waited for over 1.2 times the usual; worst, paid: "
               "seconds beyond the usual, of one caller and of all; back: seconds from the end of the trouble until "
               "the "
               "first upstream serves again. Seeds: {}: ok, mean and paid are means over them, the rest is the worst "
               "of "
               "them.",
               seeds.size()));
}

std::string json_of(const std::vector<quiet_row>& rows, const std::vector<std::uint64_t>& seeds) {
    std::string out = "{\"seeds\":[";
    for (std::size_t at = 0; at < seeds.size(); ++at) out += fmt::format("{}{}", at == 0 ? "" : ",", seeds[at]);
    out += "],\"quiet\":[";
    for (std::size_t at = 0; at < rows.size(); ++at) {
        const quiet_figures& of = rows[at].found;
        out += at == 0 ? "\n" : ",\n";
        out += "{\"name\":";
        telemetry::append_quoted(out, rows[at].which.name);
        out += ",\"about\":";
        telemetry::append_quoted(out, rows[at].which.about);
        out += fmt::format(R"(,"success":{:.6f},"longest_s":{:.3f},"mean_s":{:.3f},"upstream_requests":{:.6f},)"
                           R"("most_attempts":{},"payers":{},"most_paid_s":{:.3f},"paid_s":{:.3f},"back_s":{}}})",
                           of.success(), of.longest, mean_of(of.waited, of.requests), mean_of(of.sent, of.requests),
                           of.most_attempts, of.payers, of.most_paid, of.paid,
                           std::isfinite(of.back) ? fmt::format("{:.3f}", of.back) : "null");
    }
    return out + "\n]}\n";
}

} // namespace evenkeel::simulate
