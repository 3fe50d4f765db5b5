// What a route costs while nothing is asked of it, and once it has been asked: bytes of a scrape, bytes of memory.
// Counted, not timed: every allocation of this process goes through the counter below, and a second server that differs
// in its number of routes only tells what is a route's own.

#include "proxy/provider/blocking_client.hpp"
#include "proxy/provider/simulated_provider.hpp"
#include "proxy/telemetry/scrape_cache.hpp"
#include "tests/proxy/server/running_proxy.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <new>
#include <string>
#include <thread>

#include <malloc.h>

using namespace evenkeel;
using namespace evenkeel::provider;
using namespace evenkeel::test;

namespace {
std::atomic<std::int64_t> held{0}, most{0};

void* counted(void* block) {
    if (block == nullptr) throw std::bad_alloc{};
    const auto now = held.fetch_add(static_cast<std::int64_t>(malloc_usable_size(block)), std::memory_order_relaxed) +
                     static_cast<std::int64_t>(malloc_usable_size(block));
    std::int64_t seen = most.load(std::memory_order_relaxed);
    while (seen < now && !most.compare_exchange_weak(seen, now, std::memory_order_relaxed)) {}
    return block;
}
void discounted(void* block) noexcept {
    if (block != nullptr)
        held.fetch_sub(static_cast<std::int64_t>(malloc_usable_size(block)), std::memory_order_relaxed);
    std::free(block);
}
} // namespace

void* operator new(std::size_t size) { return counted(std::malloc(size)); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
    void* const block = std::malloc(size);
    return block == nullptr ? nullptr : counted(block);
}
void* operator new(std::size_t size, std::align_val_t alignment) {
    const auto to = static_cast<std::size_t>(alignment);
    return counted(std::aligned_alloc(to, (size + to - 1) / to * to));
}
void operator delete(void* block) noexcept { discounted(block); }
void operator delete(void* block, std::size_t) noexcept { discounted(block); }
void operator delete(void* block, std::align_val_t) noexcept { discounted(block); }
void operator delete(void* block, std::size_t, std::align_val_t) noexcept { discounted(block); }

namespace {
constexpr int many = 100;

struct cost {
    std::int64_t scrape_at_start = 0, held_at_start = 0;
    std::int64_t scrape_in_use = 0, held_in_use = 0;
    std::int64_t of_a_scrape = 0; // memory beyond what is held, at its highest
};

// A server with `routes` routes of two upstreams each, everything else by default; then a stream and a buffered answer
// from each of them.
cost measured(int routes, const std::string& provider_url) {
    std::string text = "upstreams:\n";
    for (int i = 0; i < routes; ++i)
        for (const char* side : {"a", "b"})
            text += "  u" + std::to_string(i) + side + ": {url: \"" + provider_url + "\"}\n";
    text += "routes:\n";
    for (int i = 0; i < routes; ++i) {
        const std::string n = std::to_string(i);
        text += "  - {name: r" + n + ", match: {path_prefix: /r" + n + "}, rewrite: {path_prefix: /v1}, upstreams: [u" +
                n + "a, u" + n + "b]}\n";
    }
    const std::int64_t before = held;
    cost all;
    {
        running_proxy proxy(text, "127.0.0.1:0", "workers: 2\n", "admin: {listen: \"127.0.0.1:0\"}\n");
        const std::string address = proxy->admin_addresses().front();
        const auto admin_port = static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
        const auto scrape = [&] {
            blocking_client admin({.port = admin_port});
            const auto answer = admin.request("GET", "/metrics");
            REQUIRE(answer.status == 200);
            REQUIRE(answer.complete());
            return static_cast<std::int64_t>(answer.body.size());
        };
        all.held_at_start = held - before;
        all.scrape_at_start = scrape();
        auto client = proxy.connect();
        for (int i = 0; i < routes; ++i) {
            for (const char* stream : {"true", "false"}) {
                const auto answer = client.request("POST", "/r" + std::to_string(i) + "/chat/completions",
                                                   {{"content-type", "application/json"}},
                                                   std::string{R"({"model":"m","stream":)"} + stream +
                                                       R"(,"messages":[{"role":"user","content":"hi"}]})");
                REQUIRE(answer.status == 200);
                REQUIRE(answer.complete());
            }
        }
        client.close();
        const std::int64_t used = held;
        all.scrape_in_use = scrape();
        most = used;
        std::this_thread::sleep_for(telemetry::scrape_cache::default_lifetime);
        static_cast<void>(scrape());
        all.of_a_scrape = most - used;
        // What the page was made of and sent in is given back a moment after it was read.
        std::int64_t least = held;
        for (int i = 0; i < 50; ++i) {
            std::this_thread::sleep_for(std::chrono::milliseconds{10});
            least = std::min<std::int64_t>(least, held);
        }
        all.held_in_use = least - before;
        REQUIRE(proxy.finish());
    }
    return all;
}
} // namespace

TEST_CASE("a hundred routes more cost a scrape and the memory little for each") {
    simulated_provider upstream({.script = "connection=close", .record = false});
    static_cast<void>(measured(1, upstream.url())); // what is made once for a process
    const cost one = measured(1, upstream.url());
    const cost all = measured(1 + many, upstream.url());
    const auto of_a_route = [&](std::int64_t cost::*what) { return (all.*what - one.*what) / many; };

    MESSAGE("bytes of a route: scrape ", of_a_route(&cost::scrape_at_start), " at the start, ",
            of_a_route(&cost::scrape_in_use), " in use; memory ", of_a_route(&cost::held_at_start), " at the start, ",
            of_a_route(&cost::held_in_use), " in use, ", of_a_route(&cost::of_a_scrape), " more during a scrape");
    CHECK(of_a_route(&cost::scrape_at_start) <= 6 * 1024);
    CHECK(of_a_route(&cost::scrape_in_use) <= 11 * 1024 + 512);
    CHECK(of_a_route(&cost::held_at_start) <= 24 * 1024);
    CHECK(of_a_route(&cost::held_in_use) <= 80 * 1024);
    CHECK(of_a_route(&cost::of_a_scrape) <= 80 * 1024);
}
