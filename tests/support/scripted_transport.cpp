#include "tests/support/scripted_transport.hpp"

#include "proxy/net/byte_stream.hpp"
#include "proxy/net/dial.hpp"
#include "proxy/net/event.hpp"

#include <boost/asio/defer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/ssl/error.hpp>

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>
#include <sys/socket.h>
#include <utility>

namespace evenkeel::test {

namespace error = boost::asio::error;

// Shared by the exchange, which the proxy owns, and the player, which outlives it for a turn.
struct scripted_transport::playing {
    playing(net::loop& worker, exchange_script steps, std::shared_ptr<exchange_log> log_, turn_taker its_turn)
        : loop(worker), script(std::move(steps)), log(std::move(log_)), turn(its_turn), changed(worker.executor()),
          written_to(worker.executor()) {}

    net::loop& loop;
    exchange_script script;
    std::shared_ptr<exchange_log> log;
    turn_taker turn;
    net::event changed;    // bytes were taken, or the exchange was closed
    net::event written_to; // ... a write has begun; for take()
    std::string incoming;
    std::optional<net::error_code> ended;
    std::optional<net::completion<net::io_result>> reader, writer;
    boost::asio::mutable_buffer into{};
    std::vector<boost::asio::const_buffer> untaken; // of the write under way
    std::size_t taken = 0;

    void finish(std::optional<net::completion<net::io_result>>& whose, net::io_result result) {
        if (!whose) return;
        turn.complete(loop, std::move(*whose), result, &whose == &reader ? 'r' : 'w');
        whose.reset();
    }
    // The bytes are copied out of the writer's memory here and nowhere else.
    std::size_t take(std::span<boost::asio::const_buffer>& from, std::size_t most) {
        std::size_t bytes = 0;
        while (!from.empty() && (most > bytes || from.front().size() == 0)) {
            const std::size_t n = std::min(from.front().size(), most - bytes);
            const std::string_view some{static_cast<const char*>(from.front().data()), n};
            log->written.append(some);
            log->requests.read(some);
            bytes += n;
            from.front() += n;
            if (from.front().size() == 0) from = from.subspan(1);
        }
        return bytes;
    }
    void take_some(std::size_t most) {
        std::span<boost::asio::const_buffer> from{untaken};
        taken += take(from, most);
        untaken.erase(untaken.begin(), untaken.end() - static_cast<std::ptrdiff_t>(from.size()));
        if (untaken.empty()) finish(writer, {{}, taken});
        changed.set();
    }
    void serve_reader() {
        if (!reader) return;
        if (log->closed) return finish(reader, {error::operation_aborted});
        if (!incoming.empty()) {
            const std::size_t n = std::min(incoming.size(), into.size());
            std::memcpy(into.data(), incoming.data(), n);
            incoming.erase(0, n);
            return finish(reader, {{}, n});
        }
        if (ended) finish(reader, {*ended});
    }
    void end_with(net::error_code why) {
        ended = why;
        serve_reader();
    }
    void close() {
        if (log->closed) return;
        log->closed = true;
        log->closed_at = loop.now();
        finish(reader, {error::operation_aborted});
        finish(writer, {error::operation_aborted, taken});
        changed.set();
        written_to.set();
    }
    bool has_request(std::size_t body_bytes) const {
        const std::size_t end = log->written.find("\r\n\r\n");
        return end != std::string::npos && log->written.size() >= end + 4 + body_bytes;
    }
};

class scripted_transport::scripted_exchange final : public net::exchange {
public:
    explicit scripted_exchange(std::shared_ptr<playing> played) : played_(std::move(played)) {}
    ~scripted_exchange() override { played_->close(); }

    void start_read(boost::asio::mutable_buffer into, net::completion<net::io_result> done) override {
        played_->into = into;
        played_->reader.emplace(std::move(done));
        played_->serve_reader();
    }
    void start_write(std::span<const boost::asio::const_buffer> from, net::completion<net::io_result> done) override {
        played_->writer.emplace(std::move(done));
        if (played_->log->closed) return played_->finish(played_->writer, {error::operation_aborted});
        if (played_->script.writes_fail) return played_->finish(played_->writer, {error::broken_pipe});
        if (played_->script.writes_stall) return;
        played_->untaken.assign(from.begin(), from.end());
        played_->taken = 0;
        if (played_->script.takes.empty()) return played_->take_some(SIZE_MAX);
        played_->written_to.set();
    }
    net::io_result write_now(std::span<boost::asio::const_buffer>& from) noexcept override {
        if (played_->log->closed || played_->script.writes_fail || played_->script.takes_now == 0) return {};
        const std::size_t bytes = played_->take(from, played_->script.takes_now);
        played_->changed.set();
        return {{}, bytes};
    }
    void close() noexcept override { played_->close(); }
    void recycle(duration) noexcept override {
        played_->log->recycled = true;
        played_->close();
    }
    bool reused() const noexcept override { return played_->script.reused; }
    duration connect_time() const noexcept override { return played_->script.connect_after; }

private:
    std::shared_ptr<playing> played_;
};

scripted_transport::chosen scripted_transport::take_script(const config::upstream& to) {
    chosen next;
    if (!scripts_.empty()) {
        next.script = std::move(scripts_.front());
        scripts_.pop_front();
    } else if (chooser_) {
        next.script = chooser_(to, logs_.size());
        next.log = logs_.emplace_back(std::make_shared<exchange_log>()); // its place is taken, whatever becomes of it
        next.log->closed = true;
    } else if (fallback_) {
        next.script = *fallback_;
    } else {
        next.script.connect_failure = net::transport_error{
            net::transport_error::kind::refused, "connection_refused", 502, {}, "no script is left"};
    }
    return next;
}

std::unique_ptr<net::exchange> scripted_transport::begin(chosen next, const config::upstream& to, bool fresh) {
    auto& [script, log] = next;
    if (!log) log = logs_.emplace_back(std::make_shared<exchange_log>());
    log->upstream = to.name;
    log->closed = false;
    log->fresh_asked = fresh;
    log->opened_at = loop_.now();
    const turn_taker turn{turns_, static_cast<std::uint32_t>(logs_.size())};
    auto played = std::make_shared<playing>(loop_, std::move(script), log, turn);
    players_.spawn(play(played));
    if (!played->script.takes.empty()) players_.spawn(take(played));
    return std::make_unique<scripted_exchange>(std::move(played));
}

net::task<net::open_result> scripted_transport::open(const std::shared_ptr<const config::upstream>& to, bool fresh,
                                                     steady_time deadline, net::cancel_source& cancel) {
    chosen next = take_script(*to);
    const exchange_script& script = next.script;
    net::event ready(loop_.executor());
    const net::cancel_source::hook cancelled(
        cancel, [](void* whom) { static_cast<net::event*>(whom)->set(); }, &ready);
    const steady_time at = loop_.now() + script.connect_after;
    if (script.connect_after > duration::zero()) co_await ready.wait_until(loop_.timers(), std::min(at, deadline));
    if (cancel.requested())
        co_return net::open_result{
            nullptr, {net::transport_error::kind::cancelled, "connection_terminated", 502, {}, "cancelled"}};
    if (at > deadline) {
        co_return net::open_result{
            nullptr,
            {net::transport_error::kind::connect_timeout, "connection_timeout", 504, {}, "no connection in time"}};
    }
    if (script.connect_failure) co_return net::open_result{nullptr, *script.connect_failure};

    co_return net::open_result{begin(std::move(next), *to, fresh), {}};
}

namespace {
std::shared_ptr<net::byte_stream> end_of(net::loop& in, int fd) {
    net::stream_socket socket(in.executor());
    socket.assign(boost::asio::generic::stream_protocol(AF_UNIX, SOCK_STREAM), fd);
    return std::make_shared<net::byte_stream>(std::move(socket));
}

// An exchange and a stream are read and written alike.
template <class From, class To>
net::task<void> carry(std::shared_ptr<From> from, std::shared_ptr<To> to) {
    using done = net::completion<net::io_result>;
    std::array<char, 4096> block; // NOLINT(cppcoreguidelines-pro-type-member-init): filled by the read
    for (;;) {
        const auto got = co_await net::await_completion<net::io_result>(
            [&](done told) { from->start_read(boost::asio::buffer(block), std::move(told)); });
        if (!got.ok()) break;
        const boost::asio::const_buffer some(block.data(), got.bytes);
        const auto sent = co_await net::await_completion<net::io_result>([&](done told) {
            to->start_write({&some, 1}, std::move(told));
        });
        if (!sent.ok()) break;
    }
    from->close();
    to->close();
}
} // namespace

net::dial_function scripted_transport::dialler() {
    return [this](net::opening& work, const net::dial_context&, const config::upstream& to) { return dial(work, to); };
}

net::task<net::dialled> scripted_transport::dial(net::opening& work, const config::upstream& to) {
    chosen next = take_script(to);
    co_await work.wake.wait_until(loop_.timers(), loop_.now() + next.script.connect_after);
    if (work.ended()) co_return net::dialled{nullptr, work.error(to)};
    if (next.script.connect_failure) co_return net::dialled{nullptr, *next.script.connect_failure};
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()) != 0)
        throw std::runtime_error("no sockets");
    const auto far_end = end_of(loop_, ends[1]);
    const std::shared_ptr<net::exchange> played = begin(std::move(next), to, true);
    players_.spawn(carry(far_end, played));
    players_.spawn(carry(played, far_end));
    co_return net::dialled{end_of(loop_, ends[0]), {}};
}

net::task<void> scripted_transport::play(std::shared_ptr<playing> what) {
    co_await play_steps(what, std::move(what->script.steps));
    const duration limit = what->script.idle_limit;
    for (std::size_t served = 0; what->script.serve && !what->log->closed; ++served) {
        const steady_time until = limit > duration::zero() ? what->loop.now() + limit : steady_time::max();
        while (!what->log->closed && what->log->requests.whole() == served && what->loop.now() < until) {
            if (limit > duration::zero())
                co_await what->changed.wait_until(what->loop.timers(), until);
            else
                co_await what->changed.wait();
        }
        if (what->log->requests.whole() == served)
            what->end_with(error::eof);
        else
            co_await play_steps(what, what->script.serve(*what->log));
        if (what->ended) break;
    }
    while (!what->log->closed) co_await what->changed.wait();
}

net::task<void> scripted_transport::play_steps(std::shared_ptr<playing> what, std::vector<play_step> steps) {
    for (const play_step& step : steps) {
        if (const auto* request = std::get_if<play::request>(&step)) {
            while (!what->log->closed && !what->has_request(request->body_bytes)) co_await what->changed.wait();
        } else if (const auto* body = std::get_if<play::body>(&step)) {
            const auto& seen = what->log->requests;
            while (!what->log->closed &&
                   (seen.messages().empty() || (seen.body_bytes() < body->bytes && seen.whole() == 0)))
                co_await what->changed.wait();
        } else if (std::holds_alternative<play::whole>(step)) {
            while (!what->log->closed && what->log->requests.whole() == 0) co_await what->changed.wait();
        } else if (const auto* pause = std::get_if<play::pause>(&step)) {
            const steady_time until = what->loop.now() + pause->length;
            while (!what->log->closed && what->loop.now() < until)
                co_await what->changed.wait_until(what->loop.timers(), until);
        } else if (const auto* send = std::get_if<play::send>(&step)) {
            what->incoming += send->bytes;
            what->serve_reader();
        } else if (const auto* call = std::get_if<play::call>(&step)) {
            call->what();
        } else if (std::holds_alternative<play::end>(step)) {
            what->end_with(error::eof);
        } else if (std::holds_alternative<play::reset>(step)) {
            what->end_with(error::connection_reset);
        } else if (std::holds_alternative<play::truncate_tls>(step)) {
            what->end_with(boost::asio::ssl::error::stream_truncated);
        }
        if (what->log->closed) co_return;
    }
}

net::task<void> scripted_transport::take(std::shared_ptr<playing> what) {
    const auto& takes = what->script.takes;
    for (std::size_t i = 0; !what->log->closed; i = std::min(i + 1, takes.size() - 1)) {
        const steady_time until = what->loop.now() + takes[i].after;
        while (!what->log->closed && what->loop.now() < until)
            co_await what->written_to.wait_until(what->loop.timers(), until);
        while (!what->log->closed && what->untaken.empty()) co_await what->written_to.wait();
        if (what->log->closed) co_return;
        what->take_some(takes[i].most);
        what->turn.note('t');
    }
}

std::size_t scripted_transport::opened_to(std::string_view upstream) const noexcept {
    return static_cast<std::size_t>(
        std::count_if(logs_.begin(), logs_.end(), [&](const auto& log) { return log->upstream == upstream; }));
}

std::size_t scripted_transport::open_now() const noexcept {
    return static_cast<std::size_t>(
        std::count_if(logs_.begin(), logs_.end(), [](const auto& log) { return !log->closed; }));
}

} // namespace evenkeel::test
