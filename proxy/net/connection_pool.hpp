#pragma once
// The production transport: connections of one worker to all upstreams, kept and reused. Last in, first out, so that
// the surplus of a burst ages out at the bottom.
//
// A connection belongs to an endpoint: the upstream's name, where it goes, TLS settings and egress proxy together. A
// reload that leaves these and the contents of the TLS files equal keeps the connections; otherwise they are retired.
// Two upstreams never share connections even if all but the name is equal, because each is one credential.
//
// A connection in use whose way is dead is closed (way_watch.hpp).
//
// Nothing may be read on an idle connection: a byte or an end closes it at once, and it is checked when it comes back
// and again when it is taken, because an answer to nobody's question would be taken for the answer to the next one
// (response-queue poisoning). What arrives in the same burst as the last answer is found by the loop turn that every
// connection spends between coming back and being idle.

#include "config/settings.hpp"
#include "policies/time.hpp"
#include "proxy/net/transport.hpp"

#include <cstddef>
#include <functional>
#include <memory>
#include <span>

namespace evenkeel::telemetry {
class observer;
}

namespace evenkeel::net {

class loop;
class opening;
class resolver;
class tls_contexts;
struct dial_context;
struct dialled;
struct warming;

// How a connection is made: dial() of dial.hpp, but in tests.
using dial_function = std::function<task<dialled>(opening&, const dial_context&, const config::upstream&)>;

class connection_pool final : public transport {
public:
    // All of them outlive the pool; exchanges may outlive it. `look_every`: for dead ways (way_watch.hpp); 0: as usual.
    connection_pool(loop& worker, resolver& names, tls_contexts& tls, telemetry::observer& observer,
                    dial_function by = {}, duration look_every = {});
    ~connection_pool() override;
    connection_pool(const connection_pool&) = delete;
    connection_pool& operator=(const connection_pool&) = delete;

    [[nodiscard]] std::unique_ptr<exchange> reuse(const std::shared_ptr<const config::upstream>& to) override;

    // At the limit of connections.max it waits, first come, first served; a `fresh` request displaces the oldest idle
    // connection. Neither a cancelled nor a failed exchange returns to the pool: only recycle() does that.
    [[nodiscard]] task<open_result> open(const std::shared_ptr<const config::upstream>& to, bool fresh,
                                         steady_time deadline, cancel_source& cancel) override;

    // At a reload: what none of these asks for is retired (idle connections at once, busy ones when they come back).
    void keep_only(std::span<const std::shared_ptr<const config::upstream>> upstreams);

    // From now on connections are opened ahead of demand to the upstreams with `prewarm`, of these and of those that
    // later keep_only() names, until drain().
    void keep_warm(warming how, std::span<const std::shared_ptr<const config::upstream>> upstreams);

    void close_idle() noexcept;
    void drain() noexcept; // close_idle(), and no connection becomes idle any more

    [[nodiscard]] std::size_t size() const noexcept; // open or being opened
    [[nodiscard]] std::size_t idle() const noexcept;

private:
    struct state;
    std::shared_ptr<state> state_; // exchanges and open() calls that outlive the pool hold it
};

} // namespace evenkeel::net
