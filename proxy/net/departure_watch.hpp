#pragma once
// Notices clients that leave, whether or not bytes of theirs are still to be read. All client sockets of a worker are
// in one epoll descriptor of its own, which asks for nothing but the end of a connection and is itself waited for by
// the loop: a connection costs one system call when it begins and nothing per request or event. (The loop's own wait
// for readability sees no end behind unread bytes, and has to be taken back when the next head is to be read.)
//
// A FIN alone may be a departure or not (half_close.hpp), so it is told apart from the end of both directions.

#include "proxy/net/client_stream.hpp"
#include "proxy/net/loop.hpp"

#include <memory>

namespace evenkeel::net {

enum class departure : unsigned char {
    sends_no_more, // a FIN; the other direction may be open
    left,          // both directions are over, or an error ended them
};

class departure_watch {
public:
    class watched {
    public:
        // `on_departure` is called from the loop, once for each, also if it has happened already. `stream` lives
        // longer.
        using callback = void (*)(void* context, departure what);
        watched(departure_watch& watch, const client_stream& stream, callback on_departure, void* context);
        ~watched();
        watched(const watched&) = delete;
        watched& operator=(const watched&) = delete;

    private:
        friend class departure_watch;
        departure_watch& watch_;
        const client_stream& stream_;
        callback on_departure_;
        void* context_;
    };

    explicit departure_watch(loop& worker) noexcept : loop_(worker) {}
    ~departure_watch();
    departure_watch(const departure_watch&) = delete;
    departure_watch& operator=(const departure_watch&) = delete;

private:
    struct set; // the epoll descriptor
    loop& loop_;
    std::shared_ptr<set> set_; // once there is something to watch; shared with the wait under way
};

} // namespace evenkeel::net
