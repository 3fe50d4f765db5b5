#pragma once
// One TLS connection as a state machine on a non-blocking descriptor: each call makes what progress it can and says
// what it waits for. It starts no wait itself; byte_stream does. Knows nothing of Asio's sockets.

#include "proxy/net/io.hpp"

#include <boost/asio/buffer.hpp>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

struct ssl_st;
struct ssl_session_st;

namespace evenkeel::net {

class tls_client_context;
class tls_server_context;

// The newest session that an endpoint's server handed out, for resumption. One per endpoint key, which includes the
// verification settings: a resumed handshake shows no certificate, so it must not cross from a lenient setting to a
// strict one. For the same reason it is used only with the context it was made with, which a reload of the CA replaces.
class tls_resumption {
public:
    tls_resumption() = default;
    ~tls_resumption();
    tls_resumption(const tls_resumption&) = delete;
    tls_resumption& operator=(const tls_resumption&) = delete;

private:
    friend class tls_session;
    ssl_session_st* session_ = nullptr;
    std::weak_ptr<const tls_client_context> made_with_;
};

class tls_session {
public:
    enum class progress : unsigned char { done, want_read, want_write, failed };
    struct step {
        progress is = progress::failed;
        std::size_t bytes = 0;
        error_code error; // failed: eof after a close_notify, ssl::error::stream_truncated without one, or another
    };
    // Why a handshake failed, for people. `token` is the RFC 9209 word.
    struct failure {
        std::string_view token;
        std::string detail;
    };

    // `host`: what is verified; a name is also sent as SNI, an address is neither sent nor matched against names.
    static std::unique_ptr<tls_session> client(std::shared_ptr<const tls_client_context> context, int descriptor,
                                               const std::string& host, std::shared_ptr<tls_resumption> resumption);
    static std::unique_ptr<tls_session> server(std::shared_ptr<const tls_server_context> context, int descriptor);
    ~tls_session();
    tls_session(const tls_session&) = delete;
    tls_session& operator=(const tls_session&) = delete;

    [[nodiscard]] step handshake() noexcept;
    [[nodiscard]] step read(boost::asio::mutable_buffer into) noexcept;
    [[nodiscard]] step write(boost::asio::const_buffer from) noexcept; // may take less than all: one record
    [[nodiscard]] step peek() noexcept; // want_read: nothing for a reader; session tickets are digested on the way
    [[nodiscard]] bool buffered() const noexcept; // bytes of the peer wait inside, perhaps not yet a whole record
    void close_notify() noexcept;

    [[nodiscard]] bool resumed() const noexcept;
    [[nodiscard]] const failure& why() const noexcept { return failure_; }

private:
    friend struct tls_hooks;
    tls_session(ssl_st* ssl, int descriptor);
    step step_of(int result) noexcept;
    void explain(unsigned long code, int system) noexcept;
    void remember(ssl_session_st* session) noexcept;

    ssl_st* ssl_;
    int descriptor_;
    bool ended_ = false;  // the descriptor reached its end of file
    bool broken_ = false; // OpenSSL allows no further call, not even a shutdown
    std::string host_;
    std::string rejected_; // why the certificate was refused
    failure failure_;
    std::shared_ptr<const tls_client_context> client_;
    std::shared_ptr<const tls_server_context> server_;
    std::shared_ptr<tls_resumption> resumption_;
};

} // namespace evenkeel::net
