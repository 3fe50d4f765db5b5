#pragma once
// What a fan-out says: the answers of its parts, joined to one JSON document or told one by one as events. Pure: text
// out.
//
//   {"status": "complete|partial|failed", "parts": {"NAME": PART, ...}, "missing": ["NAME", ...]}
//   PART: "status": of the part's answer, "source": "live|last_good|fallback", "body": what it said
//
//   event: part                                       as soon as each is over
//   data: {"part": "NAME", "status": ..., "source": ..., "body": ...}
//   event: complete                                   behind the last one
//   data: {"status": ..., "missing": [...]}
//
// A body that is JSON stands in the document as it came (in an event with its line ends as blanks), any other text is a
// JSON string with its media type beside it as "content_type", an empty one is null. Text it is in any case: an answer
// that is neither JSON nor UTF-8 is no answer of a part (part_group). A failed part shows the error it got, ours or the
// upstream's.

#include "proxy/events/outcomes.hpp"

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace evenkeel::request {

struct part_answer {
    std::string_view name; // of the part's route
    int status = 0;
    bool good = false;                // a whole 2xx
    std::string_view source = "live"; // live | last_good | fallback
    std::string body;
    std::string content_type;
    // How it came about, for labels and log.
    telemetry::request_outcome outcome = telemetry::request_outcome::ok;
    telemetry::request_service service = telemetry::request_service::ok;
    std::string tries{};          // JSON (tries.hpp), of one that was disturbed; empty: none to tell
    std::string_view upstream;    // empty: none was asked
    std::string_view proxy_error; // RFC 9209 token of an error made here
    int attempts = 0;
    std::uint16_t chaos = 0;          // as request_account::chaos
    telemetry::bill served{}, lost{}; // likewise
    bool stop_client_retries = false;
    duration retry_after{}; // told with a failure; 0: not told
    duration took{};
};

enum class parts_verdict : unsigned char { complete, partial, failed };
[[nodiscard]] std::string_view to_string(parts_verdict) noexcept;
// failed: fewer than `min_success` are good.
[[nodiscard]] parts_verdict verdict_on(std::span<const part_answer* const> parts, int min_success) noexcept;

[[nodiscard]] std::string parts_document(std::span<const part_answer* const> parts, parts_verdict verdict);
[[nodiscard]] std::string part_event(const part_answer& part);
[[nodiscard]] std::string complete_event(std::span<const part_answer* const> parts, parts_verdict verdict);

// Of x-evenkeel-degraded: "partial; missing=phase2", "last_good; part=phase1"; empty where nothing is amiss.
[[nodiscard]] std::string degraded_label(std::span<const part_answer* const> parts, parts_verdict verdict);
// Of Proxy-Status, where the whole failed.
[[nodiscard]] std::string proxy_status_of(std::span<const part_answer* const> parts);
// A JSON object of one short object per part.
[[nodiscard]] std::string parts_log_text(std::span<const part_answer* const> parts);

} // namespace evenkeel::request
