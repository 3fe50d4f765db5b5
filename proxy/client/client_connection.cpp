#include "proxy/client/client_connection.hpp"

#include "proxy/message/local_answer.hpp"
#include "proxy/reading/judgement.hpp"
#include "proxy/reading/outgoing.hpp"
#include "proxy/wire/characters.hpp"
#include "proxy/wire/error_facts.hpp"
#include "proxy/wire/gate.hpp"
#include "proxy/wire/head_builder.hpp"
#include "proxy/wire/stream_reader.hpp"

#include <boost/asio/error.hpp>

#include <algorithm>
#include <array>
#include <exception>
#include <optional>

namespace evenkeel::request {

namespace {
// An idle connection gives its buffer back (2 instead of 8 KB each).
constexpr duration park_after = std::chrono::seconds{1};
// Of an unread request body that is read and dropped before closing. A client that is busy sending looks at the answer
// when it has sent, or when it cannot go on: so what counts is that it goes on, and for how long we bear with it, not
// how much comes.
constexpr duration linger_time = std::chrono::seconds{30};
constexpr duration linger_silence = std::chrono::seconds{2};
constexpr std::size_t max_request_id = 128;

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

net::task<void> client_connection::run(std::unique_ptr<client_connection> self) {
    client_connection& me = *self;
    while (!me.closing_) {
        const head_state state = co_await me.read_head();
        if (state == head_state::closed) co_return;
        if (state == head_state::refused) {
            co_await me.refuse(me.refused_, wire::status_of(me.refused_));
            co_return;
        }
        if (state == head_state::timed_out) {
            co_await me.refuse(wire::refusal::none, 408);
            co_return;
        }
        if (!co_await me.handle()) co_return;
    }
}

void client_connection::begin_wait(wait_purpose purpose, duration length) {
    purpose_ = purpose;
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

// A connection that has been idle for a while holds no buffer and waits for the first byte without.
net::task<net::io_result> client_connection::read_parked() {
    input_.release();
    timed_out_ = false;
    begin_wait(wait_purpose::idle, std::max(context_.settings->limits.idle_timeout - park_after, duration::zero()));
    waiting_ = true;
    const net::io_result readable = co_await stream_->wait_readable();
    waiting_ = false;
    if (!readable.ok() || closing_) co_return net::io_result{boost::asio::error::operation_aborted};
    begin_wait(wait_purpose::head, context_.settings->limits.header_timeout);
    co_return co_await read_more(buffer_pool::block_bytes);
}

net::task<client_connection::head_state> client_connection::read_head() {
    const auto& limits = context_.settings->limits;
    const wire::head_limits bounds{.max_head_bytes = static_cast<std::size_t>(limits.max_header_bytes)};
    scanned_ = 0;
    bool skipped_line = false;
    bool head_begun = false;
    for (;;) {
        // At most one empty line in front of a request (RFC 9112 2.2).
        if (!skipped_line && wire::begins_with(input_.unread(), "\r\n")) {
            input_.consume(2);
            skipped_line = true;
        }
        if (!input_.empty() && !wire::is_word(input_.unread(), "\r")) {
            const auto result = wire::read_request_head(input_.unread(), bounds, scanned_, head_);
            if (result.is == wire::head_result::state::complete) {
                input_.consume(result.consumed);
                idle_ = false;
                co_return head_state::complete;
            }
            if (result.is == wire::head_result::state::refused) {
                refused_ = result.why;
                co_return head_state::refused;
            }
        }
        idle_ = input_.empty();
        if (idle_ && closing_) co_return head_state::closed;
        net::io_result got;
        if (idle_) {
            // Straight into the buffer at first: on a busy connection the next request is never far. Written out here
            // because this is on the path of every request, and a coroutine frame costs what parsing four fields does.
            timed_out_ = false;
            begin_wait(wait_purpose::park, park_after);
            const auto room = input_.space(1, buffer_pool::block_bytes);
            waiting_ = true;
            got = co_await stream_->read_some(room);
            waiting_ = false;
            if (got.ok()) {
                input_.commit(got.bytes);
            } else if (timed_out_ && !closing_ && !context_.draining) {
                got = co_await read_parked();
            }
        } else {
            if (!head_begun) {
                head_begun = true;
                timed_out_ = false;
                begin_wait(wait_purpose::head, limits.header_timeout); // absolute: drops of bytes do not extend it
            }
            got = co_await read_more(bounds.max_head_bytes + buffer_pool::block_bytes);
        }
        if (got.ok()) continue;
        if (got.error == boost::asio::error::no_buffer_space) {
            refused_ = wire::refusal::head_too_large;
            co_return head_state::refused;
        }
        co_return timed_out_ && !idle_ && !closing_ ? head_state::timed_out : head_state::closed;
    }
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

net::task<bool> client_connection::write_rest(std::span<const boost::asio::const_buffer> parts) {
    write_watch_.begin(context_.settings->limits.write_timeout);
    const net::io_result sent = co_await stream_->write(parts);
    write_watch_.end();
    co_return sent.ok();
}

net::task<void> client_connection::linger() {
    // Closing with unread bytes makes the kernel send a reset, which can overtake our answer (RFC 9112 9.6).
    stream_->shutdown_send();
    timed_out_ = false;
    const steady_time until = services_.loop.now() + linger_time;
    for (steady_time now = services_.loop.now(); now < until && !timed_out_; now = services_.loop.now()) {
        begin_wait(wait_purpose::head, std::min(linger_silence, until - now));
        input_.clear();
        const net::io_result got = co_await read_more(buffer_pool::block_bytes);
        if (!got.ok()) break;
    }
    stream_->close();
}

net::task<void> client_connection::refuse(wire::refusal why, int status) {
    telemetry::request_account account;
    account.started = services_.loop.wall_now();
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
    append_response_head(out_, *given.head, given.head->body, labels);
    const auto body = given.body->ready();
    out_.append(body->data);
    std::array parts{boost::asio::const_buffer(out_.data(), out_.size())};
    std::span<boost::asio::const_buffer> left = parts;
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

net::task<bool> client_connection::handle() {
    const wire::field* told_id = head_.find(wire::field_id::x_request_id);
    client_request request(
        {.settings = context_.settings,
         .policies = context_.policies,
         .head = &head_,
         .client_address = stream_->peer(),
         .via = via_,
         .id = told_id != nullptr && is_sane_id(told_id->value) ? std::string{told_id->value} : make_id(),
         .received = services_.loop.now(),
         .started = services_.loop.wall_now()},
        services_.loop, *stream_, input_, services_.buffers);
    telemetry::request_account& account = request.account;
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
        if (given.body && !gone_ && ahead_.given() && !is_event_stream(*given.head)) {
            goes_on = co_await relay_as_event(given, request);
            // What was made here costs nothing; half-closed clients may read it.
        } else if (given.body && (!gone_ || given.local)) {
            goes_on = co_await relay(given, request);
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

net::task<bool> client_connection::relay(answer& given, client_request& request) {
    telemetry::request_account& account = request.account;
    const wire::response_head& head = *given.head;
    account.status = head.status;
    if (!given.local) {
        const wire::field* id = head.find(wire::field_id::x_request_id);
        if (id == nullptr) id = head.find(wire::field_id::request_id);
        if (id != nullptr) account.upstream_request_id = upstream_request_id_.assign(id->value);
    }
    // Framing is ours: a length where one is known, else chunks; an HTTP/1.0 client knows no chunks and gets the end of
    // the connection instead.
    wire::body_framing framing = head.body;
    if (ahead_.given()) framing.kind = wire::body_kind::chunked; // as its head said
    if (framing.kind == wire::body_kind::chunked || framing.kind == wire::body_kind::until_close) {
        framing.kind = head_.minor_version >= 1 ? wire::body_kind::chunked : wire::body_kind::until_close;
    }
    const bool head_only = head_.is_head();
    const bool chunked = framing.kind == wire::body_kind::chunked && !head_only;
    const bool close = !head_.keep_alive || closing_ || context_.draining || !request.body.complete() ||
                       framing.kind == wire::body_kind::until_close;
    const std::string degraded = given.degraded.is ? label_of(given.degraded) : std::string{};
    out_.clear();
    append_response_head(
        out_, head, framing,
        {.route = request.route ? std::string_view{request.route->name} : std::string_view{},
         .upstream = account.upstream != nullptr ? std::string_view{account.upstream->name} : std::string_view{},
         .attempts = account.effort.attempts,
         .outcome = given.undecided ? std::string_view{} : telemetry::to_string(account.service),
         .degraded = degraded,
         .cache_status = cache_status_of(given),
         .stop_client_retries = given.stop_client_retries,
         .request_id = request.came.id,
         .close = close,
         .keep_alive_http10 = !close && head_.minor_version == 0});

    // An attempt knows that it asked with HEAD; a body of ours is simply not sent.
    std::optional<body_step> step = head_only && given.local ? body_step{} : given.body->ready();
    if (step && step->is == body_step::kind::truncated && !ahead_.given()) {
        // It turned out to be no answer before any of it was sent: an honest error instead.
        answer error = make_local_answer({.status = 502,
                                          .code = "upstream_protocol_error",
                                          .proxy_error = step->why,
                                          .message = "the upstream's answer is cut short",
                                          .outcome = telemetry::request_outcome::proxy_error},
                                         request.facts.dialect(), services_.loop.wall_now(), given.upstream);
        account.outcome = error.outcome;
        account.service = error.service;
        account.reason = error.reason;
        account.proxy_error = error.proxy_error;
        account.stream = false;
        co_return co_await relay(error, request);
    }
    relaying_ = given.body.get();
    const steady_time relaying_since = services_.loop.now();
    if (given.sent != steady_time{})
        account.overhead = (given.sent - request.came.received) + (relaying_since - given.head_read);

    bool head_sent = ahead_.given();
    bool waited = false; // since relaying began
    bool whole = false;
    bool alive = true;
    std::array<char, 18> size_line;
    while (alive && !whole) {
        if (!step && head_sent) {
            waited = true;
            step = co_await given.body->next();
        }
        std::array<boost::asio::const_buffer, 5> parts;
        std::size_t count = 0;
        const auto add = [&](std::string_view bytes) {
            parts[count++] = boost::asio::const_buffer(bytes.data(), bytes.size());
        };
        if (!head_sent) add(out_);
        if (!step) {
            // nothing to send along: the head goes ahead
        } else if (step->is == body_step::kind::truncated) {
            account.outcome = telemetry::request_outcome::truncated;
            account.proxy_error = step->why;
            account.ended = step->ended;
            break;
        } else if (step->is == body_step::kind::data) {
            if (account.bytes_out == 0)
                account.first_byte = (waited ? services_.loop.now() : relaying_since) - request.came.received;
            if (step->first_event)
                account.first_token = (waited ? services_.loop.now() : relaying_since) - request.came.received;
            account.bytes_out += step->data.size();
            if (chunked) add(wire::chunk_head(size_line.data(), step->data.size()));
            add(step->data);
            step = given.body->ready(); // the data stays where it is until the next data is asked for
            whole = step && step->is == body_step::kind::end;
            if (chunked) add(whole ? std::string_view{"\r\n0\r\n\r\n"} : wire::chunk_tail);
        } else {
            whole = true;
            if (chunked) add(wire::last_chunk);
        }
        head_sent = true;
        if (count == 0) continue;
        std::span<boost::asio::const_buffer> left{parts.data(), count};
        alive = stream_->write_now(left).ok();
        if (alive && !left.empty()) alive = co_await write_rest(left);
    }
    if (whole) account.ended = step->ended;
    relaying_ = nullptr;
    if (!alive || (gone_ && !whole)) {
        account.outcome = telemetry::request_outcome::client_cancelled;
        if (account.stream) account.ended = telemetry::stream_end::client_gone;
    }
    given.body.reset(); // closes what is not over
    if (!alive || gone_) {
        stream_->close();
        co_return false;
    }
    if (!whole) {
        // Broken: the missing last chunk, or the missing bytes, tell the client. Where only the end of the connection
        // would tell, a reset does.
        if (framing.kind == wire::body_kind::until_close) {
            stream_->reset();
        } else {
            stream_->close();
        }
        co_return false;
    }
    if (close) {
        closing_ = true;
        if (request.body.complete()) {
            stream_->shutdown_send();
            co_return false;
        }
    }
    co_return true;
}

// A head given ahead could not say so: a comment between events does.
net::task<bool> client_connection::say_degraded(telemetry::degradation how) {
    const std::string comment = ": x-evenkeel-degraded: " + label_of(how) + "\n\n";
    std::array<char, 18> size_line;
    const auto size = wire::chunk_head(size_line.data(), comment.size());
    std::array parts{boost::asio::const_buffer(size.data(), size.size()),
                     boost::asio::const_buffer(comment.data(), comment.size()),
                     boost::asio::const_buffer(wire::chunk_tail.data(), wire::chunk_tail.size())};
    co_return co_await write_rest(parts);
}

// The client has the head of a stream, and what came is none: an error, ours or the upstream's, or an answer in one
// piece that nobody asked for. It becomes the error frame of the client's dialect, and the stream ends unfinished.
net::task<bool> client_connection::relay_as_event(answer& given, client_request& request) {
    telemetry::request_account& account = request.account;
    account.status = 200;
    const int status = given.head->status; // of what its client no longer can be told
    if (status < 400) {
        account.outcome = telemetry::request_outcome::upstream_error;
        account.reason = "not_a_stream";
    }
    std::string body;
    while (body.size() < wire::max_error_body) {
        auto step = given.body->ready();
        if (!step) step = co_await given.body->next();
        if (step->is != body_step::kind::data) break;
        body += step->data;
    }
    const wire::error_facts said = wire::read_error(body);
    const std::string message = !said.message.empty() ? said.message
                                : status < 400        ? "the upstream did not answer with a stream"
                                                      : "the upstream answered with status " + std::to_string(status);
    const std::string code = !said.code.empty() ? said.code : !said.type.empty() ? said.type : "upstream_error";
    const auto dialect = request.facts.dialect();
    const std::string frame =
        wire::error_frame(wire::stream_format::sse, dialect, status < 400 ? 502 : status, code, message);
    std::array<char, 18> size_line;
    const auto size = wire::chunk_head(size_line.data(), frame.size());
    std::array parts{boost::asio::const_buffer(size.data(), size.size()),
                     boost::asio::const_buffer(frame.data(), frame.size()),
                     boost::asio::const_buffer(wire::chunk_tail.data(), wire::chunk_tail.size())};
    std::span<boost::asio::const_buffer> left = parts;
    bool alive = stream_->write_now(left).ok();
    if (alive && !left.empty()) alive = co_await write_rest(left);
    if (alive) account.bytes_out = frame.size();
    account.ended = telemetry::stream_end::upstream_error;
    stream_->close();
    co_return false;
}

} // namespace evenkeel::request
