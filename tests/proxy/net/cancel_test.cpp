#include "proxy/net/cancel.hpp"
#include "proxy/net/event.hpp"
#include "proxy/net/loop.hpp"

#include <doctest/doctest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <memory>
#include <optional>
#include <stdexcept>
#include <vector>

namespace evenkeel::test::cancel_test {

using namespace evenkeel::net;
using namespace std::chrono_literals;

namespace {
const steady_time start{1000s};

struct counting {
    std::vector<int>& calls;
    int number;
    cancel_source::hook hook;
    counting(cancel_source& source, std::vector<int>& all, int which)
        : calls(all), number(which), hook(
                                         source, [](void* self) { static_cast<counting*>(self)->called(); }, this) {}
    void called() { calls.push_back(number); }
};

task<void> wait_for(broadcast& change, int number, std::vector<int>& woke) {
    co_await change.wait();
    woke.push_back(number);
}
task<void> wait_once(event& signal, int& woke) {
    co_await signal.wait();
    ++woke;
}
task<void> throw_it() {
    throw std::runtime_error("no memory for this");
    co_return;
}

// What the process that runs `work` ends by: 0, or the number of a signal.
template <class Work>
int signal_of(Work work) {
    const pid_t child = ::fork();
    if (child == 0) {
        std::signal(SIGABRT, SIG_DFL); // not doctest's
        static_cast<void>(::freopen("/dev/null", "w", stderr));
        work();
        ::_exit(0);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}
} // namespace

TEST_CASE("every hook of a cancel source is called once, in the order in which they came") {
    cancel_source source;
    std::vector<int> calls;
    const counting first(source, calls, 1), second(source, calls, 2);
    { const counting gone(source, calls, 3); }

    source.request();
    source.request();
    CHECK(calls == std::vector{1, 2});

    const counting late(source, calls, 4);
    CHECK(calls == std::vector{1, 2, 4});
}

TEST_CASE("a hook that is called may take out others, and may outlive its source") {
    auto source = std::make_unique<cancel_source>();
    std::vector<int> calls;
    std::optional<counting> victim;
    struct killer {
        std::optional<counting>& whom;
        cancel_source::hook hook;
        killer(cancel_source& of, std::optional<counting>& other)
            : whom(other), hook(
                               of, [](void* self) { static_cast<killer*>(self)->whom.reset(); }, this) {}
    } kills(*source, victim);
    victim.emplace(*source, calls, 1);
    const counting other(*source, calls, 2);

    source->request();
    CHECK(calls == std::vector{2});

    cancel_source::hook outlives(
        *source, [](void*) {}, nullptr);
    source = nullptr;
}

TEST_CASE("all waiters of a broadcast go on, and nothing is remembered") {
    loop worker(start);
    broadcast change(worker.executor());
    std::vector<int> woke;
    change.notify();
    for (int number = 1; number <= 5; ++number) worker.nursery().spawn(wait_for(change, number, woke));
    worker.run_virtual();
    CHECK(woke.empty());
    CHECK(worker.nursery().size() == 5);

    change.notify();
    worker.run_virtual();
    CHECK(woke == std::vector{1, 2, 3, 4, 5});
    CHECK(worker.nursery().size() == 0);
}

TEST_CASE("a second waiter of an event ends the process instead of being lost") {
    CHECK(signal_of([] {
              loop worker(start);
              event signal(worker.executor());
              int woke = 0;
              worker.nursery().spawn(wait_once(signal, woke));
              worker.run_virtual();
          }) == 0);
    CHECK(signal_of([] {
              loop worker(start);
              event signal(worker.executor());
              int woke = 0;
              worker.nursery().spawn(wait_once(signal, woke));
              worker.nursery().spawn(wait_once(signal, woke));
              worker.run_virtual();
          }) == SIGABRT);
}

TEST_CASE("an exception that leaves a task is told, and everybody else goes on") {
    loop worker(start);
    std::vector<std::string> told;
    worker.failures().tell([&](std::string_view what) { told.emplace_back(what); });
    event signal(worker.executor());
    int woke = 0;
    worker.nursery().spawn(wait_once(signal, woke));
    worker.nursery().spawn(throw_it());
    worker.run_virtual();
    CHECK(told == std::vector<std::string>{"no memory for this"});
    CHECK(worker.failures().count() == 1);
    CHECK(worker.nursery().size() == 1);

    signal.set();
    worker.run_virtual();
    CHECK(woke == 1);
    CHECK(worker.nursery().size() == 0);
}

TEST_CASE("a timer that throws does not stop the others, nor the loop") {
    struct throwing final : timer_entry {
        void on_timer() override { throw std::runtime_error("a timer"); }
    } broken;
    loop worker;
    int told = 0;
    worker.failures().tell([&](std::string_view) { ++told; });
    struct ending final : timer_entry {
        explicit ending(loop& of) : worker(of) {}
        void on_timer() override { worker.stop(); }
        loop& worker;
    } last(worker);
    worker.timers().arm(broken, worker.now() + 1ms);
    worker.timers().arm(last, worker.now() + 3ms);
    worker.run();
    CHECK(told == 1);
}

} // namespace evenkeel::test::cancel_test
