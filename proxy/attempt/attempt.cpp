#include "proxy/attempt/attempt_clock.hpp"

#include "proxy/wire/gate.hpp"
#include "proxy/wire/head_builder.hpp"

#include <boost/container/small_vector.hpp>

#include <algorithm>
#include <array>
#include <span>

namespace evenkeel::request {

namespace {
constexpr int max_interim_heads = 16; // 1xx answers per response (reference: threats, row 10)

attempt_outcome not_connected(const net::transport_error& error) {
    attempt_outcome outcome = failed_with(outcome_kind::connect_failure, true);
    if (error.is == net::transport_error::kind::limit) outcome.what.is = outcome_class::neutral; // our own bound
    return outcome;
}
} // namespace

attempt::attempt(const attempt_services& services, endpoint_leave&& leave, attempt_id id, mailbox& box)
    : services_(services), leave_(std::move(leave)), id_(id), box_(&box), in_(services.buffers),
      head_block_(services.buffers), kept_(services.memory) {}

attempt::~attempt() {
    order_.account = nullptr;
    if (recording_) report(telemetry::attempt_result::cancelled);
    let_go();
}

void attempt::launch() { services_.loop.nursery().spawn(run(shared_from_this())); }

void attempt::cancel(cancel_cause why) noexcept {
    if (std::exchange(cancelled_, true)) return;
    cancel_cause_ = why;
    if (body_over_) { // it has been read, or nobody took it
        box_ = nullptr;
        if (recording_) report(telemetry::attempt_result::cancelled);
        order_.account = nullptr;
        return;
    }
    const bool timed_out = why == cancel_cause::attempt_timeout || why == cancel_cause::deadline;
    // Whoever leaves a stream because it told of an error has not lost interest: it has failed.
    const bool told = committed_ && reader_ && reader_->has_error();
    if (told) {
        leave_.failed(failed_with(outcome_kind::server_error), order_.luck, services_.loop.now());
    } else {
        leave_.cancelled(why, order_.luck, services_.loop.now());
    }
    box_ = nullptr;
    order_.body = nullptr;
    cancel_.request();
    if (exchange_) exchange_->close();
    if (recording_)
        report(told        ? telemetry::attempt_result::stream_error
               : timed_out ? telemetry::attempt_result::timeout
                           : telemetry::attempt_result::cancelled);
    order_.account = nullptr;
}

void attempt::post(const any_flight_event& event) {
    if (box_ != nullptr) box_->post(event);
}

void attempt::post_failure(const attempt_outcome& outcome) {
    leave_.failed(outcome, order_.luck, services_.loop.now());
    post(flight_event::failed{id_, outcome});
}

void attempt::learn(steady_time now) noexcept {
    if (const auto* broken = std::get_if<flight_event::failed>(&event_))
        return leave_.failed(broken->outcome, order_.luck, now);
    if (std::holds_alternative<flight_event::head>(event_)) return; // says nothing yet
    leave_.answers(now);
    // A buffered answer that is more than is held takes until its end.
    if (format_ || std::holds_alternative<flight_event::complete>(event_)) leave_.took(now);
}

telemetry::event_origin attempt::origin() const noexcept {
    const std::string_view id = order_.account != nullptr ? order_.account->request_id : std::string_view{};
    return {order_.route.get(), order_.upstream.get(), id, record_.attempt};
}

void attempt::tell(const telemetry::any_happening& what) {
    order_.account->tell(services_.observer, services_.loop.now(), origin(), what);
}

void attempt::begin_record(telemetry::attempt_kind kind, std::string_view why) {
    launched_ = services_.loop.now();
    record_ = {};
    record_.route = order_.route.get();
    record_.upstream = order_.upstream.get();
    record_.kind = kind;
    record_.probe = leave_.is_probe();
    recording_ = true;
    tell(telemetry::happened::launched{kind, why, record_.probe});
    record_.attempt = static_cast<telemetry::attempt_number>(order_.account->effort.attempts);
    leave_.is_of(record_.attempt);
}

void attempt::report(telemetry::attempt_result result) noexcept {
    recording_ = false;
    record_.result = result;
    record_.error = error_;
    record_.at = services_.loop.now();
    record_.total = record_.at - launched_;
    if (result == telemetry::attempt_result::success && order_.budget != nullptr)
        order_.budget->learn(record_.total, record_.at);
    if (order_.account != nullptr) {
        const std::string_view why = cancelled_ ? to_string(cancel_cause_) : error_;
        record_.request_id = order_.account->request_id;
        order_.account->note(
            record_.at, origin(),
            telemetry::happened::ended{result, static_cast<std::uint16_t>(record_.status), record_.total, why});
    }
    services_.observer.attempt_finished(record_);
}

bool attempt::can_resend() const noexcept {
    if (order_.body == nullptr || !order_.upstream->connections.retry_stale) return false;
    return !wrote_ || (order_.may_repeat && (!other_body().empty() || order_.body->replayable()));
}

net::task<void> attempt::run(std::shared_ptr<attempt> self) {
    attempt& me = *self;
    try {
        // What could not be sent a second time goes out on a fresh connection: there is no stale one to die under it.
        const bool repeatable = me.order_.may_repeat && me.order_.body != nullptr &&
                                (!me.other_body().empty() || me.order_.body->keeps_replayable(me.services_.memory));
        bool fresh = me.order_.upstream->connections.retry_stale && !repeatable;
        auto kind = me.order_.kind;
        std::string_view why = me.order_.why;
        for (;;) {
            if (me.cancelled_) co_return; // before it began
            me.begin_record(kind, why);
            me.sent_at_ = me.launched_; // no time passes where a connection is at hand
            me.exchange_ = fresh ? nullptr : me.services_.transport.reuse(me.order_.upstream);
            if (!me.exchange_) {
                const steady_time connected_in_time = me.launched_ + me.order_.route->timeout.connect;
                const steady_time connect_by =
                    me.order_.deadline_moves ? connected_in_time : std::min(connected_in_time, me.order_.deadline);
                net::open_result opened =
                    co_await me.services_.transport.open(me.order_.upstream, fresh, connect_by, me.cancel_);
                if (me.cancelled_) co_return; // reported by cancel()
                if (!opened.exchange) {
                    const bool tls = opened.error.is == net::transport_error::kind::tls;
                    me.transport_error_ = std::move(opened.error);
                    me.error_ = me.transport_error_.token;
                    me.report(tls ? telemetry::attempt_result::tls_failure
                                  : telemetry::attempt_result::connect_failure);
                    me.post_failure(not_connected(me.transport_error_));
                    co_return;
                }
                me.exchange_ = std::move(opened.exchange);
                me.sent_at_ = me.services_.loop.now();
            }
            me.record_.reused = me.exchange_->reused();
            me.record_.connect = me.exchange_->connect_time();

            const round_result result = co_await me.round();
            if (me.cancelled_) co_return;
            if (result.is == round_result::kind::head) {
                const bool ready = me.hold_ready();
                if (!ready) co_await me.hold_more();
                if (me.cancelled_) co_return;
                if (me.order_.upcast && me.order_.upcast->again) {
                    me.begin_plain();
                    kind = telemetry::attempt_kind::plain_retry;
                    why = "plain";
                    continue;
                }
                me.learn(ready ? me.head_at_ : me.services_.loop.now());
                me.post(me.event_);
                co_return;
            }
            // Neither the client's doing nor that of a sibling which was quicker with a body that may not all be held
            // says anything of the upstream.
            const bool body_failed =
                me.upload_ == upload_state::withdrawn ||
                (me.order_.body != nullptr && me.order_.body->failed() != request_body::failure::none);
            const bool stale = me.record_.reused && result.unanswered && !body_failed && me.can_resend();
            me.exchange_->close();
            const attempt_outcome outcome = failed_with(body_failed ? outcome_kind::cancelled : result.why, !me.wrote_);
            me.report(result_of(outcome));
            if (!stale) {
                me.post_failure(outcome);
                co_return;
            }
            fresh = true;
            kind = telemetry::attempt_kind::stale_retry;
            why = "stale_connection";
            me.in_.clear();
            me.scanned_ = 0;
            me.wrote_ = false;
            me.error_ = {};
            me.upload_ = upload_state::none;
        }
    } catch (...) {
        me.broke_down();
        throw; // counted and logged by the nursery
    }
}

// Its flight is told like of any failure, which is nobody's but ours.
void attempt::broke_down() noexcept {
    if (exchange_) exchange_->close();
    if (cancelled_) return;
    order_.body = nullptr; // an upload that goes on ends
    if (recording_) report(telemetry::attempt_result::cancelled);
    try {
        post_failure(failed_with(outcome_kind::cancelled, !wrote_));
    } catch (...) { // not even memory for that: the flight goes on at its next timer
        box_ = nullptr;
    }
}

attempt::round_result attempt::give_up(outcome_kind why, std::string_view token) {
    error_ = token;
    return {round_result::kind::failed, why, in_.empty() && interim_ == 0};
}

// One gather write for head and body, which owns what it is written from.
struct attempt::whole_request {
    std::array<boost::asio::const_buffer, request_body::most_pieces + 3> parts;
    std::size_t count = 0;
    std::array<char, 18> size_line;
    std::array<shared_bytes, request_body::most_pieces> body;
    std::size_t body_size = 0;

    void add(std::string_view bytes) { parts[count++] = boost::asio::const_buffer(bytes.data(), bytes.size()); }
};

net::task<attempt::round_result> attempt::round() {
    leave_.sent(sent_at_);
    upload_ = upload_state::running;
    whole_request whole;
    if (gather(whole)) {
        std::span<boost::asio::const_buffer> left{whole.parts.data(), whole.count};
        net::io_result sent = exchange_->write_now(left);
        wrote_ = wrote_ || sent.bytes > 0;
        if (sent.ok() && !left.empty()) {
            sent = co_await exchange_->write(left);
            wrote_ = wrote_ || sent.bytes > 0;
        }
        // A failed write does not end the attempt: the answer that explains it may be there to read.
        upload_ = sent.ok() ? upload_state::done : upload_state::broken;
        if (sent.ok()) record_.bytes_sent = whole.body_size;
    } else {
        services_.loop.nursery().spawn(upload(shared_from_this(), exchange_));
    }
    for (;;) {
        if (cancelled_) co_return give_up(outcome_kind::cancelled, {});
        const auto room = in_.space(1, order_.max_response_head + buffer_pool::block_bytes);
        if (room.size() == 0) {
            refused_ = wire::refusal::head_too_large;
            co_return give_up(outcome_kind::protocol_error, "http_response_header_section_size");
        }
        const net::io_result got = co_await exchange_->read_some(room);
        if (!got.ok()) {
            if (!in_.empty()) co_return give_up(outcome_kind::reset, "http_response_incomplete");
            co_return give_up(outcome_kind::reset, "connection_terminated");
        }
        in_.commit(got.bytes);
        if (read_head()) {
            if (refused_ != wire::refusal::none) co_return give_up(outcome_kind::protocol_error, "http_protocol_error");
            break;
        }
    }
    head_at_ = services_.loop.now();
    record_.status = head_.status;
    record_.to_head = head_at_ - launched_;
    remaining_ = head_.body.length;
    content_ = content_of(head_);
    format_ = stream_format_of(content_, order_.rules);
    if (format_) {
        const bool recognise =
            order_.rules.dialect == wire::dialect::generic && order_.upstream->dialect == config::dialect::automatic;
        reader_ = std::make_unique<wire::stream_reader>(*format_, order_.rules.dialect, recognise);
    }
    co_return round_result{round_result::kind::head};
}

bool attempt::read_head() {
    for (;;) {
        const auto result = wire::read_response_head(in_.unread(), {.max_head_bytes = order_.max_response_head},
                                                     scanned_, {.head_request = order_.head_request}, head_);
        if (result.is == wire::head_result::state::need_more) return false;
        scanned_ = 0;
        if (result.is == wire::head_result::state::refused) {
            refused_ = result.why;
            return true;
        }
        in_.consume(result.consumed);
        if (head_.status >= 200) return true;
        // Interim answers are for us: we asked for none, and the client's own Expect was answered here.
        if (++interim_ > max_interim_heads) {
            refused_ = wire::refusal::too_many_interim;
            return true;
        }
    }
}

bool attempt::gather(whole_request& out) const {
    const bool replaced = !other_body().empty();
    const std::span<const shared_bytes> source = replaced ? other_body() : order_.body->pieces();
    if (!replaced && !order_.body->whole()) return false;
    for (const shared_bytes& one : source) out.body_size += one.size();
    if (out.body_size > inline_body_bytes || source.size() > out.body.size()) return false;
    if (!replaced && out.body_size != order_.body->received()) return false; // in too many pieces
    const bool chunked = !replaced && order_.body->framing().kind == wire::body_kind::chunked;
    out.add(out_head());
    if (chunked && !source.empty()) out.add(wire::chunk_head(out.size_line.data(), out.body_size));
    std::size_t count = 0;
    for (const shared_bytes& one : source) out.add((out.body[count++] = one).view());
    if (chunked) out.add(source.empty() ? wire::last_chunk : std::string_view{"\r\n0\r\n\r\n"});
    return true;
}

// Sends head and body while the answer is already being read. `to` tells the exchange of this round: after a stale
// connection was replaced, the upload of the old one ends here and the new one starts from the first byte.
net::task<void> attempt::upload(std::shared_ptr<attempt> self, std::shared_ptr<net::exchange> to) {
    try {
        co_await self->send(to);
    } catch (...) {
        if (self->exchange_ == to) self->upload_ = upload_state::withdrawn;
        to->close(); // whoever reads the answer reports
        throw;
    }
}

net::task<void> attempt::send(std::shared_ptr<net::exchange> to) {
    attempt& me = *this; // upload() holds it
    const auto current = [&] { return me.order_.body != nullptr && me.exchange_ == to && !me.cancelled_; };
    if (!current()) co_return;
    if (!me.other_body().empty()) {
        // Owned here until the write is over: the order lets go of it when the answer is committed, and that of an
        // upstream that refuses early is while the write still waits for room.
        const body_pieces other{me.other_body().begin(), me.other_body().end()};
        boost::container::small_vector<boost::asio::const_buffer, 4> parts{boost::asio::buffer(me.out_head())};
        for (const shared_bytes& one : other) parts.push_back(boost::asio::buffer(one.view()));
        const net::io_result sent = co_await to->write({parts.data(), parts.size()});
        if (!current()) co_return;
        me.wrote_ = me.wrote_ || sent.bytes > 0;
        me.upload_ = sent.ok() ? upload_state::done : upload_state::broken;
        me.record_.bytes_sent = sent.bytes;
        co_return;
    }
    const bool chunked = me.order_.body->framing().kind == wire::body_kind::chunked;
    request_body::reader source(*me.order_.body);
    std::uint64_t sent_bytes = 0;
    bool head_sent = false;
    for (;;) {
        request_body::step step;
        if (!head_sent && me.order_.body->received() == 0) {
            step.is = request_body::step::kind::data; // the head goes ahead of the first byte of a slow client
        } else {
            step = co_await source.next();
            if (!current()) co_return;
        }
        std::array<boost::asio::const_buffer, 4> parts;
        std::size_t count = 0;
        std::array<char, 18> size_line;
        const auto add = [&](std::string_view bytes) {
            parts[count++] = boost::asio::const_buffer(bytes.data(), bytes.size());
        };
        if (!head_sent) add(me.order_.head);
        head_sent = true;
        const bool last = step.is == request_body::step::kind::end;
        if (step.is == request_body::step::kind::failed) {
            me.upload_ = source.outrun() ? upload_state::withdrawn : upload_state::broken;
            to->close(); // the reader reports: what was promised upstream cannot be kept
            co_return;
        }
        if (!step.data.empty()) {
            if (chunked) add(wire::chunk_head(size_line.data(), step.data.size()));
            add(step.data.view());
            if (chunked) add(wire::chunk_tail);
        } else if (last && chunked) {
            add(wire::last_chunk);
        }
        if (count > 0) {
            const net::io_result sent = co_await to->write({parts.data(), count});
            if (!current()) co_return;
            me.wrote_ = me.wrote_ || sent.bytes > 0;
            if (!sent.ok()) {
                me.upload_ = upload_state::broken; // an early answer may still be there to read
                co_return;
            }
        }
        sent_bytes += step.data.size();
        me.record_.bytes_sent = sent_bytes;
        if (last) {
            me.upload_ = upload_state::done;
            co_return;
        }
    }
}

} // namespace evenkeel::request
