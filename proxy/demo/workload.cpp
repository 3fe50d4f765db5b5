#include "proxy/demo/workload.hpp"

#include "proxy/model/luck.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>

namespace evenkeel::demo {

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

planned_request plan(std::uint64_t seed, unsigned number) {
    return {.number = number,
            .due = (number + 0.5 * draw(seed, number, 0, use::arrival)) / original::rate,
            .speaks = draw(seed, number, 0, use::speaks) < 0.5 ? api::openai_chat : api::anthropic_messages,
            .stream = draw(seed, number, 0, use::stream) < original::stream_share};
}

luck draw_luck(std::uint64_t seed, std::uint64_t number, unsigned attempt) {
    const double fate = number < original::warm_up ? 1 : draw(seed, number, attempt, use::fate);
    const double u = draw(seed, number, attempt, use::time_u);
    const double v = draw(seed, number, attempt, use::time_v);
    if (fate < original::error_share) {
        const auto which = static_cast<std::size_t>(draw(seed, number, attempt, use::status) * error_statuses.size());
        return {luck::kind::error, model::lognormal(original::error_median, original::error_sigma, u, v),
                error_statuses.at(which)};
    }
    if (fate < original::error_share + original::hang_share) return {luck::kind::hang, original::hang};
    return {luck::kind::answer, model::lognormal(original::answer_median, original::answer_sigma, u, v)};
}

std::string script_of(const luck& drawn, double speed) {
    switch (drawn.is) {
    case luck::kind::error:
        // A 503 that gives no reason, as in the simulations: these failures come by chance, whatever the load.
        return fmt::format("status={}; {}delay={}", drawn.status, drawn.status == 503 ? "error=server; " : "",
                           microseconds(drawn.seconds, speed));
    case luck::kind::hang: return fmt::format("delay={}", microseconds(drawn.seconds, speed));
    case luck::kind::answer: break;
    }
    const double first = drawn.seconds * original::first_token;
    const double gap = (drawn.seconds - first) / (original::pieces - 1);
    return fmt::format("events={}; first={}; gap={}", original::pieces, microseconds(first, speed),
                       microseconds(gap, speed));
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

std::string_view path_of(const planned_request& request) noexcept {
    return request.speaks == api::openai_chat ? "/v1/chat/completions" : "/v1/messages";
}

std::string body_of(const planned_request& request, std::string_view nonce) {
    return fmt::format(R"({{"model":"sim-1","max_tokens":512,"stream":{},)"
                       R"("messages":[{{"role":"user","content":"What keeps a ship upright? nonce:{}"}}]}})",
                       request.stream, nonce);
}

} // namespace evenkeel::demo
