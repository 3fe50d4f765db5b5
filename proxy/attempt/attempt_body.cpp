#include "proxy/attempt/attempt_body.hpp"

#include "proxy/attempt/attempt.hpp"
#include "proxy/wire/lenient_json.hpp"
#include "proxy/wire/retry_hint.hpp"

#include <algorithm>
#include <utility>

namespace evenkeel::request {

using telemetry::attempt_result;
using telemetry::stream_end;

namespace {
// May be destroyed while its next() waits: what waits is the attempt's.
class body_handle final : public body_source {
public:
    explicit body_handle(std::shared_ptr<attempt> of) noexcept : of_(std::move(of)) {}
    ~body_handle() override { of_->cancel(cancel_cause::client_gone); }
    std::optional<body_step> ready() override { return of_->body().ready(); }
    net::task<body_step> next() override { return of_->body().next(); }
    void cancel() noexcept override { of_->cancel(cancel_cause::client_gone); }
    void allow_until(steady_time deadline) noexcept override { of_->body().allow_until(deadline); }

private:
    std::shared_ptr<attempt> of_;
};
} // namespace

std::unique_ptr<body_source> attempt_body::handle(std::shared_ptr<attempt> of) {
    return std::make_unique<body_handle>(std::move(of));
}

attempt_body::attempt_body(attempt& of, steady_time now) : of_(of), meant_at_(of.hold_->meant_at()) {
    const hold& answer = *of.hold_;
    if (of.head().status >= 400 && answer.keeps_nothing())
        told_to_wait_ = wire::retry_hint(of.head(), {}, of.services_.loop.wall_now());
    if (answer.format()) idle_limit_ = of.permit_.idle_allowance(of.order_.route->timeout.stream_idle, now);
    if (meant_at_ == steady_time{}) meant_at_ = now;
    if (of.call_->ended()) { // held to its end
        final_ = {.is = body_step::kind::end, .ended = answer.format() ? stream_end::complete : stream_end::none};
    } else {
        may_tell_ = !answer.format() && answer.may_tell();
        const bool judged = of.order_.hold != holding::nothing;
        brackets_matter_ = judged && answer.promises_json();
        has_to_say_ = judged && !answer.format() && of.order_.rules.wants_content && of.head().status == 200 &&
                      answer.lacks_encoded_end();
    }
}

std::optional<body_step> attempt_body::ready() {
    hold& answer = *of_.hold_;
    if (!std::exchange(held_given_, true) && !answer.kept().empty()) {
        if (brackets_matter_ || has_to_say_ || may_tell_) note_text(answer.said(), false);
        if (answer.format()) of_.record_.events = answer.stream().meaningful_events();
        const body_step step{.is = body_step::kind::data, .data = answer.kept(), .first_event = answer.has_meaning()};
        return has_hidden_error() ? tell_hidden_error(step) : step;
    }
    if (std::exchange(words_due_, false)) return body_step{.is = body_step::kind::data, .data = last_words_};
    if (final_) return final_;
    const auto piece = of_.call_->ready();
    if (!piece) return std::nullopt;
    switch (piece->is) {
    case upstream_call::piece::kind::data: return pass_on(piece->data, piece->last);
    case upstream_call::piece::kind::end: return end();
    case upstream_call::piece::kind::broken: break;
    }
    return break_off(attempt_result::protocol_error, "http_response_transfer_coding", stream_end::truncated);
}

// Reads along; never changes a byte.
body_step attempt_body::pass_on(std::string_view data, bool last) {
    hold& answer = *of_.hold_;
    body_step step{.is = body_step::kind::data, .data = data};
    if (answer.turns_out_stream(data)) {
        brackets_matter_ = has_to_say_ = may_tell_ = false;
        idle_limit_ = of_.permit_.idle_allowance(of_.order_.route->timeout.stream_idle, of_.services_.loop.now());
    }
    if (!answer.format()) {
        if (brackets_matter_ || has_to_say_ || may_tell_) {
            const bool all = last && !answer.is_encoded();
            answer.read_along(data, [this, all](std::string_view text) { note_text(text, all); });
            if (answer.is_unread()) brackets_matter_ = has_to_say_ = may_tell_ = false;
        }
        // The last bytes of an announced length are kept back where they show that the answer is none.
        if (last && is_cut_json())
            return break_off(attempt_result::truncated, "http_response_incomplete", stream_end::none);
        return step;
    }
    const bool spoke = answer.has_meaning();
    const auto before = answer.stream().meaningful_events();
    static_cast<void>(answer.listen(data, of_.services_.loop.now()));
    if (last) { // kept back likewise: behind an announced length nothing could tell any more
        wire::stream_reader& stream = answer.stream();
        static_cast<void>(stream.end());
        if (stream.knows_terminal() && !stream.has_terminal() && !stream.has_error())
            return break_off(attempt_result::truncated, "http_response_incomplete", stream_end::truncated);
    }
    of_.record_.events = answer.stream().meaningful_events();
    if (of_.record_.events > before) meant_at_ = answer.meant_at();
    step.first_event = !spoke && answer.has_meaning();
    if (step.first_event) {
        of_.record_.to_first_event = meant_at_ - of_.launched_;
        of_.permit_.answers(meant_at_);
        of_.permit_.took(meant_at_);
    }
    return has_hidden_error() ? tell_hidden_error(step) : step;
}

bool attempt_body::has_hidden_error() const noexcept {
    const hold& answer = *of_.hold_;
    return answer.format() && answer.stream().has_error_field() && !final_ && !answer.is_encoded() &&
           !of_.call_->is_counted() && !of_.leaves_last_words();
}

// What came before that field goes out, then an error frame with the provider's words; nothing of what follows, for a
// [DONE] behind it would say that all is well.
body_step attempt_body::tell_hidden_error(body_step step) {
    static constexpr std::string_view field = "error:";
    const wire::stream_reader& stream = of_.hold_->stream();
    std::size_t at = step.data.starts_with(field) ? 0 : step.data.find("\nerror:");
    if (at == std::string_view::npos) at = step.data.find("\rerror:");
    const bool here = at != std::string_view::npos;
    step.data = step.data.substr(0, !here ? 0 : at == 0 ? 0 : at + 1);
    const wire::error_facts& said = stream.error();
    const std::string_view code = !said.code.empty()   ? std::string_view{said.code}
                                  : !said.type.empty() ? std::string_view{said.type}
                                                       : std::string_view{"upstream_error"};
    if (!here) last_words_ = "\n\n"; // its beginning has gone out
    last_words_ += wire::error_frame(wire::stream_format::sse, stream.spoken(), 502, code,
                                     said.message.empty() ? "the upstream broke off with an error" : said.message);
    const steady_time now = of_.services_.loop.now();
    be_over();
    of_.call_->close();
    of_.error_ = "http_response_incomplete";
    of_.permit_.failed(failed_with(outcome_kind::server_error), of_.order_.luck, now);
    of_.tell_result(attempt_result::stream_error, now);
    final_ = {.is = body_step::kind::truncated, .why = of_.error_, .ended = stream_end::upstream_error};
    words_due_ = !step.data.empty();
    if (!words_due_) step.data = last_words_;
    return step;
}

void attempt_body::note_text(std::string_view text, bool last) {
    if (brackets_matter_ || has_to_say_) note_brackets(text);
    if (may_tell_) of_.hold_->passes_by(text, last);
}

void attempt_body::note_brackets(std::string_view data) noexcept {
    static constexpr std::string_view blanks = " \t\r\n";
    if (first_char_ == 0) data = wire::without_mark(data);
    const auto last = data.find_last_not_of(blanks);
    if (last == std::string_view::npos) return;
    if (first_char_ == 0) first_char_ = data[data.find_first_not_of(blanks)];
    last_char_ = data[last];
}

// Only of what must be a JSON object and was not looked into as a whole.
bool attempt_body::is_cut_json() const noexcept {
    if (has_to_say_ && (of_.hold_->lacks_encoded_end() || first_char_ == 0)) return true;
    if (!brackets_matter_) return false;
    return !(first_char_ == '{' && last_char_ == '}') && !(first_char_ == '[' && last_char_ == ']');
}

void attempt_body::be_over() noexcept {
    of_.phase_ = attempt::phase::terminal;
    of_.clock_->cancel();
}

body_step attempt_body::end() {
    // A stream that ends by its framing but never said it is whole is not; nor is JSON whose brackets do not close.
    wire::stream_reader* const stream = of_.hold_->format() ? &of_.hold_->stream() : nullptr;
    if (stream != nullptr) static_cast<void>(stream->end());
    const bool told = stream != nullptr && stream->has_error();
    if (stream != nullptr && stream->knows_terminal() && !stream->has_terminal())
        return break_off(told ? attempt_result::stream_error : attempt_result::truncated, "http_response_incomplete",
                         told ? stream_end::upstream_error : stream_end::truncated);
    if (is_cut_json()) return break_off(attempt_result::truncated, "http_response_incomplete", stream_end::none);
    if (stream != nullptr && of_.hold_->lacks_encoded_end())
        return break_off(attempt_result::truncated, "http_response_content_coding", stream_end::truncated);
    if (may_tell_) of_.hold_->passed_by();
    be_over();
    of_.call_->end();
    final_ = {.is = body_step::kind::end,
              .ended = stream == nullptr ? stream_end::none
                       : told            ? stream_end::upstream_error
                                         : stream_end::complete};
    const steady_time now = of_.services_.loop.now();
    end_well(told, now);
    of_.tell_result(told ? attempt_result::stream_error : result_of_status(of_.record_.status), now);
    return *final_;
}

// The policies hear of an answer that was passed on as it came, now that it is over.
void attempt_body::end_well(bool told_of_error, steady_time now) noexcept {
    if (told_of_error) return of_.permit_.failed(failed_with(outcome_kind::server_error), of_.order_.luck, now);
    if (of_.record_.status >= 400) {
        if (!of_.hold_->keeps_nothing()) return; // they have heard
        attempt_outcome outcome;
        outcome.retry_after = told_to_wait_;
        outcome.what = classify_answer(of_.record_.status, {}, told_to_wait_, duration::max());
        outcome.over = refused_over::request; // nobody has looked: nothing may be held against a credential
        return of_.permit_.failed(outcome, of_.order_.luck, now);
    }
    of_.permit_.answers(now);
    of_.permit_.took(now);
    of_.permit_.finished(now);
}

body_step attempt_body::break_off(attempt_result result, std::string_view why, stream_end ended) {
    const wire::stream_reader* const stream = of_.hold_->format() ? &of_.hold_->stream() : nullptr;
    const bool cancelled = of_.cancelled_.has_value();
    // Never within an announced length: the client would count our words as the missing ones.
    const bool between =
        stream != nullptr && stream->between_events() && !of_.call_->is_counted() && !of_.hold_->lacks_encoded_end();
    const steady_time now = of_.services_.loop.now();
    be_over();
    of_.call_->close();
    if (between && stream->has_terminal()) { // everything has been said; only the connection's own end went wrong
        of_.permit_.finished(now);
        of_.tell_result(attempt_result::success, now);
        final_ = {.is = body_step::kind::end, .ended = stream_end::complete};
        return *final_;
    }
    of_.error_ = why;
    if (!cancelled) {
        const outcome_kind kind = result == attempt_result::timeout          ? outcome_kind::timeout
                                  : result == attempt_result::protocol_error ? outcome_kind::protocol_error
                                                                             : outcome_kind::reset;
        of_.permit_.failed(failed_with(kind), of_.order_.luck, now);
    }
    of_.tell_result(result, now, result == attempt_result::timeout ? now - of_.last_moved(now) : duration{});
    final_ = {.is = body_step::kind::truncated, .why = why, .ended = stream != nullptr ? ended : stream_end::none};
    // Nor behind compressed bytes, where they could not be read.
    if (cancelled || !between || stream->has_error() || of_.leaves_last_words() || of_.hold_->is_encoded())
        return *final_;
    const bool idle = ended == stream_end::idle;
    last_words_ = wire::error_frame(*of_.hold_->format(), stream->spoken(), idle ? 504 : 502,
                                    idle ? "stream_idle_timeout" : "stream_truncated",
                                    idle ? "the upstream went silent before its stream was complete"
                                         : "the upstream's stream ended before it was complete");
    if (last_words_.empty()) return *final_;
    return {.is = body_step::kind::data, .data = last_words_};
}

void attempt_body::arm_clock() {
    const hold& answer = *of_.hold_;
    if (!answer.format()) return of_.clock_->arm(of_.order_.deadline);
    of_.clock_->arm(idle_limit_, std::max(meant_at_, of_.head_at_),
                    of_.leaves_last_words() ? &answer.stream() : nullptr, of_.services_.loop.now());
}

void attempt_body::allow_until(steady_time deadline) noexcept {
    of_.allow_until(deadline);
    if (!of_.hold_->format() && of_.clock_->armed()) arm_clock();
}

// The connection gave no more bytes.
body_step attempt_body::broke() {
    if (of_.cancelled_) return break_off(attempt_result::cancelled, "connection_terminated", stream_end::client_gone);
    if (of_.clock_->fired())
        return break_off(attempt_result::timeout,
                         of_.hold_->format() ? "connection_read_timeout" : "http_response_timeout", stream_end::idle);
    return break_off(attempt_result::truncated, "http_response_incomplete", stream_end::truncated);
}

net::task<body_step> attempt_body::next() {
    const auto kept = of_.shared_from_this(); // whoever asks may be gone while this waits
    for (;;) {
        if (auto step = ready()) co_return *step;
        if (of_.cancelled_) co_return broke();
        // What was held has been delivered, and the head with it: whoever asks for more has done with them.
        of_.hold_->let_go();
        of_.call_->release_head();
        of_.order_.head = {}; // nor is it sent again
        arm_clock();
        const steady_time since = of_.services_.loop.now();
        of_.asked_for_more_ = true;
        const net::io_result got = co_await of_.call_->read();
        of_.asked_for_more_ = false;
        if (of_.cancelled_ || !of_.call_->arrived(got)) co_return broke(); // what came too late says nothing any more
        of_.heard_at_ = since;                                             // or a little later
        if (!got.ok() || !of_.hold_->format()) continue;
        const steady_time now = of_.services_.loop.now();
        const duration gap = now - since;
        of_.heard_at_ = now;
        if (gap > of_.order_.route->timeout.stream_idle / 4) of_.permit_.paused(gap, now);
        of_.clock_->waited(gap, of_.hold_->stream());
    }
}

} // namespace evenkeel::request
