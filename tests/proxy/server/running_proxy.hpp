#pragma once
// The real server in this process, on a free port, with a configuration written by the test.

#include "config/load.hpp"
#include "proxy/provider/blocking_client.hpp"
#include "proxy/server/server.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include <unistd.h>

namespace evenkeel::test {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool sanitized = true;
#else
inline constexpr bool sanitized = false;
#endif

class running_proxy {
public:
    // `rest` is the file without version, listen, admin and logs.
    explicit running_proxy(const std::string& rest, const std::string& listen = "127.0.0.1:0",
                           const std::string& more = "", const std::string& admin = "admin: off\n",
                           server::server_options options = {}) {
        directory_ = std::filesystem::temp_directory_path() /
                     ("evenkeel-test-" + std::to_string(::getpid()) + "-" + std::to_string(++count_));
        std::filesystem::create_directories(directory_);
        head_ = "version: 1\nlisten: " + listen + "\n" + admin + "access_log: {path: " + access_log() +
                "}\nlog: {path: " + (directory_ / "log").string() + ", level: debug}\n" + more;
        write(rest);
        const auto loaded = config::load_file(file(), config::process_environment());
        if (!loaded.ok()) {
            std::ostringstream text;
            config::print_text(text, loaded.diagnostics);
            throw std::runtime_error(text.str());
        }
        options.config_file = file();
        options.environment = config::process_environment();
        options.version = "test";
        server_ = std::make_unique<server::server>(std::move(options), loaded.settings);
        server_->start();
        const std::string address = server_->addresses().front();
        if (!address.starts_with("unix:"))
            port_ = static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
    }
    ~running_proxy() {
        if (server_) static_cast<void>(finish());
        std::filesystem::remove_all(directory_);
    }

    [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
    [[nodiscard]] server::server& operator*() noexcept { return *server_; }
    [[nodiscard]] server::server* operator->() noexcept { return server_.get(); }
    [[nodiscard]] std::string file() const { return (directory_ / "evenkeel.yaml").string(); }
    [[nodiscard]] std::string access_log() const { return (directory_ / "access.ndjson").string(); }
    [[nodiscard]] std::filesystem::path directory() const { return directory_; }
    [[nodiscard]] std::string text(const std::string& rest) const { return head_ + rest; } // of the file
    void write(const std::string& rest) { std::ofstream(file()) << text(rest); }
    [[nodiscard]] std::string log_text() const {
        std::ifstream in(directory_ / "log");
        std::ostringstream text;
        text << in.rdbuf();
        return text.str();
    }

    [[nodiscard]] provider::blocking_client connect(std::chrono::milliseconds timeout = std::chrono::seconds{
                                                        20}) const {
        return provider::blocking_client({.port = port_, .timeout = timeout});
    }

    // A line of /metrics; a scrape shows what was a moment ago, so for as long as it takes.
    [[nodiscard]] bool comes_to_show(const std::string& line) const {
        const std::string address = server_->admin_addresses().front();
        provider::blocking_client scraper(
            {.port = static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)))});
        for (int i = 0; i < 500; ++i) {
            if (("\n" + scraper.request("GET", "/metrics").body).find("\n" + line + "\n") != std::string::npos)
                return true;
            std::this_thread::sleep_for(std::chrono::milliseconds{20});
        }
        return false;
    }

    // Drains; true: no task, connection or timer was left over.
    [[nodiscard]] bool finish() {
        server_->drain();
        const bool clean = server_->wait();
        if (!clean) MESSAGE(log_text());
        server_.reset();
        return clean;
    }

private:
    static inline std::atomic<int> count_ = 0;
    std::filesystem::path directory_;
    std::string head_;
    std::uint16_t port_ = 0;
    std::unique_ptr<server::server> server_;
};

// One upstream, one route for everything, and nothing between the two: each request is one attempt.
inline std::string through(const std::string& url, const std::string& upstream_extra = "",
                           const std::string& route_extra = "") {
    return "upstreams:\n  sim:\n    url: " + url + "\n" + upstream_extra +
           "routes:\n  - name: all\n    match: {path_prefix: /}\n    upstreams: [sim]\n    retry: off\n" + route_extra;
}
// The same with retries, quick ones.
inline std::string retrying(const std::string& url, const std::string& upstream_extra = "",
                            const std::string& route_extra = "") {
    return "defaults: {retry: {backoff: {initial: 2ms, max: 10ms}, budget: {burst: 1000}}}\nupstreams:\n  sim:\n    "
           "url: " +
           url + "\n" + upstream_extra + "routes:\n  - name: all\n    match: {path_prefix: /}\n    upstreams: [sim]\n" +
           route_extra;
}

} // namespace evenkeel::test
