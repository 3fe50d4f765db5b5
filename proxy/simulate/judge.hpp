#pragma once
// Decides whether an answer is what the client asked for. Strict on purpose: an answer that is short by one piece, ends
// without its terminal marker or says "error" inside a 200 is a failure, whatever its status. It reads the texts of
// answer_text.hpp and what a proxy may make of them (comments, other white space); it is no JSON parser.

#include <string_view>

namespace evenkeel::simulate {

enum class verdict : unsigned char {
    success,
    error,    // an error status, or no connection
    late,     // not complete at the client's deadline
    broken,   // cut off, an error inside the stream, without its terminal marker, or not the text that was due
    degraded, // complete, and labelled as something else than the provider's answer
};

struct received_answer {
    int status = 0;          // 0: none came
    bool whole = false;      // its framing came to its end
    bool degraded = false;   // labelled so
    bool stream = false;     // as asked for
    std::string_view body{}; // all of it, framing removed
};
[[nodiscard]] verdict judge(const received_answer& answer, std::string_view nonce);

} // namespace evenkeel::simulate
