#pragma once
// What an attempt took in tokens, what became of them, and what they cost: the words of the bill, in metrics, access
// log and journal.
//
// The kinds are disjoint, so that they can be added up: `input` is what was neither read from a cache of the provider
// nor written to it, `output` what is no reasoning. What nobody told is estimated, and said to be (token_count.hpp).

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace evenkeel::telemetry {

enum class token_kind : unsigned char { input, cached_read, cached_write, output, reasoning };
inline constexpr int token_kind_count = 5;
[[nodiscard]] constexpr bool is_of_input(token_kind kind) noexcept { return kind < token_kind::output; }

// What became of what an attempt took; the label `outcome` of tokens_total.
enum class spent_on : unsigned char {
    served,     // the answer, whole, that was given to its client
    lost_hedge, // the loser of a race with a hedge
    rescued,    // silent, or slower than the rescue of a silent one, or such a rescue that was not needed
    failed,     // it broke, was no answer, or took too long
    cancelled,  // its client left
    probed,     // a copy that showed whether an endpoint answers
};
inline constexpr int spent_on_count = 6;

[[nodiscard]] std::string_view to_string(token_kind) noexcept;
[[nodiscard]] std::string_view to_string(spent_on) noexcept;

// Of one attempt.
struct token_count {
    std::array<std::uint32_t, token_kind_count> of{};
    bool input_estimated = false, output_estimated = false;

    [[nodiscard]] std::uint32_t at(token_kind kind) const noexcept { return of[static_cast<std::size_t>(kind)]; }
    [[nodiscard]] std::uint32_t& at(token_kind kind) noexcept { return of[static_cast<std::size_t>(kind)]; }
    [[nodiscard]] bool is_estimated(token_kind kind) const noexcept {
        return is_of_input(kind) ? input_estimated : output_estimated;
    }
    [[nodiscard]] bool any() const noexcept { return of != decltype(of){}; }
    bool operator==(const token_count&) const noexcept = default;
};

struct spending {
    token_count tokens{};
    spent_on became = spent_on::failed;
    std::uint64_t cost = 0; // billionths of what `prices` are in; 0: no price, or nothing to pay
};

// Of several attempts.
struct bill {
    std::array<std::uint64_t, token_kind_count> tokens{};
    std::uint64_t cost = 0; // billionths
    bool estimated = false; // some of it

    void add(const spending& one) noexcept {
        for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] += one.tokens.of[i];
        cost += one.cost;
        estimated = estimated || one.tokens.input_estimated || one.tokens.output_estimated;
    }
    void add_since(const bill& now, const bill& before) noexcept { // what has come to `before`
        for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] += now.tokens[i] - before.tokens[i];
        cost += now.cost - before.cost;
        estimated = estimated || now.estimated;
    }
    [[nodiscard]] std::uint64_t at(token_kind kind) const noexcept { return tokens[static_cast<std::size_t>(kind)]; }
    [[nodiscard]] std::uint64_t input() const noexcept {
        return at(token_kind::input) + at(token_kind::cached_read) + at(token_kind::cached_write);
    }
    [[nodiscard]] std::uint64_t output() const noexcept { return at(token_kind::output) + at(token_kind::reasoning); }
    [[nodiscard]] std::uint64_t all() const noexcept { return input() + output(); }
};

// "0.001234": at most nine digits behind the point, none that says nothing. `out` has room for most_cost_digits.
inline constexpr std::size_t most_cost_digits = 24;
char* write_cost(char* out, std::uint64_t billionths) noexcept;

// "input=410; output=57; lost=120; cost=0.001234; cost_lost=0.0003; estimated": what the answer took and, lost, what
// the other attempts did. Of an answer's label.
[[nodiscard]] std::string text_of(const bill& served, const bill& lost);

} // namespace evenkeel::telemetry
