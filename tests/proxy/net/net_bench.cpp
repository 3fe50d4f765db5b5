#include "tests/proxy/net/net_bench.hpp"

#include "tests/support/message_reading.hpp"

#include <chrono>
#include <cstdlib>
#include <poll.h>
#include <stdexcept>
#include <sys/resource.h>
#include <unistd.h>

namespace evenkeel::test {

namespace {
net::task<void> open_into(net_bench& in, std::shared_ptr<net_bench::pending> out,
                          std::shared_ptr<const config::upstream> to, bool fresh, duration limit) {
    out->result = co_await in.pool->open(to, fresh, in.worker.now() + limit, out->cancel);
}
net::task<void> read_into(net::exchange& from, boost::asio::mutable_buffer into, std::optional<net::io_result>& out) {
    out = co_await from.read_some(into);
}
net::task<void> write_from(net::exchange& to, std::span<const boost::asio::const_buffer> from,
                           std::optional<net::io_result>& out) {
    out = co_await to.write(from);
}
} // namespace

std::uint16_t closed_port() { return simulated_provider{}.port(); }

no_descriptors::no_descriptors() {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    before_ = limit.rlim_cur;
    const int next = ::dup(0); // the lowest free one
    ::close(next);
    limit.rlim_cur = static_cast<rlim_t>(next);
    ::setrlimit(RLIMIT_NOFILE, &limit);
}
no_descriptors::~no_descriptors() {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = before_;
    ::setrlimit(RLIMIT_NOFILE, &limit);
}

std::shared_ptr<config::upstream> upstream_at(std::uint16_t port, const std::string& host) {
    auto out = std::make_shared<config::upstream>();
    out->name = "up";
    out->address.host = host;
    out->address.port = port;
    out->address.authority = host + ":" + std::to_string(port);
    return out;
}

net_bench::net_bench(net::resolver::lookup_function lookup)
    : names(std::move(lookup)), pool(std::make_unique<net::connection_pool>(worker, names, tls, seen)) {}

net_bench::~net_bench() {
    pool.reset();
    settle(std::chrono::milliseconds{1}); // aborted operations report
}

bool net_bench::pump(const std::function<bool()>& done) {
    for (const auto until = std::chrono::steady_clock::now() + std::chrono::seconds{10};;) {
        worker.run_virtual(worker.now());
        if (done()) return true;
        if (std::chrono::steady_clock::now() > until) return false;
        ::poll(nullptr, 0, 1);
    }
}

void net_bench::settle(std::chrono::milliseconds real) {
    const auto until = std::chrono::steady_clock::now() + real;
    pump([&] { return std::chrono::steady_clock::now() >= until; });
}

void net_bench::advance(duration by) { worker.run_virtual(worker.now() + by); }

std::shared_ptr<net_bench::pending> net_bench::begin_open(std::shared_ptr<const config::upstream> to, bool fresh,
                                                          duration limit) {
    auto out = std::make_shared<pending>();
    worker.nursery().spawn(open_into(*this, out, std::move(to), fresh, limit));
    return out;
}

net::open_result net_bench::open(std::shared_ptr<const config::upstream> to, bool fresh, duration limit) {
    const auto under_way = begin_open(std::move(to), fresh, limit);
    if (!pump([&] { return under_way->result.has_value(); })) throw std::runtime_error("open() hangs");
    return std::move(*under_way->result);
}

net::io_result net_bench::read(net::exchange& from, std::string& into, std::size_t most) {
    into.assign(most, '\0');
    std::optional<net::io_result> out;
    worker.nursery().spawn(read_into(from, boost::asio::buffer(into), out));
    finish("read", from, out);
    into.resize(out->bytes);
    return *out;
}

net::io_result net_bench::write(net::exchange& to, std::vector<std::string> parts) {
    std::vector<boost::asio::const_buffer> buffers;
    for (const auto& part : parts) buffers.emplace_back(part.data(), part.size());
    std::optional<net::io_result> out;
    worker.nursery().spawn(write_from(to, buffers, out));
    finish("write", to, out);
    return *out;
}

// The operation under way writes into the caller's stack, which is there until it is over.
void net_bench::finish(const char* what, net::exchange& on, const std::optional<net::io_result>& out) {
    if (pump([&] { return out.has_value(); })) return;
    on.close();
    if (!pump([&] { return out.has_value(); })) std::abort();
    throw std::runtime_error(std::string{what} + " hangs");
}

std::string net_bench::answer(net::exchange& on) {
    message_reading answers;
    while (answers.whole() == 0) {
        std::string part;
        const net::io_result got = read(on, part, 100'000);
        if (!got.ok()) return got.error.message();
        answers.read(part);
        if (answers.malformed()) return "no HTTP";
    }
    return answers.messages().front().body;
}

std::string net_bench::ask(net::exchange& on, const std::string& target) {
    const net::io_result sent = write(on, {"GET ", target, " HTTP/1.1\r\nhost: up\r\n\r\n"});
    return sent.ok() ? answer(on) : sent.error.message();
}

} // namespace evenkeel::test
