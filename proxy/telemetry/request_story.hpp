#pragma once
// A kept request as it is told: as JSON for programs, and in sentences for people, which say what happened and why,
// attempt by attempt. `evenkeel explain` of a request that was sent, and of one that never was, and the admin pages all
// say it in these words.

#include "proxy/telemetry/kept_request.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace evenkeel::telemetry {

// One sentence: what became of it, and the reason where it is none of the usual.
[[nodiscard]] std::string conclusion_of(const kept_request& of);

// What happened, in order; each with when.
struct told_event {
    duration after{};
    std::string sentence;
};
[[nodiscard]] std::vector<told_event> story_of(const kept_request& of);

// For a terminal: who asked what, the conclusion, the story, where the time went. Lines end at `columns` at the latest,
// where no single word is longer. Printable ASCII only, whatever a client chose.
[[nodiscard]] std::string story_text(const kept_request& of, std::size_t columns = 80);
// ... without who asked: of a request that was never sent.
[[nodiscard]] std::string story_of_nobody(const kept_request& of, std::size_t columns = 80);
// `text` in such lines.
[[nodiscard]] std::string wrapped(std::string_view text, std::size_t columns = 80);

// Of a list: without story and journal, with its tries if they are wanted.
[[nodiscard]] std::string summary_json(const kept_request& of, bool with_tries = false);
[[nodiscard]] std::string story_json(const kept_request& of);

} // namespace evenkeel::telemetry
