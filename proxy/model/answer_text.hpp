#pragma once
// The bytes that go over the simulated wire: requests and answers in the shape of OpenAI's chat completions. All texts
// are made once; a request's nonce has always ten digits, so that it is written into a copy and no length changes. Each
// piece of an answer's text is marked "[nonce:piece] ", which is how a client knows that it got all of its own answer
// (judge.hpp).

#include "proxy/model/traffic.hpp"

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace evenkeel::model {

inline constexpr std::size_t nonce_digits = 10;
[[nodiscard]] std::array<char, nonce_digits> nonce_of(unsigned number) noexcept; // "0000000017"

class nonce_text {
public:
    nonce_text() = default;
    explicit nonce_text(std::string text); // with @@@@@@@@@@ wherever the nonce goes
    void append(std::string& out, unsigned number) const;
    [[nodiscard]] std::size_t size() const noexcept { return text_.size(); }

private:
    std::string text_;
    std::vector<std::size_t> places_;
};

// Whole request: head with `X-Simulated-Request: <nonce>`, which the proxy passes on, and body.
[[nodiscard]] nonce_text request_text(bool stream, int max_tokens);
inline constexpr std::string_view request_field = "X-Simulated-Request: ";
// The number in a request as the provider sees it.
[[nodiscard]] std::optional<unsigned> request_number(std::string_view head) noexcept;

// What is sent with piece `number` of an answer: the first one begins with the head, the last one ends the message.
class answer_texts {
public:
    answer_texts();

    void stream_head(std::string& out) const; // ... and the event that says only who speaks
    void stream_piece(std::string& out, unsigned number, int piece) const;
    void stream_end(std::string& out) const;   // the framing's end alone: whoever stops before says so himself
    void stream_error(std::string& out) const; // an error event, and the framing's end
    void buffered(std::string& out, unsigned number) const;
    void buffered_part(std::string& out, unsigned number, int pieces) const; // head and so many pieces of the text
    void buffered_cut(std::string& out, unsigned number, int pieces) const;  // ... framed as if that were all
    void buffered_error(std::string& out) const;                             // a 200 whose body is an error
    // `retry_after` in seconds of the scenario; where they are shorter than the clock's, in milliseconds of the clock.
    static void status(std::string& out, int status, std::optional<int> retry_after, double speed = 1);

private:
    std::string stream_head_, stream_error_, buffered_error_;
    std::array<nonce_text, answer_pieces> stream_pieces_;
    nonce_text buffered_;
    std::array<std::size_t, answer_pieces> part_ends_{}; // of buffered_: where so many pieces have been said
    std::array<nonce_text, answer_pieces> buffered_cuts_;
};

} // namespace evenkeel::model
