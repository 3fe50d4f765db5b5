// The body of a committed answer: what was held, then what comes, read along with so that a stream that ends before it
// is whole is never passed off as one.

#include "proxy/attempt/attempt_clock.hpp"

#include "proxy/wire/retry_hint.hpp"

#include <boost/asio/error.hpp>

#include <algorithm>
#include <cstring>

namespace evenkeel::request {

class attempt::body final : public body_source {
public:
    explicit body(std::shared_ptr<attempt> from) noexcept : from_(std::move(from)) {}
    ~body() override { from_->cancel(cancel_cause::client_gone); }
    std::optional<body_step> ready() override { return from_->answer_ready(); }
    net::task<body_step> next() override { return from_->answer_next(); }
    void cancel() noexcept override { from_->cancel(cancel_cause::client_gone); }
    void allow_until(steady_time deadline) noexcept override { from_->allow_until(deadline); }

private:
    std::shared_ptr<attempt> from_;
};

std::unique_ptr<body_source> attempt::take_body() {
    box_ = nullptr;
    committed_ = true;
    record_.committed = true;
    if (!body_over_) leave_.committed();
    if (head_.status >= 400 && part_ == held_part::nothing)
        told_to_wait_ = wire::retry_hint(head_, {}, services_.loop.wall_now());
    // Nothing is sent any more but by a write that is under way, which owns what it writes from.
    order_.renamed.clear();
    if (order_.upcast) order_.upcast->body.clear();
    const steady_time now = services_.loop.now();
    if (body_over_) leave_.finished(now);
    if (recording_ && body_over_) report(telemetry::attempt_result::success); // held to its end and found good
    if (format_) idle_limit_ = leave_.idle_allowance(order_.route->timeout.stream_idle, now);
    if (meant_at_ == steady_time{}) meant_at_ = now;
    brackets_matter_ = order_.hold != holding::nothing && !body_over_ && promises_json(head_, content_, order_.rules);
    return std::make_unique<body>(shared_from_this());
}

void attempt::end_exchange() noexcept {
    body_over_ = true;
    if (clock_) clock_->cancel();
    // What follows the message without having been asked for poisons the connection; so does what lies in front of the
    // next request because an upstream that refused a large one has not read it, and never will.
    const bool all_read =
        upload_ == upload_state::done && (head_.status < 400 || record_.bytes_sent <= inline_body_bytes);
    const bool clean = in_.empty() && head_.keep_alive && all_read;
    if (clean) {
        exchange_->recycle(std::chrono::seconds{head_.keep_alive_timeout_seconds});
    } else {
        exchange_->close();
    }
}

body_step attempt::end_body() {
    using telemetry::attempt_result;
    using telemetry::stream_end;
    // A stream that ends by its framing but never said it is whole is not; nor is JSON whose brackets do not close.
    if (committed_ && reader_) static_cast<void>(reader_->end());
    const bool told = committed_ && reader_ && reader_->has_error();
    if (committed_ && reader_ && reader_->knows_terminal() && !reader_->has_terminal()) {
        return break_body(told ? attempt_result::stream_error : attempt_result::truncated, "http_response_incomplete",
                          told ? stream_end::upstream_error : stream_end::truncated);
    }
    if (committed_ && is_cut_json())
        return break_body(attempt_result::truncated, "http_response_incomplete", stream_end::none);
    end_exchange();
    final_ = {.is = body_step::kind::end,
              .ended = !format_ ? stream_end::none
                       : told   ? stream_end::upstream_error
                                : stream_end::complete};
    if (committed_) {
        end_well(told);
        if (recording_) report(told ? attempt_result::stream_error : result_of_status(head_.status));
    }
    return final_;
}

// The policies hear of an answer that was passed on as it came, now that it is over.
void attempt::end_well(bool told_of_error) noexcept {
    const steady_time now = services_.loop.now();
    if (told_of_error) return leave_.failed(failed_with(outcome_kind::server_error), order_.luck, now);
    if (head_.status >= 400) {
        attempt_outcome outcome;
        outcome.retry_after = told_to_wait_;
        outcome.what = classify_answer(head_.status, {}, told_to_wait_, duration::max());
        outcome.over = refused_over::request; // nobody has looked: nothing may be held against a credential
        if (part_ == held_part::nothing) leave_.failed(outcome, order_.luck, now);
        return;
    }
    leave_.answers(now);
    leave_.took(now);
    leave_.finished(now);
}

body_step attempt::break_body(telemetry::attempt_result result, std::string_view why, telemetry::stream_end ended) {
    // Everything has been said; only the connection's own end went wrong.
    // (Where a length was announced the client counts, and has not got all of it.)
    if (committed_ && reader_ && reader_->has_terminal() && reader_->between_events() &&
        head_.body.kind != wire::body_kind::length) {
        body_over_ = true;
        if (clock_) clock_->cancel();
        exchange_->close();
        leave_.finished(services_.loop.now());
        if (recording_) report(telemetry::attempt_result::success);
        return final_ = {.is = body_step::kind::end, .ended = telemetry::stream_end::complete};
    }
    body_over_ = true;
    if (clock_) clock_->cancel();
    error_ = why;
    exchange_->close();
    if (committed_ && !cancelled_) {
        const outcome_kind kind = result == telemetry::attempt_result::timeout          ? outcome_kind::timeout
                                  : result == telemetry::attempt_result::protocol_error ? outcome_kind::protocol_error
                                                                                        : outcome_kind::reset;
        leave_.failed(failed_with(kind), order_.luck, services_.loop.now());
    }
    if (recording_ && committed_) report(result);
    final_ = {.is = body_step::kind::truncated, .why = why, .ended = format_ ? ended : telemetry::stream_end::none};
    // Never within an announced length: the client would count our words as the missing ones.
    const bool may_speak = committed_ && !cancelled_ && reader_ && !reader_->has_error() && reader_->between_events() &&
                           head_.body.kind != wire::body_kind::length;
    if (!may_speak || leaves_last_words()) return final_;
    const bool idle = ended == telemetry::stream_end::idle;
    last_words_ = wire::error_frame(*format_, reader_->spoken(), idle ? 504 : 502,
                                    idle ? "stream_idle_timeout" : "stream_truncated",
                                    idle ? "the upstream went silent before its stream was complete"
                                         : "the upstream's stream ended before it was complete");
    if (last_words_.empty()) return final_;
    return {.is = body_step::kind::data, .data = last_words_};
}

std::optional<body_step> attempt::raw_ready() {
    if (body_over_) return final_;
    const auto deliver = [&](std::string_view data) {
        record_.bytes_received += data.size();
        return body_step{.is = body_step::kind::data, .data = data};
    };
    const auto take = [&](std::string_view data) -> std::optional<body_step> {
        if (data.empty()) return std::nullopt;
        in_.consume(data.size());
        return deliver(data);
    };
    const auto refused = [&] {
        return break_body(telemetry::attempt_result::protocol_error, "http_response_transfer_coding",
                          telemetry::stream_end::truncated);
    };
    switch (head_.body.kind) {
    case wire::body_kind::none: return end_body();
    case wire::body_kind::length: {
        if (remaining_ == 0) return end_body();
        const auto data =
            in_.unread().substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(remaining_, SIZE_MAX)));
        remaining_ -= data.size();
        return take(data);
    }
    case wire::body_kind::until_close: return take(in_.unread());
    case wire::body_kind::chunked: {
        // The data of all chunks at hand is moved together, so that one read upstream is one write downstream.
        if (refused_ != wire::refusal::none) return refused();
        char* start = nullptr;
        std::size_t size = 0;
        for (;;) {
            if (decoder_.done() && size == 0) return end_body();
            if (decoder_.done()) return deliver({start, size});
            char* const here = in_.begin();
            const auto step = decoder_.next(in_.unread());
            if (step.is == wire::chunk_decoder::state::data) {
                char* const data = here + (step.data.data() - here);
                if (start == nullptr) {
                    start = data;
                } else {
                    std::memmove(start + size, data, step.data.size());
                }
                size += step.data.size();
            }
            in_.consume(step.consumed);
            if (step.is == wire::chunk_decoder::state::data || step.is == wire::chunk_decoder::state::done) continue;
            if (step.is == wire::chunk_decoder::state::refused) {
                refused_ = step.why;
                if (size == 0) return refused();
            }
            if (size > 0) return deliver({start, size});
            return std::nullopt;
        }
    }
    }
    return std::nullopt;
}

// Reads along; never changes a byte.
void attempt::scan(std::string_view data) {
    const auto before = reader_->meaningful_events();
    static_cast<void>(reader_->read(data));
    record_.events = reader_->meaningful_events();
    if (record_.events == before) return;
    meant_at_ = services_.loop.now();
    if (before > 0) return;
    record_.to_first_event = meant_at_ - launched_;
    leave_.answers(meant_at_);
    leave_.took(meant_at_);
}

void attempt::note_brackets(std::string_view data) noexcept {
    static constexpr std::string_view blanks = " \t\r\n";
    const auto last = data.find_last_not_of(blanks);
    if (last == std::string_view::npos) return;
    if (first_char_ == 0) first_char_ = data[data.find_first_not_of(blanks)];
    last_char_ = data[last];
}

// Only of what must be a JSON object and was not looked into as a whole.
bool attempt::is_cut_json() const noexcept {
    if (!brackets_matter_) return false;
    return !(first_char_ == '{' && last_char_ == '}') && !(first_char_ == '[' && last_char_ == ']');
}

std::optional<body_step> attempt::answer_ready() {
    if (!held_given_) {
        held_given_ = true;
        if (!held().empty()) {
            if (brackets_matter_) note_brackets(held());
            const bool meant = reader_ && reader_->has_meaning();
            if (reader_) record_.events = reader_->meaningful_events();
            return body_step{.is = body_step::kind::data, .data = held(), .first_event = meant};
        }
    }
    if (body_over_) return final_;
    auto step = raw_ready();
    if (!step || step->is != body_step::kind::data || !last_words_.empty()) return step;
    if (!reader_) {
        if (!brackets_matter_) return step;
        note_brackets(step->data);
        // The last bytes of an announced length are kept back where they show that the answer is none.
        const bool last = head_.body.kind == wire::body_kind::length && remaining_ == 0;
        if (last && is_cut_json())
            return break_body(telemetry::attempt_result::truncated, "http_response_incomplete",
                              telemetry::stream_end::none);
        return step;
    }
    const bool meant = reader_->has_meaning();
    scan(step->data);
    step->first_event = !meant && reader_->has_meaning();
    return step;
}

void attempt::arm_body_clock() {
    if (!clock_) clock_ = std::make_unique<body_clock>(*this);
    auto& loop = services_.loop;
    const auto& timeout = order_.route->timeout;
    const steady_time by = !format_
                               ? order_.deadline
                               : std::min({loop.now() + (committed_ ? idle_limit_ : timeout.stream_idle),
                                           std::max(meant_at_, head_at_) + timeout.content_idle, slow_by(loop.now())});
    loop.timers().arm(*clock_, by);
}

// `stream.min_rate`, judged in windows of time spent waiting for the upstream, so that a slow client is not held
// against it.
namespace {
duration rate_window(double per_second) noexcept {
    static constexpr std::chrono::seconds shortest{5}; // (reference: llm-gateways 5.5)
    return std::max<duration>(shortest,
                              std::chrono::duration_cast<duration>(std::chrono::duration<double>(3 / per_second)));
}
} // namespace

steady_time attempt::slow_by(steady_time now) const noexcept {
    const double rate = order_.route->stream.min_rate;
    const bool replaceable = (held_whole_ && !committed_) || leaves_last_words();
    if (rate <= 0 || !replaceable || !reader_->has_meaning() || reader_->has_terminal()) return steady_time::max();
    const duration window = rate_window(rate);
    const double wanted = rate * std::chrono::duration<double>(window).count();
    if (static_cast<double>(reader_->meaningful_events() - counted_) >= wanted) return steady_time::max();
    return now + std::max(window - waited_, duration::zero());
}

void attempt::note_rate(duration waited) noexcept {
    const double rate = order_.route->stream.min_rate;
    if (rate <= 0 || !reader_->has_meaning()) return;
    waited_ += waited;
    if (waited_ < rate_window(rate)) return;
    waited_ = {};
    counted_ = reader_->meaningful_events();
}

void attempt::allow_until(steady_time deadline) noexcept {
    order_.deadline = deadline;
    if (committed_ && !format_ && clock_ && clock_->armed()) arm_body_clock();
}

// The connection gave no more bytes.
body_step attempt::body_broke(net::error_code error) {
    using telemetry::attempt_result;
    using telemetry::stream_end;
    if (cancelled_) return break_body(attempt_result::cancelled, "connection_terminated", stream_end::client_gone);
    if (clock_->fired) {
        return break_body(attempt_result::timeout, format_ ? "connection_read_timeout" : "http_response_timeout",
                          stream_end::idle);
    }
    // Only a clean end of the connection ends a body that has no length of its own; TLS without close_notify and a
    // reset are no clean ends.
    if (head_.body.kind == wire::body_kind::until_close && error == boost::asio::error::eof) return end_body();
    return break_body(attempt_result::truncated, "http_response_incomplete", stream_end::truncated);
}

net::task<body_step> attempt::answer_next() {
    const auto self = shared_from_this(); // the source may be destroyed while this waits
    for (;;) {
        if (auto step = answer_ready()) co_return *step;
        if (cancelled_) co_return body_broke({});
        let_go(); // what was held has been delivered, and the head with it: whoever asks for more has done with them
        head_block_.release();
        in_.clear();
        arm_body_clock();
        const steady_time since = services_.loop.now();
        const net::io_result got = co_await exchange_->read_some(in_.space(1, buffer_pool::block_bytes));
        if (!got.ok()) co_return body_broke(got.error);
        if (format_) {
            const duration gap = services_.loop.now() - since;
            if (gap > order_.route->timeout.stream_idle / 4) leave_.paused(gap, services_.loop.now());
            note_rate(gap);
        }
        in_.commit(got.bytes);
    }
}

} // namespace evenkeel::request
