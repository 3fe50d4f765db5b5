#pragma once
// Decides whether an answer is what the client asked for. Strict on purpose: an answer that is short by one piece, ends
// without its terminal marker, says "error" inside a 200 or goes on behind its end is a failure, whatever its status.
//
// It reads the texts of the providers of this program, in two dialects, and what a proxy may make of them: comments,
// other white space, other pieces. Simulations judge hundreds of thousands of answers, so members are looked for by
// their name, wherever they stand; that the whole is JSON is checked besides.

#include "proxy/model/traffic.hpp"

#include <string>
#include <string_view>

namespace evenkeel::model {

enum class verdict : unsigned char {
    success,
    error,    // an error status, or no connection
    late,     // not complete at the client's deadline
    broken,   // cut off, an error inside the stream, without its terminal marker, or not the text that was due
    degraded, // complete, and labelled as something else than the provider's answer
};

// Of an answer, what is no part of its body.
struct received_answer {
    int status = 0;        // 0: none came
    bool whole = false;    // its framing came to its end
    bool degraded = false; // labelled so
};

class answer_judge {
public:
    explicit answer_judge(api speaks = api::openai_chat, bool stream = false) { begin(speaks, stream); }
    // The next answer: the way it was asked for.
    void begin(api speaks, bool stream);
    // The next bytes of its body, framing removed, cut anywhere. True: they brought text of a stream.
    bool take(std::string_view bytes);
    // Once all was taken; `nonce` is that of the request.
    [[nodiscard]] verdict judge(const received_answer& answer, std::string_view nonce) const;

private:
    bool take_line(std::string_view line);
    [[nodiscard]] bool is_like_the_last(std::string_view event) const;

    api speaks_{};
    bool stream_ = false;
    std::string unread_; // a line of a stream that has not come to its end; the body, where it is none
    std::string text_;
    // Of the last event with text, what stood around its value. Most events differ from the one before in nothing else,
    // and are then as good as that.
    std::string before_, after_;
    std::string preamble_;  // an event that says nothing, of any answer before: often the same each time
    bool finished_ = false; // the provider said why it ended
    bool ended_ = false;    // the terminal marker
    bool failed_ = false;   // an error, something that is not JSON, or anything behind the terminal marker
    bool open_ = false;     // an event has begun that no blank line has ended yet
};

// Whether `text` is the whole answer to the request of this nonce: every piece, in order, once.
[[nodiscard]] bool is_whole_text(std::string_view text, std::string_view nonce);

} // namespace evenkeel::model
