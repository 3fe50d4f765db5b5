#pragma once
// Closes a client's stream when nothing that is being written to it has moved for `limits.write_timeout`. What counts
// is silence, not how long one write takes: a slow reader that takes its megabytes byte by byte is served, one that has
// stopped is not.
//
// Looks four times within the timeout, so that who stops is noticed after at most a quarter more of it.

#include "proxy/net/client_stream.hpp"
#include "proxy/net/loop.hpp"
#include "proxy/net/timer_queue.hpp"

namespace evenkeel::request {

class write_watch final : private net::timer_entry {
public:
    write_watch(net::loop& worker, net::client_stream& stream) noexcept : loop_(worker), stream_(stream) {}

    void begin(duration patience) {
        patience_ = patience;
        writing_ = true;
        moved_ = stream_.moved();
        last_ = loop_.now();
        loop_.timers().arm(*this, last_ + patience_ / looks);
    }
    void end() noexcept { writing_ = false; } // the timer stays: the next write finds it armed

private:
    static constexpr int looks = 4;

    void on_timer() override {
        if (!writing_) return;
        const std::uint64_t moved = stream_.moved();
        if (moved != moved_) {
            moved_ = moved;
            last_ = loop_.now();
        }
        if (loop_.now() - last_ >= patience_) return stream_.close();
        loop_.timers().arm(*this, loop_.now() + patience_ / looks);
    }

    net::loop& loop_;
    net::client_stream& stream_;
    duration patience_{};
    steady_time last_{};
    std::uint64_t moved_ = 0;
    bool writing_ = false;
};

} // namespace evenkeel::request
