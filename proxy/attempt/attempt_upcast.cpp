// An attempt that asks for a stream where its client asked for an answer in one piece: puts the answer together while
// it is held back, or repeats the request as the client sent it.

#include "proxy/attempt/attempt_clock.hpp"

#include <utility>

namespace evenkeel::request {

using telemetry::upcast_result;

bool attempt::repeat_plain(upcast_result why, std::string_view what) {
    order_.upcast->again = why;
    order_.upcast->unknown = what;
    return true;
}

// One more piece of the stream; true: enough is known.
bool attempt::assemble_piece(std::string_view data) {
    upcast_order& upcast = *order_.upcast;
    const auto before = reader_->meaningful_events();
    const auto meaning = reader_->read(data);
    if (reader_->meaningful_events() > before) meant_at_ = services_.loop.now();
    record_.events = reader_->meaningful_events();
    if (reader_->has_error()) {
        facts_ = reader_->error();
        fail(judge_error_event(facts_, order_.rules));
        return true;
    }
    if (meaning == wire::event_meaning::malformed) {
        error_ = "http_protocol_error";
        fail(failed_with(outcome_kind::protocol_error));
        return true;
    }
    if (!upcast.assembler.add(data)) return repeat_plain(upcast_result::unknown_field, upcast.assembler.unknown());
    const std::uint64_t size = upcast.assembler.size();
    if (size > order_.route->stream.hold_buffer) return repeat_plain(upcast_result::too_large, {});
    if (size > upcast.charged) {
        if (!upcast.charge.take(size - upcast.charged)) return repeat_plain(upcast_result::too_large, {});
        upcast.charged = size;
    }
    if (before == 0 && reader_->has_meaning()) {
        record_.to_first_event = meant_at_ - launched_;
        stream_speaks();
    }
    return false;
}

// The stream is over. Only one that breaks before all has been said has failed; what says all and is no answer yet is
// asked for again.
void attempt::assemble_end(bool whole, bool silent) {
    upcast_order& upcast = *order_.upcast;
    if (reader_->end() == wire::event_meaning::error) {
        facts_ = reader_->error();
        return fail(judge_error_event(facts_, order_.rules));
    }
    // What a broken connection leaves half said is no event.
    if (whole && !upcast.assembler.end())
        return static_cast<void>(repeat_plain(upcast_result::unknown_field, upcast.assembler.unknown()));
    auto answer = upcast.assembler.answer();
    if (!answer && upcast.assembler.ended()) return static_cast<void>(repeat_plain(upcast_result::incomplete, {}));
    if (!answer) {
        error_ = silent ? "connection_read_timeout" : "http_response_incomplete";
        return fail(failed_with(silent ? outcome_kind::timeout : outcome_kind::reset));
    }
    if (!body_over_) { // everything has been said; only the connection's own end went wrong
        body_over_ = true;
        exchange_->close();
        final_ = {.is = body_step::kind::end};
    }
    upcast.assembled = true;
    kept_.adopt(std::move(*answer));
    tell(telemetry::happened::upcast{upcast_result::assembled});
    event_ = flight_event::complete{id_};
}

// The plan hears that the attempt is no longer silent: what the first token was waited for is known, and the repetition
// must not be taken for a slow stream.
void attempt::begin_plain() {
    upcast_order& upcast = *order_.upcast;
    const steady_time now = services_.loop.now();
    const upcast_result why = *std::exchange(upcast.again, std::nullopt);
    tell(telemetry::happened::upcast{why});
    const bool rest = why != upcast_result::too_large; // that was this answer's own
    if (rest && upcast.exclusions->exclude(order_.upstream->name, upcast.model, now))
        services_.observer.endpoint_changed(origin(), telemetry::upcast_excluded{why, upcast.unknown});
    error_ = {};
    report(why == upcast_result::refused ? telemetry::attempt_result::caller_error
                                         : telemetry::attempt_result::cancelled);
    post(flight_event::progress{id_});
    leave_.be_plain();

    if (clock_) clock_->cancel();
    clock_.reset();
    if (!body_over_) exchange_->close();
    upcast.streams = false;
    upcast.charge.release();
    upcast.charged = 0;
    order_.hold = upcast.plain_hold;
    let_go();
    head_.clear();
    head_block_.release();
    in_ = io_buffer(services_.buffers);
    decoder_ = wire::chunk_decoder{};
    content_ = {};
    format_.reset();
    reader_.reset();
    facts_ = {};
    part_ = held_part::nothing;
    final_ = {};
    refused_ = wire::refusal::none;
    meant_at_ = {};
    waited_ = {};
    counted_ = 0;
    scanned_ = 0;
    interim_ = 0;
    held_whole_ = body_over_ = wrote_ = false;
    upload_ = upload_state::none;
}

} // namespace evenkeel::request
