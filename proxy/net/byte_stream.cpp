#include "proxy/net/byte_stream.hpp"

#include "policies/assert.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <new>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

namespace evenkeel::net {

namespace {
constexpr std::size_t record = 16 * 1024; // largest TLS record payload, RFC 8446 5.1
const error_code aborted = boost::asio::error::operation_aborted;

// OpenSSL does not gather: small buffers are copied together, so that head and body leave in one record and one system
// call. The copy lives for one call only, and a repeated call copies the same bytes again, which OpenSSL asks for.
thread_local char flat[record];

// Drops the first `bytes` bytes.
void consume(std::span<boost::asio::const_buffer>& from, std::size_t bytes) noexcept {
    while (!from.empty() && bytes >= from.front().size()) {
        bytes -= from.front().size();
        from = from.subspan(1);
    }
    if (bytes > 0) from.front() += bytes;
}
} // namespace

// Carries no completion of its own, since the reader may change while the wait stands. If the io_context dies first,
// the handler is destroyed unused; it then lets go of the reader, whose frame may own this very stream.
struct byte_stream::wait_handler {
    explicit wait_handler(std::shared_ptr<byte_stream> of) noexcept : stream(std::move(of)) {}
    wait_handler(wait_handler&&) noexcept = default;
    ~wait_handler() {
        if (!stream) return;
        stream->waiting_ = false;
        const auto reader = std::move(stream->reader_);
        stream->reader_.reset();
    }
    void operator()(error_code error) {
        const auto held = std::move(stream);
        held->on_wait(error);
    }
    std::shared_ptr<byte_stream> stream;
};

// A TLS read that must write first (an answer to a key update) and found the socket full.
struct byte_stream::read_retry {
    std::shared_ptr<byte_stream> stream;
    void operator()(error_code error) {
        if (stream->kind_ != reader_kind::read) return; // cancelled meanwhile
        if (error || stream->closed_) {
            stream->finish_reader({error ? error : aborted, 0}, true);
        } else {
            stream->read_tls(true);
        }
    }
};

// What is still to be written.
struct byte_stream::write_cursor {
    std::span<const boost::asio::const_buffer> from;
    std::size_t offset = 0; // into from.front()
    std::size_t written = 0;

    // As the kernel is to see it: up to `buffers` buffers.
    [[nodiscard]] std::size_t gather(std::span<iovec> buffers) const noexcept {
        std::size_t count = 0, skip = offset;
        for (const auto& buffer : from) {
            const boost::asio::const_buffer rest = buffer + skip;
            skip = 0;
            if (rest.size() == 0) continue;
            if (count == buffers.size()) break;
            buffers[count++] = {const_cast<void*>(rest.data()), rest.size()}; // sendmsg only reads
        }
        return count;
    }
    // As OpenSSL is to see it: one record.
    [[nodiscard]] boost::asio::const_buffer next() noexcept {
        if (at_end()) return {};
        const boost::asio::const_buffer first = from.front() + offset;
        if (from.size() == 1 || first.size() >= record) return first;
        std::size_t length = 0;
        std::size_t skip = offset;
        for (const auto& buffer : from) {
            const boost::asio::const_buffer rest = buffer + skip;
            skip = 0;
            const std::size_t part = std::min(rest.size(), record - length);
            if (part != 0) std::memcpy(flat + length, rest.data(), part);
            length += part;
            if (length == record) break;
        }
        return {flat, length};
    }
    [[nodiscard]] bool at_end() noexcept {
        while (!from.empty() && offset == from.front().size()) {
            from = from.subspan(1);
            offset = 0;
        }
        return from.empty();
    }
    void advance(std::size_t bytes) noexcept {
        written += bytes;
        while (bytes != 0) {
            const std::size_t part = std::min(bytes, from.front().size() - offset);
            offset += part;
            bytes -= part;
            if (offset == from.front().size()) {
                from = from.subspan(1);
                offset = 0;
            }
        }
    }
};

struct byte_stream::pending_write {
    std::shared_ptr<byte_stream> stream;
    write_cursor what;
    completion<io_result> done;
    void operator()(error_code error) {
        const auto held = stream;
        if (error || held->closed_) {
            held->writing_ = false;
            std::move(done)(io_result{error ? error : aborted, what.written});
        } else {
            held->continue_write(std::move(*this), true);
        }
    }
};

struct byte_stream::handshake {
    std::shared_ptr<byte_stream> stream;
    completion<io_result> done;
    void operator()(error_code error) {
        const auto held = stream;
        if (error || held->closed_) {
            std::move(done)(io_result{error ? error : aborted, 0});
        } else {
            held->continue_handshake(std::move(*this), true);
        }
    }
};

byte_stream::byte_stream(stream_socket socket) noexcept : socket_(std::move(socket)) {}
byte_stream::~byte_stream() { close(); }

void byte_stream::encrypt(std::unique_ptr<tls_session> session) {
    tls_ = std::move(session);
    error_code ignored;
    socket_.native_non_blocking(true, ignored); // OpenSSL's reads and writes must return, not wait
}

void byte_stream::post_result(completion<io_result> done, io_result result) {
    boost::asio::post(socket_.get_executor(), [done = std::move(done), result]() mutable { std::move(done)(result); });
}

void byte_stream::arm_wait() {
    waiting_ = true;
    // With the reactor's edge-triggered epoll a wait asks for the present state too: Asio re-arms the descriptor for
    // it.
    socket_.async_wait(stream_socket::wait_read, wait_handler(shared_from_this()));
}

void byte_stream::finish_reader(io_result result, bool from_loop) {
    completion<io_result> done = std::move(*reader_);
    reader_.reset();
    kind_ = reader_kind::none;
    if (from_loop) {
        std::move(done)(result);
    } else {
        post_result(std::move(done), result);
    }
}

void byte_stream::on_wait(error_code error) {
    waiting_ = false;
    expect_data_ = true;
    if (closed_ && !error) error = aborted;
    if (watcher_ != nullptr) {
        watcher_->on_readable();
        return;
    }
    if (kind_ == reader_kind::none) return; // noticed by the next read itself
    if (error) return finish_reader({error, 0}, true);
    if (kind_ == reader_kind::wait) {
        // TLS: a session ticket or a key update is not something that a reader can read.
        if (tls_ && tls_->peek().is == tls_session::progress::want_read) return arm_wait();
        return finish_reader({}, true);
    }
    if (!has_room()) return finish_reader({boost::asio::error::no_memory, 0}, true);
    if (tls_) return read_tls(true);
    const ssize_t got = ::recv(native_handle(), into_.data(), into_.size(), MSG_DONTWAIT);
    if (got > 0) return finish_reader({{}, static_cast<std::size_t>(got)}, true);
    if (got == 0) return finish_reader({boost::asio::error::eof, 0}, true);
    if (errno == EAGAIN || errno == EINTR) return arm_wait();
    finish_reader({error_code(errno, boost::system::system_category()), 0}, true);
}

void byte_stream::read_tls(bool from_loop) {
    const tls_session::step got = tls_->read(into_);
    expect_data_ = got.is == tls_session::progress::done && tls_->buffered();
    switch (got.is) {
    case tls_session::progress::done:
    case tls_session::progress::failed: return finish_reader({got.error, got.bytes}, from_loop);
    case tls_session::progress::want_read:
        if (!waiting_) arm_wait();
        return;
    case tls_session::progress::want_write:
        return socket_.async_wait(stream_socket::wait_write, read_retry{shared_from_this()});
    }
}

void byte_stream::start_read(boost::asio::mutable_buffer into, completion<io_result> done) {
    if (closed_) return post_result(std::move(done), {aborted, 0});
    EVENKEEL_ASSERT(!reader_, "two readers of one connection at once");
    if (!tls_ && !waiting_) return socket_.async_read_some(into, io_handler{std::move(done)});
    into_ = into;
    late_ = nullptr;
    reader_.emplace(std::move(done));
    kind_ = reader_kind::read;
    if (tls_ && (tls_->buffered() || (!waiting_ && expect_data_))) return read_tls(false);
    if (!waiting_) arm_wait();
}

void byte_stream::start_read_late(room_for_bytes& into, completion<io_result> done) {
    // TLS may have the bytes already.
    if (closed_ || (tls_ && (tls_->buffered() || (!waiting_ && expect_data_))))
        return start_read(into.room(), std::move(done));
    EVENKEEL_ASSERT(!reader_, "two readers of one connection at once");
    late_ = &into;
    reader_.emplace(std::move(done));
    kind_ = reader_kind::read;
    if (!waiting_) arm_wait();
}

bool byte_stream::has_room() noexcept {
    if (late_ == nullptr) return true;
    try {
        into_ = late_->room();
        return true;
    } catch (const std::bad_alloc&) {
        return false;
    }
}

void byte_stream::start_wait_readable(completion<io_result> done) {
    if (closed_) return post_result(std::move(done), {aborted, 0});
    EVENKEEL_ASSERT(!reader_, "two readers of one connection at once");
    reader_.emplace(std::move(done));
    kind_ = reader_kind::wait;
    if (tls_ && tls_->buffered() && tls_->peek().is != tls_session::progress::want_read)
        return finish_reader({}, false);
    if (!waiting_) arm_wait();
}

void byte_stream::cancel_read() noexcept {
    if (kind_ != reader_kind::none) return finish_reader({aborted, 0}, false); // the wait stands, for the next reader
    error_code ignored;
    if (!closed_ && !writing_ && !waiting_) socket_.cancel(ignored); // a plain read is with Asio itself
}

void byte_stream::watch(watcher& by) {
    watcher_ = &by;
    if (!waiting_ && !closed_) arm_wait();
}

void byte_stream::start_write(std::span<const boost::asio::const_buffer> from, completion<io_result> done) {
    if (closed_) return post_result(std::move(done), {aborted, 0});
    EVENKEEL_ASSERT(!writing_, "two writes to one connection at once");
    writing_ = true;
    continue_write(pending_write{shared_from_this(), {from}, std::move(done)}, false);
}

io_result byte_stream::write_now(std::span<boost::asio::const_buffer>& from) noexcept {
    if (closed_) return {aborted};
    write_cursor what{from};
    if (tls_) {
        tls_session::progress stopped;
        const io_result result = send_tls(what, stopped);
        consume(from, result.bytes);
        return result;
    }
    error_code error;
    const std::size_t sent = send_some(what, error);
    consume(from, sent);
    return {error, sent};
}

// One call; without an error and without a byte, the socket is full.
std::size_t byte_stream::send_some(const write_cursor& what, error_code& error) noexcept {
    std::array<iovec, 16> buffers;
    msghdr message{};
    message.msg_iov = buffers.data();
    message.msg_iovlen = what.gather(buffers);
    const ssize_t sent = ::sendmsg(native_handle(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0) return static_cast<std::size_t>(sent);
    if (errno != EAGAIN && errno != EINTR) error = error_code(errno, boost::system::system_category());
    return 0;
}

// Until all is written, the connection failed, or the socket is full.
io_result byte_stream::send_plain(write_cursor& what, tls_session::progress& stopped) noexcept {
    stopped = tls_session::progress::done;
    while (!what.at_end()) {
        error_code error;
        const std::size_t sent = send_some(what, error);
        what.advance(sent);
        if (error) {
            stopped = tls_session::progress::failed;
            return {error, what.written};
        }
        if (sent == 0) {
            stopped = tls_session::progress::want_write;
            return {{}, what.written};
        }
    }
    return {{}, what.written};
}

io_result byte_stream::send(write_cursor& what, tls_session::progress& stopped) noexcept {
    const std::size_t before = what.written;
    const io_result result = tls_ ? send_tls(what, stopped) : send_plain(what, stopped);
    handed_ += what.written - before;
    return result;
}

std::uint64_t byte_stream::moved() const noexcept {
    int queued = 0; // not yet acknowledged by the peer's kernel; of a unix socket: not yet read
    if (closed_ || ::ioctl(native_handle(), TIOCOUTQ, &queued) != 0) return handed_;
    return handed_ - static_cast<std::uint64_t>(queued);
}

// Until all is written, the connection failed, or `stopped` says what has to be waited for.
io_result byte_stream::send_tls(write_cursor& what, tls_session::progress& stopped) noexcept {
    stopped = tls_session::progress::done;
    for (boost::asio::const_buffer next = what.next(); next.size() != 0; next = what.next()) {
        const tls_session::step sent = tls_->write(next);
        if (sent.is != tls_session::progress::done) {
            stopped = sent.is;
            return {sent.is == tls_session::progress::failed ? sent.error : error_code{}, what.written};
        }
        what.advance(sent.bytes);
    }
    return {{}, what.written};
}

void byte_stream::continue_write(pending_write write, bool from_loop) {
    tls_session::progress stopped;
    const io_result result = send(write.what, stopped);
    if (stopped == tls_session::progress::want_write)
        return socket_.async_wait(stream_socket::wait_write, std::move(write));
    if (stopped == tls_session::progress::want_read)
        return socket_.async_wait(stream_socket::wait_read, std::move(write));
    writing_ = false;
    if (from_loop) {
        std::move(write.done)(result);
    } else {
        post_result(std::move(write.done), result);
    }
}

void byte_stream::start_handshake(completion<io_result> done) {
    if (closed_) return post_result(std::move(done), {aborted, 0});
    continue_handshake(handshake{shared_from_this(), std::move(done)}, false);
}

void byte_stream::continue_handshake(handshake work, bool from_loop) {
    const tls_session::step step = tls_->handshake();
    switch (step.is) {
    case tls_session::progress::want_read: return socket_.async_wait(stream_socket::wait_read, std::move(work));
    case tls_session::progress::want_write: return socket_.async_wait(stream_socket::wait_write, std::move(work));
    case tls_session::progress::done: established_ = true; [[fallthrough]];
    case tls_session::progress::failed: break;
    }
    if (from_loop) {
        std::move(work.done)(io_result{step.error, 0});
    } else {
        post_result(std::move(work.done), {step.error, 0});
    }
}

bool byte_stream::at_rest() noexcept {
    if (closed_ || writing_ || kind_ != reader_kind::none) return false;
    return !tls_ || !tls_->buffered() || tls_->peek().is == tls_session::progress::want_read;
}

bool byte_stream::quiet() noexcept {
    if (closed_) return false;
    if (tls_) return tls_->peek().is == tls_session::progress::want_read;
    char stray = 0;
    return ::recv(native_handle(), &stray, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

void byte_stream::shutdown_send() noexcept {
    if (closed_) return;
    // A close_notify in the middle of a half-written record would corrupt the stream; a plain FIN is honest there.
    if (tls_ && established_ && !writing_) tls_->close_notify();
    error_code ignored;
    socket_.shutdown(stream_socket::shutdown_send, ignored);
}

void byte_stream::close() noexcept {
    if (closed_) return;
    closed_ = true;
    if (tls_ && established_ && !writing_) tls_->close_notify();
    // Behind bytes that the peer does not read a FIN never arrives: a half-done write ends with a reset.
    if (writing_) end_with_reset();
    error_code ignored;
    socket_.close(ignored);
}

void byte_stream::end_with_reset() noexcept {
    const linger at_once{1, 0};
    ::setsockopt(native_handle(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

void byte_stream::reset() noexcept {
    if (closed_) return;
    end_with_reset();
    established_ = false; // no close_notify: the end is not a regular one
    close();
}

} // namespace evenkeel::net
