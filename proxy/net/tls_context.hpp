#pragma once
// What TLS connections of the same settings share: trusted CAs, own certificate, versions. Loading the system's store
// takes tens of milliseconds and megabytes, so one context serves all workers.

#include "config/settings.hpp"

#include <memory>
#include <mutex>
#include <string>
#include <vector>

struct ssl_ctx_st;

namespace evenkeel::net {

// Towards upstreams: TLS 1.2 or newer, the peer verified unless `verify: false`.
class tls_client_context {
public:
    explicit tls_client_context(config::client_tls settings); // throws std::runtime_error naming the file
    ~tls_client_context();
    tls_client_context(const tls_client_context&) = delete;
    tls_client_context& operator=(const tls_client_context&) = delete;

    [[nodiscard]] ssl_ctx_st* native() const noexcept { return native_; }
    [[nodiscard]] const config::client_tls& settings() const noexcept { return settings_; }

private:
    config::client_tls settings_;
    ssl_ctx_st* native_;
};

// Towards clients: a certificate chain and its key.
class tls_server_context {
public:
    explicit tls_server_context(const config::server_tls& settings); // throws std::runtime_error naming the file
    ~tls_server_context();
    tls_server_context(const tls_server_context&) = delete;
    tls_server_context& operator=(const tls_server_context&) = delete;

    [[nodiscard]] ssl_ctx_st* native() const noexcept { return native_; }

private:
    ssl_ctx_st* native_;
};

// All client contexts of the process, by settings; safe from any thread. A context that is in use survives its removal.
class tls_contexts {
public:
    // Loads at the first call for these settings (call it at startup to load ahead of traffic and to report bad files).
    // Throws std::runtime_error; a failure is not remembered, so a file put in place later is found.
    [[nodiscard]] std::shared_ptr<const tls_client_context> get(const config::client_tls& settings);

    // At a reload: files may have changed under equal names. Open connections keep what they have.
    void forget_all();

private:
    std::mutex mutex_;
    std::vector<std::shared_ptr<const tls_client_context>> loaded_; // as many as there are distinct `tls` blocks
};

} // namespace evenkeel::net
