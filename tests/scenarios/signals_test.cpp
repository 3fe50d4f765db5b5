// Signals of the real program while one of its files makes a reload wait.

#include "proxy/provider/blocking_client.hpp"
#include "tests/scenarios/program.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <csignal>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace evenkeel::test::signals_test {

using namespace std::chrono_literals;

namespace {
const std::string rest = "upstreams: {a: {url: \"http://127.0.0.1:1\"}}\nroutes: [{name: health, match: {path: "
                         "/health}, serve: health}]\ndrain: {timeout: 1s}\n";

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int slack = 20;
#else
constexpr int slack = 1;
#endif

bool soon(const auto& done) {
    for (int tries = 0; tries < 2000; ++tries) {
        if (done()) return true;
        std::this_thread::sleep_for(5ms);
    }
    return false;
}
// Takes connections and never says anything.
struct silent_upstream {
    silent_upstream() {
        sockaddr_in at{};
        at.sin_family = AF_INET;
        at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof at;
        REQUIRE(::bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0);
        REQUIRE(::listen(fd, 16) == 0);
        REQUIRE(::getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size) == 0);
        url = "http://127.0.0.1:" + std::to_string(ntohs(at.sin_port));
    }
    ~silent_upstream() { ::close(fd); }
    silent_upstream(const silent_upstream&) = delete;
    silent_upstream& operator=(const silent_upstream&) = delete;
    int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    std::string url;
};
std::size_t count(const std::string& text, const std::string& part) {
    std::size_t n = 0;
    for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
    return n;
}
} // namespace

TEST_CASE("SIGTERM ends the process although a reload waits for a configuration that nobody writes") {
    program proxy(rest);
    std::filesystem::remove(proxy.file());
    REQUIRE(::mkfifo(proxy.file().c_str(), 0600) == 0);
    proxy.hang_up();
    std::this_thread::sleep_for(100ms);
    CHECK(provider::blocking_client({.port = proxy.port()}).request("GET", "/health").status == 200);
    const auto start = std::chrono::steady_clock::now();
    CHECK(proxy.finish() == 0);
    // The wait for the writer is ten seconds, that of the end five.
    CHECK(std::chrono::steady_clock::now() - start < 9s);
}

TEST_CASE("a certificate, a secret and a body that are FIFOs fail a reload at once, and the next one is taken") {
    program proxy(rest);
    std::ostringstream first;
    first << std::ifstream(proxy.file()).rdbuf();
    const std::string good = first.str();
    const std::string fifo = proxy.file() + ".fifo";
    REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
    std::size_t refused = 0;
    for (const std::string& bad :
         {"upstreams: {a: {url: \"https://127.0.0.1:1\", tls: {ca_file: \"" + fifo + "\"}}}\n",
          "upstreams: {a: {url: \"https://127.0.0.1:1\", headers: {set: {authorization: \"${file:" + fifo +
              "}\"}}}}\n"}) {
        std::string text = good;
        const auto at = text.find("upstreams:");
        text.replace(at, text.find('\n', at) + 1 - at, bad);
        std::ofstream(proxy.file()) << text;
        proxy.hang_up();
        ++refused;
        CHECK(soon([&] { return count(proxy.log(), "the configuration was not taken") == refused; }));
    }
    std::ofstream(proxy.file()) << good;
    proxy.hang_up();
    CHECK(soon([&] { return count(proxy.log(), "configuration reloaded") == 1; }));
    CHECK(proxy.finish() == 0);
}

TEST_CASE("F1: a second SIGTERM ends at once, whatever is under way") {
    const silent_upstream upstream;
    for (const int second : {SIGTERM, SIGINT}) {
        program proxy("upstreams: {a: {url: \"" + upstream.url +
                      "\"}}\nroutes: [{name: all, match: {path_prefix: /}, upstreams: [a]}]\n"
                      "drain: {delay: 30s, timeout: 60s}\n");
        std::vector<provider::blocking_client> clients;
        for (int i = 0; i < 8; ++i) {
            clients.emplace_back(provider::client_options{.port = proxy.port()});
            CHECK(clients.back().send_request("POST", "/v1/chat/completions", {}, i % 2 ? "{\"stream\":true}" : "{}"));
        }
        std::this_thread::sleep_for(200ms);
        proxy.send(SIGTERM);
        std::this_thread::sleep_for(200ms);
        REQUIRE_FALSE(proxy.ended());
        const auto start = std::chrono::steady_clock::now();
        proxy.send(second);
        CHECK(soon([&] { return proxy.ended(); }));
        CHECK(std::chrono::steady_clock::now() - start < 200ms * slack);
    }
}

TEST_CASE("F5: SIGUSR1 opens the log anew, and neither it nor SIGHUP ends the process") {
    program proxy(rest);
    const auto log = std::filesystem::path(proxy.file()).parent_path() / "log";
    for (int round = 1; round <= 3; ++round) {
        std::filesystem::rename(log, log.string() + "." + std::to_string(round));
        proxy.send(SIGUSR1);
        CHECK(soon([&] { return count(proxy.log(), "the log files were opened anew") == 1; }));
    }
    proxy.hang_up();
    CHECK(soon([&] { return count(proxy.log(), "configuration reloaded") == 1; }));
    CHECK(provider::blocking_client({.port = proxy.port()}).request("GET", "/health").status == 200);
    CHECK(proxy.finish() == 0);
}

} // namespace evenkeel::test::signals_test
