#pragma once
// How long whoever reads a body waits for more of it: closes the call under the reader when that has lasted too long.
// Judges `stream.min_rate` too, in windows of time spent waiting for the upstream, so that a slow client is not held
// against it.
//
// Owned by an attempt, one for each call; the call and the route outlive it.

#include "config/settings.hpp"
#include "proxy/attempt/upstream_call.hpp"
#include "proxy/net/timer_queue.hpp"
#include "proxy/wire/stream_reader.hpp"

#include <cstdint>

namespace evenkeel::request {

class body_clock final : private net::timer_entry {
public:
    body_clock(net::timer_queue& timers, upstream_call& of, const config::route& route) noexcept
        : timers_(timers), of_(of), route_(route) {}

    void arm(steady_time by) noexcept { timers_.arm(*this, by); }
    // For the next piece of a stream that was `heard` (its head, its latest meaning) so long ago; null: its rate is not
    // judged.
    void arm(duration idle, steady_time heard, const wire::stream_reader* judged, steady_time now) noexcept;
    void waited(duration so_long, const wire::stream_reader& for_more) noexcept;
    [[nodiscard]] bool fired() const noexcept { return fired_; }
    using timer_entry::armed;
    using timer_entry::cancel;

private:
    void on_timer() override;
    [[nodiscard]] steady_time slow_by(const wire::stream_reader& judged, steady_time now) const noexcept;

    net::timer_queue& timers_;
    upstream_call& of_;
    const config::route& route_;
    duration waited_{};         // in this window
    std::uint64_t counted_ = 0; // meaningful events at its beginning
    bool fired_ = false;
};

} // namespace evenkeel::request
