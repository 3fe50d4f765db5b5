#pragma once
// An access log of evenkeel (deploy/README.md, "Access log"), read as a record of what a provider was like. The log has
// one line per request, not per attempt, so part of it is inferred:
//
// - A request with `attempts` N had N - 1 failed attempts, each a 500 after 0.4 s, or after 1/(2 N) of `duration_s`
//   where that is shorter. The rest of `duration_s`, pauses between attempts included, is taken for the time of the
//   last one.
// - `outcome` says how the last one ended: ok, answered; upstream_error, an error answer of that `status`; proxy_error,
//   silence where `proxy_error` names a timeout, else a reset before any answer; truncated, after five of the answer's
//   ten pieces: silence, an error event or a reset, as `stream_end` says.
// - The first token of a stream came at `first_token_s`, without it, and for buffered answers, after a quarter of the
//   time.
// - client_cancelled counts as silence where nothing had come for 10 s or more (`first_byte_s` absent); else it is left
//   out, since nobody knows what would have come. So is whatever never reached an upstream (attempts 0, rejected).
// - What limits a provider is not in a log: attempts do not slow each other down.
//
// A line that is no JSON object, lacks ts, status, outcome, attempts or duration_s, has an impossible value in one of
// them, or is longer than 64 KiB, is junk: it is counted and passed over.

#include <cstdint>
#include <iosfwd>
#include <string>
#include <vector>

namespace evenkeel::simulate {

struct trace_entry {
    enum class end : unsigned char { answered, status, silence, reset, cut_reset, cut_error, cut_silence };
    double due = 0;         // seconds since the first request
    float first = 0;        // seconds, of the last attempt alone, until its first token ...
    float whole = 0;        // ... and until its end
    float failed_after = 0; // seconds, of each attempt before it
    std::uint16_t attempts = 1;
    std::uint16_t status = 200;
    end how = end::answered;
    bool stream = false;
};

struct trace {
    std::vector<trace_entry> entries; // in order of arrival
    std::uint64_t lines = 0;          // that are not empty
    std::uint64_t junk = 0;
    std::uint64_t left_out = 0; // understood, but of no attempt or of unknown end
};

inline constexpr std::size_t max_trace_line = 64 * 1024;    // bytes
inline constexpr std::size_t max_trace_entries = 5'000'000; // 32 bytes each; further lines are left out

[[nodiscard]] trace read_trace(std::istream& in);
[[nodiscard]] std::string describe(const trace& what); // "1000 lines: 990 replayed, 7 junk, 3 left out"

} // namespace evenkeel::simulate
