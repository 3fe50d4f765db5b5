#pragma once
// One line per request, at its end: JSON for programs, or text for people (access_text.hpp). The fields are an
// allow-list: no header, no query, no body, no credential can get in, because nothing here is handed one. What a client
// chose (path, ids, model) is capped and escaped. Undisturbed requests may be sampled; everything else is always
// written. A line is formatted into a buffer on the stack and copied to a bounded queue; if that is full, it is dropped
// and counted. Switched off it costs one load.

#include "config/settings.hpp"
#include "proxy/events/observer.hpp"
#include "proxy/events/request_account.hpp"
#include "proxy/telemetry/app_log.hpp"
#include "proxy/telemetry/line_writer.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

namespace evenkeel::telemetry {

inline constexpr std::size_t max_access_line = 48 * 1024;

// Writes the line of a request, with its newline; returns the end. `out` has room for max_access_line bytes.
char* write_access_line(char* out, const request_account& record) noexcept;

class access_log final : public observer {
public:
    access_log(background& on, app_log& problems,
               line_writer_options options = {}); // closed until a configuration is loaded

    // At the start of the process, where a file that cannot be opened is no log at all.
    [[nodiscard]] boost::system::error_code open(const std::string& path) { return writer_.open(path); }
    void request_finished(const request_account& record) noexcept override;
    // Takes path, sampling and format; a file is reopened each time, so a reload follows a rotation.
    void configuration_loaded(const config::snapshot& snapshot) noexcept override;

    void reopen() noexcept; // its file was moved away

    void flush() { writer_.flush(); }
    [[nodiscard]] std::uint64_t dropped() const noexcept { return writer_.dropped(); }

private:
    line_writer writer_;
    app_log& problems_;
    std::atomic<bool> enabled_{false};
    std::atomic<config::access_log_format> format_{config::access_log_format::automatic};
    std::atomic<std::uint64_t> ok_threshold_{UINT64_MAX}; // share of undisturbed requests, as a fraction of 2^64
};

} // namespace evenkeel::telemetry
