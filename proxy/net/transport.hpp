#pragma once
// The seam between deciding and doing: an attempt opens an exchange with an endpoint and sends and reads bytes on it.
// Implementations: the connection pool over tcp and tls (production), scripted (tests, simulate), chaos (wraps
// another). One virtual call per I/O operation and no coroutine frame for it.

#include "config/settings.hpp"
#include "policies/time.hpp"
#include "proxy/net/io.hpp"

#include <boost/asio/buffer.hpp>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace evenkeel::net {

// What went wrong at the transport level. `token` is the RFC 9209 error word (connection_refused, dns_error,
// tls_certificate_error, ...); `status` what RFC 9209 recommends for an answer made from it.
struct transport_error {
    enum class kind : unsigned char {
        none,
        dns,
        refused,
        unreachable,
        connect_timeout,
        tls,
        limit,
        cancelled,
        proxy_refused,
        other
    };
    kind is = kind::none;
    std::string_view token;
    int status = 502;
    error_code code;
    std::string detail;   // for the log and the error body; no credential
    bool lasting = false; // asking again at once would end the same: no such name, a certificate that is not trusted
};

class exchange {
public:
    virtual ~exchange() = default; // closes if neither closed nor recycled

    // One operation of each direction may be under way at a time. Completion comes through the loop, never from inside
    // start_*; the buffers live until then. A write completes when all bytes are written or the connection failed.
    // A read completes with at least one byte, or boost::asio::error::eof on a clean end (TLS: only with close_notify;
    // a TLS connection that ends without it reports boost::asio::ssl::error::stream_truncated), or another error.
    virtual void start_read(boost::asio::mutable_buffer into, completion<io_result> done) = 0;
    virtual void start_read_late(room_for_bytes& into, completion<io_result> done) {
        start_read(into.room(), std::move(done));
    }
    virtual void start_write(std::span<const boost::asio::const_buffer> from, completion<io_result> done) = 0;

    virtual void close() noexcept = 0; // at once; operations under way complete with operation_aborted

    // The message is done, everything was sent and read: may be used again after `quiet` (the upstream's Keep-Alive
    // timeout; 0: not told). Ends the exchange. Stray bytes or an end seen now or at the next take close it instead.
    virtual void recycle(duration upstream_keep_alive) noexcept = 0;

    [[nodiscard]] virtual bool reused() const noexcept = 0;           // has carried a message before
    [[nodiscard]] virtual duration connect_time() const noexcept = 0; // 0 if reused

    [[nodiscard]] task<io_result> read_some(boost::asio::mutable_buffer into) {
        return await_completion<io_result>(
            [this, into](completion<io_result> done) { start_read(into, std::move(done)); });
    }
    // `into` lives until completion.
    [[nodiscard]] task<io_result> read_late(room_for_bytes& into) {
        return await_completion<io_result>(
            [this, &into](completion<io_result> done) { start_read_late(into, std::move(done)); });
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
};

struct open_result {
    std::unique_ptr<net::exchange> exchange; // null: see error
    transport_error error;
};

// Cancels an open() under way from outside (proxy/net/cancel.hpp).
class cancel_source;

class transport {
public:
    virtual ~transport() = default;
    // An idle connection that is fit for use, at once; null: there is none, ask open().
    [[nodiscard]] virtual std::unique_ptr<exchange> reuse(const std::shared_ptr<const config::upstream>&) {
        return nullptr;
    }
    // `fresh`: do not take a pooled connection. Completes with kind::connect_timeout at `deadline` at the latest.
    // `cancel` outlives the call; cancel.request() makes it complete promptly with kind::cancelled.
    [[nodiscard]] virtual task<open_result> open(const std::shared_ptr<const config::upstream>& to, bool fresh,
                                                 steady_time deadline, cancel_source& cancel) = 0;
};

} // namespace evenkeel::net
