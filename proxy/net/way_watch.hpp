#pragma once
// Notices ways that are dead: of a connection in use, bytes that we sent and that stay unacknowledged while the peer
// has room for them. A firewall that forgot the flow, a host that is gone or a route that drops packets look like a
// provider that thinks; the kernel repeats itself for a quarter of an hour before it gives up.
//
// TCP_USER_TIMEOUT would count a closed window too, and a slow reader is not dead. TCP_INFO tells them apart: it says
// how wide the window is, and how much was acknowledged. (That something comes says nothing: where only our direction
// is dead, the peer repeats its last answer to us.)
//
// One timer a worker, which looks at the connections that are in use just then: a request that is answered before it
// comes by costs a few writes into a list and no system call.

#include "policies/time.hpp"
#include "proxy/net/timer_queue.hpp"

#include <cstdint>

namespace evenkeel::net {

class loop;

class way_watch : private timer_entry {
public:
    static constexpr duration usual_interval = std::chrono::seconds{2};
    static constexpr int patience = 5; // intervals without an acknowledgement

    // A connection, while it is in use. Unlinked by its destruction.
    class watched {
    public:
        watched(const watched&) = delete;
        watched& operator=(const watched&) = delete;

    protected:
        watched() = default;
        virtual ~watched() { leave(); }
        void leave() noexcept;

    private:
        friend class way_watch;
        [[nodiscard]] virtual int way_descriptor() const noexcept = 0; // -1: closed
        virtual void way_is_dead() noexcept = 0;                       // called once; it has left; may destroy it

        way_watch* of_ = nullptr;
        watched* before_ = nullptr;
        watched* after_ = nullptr;
        std::uint64_t acked_ = 0; // bytes, at the last look
        std::uint32_t stuck_ = 0; // intervals in a row
        bool waits_ = false;      // for an acknowledgement, at the last look
    };

    explicit way_watch(loop& in, duration interval = usual_interval) noexcept : loop_(in), interval_(interval) {}
    ~way_watch() override;

    void join(watched& one) noexcept; // from now on in use

private:
    void on_timer() override;
    void look(watched& one) noexcept;

    loop& loop_;
    duration interval_;
    watched* first_ = nullptr;
};

} // namespace evenkeel::net
