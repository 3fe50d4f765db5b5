#pragma once
// The body of a committed answer: what was held, then what comes, read along with so that a stream that ends before it
// is whole is never passed off as one. Judges silence, rate and truncation, and speaks the last words of a stream that
// breaks.
//
// Part of its attempt, which it tells how the answer ended and which lives as long as anybody waits in here; it has the
// attempt's call to itself.

#include "policies/time.hpp"
#include "proxy/message/body_source.hpp"

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace evenkeel::request {

class attempt;

class attempt_body {
public:
    attempt_body(attempt& of, steady_time now); // which has just been committed
    attempt_body(const attempt_body&) = delete;
    attempt_body& operator=(const attempt_body&) = delete;

    // The one way to it; destroying that cancels the attempt.
    [[nodiscard]] static std::unique_ptr<body_source> handle(std::shared_ptr<attempt> of);

    [[nodiscard]] std::optional<body_step> ready();
    [[nodiscard]] net::task<body_step> next();
    void allow_until(steady_time deadline) noexcept;

private:
    void arm_clock();
    [[nodiscard]] body_step pass_on(std::string_view data, bool last);
    // The provider has told of an error where no client looks: the client is told in its stead.
    [[nodiscard]] bool has_hidden_error() const noexcept;
    [[nodiscard]] body_step tell_hidden_error(body_step step);
    void be_over() noexcept;
    [[nodiscard]] body_step end();
    void end_well(bool told_of_error, steady_time now) noexcept;
    [[nodiscard]] body_step broke();
    [[nodiscard]] body_step break_off(telemetry::attempt_result result, std::string_view why,
                                      telemetry::stream_end ended);
    void note_text(std::string_view text, bool last);
    void note_brackets(std::string_view data) noexcept;
    [[nodiscard]] bool is_cut_json() const noexcept;

    attempt& of_;
    std::optional<body_step> final_{};       // how it ended; nothing else follows
    std::string last_words_{};               // an error frame of ours, in front of that
    bool words_due_ = false;                 // ... still to be given
    duration idle_limit_{};                  // of a stream
    steady_time meant_at_;                   // its last meaningful event, or the commit
    std::optional<duration> told_to_wait_{}; // by an error answer that nobody has looked into
    // Of a JSON body passed on as it comes, blanks apart; its brackets must close.
    char first_char_ = 0, last_char_ = 0;
    bool brackets_matter_ = false;
    bool has_to_say_ = false; // likewise of any answer that came compressed: something, and up to its own end
    bool may_tell_ = false;   // what tokens it took, where it is in one piece
    bool held_given_ = false;
};

} // namespace evenkeel::request
