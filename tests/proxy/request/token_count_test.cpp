// What is told of tokens, put together; what is estimated; and what it costs.

#include "proxy/reading/token_count.hpp"

#include "config/settings.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace evenkeel::test::token_count_test {

using request::count_tokens;
using telemetry::token_count;
using telemetry::token_kind;
using wire::usage;

namespace {
struct row {
    std::string name;
    wire::dialect spoken;
    std::string body;
    // input, cached_read, cached_write, output, reasoning
    std::array<std::uint32_t, telemetry::token_kind_count> counts;
};
} // namespace

TEST_CASE("kinds are disjoint, whatever a provider counts into what") {
    using enum wire::dialect;
    const std::vector<row> rows{
        {"OpenAI: parts of the whole",
         openai,
         R"({"usage":{"prompt_tokens":19,"completion_tokens":10,"total_tokens":29,"prompt_tokens_details":)"
         R"({"cached_tokens":8},"completion_tokens_details":{"reasoning_tokens":4}}})",
         {11, 8, 0, 6, 4}},
        {"responses",
         openai,
         R"({"usage":{"input_tokens":36,"input_tokens_details":{"cached_tokens":6},"output_tokens":87,)"
         R"("output_tokens_details":{"reasoning_tokens":7},"total_tokens":123}})",
         {30, 6, 0, 80, 7}},
        {"xAI: reasoning beside",
         openai,
         R"({"usage":{"prompt_tokens":32,"completion_tokens":9,"total_tokens":135,)"
         R"("completion_tokens_details":{"reasoning_tokens":94}}})",
         {32, 0, 0, 9, 94}},
        {"... and less of it than of output",
         openai,
         R"({"usage":{"prompt_tokens":32,"completion_tokens":9,"total_tokens":45,)"
         R"("completion_tokens_details":{"reasoning_tokens":4}}})",
         {32, 0, 0, 9, 4}},
        {"Anthropic: beside each other",
         anthropic,
         R"({"usage":{"input_tokens":3,"cache_creation_input_tokens":100,"cache_read_input_tokens":2000,)"
         R"("output_tokens":12}})",
         {3, 2000, 100, 12, 0}},
        {"a gateway that tells both ways",
         openai,
         R"({"usage":{"prompt_tokens":2103,"completion_tokens":12,"total_tokens":2115,"cache_creation_input_tokens":)"
         R"(100,"cache_read_input_tokens":2000,"prompt_tokens_details":{"cached_tokens":2000}}})",
         {3, 2000, 100, 12, 0}},
        {"Gemini",
         gemini,
         R"({"usageMetadata":{"promptTokenCount":8,"candidatesTokenCount":10,"totalTokenCount":1053,)"
         R"("cachedContentTokenCount":2,"toolUsePromptTokenCount":3,"thoughtsTokenCount":1032}})",
         {9, 2, 0, 10, 1032}},
        {"Ollama", ollama, R"({"prompt_eval_count":26,"eval_count":298})", {26, 0, 0, 298, 0}},
        {"embeddings", openai, R"({"usage":{"prompt_tokens":8,"total_tokens":8}})", {8, 0, 0, 0, 0}},
        {"a total alone", generic, R"({"usage":{"total_tokens":815}})", {815, 0, 0, 0, 0}},
        {"a total and the output", generic, R"({"usage":{"total_tokens":815,"output_tokens":15}})", {800, 0, 0, 15, 0}},
        {"more from the cache than there was",
         openai,
         R"({"usage":{"prompt_tokens":5,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":50}}})",
         {0, 5, 0, 1, 0}},
        {"more reasoning than output",
         openai,
         R"({"usage":{"prompt_tokens":5,"completion_tokens":1,"completion_tokens_details":{"reasoning_tokens":50}}})",
         {5, 0, 0, 1, 50}},
        {"more output than there was in all",
         generic,
         R"({"usage":{"total_tokens":5,"output_tokens":50}})",
         {0, 0, 0, 50, 0}},
        {"as much as is believed of everything",
         gemini,
         R"({"usageMetadata":{"promptTokenCount":1000000000,"candidatesTokenCount":1000000000,)"
         R"("toolUsePromptTokenCount":1000000000,"thoughtsTokenCount":1000000000}})",
         {2'000'000'000, 0, 0, 1'000'000'000, 1'000'000'000}},
    };
    for (const row& one : rows) {
        CAPTURE(one.name);
        usage told;
        REQUIRE(wire::read_usage(one.spoken, one.body, told));
        const token_count found = count_tokens(told, wire::token_use::writes, {1000, 1000});
        CHECK(found.of == one.counts);
        CHECK(!found.input_estimated);
        CHECK(!found.output_estimated);
    }
}

TEST_CASE("what is not told is a quarter of the bytes, and marked; of a call without tokens it is nothing") {
    using request::bytes_seen;
    using wire::token_use;
    const bytes_seen seen{.request = 401, .text = 8};
    const token_count nothing = count_tokens({}, token_use::writes, seen);
    CHECK(nothing.of == token_count{.of = {101, 0, 0, 2, 0}}.of);
    CHECK(nothing.input_estimated);
    CHECK(nothing.output_estimated);
    CHECK(count_tokens({}, token_use::reads, seen) == token_count{.of = {101}, .input_estimated = true});
    CHECK(count_tokens({}, token_use::none, seen) == token_count{});

    usage half; // a stream of Anthropic's that broke
    half.tell(usage::input, 25);
    half.tell(usage::read_beside, 4);
    CHECK(count_tokens(half, token_use::writes, seen) == token_count{.of = {25, 4, 0, 2, 0}, .output_estimated = true});
    usage other;
    other.tell(usage::output, 7);
    CHECK(count_tokens(other, token_use::writes, seen) ==
          token_count{.of = {101, 0, 0, 7, 0}, .input_estimated = true});
    // Told is told, of whatever call.
    CHECK(count_tokens(other, token_use::told, seen) == token_count{.of = {0, 0, 0, 7, 0}});
    CHECK(count_tokens(other, token_use::none, seen) == token_count{});
    CHECK(count_tokens({}, token_use::told, seen) == token_count{});
    constexpr std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
    CHECK(count_tokens({}, token_use::writes, {most, most}).at(token_kind::input) == 0xffffffffU);
}

TEST_CASE("a cost is the price of each kind; reasoning is output, and a cache without a price is input") {
    const token_count tokens{.of = {1'000'000, 2'000'000, 3'000'000, 4'000'000, 5'000'000}};
    constexpr std::uint64_t one = 1'000'000'000; // in billionths
    CHECK(request::cost_of(tokens, {.input = 2.5, .output = 10, .cached_read = {}, .cached_write = {}}) ==
          static_cast<std::uint64_t>(6 * 2.5 + 9 * 10) * one);
    CHECK(request::cost_of(tokens, {.input = 3, .output = 15, .cached_read = 0.5, .cached_write = 4}) ==
          (3 + 1 + 12 + 9 * 15) * one);
    CHECK(request::cost_of({.of = {1}}, {.input = 0.15, .output = 0.6, .cached_read = {}, .cached_write = {}}) == 150);
    constexpr std::uint32_t many = std::numeric_limits<std::uint32_t>::max();
    CHECK(request::cost_of({.of = {many, many, many, many, many}},
                           {.input = 1e6, .output = 1e6, .cached_read = {}, .cached_write = {}}) == one * one);

    const auto written = [](std::uint64_t billionths) {
        std::array<char, telemetry::most_cost_digits> room{};
        return std::string{room.data(), telemetry::write_cost(room.data(), billionths)};
    };
    CHECK(written(0) == "0");
    CHECK(written(150) == "0.00000015");
    CHECK(written(1'234'000) == "0.001234");
    CHECK(written(12 * one) == "12");
    CHECK(written(12 * one + one / 2) == "12.5");
    CHECK(written(std::numeric_limits<std::uint64_t>::max()) == "18446744073.709551615");
}

TEST_CASE("a bill in words") {
    telemetry::bill served, lost;
    CHECK(telemetry::text_of(served, lost) == "input=0; output=0");
    served.add({.tokens = {.of = {10, 20, 0, 5, 2}}, .became = telemetry::spent_on::served, .cost = 1'500'000});
    CHECK(telemetry::text_of(served, lost) == "input=30; output=7; cached_read=20; reasoning=2; cost=0.0015");
    lost.add({.tokens = {.of = {30}, .input_estimated = true}, .cost = 2'000'000'000});
    CHECK(telemetry::text_of(served, lost) ==
          "input=30; output=7; cached_read=20; reasoning=2; lost=30; cost=0.0015; cost_lost=2; estimated");
}

} // namespace evenkeel::test::token_count_test
