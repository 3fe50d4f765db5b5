#pragma once
// A client without a socket, for virtual time: what it sends is handed over by the test, what it receives is kept. Its
// side of the connection is the test's to drive; the proxy's side is an ordinary client_stream.

#include "proxy/net/client_stream.hpp"
#include "proxy/net/loop.hpp"
#include "tests/support/turns.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace evenkeel::test {

class scripted_client {
public:
    // Unwatched, it costs no descriptors, and its leaving is noticed only where it is read from or written to.
    explicit scripted_client(net::loop& worker, bool watched = true) : wire_(std::make_shared<shared>(worker)) {
        wire_->watched = watched;
    }

    [[nodiscard]] std::unique_ptr<net::client_stream> connect(); // once

    void send(std::string_view bytes); // arrives at once
    // Closes its side: reads of the proxy end, poll() tells.
    void leave();
    void half_close(); // ends its sending side only: reads of the proxy end behind what was sent
    void stop_reading() { wire_->stalled = true; } // writes of the proxy do not complete any more
    void read_again();                             // ... and now the one under way does
    void take_a_little() { ++wire_->moved; }       // some of it goes on, and it still does not complete

    [[nodiscard]] const std::string& received() const noexcept { return wire_->received; }
    [[nodiscard]] bool closed_by_proxy() const noexcept { return wire_->closed || wire_->send_shut; }
    [[nodiscard]] bool ended_by_proxy() const noexcept { return wire_->send_shut; } // its sending side
    [[nodiscard]] bool closed() const noexcept { return wire_->closed; }            // altogether
    [[nodiscard]] std::size_t unread() const noexcept { return wire_->incoming.size(); }
    [[nodiscard]] bool reset_by_proxy() const noexcept { return wire_->was_reset; }
    [[nodiscard]] int writes() const noexcept { return wire_->writes; }
    void forget_received() { wire_->received.clear(); }

    // Completions come in their drawn turn from now on.
    void shuffle(turn_taker turn) { wire_->turn = turn; }
    // Called whenever something was received, or the proxy has closed or shut down its side.
    void on_change(std::function<void()> told) { wire_->told = std::move(told); }

private:
    struct shared {
        explicit shared(net::loop& worker) : loop(worker) {}
        shared(const shared&) = delete;
        shared& operator=(const shared&) = delete;
        ~shared();
        net::loop& loop;
        std::string incoming, received;
        bool left = false, sends_no_more = false, closed = false, send_shut = false, was_reset = false, stalled = false;
        int writes = 0;
        std::uint64_t moved = 0;
        int ends[2] = {-1, -1}; // of a pair of sockets nothing is sent through
        bool watched = true;
        std::optional<net::completion<net::io_result>> reader, writer;
        boost::asio::mutable_buffer into{};
        bool only_waits = false;
        turn_taker turn;
        std::function<void()> told;
        std::vector<boost::asio::const_buffer> unwritten; // of a write that waits for a client that does not read
        void write(std::span<const boost::asio::const_buffer> from);
        void serve_reader();
        void finish(std::optional<net::completion<net::io_result>>& whose, net::io_result result);
    };
    class stream;
    std::shared_ptr<shared> wire_;
};

} // namespace evenkeel::test
