#include "tests/scenarios/model_server.hpp"

#include "proxy/events/observer.hpp"
#include "proxy/model/model_transport.hpp"
#include "proxy/model/scenario_time.hpp"
#include "proxy/net/listener.hpp"
#include "proxy/net/loop.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace evenkeel::test {

namespace {

using model::model_transport;

struct nobody final : telemetry::observer {};

struct connection {
    std::unique_ptr<net::client_stream> stream;
    std::shared_ptr<net::exchange> exchange; // of the request that is answered
    ~connection() {
        if (exchange) exchange->close();
    }
    void close() const {
        if (exchange) exchange->close();
        stream->close();
    }
};

// The bytes of the first request in `bytes`; 0: it is not whole yet.
std::size_t whole_request(std::string_view bytes) {
    const auto end = bytes.find("\r\n\r\n");
    if (end == std::string_view::npos) return 0;
    std::string head(bytes.substr(0, end + 2));
    std::ranges::transform(head, head.begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; });
    std::size_t length = 0;
    constexpr std::string_view name = "\r\ncontent-length: ";
    if (const auto at = head.find(name); at != std::string::npos) {
        std::from_chars(head.data() + at + name.size(), head.data() + head.size(), length);
    }
    const std::size_t whole = end + 4 + length;
    return bytes.size() >= whole ? whole : 0;
}

// What the model says, to whoever is connected.
net::task<void> pass_on(std::shared_ptr<connection> to, std::shared_ptr<net::exchange> from) {
    std::array<char, 8192> block{};
    for (;;) {
        const auto got = co_await from->read_some(boost::asio::buffer(block));
        if (got.error == boost::asio::error::operation_aborted) co_return;
        if (!got.ok()) {
            to->stream->reset();
            co_return;
        }
        const std::array parts{boost::asio::const_buffer(block.data(), got.bytes)};
        const auto sent = co_await to->stream->write(parts);
        if (!sent.ok()) {
            from->close();
            co_return;
        }
    }
}

} // namespace

struct model_server::state {
    state(const model::traffic& what, steady_time zero, double speed)
        : transport(loop, what, model::scenario_time(zero, speed)) {
        const int servers = what.facts().servers;
        for (int place = 0; place < 2; ++place) {
            const config::listener where{.host = "127.0.0.1", .port = 0, .unix = {}, .tls = {}};
            listeners[static_cast<std::size_t>(place)] = std::make_unique<net::listener>(
                loop, std::move(net::bind_listener(where, 1).front()), nullptr, net::listener_options{}, observer);
            listeners[static_cast<std::size_t>(place)]->start(
                [this, server = std::min(place, servers - 1)](std::unique_ptr<net::client_stream> client) {
                    auto made = std::make_shared<connection>(std::move(client));
                    live.insert(made.get());
                    loop.nursery().spawn(serve(*this, std::move(made), server));
                });
        }
        thread = std::thread([this] { loop.run(); });
    }

    static net::task<void> serve(state& me, std::shared_ptr<connection> of, int server) {
        std::string unread;
        std::array<char, 8192> block{};
        for (;;) {
            const std::size_t size = whole_request(unread);
            if (size == 0) {
                const auto got = co_await of->stream->read_some(boost::asio::buffer(block));
                if (!got.ok()) break; // the client has left
                unread.append(block.data(), got.bytes);
                continue;
            }
            if (of->exchange) of->exchange->close(); // answered, or the client would not ask again
            of->exchange = me.transport.connect(server);
            if (!of->exchange) {
                of->stream->reset();
                break;
            }
            const std::array parts{boost::asio::const_buffer(unread.data(), size)};
            static_cast<void>(co_await of->exchange->write(parts));
            unread.erase(0, size);
            me.loop.nursery().spawn(pass_on(of, of->exchange));
        }
        me.live.erase(of.get());
        of->close();
    }

    static net::task<void> wind_down(state& me) {
        for (auto& each : me.listeners) each->stop();
        for (const connection* each : me.live) each->close();
        const steady_time at_last = me.loop.now() + std::chrono::seconds{1};
        while (me.loop.nursery().size() > 1 && me.loop.now() < at_last) // all but this
            co_await me.loop.sleep_until(me.loop.now() + std::chrono::milliseconds{1});
        me.loop.stop();
    }

    void stop() {
        if (!thread.joinable()) return;
        loop.post([this] { loop.nursery().spawn(wind_down(*this)); });
        thread.join();
        for (auto& each : listeners) each.reset();
    }

    nobody observer;
    net::loop loop;
    model_transport transport;
    std::set<connection*> live;
    std::array<std::unique_ptr<net::listener>, 2> listeners;
    std::thread thread;
};

model_server::model_server(const model::traffic& what, steady_time zero, double speed)
    : state_(std::make_unique<state>(what, zero, speed)) {}
model_server::~model_server() { stop(); }

std::uint16_t model_server::port(int server) const noexcept {
    return state_->listeners[static_cast<std::size_t>(server)]->port();
}
void model_server::stop() { state_->stop(); }
unsigned model_server::attempts(unsigned request) const noexcept { return state_->transport.attempts(request); }
std::uint64_t model_server::refused() const noexcept { return state_->transport.refused(); }

} // namespace evenkeel::test
