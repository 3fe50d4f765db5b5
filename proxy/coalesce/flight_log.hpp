#pragma once
// The body of a shared answer as it comes, in immutable pieces, with the places of those who read it. Everybody reads
// from the first byte on and at his own pace; a piece is kept until all have had it. Values in, values out: no lock, no
// clock and no wake-up here; the shared flight brings these.
//
// All of it is kept, so that others may still join, until there is more than `bound` (stream.hold_buffer) or the memory
// bound has no room. From then on nobody joins, what all have read is dropped, and who is further behind the fastest
// than `bound` is detached: one that stalls costs the others nothing, and memory `bound` and one piece at most.

#include "proxy/events/outcomes.hpp"
#include "proxy/message/body_source.hpp"
#include "proxy/message/memory_bound.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace evenkeel::request {

class flight_log {
public:
    // Where one reader stands. Whoever owns the log guards it.
    struct cursor {
        std::uint64_t next = 0;     // pieces taken
        std::uint64_t position = 0; // ... in bytes
        bool between_events = true; // the last of them ended where an event ends
        std::optional<telemetry::coalesce_detachment> detached{};
        bool reads = false; // it is one of the log's readers
    };

    flight_log(memory_bound& memory, std::uint64_t bound) noexcept : memory_(memory), bound_(bound) {}
    ~flight_log();
    flight_log(const flight_log&) = delete;
    flight_log& operator=(const flight_log&) = delete;

    [[nodiscard]] bool open() const noexcept { return open_; } // it may be joined
    void close() noexcept { open_ = false; }

    void join(cursor& place);
    void leave(cursor& place) noexcept;
    [[nodiscard]] bool deserted() const noexcept { return readers_.empty(); }
    [[nodiscard]] std::size_t readers() const noexcept { return readers_.size(); }
    // Somebody has read all there is.
    [[nodiscard]] bool wants_more() const noexcept { return fastest() == end_; }

    struct piece {
        std::shared_ptr<const std::string> bytes; // never empty
        bool first_event = false;
        bool between_events = false;
        bool charged = true;
    };
    void append(std::string data, bool first_event, bool between_events);
    // The next one, for this reader; empty: it has had all.
    [[nodiscard]] std::optional<piece> take(cursor& place);

    [[nodiscard]] std::uint64_t held() const noexcept { return held_; } // bytes

private:
    [[nodiscard]] std::uint64_t fastest() const noexcept;
    // More than `by` bytes behind the fastest.
    void detach_behind(std::uint64_t by, telemetry::coalesce_detachment why) noexcept;
    void trim() noexcept;

    memory_bound& memory_;
    std::uint64_t bound_;
    std::deque<piece> pieces_;
    std::uint64_t first_ = 0; // number of the first that is kept
    std::uint64_t end_ = 0;   // bytes so far
    std::uint64_t held_ = 0, charged_ = 0;
    std::vector<cursor*> readers_; // in the order in which they came
    bool open_ = true;
};

} // namespace evenkeel::request
