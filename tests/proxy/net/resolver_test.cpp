#include "tests/proxy/net/net_bench.hpp"

#include <boost/asio/error.hpp>
#include <doctest/doctest.h>

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

namespace evenkeel::test::resolver_test {

using namespace std::chrono_literals;

namespace {
// A name server under the test's thumb. Shared with the helper threads, which may outlive the test.
struct fake_names {
    std::mutex mutex;
    std::condition_variable changed;
    net::resolved answer;
    int asked = 0;
    bool hang = false;

    net::resolved look_up() {
        std::unique_lock lock(mutex);
        ++asked;
        changed.notify_all();
        changed.wait_for(lock, 20s, [&] { return !hang; });
        return answer;
    }
    void set(net::resolved to, bool hanging = false) {
        const std::scoped_lock lock(mutex);
        answer = std::move(to);
        hang = hanging;
        changed.notify_all();
    }
    int count() {
        const std::scoped_lock lock(mutex);
        return asked;
    }
};

net::resolved addresses(std::initializer_list<const char*> literals) {
    net::resolved out;
    for (const char* one : literals) out.addresses.push_back(boost::asio::ip::make_address(one));
    return out;
}
net::resolved failure(bool not_found = false) { return {boost::asio::error::host_not_found_try_again, not_found, {}}; }

struct resolver_bench {
    std::shared_ptr<fake_names> fake = std::make_shared<fake_names>();
    net::loop worker{steady_time{1000s}};
    net::event wake{worker.executor()};
    net::resolver names{[held = fake](const std::string&) { return held->look_up(); }};

    std::unique_ptr<net::resolver::query> ask() {
        return std::make_unique<net::resolver::query>(names, "a.example", worker.now(), worker, wake, this);
    }
    bool pump(const std::function<bool()>& done) {
        for (int i = 0; i < 5000; ++i) {
            worker.run_virtual(worker.now());
            if (done()) return true;
            std::this_thread::sleep_for(1ms);
        }
        return false;
    }
    net::resolved answer() {
        const auto query = ask();
        REQUIRE(pump([&] { return query->ready(); }));
        return query->answer();
    }
    // The answer of the lookup that is under way has been filed.
    void filed(int count) {
        REQUIRE(pump([&] { return fake->count() >= count; }));
        std::this_thread::sleep_for(20ms);
    }
    void advance(duration by) { worker.run_virtual(worker.now() + by); }
};
} // namespace

TEST_CASE("a literal address is never looked up") {
    resolver_bench bench;
    const net::resolver::query four(bench.names, "192.0.2.1", bench.worker.now(), bench.worker, bench.wake, nullptr);
    const net::resolver::query six(bench.names, "2001:db8::1", bench.worker.now(), bench.worker, bench.wake, nullptr);
    REQUIRE(four.ready());
    REQUIRE(six.ready());
    CHECK(six.answer().addresses.front().is_v6());
    CHECK(bench.fake->count() == 0);
}

TEST_CASE("the first query waits, later ones are answered from memory, an old answer is refreshed behind them") {
    resolver_bench bench;
    bench.fake->set(addresses({"192.0.2.1"}));
    CHECK(bench.answer().addresses == addresses({"192.0.2.1"}).addresses);

    bench.fake->set(addresses({"192.0.2.2"}));
    bench.advance(30s - 1ms);
    CHECK(bench.ask()->ready());
    CHECK(bench.fake->count() == 1);

    bench.advance(1ms);
    const auto old = bench.ask();
    REQUIRE(old->ready());
    CHECK(old->answer().addresses == addresses({"192.0.2.1"}).addresses);
    bench.filed(2);
    const auto fresh = bench.ask();
    REQUIRE(fresh->ready());
    CHECK(fresh->answer().addresses == addresses({"192.0.2.2"}).addresses);
}

TEST_CASE("queries for one name share a lookup") {
    resolver_bench bench;
    bench.fake->set(addresses({"192.0.2.1"}), true);
    const auto one = bench.ask();
    const auto two = bench.ask();
    bench.filed(1);
    CHECK(!one->ready());
    bench.fake->set(addresses({"192.0.2.1"}));
    CHECK(bench.pump([&] { return one->ready() && two->ready(); }));
    CHECK(bench.fake->count() == 1);
}

TEST_CASE("a failure is remembered for a second and no longer") {
    resolver_bench bench;
    bench.fake->set(failure());
    CHECK(bench.answer().error);
    bench.fake->set(addresses({"192.0.2.1"}));
    bench.advance(999ms);
    const auto soon = bench.ask();
    REQUIRE(soon->ready());
    CHECK(soon->answer().error);
    bench.advance(1ms);
    CHECK(!bench.ask()->ready());
    CHECK(!bench.answer().error);
}

TEST_CASE("C6: that a name does not exist is remembered for longer, as asking seldom changes it") {
    resolver_bench bench;
    bench.fake->set(failure(true));
    CHECK(bench.answer().not_found);
    bench.fake->set(addresses({"192.0.2.1"}));
    bench.advance(5s - 1ms);
    const auto soon = bench.ask();
    REQUIRE(soon->ready());
    CHECK(soon->answer().not_found);
    CHECK(bench.fake->count() == 1);
    bench.advance(1ms);
    CHECK(!bench.ask()->ready());
    CHECK(!bench.answer().error);
}

TEST_CASE("old addresses survive an unreachable name server, not a name that is gone") {
    resolver_bench bench;
    bench.fake->set(addresses({"192.0.2.1"}));
    CHECK(!bench.answer().error);

    bench.fake->set(failure());
    bench.advance(31s);
    CHECK(bench.ask()->ready());
    bench.filed(2);
    CHECK(bench.answer().addresses == addresses({"192.0.2.1"}).addresses);

    bench.fake->set(failure(true));
    bench.advance(31s);
    CHECK(bench.ask()->ready());
    bench.filed(3);
    CHECK(bench.answer().error);
}

TEST_CASE("an address that failed moves to the end; when all did, the next query waits for a fresh answer") {
    resolver_bench bench;
    bench.fake->set(addresses({"192.0.2.1", "192.0.2.2", "192.0.2.3"}));
    CHECK(bench.answer().addresses.size() == 3);
    bench.names.failed("a.example", boost::asio::ip::make_address("192.0.2.1"));
    CHECK(bench.ask()->answer().addresses == addresses({"192.0.2.2", "192.0.2.3", "192.0.2.1"}).addresses);

    bench.fake->set(addresses({"192.0.2.9"}));
    bench.names.all_failed("a.example");
    CHECK(bench.ask()->ready()); // looked up less than a second ago: not again
    bench.advance(1s);
    CHECK(bench.answer().addresses == addresses({"192.0.2.9"}).addresses);
}

TEST_CASE("a lookup that hangs holds up neither the query that leaves nor the end of the resolver") {
    const auto fake = std::make_shared<fake_names>();
    fake->set({}, true);
    const auto before = std::chrono::steady_clock::now();
    {
        net::loop worker(steady_time{1000s});
        net::event wake(worker.executor());
        net::resolver names([fake](const std::string&) { return fake->look_up(); });
        const net::resolver::query left(names, "a.example", worker.now(), worker, wake, nullptr);
        {
            const net::resolver::query other(names, "b.example", worker.now(), worker, wake, &names);
            names.forget(&names);
        }
        for (int i = 0; i < 1000 && fake->count() < 2; ++i) std::this_thread::sleep_for(1ms);
        CHECK(fake->count() == 2); // one hanging name does not hold up the other
    }
    CHECK(std::chrono::steady_clock::now() - before < 5s);
    fake->set({});
    std::this_thread::sleep_for(50ms); // the helper threads find nobody
}

TEST_CASE("the system's resolver knows localhost and says when a name does not exist") {
    const auto local = net::resolver::system_lookup("localhost");
    REQUIRE(!local.error);
    CHECK(local.addresses.front().is_loopback());
    CHECK(net::resolver::system_lookup("no-such-name.invalid").error);
}

TEST_CASE(
    "names that hang hold up neither another name nor the loop, and each has one look-up however many wait for it") {
    struct names {
        std::mutex mutex;
        std::condition_variable changed;
        std::map<std::string, int> asked;
        bool released = false;
    };
    const auto fake = std::make_shared<names>();
    net::loop worker{steady_time{1000s}};
    net::event wake{worker.executor()};
    net::resolver resolver{[fake](const std::string& host) {
        std::unique_lock lock(fake->mutex);
        ++fake->asked[host];
        if (host.starts_with("hangs")) fake->changed.wait_for(lock, 20s, [&] { return fake->released; });
        return addresses({"192.0.2.1"});
    }};
    const auto ask = [&](const std::string& host) {
        return std::make_unique<net::resolver::query>(resolver, host, worker.now(), worker, wake, &worker);
    };
    const auto pump = [&](const auto& done) {
        for (int i = 0; i < 5000; ++i) {
            worker.run_virtual(worker.now());
            if (done()) return true;
            std::this_thread::sleep_for(1ms);
        }
        return false;
    };

    std::vector<std::unique_ptr<net::resolver::query>> stuck;
    for (int times = 0; times < 3; ++times)
        for (int i = 0; i < 20; ++i) stuck.push_back(ask("hangs" + std::to_string(i) + ".example"));
    for (int i = 0; i < 10; ++i) {
        const auto quick = ask("quick" + std::to_string(i) + ".example");
        CHECK(pump([&] { return quick->ready(); }));
    }
    CHECK_FALSE(stuck.front()->ready());
    {
        const std::scoped_lock lock(fake->mutex);
        for (const auto& [host, times] : fake->asked) CHECK(times == 1);
        fake->released = true;
        fake->changed.notify_all();
    }
    CHECK(pump([&] { return std::all_of(stuck.begin(), stuck.end(), [](const auto& one) { return one->ready(); }); }));
}

} // namespace evenkeel::test::resolver_test
