#include "proxy/events/spending.hpp"

#include <array>
#include <charconv>

namespace evenkeel::telemetry {

std::string_view to_string(token_kind kind) noexcept {
    switch (kind) {
    case token_kind::input: return "input";
    case token_kind::cached_read: return "cached_read";
    case token_kind::cached_write: return "cached_write";
    case token_kind::output: return "output";
    case token_kind::reasoning: return "reasoning";
    }
    return "unknown";
}

std::string_view to_string(spent_on became) noexcept {
    switch (became) {
    case spent_on::served: return "served";
    case spent_on::lost_hedge: return "lost_hedge";
    case spent_on::rescued: return "rescued";
    case spent_on::failed: return "failed";
    case spent_on::cancelled: return "cancelled";
    case spent_on::probed: return "probed";
    }
    return "unknown";
}

char* write_cost(char* out, std::uint64_t billionths) noexcept {
    constexpr std::uint64_t one = 1'000'000'000;
    constexpr int digits = 9;
    out = std::to_chars(out, out + most_cost_digits, billionths / one).ptr;
    std::uint64_t rest = billionths % one;
    if (rest == 0) return out;
    *out++ = '.';
    char* const end = out + digits;
    for (char* at = end; at != out; rest /= 10) *--at = static_cast<char>('0' + rest % 10);
    out = end;
    while (out[-1] == '0') --out;
    return out;
}

std::string text_of(const bill& served, const bill& lost) {
    std::string out;
    const auto name = [&](std::string_view word) {
        if (!out.empty()) out += "; ";
        out += word;
    };
    const auto tokens = [&](std::string_view word, std::uint64_t count) {
        name(word);
        out += '=';
        out += std::to_string(count);
    };
    const auto money = [&](std::string_view word, std::uint64_t billionths) {
        std::array<char, most_cost_digits> digits;
        name(word);
        out += '=';
        out.append(digits.data(), write_cost(digits.data(), billionths));
    };
    tokens("input", served.input());
    tokens("output", served.output());
    if (served.at(token_kind::cached_read) > 0) tokens("cached_read", served.at(token_kind::cached_read));
    if (served.at(token_kind::cached_write) > 0) tokens("cached_write", served.at(token_kind::cached_write));
    if (served.at(token_kind::reasoning) > 0) tokens("reasoning", served.at(token_kind::reasoning));
    if (lost.all() > 0) tokens("lost", lost.all());
    if (served.cost > 0) money("cost", served.cost);
    if (lost.cost > 0) money("cost_lost", lost.cost);
    if ((served.estimated && served.all() > 0) || (lost.estimated && lost.all() > 0)) name("estimated");
    return out;
}

} // namespace evenkeel::telemetry
