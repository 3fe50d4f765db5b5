#pragma once
// What an answer says of the tokens it took, and how much of it is text. Reads the few members that matter where they
// stand and parses nothing else: `usage` is near the end of nearly every answer, and in one or two events of a stream.
//
//   OpenAI         usage: prompt_tokens, completion_tokens, total_tokens; prompt_tokens_details.cached_tokens,
//                  completion_tokens_details.reasoning_tokens are parts of them. Responses, transcriptions, images:
//                  input_tokens, output_tokens with input_tokens_details, output_tokens_details. Streams of chat and
//                  completions tell it only if asked to (stream_options.include_usage), responses in response.completed
//   who is like it DeepSeek (prompt_cache_hit_tokens), Jina and Voyage (total_tokens alone), xAI (reasoning beside
//                  completion_tokens: seen by the total), Groq (x_groq.usage)
//   Anthropic      usage: input_tokens, and beside it cache_read_input_tokens, cache_creation_input_tokens;
//                  output_tokens. A stream tells the input in message_start, the output in message_delta
//   Bedrock        usage: inputTokens, outputTokens, cacheReadInputTokens, cacheWriteInputTokens
//   Gemini         usageMetadata: promptTokenCount with cachedContentTokenCount a part of it, toolUsePromptTokenCount,
//                  candidatesTokenCount and thoughtsTokenCount beside it; in every event, the latest counts
//   Ollama         prompt_eval_count, eval_count
//   Cohere         meta.billed_units, usage.billed_units: input_tokens, output_tokens; else usage.tokens
//   llama.cpp      tokens_evaluated, tokens_predicted
//
// Only where it stands in the answer's own structure: a tool may have an argument called `usage`. What is negative, no
// number, or more than anybody takes (most_tokens) is not told. Never throws, on any input.

#include "proxy/wire/error_body.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace evenkeel::wire {

// The members as they were told, the latest of each; reading/token_count.hpp says what they mean together.
class usage {
public:
    static constexpr std::uint64_t most_tokens = 1'000'000'000; // of one member (chosen: a context has some 10^7)

    enum part : unsigned char {
        all_input,    // with what was read from a cache and written to it
        input,        // ... unless told beside them
        tool_input,   // beside the input
        output,       // with the reasoning, ...
        thoughts,     // ... unless told beside it
        total,        // of input and output
        cached,       // parts of the input
        cached_write, //
        read_beside,  // beside the input
        write_beside, //
        reasoning,    // a part of the output
    };
    static constexpr std::size_t part_count = 11;

    [[nodiscard]] bool tells(part what) const noexcept { return (told_ >> what & 1U) != 0; }
    [[nodiscard]] std::uint64_t at(part what) const noexcept { return values_[what]; } // 0 where it is not told
    [[nodiscard]] bool tells_any() const noexcept { return told_ != 0; }
    [[nodiscard]] std::uint32_t told() const noexcept { return told_; } // a bit for each part
    void tell(part what, std::uint64_t tokens) noexcept {
        values_[what] = tokens;
        told_ |= 1U << what;
    }
    void forget(part what) noexcept {
        values_[what] = 0;
        told_ &= ~(1U << what);
    }
    bool operator==(const usage&) const noexcept = default;

private:
    std::array<std::uint64_t, part_count> values_{};
    std::uint32_t told_ = 0;
};

// Of a whole answer in one piece. False: it tells nothing.
bool read_usage(dialect spoken, std::string_view body, usage& into) noexcept;
// ... of which the end is here; `array`: it is Google's stream that is an array.
bool read_usage_at_end(dialect spoken, std::string_view end_of_body, bool array, usage& into) noexcept;
// Of one event of a stream.
bool read_event_usage(dialect spoken, std::string_view name, std::string_view data, usage& into) noexcept;

// How many bytes of text, reasoning or arguments of calls a JSON answer or an event holds, as they are spelled. Of an
// event that only repeats what came before: none.
[[nodiscard]] std::uint64_t text_size(dialect spoken, std::string_view json) noexcept;

// The last bytes of a body that passes by, which is where it tells.
class body_end {
public:
    static constexpr std::size_t most = 4096; // (chosen: what follows `usage` in known answers is below 1 KiB)

    void add(std::string_view piece);
    // With `last`, the piece that is here.
    [[nodiscard]] std::string_view with(std::string_view last);
    [[nodiscard]] std::string_view bytes() const noexcept { return kept_; }
    void clear() noexcept { kept_.clear(); }

private:
    std::string kept_;
};

} // namespace evenkeel::wire
