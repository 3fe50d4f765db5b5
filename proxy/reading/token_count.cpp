#include "proxy/reading/token_count.hpp"

#include "config/settings.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace evenkeel::request {

namespace {
using telemetry::token_kind;
using wire::usage;

constexpr std::uint64_t bytes_per_token = 4;

std::uint32_t bounded(std::uint64_t tokens) noexcept {
    return static_cast<std::uint32_t>(std::min<std::uint64_t>(tokens, std::numeric_limits<std::uint32_t>::max()));
}
std::uint32_t estimate(std::uint64_t bytes) noexcept {
    return bounded(bytes / bytes_per_token + (bytes % bytes_per_token != 0 ? 1 : 0));
}
std::uint64_t less(std::uint64_t whole, std::uint64_t part) noexcept { return whole - std::min(whole, part); }

// False: nothing was told of it.
bool count_input(const usage& told, telemetry::token_count& into) noexcept {
    const bool beside = told.tells(usage::read_beside) || told.tells(usage::write_beside);
    std::uint64_t read = beside ? told.at(usage::read_beside) : told.at(usage::cached);
    std::uint64_t written = beside ? told.at(usage::write_beside) : told.at(usage::cached_write);
    std::uint64_t fresh = 0;
    if (told.tells(usage::all_input) || (told.tells(usage::input) && !beside)) {
        const std::uint64_t all = told.at(told.tells(usage::all_input) ? usage::all_input : usage::input);
        read = std::min(read, all);
        written = std::min(written, all - read);
        fresh = all - read - written;
    } else if (told.tells(usage::input)) {
        fresh = told.at(usage::input);
    } else if (told.tells(usage::total)) {
        fresh = less(told.at(usage::total), told.at(usage::output) + told.at(usage::thoughts));
    } else {
        return false;
    }
    into.at(token_kind::input) = bounded(fresh + told.at(usage::tool_input));
    into.at(token_kind::cached_read) = bounded(read);
    into.at(token_kind::cached_write) = bounded(written);
    return true;
}

bool count_output(const usage& told, telemetry::token_count& into) noexcept {
    if (!told.tells(usage::output) && !told.tells(usage::thoughts) && !told.tells(usage::total)) return false;
    const std::uint64_t output = told.at(usage::output);
    if (told.tells(usage::thoughts)) {
        into.at(token_kind::output) = bounded(output);
        into.at(token_kind::reasoning) = bounded(told.at(usage::thoughts));
        return true;
    }
    const std::uint64_t reasoning = told.at(usage::reasoning);
    const std::uint64_t input = told.at(told.tells(usage::all_input) ? usage::all_input : usage::input);
    const bool beside = reasoning > output || (told.tells(usage::total) && reasoning > 0 &&
                                               told.at(usage::total) == input + output + reasoning);
    into.at(token_kind::output) = bounded(beside ? output : output - reasoning);
    into.at(token_kind::reasoning) = bounded(reasoning);
    return true;
}
} // namespace

telemetry::token_count count_tokens(const usage& told, wire::token_use use, bytes_seen seen) {
    telemetry::token_count out;
    if (use == wire::token_use::none) return out;
    const bool told_input = count_input(told, out), told_output = count_output(told, out);
    if (use == wire::token_use::told) return out;
    if (!told_input) {
        out.at(token_kind::input) = estimate(seen.request);
        out.input_estimated = true;
    }
    if (!told_output && use == wire::token_use::writes) {
        out.at(token_kind::output) = estimate(seen.text);
        out.output_estimated = true;
    }
    return out;
}

std::uint64_t cost_of(const telemetry::token_count& tokens, const config::price& price) noexcept {
    // A price is that of a million tokens: a thousand times it, in billionths, is that of one.
    double cost = 0;
    const auto add = [&](token_kind kind, double of_a_million) { cost += tokens.at(kind) * of_a_million * 1000; };
    add(token_kind::input, price.input);
    add(token_kind::cached_read, price.cached_read.value_or(price.input));
    add(token_kind::cached_write, price.cached_write.value_or(price.input));
    add(token_kind::output, price.output);
    add(token_kind::reasoning, price.output);
    constexpr double most = 1e18;
    return static_cast<std::uint64_t>(std::llround(std::min(cost, most)));
}

} // namespace evenkeel::request
