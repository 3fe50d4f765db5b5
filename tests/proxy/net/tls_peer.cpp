#include "tests/proxy/net/tls_peer.hpp"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <csignal>

namespace evenkeel::test {

namespace {
X509* certificate_from(const std::string& pem) {
    BIO* in = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
    X509* out = PEM_read_bio_X509(in, nullptr, nullptr, nullptr);
    BIO_free(in);
    return out;
}
void trust(SSL_CTX* context, const std::string& pem) {
    X509* ca = certificate_from(pem);
    X509_STORE_add_cert(SSL_CTX_get_cert_store(context), ca);
    X509_free(ca);
}
// OpenSSL's socket BIO writes without MSG_NOSIGNAL. The product's does not; this end has to look after itself.
void ignore_sigpipe() { std::signal(SIGPIPE, SIG_IGN); }
} // namespace

tls_peer::~tls_peer() { SSL_free(ssl_); }

std::string tls_peer::read_line() {
    std::string out;
    char c = 0;
    ERR_clear_error();
    for (;;) {
        const int got = SSL_read(ssl_, &c, 1);
        if (got != 1) {
            last_error_ = SSL_get_error(ssl_, got);
            break;
        }
        out += c;
        if (c == '\n') break;
    }
    return out;
}
void tls_peer::write(const std::string& text) { SSL_write(ssl_, text.data(), static_cast<int>(text.size())); }
void tls_peer::close_notify() { SSL_shutdown(ssl_); }
bool tls_peer::resumed() const { return SSL_session_reused(ssl_) == 1; }
std::string tls_peer::server_name() const {
    const char* name = SSL_get_servername(ssl_, TLSEXT_NAMETYPE_host_name);
    return name != nullptr ? name : "";
}

tls_peer_context::tls_peer_context(const certificate& own, const tls_peer_options& options)
    : context_(SSL_CTX_new(TLS_server_method())) {
    ignore_sigpipe();
    X509* certificate = certificate_from(own.pem);
    SSL_CTX_use_certificate(context_, certificate);
    X509_free(certificate);
    BIO* in = BIO_new_mem_buf(own.key.data(), static_cast<int>(own.key.size()));
    EVP_PKEY* key = PEM_read_bio_PrivateKey(in, nullptr, nullptr, nullptr);
    SSL_CTX_use_PrivateKey(context_, key);
    EVP_PKEY_free(key);
    BIO_free(in);
    SSL_CTX_set_session_id_context(context_, reinterpret_cast<const unsigned char*>("test"), 4);
    SSL_CTX_set_num_tickets(context_, static_cast<std::size_t>(options.tickets));
    if (options.max_version != 0) {
        SSL_CTX_set_security_level(context_, 0); // lets it speak what is no longer allowed
        SSL_CTX_set_min_proto_version(context_, TLS1_VERSION);
        SSL_CTX_set_max_proto_version(context_, options.max_version);
    }
    if (!options.client_ca.empty()) {
        trust(context_, options.client_ca);
        SSL_CTX_set_verify(context_, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    }
}

tls_peer_context::tls_peer_context(const std::string& trusted_pem) : context_(SSL_CTX_new(TLS_client_method())) {
    ignore_sigpipe();
    trust(context_, trusted_pem);
    SSL_CTX_set_verify(context_, SSL_VERIFY_PEER, nullptr);
}

tls_peer_context::~tls_peer_context() { SSL_CTX_free(context_); }

std::unique_ptr<tls_peer> tls_peer_context::accept(int fd) const {
    ERR_clear_error();
    SSL* ssl = SSL_new(context_);
    SSL_set_fd(ssl, fd);
    auto out = std::make_unique<tls_peer>(ssl);
    if (SSL_accept(ssl) != 1) return nullptr;
    return out;
}

std::unique_ptr<tls_peer> tls_peer_context::connect(int fd, const std::string& host) const {
    ERR_clear_error();
    SSL* ssl = SSL_new(context_);
    SSL_set_fd(ssl, fd);
    SSL_set1_host(ssl, host.c_str());
    auto out = std::make_unique<tls_peer>(ssl);
    if (SSL_connect(ssl) != 1) return nullptr;
    return out;
}

} // namespace evenkeel::test
