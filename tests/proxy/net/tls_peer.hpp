#pragma once
// The other end of a TLS connection in tests: OpenSSL on a blocking descriptor, independent of the code under test.

#include "tests/support/certificates.hpp"

#include <memory>
#include <string>

struct ssl_st;
struct ssl_ctx_st;

namespace evenkeel::test {

class tls_peer {
public:
    explicit tls_peer(ssl_st* ssl) noexcept : ssl_(ssl) {}
    ~tls_peer(); // frees; says no close_notify and leaves the descriptor alone
    tls_peer(const tls_peer&) = delete;
    tls_peer& operator=(const tls_peer&) = delete;

    std::string read_line(); // empty at the end
    void write(const std::string& text);
    void close_notify();
    [[nodiscard]] bool resumed() const;
    [[nodiscard]] std::string server_name() const;                        // as sent by the client; empty: none
    [[nodiscard]] int last_error() const noexcept { return last_error_; } // SSL_ERROR_* of the read that ended

private:
    ssl_st* ssl_;
    int last_error_ = 0;
};

struct tls_peer_options {
    std::string client_ca; // PEM; set: a client certificate is required
    int max_version = 0;   // 0: newest
    int tickets = 2;
};

class tls_peer_context {
public:
    explicit tls_peer_context(const certificate& own, const tls_peer_options& options = {}); // server
    explicit tls_peer_context(const std::string& trusted_pem);                               // client
    ~tls_peer_context();
    tls_peer_context(const tls_peer_context&) = delete;
    tls_peer_context& operator=(const tls_peer_context&) = delete;

    [[nodiscard]] std::unique_ptr<tls_peer> accept(int fd) const; // null: handshake failed
    [[nodiscard]] std::unique_ptr<tls_peer> connect(int fd, const std::string& host) const;

private:
    ssl_ctx_st* context_;
};

} // namespace evenkeel::test
