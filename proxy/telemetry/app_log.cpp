#include "proxy/telemetry/app_log.hpp"

#include "proxy/events/disturbed.hpp"
#include "proxy/telemetry/json_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace evenkeel::telemetry {

namespace {

constexpr std::size_t max_value = 8192; // bytes of a message or a field: a journal is the longest

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

std::string_view to_string(config::log_level level) noexcept {
    switch (level) {
    case config::log_level::debug: return "debug";
    case config::log_level::info: return "info";
    case config::log_level::warning: return "warning";
    case config::log_level::error: return "error";
    }
    return "error";
}

std::optional<config::log_level> log_level_named(std::string_view word) noexcept {
    using enum config::log_level;
    for (const auto each : {debug, info, warning, error})
        if (to_string(each) == word) return each;
    return std::nullopt;
}

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
            if (name.empty()) continue;
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
            if (name.empty()) continue;
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

bool app_log::reopen() {
    const auto failed = writer_.reopen();
    if (failed)
        error("the log file cannot be opened anew; logging goes where it went before",
              {{"path", writer_.path()}, {"error", failed.message()}});
    return !failed;
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
                            const event_origin& of, log_field one, log_field two, log_field three) {
    if (!enabled(level)) return;
    const auto kept_back = limit.allow(wall_now_());
    if (!kept_back) return;
    const std::string skipped = std::to_string(*kept_back), attempt = std::to_string(of.attempt);
    const std::string_view endpoint = of.upstream != nullptr ? of.upstream->endpoint.label() : std::string_view{};
    const auto if_any = [](bool any, std::string_view name, std::string_view value) {
        return any ? log_field{name, value} : log_field{};
    };
    write(level, message,
          {if_any(of.upstream != nullptr, "upstream", of.upstream != nullptr ? of.upstream->name : std::string_view{}),
           if_any(!endpoint.empty(), "endpoint", endpoint),
           if_any(of.credential != nullptr, "credential",
                  of.credential != nullptr ? of.credential->name : std::string_view{}),
           if_any(of.route != nullptr, "route", of.route != nullptr ? of.route->name : std::string_view{}), one, two,
           three, if_any(!of.request_id.empty(), "request", of.request_id), if_any(of.attempt != 0, "attempt", attempt),
           if_any(*kept_back != 0, "lines_left_out", skipped)});
}

struct app_log::telling {
    app_log& log;
    const event_origin& of;

    void operator()(const circuit_transition& change) const {
        const bool opened = change.to == circuit_state::open;
        log.write_limited(log.circuits_, opened ? config::log_level::warning : config::log_level::info,
                          opened                                  ? "a circuit opened: its endpoint is left alone"
                          : change.to == circuit_state::half_open ? "a circuit is half-open: its endpoint is probed"
                                                                  : "a circuit closed: its endpoint is asked again",
                          of, {"from", to_string(change.from)}, {"why", change.why});
    }
    void operator()(const model_circuit_changed& own) const {
        const bool opened = own.change.to == circuit_state::open;
        log.write_limited(log.circuits_, opened ? config::log_level::warning : config::log_level::info,
                          opened ? "the circuit of a model opened: its endpoint is left alone for this model"
                          : own.change.to == circuit_state::half_open
                              ? "the circuit of a model is half-open: its endpoint is probed for this model"
                              : "the circuit of a model closed: its endpoint is asked for this model again",
                          of, {"model", own.model}, {"from", to_string(own.change.from)}, {"why", own.change.why});
    }
    void operator()(const rest_began& rest) const {
        const bool money = rest.why == outcome_kind::quota || rest.why == outcome_kind::credential;
        const std::string seconds = fmt::format("{:.3g}", in_seconds(rest.length));
        if (of.credential != nullptr)
            return log.write_limited(log.cooldowns_, money ? config::log_level::warning : config::log_level::info,
                                     money ? "a credential is dead: it is asked again now and then, and used when it "
                                             "is accepted"
                                           : "a credential rests, for the model that it was refused",
                                     of, {"why", evenkeel::to_string(rest.why)}, {"seconds", seconds});
        log.write_limited(log.cooldowns_, money ? config::log_level::warning : config::log_level::info,
                          "an endpoint rests, for the credential and the model that it refused", of,
                          {"why", evenkeel::to_string(rest.why)}, {"seconds", seconds});
    }
    void operator()(const rest_ended&) const {
        if (of.credential != nullptr)
            return log.write_limited(log.cooldowns_, config::log_level::info,
                                     "a credential is used again: it is accepted, sooner than was thought", of, {});
        log.write_limited(log.cooldowns_, config::log_level::info,
                          "an endpoint rests no longer: it answers, sooner than was thought", of, {});
    }
    void operator()(const overload_changed& load) const {
        log.write_limited(log.overloads_, load.active ? config::log_level::warning : config::log_level::info,
                          load.active ? "an endpoint is overloaded: it gets no more at a time than it finishes"
                                      : "an endpoint is no longer overloaded",
                          of, {"overloaded", load.active ? "true" : "false"});
    }
    void operator()(const doubt_changed& change) const {
        if (!change.model.empty()) return of_model(change);
        log.write_limited(
            log.doubts_, change.doubted ? config::log_level::warning : config::log_level::info,
            change.doubted   ? "an endpoint is asked second: it was silent, or slow, for far longer than usual"
            : change.reached ? "an endpoint is no longer asked second: connections to it are made again"
            : change.lapsed
                ? "an endpoint is no longer asked second: no request could be copied to look, so one asks it"
                : "an endpoint is no longer asked second: it answers as usual",
            of, {"doubted", change.doubted ? "true" : "false"});
    }
    void of_model(const doubt_changed& change) const {
        log.write_limited(
            log.doubts_, change.doubted ? config::log_level::warning : config::log_level::info,
            change.doubted
                ? "an endpoint is asked second for a model: that was silent, or slow, for far longer than usual"
            : change.lapsed
                ? "an endpoint is no longer asked second for a model: no request could be copied to look, so "
                  "one asks it"
                : "an endpoint is no longer asked second for a model: it answers as usual",
            of, {"model", change.model}, {"doubted", change.doubted ? "true" : "false"});
    }
    void operator()(const upcast_excluded& model) const {
        log.write_limited(
            log.upcasts_, config::log_level::info,
            "a model's answers cannot be put together from its streams: its requests go as they are for an hour", of,
            {"why", to_string(model.why)}, {"what", model.what});
    }
    void operator()(const connection_probed&) const {} // one every few seconds, and counted
    void operator()(const probe_result&) const {}      // likewise
};

void app_log::endpoint_changed(const event_origin& of, const any_endpoint_change& what) noexcept {
    std::visit(telling{*this, of}, what);
}

void app_log::attempt_finished(const attempt_record& record) noexcept {
    if (!enabled(config::log_level::debug)) return;
    const std::string attempt = std::to_string(record.attempt), status = std::to_string(record.status),
                      seconds = fmt::format("{:.3f}", in_seconds(record.total));
    const std::string_view endpoint =
        record.upstream != nullptr ? record.upstream->endpoint.label() : std::string_view{};
    const std::string_view key = record.upstream != nullptr && record.credential < record.upstream->credentials.size()
                                     ? record.upstream->credentials[record.credential].name
                                     : std::string_view{};
    const auto if_any = [](bool any, std::string_view name, std::string_view value) {
        return any ? log_field{name, value} : log_field{};
    };
    debug("an attempt ended",
          {if_any(!record.request_id.empty(), "request", record.request_id),
           if_any(record.attempt != 0, "attempt", attempt),
           {"upstream", record.upstream != nullptr ? std::string_view{record.upstream->name} : "none"},
           if_any(!endpoint.empty(), "endpoint", endpoint),
           if_any(!key.empty(), "credential", key),
           {"kind", to_string(record.kind)},
           if_any(!record.why.empty(), "why", record.why),
           {"result", to_string(record.result)},
           if_any(!record.error.empty(), "error", record.error),
           if_any(record.status != 0, "status", status),
           {"seconds", seconds}});
}

void app_log::request_finished(const request_account& account) noexcept {
    if (!enabled(config::log_level::debug) || !is_disturbed(account)) return;
    const steady_time ended = account.at != steady_time{} ? account.at : steady_time{std::chrono::steady_clock::now()};
    const std::string story = text_of(account.journal, ended - account.total);
    debug("a request was disturbed", {{"request", account.request_id},
                                      {"route", account.route != nullptr ? account.route->name : "none"},
                                      {"outcome", to_string(account.ending())},
                                      {"journal", story}});
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
