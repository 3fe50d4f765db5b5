#pragma once
// The application log: what happened to the process and to its upstreams (circuits, cooldowns, overload), with the
// request that made it happen; what became of requests is in the access log. Text for people or JSON for programs, to
// stderr or a file; under systemd each line carries its priority. Any thread may write; the helper thread does the I/O.
// No message and no field holds a credential or the value of a header, but for the request id that its client gave.

#include "config/settings.hpp"
#include "proxy/events/observer.hpp"
#include "proxy/events/request_account.hpp"
#include "proxy/telemetry/line_writer.hpp"

#include <atomic>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

namespace evenkeel::telemetry {

[[nodiscard]] std::string_view to_string(config::log_level) noexcept;
[[nodiscard]] std::optional<config::log_level> log_level_named(std::string_view word) noexcept;

struct log_field {
    std::string_view name; // of ours: [a-z_]+; empty: left out
    std::string_view value;
};

// One line, with its newline. Separate from the class for tests.
[[nodiscard]] std::string format_log_line(wall_time when, config::log_level level, bool json, bool with_priority,
                                          std::string_view message, std::initializer_list<log_field> fields);

// Lets a burst of lines through, then one a second; says with the next one how many it kept back. Thread-safe.
class line_limit {
public:
    static constexpr double burst = 20; // chosen: a whole fleet of upstreams going down at once is still told
    // Empty: not this one. Otherwise how many were not said since the last that was.
    [[nodiscard]] std::optional<std::uint64_t> allow(wall_time now) noexcept;

private:
    std::mutex mutex_;
    double left_ = burst;
    wall_time filled_{};
    std::uint64_t kept_back_ = 0;
};

class app_log final : public observer {
public:
    using fields = std::initializer_list<log_field>;

    explicit app_log(
        background& on, std::function<wall_time()> wall_now = [] {
            return wall_time{std::chrono::system_clock::now()};
        }); // to stderr, as text, from info on, until configured

    // At the start of the process, where a file that cannot be opened is no log at all.
    [[nodiscard]] boost::system::error_code open(const std::string& path) { return writer_.open(path); }
    // Takes level, format and path; the file is reopened each time. A file that cannot be opened is reported to where
    // the log went before.
    void configure(const config::log_options& options);
    void configuration_loaded(const config::snapshot& snapshot) noexcept override { configure(snapshot->log); }
    bool reopen(); // its file was moved away; false: it cannot be opened, and that is reported

    // Of what changes at endpoints a line each; of each kind no more than line_limit lets through, since a bad hour has
    // thousands.
    void endpoint_changed(const event_origin& of, const any_endpoint_change& what) noexcept override;
    // At level debug a line of each attempt, and of each request that was disturbed its journal: unlimited, for who
    // asks for them wants them.
    void attempt_finished(const attempt_record& record) noexcept override;
    void request_finished(const request_account& account) noexcept override;

    void internal_error(std::string_view what) noexcept override;

    // By an operator's word: until a configuration is loaded again.
    void set_level(config::log_level level) noexcept { level_.store(level, std::memory_order_relaxed); }
    [[nodiscard]] config::log_level level() const noexcept { return level_.load(std::memory_order_relaxed); }

    [[nodiscard]] bool enabled(config::log_level level) const noexcept {
        return level >= level_.load(std::memory_order_relaxed);
    }
    void write(config::log_level level, std::string_view message, fields with = {});
    void debug(std::string_view message, fields with = {}) { write(config::log_level::debug, message, with); }
    void info(std::string_view message, fields with = {}) { write(config::log_level::info, message, with); }
    void warning(std::string_view message, fields with = {}) { write(config::log_level::warning, message, with); }
    void error(std::string_view message, fields with = {}) { write(config::log_level::error, message, with); }

    void flush() { writer_.flush(); } // before the process ends, and before it prints to stderr itself
    [[nodiscard]] std::uint64_t dropped() const noexcept { return writer_.dropped(); }

private:
    struct telling;
    void write_limited(line_limit& limit, config::log_level level, std::string_view message, const event_origin& of,
                       log_field one, log_field two = {}, log_field three = {});

    line_limit circuits_, cooldowns_, overloads_, doubts_, upcasts_, internal_errors_;
    std::function<wall_time()> wall_now_;
    std::atomic<config::log_level> level_{config::log_level::info};
    std::atomic<bool> json_{false};
    line_writer writer_;
};

} // namespace evenkeel::telemetry
