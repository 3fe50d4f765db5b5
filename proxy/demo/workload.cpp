#include "proxy/demo/workload.hpp"

#include "proxy/model/luck.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <climits>

namespace evenkeel::demo {

using model::api;
using model::fate;

namespace {

// What a draw is for; two draws for different purposes are independent.
enum class use : std::uint64_t { arrival, speaks, stream, fate, status, time_u, time_v };

double draw(std::uint64_t seed, std::uint64_t number, std::uint64_t attempt, use what) noexcept {
    return model::draw(seed, number, attempt, static_cast<std::uint64_t>(what));
}

std::string microseconds(double seconds, double speed) { return fmt::format("{:.0f}us", seconds / speed * 1e6); }

constexpr std::array<int, 4> error_statuses{500, 502, 503, 529};
constexpr std::array<std::string_view, sides.size()> side_words{"direct", "classic", "tuned"};

} // namespace

workload::workload(std::uint64_t seed, unsigned requests) : seed_(seed) {
    facts_.requests = original::warm_up + requests;
    facts_.warm_up = original::warm_up;
    facts_.end = facts_.requests / original::rate;
    facts_.deadline = original::deadline;
}

model::planned_request workload::plan(unsigned number) const {
    return {.due = (number + 0.5 * draw(seed_, number, 0, use::arrival)) / original::rate,
            .speaks = draw(seed_, number, 0, use::speaks) < 0.5 ? api::openai_chat : api::anthropic_messages,
            .stream = draw(seed_, number, 0, use::stream) < original::stream_share};
}

fate workload::meet(unsigned number, unsigned attempt, int, double) const {
    const double falls_on = number < original::warm_up ? 1 : draw(seed_, number, attempt, use::fate);
    const double u = draw(seed_, number, attempt, use::time_u);
    const double v = draw(seed_, number, attempt, use::time_v);
    if (falls_on < original::error_share) {
        const auto which = static_cast<std::size_t>(draw(seed_, number, attempt, use::status) * error_statuses.size());
        return {.is = fate::kind::status,
                .first = model::lognormal(original::error_median, original::error_sigma, u, v),
                .status = error_statuses.at(which)};
    }
    if (falls_on < original::error_share + original::hang_share) return {.is = fate::kind::hang};
    const double whole = model::lognormal(original::answer_median, original::answer_sigma, u, v);
    return {.first = model::first_of_whole * whole, .whole = whole};
}

std::string script_of(const fate& met, double speed) {
    switch (met.is) {
    case fate::kind::status:
        // A 503 that gives no reason, as in the simulations: these failures come by chance, whatever the load.
        return fmt::format("status={}; {}delay={}", met.status, met.status == 503 ? "error=server; " : "",
                           microseconds(met.first, speed));
    case fate::kind::answer: break;
    default: return fmt::format("delay={}", microseconds(original::hang, speed));
    }
    const double gap = (met.whole - met.first) / (model::answer_pieces - 1);
    return fmt::format("events={}; first={}; gap={}", model::answer_pieces, microseconds(met.first, speed),
                       microseconds(gap, speed));
}

std::string script_for(const provider::attempt_record& attempt, const workload& of, double speed) {
    // Whoever tries the demo by hand comes without a name and gets the luck of a request beyond any of the workload.
    const auto name = parse_nonce(attempt.nonce);
    const unsigned number = name ? name->number : UINT_MAX - static_cast<unsigned>(attempt.serial);
    return script_of(of.meet(number, name ? static_cast<unsigned>(attempt.turn) : 1), speed);
}

std::string nonce_of(side from, unsigned number) {
    return fmt::format("{}.{}", side_words.at(static_cast<std::size_t>(from)), number);
}

std::optional<request_name> parse_nonce(std::string_view nonce) {
    for (const side from : sides) {
        const auto word = side_words.at(static_cast<std::size_t>(from));
        if (!nonce.starts_with(word) || !nonce.substr(word.size()).starts_with('.')) continue;
        const auto digits = nonce.substr(word.size() + 1);
        request_name out{from, 0};
        const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), out.number);
        if (error == std::errc{} && end == digits.data() + digits.size()) return out;
    }
    return std::nullopt;
}

model::question question_of(side from, unsigned number, const model::planned_request& plan) {
    const std::string nonce = nonce_of(from, number);
    const bool openai = plan.speaks == api::openai_chat;
    const auto body = fmt::format(R"({{"model":"sim-1","max_tokens":{},"stream":{},)"
                                  R"("messages":[{{"role":"user","content":"What keeps a ship upright? nonce:{}"}}]}})",
                                  plan.max_tokens, plan.stream, nonce);
    return {fmt::format("POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{}\r\n"
                        "Content-Length: {}\r\n\r\n{}",
                        openai ? "/v1/chat/completions" : "/v1/messages",
                        openai ? "Authorization: Bearer demo" : "X-Api-Key: demo\r\nAnthropic-Version: 2023-06-01",
                        body.size(), body),
            nonce};
}

} // namespace evenkeel::demo
