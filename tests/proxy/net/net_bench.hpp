#pragma once
// What the tests of net/ stand on: a loop in virtual time over real loopback sockets (timers move only when the test
// says so, sockets by themselves) and an observer that counts. The upstreams are simulated providers.

#include "config/settings.hpp"
#include "proxy/events/observer.hpp"
#include "proxy/net/cancel.hpp"
#include "proxy/net/connection_pool.hpp"
#include "proxy/net/loop.hpp"
#include "proxy/net/resolver.hpp"
#include "proxy/net/tls_context.hpp"
#include "proxy/provider/simulated_provider.hpp"

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace evenkeel::test {

using provider::simulated_provider;

// A port on 127.0.0.1 where nobody listens.
std::uint16_t closed_port();

// While it lives this process can open no further descriptor.
class no_descriptors {
public:
    no_descriptors();
    ~no_descriptors();
    no_descriptors(const no_descriptors&) = delete;
    no_descriptors& operator=(const no_descriptors&) = delete;

private:
    std::uint64_t before_;
};

class counting_observer final : public telemetry::observer {
public:
    void connection_changed(const telemetry::connection_event& what) noexcept override {
        using kind = telemetry::connection_event::kind;
        if (what.is == kind::opened) ++(what.upstream != nullptr ? opened : clients_opened);
        if (what.is == kind::closed) ++(what.upstream != nullptr ? closed : clients_closed);
        if (what.is == kind::idle) idle += what.by;
    }
    void connection_refused(std::string_view reason) noexcept override {
        ++(reason == "no_fds" ? no_fds : max_connections);
    }

    std::atomic<int> opened{0}, closed{0}, idle{0}, clients_opened{0}, clients_closed{0}, no_fds{0}, max_connections{0};
};

std::shared_ptr<config::upstream> upstream_at(std::uint16_t port, const std::string& host = "127.0.0.1");

// One worker's view of the world.
class net_bench {
public:
    explicit net_bench(net::resolver::lookup_function lookup = net::resolver::system_lookup);
    ~net_bench();

    // Polls the loop until `done`, at most ten seconds of real time. False: it never was.
    bool pump(const std::function<bool()>& done);
    void settle(std::chrono::milliseconds real = std::chrono::milliseconds{30}); // polls for a while: "nothing happens"
    void advance(duration by);

    // An open() under way.
    struct pending {
        std::optional<net::open_result> result;
        net::cancel_source cancel;
    };
    std::shared_ptr<pending> begin_open(std::shared_ptr<const config::upstream> to, bool fresh = false,
                                        duration limit = std::chrono::seconds{5});
    net::open_result open(std::shared_ptr<const config::upstream> to, bool fresh = false,
                          duration limit = std::chrono::seconds{5});

    net::io_result read(net::exchange& from, std::string& into, std::size_t most = 4096);
    net::io_result write(net::exchange& to, std::vector<std::string> parts);
    // The body of the answer that comes, or the error's message.
    std::string answer(net::exchange& on);
    // ... to a request, which is for "abcd" by default.
    std::string ask(net::exchange& on, const std::string& target = "/bytes/4");

    net::loop worker{steady_time{std::chrono::seconds{1000}}};
    counting_observer seen;
    net::tls_contexts tls;
    net::resolver names;
    std::unique_ptr<net::connection_pool> pool;

private:
    void finish(const char* what, net::exchange& on, const std::optional<net::io_result>& out);
};

} // namespace evenkeel::test
