#pragma once
// The provider of virtual time, without sockets: every open() takes the next script, and the exchange plays it against
// the clock of the loop. What was written, recycled and closed is kept for the test to look at. For tests of the real
// connection pool the same exchanges are played at the far end of pairs of sockets: dialler() takes net::dial's place.

#include "proxy/net/cancel.hpp"
#include "proxy/net/connection_pool.hpp"
#include "proxy/net/loop.hpp"
#include "proxy/net/nursery.hpp"
#include "proxy/net/transport.hpp"
#include "tests/support/message_reading.hpp"
#include "tests/support/turns.hpp"

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace evenkeel::test {

namespace play {
struct request {
    std::size_t body_bytes = 0;
}; // waits until a head and this many bytes behind it have been written
// Waits until a head and this much of its body, decoded, have been taken.
struct body {
    std::size_t bytes = 0;
};
struct whole {}; // waits for the end of the request
struct pause {
    duration length;
};
struct send {
    std::string bytes;
};
struct end {};          // FIN
struct reset {};        // RST
struct truncate_tls {}; // the end of a TLS connection without close_notify
struct silence {};      // nothing ever again
struct call {
    std::function<void()> what;
};
} // namespace play
using play_step = std::variant<play::request, play::body, play::whole, play::pause, play::send, play::end, play::reset,
                               play::truncate_tls, play::silence, play::call>;

// How a slow upstream reads. What is written stays in the writer's own buffers, as it does with a socket whose buffer
// is full and with a TLS connection, until it is taken: bytes that are moved, freed or written over meanwhile arrive as
// they are then.
struct taking {
    duration after{}; // since the last one
    std::size_t most = SIZE_MAX;
};

struct exchange_log;

struct exchange_script {
    std::vector<play_step> steps{};
    // Of a connection that is used again: asked for the steps of a request once all of it was written, and so on.
    std::function<std::vector<play_step>(const exchange_log&)> serve{};
    duration idle_limit{}; // ... which ends when no request came for so long; 0: never
    duration connect_after{};
    std::optional<net::transport_error> connect_failure{}; // instead of an exchange
    bool reused = false;
    bool writes_fail = false;    // the peer has reset the connection: writing says so
    bool writes_stall = false;   // the peer reads nothing
    std::vector<taking> takes{}; // one after the other, the last one again and again; none: all of a write, at once
    std::size_t takes_now = 0;   // ... but so much of every write goes without waiting
};

// What became of one exchange.
struct exchange_log {
    std::string upstream; // whom it was opened to
    std::string written;
    message_reading requests; // the same, taken apart
    bool fresh_asked = false, recycled = false, closed = false;
    steady_time opened_at{}, closed_at{};
};

class scripted_transport : public net::transport {
public:
    explicit scripted_transport(net::loop& worker) : loop_(worker), players_(worker.executor(), worker.failures()) {}

    void next(exchange_script script) { scripts_.push_back(std::move(script)); }
    // Used whenever no script is queued; without one, running out is a connection refused.
    void always(exchange_script script) { fallback_ = std::move(script); }
    // Asked for the script of every exchange for which none is queued; its place among exchanges() is told.
    using chooser = std::function<exchange_script(const config::upstream& to, std::size_t place)>;
    void choose(chooser by) { chooser_ = std::move(by); }
    // Completions of exchanges come in their drawn turn from now on.
    void shuffle(turns& by) { turns_ = &by; }

    [[nodiscard]] net::task<net::open_result> open(const std::shared_ptr<const config::upstream>& to, bool fresh,
                                                   steady_time deadline, net::cancel_source& cancel) override;
    // In place of net::dial: one end of a pair of sockets, at whose other end the script is played. An end and a reset
    // are the same there, and a script that says `reused`, `writes_*` or `takes` speaks of the far end.
    [[nodiscard]] net::dial_function dialler();

    [[nodiscard]] const std::vector<std::shared_ptr<exchange_log>>& exchanges() const noexcept { return logs_; }
    [[nodiscard]] std::size_t open_now() const noexcept;
    [[nodiscard]] std::size_t opened_to(std::string_view upstream) const noexcept; // so far
    [[nodiscard]] std::size_t players() const noexcept { return players_.size(); } // at work

private:
    class scripted_exchange;
    struct playing;
    struct chosen {
        exchange_script script;
        std::shared_ptr<exchange_log> log; // null: made once there is an exchange
    };
    [[nodiscard]] chosen take_script(const config::upstream& to);
    [[nodiscard]] std::unique_ptr<net::exchange> begin(chosen next, const config::upstream& to, bool fresh);
    [[nodiscard]] net::task<net::dialled> dial(net::opening& work, const config::upstream& to);
    static net::task<void> play(std::shared_ptr<playing> what);
    static net::task<void> play_steps(std::shared_ptr<playing> what, std::vector<play_step> steps);
    static net::task<void> take(std::shared_ptr<playing> what);

    net::loop& loop_;
    net::nursery players_;
    std::deque<exchange_script> scripts_;
    std::optional<exchange_script> fallback_;
    chooser chooser_;
    turns* turns_ = nullptr;
    std::vector<std::shared_ptr<exchange_log>> logs_;
};

} // namespace evenkeel::test
