#pragma once
// What TLS connections of the same settings share: trusted CAs, own certificate, versions. Loading the system's store
// takes tens of milliseconds and megabytes, so one context serves all workers.

#include "config/settings.hpp"

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
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
    // The very bytes of its files were read.
    [[nodiscard]] bool same_files(const tls_client_context& other) const noexcept { return files_ == other.files_; }
    // When the certificate that is shown, or one of its chain, is over: the first of them. Empty: none is shown.
    [[nodiscard]] std::optional<std::chrono::sys_seconds> certificate_expires() const noexcept;

private:
    config::client_tls settings_;
    std::string files_; // a digest of what they hold
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
    [[nodiscard]] std::optional<std::chrono::sys_seconds> certificate_expires() const noexcept; // as above

private:
    ssl_ctx_st* native_;
};

// One per listener, null where it is plain.
using server_contexts = std::vector<std::shared_ptr<const tls_server_context>>;

// All client contexts of the process, by settings; safe from any thread. A context that is in use survives its removal.
//
// A start or a reload loads beside what is in use and swaps when everything is there: a file that is missing or half
// written refuses the reload, and nothing that works has been given up for it.
class tls_contexts {
public:
    using loaded = std::vector<std::shared_ptr<const tls_client_context>>;

    // Reads all files anew, since they may have changed under equal names, and changes nothing. Throws
    // std::runtime_error.
    [[nodiscard]] static loaded load(const config::settings& wanted);
    // From here on get() gives these. What they do not replace stays until the next call, for requests that still
    // run under the settings before; open connections keep what they have.
    void use(loaded next);
    // What get() would give; null: it would have to load it.
    [[nodiscard]] std::shared_ptr<const tls_client_context> find(const config::client_tls& settings);

    // Loads what use() did not bring. Throws std::runtime_error; a failure is not remembered.
    [[nodiscard]] std::shared_ptr<const tls_client_context> get(const config::client_tls& settings);

private:
    std::mutex mutex_;
    loaded current_;  // as many as there are distinct `tls` blocks
    loaded previous_; // ... and were, where not the same
};

} // namespace evenkeel::net
