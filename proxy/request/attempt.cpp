#include "proxy/request/attempt.hpp"

#include "proxy/wire/gate.hpp"
#include "proxy/wire/head_builder.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/ssl/error.hpp>

#include <algorithm>
#include <array>
#include <cstring>

namespace evenkeel::request {

namespace {
constexpr std::size_t inline_body_bytes = 64 * 1024; // a body up to this goes out with the head, before reading begins
constexpr int max_interim_heads = 16;                // 1xx answers per response (reference: threats, row 10)

bool is_event_stream(const wire::response_head& head) noexcept {
    const wire::field* type = head.find(wire::field_id::content_type);
    if (type == nullptr) return false;
    const auto starts = [&](std::string_view wanted) {
        return type->value.size() >= wanted.size() &&
               std::equal(wanted.begin(), wanted.end(), type->value.begin(),
                          [](char a, char b) { return a == (b >= 'A' && b <= 'Z' ? static_cast<char>(b + 32) : b); });
    };
    return starts("text/event-stream") || starts("application/x-ndjson");
}

telemetry::attempt_result result_of_status(int status) noexcept {
    if (status == 429 || status == 529) return telemetry::attempt_result::throttled;
    return status >= 500 ? telemetry::attempt_result::server_error : telemetry::attempt_result::success;
}
} // namespace

// Silence in a stream, or the deadline of a buffered answer: closes the exchange under the reader.
class attempt::body_clock final : public net::timer_entry {
public:
    explicit body_clock(attempt& owner) noexcept : owner_(owner) {}
    bool fired = false;

private:
    void on_timer() override {
        fired = true;
        if (owner_.exchange_) owner_.exchange_->close();
    }
    attempt& owner_;
};

class attempt::body final : public body_source {
public:
    explicit body(std::shared_ptr<attempt> from) noexcept : from_(std::move(from)) {}
    ~body() override { from_->cancel(false); }
    std::optional<body_step> ready() override { return from_->body_ready(); }
    net::task<body_step> next() override { return from_->body_next(); }
    void cancel() noexcept override { from_->cancel(false); }

private:
    std::shared_ptr<attempt> from_;
};

attempt::attempt(const attempt_services& services, attempt_order order, attempt_id id, mailbox& box)
    : services_(services), order_(std::move(order)), id_(id), box_(&box), in_(services.buffers) {}

attempt::~attempt() {
    if (recording_) report(cancelled_by_timeout_ ? telemetry::attempt_result::timeout : telemetry::attempt_result::cancelled);
}

void attempt::launch() { services_.loop.nursery().spawn(run(shared_from_this())); }

void attempt::cancel(bool timed_out) noexcept {
    if (cancelled_ || body_over_) {
        box_ = nullptr;
        return;
    }
    cancelled_ = true;
    cancelled_by_timeout_ = timed_out;
    box_ = nullptr;
    order_.body = nullptr;
    cancel_.request();
    if (exchange_) exchange_->close();
    if (recording_) report(timed_out ? telemetry::attempt_result::timeout : telemetry::attempt_result::cancelled);
}

void attempt::post(const any_flight_event& event) {
    if (box_ != nullptr) box_->post(event);
}

void attempt::begin_record(telemetry::attempt_kind kind) {
    ++tries_;
    launched_ = services_.loop.now();
    record_ = {};
    record_.route = order_.route.get();
    record_.upstream = order_.upstream.get();
    record_.kind = kind;
    recording_ = true;
    services_.observer.attempt_started(*order_.route, *order_.upstream);
}

void attempt::report(telemetry::attempt_result result) noexcept {
    recording_ = false;
    record_.result = result;
    record_.error = error_;
    record_.total = services_.loop.now() - launched_;
    services_.observer.attempt_finished(record_);
}

bool attempt::can_resend() const noexcept {
    if (order_.body == nullptr || !order_.upstream->connections.retry_stale) return false;
    return !wrote_ || (order_.may_repeat && order_.body->replayable());
}

net::task<void> attempt::run(std::shared_ptr<attempt> self) {
    attempt& me = *self;
    // What could not be sent a second time goes out on a fresh connection: there is no stale one to die under it.
    bool fresh = me.order_.upstream->connections.retry_stale && !me.order_.may_repeat;
    auto kind = telemetry::attempt_kind::first;
    for (;;) {
        me.begin_record(kind);
        const steady_time connect_by = std::min(me.launched_ + me.order_.route->timeout.connect, me.order_.deadline);
        net::open_result opened = co_await me.services_.transport.open(me.order_.upstream, fresh, connect_by, me.cancel_);
        if (me.cancelled_) co_return; // reported by cancel()
        if (!opened.exchange) {
            const bool tls = opened.error.is == net::transport_error::kind::tls;
            me.transport_error_ = std::move(opened.error);
            me.error_ = me.transport_error_.token;
            me.report(tls ? telemetry::attempt_result::tls_failure : telemetry::attempt_result::connect_failure);
            me.post(flight_event::failed{me.id_, tls ? attempt_failure::tls : attempt_failure::connect});
            co_return;
        }
        me.exchange_ = std::move(opened.exchange);
        me.record_.reused = me.exchange_->reused();
        me.record_.connect = me.exchange_->connect_time();

        const round_result result = co_await me.round();
        if (me.cancelled_) co_return;
        if (result.is == round_result::kind::head) {
            me.post(flight_event::head{me.id_});
            co_return;
        }
        const bool body_failed = me.order_.body != nullptr && me.order_.body->failed() != request_body::failure::none;
        const bool stale = me.record_.reused && result.unanswered && !body_failed && me.can_resend();
        me.exchange_->close();
        switch (result.why) {
        case attempt_failure::protocol: me.report(telemetry::attempt_result::protocol_error); break;
        case attempt_failure::local: me.report(telemetry::attempt_result::cancelled); break;
        default: me.report(telemetry::attempt_result::reset);
        }
        if (!stale) {
            me.post(flight_event::failed{me.id_, body_failed ? attempt_failure::local : result.why});
            co_return;
        }
        fresh = true;
        kind = telemetry::attempt_kind::stale_retry;
        me.in_.clear();
        me.scanned_ = 0;
        me.wrote_ = false;
        me.error_ = {};
        me.upload_ = upload_state::none;
    }
}

attempt::round_result attempt::give_up(attempt_failure why, std::string_view token) {
    error_ = token;
    return {round_result::kind::failed, why, in_.empty() && interim_ == 0};
}

// One gather write for head and body.
struct attempt::whole_request {
    std::array<boost::asio::const_buffer, 4> parts;
    std::size_t count = 0;
    std::array<char, 18> size_line;

    void add(std::string_view bytes) { parts[count++] = boost::asio::const_buffer(bytes.data(), bytes.size()); }
};

net::task<attempt::round_result> attempt::round() {
    sent_at_ = services_.loop.now();
    upload_ = upload_state::running;
    whole_request whole;
    if (gather(whole)) {
        const net::io_result sent = co_await exchange_->write({whole.parts.data(), whole.count});
        wrote_ = wrote_ || sent.bytes > 0;
        // A failed write does not end the attempt: the answer that explains it may be there to read.
        upload_ = sent.ok() ? upload_state::done : upload_state::broken;
        if (sent.ok() && order_.body != nullptr) record_.bytes_sent = order_.body->received();
    } else {
        services_.loop.nursery().spawn(upload(shared_from_this(), exchange_));
    }
    for (;;) {
        if (cancelled_) co_return give_up(attempt_failure::cancelled, {});
        const auto room = in_.space(1, order_.max_response_head + buffer_pool::block_bytes);
        if (room.size() == 0) {
            refused_ = wire::refusal::head_too_large;
            co_return give_up(attempt_failure::protocol, "http_response_header_section_size");
        }
        const net::io_result got = co_await exchange_->read_some(room);
        if (!got.ok()) {
            if (!in_.empty()) co_return give_up(attempt_failure::reset, "http_response_incomplete");
            co_return give_up(attempt_failure::reset, "connection_terminated");
        }
        in_.commit(got.bytes);
        if (read_head()) {
            if (refused_ != wire::refusal::none) co_return give_up(attempt_failure::protocol, "http_protocol_error");
            break;
        }
    }
    head_at_ = services_.loop.now();
    record_.status = head_.status;
    record_.to_head = head_at_ - launched_;
    stream_ = is_event_stream(head_);
    remaining_ = head_.body.length;
    co_return round_result{round_result::kind::head};
}

bool attempt::read_head() {
    for (;;) {
        const auto result = wire::read_response_head(in_.unread(), {.max_head_bytes = order_.max_response_head}, scanned_,
                                                     {.head_request = order_.head_request}, head_);
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
    const request_body& source = *order_.body;
    const std::string_view held = source.held();
    if (!source.complete() || !source.replayable() || held.size() > inline_body_bytes) return false;
    const bool chunked = source.framing().kind == wire::body_kind::chunked;
    out.add(order_.head);
    if (chunked && !held.empty()) out.add(wire::chunk_head(out.size_line.data(), held.size()));
    if (!held.empty()) out.add(held);
    if (chunked) out.add(held.empty() ? wire::last_chunk : std::string_view{"\r\n0\r\n\r\n"});
    return true;
}

// Sends head and body while the answer is already being read. `to` tells the exchange of this round: after a stale
// connection was replaced, the upload of the old one ends here and the new one starts from the first byte.
net::task<void> attempt::upload(std::shared_ptr<attempt> self, std::shared_ptr<net::exchange> to) {
    attempt& me = *self;
    const auto current = [&] { return me.order_.body != nullptr && me.exchange_ == to && !me.cancelled_; };
    if (!current()) co_return;
    const bool chunked = me.order_.body->framing().kind == wire::body_kind::chunked;
    std::uint64_t position = 0;
    bool head_sent = false;
    for (;;) {
        request_body::step step;
        if (!head_sent && me.order_.body->held().empty()) {
            step.is = request_body::step::kind::data; // the head goes ahead of the first byte of a slow client
        } else {
            step = co_await me.order_.body->read(position);
            if (!current()) co_return;
        }
        std::array<boost::asio::const_buffer, 4> parts;
        std::size_t count = 0;
        std::array<char, 18> size_line;
        const auto add = [&](std::string_view bytes) { parts[count++] = boost::asio::const_buffer(bytes.data(), bytes.size()); };
        if (!head_sent) add(me.order_.head);
        head_sent = true;
        const bool last = step.is == request_body::step::kind::end;
        if (step.is == request_body::step::kind::failed) {
            me.upload_ = upload_state::broken;
            to->close(); // the reader reports: what was promised upstream cannot be kept
            co_return;
        }
        if (!step.data.empty()) {
            if (chunked) add(wire::chunk_head(size_line.data(), step.data.size()));
            add(step.data);
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
        position += step.data.size();
        me.record_.bytes_sent = position;
        if (last) {
            me.upload_ = upload_state::done;
            co_return;
        }
    }
}

std::unique_ptr<body_source> attempt::take_body() {
    box_ = nullptr;
    return std::make_unique<body>(shared_from_this());
}

body_step attempt::end_body() {
    body_over_ = true;
    if (clock_) clock_->cancel();
    // What follows the message without having been asked for poisons the connection.
    const bool clean = in_.empty() && head_.keep_alive && upload_ == upload_state::done;
    if (clean) {
        exchange_->recycle(std::chrono::seconds{head_.keep_alive_timeout_seconds});
    } else {
        exchange_->close();
    }
    report(result_of_status(head_.status));
    return {body_step::kind::end, {}, {}};
}

body_step attempt::break_body(telemetry::attempt_result result, std::string_view why) {
    body_over_ = true;
    if (clock_) clock_->cancel();
    error_ = why;
    exchange_->close();
    if (recording_) report(result);
    return {body_step::kind::truncated, {}, why};
}

std::optional<body_step> attempt::body_ready() {
    if (body_over_) return body_step{body_step::kind::end, {}, {}};
    const auto deliver = [&](std::string_view data) {
        record_.bytes_received += data.size();
        return body_step{body_step::kind::data, data, {}};
    };
    switch (head_.body.kind) {
    case wire::body_kind::none: return end_body();
    case wire::body_kind::length: {
        if (remaining_ == 0) return end_body();
        const std::string_view data = in_.unread().substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(remaining_, SIZE_MAX)));
        if (data.empty()) return std::nullopt;
        in_.consume(data.size());
        remaining_ -= data.size();
        return deliver(data);
    }
    case wire::body_kind::until_close: {
        const std::string_view data = in_.unread();
        if (data.empty()) return std::nullopt;
        in_.consume(data.size());
        return deliver(data);
    }
    case wire::body_kind::chunked: {
        // The data of all chunks at hand is moved together, so that one read upstream is one write downstream.
        if (refused_ != wire::refusal::none) {
            return break_body(telemetry::attempt_result::protocol_error, "http_response_transfer_coding");
        }
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
                if (size == 0) return break_body(telemetry::attempt_result::protocol_error, "http_response_transfer_coding");
            }
            if (size > 0) return deliver({start, size});
            return std::nullopt;
        }
    }
    }
    return std::nullopt;
}

void attempt::arm_body_clock() {
    if (!clock_) clock_ = std::make_unique<body_clock>(*this);
    auto& loop = services_.loop;
    loop.timers().arm(*clock_, stream_ ? loop.now() + order_.route->timeout.stream_idle : order_.deadline);
}

net::task<body_step> attempt::body_next() {
    for (;;) {
        if (auto step = body_ready()) co_return *step;
        if (cancelled_) co_return break_body(telemetry::attempt_result::cancelled, "connection_terminated");
        in_.clear();
        arm_body_clock();
        const auto self = shared_from_this(); // the source may be destroyed while this waits
        const net::io_result got = co_await exchange_->read_some(in_.space(1, buffer_pool::block_bytes));
        if (got.ok()) {
            in_.commit(got.bytes);
            continue;
        }
        if (cancelled_) co_return break_body(telemetry::attempt_result::cancelled, "connection_terminated");
        if (clock_->fired) {
            co_return break_body(telemetry::attempt_result::timeout, stream_ ? "connection_read_timeout" : "http_response_timeout");
        }
        // Only a clean end of the connection ends a body that has no length of its own; TLS without close_notify and a
        // reset are no clean ends.
        if (head_.body.kind == wire::body_kind::until_close && got.error == boost::asio::error::eof) co_return end_body();
        co_return break_body(telemetry::attempt_result::truncated, "http_response_incomplete");
    }
}

} // namespace evenkeel::request
