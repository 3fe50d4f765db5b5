#include "proxy/telemetry/access_log.hpp"

#include "policies/hash64.hpp"
#include "proxy/events/disturbed.hpp"
#include "proxy/events/tries.hpp"
#include "proxy/telemetry/access_text.hpp"
#include "proxy/telemetry/json_text.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <string_view>

namespace evenkeel::telemetry {

namespace {

constexpr std::size_t max_path = 2048;    // bytes, before escaping
constexpr std::size_t max_word = 256;     // of every other text
constexpr std::size_t max_parts = 8192;   // JSON of ours; more is left out
constexpr std::size_t max_endpoint = 272; // a host's name, which needs no escaping, and a port
static_assert((max_path + 12 * max_word) * max_escape + max_parts + max_tries_json + max_endpoint + 1920 <=
                  max_access_line,
              "the worst line fits the buffer");

// Appends `,"name":` pieces; the names are literals, so their length is known at compile time.
class line {
public:
    explicit line(char* out) noexcept : out_(out) {}

    void literal(std::string_view text) noexcept {
        std::memcpy(out_, text.data(), text.size());
        out_ += text.size();
    }
    void text(std::string_view name, std::string_view value, std::size_t cap = max_word) noexcept {
        literal(name);
        *out_++ = '"';
        const bool cut = value.size() > cap;
        if (cut) {
            value = value.substr(0, cap - 3);
            // A character is not cut in two.
            while (!value.empty() && (static_cast<unsigned char>(value.back()) & 0xc0U) == 0x80) value.remove_suffix(1);
            if (!value.empty() && static_cast<unsigned char>(value.back()) >= 0xc0) value.remove_suffix(1);
        }
        out_ = write_escaped(out_, value);
        if (cut) literal("...");
        *out_++ = '"';
    }
    void text_if_any(std::string_view name, std::string_view value) noexcept {
        if (!value.empty()) text(name, value);
    }
    // Words of our own need no escaping.
    void word(std::string_view name, std::string_view value) noexcept {
        literal(name);
        *out_++ = '"';
        literal(value);
        *out_++ = '"';
    }
    void faults(std::string_view name, unsigned set) noexcept { // "abort,stall"
        literal(name);
        *out_++ = '"';
        for (int i = 0; i < chaos_fault_count; ++i) {
            if ((set >> i & 1U) == 0) continue;
            literal(to_string(static_cast<chaos_fault>(i)));
            if (set >> i > 1U) *out_++ = ',';
        }
        *out_++ = '"';
    }
    void number(std::string_view name, auto value) noexcept {
        literal(name);
        out_ = std::to_chars(out_, out_ + 24, value).ptr;
    }
    void seconds(std::string_view name, duration value) noexcept {
        literal(name);
        out_ = write_seconds(out_, value);
    }
    void hash(std::string_view name, std::uint64_t value) noexcept { // 16 hexadecimal digits
        literal(name);
        *out_++ = '"';
        for (int shift = 60; shift >= 0; shift -= 4) *out_++ = "0123456789abcdef"[value >> shift & 15];
        *out_++ = '"';
    }
    void cost(std::string_view name, std::uint64_t billionths) noexcept {
        literal(name);
        out_ = write_cost(out_, billionths);
    }
    void timestamp(wall_time when) noexcept { out_ = write_timestamp(out_, when); }
    [[nodiscard]] char* end() const noexcept { return out_; }

private:
    char* out_;
};

// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), a stream per thread. Chance decides here rather than "every tenth",
// which would favour one of two routes called in turns.
std::uint64_t draw() noexcept {
    thread_local std::uint64_t state = reinterpret_cast<std::uintptr_t>(&state);
    const std::uint64_t drawn = mix64(state);
    state += 0x9e3779b97f4a7c15ULL;
    return drawn;
}

void write_bill(line& to, const bill& served, const bill& lost) noexcept {
    const auto some = [&](std::string_view name, std::uint64_t value) {
        if (value > 0) to.number(name, value);
    };
    some(R"(,"tokens_in":)", served.input());
    some(R"(,"tokens_out":)", served.output());
    some(R"(,"tokens_cached_read":)", served.at(token_kind::cached_read));
    some(R"(,"tokens_cached_write":)", served.at(token_kind::cached_write));
    some(R"(,"tokens_reasoning":)", served.at(token_kind::reasoning));
    some(R"(,"tokens_lost":)", lost.all());
    if ((served.estimated && served.all() > 0) || (lost.estimated && lost.all() > 0))
        to.literal(R"(,"tokens_estimated":true)");
    if (served.cost > 0) to.cost(R"(,"cost":)", served.cost);
    if (lost.cost > 0) to.cost(R"(,"cost_lost":)", lost.cost);
}

} // namespace

char* write_access_line(char* out, const request_account& record) noexcept {
    line to(out);
    to.literal(R"({"ts":")");
    to.timestamp(record.started);
    to.literal("\"");
    to.text(R"(,"request_id":)", record.request_id);
    if (record.witness != nullptr) to.text_if_any(R"(,"trace_id":)", record.witness->trace_id());
    to.text_if_any(R"(,"upstream_request_id":)", record.upstream_request_id);
    to.text_if_any(R"(,"client":)", record.client);
    if (record.by != nullptr) to.word(R"(,"client_name":)", record.by->name); // a name of the file
    if (record.witness != nullptr) {
        if (const auto whose = record.witness->credential()) to.hash(R"(,"credential":)", *whose);
    }
    to.text(R"(,"route":)", record.route != nullptr ? std::string_view(record.route->name) : "none");
    if (record.upstream != nullptr) {
        to.text(R"(,"upstream":)", record.upstream->name);
        const std::string_view endpoint = record.upstream->endpoint.label();
        if (!endpoint.empty()) to.word(R"(,"endpoint":)", endpoint.substr(0, max_endpoint));
    }
    to.text(R"(,"method":)", record.method);
    // A query may hold a credential (`key=`); the record has none, and if it had, it would end here.
    to.text(R"(,"path":)", record.path.substr(0, record.path.find('?')), max_path);
    to.number(R"(,"status":)", record.status);
    to.word(R"(,"outcome":)", to_string(record.ending()));
    to.text_if_any(R"(,"reason":)", record.reason);
    to.text_if_any(R"(,"proxy_error":)", record.proxy_error);
    if (record.degraded.is) {
        to.word(R"(,"degraded":)", to_string(record.degraded.by));
        if (record.degraded.by == fallback_kind::last_good) to.seconds(R"(,"degraded_age_s":)", record.degraded.age);
        // A name of the file.
        if (!record.degraded.route.empty()) to.word(R"(,"fallback_route":)", record.degraded.route.substr(0, 64));
    }
    if (record.coalesced != coalesce_role::none) to.word(R"(,"coalesced":)", to_string(record.coalesced));
    to.number(R"(,"attempts":)", record.effort.attempts);
    if (is_disturbed(record) && record.journal.size() > 0) {
        const steady_time ended = record.at;
        const std::string tries = tries_json(record.journal, ended - record.total, ended);
        if (!tries.empty() && tries.size() <= max_tries_json) {
            to.literal(R"(,"tries":)");
            to.literal(tries);
        }
    }
    if (record.effort.hedges > 0) to.number(R"(,"hedges":)", record.effort.hedges);
    if (record.probe) to.literal(R"(,"probe":true)");
    if (record.effort.chaos != 0) to.faults(R"(,"chaos":)", record.effort.chaos);
    if (record.denied != denied_reason::none) to.word(R"(,"denied":)", to_string(record.denied));
    if (!record.parts.empty() && record.parts.size() <= max_parts) {
        to.literal(R"(,"parts":)");
        to.literal(record.parts);
    }
    to.text_if_any(R"(,"model":)", record.model);
    to.text_if_any(R"(,"upstream_model":)", record.upstream_model);
    to.literal(record.stream ? std::string_view(R"(,"stream":true)") : std::string_view(R"(,"stream":false)"));
    if (record.ended != stream_end::none) to.word(R"(,"stream_end":)", to_string(record.ended));
    if (record.upcast) to.literal(R"(,"upcast":true)");
    if (record.effort.resumed > 0) to.number(R"(,"resumed":)", record.effort.resumed);
    to.seconds(R"(,"duration_s":)", record.total);
    if (record.first_byte > duration::zero()) to.seconds(R"(,"first_byte_s":)", record.first_byte);
    if (record.first_token > duration::zero()) to.seconds(R"(,"first_token_s":)", record.first_token);
    if (record.effort.held > duration::zero()) to.seconds(R"(,"held_s":)", record.effort.held);
    if (record.effort.paced > duration::zero()) to.seconds(R"(,"pace_s":)", record.effort.paced);
    if (record.effort.queued > duration::zero()) to.seconds(R"(,"queue_s":)", record.effort.queued);
    if (record.effort.uploading > duration::zero()) to.seconds(R"(,"upload_s":)", record.effort.uploading);
    if (record.lost > duration::zero()) to.seconds(R"(,"lost_s":)", record.lost);
    if (record.paused > duration::zero()) to.seconds(R"(,"pause_s":)", record.paused);
    if (record.outcome == request_outcome::client_cancelled) {
        to.word(R"(,"left":)", to_string(record.departed()));
        if (record.effort.attempts > 0) to.seconds(R"(,"silent_s":)", record.silent);
    }
    to.seconds(R"(,"overhead_s":)", record.overhead);
    to.number(R"(,"bytes_in":)", record.bytes_in);
    to.number(R"(,"bytes_out":)", record.bytes_out);
    write_bill(to, record.effort.served, record.effort.lost);
    to.literal("}\n");
    return to.end();
}

access_log::access_log(background& on, app_log& problems, line_writer_options options)
    : writer_(on, options), problems_(problems) {}

void access_log::request_finished(const request_account& record) noexcept {
    if (!enabled_.load(std::memory_order_relaxed)) return;
    if (record.part_of != nullptr) return; // its fan-out's line has it
    if (!is_disturbed(record)) {
        const auto threshold = ok_threshold_.load(std::memory_order_relaxed);
        if (threshold != UINT64_MAX && draw() >= threshold) return;
    }
    const auto format = format_.load(std::memory_order_relaxed);
    if (format == config::access_log_format::text ||
        (format == config::access_log_format::automatic && writer_.is_terminal())) {
        writer_.push(access_text(record, writer_.is_terminal() && terminals_have_colour()));
        return;
    }
    char buffer[max_access_line];
    const char* end = write_access_line(buffer, record);
    writer_.push({buffer, static_cast<std::size_t>(end - buffer)});
}

void access_log::reopen() noexcept {
    if (const auto failed = writer_.reopen())
        problems_.error("the access log cannot be opened anew; lines go where they went before",
                        {{"path", writer_.path()}, {"error", failed.message()}});
}

void access_log::configuration_loaded(const config::snapshot& snapshot) noexcept {
    const auto& options = snapshot->access_log;
    if (const auto failed = writer_.open(options.path))
        problems_.error("the access log cannot be opened; lines go where they went before",
                        {{"path", options.path}, {"error", failed.message()}});
    const auto share = std::clamp(options.sample_ok, 0.0, 1.0);
    ok_threshold_ = share >= 1.0 ? UINT64_MAX : static_cast<std::uint64_t>(std::ldexp(share, 64));
    format_ = options.format;
    enabled_ = writer_.is_open();
}

} // namespace evenkeel::telemetry
