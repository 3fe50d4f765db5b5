#pragma once
// Uploads over real sockets whose every byte says whose it is, and upstreams that look at each as they read it: what an
// upstream got of a body is compared also where it never got all of it.

#include "proxy/provider/blocking_client.hpp"
#include "proxy/provider/simulated_provider.hpp"
#include "tests/proxy/server/running_proxy.hpp"
#include "tests/support/certificates.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace evenkeel::test {

// A body of 16-byte lines of whose it is and where.
class upload_pattern {
public:
    explicit upload_pattern(std::uint32_t whose) : whose_(whose) {}
    [[nodiscard]] std::string text(std::uint64_t from, std::size_t size) const {
        std::string out;
        out.reserve(size + 2 * line_bytes);
        for (std::uint64_t line = from / line_bytes; out.size() < size + from % line_bytes; ++line) {
            const auto one = line_of(line);
            out.append(one.data(), one.size());
        }
        return out.substr(from % line_bytes, size);
    }
    // Where `data` is something else; nothing: nowhere.
    [[nodiscard]] std::optional<std::size_t> wrong_at(std::uint64_t position, std::string_view data) const {
        for (std::size_t at = 0; at < data.size();) {
            const auto one = line_of((position + at) / line_bytes);
            const std::size_t skip = (position + at) % line_bytes, size = std::min(line_bytes - skip, data.size() - at);
            if (data.compare(at, size, std::string_view{one.data() + skip, size}) != 0) return at;
            at += size;
        }
        return std::nullopt;
    }

private:
    static constexpr std::size_t line_bytes = 16;
    [[nodiscard]] std::array<char, line_bytes> line_of(std::uint64_t number) const noexcept {
        std::array<char, line_bytes> out{};
        std::uint64_t bits = std::uint64_t{whose_} << 32U | number;
        for (auto digit = out.rbegin(); digit != out.rend(); ++digit, bits >>= 4U)
            *digit = "0123456789abcdef"[bits & 15U];
        return out;
    }
    std::uint32_t whose_;
};

// What the upstreams of a test saw of bodies. Requests name theirs in x-case.
class upload_witness {
public:
    [[nodiscard]] auto watching() {
        return [this](const provider::attempt_record& record, std::uint64_t position, std::string_view data) {
            bytes += data.size();
            const std::string name = record.header("x-case");
            std::uint32_t whose = 0;
            std::from_chars(name.data(), name.data() + name.size(), whose);
            {
                const std::scoped_lock lock(mutex_);
                read_[whose][record.serial] = position + data.size();
            }
            const auto wrong = upload_pattern{whose}.wrong_at(position, data);
            if (!wrong || wrong_pieces++ > 0) return;
            const std::scoped_lock lock(mutex_);
            first_ = "upload " + name + " to port of serial " + std::to_string(record.serial) + ": at byte " +
                     std::to_string(position + *wrong) + " '" + std::string{data.substr(*wrong, 32)} +
                     "' instead of '" + upload_pattern{whose}.text(position + *wrong, 32) + "'";
        };
    }
    [[nodiscard]] std::string first_wrong() {
        const std::scoped_lock lock(mutex_);
        return first_;
    }
    // How many requests with this body got at least so much of it; of one upstream.
    [[nodiscard]] int reached(std::uint32_t whose, std::uint64_t position) {
        const std::scoped_lock lock(mutex_);
        const auto& all = read_[whose];
        return static_cast<int>(
            std::count_if(all.begin(), all.end(), [&](const auto& one) { return one.second >= position; }));
    }
    std::atomic<std::uint64_t> bytes{0};
    std::atomic<int> wrong_pieces{0};

private:
    std::mutex mutex_;
    std::string first_;
    std::map<std::uint32_t, std::map<std::uint64_t, std::uint64_t>> read_; // bytes, by whose body and serial
};

struct upload_wire {
    bool tls_client = false, tls_upstream = false;
};

// A proxy and what it stands on: certificates for both sides, where TLS is wanted.
class upload_bench {
public:
    explicit upload_bench(upload_wire wire) : wire_(wire) {
        const certificate_authority authority;
        const certificate server = authority.issue({.dns = {"localhost"}, .addresses = {"127.0.0.1"}});
        ca_ = files_.write("ca.pem", authority.pem());
        cert_ = files_.write("server.pem", server.pem);
        key_ = files_.write("server.key", server.key);
    }
    // Reads no further ahead than it has to, so that what is written to it waits where it is.
    [[nodiscard]] provider::simulated_provider& add_upstream(const std::string& name, const std::string& script,
                                                             std::uint64_t seed = 1, std::size_t receive_buffer = 0) {
        provider::provider_options options{.seed = seed,
                                           .script = script,
                                           .record = false,
                                           .receive_buffer = receive_buffer,
                                           .on_body = witness.watching()};
        if (wire_.tls_upstream) options.tls = provider::provider_tls{cert_, key_};
        upstreams_.push_back(std::make_unique<provider::simulated_provider>(std::move(options)));
        config_ += "  " + name + ": {url: " + upstreams_.back()->url() +
                   ", connections: {max: 1500}, caller_credentials: pass" +
                   (wire_.tls_upstream ? ", tls: {ca_file: " + ca_ + "}" : "") + "}\n";
        names_ += (names_.empty() ? "" : ", ") + name;
        return *upstreams_.back();
    }
    void start(const std::string& route, const std::string& more) {
        const std::string listen =
            wire_.tls_client ? "[{address: 127.0.0.1:0, tls: {cert_file: " + cert_ + ", key_file: " + key_ + "}}]"
                             : "127.0.0.1:0";
        proxy.emplace("defaults: {retry: {backoff: {initial: 2ms, max: 10ms}, budget: off}, circuit_breaker: off, "
                      "cooldown: off, overload: off}\n"
                      "upstreams:\n" +
                          config_ + "routes:\n  - name: all\n    match: {path_prefix: /}\n    upstreams: [" + names_ +
                          "]\n" + route,
                      listen, more, "admin: {listen: 127.0.0.1:0}\n");
    }
    [[nodiscard]] provider::blocking_client connect(std::chrono::milliseconds timeout = std::chrono::seconds{
                                                        20}) const {
        provider::client_options options{.port = proxy->port(), .timeout = timeout};
        if (wire_.tls_client) options.tls = provider::client_tls{.ca_file = ca_};
        return provider::blocking_client(options);
    }
    // The sum of a gauge over its series; -1: it is not there.
    [[nodiscard]] double gauge(const std::string& name) {
        const std::string at = (*proxy)->admin_addresses().front();
        provider::blocking_client admin({.port = static_cast<std::uint16_t>(std::stoi(at.substr(at.rfind(':') + 1)))});
        const std::string text = "\n" + admin.request("GET", "/metrics").body;
        double sum = 0;
        bool found = false;
        for (auto from = text.find("\n" + name); from != std::string::npos; from = text.find("\n" + name, from + 1)) {
            const char after = text[from + 1 + name.size()];
            if (after != '{' && after != ' ') continue;
            found = true;
            sum += std::stod(text.substr(text.rfind(' ', text.find('\n', from + 1))));
        }
        return found ? sum : -1;
    }
    // Everything requests held has come back, and the server ends at once and has nothing left over.
    void expect_nothing_left() {
        const auto until = std::chrono::steady_clock::now() + std::chrono::seconds{10};
        const char* const gauges[] = {"evenkeel_requests_in_flight", "evenkeel_upstream_attempts_in_flight"};
        for (const char* const name : gauges) {
            while (gauge(name) != 0 && std::chrono::steady_clock::now() < until)
                std::this_thread::sleep_for(std::chrono::milliseconds{20});
            INFO(std::string{name});
            CHECK(gauge(name) == 0);
        }
        const auto before = std::chrono::steady_clock::now();
        CHECK(proxy->finish());
        CHECK(std::chrono::steady_clock::now() - before < std::chrono::seconds{10}); // of a drain.timeout of 30
        for (auto& one : upstreams_)
            CHECK(one->wait_for([](const provider::provider_counters& now) { return now.open_connections == 0; }));
    }

    upload_witness witness;
    std::optional<running_proxy> proxy;

private:
    upload_wire wire_;
    temporary_directory files_;
    std::string ca_, cert_, key_, config_, names_;
    std::vector<std::unique_ptr<provider::simulated_provider>> upstreams_;
};

// How often a test plays an input: EVENKEEL_ROUNDS=200 by hand.
[[nodiscard]] inline int rounds(int usual) {
    const char* const asked = std::getenv("EVENKEEL_ROUNDS");
    return asked != nullptr ? std::max(1, std::atoi(asked)) : usual;
}

// Its path is not one of a provider's: a key makes it repeatable.
inline std::string upload_head(std::uint32_t whose, std::size_t size, bool chunked, const std::string& fields = "") {
    return "POST /upload HTTP/1.1\r\nHost: proxy\r\nidempotency-key: k" + std::to_string(whose) +
           "\r\nx-case: " + std::to_string(whose) + "\r\n" + fields +
           (chunked ? "Transfer-Encoding: chunked\r\n\r\n" : "Content-Length: " + std::to_string(size) + "\r\n\r\n");
}
inline std::string upload_chunk(const std::string& data) {
    char size[20];
    const auto end = std::to_chars(size, size + sizeof size, data.size(), 16).ptr;
    return std::string(size, end) + "\r\n" + data + "\r\n";
}

} // namespace evenkeel::test
