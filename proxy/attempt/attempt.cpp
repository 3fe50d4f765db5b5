// run() is one loop because three things make an attempt begin again without anybody being asked: a pooled connection
// that was dead already, a connection that what may not be sent twice must not be risked on, and a stream that nobody
// had asked for (upcast). Each is a new call over a new exchange with a new record, and nothing of the old one is
// reset.
//
// Every wait may be the one in which the flight loses interest: cancel() closes the call and makes the phase terminal,
// and whoever comes back from a wait looks at that first. What the policies learn is said in three places only
// (conclude, cancel, and the body's end), so that an attempt is evidence once, whatever way it went.
//
// Signs of life are kept as moments, not as events: nearly every attempt is over before anybody asks.

#include "proxy/attempt/attempt.hpp"

#include "proxy/events/hex_digits.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>
#include <variant>

namespace evenkeel::request {

using telemetry::attempt_kind;
using telemetry::attempt_result;
using telemetry::upcast_result;

namespace {
constexpr duration error_body_time = std::chrono::seconds{2}; // (reference: ecosystem 6.2)
constexpr duration closing_time = std::chrono::seconds{2};    // for a stream that said it is whole to end (chosen)
} // namespace

attempt::attempt(const attempt_services& services, endpoint_permit&& permit, attempt_id id, mailbox& box)
    : services_(services), permit_(std::move(permit)), id_(id), box_(&box) {}

attempt::~attempt() {
    order_.account = nullptr;
    if (recording_) tell_result(attempt_result::cancelled, services_.loop.now());
    forget_call();
}

void attempt::launch() { services_.loop.nursery().spawn(run(shared_from_this())); }

void attempt::cancel(cancel_cause why) noexcept {
    box_ = nullptr;
    if (cancelled_) return;
    cancelled_ = why;
    const bool over = phase_ == phase::terminal || (call_ && call_->ended()); // it has been read, or nobody took it
    if (over && !recording_) {
        order_.account = nullptr;
        return;
    }
    const steady_time now = services_.loop.now();
    auto result = attempt_result::cancelled;
    const duration silent = silence(now);
    if (!over) {
        // Whoever leaves a stream because it told of an error has not lost interest: it has failed.
        if (phase_ == phase::committed && hold_->format() && hold_->stream().has_error()) {
            permit_.failed(failed_with(outcome_kind::server_error), order_.luck, now);
            result = attempt_result::stream_error;
        } else {
            note_upload(true);
            permit_.cancelled(why, heard(), order_.luck, now);
            if (why == cancel_cause::attempt_timeout || why == cancel_cause::deadline) result = attempt_result::timeout;
        }
        phase_ = phase::terminal;
        order_.body = nullptr;
        cancel_.request();
        if (call_) call_->close();
    }
    tell_result(result, now, silent);
    order_.account = nullptr;
}

net::task<void> attempt::run(std::shared_ptr<attempt> self) {
    attempt& me = *self;
    try {
        // What could not be sent a second time goes out on a fresh connection: there is no stale one to die under it.
        const bool repeatable = me.order_.may_repeat && me.order_.body != nullptr &&
                                (!me.other_body().empty() || me.order_.body->keeps_replayable(me.services_.memory));
        bool fresh = me.order_.fresh || (me.order_.upstream->connections.retry_stale && !repeatable);
        attempt_kind kind = me.order_.kind;
        std::string_view why = me.order_.why;
        for (;;) {
            if (me.phase_ == phase::terminal) co_return; // before it began
            me.begin_record(kind, why);
            auto connection = fresh ? nullptr : me.services_.transport.reuse(me.order_.upstream);
            if (!connection) {
                const steady_time connected_in_time = me.launched_ + me.order_.route->timeout.connect;
                const steady_time connect_by =
                    me.order_.deadline_moves ? connected_in_time : std::min(connected_in_time, me.order_.deadline);
                net::open_result opened =
                    co_await me.services_.transport.open(me.order_.upstream, fresh, connect_by, me.cancel_);
                if (me.phase_ == phase::terminal) co_return; // reported by cancel()
                if (!opened.exchange) {
                    me.not_connected(std::move(opened.error));
                    co_return;
                }
                connection = std::move(opened.exchange);
                me.sent_at_ = me.services_.loop.now();
            }
            me.begin_call(std::move(connection));
            const upstream_request asked = me.asked();
            if (!me.call_->send(asked)) co_await me.call_->send_rest();
            std::optional<std::string_view> lost;
            while (!lost) {
                const net::io_result got = co_await me.call_->read_head();
                lost = me.call_->answered(got);
                if (!lost) me.heard_at_ = me.services_.loop.now();
            }
            if (me.phase_ == phase::terminal) co_return;
            if (!lost->empty()) {
                if (me.give_up(*lost)) co_return;
                fresh = true;
                kind = attempt_kind::stale_retry;
                why = "stale_connection";
                continue;
            }
            std::optional<held_verdict> found = me.begin_hold();
            const bool at_once = found.has_value();
            if (!at_once) found = co_await me.hold_more();
            if (me.phase_ == phase::terminal) co_return;
            if (const auto* plain = std::get_if<held::ask_plainly>(&*found)) {
                me.begin_plain(*plain);
                kind = attempt_kind::plain_retry;
                why = "plain";
                continue;
            }
            const steady_time now = at_once ? me.head_at_ : me.services_.loop.now();
            me.conclude(me.event_of(*found, now), now);
            co_return;
        }
    } catch (...) {
        me.broke_down();
        throw; // counted and logged by the nursery
    }
}

// From when on it could have answered: `at_its_end`, or in the middle of an upload that it does not read.
void attempt::note_upload(bool at_its_end) noexcept {
    if (!call_) return;
    const upstream_call::upload_state upload = call_->uploading();
    if (upload.moved != steady_time{} && (at_its_end || !upload.under_way)) permit_.asked(upload.moved);
}

bool attempt::is_mute() const noexcept {
    if (call_ ? call_->uploading().waits_for_client : queued()) return false; // it is us that it waits for
    return heard_at_ == steady_time{} && phase_ != phase::head && phase_ != phase::preamble &&
           phase_ != phase::committed && (!call_ || call_->unanswered());
}

endpoint_permit::heard attempt::heard() const noexcept {
    if (is_mute()) return endpoint_permit::heard::nothing;
    const bool lives = phase_ == phase::preamble && !hold_->keeps_error() && !call_->uploading().waits_for_client;
    return lives ? endpoint_permit::heard::signs_of_life : endpoint_permit::heard::not_due;
}

steady_time attempt::last_moved(steady_time now) const noexcept {
    return std::max({last_asked(now), head_at_, heard_at_});
}

steady_time attempt::last_asked(steady_time now) const noexcept {
    const steady_time latest = std::max(launched_, sent_at_);
    if (!call_) return latest;
    const upstream_call::upload_state upload = call_->uploading();
    if (upload.under_way && upload.waits_for_client) return now;
    return std::max(latest, upload.moved);
}

// Its flight is told like of any failure, which is nobody's but ours.
void attempt::broke_down() noexcept {
    if (call_) call_->close();
    if (phase_ == phase::terminal) return;
    tell_result(attempt_result::cancelled, services_.loop.now());
    try {
        fail(failed_with(outcome_kind::cancelled, unsent()), services_.loop.now());
    } catch (...) { // not even memory for that: the flight goes on at its next timer
        box_ = nullptr;
    }
}

void attempt::begin_record(attempt_kind kind, std::string_view why) {
    launched_ = sent_at_ = services_.loop.now(); // no time passes where a connection is at hand
    record_ = {};
    record_.route = order_.route.get();
    record_.upstream = order_.upstream.get();
    record_.kind = kind;
    record_.why = why;
    record_.credential = permit_.credential();
    record_.probe = permit_.is_probe();
    recording_ = true;
    record_.attempt =
        tell(launched_, telemetry::happened::launched{kind, why, record_.probe, begin_span(), record_.credential});
    permit_.is_of(record_.attempt);
}

std::uint64_t attempt::begin_span() noexcept {
    if (order_.account == nullptr || !order_.account->trace) return 0;
    const std::uint64_t span = order_.account->trace.next_span();
    const std::size_t at = order_.upcast ? order_.upcast->span_at : order_.span_at;
    if (at == 0) return span;
    std::array<char, telemetry::hex_digits> digits;
    telemetry::write_hex(digits.data(), span);
    (order_.upcast ? order_.upcast->head : order_.head).overwrite(at, {digits.data(), digits.size()});
    return span;
}

void attempt::not_connected(net::transport_error error) {
    transport_error_ = std::move(error);
    error_ = transport_error_.token;
    const bool tls = transport_error_.is == net::transport_error::kind::tls;
    const steady_time now = services_.loop.now();
    tell_result(tls ? attempt_result::tls_failure : attempt_result::connect_failure, now);
    attempt_outcome outcome = failed_with(outcome_kind::connect_failure, true);
    if (transport_error_.is == net::transport_error::kind::limit) outcome.what.is = outcome_class::neutral; // our bound
    outcome.lasting = transport_error_.lasting;
    if (transport_error_.is == net::transport_error::kind::connect_timeout && !cancel_.queued())
        permit_.not_reached(now);
    fail(outcome, now);
}

void attempt::begin_call(std::unique_ptr<net::exchange> over) {
    record_.reused = over->reused();
    record_.connect = over->connect_time();
    call_ = std::make_shared<upstream_call>(services_.buffers, std::move(over), order_.faulty);
    clock_.emplace(services_.loop.timers(), *call_, *order_.route);
    phase_ = phase::sent;
    permit_.sent(sent_at_);
}

upstream_request attempt::asked() const noexcept {
    return {.head = order_.upcast ? order_.upcast->head.view() : order_.head.view(),
            .whole = other_body(),
            .body = order_.body,
            .uploads = &services_.loop.nursery(),
            .clock = &services_.loop,
            .head_request = order_.head_request,
            .max_response_head = order_.max_response_head};
}

void attempt::forget_call() noexcept {
    body_.reset();
    clock_.reset();
    hold_.reset();
    if (call_) call_->close();
    call_.reset();
}

bool attempt::can_resend() const noexcept {
    if (order_.body == nullptr || !order_.upstream->connections.retry_stale) return false;
    return unsent() || (order_.may_repeat && (!other_body().empty() || order_.body->replayable()));
}

bool attempt::give_up(std::string_view token) {
    // Neither the client's doing nor that of a sibling which was quicker with a body that may not all be held says
    // anything of the upstream.
    const bool body_failed =
        call_->withdrawn() || (order_.body != nullptr && order_.body->failed() != request_body::failure::none);
    const bool stale = record_.reused && call_->unanswered() && !body_failed && can_resend();
    const outcome_kind kind = body_failed                               ? outcome_kind::cancelled
                              : call_->refused() != wire::refusal::none ? outcome_kind::protocol_error
                                                                        : outcome_kind::reset;
    const attempt_outcome outcome = failed_with(kind, unsent());
    call_->close();
    error_ = token;
    const steady_time now = services_.loop.now();
    tell_result(result_of(outcome), now);
    if (!stale) {
        fail(outcome, now);
        return true;
    }
    forget_call();
    phase_ = phase::unsent;
    error_ = {};
    return false;
}

// The plan hears that the attempt is no longer silent: what the first token was waited for is known, and the repetition
// must not be taken for a slow stream.
void attempt::begin_plain(const held::ask_plainly& found) {
    const auto upcast = std::move(order_.upcast); // an upload owns what it writes from
    const steady_time now = services_.loop.now();
    tell(now, telemetry::happened::upcast{found.why});
    const bool rest = found.why != upcast_result::too_large; // that was this answer's own
    if (rest && upcast->exclusions->exclude(order_.upstream->name, upcast->model, now))
        services_.observer.endpoint_changed(origin(), telemetry::upcast_excluded{found.why, found.what});
    tell_result(found.why == upcast_result::refused ? attempt_result::caller_error : attempt_result::cancelled, now);
    post(flight_event::progress{id_});
    permit_.be_plain();
    order_.hold = upcast->plain_hold;
    forget_call();
    phase_ = phase::unsent;
}

std::optional<held_verdict> attempt::begin_hold() {
    const wire::response_head& head = call_->head();
    head_at_ = services_.loop.now();
    note_upload(false);
    record_.status = head.status;
    record_.to_head = head_at_ - launched_;
    if (permit_.is_paced()) [[unlikely]]
        permit_.hear(head, services_.loop.wall_now(), head_at_);
    const bool recognise = order_.rules.dialect == wire::dialect::generic &&
                           order_.upstream->dialect == config::dialect_setting::automatic;
    const hold_order order{.what = order_.hold,
                           .streams_whole = order_.hold_streams_whole,
                           .upcast = order_.upcast != nullptr,
                           .recognise = recognise,
                           .hold_buffer = order_.route->stream.hold_buffer,
                           .rules = order_.rules};
    hold_.emplace(order, head, services_.memory);
    if (order.upcast && !hold_->keeps_stream() && !hold_->keeps_error())
        tell(head_at_, telemetry::happened::upcast{upcast_result::not_streamed});
    const held_verdict found = hold_->begin();
    phase_ = std::holds_alternative<held::head>(found) ? phase::head : phase::preamble;
    if (!std::holds_alternative<held::more>(found)) return found;
    return weigh(head_at_);
}

std::optional<held_verdict> attempt::weigh(steady_time now) {
    const wall_time wall = hold_->keeps_error() ? services_.loop.wall_now() : wall_time{};
    while (const auto piece = call_->ready()) {
        if (piece->is == upstream_call::piece::kind::broken)
            return held::failed{failed_with(outcome_kind::protocol_error), "http_response_transfer_coding"};
        if (piece->is == upstream_call::piece::kind::end) {
            call_->end();
            return hold_->end(wall);
        }
        const bool spoke = hold_->has_meaning();
        const held_verdict found = hold_->add(piece->data, now, wall);
        if (!spoke && hold_->has_meaning()) record_.to_first_event = now - launched_;
        if (hold_->keeps_whole_stream()) record_.events = hold_->stream().meaningful_events();
        if (std::holds_alternative<held::progress>(found)) {
            // The race among attempts, and what is learned of latency, go by the first meaningful event, whether it is
            // passed on or not.
            permit_.answers(now);
            permit_.took(now);
            post(flight_event::progress{id_});
        } else if (!std::holds_alternative<held::more>(found)) {
            return found;
        }
    }
    return std::nullopt;
}

net::task<held_verdict> attempt::hold_more() {
    held_verdict found = held::meaningful{}; // where there is no room for it, it is passed on as it comes
    if (hold_->keeps_error()) clock_->arm(services_.loop.now() + error_body_time);
    while (hold_->settle()) {
        const steady_time since = services_.loop.now();
        const bool judged = hold_->keeps_whole_stream() || leaves_last_words();
        if (hold_->keeps_stream())
            clock_->arm(order_.route->timeout.stream_idle, std::max(hold_->meant_at(), head_at_),
                        judged ? &hold_->stream() : nullptr, since);
        if (hold_->says_whole()) clock_->arm(since + closing_time);
        const net::io_result got = co_await call_->read();
        if (phase_ == phase::terminal) co_return found;
        const steady_time now = services_.loop.now();
        if (got.ok()) heard_at_ = now;
        if (hold_->keeps_whole_stream()) clock_->waited(now - since, hold_->stream());
        auto known = call_->arrived(got) ? weigh(now) : hold_->broken(clock_->fired(), services_.loop.wall_now());
        if (!known) continue;
        found = *known;
        break;
    }
    clock_->cancel();
    co_return found;
}

any_flight_event attempt::event_of(const held_verdict& found, steady_time now) {
    if (const auto* lost = std::get_if<held::failed>(&found)) {
        error_ = lost->token;
        tell_result(result_of(lost->outcome), now);
        // An answer that may still be handed on keeps its connection; the rest of the request has become pointless.
        if (!lost->outcome.has_answer) call_->close();
        call_->stop_sending();
        return flight_event::failed{id_, lost->outcome};
    }
    if (std::holds_alternative<held::complete>(found)) {
        call_->end();
        if (hold_->assembled()) tell(now, telemetry::happened::upcast{upcast_result::assembled});
        return flight_event::complete{id_};
    }
    if (std::holds_alternative<held::head>(found)) return flight_event::head{id_};
    return flight_event::meaningful{id_};
}

std::unique_ptr<body_source> attempt::take_body() {
    box_ = nullptr;
    phase_ = phase::committed;
    record_.committed = true;
    // Nothing is sent any more but by a write that is under way, which owns what it writes from.
    order_.renamed.clear();
    if (order_.upcast) order_.upcast->body.clear();
    const steady_time now = services_.loop.now();
    if (order_.hold != holding::nothing && hold_->is_unread()) tell(now, telemetry::happened::unread{});
    body_.emplace(*this, now);
    if (!call_->ended()) {
        permit_.committed();
    } else { // held to its end and found good, or reported as what it is
        permit_.finished(now);
        tell_result(attempt_result::success, now);
    }
    return attempt_body::handle(shared_from_this());
}

void attempt::post(const any_flight_event& event) {
    if (box_ != nullptr) box_->post(event);
}

void attempt::fail(const attempt_outcome& outcome, steady_time now) {
    conclude(flight_event::failed{id_, outcome}, now);
}

void attempt::conclude(const any_flight_event& event, steady_time now) {
    if (const auto* broken = std::get_if<flight_event::failed>(&event)) {
        permit_.failed(broken->outcome, order_.luck, now);
    } else if (!std::holds_alternative<flight_event::head>(event)) { // which says nothing yet
        permit_.answers(now);
        // A buffered answer that is more than is held takes until its end.
        if (hold_->format() || std::holds_alternative<flight_event::complete>(event)) permit_.took(now);
    }
    post(event);
}

telemetry::event_origin attempt::origin() const noexcept {
    const std::string_view id = order_.account != nullptr ? order_.account->request_id : std::string_view{};
    return {order_.route.get(), order_.upstream.get(), id, record_.attempt, order_.shown};
}

telemetry::attempt_number attempt::tell(steady_time now, const telemetry::any_happening& what) {
    return order_.account->tell(services_.observer, now, origin(), what);
}

// What is written to a client that takes its time is no silence of the upstream's.
duration attempt::silence(steady_time now) const noexcept {
    if (phase_ == phase::committed && !asked_for_more_) return {};
    return std::max(now - last_moved(now), duration::zero());
}

telemetry::spent_on attempt::became(attempt_result result) const noexcept {
    using telemetry::spent_on;
    if (record_.kind == attempt_kind::probe) return spent_on::probed;
    if (result == attempt_result::success) return spent_on::served;
    if (!cancelled_ || result != attempt_result::cancelled) return spent_on::failed;
    const bool lost = *cancelled_ == cancel_cause::lost || *cancelled_ == cancel_cause::overtaken;
    return lost ? order_.lost_as : spent_on::cancelled;
}

// A provider is paid for what it has answered, and for what it was about to when it was left: that it cannot know. For
// an error, and for what broke before it said anything, it is not.
telemetry::spending attempt::spending(attempt_result result) const {
    telemetry::spending out{.became = became(result)};
    if (!call_ || record_.status >= 400 || order_.stays_here) return out;
    const bool given_up =
        cancelled_.has_value() || result == attempt_result::timeout || result == attempt_result::cancelled;
    const bool left = given_up && call_->sent_all();
    if (!hold_ && !left) return out;
    const std::uint64_t sent = call_->bytes_sent();
    out.tokens = hold_ ? hold_->count_tokens(sent) : count_tokens({}, order_.rules.tokens, {sent, 0});
    const std::uint32_t said =
        out.tokens.at(telemetry::token_kind::output) + out.tokens.at(telemetry::token_kind::reasoning);
    if (result != attempt_result::success && !left && said == 0 && out.tokens.input_estimated) out.tokens = {};
    if (order_.price != nullptr) out.cost = cost_of(out.tokens, *order_.price);
    return out;
}

void attempt::tell_result(attempt_result result, steady_time now, duration silent) noexcept {
    if (!std::exchange(recording_, false)) return;
    record_.result = result;
    record_.error = error_;
    record_.at = now;
    record_.total = record_.at - launched_;
    if (call_) {
        record_.bytes_sent = call_->bytes_sent();
        record_.bytes_received = call_->bytes_received();
    }
    record_.spent = spending(result);
    if (permit_.is_paced()) [[unlikely]]
        permit_.settle(record_.spent.tokens);
    if (result == attempt_result::success && order_.budget != nullptr) order_.budget->learn(record_.total, record_.at);
    if (order_.account != nullptr) {
        const std::string_view why = cancelled_ ? to_string(*cancelled_) : error_;
        record_.request_id = order_.account->request_id;
        order_.account->note(record_.at, origin(),
                             telemetry::happened::ended{result, static_cast<std::uint16_t>(record_.status),
                                                        record_.total, why, silent, record_.spent});
    }
    services_.observer.attempt_finished(record_);
}

} // namespace evenkeel::request
