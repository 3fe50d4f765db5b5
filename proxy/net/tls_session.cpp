#include "proxy/net/tls_session.hpp"

#include "proxy/net/tls_context.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ssl/error.hpp>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>

namespace evenkeel::net {

namespace {
// Names in a certificate come from the peer and go into logs and error bodies.
std::string printable(std::string_view text) {
    std::string out(text.substr(0, 64));
    std::replace_if(
        out.begin(), out.end(), [](char c) { return c <= ' ' || c > '~' || c == '\'' || c == '"'; }, '?');
    return out;
}

// "'a', 'b', 'c' and 4 more": what the certificate says it is for.
std::string names_of(X509* certificate) {
    constexpr int shown = 3;
    std::string out;
    int count = 0;
    const auto add = [&](std::string_view name) {
        if (++count > shown) return;
        if (!out.empty()) out += ", ";
        out += "'" + printable(name) + "'";
    };
    auto* names = static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
    for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
        const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
        if (name->type == GEN_DNS) {
            add({reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName)),
                 static_cast<std::size_t>(ASN1_STRING_length(name->d.dNSName))});
        } else if (name->type == GEN_IPADD) {
            const auto* bytes = ASN1_STRING_get0_data(name->d.iPAddress);
            if (ASN1_STRING_length(name->d.iPAddress) == 4) {
                boost::asio::ip::address_v4::bytes_type raw;
                std::memcpy(raw.data(), bytes, raw.size());
                add(boost::asio::ip::address_v4(raw).to_string());
            } else if (ASN1_STRING_length(name->d.iPAddress) == 16) {
                boost::asio::ip::address_v6::bytes_type raw;
                std::memcpy(raw.data(), bytes, raw.size());
                add(boost::asio::ip::address_v6(raw).to_string());
            }
        }
    }
    GENERAL_NAMES_free(names);
    if (count == 0) {
        char common[128];
        if (X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, common, sizeof common) > 0) {
            add(common);
        }
    }
    if (count > shown) out += " and " + std::to_string(count - shown) + " more";
    return out.empty() ? "no name" : out;
}
} // namespace

// OpenSSL's callbacks, which reach the session through the SSL's application data.
struct tls_hooks {
    static tls_session& of(const SSL* ssl) noexcept { return *static_cast<tls_session*>(SSL_get_ex_data(ssl, 0)); }

    // Leaves OpenSSL's verdict alone and notes the first reason in words.
    static int verify(int accepted, X509_STORE_CTX* store) {
        if (accepted == 1) return accepted;
        const auto* ssl =
            static_cast<const SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
        tls_session& self = of(ssl);
        if (!self.rejected_.empty()) return accepted;
        const int error = X509_STORE_CTX_get_error(store);
        X509* certificate = X509_STORE_CTX_get_current_cert(store);
        if ((error == X509_V_ERR_HOSTNAME_MISMATCH || error == X509_V_ERR_IP_ADDRESS_MISMATCH) &&
            certificate != nullptr) {
            self.rejected_ = "certificate is for " + names_of(certificate) + ", not '" + self.host_ + "'";
        } else {
            self.rejected_ = "certificate of '" + self.host_ + "' refused: " + X509_verify_cert_error_string(error);
        }
        return accepted;
    }

    static int new_session(SSL* ssl, SSL_SESSION* session) {
        of(ssl).remember(session);
        return 1; // the reference is ours now
    }

    // A socket BIO of our own: OpenSSL's uses write(2), which raises SIGPIPE on a connection that the peer has reset.
    static int bio_read(BIO* bio, char* into, int length) {
        BIO_clear_retry_flags(bio);
        auto& self = *static_cast<tls_session*>(BIO_get_data(bio));
        const ssize_t got = ::recv(self.descriptor_, into, static_cast<std::size_t>(length), 0);
        if (got == 0) self.ended_ = true;
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_read(bio);
        return static_cast<int>(got);
    }
    static int bio_write(BIO* bio, const char* from, int length) {
        BIO_clear_retry_flags(bio);
        auto& self = *static_cast<tls_session*>(BIO_get_data(bio));
        const ssize_t sent = ::send(self.descriptor_, from, static_cast<std::size_t>(length), MSG_NOSIGNAL);
        if (sent < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_write(bio);
        return static_cast<int>(sent);
    }
    static long bio_control(BIO* bio, int command, long, void*) {
        if (command == BIO_CTRL_FLUSH) return 1;
        if (command == BIO_CTRL_EOF) return static_cast<tls_session*>(BIO_get_data(bio))->ended_ ? 1 : 0;
        return 0;
    }
    static BIO_METHOD* method() {
        static BIO_METHOD* const made = [] {
            BIO_METHOD* fresh = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "evenkeel socket");
            BIO_meth_set_read(fresh, bio_read);
            BIO_meth_set_write(fresh, bio_write);
            BIO_meth_set_ctrl(fresh, bio_control);
            return fresh;
        }();
        return made;
    }
};

void install_client_hooks(SSL_CTX* context);
void install_client_hooks(SSL_CTX* context) { SSL_CTX_sess_set_new_cb(context, tls_hooks::new_session); }

tls_resumption::~tls_resumption() { SSL_SESSION_free(session_); }

tls_session::tls_session(SSL* ssl, int descriptor) : ssl_(ssl), descriptor_(descriptor) {
    SSL_set_ex_data(ssl_, 0, this); // index 0 is the application's own
    BIO* bio = BIO_new(tls_hooks::method());
    BIO_set_data(bio, this);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl_, bio, bio); // takes the one reference for both directions
}

tls_session::~tls_session() {
    // Without this OpenSSL takes a connection that was cut short as a reason never to resume its session.
    if (!broken_) SSL_set_shutdown(ssl_, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(ssl_);
}

std::unique_ptr<tls_session> tls_session::client(std::shared_ptr<const tls_client_context> context, int descriptor,
                                                 const std::string& host, std::shared_ptr<tls_resumption> resumption) {
    std::unique_ptr<tls_session> self(new tls_session(SSL_new(context->native()), descriptor));
    self->host_ = host;
    if (self->host_.ends_with('.')) self->host_.pop_back(); // the root's dot is in no certificate and in no SNI
    error_code not_literal;
    boost::asio::ip::make_address(self->host_, not_literal);
    if (not_literal) { // SSL_set_tlsext_host_name without its C cast
        SSL_ctrl(self->ssl_, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, self->host_.data());
    }
    if (context->settings().verify) {
        SSL_set_verify(self->ssl_, SSL_VERIFY_PEER, tls_hooks::verify);
        if (not_literal) {
            SSL_set_hostflags(self->ssl_, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
            SSL_set1_host(self->ssl_, self->host_.c_str());
        } else {
            X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(self->ssl_), self->host_.c_str());
        }
    } else {
        SSL_set_verify(self->ssl_, SSL_VERIFY_NONE, nullptr);
    }
    if (resumption && resumption->session_ != nullptr && resumption->made_with_.lock() == context &&
        SSL_SESSION_is_resumable(resumption->session_) == 1) {
        SSL_set_session(self->ssl_, resumption->session_);
    }
    SSL_set_connect_state(self->ssl_);
    self->client_ = std::move(context);
    self->resumption_ = std::move(resumption);
    return self;
}

std::unique_ptr<tls_session> tls_session::server(std::shared_ptr<const tls_server_context> context, int descriptor) {
    std::unique_ptr<tls_session> self(new tls_session(SSL_new(context->native()), descriptor));
    SSL_set_accept_state(self->ssl_);
    self->server_ = std::move(context);
    return self;
}

void tls_session::remember(SSL_SESSION* session) noexcept {
    if (!resumption_) {
        SSL_SESSION_free(session);
        return;
    }
    SSL_SESSION_free(resumption_->session_);
    resumption_->session_ = session;
    resumption_->made_with_ = client_;
}

tls_session::step tls_session::step_of(int result) noexcept {
    const int system = errno;
    switch (SSL_get_error(ssl_, result)) {
    case SSL_ERROR_WANT_READ: return {progress::want_read, 0, {}};
    case SSL_ERROR_WANT_WRITE: return {progress::want_write, 0, {}};
    case SSL_ERROR_ZERO_RETURN: return {progress::failed, 0, boost::asio::error::eof};
    default: break;
    }
    broken_ = true;
    const unsigned long code = ERR_get_error();
    ERR_clear_error();
    if (!SSL_is_init_finished(ssl_)) explain(code, system);
    if (ended_ || ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
        return {progress::failed, 0, boost::asio::ssl::error::stream_truncated};
    }
    if (code != 0)
        return {progress::failed, 0, error_code(static_cast<int>(code), boost::asio::error::get_ssl_category())};
    return {progress::failed, 0, error_code(system != 0 ? system : ECONNRESET, boost::system::system_category())};
}

void tls_session::explain(unsigned long code, int system) noexcept {
    const char* const text = ERR_reason_error_string(code);
    const std::string reason = text != nullptr ? text : "unknown error";
    if (!rejected_.empty()) {
        failure_ = {"tls_certificate_error", rejected_};
    } else if (ended_) {
        failure_ = {"tls_protocol_error", "the peer closed the connection during the TLS handshake"};
    } else if (code == 0) {
        failure_ = {"connection_terminated",
                    "TLS handshake: " + error_code(system, boost::system::system_category()).message()};
    } else if (ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_REASON(code) >= SSL_AD_REASON_OFFSET) {
        failure_ = {"tls_alert_received", "the peer refused the TLS handshake: " + reason};
    } else if (ERR_GET_REASON(code) == SSL_R_WRONG_VERSION_NUMBER) {
        failure_ = {"tls_protocol_error", "the peer does not seem to speak TLS on this port"};
    } else {
        failure_ = {"tls_protocol_error", "TLS handshake: " + reason};
    }
}

// Each call starts with an empty error queue, which is the thread's: what another connection left behind would else be
// taken for this one's failure.
tls_session::step tls_session::handshake() noexcept {
    ERR_clear_error();
    const int result = SSL_do_handshake(ssl_);
    return result == 1 ? step{progress::done, 0, {}} : step_of(result);
}

tls_session::step tls_session::read(boost::asio::mutable_buffer into) noexcept {
    ERR_clear_error();
    const int got = SSL_read(ssl_, into.data(), static_cast<int>(std::min<std::size_t>(into.size(), INT_MAX)));
    return got > 0 ? step{progress::done, static_cast<std::size_t>(got), {}} : step_of(got);
}

tls_session::step tls_session::write(boost::asio::const_buffer from) noexcept {
    ERR_clear_error();
    const int sent = SSL_write(ssl_, from.data(), static_cast<int>(std::min<std::size_t>(from.size(), INT_MAX)));
    return sent > 0 ? step{progress::done, static_cast<std::size_t>(sent), {}} : step_of(sent);
}

tls_session::step tls_session::peek() noexcept {
    ERR_clear_error();
    char byte = 0;
    const int got = SSL_peek(ssl_, &byte, 1);
    return got > 0 ? step{progress::done, static_cast<std::size_t>(got), {}} : step_of(got);
}

bool tls_session::buffered() const noexcept { return SSL_has_pending(ssl_) == 1; }

void tls_session::close_notify() noexcept {
    if (broken_) return;
    ERR_clear_error();
    SSL_shutdown(ssl_); // its own result does not matter: the descriptor is closed or half-closed next
    ERR_clear_error();
}

bool tls_session::resumed() const noexcept { return SSL_session_reused(ssl_) == 1; }

} // namespace evenkeel::net
