// What an attempt keeps back until its flight commits it: an error answer until it is classified, a stream until its
// first meaningful event, a buffered answer until its end.

#include "proxy/attempt/attempt_clock.hpp"

#include <boost/asio/error.hpp>

namespace evenkeel::request {

namespace {
constexpr duration error_body_time = std::chrono::seconds{2}; // (reference: ecosystem 6.2)
constexpr std::size_t max_preamble = 64 * 1024;               // of a stream without meaning; more commits it
constexpr duration closing_time = std::chrono::seconds{2};    // for a stream that said it is whole to end (chosen)
} // namespace

attempt::held_part attempt::what_to_hold() const noexcept {
    if (order_.hold == holding::nothing) return held_part::nothing;
    if (head_.status >= 400) return held_part::error;
    if (order_.hold == holding::errors) return held_part::nothing;
    if (format_) return held_part::stream;
    const bool too_large =
        head_.body.kind == wire::body_kind::length && head_.body.length > order_.route->stream.hold_buffer;
    return too_large ? held_part::nothing : held_part::whole;
}

bool attempt::keep(std::string_view data) {
    if (in_place_.data() == nullptr && kept_.empty()) {
        in_place_ = data;
        return true;
    }
    if (settle() && kept_.append(data)) return true;
    kept_.add(data); // this piece is here already; it goes out with the rest
    return false;
}

bool attempt::settle() {
    if (in_place_.data() == nullptr) return true;
    kept_.release();
    // No more than is held; and of what there is no room for as a whole, no more than is here.
    const bool knows_size = part_ == held_part::whole && head_.body.kind == wire::body_kind::length;
    const bool room = !knows_size || kept_.expect(head_.body.length);
    kept_.add(in_place_);
    in_place_ = {};
    return room;
}

void attempt::let_go() noexcept {
    in_place_ = {};
    if (!kept_.empty()) kept_.release();
}

void attempt::fail(const attempt_outcome& outcome) {
    if (recording_) report(result_of(outcome));
    // An answer that may still be handed on keeps its connection; the rest of the request has become pointless.
    if (!outcome.has_answer && !body_over_) exchange_->close();
    if (upload_ == upload_state::running) {
        upload_ = upload_state::broken;
        order_.body = nullptr;
    }
    event_ = flight_event::failed{id_, outcome};
}

// One more piece of the body; true: enough is known.
bool attempt::hold_piece(std::string_view data) {
    if (assembling()) return assemble_piece(data);
    const bool room = keep(data);
    switch (part_) {
    case held_part::error:
        if (room && held().size() < wire::max_error_body) return false;
        if (upcasting() && blames_stream(head_.status, held()))
            return repeat_plain(telemetry::upcast_result::refused, {});
        fail(judge_error(head_, content_, held(), order_.rules, services_.loop.wall_now(), facts_));
        return true;
    case held_part::whole:
        if (room && held().size() <= order_.route->stream.hold_buffer) return false;
        event_ = flight_event::meaningful{id_};
        return true;
    case held_part::stream: break;
    case held_part::nothing: return true;
    }
    const auto before = reader_->meaningful_events();
    const auto meaning = reader_->read(data);
    if (reader_->meaningful_events() > before) meant_at_ = services_.loop.now();
    if (before == 0 && reader_->has_meaning()) record_.to_first_event = meant_at_ - launched_;
    if (held_whole_ && reader_->has_meaning()) {
        if (reader_->has_error()) {
            facts_ = reader_->error();
            fail(judge_error_event(facts_, order_.rules));
            return true;
        }
        record_.events = reader_->meaningful_events();
        if (before == 0) stream_speaks();
        if (room && held().size() <= order_.route->stream.hold_buffer) return false;
        event_ = flight_event::meaningful{id_}; // more than may be held: it is passed on as it comes
        return true;
    }
    switch (meaning) {
    case wire::event_meaning::nothing:
        if (room && held().size() <= max_preamble) return false;
        break;
    case wire::event_meaning::meaningful: break;
    case wire::event_meaning::terminal:
        if (reader_->has_meaning()) break;
        error_ = "http_response_incomplete";
        fail(failed_with(outcome_kind::protocol_error)); // over without having said anything
        return true;
    case wire::event_meaning::error:
        facts_ = reader_->error();
        fail(judge_error_event(facts_, order_.rules));
        return true;
    case wire::event_meaning::malformed:
        error_ = "http_protocol_error";
        fail(failed_with(outcome_kind::protocol_error));
        return true;
    }
    event_ = flight_event::meaningful{id_};
    return true;
}

// The body has ended as its framing says it should.
void attempt::hold_end() {
    if (assembling()) return assemble_end(true, false);
    switch (part_) {
    case held_part::error:
        if (upcasting() && blames_stream(head_.status, held()))
            return static_cast<void>(repeat_plain(telemetry::upcast_result::refused, {}));
        return fail(judge_error(head_, content_, held(), order_.rules, services_.loop.wall_now(), facts_));
    case held_part::whole: {
        const auto problem = judge_whole(head_, content_, held(), order_.rules, facts_);
        if (problem) {
            if (!problem->has_answer) error_ = "http_response_incomplete";
            return fail(*problem);
        }
        event_ = flight_event::complete{id_};
        return;
    }
    case held_part::stream:
        if (reader_->end() == wire::event_meaning::error) {
            facts_ = reader_->error();
            return fail(judge_error_event(facts_, order_.rules));
        }
        if (order_.rules.wants_content && !reader_->has_meaning()) {
            error_ = "http_response_incomplete";
            return fail(failed_with(outcome_kind::protocol_error));
        }
        if (held_whole_ && reader_->knows_terminal() && !reader_->has_terminal()) {
            error_ = "http_response_incomplete";
            return fail(failed_with(outcome_kind::reset));
        }
        event_ = flight_event::complete{id_};
        return;
    case held_part::nothing: return;
    }
}

// The body broke off, or went silent for too long.
void attempt::hold_broken(net::error_code error) {
    const bool silent = clock_ && clock_->fired;
    if (!silent && head_.body.kind == wire::body_kind::until_close && error == boost::asio::error::eof) {
        static_cast<void>(end_body());
        return hold_end();
    }
    if (assembling()) return assemble_end(false, silent);
    if (held_whole_ && reader_->has_terminal() && reader_->between_events() &&
        head_.body.kind != wire::body_kind::length) {
        // Everything has been said; only the connection's own end went wrong.
        body_over_ = true;
        exchange_->close();
        final_ = {.is = body_step::kind::end, .ended = telemetry::stream_end::complete};
        event_ = flight_event::complete{id_};
        return;
    }
    error_ = silent ? "connection_read_timeout" : "http_response_incomplete";
    if (part_ == held_part::error) { // its status has said enough
        attempt_outcome outcome = judge_error(head_, content_, held(), order_.rules, services_.loop.wall_now(), facts_);
        outcome.has_answer = false;
        return fail(outcome);
    }
    fail(failed_with(silent ? outcome_kind::timeout : outcome_kind::reset));
}

// The race among attempts, and what is learned of latency, go by the first meaningful event, whether it is passed on or
// not.
void attempt::stream_speaks() {
    leave_.answers(meant_at_);
    leave_.took(meant_at_);
    post(flight_event::progress{id_});
}

bool attempt::hold_ready() {
    const bool first = part_ == held_part::nothing;
    part_ = what_to_hold();
    // What is opaque commits at its first byte: it cannot be known to be whole.
    held_whole_ = part_ == held_part::stream && (order_.hold_streams_whole || upcasting()) &&
                  *format_ != wire::stream_format::opaque;
    if (upcasting()) {
        if (assembling() && *format_ != wire::stream_format::sse)
            return repeat_plain(telemetry::upcast_result::unknown_field, "[no readable events]");
        if (first && !assembling() && part_ != held_part::error)
            tell(telemetry::happened::upcast{telemetry::upcast_result::not_streamed});
    }
    if (part_ == held_part::nothing) {
        if (order_.hold == holding::errors && is_no_answer(head_, content_, order_.rules)) {
            error_ = "http_response_incomplete";
            fail(failed_with(outcome_kind::protocol_error));
        } else {
            event_ = flight_event::head{id_};
        }
        return true;
    }
    while (const auto step = raw_ready()) {
        if (step->is == body_step::kind::data) {
            if (hold_piece(step->data)) return true;
            continue;
        }
        if (step->is == body_step::kind::end) {
            hold_end();
        } else {
            fail(failed_with(outcome_kind::protocol_error));
        }
        return true;
    }
    return false;
}

net::task<void> attempt::hold_more() {
    if (part_ == held_part::error) {
        if (!clock_) clock_ = std::make_unique<body_clock>(*this);
        services_.loop.timers().arm(*clock_, services_.loop.now() + error_body_time);
    }
    bool room = settle();
    // The head is still to be looked at, and passed on: more of the body goes elsewhere.
    head_block_ = std::move(in_);
    in_ = io_buffer(services_.buffers);
    while (room) {
        in_.clear();
        if (part_ == held_part::stream) arm_body_clock();
        if (held_whole_ && (assembling() ? order_.upcast->assembler.ended() : reader_->has_terminal()))
            services_.loop.timers().arm(*clock_, services_.loop.now() + closing_time);
        const steady_time since = services_.loop.now();
        const net::io_result got = co_await exchange_->read_some(in_.space(1, buffer_pool::block_bytes));
        if (cancelled_) co_return;
        if (held_whole_) note_rate(services_.loop.now() - since);
        if (!got.ok()) {
            hold_broken(got.error);
            break;
        }
        in_.commit(got.bytes);
        if (hold_ready()) break;
        room = settle();
    }
    if (!room) event_ = flight_event::meaningful{id_}; // it is passed on as it comes
    if (clock_) clock_->cancel();
}

} // namespace evenkeel::request
