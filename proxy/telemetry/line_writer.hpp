#pragma once
// Lines on their way to stdout, stderr or a file: a bounded queue that any thread appends to and the helper thread
// writes. A producer copies its line under a short mutex and never waits for the file; where the reader of a pipe
// stalls, the queue fills, and what does not fit is dropped and counted. Lines wait a moment so that a busy proxy makes
// one write of many lines.

#include "policies/time.hpp"
#include "proxy/telemetry/background.hpp"

#include <boost/system/error_code.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace evenkeel::telemetry {

struct line_writer_options {
    std::size_t capacity_bytes = 4 * 1024 * 1024;         // of lines not handed to the system yet, at most twice that
    duration delay = std::chrono::milliseconds{50};       // a line waits at most this long while the file takes writes
    duration last_flush = std::chrono::milliseconds{500}; // what a stalled reader may cost at the end of the process
};

class line_writer {
public:
    explicit line_writer(background& on, line_writer_options options = {});
    ~line_writer(); // flushes
    line_writer(const line_writer&) = delete;
    line_writer& operator=(const line_writer&) = delete;

    // `stdout`, `stderr`, `off` or a file, which is appended to (mode 0640 if new); a FIFO need not have a reader. The
    // same path again reopens it, so that a rotated file is let go. On an error everything stays as it was. From any
    // thread that may wait for a disk.
    [[nodiscard]] boost::system::error_code open(const std::string& path);

    // What was opened last, anew. Nothing is lost meanwhile: lines wait for the new file.
    [[nodiscard]] boost::system::error_code reopen();
    [[nodiscard]] std::string path() const; // ... its name; empty: nothing was

    // Ends in '\n'. From any thread. False: dropped, for want of room.
    bool push(std::string_view line, bool urgent = false) noexcept;

    void flush(); // tries to write everything, for at most `last_flush`; from any thread that may wait

    [[nodiscard]] bool is_open() const noexcept;
    [[nodiscard]] bool is_journal() const noexcept;  // stderr, and systemd's journal reads it: lines may begin with <N>
    [[nodiscard]] bool is_terminal() const noexcept; // people read it
    [[nodiscard]] std::uint64_t dropped() const noexcept; // lines

private:
    struct state;
    std::shared_ptr<state> state_; // shared with work posted to the helper
};

} // namespace evenkeel::telemetry
