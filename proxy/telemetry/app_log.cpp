#include "proxy/telemetry/app_log.hpp"

#include "proxy/telemetry/json_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace evenkeel::telemetry {

namespace {

constexpr std::size_t max_value = 2048; // bytes of a message or a field

std::string_view to_string(config::log_level level) noexcept {
    switch (level) {
    case config::log_level::debug: return "debug";
    case config::log_level::info: return "info";
    case config::log_level::warning: return "warning";
    case config::log_level::error: return "error";
    }
    return "error";
}

// sd-daemon(3), after syslog.
std::string_view priority_of(config::log_level level) noexcept {
    switch (level) {
    case config::log_level::debug: return "<7>";
    case config::log_level::info: return "<6>";
    case config::log_level::warning: return "<4>";
    case config::log_level::error: return "<3>";
    }
    return "<3>";
}

void append_escaped(std::string& to, std::string_view text) {
    const auto before = to.size();
    to.resize(before + text.size() * max_escape);
    to.resize(static_cast<std::size_t>(write_escaped(to.data() + before, text) - to.data()));
}

// A word that needs no quotes in the text format.
bool is_simple(std::string_view value) noexcept {
    return !value.empty() && std::all_of(value.begin(), value.end(), [](char c) {
        return c > ' ' && c < 0x7f && c != '"' && c != '=' && c != '\\';
    });
}

} // namespace

std::string format_log_line(wall_time when, config::log_level level, bool json, bool with_priority,
                            std::string_view message, std::initializer_list<log_field> fields) {
    char stamp[timestamp_size];
    write_timestamp(stamp, when);
    std::string line;
    if (with_priority) line += priority_of(level);
    if (json) {
        line.append("{\"ts\":\"")
            .append(stamp, timestamp_size)
            .append("\",\"level\":\"")
            .append(to_string(level))
            .append("\",\"msg\":");
        append_quoted(line, message.substr(0, max_value));
        for (const auto& [name, value] : fields) {
            line += ',';
            append_quoted(line, name);
            line += ':';
            append_quoted(line, value.substr(0, max_value));
        }
        line += '}';
    } else {
        line.append(stamp, timestamp_size).append(" ").append(to_string(level)).append(": ");
        append_escaped(line, message.substr(0, max_value));
        for (const auto& [name, value] : fields) {
            line.append(" ").append(name).append("=");
            if (is_simple(value))
                line += value.substr(0, max_value);
            else
                append_quoted(line, value.substr(0, max_value));
        }
    }
    line += '\n';
    return line;
}

app_log::app_log(background& on, std::function<wall_time()> wall_now)
    : wall_now_(std::move(wall_now)),
      writer_(on, {.capacity_bytes = 256 * 1024, .delay = std::chrono::milliseconds{10}}) {
    static_cast<void>(writer_.open("stderr")); // opens nothing, cannot fail
}

void app_log::configure(const config::log_options& options) {
    if (const auto failed = writer_.open(options.path))
        error("the log file cannot be opened; logging goes where it went before",
              {{"path", options.path}, {"error", failed.message()}});
    level_ = options.level;
    json_ = options.json;
}

std::optional<std::uint64_t> line_limit::allow(wall_time now) noexcept {
    const std::lock_guard lock(mutex_);
    // The wall clock may be set back; then nothing is added until it has caught up.
    if (now > filled_) left_ = std::min(burst, left_ + std::chrono::duration<double>(now - filled_).count());
    filled_ = std::max(filled_, now);
    if (left_ < 1) {
        ++kept_back_;
        return std::nullopt;
    }
    left_ -= 1;
    return std::exchange(kept_back_, 0);
}

void app_log::write_limited(line_limit& limit, config::log_level level, std::string_view message,
                            const config::route& route, const config::upstream& upstream, log_field one,
                            log_field two) {
    if (!enabled(level)) return;
    const auto kept_back = limit.allow(wall_now_());
    if (!kept_back) return;
    const std::string skipped = std::to_string(*kept_back);
    const log_field of_route{"route", route.name}, of_upstream{"upstream", upstream.name},
        more{"lines_left_out", skipped};
    if (two.name.empty())
        *kept_back == 0 ? write(level, message, {of_upstream, of_route, one})
                        : write(level, message, {of_upstream, of_route, one, more});
    else
        *kept_back == 0 ? write(level, message, {of_upstream, of_route, one, two})
                        : write(level, message, {of_upstream, of_route, one, two, more});
}

void app_log::circuit_changed(const config::route& route, const config::upstream& upstream,
                              const circuit_transition& change) noexcept {
    const bool opened = change.to == circuit_state::open;
    write_limited(circuits_, opened ? config::log_level::warning : config::log_level::info,
                  opened                                  ? "a circuit opened: its endpoint is left alone"
                  : change.to == circuit_state::half_open ? "a circuit is half-open: its endpoint is probed"
                                                          : "a circuit closed: its endpoint is asked again",
                  route, upstream, {"from", to_string(change.from)}, {"why", change.why});
}

void app_log::cooldown_began(const config::route& route, const config::upstream& upstream, outcome_kind why,
                             duration length) noexcept {
    const bool money = why == outcome_kind::quota || why == outcome_kind::credential;
    const std::string seconds = fmt::format("{:.3g}", std::chrono::duration<double>(length).count());
    write_limited(cooldowns_, money ? config::log_level::warning : config::log_level::info,
                  "an endpoint rests, for the credential that it refused", route, upstream,
                  {"why", evenkeel::to_string(why)}, {"seconds", seconds});
}

void app_log::overload_changed(const config::route& route, const config::upstream& upstream, bool overloaded) noexcept {
    write_limited(overloads_, overloaded ? config::log_level::warning : config::log_level::info,
                  overloaded ? "an endpoint is overloaded: it gets no more at a time than it finishes"
                             : "an endpoint is no longer overloaded",
                  route, upstream, {"overloaded", overloaded ? "true" : "false"});
}

void app_log::upcast_excluded(const config::route& route, const config::upstream& upstream, upcast_result why,
                              std::string_view what) noexcept {
    write_limited(upcasts_, config::log_level::info,
                  "a model's answers cannot be put together from its streams: its requests go as they are for an hour",
                  route, upstream, {"why", to_string(why)}, {"what", what});
}

void app_log::internal_error(std::string_view what) noexcept {
    const auto kept_back = internal_errors_.allow(wall_now_());
    if (!kept_back) return;
    const std::string skipped = std::to_string(*kept_back);
    error("a request or a connection was given up because of an error of ours: please report this",
          {{"what", what}, {"lines_left_out", skipped}});
}

void app_log::write(config::log_level level, std::string_view message, fields with) {
    if (!enabled(level)) return;
    writer_.push(
        format_log_line(wall_now_(), level, json_.load(std::memory_order_relaxed), writer_.is_journal(), message, with),
        level == config::log_level::error);
}

} // namespace evenkeel::telemetry
