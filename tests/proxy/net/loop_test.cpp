#include "proxy/net/event.hpp"
#include "proxy/net/loop.hpp"

#include <boost/asio/post.hpp>
#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace evenkeel::test::loop_test {

using namespace evenkeel::net;
using namespace std::chrono_literals;

namespace {
const steady_time start{1000s};

task<void> wait_for(event& signal, loop& in, steady_time due, std::vector<bool>& seen) {
    seen.push_back(co_await signal.wait_until(in.timers(), due));
}
task<void> sleep_and_note(loop& in, duration length, std::vector<duration>& woke) {
    co_await in.sleep_until(in.now() + length);
    woke.push_back(in.now() - start);
}
} // namespace

TEST_CASE("virtual time runs a day of sleeping in no time, in order") {
    loop worker(start);
    std::vector<duration> woke;
    worker.nursery().spawn(sleep_and_note(worker, 24h, woke));
    worker.nursery().spawn(sleep_and_note(worker, 3s, woke));

    worker.run_virtual();

    CHECK(woke == std::vector<duration>{3s, 24h});
    CHECK(worker.nursery().size() == 0);
    CHECK(worker.timers().armed() == 0);
}

TEST_CASE("an event set before the wait is remembered, one set during it wakes, none at all times out") {
    loop worker(start);
    event signal(worker.executor());
    std::vector<bool> seen;

    signal.set();
    worker.nursery().spawn(wait_for(signal, worker, start + 1s, seen));
    worker.run_virtual();
    CHECK(seen == std::vector{true});
    CHECK(worker.now() == start);

    worker.nursery().spawn(wait_for(signal, worker, start + 1s, seen));
    worker.run_virtual(start + 500ms);
    signal.set();
    worker.run_virtual(start + 600ms);
    CHECK(seen == std::vector{true, true});

    worker.nursery().spawn(wait_for(signal, worker, start + 1s, seen));
    worker.run_virtual();
    CHECK(seen == std::vector{true, true, false});
    CHECK(worker.now() == start + 1s);
}

TEST_CASE("real time: a short sleep ends and the loop stops") {
    loop worker;
    const auto before = worker.now();
    worker.nursery().spawn([](loop& in) -> task<void> {
        co_await in.sleep_until(in.now() + 5ms);
        in.stop();
    }(worker));
    worker.run();
    CHECK(worker.now() - before >= 5ms);
}

TEST_CASE("what other threads post runs on the loop's, each in the order of its own") {
    loop worker;
    constexpr int threads = 4, each = 2000;
    std::vector<std::vector<int>> seen(threads);
    bool elsewhere = false;
    int left = threads * each;
    std::thread runs([&] { worker.run(); });
    const std::thread::id here = runs.get_id();
    std::vector<std::thread> posting;
    for (int who = 0; who < threads; ++who) {
        posting.emplace_back([&, who] {
            for (int i = 0; i < each; ++i) {
                worker.post([&, who, i] {
                    elsewhere |= std::this_thread::get_id() != here;
                    seen[static_cast<std::size_t>(who)].push_back(i);
                    if (--left == 0) worker.stop();
                });
            }
        });
    }
    for (auto& one : posting) one.join();
    runs.join();
    CHECK(!elsewhere);
    for (const auto& one : seen) {
        CHECK(one.size() == each);
        CHECK(std::is_sorted(one.begin(), one.end()));
    }
}

TEST_CASE("one that throws takes none of the others with it, and what comes too late goes with the loop") {
    const auto held = std::make_shared<int>();
    int ran = 0;
    {
        loop worker;
        std::vector<std::string> told;
        worker.failures().tell([&](std::string_view what) { told.emplace_back(what); });
        worker.post([] { throw std::runtime_error("thrown"); }); // before it runs
        worker.post([&] { ++ran; });
        worker.stop();
        worker.run();
        CHECK(ran == 1);
        CHECK(told == std::vector<std::string>{"thrown"});
        worker.post([held] {});
        CHECK(held.use_count() == 2);
    }
    CHECK(held.use_count() == 1);
}

TEST_CASE("who hangs in a loop that ends may post to it still: that goes nowhere") {
    const auto held = std::make_shared<int>();
    struct poster {
        poster(loop& to, std::shared_ptr<int> what) : in(to), with(std::move(what)) {}
        ~poster() {
            in.post([kept = with] {});
        }
        poster(const poster&) = delete;
        poster& operator=(const poster&) = delete;
        loop& in;
        std::shared_ptr<int> with;
    };
    {
        loop worker;
        boost::asio::post(worker.executor(), [last = std::make_shared<poster>(worker, held)] { FAIL("it never ran"); });
        worker.post([last = std::make_shared<poster>(worker, held)] { FAIL("it never ran"); });
        CHECK(held.use_count() == 3);
    }
    CHECK(held.use_count() == 1);
}

} // namespace evenkeel::test::loop_test
