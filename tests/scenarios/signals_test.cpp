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

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace evenkeel::test::signals_test {

using namespace std::chrono_literals;

namespace {
const std::string rest = "upstreams: {a: {url: \"http://127.0.0.1:1\"}}\nroutes: [{name: health, match: {path: "
                         "/health}, serve: health}]\ndrain: {timeout: 1s}\n";

bool soon(const auto& done) {
    for (int tries = 0; tries < 2000; ++tries) {
        if (done()) return true;
        std::this_thread::sleep_for(5ms);
    }
    return false;
}
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

} // namespace evenkeel::test::signals_test
