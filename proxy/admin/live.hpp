#pragma once
// Who watches, as it happens (GET /-/live): server-sent events, the overview once an interval and the last disturbed
// requests whenever they have changed. An event is made once for all who listen; a listener holds the one that it is
// being sent and no other, so one that reads slowly keeps nothing alive, and one that stops reading is dropped when the
// write of an event has taken too long.

#include "proxy/admin/connection.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace evenkeel::admin {

class live_feed {
public:
    using event = std::shared_ptr<const std::string>;
    struct source {
        std::function<std::string()> overview, requests; // JSON in one line
        std::function<std::uint64_t()> requests_kept;    // changes when the requests may have
    };
    live_feed(source from, duration interval) : from_(std::move(from)), interval_(interval) {}

    struct events {
        event overview, requests;
    };
    [[nodiscard]] const events& latest(steady_time at); // as new as half an interval
    [[nodiscard]] duration interval() const noexcept { return interval_; }

    std::uint32_t listeners = 0;

private:
    source from_;
    const duration interval_;
    events latest_;
    steady_time made_{};
    std::uint64_t kept_ = 0;
};

struct live_terms {
    duration write_timeout{};      // of one event
    std::function<bool()> goes_on; // nobody has stopped it or withdrawn its session
};
// The body of the answer, until its reader leaves, is too slow, or `goes_on` says no.
[[nodiscard]] net::task<void> send_events(live_feed& feed, connection& to, live_terms terms);

} // namespace evenkeel::admin
