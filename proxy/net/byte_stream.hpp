#pragma once
// The bytes of one connection, plain or TLS, towards a client or towards an upstream. Pooled exchanges and client
// streams are thin shells around it; no operation costs a coroutine frame.
//
// TLS runs OpenSSL on the descriptor itself (tls_session.hpp); measured at three quarters of the CPU of
// asio::ssl::stream, which copies every byte through a BIO pair (performance.md 3e).
//
// A wait for readability, once armed, is never withdrawn: whoever reads or waits next inherits it. So a connection that
// leaves the pool, or a client that was watched while its request ran, is read without a further epoll_ctl and without
// the speculative recv that finds nothing.

#include "proxy/net/io.hpp"
#include "proxy/net/tls_session.hpp"

#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/generic/stream_protocol.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

namespace evenkeel::net {

// TCP and unix sockets alike, so that everything above is compiled once.
using stream_socket = boost::asio::basic_stream_socket<boost::asio::generic::stream_protocol, executor>;

// Owned by a shared_ptr: an operation under way keeps its stream, so the owner may drop it at any time. Dropping the
// last owner while operations run must be preceded by close(), which the shells do.
class byte_stream : public std::enable_shared_from_this<byte_stream> {
public:
    explicit byte_stream(stream_socket socket) noexcept;
    ~byte_stream();
    byte_stream(const byte_stream&) = delete;
    byte_stream& operator=(const byte_stream&) = delete;

    // From here on all bytes pass through `session`, which works on this stream's descriptor.
    void encrypt(std::unique_ptr<tls_session> session);
    [[nodiscard]] tls_session* tls() noexcept { return tls_.get(); }
    void start_handshake(completion<io_result> done);

    // As exchange and client_stream promise.
    void start_read(boost::asio::mutable_buffer into, completion<io_result> done);
    void start_read_late(room_for_bytes& into, completion<io_result> done);
    [[nodiscard]] io_result write_now(std::span<boost::asio::const_buffer>& from) noexcept;
    void start_write(std::span<const boost::asio::const_buffer> from, completion<io_result> done);
    void start_wait_readable(completion<io_result> done);
    void cancel_read() noexcept;

    // Instead of a reader: told when an idle connection becomes readable, which may be mere TLS housekeeping. Stays
    // until unwatch(). At most one of reader and watcher at a time.
    class watcher {
    public:
        virtual void on_readable() = 0; // quiet() tells what it was; may destroy the watcher and drop the stream

    protected:
        ~watcher() = default;
    };
    void watch(watcher& by);
    void unwatch() noexcept { watcher_ = nullptr; }

    // False if an exchange left something behind: a write under way, a reader, bytes that TLS has already taken in.
    // Costs no system call on a healthy connection.
    [[nodiscard]] bool at_rest() noexcept;
    // True if there is neither a byte nor an end of the connection to be read. One non-blocking system call.
    [[nodiscard]] bool quiet() noexcept;
    [[nodiscard]] std::uint64_t moved() const noexcept; // as client_stream

    void shutdown_send() noexcept;
    // TLS: says close_notify if that can be done without blocking, and does not wait for the peer's.
    void close() noexcept;
    void reset() noexcept; // closes with a reset; TLS: without close_notify
    [[nodiscard]] bool closed() const noexcept { return closed_; }
    [[nodiscard]] int native_handle() const noexcept {              // -1 once closed
        return const_cast<stream_socket&>(socket_).native_handle(); // Asio's is not const, though it only reads
    }

private:
    void end_with_reset() noexcept;
    enum class reader_kind : unsigned char { none, read, wait };
    struct wait_handler;
    struct read_retry;
    struct write_cursor;
    struct pending_write;
    struct handshake;

    void arm_wait();
    void on_wait(error_code error);
    void read_tls(bool from_loop);
    [[nodiscard]] bool has_room() noexcept; // for the reader
    void finish_reader(io_result result, bool from_loop);
    void post_result(completion<io_result> done, io_result result);
    [[nodiscard]] std::size_t send_some(const write_cursor& what, error_code& error) noexcept;
    [[nodiscard]] io_result send(write_cursor& what, tls_session::progress& stopped) noexcept;
    [[nodiscard]] io_result send_plain(write_cursor& what, tls_session::progress& stopped) noexcept;
    [[nodiscard]] io_result send_tls(write_cursor& what, tls_session::progress& stopped) noexcept;
    void continue_write(pending_write write, bool from_loop);
    void continue_handshake(handshake work, bool from_loop);

    stream_socket socket_;
    std::unique_ptr<tls_session> tls_;
    watcher* watcher_ = nullptr;
    std::optional<completion<io_result>> reader_;
    boost::asio::mutable_buffer into_;
    room_for_bytes* late_ = nullptr; // asked for into_
    reader_kind kind_ = reader_kind::none;
    std::uint64_t handed_ = 0; // bytes of slow writes that the kernel took
    bool waiting_ = false;     // an async_wait for readability is with the reactor
    bool expect_data_ = true;  // TLS: worth asking OpenSSL before waiting
    bool writing_ = false;
    bool established_ = false; // TLS handshake done
    bool closed_ = false;
};

} // namespace evenkeel::net
