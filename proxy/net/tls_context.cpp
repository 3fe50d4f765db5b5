#include "proxy/net/tls_context.hpp"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <algorithm>
#include <ctime>
#include <fstream>
#include <initializer_list>
#include <sstream>
#include <stdexcept>
#include <string_view>

namespace evenkeel::net {

void install_client_hooks(SSL_CTX* context); // tls_session.cpp

namespace {
struct context_deleter {
    void operator()(SSL_CTX* context) const noexcept { SSL_CTX_free(context); }
};
using context_ptr = std::unique_ptr<SSL_CTX, context_deleter>;

[[noreturn]] void fail(const std::string& what) {
    // The last entry of the queue is the most specific ("no such file", "key values mismatch").
    const unsigned long code = ERR_peek_last_error();
    const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
    ERR_clear_error();
    throw std::runtime_error(what + ": " + (reason != nullptr ? reason : "unknown error"));
}

context_ptr make_context(const SSL_METHOD* method) {
    ERR_clear_error();
    context_ptr context(SSL_CTX_new(method));
    if (!context) fail("cannot create a TLS context");
    SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
    SSL_CTX_set_options(context.get(), SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    // One record per call, so that a large body never holds the loop; a repeated write may come from another address;
    // buffers go back while a connection is idle (34 KB each otherwise).
    SSL_CTX_set_mode(context.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                        SSL_MODE_RELEASE_BUFFERS | SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_read_ahead(context.get(), 1); // header and payload of a record in one recv
    // An encrypted key would make OpenSSL ask at the terminal.
    SSL_CTX_set_default_passwd_cb(context.get(), [](char*, int, int, void*) { return 0; });
    return context;
}

// OpenSSL takes whatever does not begin like an entry for the end of the list, also one whose first line is cut short:
// a CA file that is being written would be taken for one with fewer CAs.
void refuse_half_written(const std::string& what, const std::string& file) {
    std::ifstream in(file, std::ios::binary);
    std::string line;
    bool inside = false, dashes = false;
    while (std::getline(in, line)) {
        while (!line.empty() && (line.back() == '\r' || line.back() == ' ' || line.back() == '\t')) line.pop_back();
        const bool whole = line.size() > 10 && line.ends_with("-----");
        if (line.starts_with("-----BEGIN ") && whole) {
            inside = true;
        } else if (line.starts_with("-----END ") && whole) {
            inside = false;
        }
        dashes = line.starts_with('-') && !whole;
    }
    if (!inside && !dashes) return;
    throw std::runtime_error("cannot load the " + what + " '" + file + "': it ends in the middle of an entry");
}

void use_certificate(SSL_CTX* context, const std::string& cert_file, const std::string& key_file) {
    refuse_half_written("certificate", cert_file);
    if (SSL_CTX_use_certificate_chain_file(context, cert_file.c_str()) != 1) {
        fail("cannot load the certificate '" + cert_file + "'");
    }
    if (SSL_CTX_use_PrivateKey_file(context, key_file.c_str(), SSL_FILETYPE_PEM) != 1) {
        fail("cannot load the private key '" + key_file + "'");
    }
    if (SSL_CTX_check_private_key(context) != 1) {
        fail("the private key '" + key_file + "' does not belong to the certificate '" + cert_file + "'");
    }
}

std::optional<std::chrono::sys_seconds> first_to_expire(SSL_CTX* context) noexcept {
    std::optional<std::chrono::sys_seconds> first;
    const auto consider = [&](const X509* one) {
        std::tm parts{};
        if (ASN1_TIME_to_tm(X509_get0_notAfter(one), &parts) != 1) return;
        const std::chrono::sys_seconds when{std::chrono::seconds{timegm(&parts)}};
        first = first ? std::min(*first, when) : when;
    };
    if (const X509* own = SSL_CTX_get0_certificate(context)) consider(own);
    STACK_OF(X509)* chain = nullptr;
    if (SSL_CTX_get0_chain_certs(context, &chain) == 1)
        for (int i = 0; i < sk_X509_num(chain); ++i) consider(sk_X509_value(chain, i));
    return first;
}

// Of what files hold, to know whether they have changed; a name that is empty counts as an empty file.
std::string digest_of(std::initializer_list<std::string> files) {
    std::string all;
    for (const std::string& file : files) {
        std::ostringstream text;
        if (!file.empty()) text << std::ifstream(file, std::ios::binary).rdbuf();
        all += std::to_string(text.str().size()) + ':' + text.str();
    }
    std::string digest(EVP_MAX_MD_SIZE, '\0');
    unsigned size = 0;
    if (EVP_Digest(all.data(), all.size(), reinterpret_cast<unsigned char*>(digest.data()), &size, EVP_sha256(),
                   nullptr) != 1)
        fail("cannot make a digest of the TLS files");
    OPENSSL_cleanse(all.data(), all.size());
    digest.resize(size);
    return digest;
}

constexpr unsigned char http_1_1[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};

int select_protocol(SSL*, const unsigned char** out, unsigned char* length, const unsigned char* offered,
                    unsigned int offered_length, void*) {
    unsigned char* chosen = nullptr;
    if (SSL_select_next_proto(&chosen, length, http_1_1, sizeof http_1_1, offered, offered_length) !=
        OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_NOACK;
    }
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}
} // namespace

tls_client_context::tls_client_context(config::client_tls settings) : settings_(std::move(settings)), native_(nullptr) {
    context_ptr context = make_context(TLS_client_method());
    files_ = digest_of({settings_.verify ? settings_.ca_file : std::string{}, settings_.cert_file, settings_.key_file});
    if (settings_.verify) {
        if (settings_.ca_file.empty()) {
            if (SSL_CTX_set_default_verify_paths(context.get()) != 1) fail("cannot load the system's CA store");
        } else {
            refuse_half_written("CA file", settings_.ca_file);
            if (SSL_CTX_load_verify_file(context.get(), settings_.ca_file.c_str()) != 1) {
                fail("cannot load the CA file '" + settings_.ca_file + "'");
            }
        }
    }
    if (!settings_.cert_file.empty()) use_certificate(context.get(), settings_.cert_file, settings_.key_file);
    // A server that also speaks HTTP/2 is told that we do not.
    SSL_CTX_set_alpn_protos(context.get(), http_1_1, sizeof http_1_1);
    SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    install_client_hooks(context.get());
    ERR_clear_error();
    native_ = context.release();
}

tls_client_context::~tls_client_context() { SSL_CTX_free(native_); }

std::optional<std::chrono::sys_seconds> tls_client_context::certificate_expires() const noexcept {
    return first_to_expire(native_);
}

tls_server_context::tls_server_context(const config::server_tls& settings) : native_(nullptr) {
    context_ptr context = make_context(TLS_server_method());
    use_certificate(context.get(), settings.cert_file, settings.key_file);
    SSL_CTX_set_options(context.get(), SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_alpn_select_cb(context.get(), select_protocol, nullptr);
    // Tickets carry sessions at the client; a cache here would be memory that clients fill.
    SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
    ERR_clear_error();
    native_ = context.release();
}

tls_server_context::~tls_server_context() { SSL_CTX_free(native_); }

std::optional<std::chrono::sys_seconds> tls_server_context::certificate_expires() const noexcept {
    return first_to_expire(native_);
}

namespace {
// The server name belongs to the connection, not to the context.
config::client_tls without_name(config::client_tls settings) {
    settings.server_name.clear();
    return settings;
}

const std::shared_ptr<const tls_client_context>* find_in(const tls_contexts::loaded& among,
                                                         const config::client_tls& wanted) {
    const auto found =
        std::find_if(among.begin(), among.end(), [&](const auto& one) { return one->settings() == wanted; });
    return found == among.end() ? nullptr : &*found;
}
} // namespace

tls_contexts::loaded tls_contexts::load(const config::settings& wanted) {
    loaded out;
    for (const auto& upstream : wanted.upstreams) {
        if (!upstream->address.tls) continue;
        config::client_tls settings = without_name(upstream->tls);
        if (find_in(out, settings) == nullptr)
            out.push_back(std::make_shared<const tls_client_context>(std::move(settings)));
    }
    return out;
}

void tls_contexts::use(loaded next) {
    loaded old; // goes after the lock has
    const std::scoped_lock lock(mutex_);
    old = std::move(previous_);
    previous_.clear();
    for (auto& one : current_) {
        if (find_in(next, one->settings()) == nullptr) previous_.push_back(std::move(one));
    }
    current_ = std::move(next);
}

std::shared_ptr<const tls_client_context> tls_contexts::find(const config::client_tls& settings) {
    const config::client_tls wanted = without_name(settings);
    const std::scoped_lock lock(mutex_);
    const auto* const found = find_in(current_, wanted);
    return found != nullptr ? *found : nullptr;
}

std::shared_ptr<const tls_client_context> tls_contexts::get(const config::client_tls& settings) {
    config::client_tls wanted = without_name(settings);
    const std::scoped_lock lock(mutex_);
    if (const auto* found = find_in(current_, wanted)) return *found;
    if (const auto* found = find_in(previous_, wanted)) return *found;
    return current_.emplace_back(std::make_shared<const tls_client_context>(std::move(wanted)));
}

} // namespace evenkeel::net
