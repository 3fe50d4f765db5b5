// One coroutine a connection, run(), which lives as long; what it needs only while a request is served lies in frames
// below it, so that an idle connection is one frame and its object. A request is served by plain functions wherever
// nothing has to be waited for: a coroutine costs what parsing a head does, and most answers of a fast upstream are
// here whole when they are looked at.
//
// The order of the end matters more than that of the beginning. A request's body is released before its answer is read
// to its end, since a client may take long; the answer before the request, whose memory it may point to; and what a
// client had not yet sent of its body is read and dropped before the socket closes, since a reset would overtake the
// answer.

#include "proxy/client/client_connection.hpp"

#include "proxy/client/decoded_body.hpp"
#include "proxy/events/disturbed.hpp"
#include "proxy/events/tries.hpp"
#include "proxy/message/local_answer.hpp"
#include "proxy/reading/client_key.hpp"
#include "proxy/reading/judgement.hpp"
#include "proxy/reading/outgoing.hpp"
#include "proxy/reading/trace_id.hpp"
#include "proxy/wire/characters.hpp"
#include "proxy/wire/error_facts.hpp"
#include "proxy/wire/gate.hpp"
#include "proxy/wire/head_builder.hpp"
#include "proxy/wire/lenient_json.hpp"
#include "proxy/wire/one_event_stream.hpp"
#include "proxy/wire/stream_reader.hpp"

#include <boost/asio/error.hpp>
#include <boost/container/static_vector.hpp>

#include <algorithm>
#include <array>
#include <exception>
#include <optional>
#include <span>

namespace evenkeel::request {

namespace {
// An idle connection is parked: it gives back its buffer and whatever else only a busy one needs. Soon, since what it
// gives back serves the others (chosen: who sends its next request later than this is in no hurry).
constexpr duration park_after = std::chrono::milliseconds{50};
// Of an unread request body that is read and dropped before closing. A client that is busy sending looks at the answer
// when it has sent, or when it cannot go on: so what counts is that it goes on, and for how long we bear with it, not
// how much comes.
constexpr duration linger_time = std::chrono::seconds{30};
constexpr duration linger_silence = std::chrono::seconds{2};
constexpr std::size_t max_request_id = 128;
constexpr std::size_t longest_coding_told = 32; // of an upstream's words, in a message

// What a client can make of that has the head of a stream already.
bool is_readable_stream(const answer& given) noexcept {
    return (given.events || is_event_stream(*given.head)) && content_of(*given.head).readable();
}
bool is_sane_id(std::string_view id) noexcept {
    return !id.empty() && id.size() <= max_request_id &&
           std::all_of(id.begin(), id.end(), [](char c) { return wire::has_class(c, wire::char_class::plain); });
}

// "last_good; age=35", "route; name=cheap", "respond"
std::string label_of(const telemetry::degradation& how) {
    std::string out{to_string(how.by)};
    if (how.by == fallback_kind::last_good)
        out += "; age=" + std::to_string(std::chrono::duration_cast<std::chrono::seconds>(how.age).count());
    if (how.by == fallback_kind::route) out.append("; name=").append(how.route);
    return out;
}

// RFC 9211: it was collapsed with another request; `?0`: it was, and had to be sent by itself after all.
std::string_view cache_status_of(const answer& given) noexcept {
    using telemetry::coalesce_role;
    if (given.coalesced == coalesce_role::none || given.coalesced == coalesce_role::leader) return {};
    if (given.degraded.is && given.local) return {}; // a step of the ladder that asked nobody
    return given.coalesced == coalesce_role::follower ? "evenkeel; fwd=miss; collapsed"
                                                      : "evenkeel; fwd=miss; collapsed=?0";
}

} // namespace

void connection_context::use(config::snapshot next, std::shared_ptr<const policy_set> its_policies) {
    head_hold_tick = request::head_hold_tick(*next);
    settings = std::move(next);
    policies = std::move(its_policies);
}

client_connection::client_connection(connection_context& context, std::unique_ptr<net::client_stream> stream,
                                     arrival via)
    : context_(context), services_(context.services), stream_(std::move(stream)), input_(context.services.buffers),
      write_watch_(services_.loop, *stream_), ahead_(services_, *stream_),
      watched_(
          services_.departures, *stream_,
          [](void* self, net::departure what) {
              auto& me = *static_cast<client_connection*>(self);
              what == net::departure::left ? me.client_left() : me.client_sends_no_more();
          },
          this),
      via_(via) {
    context_.open.push_back(*this);
}

client_connection::~client_connection() {
    context_.open.erase(context_.open.iterator_to(static_cast<connection_hook&>(*this)));
}

// What a busy connection needs, frames of coroutines included, is gone while it is parked.
net::task<void> client_connection::run(std::unique_ptr<client_connection> self) {
    client_connection& me = *self;
    while (co_await me.converse()) {
        me.shed();
        me.timed_out_ = false;
        me.begin_wait(std::max(me.context_.settings->limits.idle_timeout - park_after, duration::zero()));
        me.waiting_ = true;
        const net::io_result readable = co_await me.stream_->wait_readable();
        me.waiting_ = false;
        if (!readable.ok() || me.closing_) co_return;
        me.woken_ = true;
    }
}

void client_connection::shed() {
    input_.release();
    head_ = {};
    out_ = {};
    upstream_request_id_ = {};
}

net::task<bool> client_connection::converse() {
    while (!closing_) {
        scanned_ = 0;
        skipped_line_ = head_begun_ = false;
        head_state state = look_for_head();
        while (state == head_state::awaited) {
            const auto room = expect_more();
            if (room.size() == 0) {
                refused_ = wire::refusal::head_too_large;
                state = head_state::refused;
                break;
            }
            // Written out here because this is on the path of every request, and a coroutine of its own costs what
            // parsing four fields does.
            waiting_ = true;
            const net::io_result got = co_await stream_->read_some(room);
            waiting_ = false;
            if (got.ok()) {
                input_.commit(got.bytes);
                input_.fit();
            }
            state = got.ok() ? look_for_head() : why_no_more();
        }
        if (state == head_state::parked) co_return true;
        if (state == head_state::closed) co_return false;
        if (state == head_state::refused) {
            co_await refuse(refused_, wire::status_of(refused_));
            co_return false;
        }
        if (state == head_state::timed_out) {
            co_await refuse(wire::refusal::none, 408);
            co_return false;
        }
        if (!co_await handle()) co_return false;
    }
    co_return false;
}

void client_connection::begin_wait(duration length) {
    services_.loop.timers().arm(read_clock_, services_.loop.now() + length);
}

void client_connection::on_read_timer() {
    // The clock is never disarmed: most of its calls find that what it was armed for is over.
    if (!waiting_) return;
    timed_out_ = true;
    stream_->cancel_read();
}

net::task<net::io_result> client_connection::read_more(std::size_t max_bytes) {
    const auto room = input_.space(1, max_bytes);
    if (room.size() == 0) co_return net::io_result{boost::asio::error::no_buffer_space};
    waiting_ = true;
    const net::io_result got = co_await stream_->read_some(room);
    waiting_ = false;
    if (got.ok()) input_.commit(got.bytes);
    co_return got;
}

client_connection::head_state client_connection::look_for_head() {
    // At most one empty line in front of a request (RFC 9112 2.2).
    if (!skipped_line_ && wire::begins_with(input_.unread(), "\r\n")) {
        input_.consume(2);
        skipped_line_ = true;
    }
    if (!input_.empty() && !wire::is_word(input_.unread(), "\r")) {
        const auto most = static_cast<std::size_t>(context_.settings->limits.max_header_bytes);
        const auto result = wire::read_request_head(input_.unread(), {.max_head_bytes = most}, scanned_, head_);
        if (result.is == wire::head_result::state::complete) {
            input_.consume(result.consumed);
            idle_ = false;
            return head_state::complete;
        }
        if (result.is == wire::head_result::state::refused) {
            refused_ = result.why;
            return head_state::refused;
        }
    }
    idle_ = input_.empty();
    return idle_ && closing_ ? head_state::closed : head_state::awaited;
}

boost::asio::mutable_buffer client_connection::expect_more() {
    const auto& limits = context_.settings->limits;
    may_park_ = idle_ && !woken_;
    if (idle_) {
        // Straight into the buffer at first: on a busy connection the next request is never far.
        timed_out_ = false;
        begin_wait(std::exchange(woken_, false) ? limits.header_timeout : park_after);
        return input_.space(1, buffer_pool::block_bytes);
    }
    if (!std::exchange(head_begun_, true)) {
        timed_out_ = false;
        begin_wait(limits.header_timeout); // absolute: drops of bytes do not extend it
    }
    return input_.space(1, static_cast<std::size_t>(limits.max_header_bytes) + buffer_pool::block_bytes);
}

client_connection::head_state client_connection::why_no_more() const noexcept {
    if (may_park_ && timed_out_ && !closing_ && !context_.doors_closed) return head_state::parked;
    return timed_out_ && !idle_ && !closing_ ? head_state::timed_out : head_state::closed;
}

std::string client_connection::make_id() {
    // Unlike on every worker and start, without asking for randomness each time: an odd multiplier permutes the counter
    // (Steele and Vigna's splitmix64 constant).
    std::uint64_t bits = context_.id_seed + ++context_.next_id * 0x9e3779b97f4a7c15ULL;
    std::string id(16, '0');
    for (auto digit = id.rbegin(); digit != id.rend(); ++digit, bits >>= 4) *digit = "0123456789abcdef"[bits & 15];
    return id;
}

void client_connection::client_left() {
    gone_ = true;
    if (current_ != nullptr) {
        current_->body.abandon();
        current_->gone.request();
    }
    if (relaying_ != nullptr) relaying_->cancel();
}

void client_connection::client_sends_no_more() {
    half_close_ = std::make_unique<half_close>(services_.loop, *stream_,
                                               half_close::owner{.gone = [this] { client_left(); },
                                                                 .takes_interim =
                                                                     [this] {
                                                                         return unanswered_ && !ahead_.given() &&
                                                                                head_.minor_version >= 1 &&
                                                                                current_->body.complete();
                                                                     }});
    if (current_ != nullptr) half_close_->look();
}

void client_connection::drain() {
    closing_ = true;
    if (waiting_ && idle_) stream_->cancel_read();
}

void client_connection::close_now() {
    closing_ = true;
    stream_->close();
    client_left();
}

net::task<bool> client_connection::write_rest(std::span<const boost::asio::const_buffer> buffers) {
    write_watch_.begin(context_.settings->limits.write_timeout);
    const net::io_result sent = co_await stream_->write(buffers);
    write_watch_.end();
    co_return sent.ok();
}

net::task<void> client_connection::linger() {
    // Closing with unread bytes makes the kernel send a reset, which can overtake our answer (RFC 9112 9.6).
    stream_->shutdown_send();
    timed_out_ = false;
    const steady_time until = services_.loop.now() + linger_time;
    for (steady_time now = services_.loop.now(); now < until && !timed_out_; now = services_.loop.now()) {
        begin_wait(std::min(linger_silence, until - now));
        input_.clear();
        const net::io_result got = co_await read_more(buffer_pool::block_bytes);
        if (!got.ok()) break;
    }
    stream_->close();
}

net::task<void> client_connection::refuse(wire::refusal why, int status) {
    telemetry::request_account account;
    account.started = services_.loop.wall_now();
    account.client = stream_->peer();
    services_.observer.request_started(nullptr);
    answer given = why != wire::refusal::none
                       ? make_refusal(why, wire::dialect::generic, account.started)
                       : make_local_answer({.status = status,
                                            .code = "header_timeout",
                                            .proxy_error = {},
                                            .message = "the request head did not come within limits.header_timeout"},
                                           wire::dialect::generic, account.started);
    account.reason = given.reason;
    account.outcome = telemetry::request_outcome::rejected;
    account.service = telemetry::request_service::rejected;
    const steady_time came = services_.loop.now();
    out_.clear();
    answer_labels labels;
    labels.close = true;
    if (status == 426) labels.upgrade_to = "HTTP/1.1";
    append_response_head(out_, *given.head, given.head->body, labels);
    const auto body = given.body->ready();
    out_.append(body->data);
    std::array buffers{boost::asio::const_buffer(out_.data(), out_.size())};
    std::span<boost::asio::const_buffer> left = buffers;
    bool alive = stream_->write_now(left).ok();
    if (alive && !left.empty()) alive = co_await write_rest(left);
    if (alive) {
        account.status = status;
        account.bytes_out = body->data.size();
    }
    account.at = services_.loop.now();
    account.total = account.at - came;
    services_.observer.request_finished(account);
    if (alive) co_await linger();
}

// One answer on its way to the client. Everything that needs no waiting is done by plain functions, and an answer that
// is here whole costs no coroutine.
struct client_connection::relaying {
    relaying(answer& of, client_request& by) noexcept : given(&of), request(by) {}

    answer* given;
    client_request& request;
    std::optional<answer> instead{}; // of one that turned out to be none
    wire::body_framing framing{};
    bool head_only = false, chunked = false, close = false;
    std::optional<body_step> step{};
    steady_time since{};
    bool head_sent = false;
    bool waited = false; // since it began
    bool whole = false, broken = false, alive = true;
    std::array<char, 18> size_line;
    boost::container::static_vector<boost::asio::const_buffer, 5> buffers{};
    std::span<boost::asio::const_buffer> left{}; // of them to be written

    void add(std::string_view bytes) { buffers.emplace_back(bytes.data(), bytes.size()); }
    // From the request's head to what is sent now.
    [[nodiscard]] duration elapsed(const net::loop& loop) const {
        return (waited ? loop.now() : since) - request.came.received;
    }
};

net::task<bool> client_connection::handle() {
    const wire::field* told_id = head_.find(wire::field_id::x_request_id);
    client_request request(
        {.settings = context_.settings,
         .policies = context_.policies,
         .head = &head_,
         .client_address = stream_->peer(),
         .via = via_,
         .client = context_.settings->clients.empty() ? nullptr : client_of(*context_.settings, head_),
         .id = told_id != nullptr && is_sane_id(told_id->value) ? std::string{told_id->value} : make_id(),
         .received = services_.loop.now(),
         .started = services_.loop.wall_now()},
        services_.loop, *stream_, input_, services_.buffers);
    telemetry::request_account& account = request.account;
    if (request.came.settings->tracing.active()) [[unlikely]]
        account.trace = begin_trace(head_, request.came.settings->tracing, context_.trace_draws);
    const auto& limits = request.came.settings->limits;
    request.body.begin(head_.body,
                       {.max_body = limits.max_body,
                        .max_held = request.came.settings->replay_buffer,
                        .silence = limits.body_timeout,
                        .min_rate = limits.body_min_rate},
                       head_.expect_continue);
    current_ = &request;
    bool goes_on = false;
    unanswered_ = true;
    if (gone_)
        client_left(); // it sent its request and left at once
    else if (half_close_)
        half_close_->look();
    ahead_.begin(request, context_.head_hold_tick);
    // An error of ours costs this request and its connection; what depends on the request ends all the same.
    std::exception_ptr failure;
    answer given;
    try {
        given = co_await serve(services_, request);
    } catch (...) {
        failure = std::current_exception();
    }
    unanswered_ = false;
    ahead_.stop();
    if (ahead_.is_writing()) {
        if (gone_) stream_->close(); // nobody reads what is being written
        static_cast<void>(co_await ahead_.written());
        if (ahead_.broken()) gone_ = true;
    }
    if (failure) {
        closing_ = true;
        if (!account.announced) services_.observer.request_started(request.route.get());
        given = internal_error(request);
    }
    given.tell(account);
    request.body.answered();
    if (!given.may_ask_again()) request.body.let_go(); // a client may take long to read, or to leave
    try {
        if (given.degraded.is && ahead_.given() && !gone_ && !co_await say_degraded(given.degraded)) gone_ = true;
        const bool behind_head = given.body && !gone_ && ahead_.given();
        if (behind_head) be_readable(given);
        if (behind_head && !is_readable_stream(given)) {
            goes_on = co_await relay_as_event(given, request);
            // What was made here costs nothing; half-closed clients may read it.
        } else if (given.body && (!gone_ || given.local)) {
            relaying answering(given, request);
            begin_relay(answering);
            if (!relay_now(answering)) co_await relay_rest(answering);
            goes_on = end_relay(answering);
        } else {
            account.outcome = telemetry::request_outcome::client_cancelled;
            stream_->close();
        }
    } catch (...) {
        failure = std::current_exception();
        relaying_ = nullptr;
        account.outcome = telemetry::request_outcome::proxy_error;
        account.reason = "internal_error";
        stream_->close();
    }
    given.end();
    ahead_.forget();
    const bool whole = request.body.complete();
    if (!whole) request.body.abandon();
    if (request.body.in_use()) co_await request.body.released();
    current_ = nullptr;
    if (half_close_) half_close_->stop();
    services_.observer.request_finished(request.close_account(services_.loop.now()));
    request.body.let_go();
    if (failure) std::rethrow_exception(failure); // counted and logged by the nursery
    if (!whole || !goes_on) {
        if (goes_on || (!whole && !gone_)) co_await linger();
        co_return false;
    }
    // What came behind a chunked body is the next request's.
    if (input_.empty()) {
        io_buffer excess = request.body.take_excess();
        if (excess.empty()) {
            input_.clear();
        } else {
            input_ = std::move(excess);
        }
    }
    co_return !closing_;
}

answer client_connection::internal_error(const client_request& request) const {
    answer made = make_local_answer({.status = 500,
                                     .code = "internal_error",
                                     .proxy_error = "proxy_internal_error",
                                     .message = "an error of the proxy's own ended this request; its log says more",
                                     .outcome = telemetry::request_outcome::proxy_error},
                                    request.facts.dialect(), services_.loop.wall_now());
    made.service = telemetry::request_service::error;
    made.may_have_arrived = true;
    return made;
}

// Where it is asked for and known: a stream goes ahead of what it takes, and so does what is too large to be held.
std::string client_connection::cost_label(const relaying& of) {
    const telemetry::request_effort& effort = of.request.account.effort;
    if (!of.request.facts.hints().cost || of.given->stream) return {};
    const bool over = of.given->local || of.given->head->status >= 400 || effort.served.all() > 0;
    return over ? telemetry::text_of(effort.served, effort.lost) : std::string{};
}

void client_connection::begin_relay(relaying& of) {
    const answer& given = *of.given;
    telemetry::request_account& account = of.request.account;
    const wire::response_head& head = *given.head;
    account.status = head.status;
    if (!given.local) {
        const wire::field* id = head.find(wire::field_id::x_request_id);
        if (id == nullptr) id = head.find(wire::field_id::request_id);
        if (id != nullptr) account.upstream_request_id = upstream_request_id_.assign(id->value);
    }
    // Framing is ours: a length where one is known, else chunks; an HTTP/1.0 client knows no chunks and gets the end of
    // the connection instead.
    of.framing = head.body;
    if (ahead_.given()) of.framing.kind = wire::body_kind::chunked; // as its head said
    if (of.framing.kind == wire::body_kind::chunked || of.framing.kind == wire::body_kind::until_close) {
        of.framing.kind = head_.minor_version >= 1 ? wire::body_kind::chunked : wire::body_kind::until_close;
    }
    of.head_only = head_.is_head();
    of.chunked = of.framing.kind == wire::body_kind::chunked && !of.head_only;
    of.close = !head_.keep_alive || closing_ || context_.draining || !of.request.body.complete() ||
               of.framing.kind == wire::body_kind::until_close;
    of.since = services_.loop.now();
    const bool disturbed = telemetry::is_disturbed(account) && !given.undecided;
    const std::string tries = disturbed ? telemetry::tries_label(account.journal, of.since) : std::string{};
    const std::string degraded = given.degraded.is ? label_of(given.degraded) : std::string{};
    const std::string cost = cost_label(of);
    out_.clear();
    append_response_head(
        out_, head, of.framing,
        {.route = of.request.route ? std::string_view{of.request.route->name} : std::string_view{},
         .upstream = account.upstream != nullptr ? std::string_view{account.upstream->name} : std::string_view{},
         .attempts = account.effort.attempts,
         .outcome = given.undecided ? std::string_view{} : telemetry::to_string(account.ending()),
         .tries = tries,
         .degraded = degraded,
         .cache_status = cache_status_of(given),
         .cost = cost,
         .stop_client_retries = given.stop_client_retries,
         .request_id = of.request.came.id,
         .close = of.close,
         .keep_alive_http10 = !of.close && head_.minor_version == 0});

    // An attempt knows that it asked with HEAD; a body of ours is simply not sent.
    of.step = of.head_only && given.local ? body_step{} : given.body->ready();
    if (of.step && of.step->is == body_step::kind::truncated && !ahead_.given()) {
        of.instead.emplace(make_cut_short(given, of.step->why, of.request.facts.dialect(), services_.loop.wall_now()));
        of.instead->tell_instead(account);
        of.given = &*of.instead;
        return begin_relay(of);
    }
    relaying_ = of.given->body.get();
    of.head_sent = ahead_.given();
    // Of what others have asked for, and of parts that are asked side by side, it is not one sum.
    const bool fans_out = of.request.route && of.request.route->serves == config::route_serves::fan_out;
    if (!fans_out && given.coalesced != telemetry::coalesce_role::follower)
        account.split_time(of.request.came.received, given.launched, given.decided, of.since);
}

// What is to be written next: the head, the piece of the body that is here, its end.
void client_connection::gather(relaying& of) {
    telemetry::request_account& account = of.request.account;
    of.buffers.clear();
    if (!of.head_sent) of.add(out_);
    of.head_sent = true;
    if (!of.step) return; // nothing to send along: the head goes ahead
    if (of.step->is == body_step::kind::truncated) {
        account.outcome = telemetry::request_outcome::truncated;
        account.proxy_error = of.step->why;
        account.ended = of.step->ended;
        of.broken = true;
        of.buffers.clear();
    } else if (of.step->is == body_step::kind::data) {
        if (account.bytes_out == 0) account.first_byte = of.elapsed(services_.loop);
        if (of.step->first_event) account.first_token = of.elapsed(services_.loop);
        account.bytes_out += of.step->data.size();
        if (of.chunked) of.add(wire::chunk_head(of.size_line.data(), of.step->data.size()));
        of.add(of.step->data);
        of.step = of.given->body->ready(); // the data stays where it is until the next data is asked for
        of.whole = of.step && of.step->is == body_step::kind::end;
        if (of.chunked) of.add(of.whole ? std::string_view{"\r\n0\r\n\r\n"} : wire::chunk_tail);
    } else {
        of.whole = true;
        if (of.chunked) of.add(wire::last_chunk);
    }
    // Before the last bytes go: who has them may come again at once.
    if (of.whole && of.request.came.client != nullptr) [[unlikely]]
        of.request.place = {};
}

bool client_connection::relay_now(relaying& of) {
    while (of.alive && !of.whole && !of.broken) {
        if (!of.step && of.head_sent) return false;
        gather(of);
        of.left = {of.buffers.data(), of.buffers.size()};
        if (of.left.empty()) continue;
        of.alive = stream_->write_now(of.left).ok();
        if (of.alive && !of.left.empty()) return false;
    }
    return true;
}

net::task<void> client_connection::relay_rest(relaying& of) {
    do {
        if (!of.left.empty()) {
            of.alive = co_await write_rest(of.left);
            of.left = {};
        } else {
            if (!of.waited && of.given->stream) out_ = {}; // a stream may take long
            of.waited = true;
            of.step = co_await of.given->body->next();
        }
    } while (!relay_now(of));
}

bool client_connection::end_relay(relaying& of) {
    telemetry::request_account& account = of.request.account;
    if (of.whole) account.ended = of.step->ended;
    // Passed on as it came, the upstream's own word for it in mid-stream included.
    if (of.whole && account.ended == telemetry::stream_end::upstream_error &&
        account.outcome == telemetry::request_outcome::ok)
        account.outcome = telemetry::request_outcome::upstream_error;
    relaying_ = nullptr;
    if (!of.alive || (gone_ && !of.whole)) {
        account.outcome = telemetry::request_outcome::client_cancelled;
        if (account.stream) account.ended = telemetry::stream_end::client_gone;
    }
    of.given->body.reset(); // closes what is not over
    if (!of.alive || gone_) {
        stream_->close();
        return false;
    }
    if (!of.whole) {
        // Broken: the missing last chunk, or the missing bytes, tell the client. Where only the end of the connection
        // would tell, a reset does.
        if (of.framing.kind == wire::body_kind::until_close) {
            stream_->reset();
        } else {
            stream_->close();
        }
        return false;
    }
    if (!of.close) return true;
    closing_ = true;
    if (!of.request.body.complete()) return true;
    stream_->shutdown_send();
    return false;
}

// A head given ahead could not say so: a comment between events does.
net::task<bool> client_connection::say_degraded(telemetry::degradation how) {
    const std::string comment = ": x-evenkeel-degraded: " + label_of(how) + "\n\n";
    std::array<char, 18> size_line;
    const auto size = wire::chunk_head(size_line.data(), comment.size());
    std::array buffers{boost::asio::const_buffer(size.data(), size.size()),
                       boost::asio::const_buffer(comment.data(), comment.size()),
                       boost::asio::const_buffer(wire::chunk_tail.data(), wire::chunk_tail.size())};
    co_return co_await write_rest(buffers);
}

// Its client has a head that says nothing of a compression.
void client_connection::be_readable(answer& given) {
    const content_facts content = content_of(*given.head);
    if (content.encoded && content.decodable)
        given.body = std::make_unique<decoded_body>(content.coding, std::move(given.body));
}

// The client has the head of a stream, and what came is none: an answer in one piece becomes the shortest stream that
// says the same. An error, ours or the upstream's, becomes the error frame of the client's dialect, and the stream ends
// unfinished.
net::task<bool> client_connection::relay_as_event(answer& given, client_request& request) {
    telemetry::request_account& account = request.account;
    account.status = 200;
    const int status = given.head->status; // of what its client no longer can be told
    const content_facts content = content_of(*given.head);
    const bool readable = content.readable();
    // A good answer is not thrown away because a head went ahead: it may be as large as there is memory for.
    memory_charge charge(services_.memory);
    std::string body;
    bool whole = false;
    while (readable && (status < 400 || body.size() < wire::max_error_body)) {
        auto step = given.body->ready();
        if (!step) step = co_await given.body->next();
        whole = step->is == body_step::kind::end;
        if (step->is != body_step::kind::data || !charge.append(body, step->data)) break;
    }
    const auto dialect = request.facts.dialect();
    if (status < 400 && whole && !wire::holds_error(body)) {
        if (const auto stream = wire::one_event_stream(dialect, wire::without_mark(body))) {
            account.ended = telemetry::stream_end::complete;
            const std::string_view text = *stream;
            co_return co_await say_at_once(text, true, account);
        }
    }
    if (status < 400) {
        account.outcome = telemetry::request_outcome::upstream_error;
        account.reason = readable ? "not_a_stream" : "unread_answer";
    }
    const wire::error_facts said = wire::read_error(body);
    const std::string message = !said.message.empty() ? said.message
                                : !readable           ? "the upstream's answer came compressed (" +
                                                  std::string{content.coding.substr(0, longest_coding_told)} +
                                                  "), which was not asked for and cannot be told behind this head"
                                : status < 400 ? "the upstream did not answer with a stream"
                                               : "the upstream answered with status " + std::to_string(status);
    const std::string code = !said.code.empty() ? said.code : !said.type.empty() ? said.type : "upstream_error";
    const std::string frame =
        wire::error_frame(wire::stream_format::sse, dialect, status < 400 ? 502 : status, code, message);
    account.ended = telemetry::stream_end::upstream_error;
    const std::string_view text = frame;
    co_return co_await say_at_once(text, false, account);
}

// As one chunk of the stream whose head has gone ahead, which ends with it, whole or not.
net::task<bool> client_connection::say_at_once(std::string_view text, bool whole, telemetry::request_account& account) {
    std::array<char, 18> size_line;
    const auto size = wire::chunk_head(size_line.data(), text.size());
    std::array buffers{boost::asio::const_buffer(size.data(), size.size()),
                       boost::asio::const_buffer(text.data(), text.size()),
                       boost::asio::const_buffer(wire::chunk_tail.data(), wire::chunk_tail.size()),
                       boost::asio::const_buffer(wire::last_chunk.data(), whole ? wire::last_chunk.size() : 0)};
    std::span<boost::asio::const_buffer> left = buffers;
    bool alive = stream_->write_now(left).ok();
    if (alive && !left.empty()) alive = co_await write_rest(left);
    if (alive) account.bytes_out = text.size();
    if (alive && whole) {
        stream_->shutdown_send();
    } else {
        stream_->close();
    }
    co_return false;
}

} // namespace evenkeel::request
