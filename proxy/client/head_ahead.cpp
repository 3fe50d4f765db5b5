#include "proxy/client/head_ahead.hpp"

#include "proxy/client/write_watch.hpp"
#include "proxy/message/local_answer.hpp"
#include "proxy/reading/client_hints.hpp"
#include "proxy/reading/outgoing.hpp"
#include "proxy/state/policy_registry.hpp"

#include <algorithm>
#include <array>

namespace evenkeel::request {

namespace {
constexpr duration longest_tick = std::chrono::seconds{1};
constexpr duration untold_hold = std::chrono::seconds{25}; // shorter than the 60 s after which load balancers give up
constexpr duration longest_head_hold = std::chrono::seconds{30};
constexpr std::string_view heartbeat = "2\r\n:\n\r\n"; // one newline: two would end an event that nobody began

duration hold_of(const client_request& request) {
    const auto& stream = request.route->stream;
    if (stream.head_hold) return *stream.head_hold;
    const client_hints told = request.facts.hints();
    if (!told.timeout && !told.silence) return untold_hold;
    const duration patience = std::min(told.timeout.value_or(duration::max()), told.silence.value_or(duration::max()));
    return std::min(patience / 2, longest_head_hold);
}
} // namespace

duration head_hold_tick(const config::settings& settings) noexcept {
    duration tick = longest_tick;
    for (const auto& route : settings.routes) tick = std::min(tick, route->stream.head_hold.value_or(longest_tick));
    return tick;
}

void head_ahead::begin(const client_request& request, duration tick) {
    request_ = &request;
    given_ = broken_ = false;
    // Never taken back: most requests are over when it fires, and the next one finds it armed. But a longer wait, of
    // one before, is none of this one's.
    if (armed() && due_ <= services_.loop.now() + tick) return;
    arm(services_.loop.now() + tick);
}

void head_ahead::arm(steady_time due) {
    due_ = due;
    services_.loop.timers().arm(*this, due);
}

void head_ahead::stop() {
    request_ = nullptr;
    if (running_) stop_.set();
}

void head_ahead::on_timer() {
    if (request_ == nullptr || running_ || given_) return;
    const auto& route = request_->route;
    auto& loop = services_.loop;
    if (!route || !request_->body.complete()) { // still being read
        arm(loop.now() + longest_tick);
        return;
    }
    if (route->serves != config::route_serves::upstream || !route->stream.hold_head ||
        request_->came.head->minor_version < 1)
        return;
    const steady_time due = request_->came.received + hold_of(*request_);
    if (loop.now() < due) return arm(due);
    if (!request_->facts.wants_events() || request_->came.policies->unread().among(*route, loop.now())) return;
    running_ = given_ = true;
    patience_ = request_->came.settings->limits.write_timeout;
    loop.nursery().spawn(run(this, head(), route->stream.heartbeat));
}

wire::head_text head_ahead::head() const {
    const std::string date = http_date(services_.loop.wall_now());
    wire::response_head made;
    made.status = 200;
    made.fields = {{"content-type", "text/event-stream", wire::field_id::content_type},
                   {"cache-control", "no-cache", wire::field_id::cache_control},
                   {"date", date, wire::field_id::date}};
    wire::head_text out;
    append_response_head(out, made, {wire::body_kind::chunked, 0},
                         {.route = request_->route->name, .request_id = request_->came.id});
    return out;
}

net::task<bool> head_ahead::write(std::string_view bytes) {
    write_watch watch(services_.loop, stream_);
    watch.begin(patience_);
    const std::array buffers{boost::asio::const_buffer(bytes.data(), bytes.size())};
    const net::io_result sent = co_await stream_.write(buffers);
    co_return sent.ok();
}

net::task<void> head_ahead::run(head_ahead* self, wire::head_text head, duration pause) {
    head_ahead& me = *self;
    // However it ends, the connection is told, which waits before it writes or goes.
    struct end {
        head_ahead& of;
        bool alive = false;
        ~end() {
            of.broken_ = !alive;
            of.running_ = false;
            of.ended_.set();
        }
    } state{me};
    bool& alive = state.alive;
    alive = co_await me.write(head);
    while (alive) { // a stop that came during the write is remembered
        const bool stopped = co_await me.stop_.wait_until(me.services_.loop.timers(), me.services_.loop.now() + pause);
        if (stopped) break;
        alive = false; // should the write throw
        alive = co_await me.write(heartbeat);
    }
}

} // namespace evenkeel::request
