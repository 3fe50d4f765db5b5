#pragma once
// A client's connection as the request path sees it: the mirror image of `exchange` (transport.hpp). Plain TCP, a unix
// socket and TLS look the same; a TLS stream is handed out with its handshake done. One worker's.

#include "proxy/net/io.hpp"

#include <boost/asio/buffer.hpp>

#include <cstdint>
#include <span>
#include <string_view>

namespace evenkeel::net {

class client_stream {
public:
    virtual ~client_stream() = default; // closes

    // One operation of each direction may be under way at a time; a wait counts as a read. Completion comes through the
    // loop, never from inside start_*; the buffers, and the span's own storage, live until then. A write completes when
    // all bytes are written or the connection failed. A read completes with at least one byte, with
    // boost::asio::error::eof at the client's end, or with another error.
    virtual void start_read(boost::asio::mutable_buffer into, completion<io_result> done) = 0;
    virtual void start_write(std::span<const boost::asio::const_buffer> from, completion<io_result> done) = 0;

    // Completes without error as soon as a read would not block: there are bytes, or the client has ended or reset the
    // connection (the next read tells which). Needs no buffer, so an idle connection holds none.
    virtual void start_wait_readable(completion<io_result> done) = 0;
    // The read or wait under way, if any, completes with operation_aborted (or with what had already come), through the
    // loop; the stream stays usable. No write may be under way.
    virtual void cancel_read() noexcept = 0;

    // Changes whenever bytes that were written have gone on towards the peer, as well as the system can tell. A write
    // that is under way says nothing before its end, and one of megabytes to a slow reader takes minutes; nor does a
    // socket turn writable for each byte that left it, but for a third of its buffer. Asks the kernel: for a timer, not
    // for each write.
    [[nodiscard]] virtual std::uint64_t moved() const noexcept { return 0; }

    virtual void shutdown_send() noexcept = 0; // FIN after what was written (TLS: close_notify first); reading goes on
    virtual void close() noexcept = 0;         // at once; operations under way complete with operation_aborted
    // Closes with a reset instead of a FIN: for an answer that ends only with its connection and broke off.
    virtual void reset() noexcept = 0;
    // For poll(); -1 if there is none (tests) or it is closed.
    [[nodiscard]] virtual int descriptor() const noexcept = 0;

    [[nodiscard]] virtual std::string_view peer() const noexcept = 0; // address without port; "unix" for a unix socket

    [[nodiscard]] task<io_result> read_some(boost::asio::mutable_buffer into) {
        return await_completion<io_result>(
            [this, into](completion<io_result> done) { start_read(into, std::move(done)); });
    }
    // As much of it as goes without waiting; `from` becomes what is left, and has to be empty or write() come next
    // unless there was an error. Nearly every message leaves whole this way, and costs neither a coroutine frame nor a
    // turn of the loop.
    [[nodiscard]] virtual io_result write_now(std::span<boost::asio::const_buffer>&) noexcept { return {}; }
    // `from` lives until completion.
    [[nodiscard]] task<io_result> write(std::span<const boost::asio::const_buffer> from) {
        return await_completion<io_result>(
            [this, from](completion<io_result> done) { start_write(from, std::move(done)); });
    }
    [[nodiscard]] task<io_result> wait_readable() {
        return await_completion<io_result>(
            [this](completion<io_result> done) { start_wait_readable(std::move(done)); });
    }
};

} // namespace evenkeel::net
