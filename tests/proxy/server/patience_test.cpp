// How long clients are borne with, over real sockets: while they send what is refused, while they read slowly, while they send slowly.

#include "tests/proxy/server/running_proxy.hpp"
#include "tests/support/provider.hpp"
#include "tests/support/test_client.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <thread>

using namespace evenkeel;
using namespace evenkeel::support;
using namespace evenkeel::test;
using namespace std::chrono_literals;

namespace {
using steady = std::chrono::steady_clock;
} // namespace

TEST_CASE("a second order to end ends at once") {
    provider upstream;
    running_proxy proxy(through(upstream.url()));
    auto client = proxy.connect();
    client.send_request("POST", "/v1/chat/completions", {{"content-type", "application/json"}, {"x-sim", "events=1000; gap=50ms"}},
                        R"({"model":"m","stream":true,"messages":[{"role":"user","content":"nonce:a"}]})");
    REQUIRE(client.read_head("POST").status == 200);
    proxy->drain(); // within 30 s
    std::this_thread::sleep_for(100ms);
    const auto began = steady::now();
    proxy->stop_now();
    CHECK(proxy->wait());
    CHECK(steady::now() - began < 1s);
}
