#include "proxy/telemetry/health.hpp"

#include "proxy/telemetry/json_text.hpp"
#include "proxy/telemetry/series_index.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <iterator>
#include <map>
#include <mutex>
#include <utility>

namespace evenkeel::telemetry {

std::size_t health_window::bucket_of(duration latency) noexcept {
    // Everything below 1 ms, then the leading bit and the two after it of the quarter milliseconds.
    const auto quarters = static_cast<std::uint64_t>(std::max<std::int64_t>(latency.count(), 0)) / 250'000;
    if (quarters < 4) return 0;
    const auto doubling = static_cast<unsigned>(std::bit_width(quarters)) - 3; // quarters >> doubling is 4..7
    const auto bucket = std::size_t{1} + std::size_t{4} * doubling + ((quarters >> doubling) & 3U);
    return std::min(bucket, buckets - 1);
}

double health_window::upper_bound(std::size_t bucket) noexcept {
    if (bucket == 0) return 0.001;
    const auto doubling = (bucket - 1) / 4;
    return std::ldexp(static_cast<double>((bucket - 1) % 4 + 5), static_cast<int>(doubling)) * 0.25e-3;
}

void health_window::record(steady_time now, bool success, duration latency) noexcept {
    const auto number = now.time_since_epoch() / slice;
    auto& at = slots_[static_cast<std::size_t>(number) % slices];
    if (at.number != number) {
        at = slot{};
        at.number = number;
    }
    ++at.requests;
    if (!success) return;
    ++at.successes;
    at.latency_sum += std::chrono::duration<double>(latency).count();
    ++at.latency[bucket_of(latency)];
}

health_sample health_window::sample(steady_time now) const {
    const auto newest = now.time_since_epoch() / slice;
    const auto oldest = newest - static_cast<std::int64_t>(slices) + 1;
    health_sample sum;
    double latency_sum = 0;
    std::array<std::uint64_t, buckets> latency{};
    for (const auto& at : slots_) {
        if (at.number < oldest || at.number > newest || at.requests == 0) continue;
        sum.requests += at.requests;
        sum.successes += at.successes;
        latency_sum += at.latency_sum;
        for (std::size_t i = 0; i < buckets; ++i) latency[i] += at.latency[i];
    }
    if (sum.requests > 0) sum.success_rate = static_cast<double>(sum.successes) / static_cast<double>(sum.requests);
    if (sum.successes > 0) {
        sum.avg_latency = latency_sum / static_cast<double>(sum.successes);
        const auto rank = static_cast<std::uint64_t>(std::ceil(0.95 * static_cast<double>(sum.successes)));
        std::uint64_t below = 0;
        for (std::size_t i = 0; i < buckets; ++i) {
            below += latency[i];
            if (below >= rank) {
                sum.p95_latency = upper_bound(i);
                break;
            }
        }
    }
    return sum;
}

namespace {

// One window with its mutex: written by workers, read by whoever asks for the document.
class shared_window {
public:
    struct nothing {};
    explicit shared_window(nothing) {}
    void record(steady_time now, bool success, duration latency) noexcept {
        const std::lock_guard lock(mutex_);
        window_.record(now, success, latency);
    }
    [[nodiscard]] health_sample sample(steady_time now) const {
        const std::lock_guard lock(mutex_);
        return window_.sample(now);
    }

private:
    mutable std::mutex mutex_;
    health_window window_;
};

struct windows {
    using context = shared_window::nothing;
    using route = shared_window;
    using pair = shared_window;
    struct upstream {
        explicit upstream(context) {}
    };
};

enum class verdict : unsigned char { success, failure, silent };

// An upstream's own error is a success where it is the caller's fault: the service works.
verdict verdict_of(const request_record& record) noexcept {
    switch (record.outcome) {
    case request_outcome::ok:
        return verdict::success;
    case request_outcome::upstream_error:
        return record.status < 500 && record.status != 408 && record.status != 429 ? verdict::success
                                                                                   : verdict::failure;
    case request_outcome::proxy_error:
    case request_outcome::truncated:
        return verdict::failure;
    case request_outcome::rejected:
    case request_outcome::client_cancelled:
        return verdict::silent;
    }
    return verdict::silent;
}

// An answer that is the caller's fault shows that the upstream lives; asking for less, or for another credential, says
// nothing about its health.
verdict verdict_of(attempt_result result) noexcept {
    switch (result) {
    case attempt_result::success:
    case attempt_result::caller_error:
        return verdict::success;
    case attempt_result::cancelled:
    case attempt_result::rate_limited:
    case attempt_result::quota:
    case attempt_result::credential:
        return verdict::silent;
    default:
        return verdict::failure;
    }
}

void append_number(std::string& to, std::optional<double> value) {
    if (value)
        fmt::format_to(std::back_inserter(to), "{:.6g}", *value);
    else
        to += "null";
}

void append_sample(std::string& to, const health_sample& seen) {
    to += "\"avg_latency\":";
    append_number(to, seen.avg_latency);
    to += ",\"p95_latency\":";
    append_number(to, seen.p95_latency);
    to += ",\"success_rate\":";
    append_number(to, seen.success_rate);
    fmt::format_to(std::back_inserter(to), ",\"requests\":{}", seen.requests);
}

} // namespace

struct health::state {
    explicit state(std::function<steady_time()> clock) : now(std::move(clock)), index(windows::context{}) {}

    [[nodiscard]] steady_time time_of(steady_time told) const { return told != steady_time{} ? told : now(); }

    std::function<steady_time()> now;
    series_index<windows> index;
    std::mutex mutex; // current
    config::snapshot current;
};

health::health(std::function<steady_time()> now) : state_(std::make_unique<state>(std::move(now))) {}
health::~health() = default;

void health::request_finished(const request_record& record) noexcept {
    const auto how = verdict_of(record);
    if (how == verdict::silent || record.route == nullptr) return;
    if (auto* window = state_->index.find(record.route))
        window->record(state_->time_of(record.at), how == verdict::success, record.total);
}

void health::attempt_finished(const attempt_record& record) noexcept {
    const auto how = verdict_of(record.result);
    if (how == verdict::silent) return;
    if (auto* window = state_->index.find(record.route, record.upstream).pair)
        window->record(state_->time_of(record.at), how == verdict::success, record.total);
}

void health::configuration_loaded(const config::snapshot& snapshot) noexcept {
    state_->index.load(snapshot);
    const std::lock_guard lock(state_->mutex);
    state_->current = snapshot;
}

health_view health::view() const {
    health_view view;
    config::snapshot current;
    {
        const std::lock_guard lock(state_->mutex);
        current = state_->current;
    }
    if (!current) return view;

    const auto now = state_->now();
    std::uint64_t attempts = 0, successes = 0;
    for (const auto& route : current->routes) {
        if (route->serves != config::route_serves::upstream) continue;
        const auto* of_route = state_->index.find(route.get());
        if (of_route == nullptr) continue;
        auto& shown = view.routes.emplace_back();
        shown.name = route->name;
        shown.current_timeout =
            std::chrono::duration<double>(route->timeout.attempt.value_or(route->timeout.total)).count();
        shown.seen = of_route->sample(now);
        for (const auto& upstream : route->upstreams) {
            const auto* of_pair = state_->index.find(route.get(), upstream.get()).pair;
            if (of_pair == nullptr) continue;
            const auto& address = upstream->address;
            shown.upstreams.push_back(
                {upstream->name, (address.tls ? "https://" : "http://") + address.authority, of_pair->sample(now)});
            attempts += shown.upstreams.back().seen.requests;
            successes += shown.upstreams.back().seen.successes;
        }
    }
    view.healthy = attempts == 0 || successes > 0;
    return view;
}

std::string health_json(const health_view& view, bool with_hosts) {
    std::string json = "{\"services\":{";
    bool first = true;
    for (const auto& route : view.routes) {
        if (!std::exchange(first, false)) json += ',';
        append_quoted(json, route.name);
        json += ":{";
        append_sample(json, route.seen);
        json += ",\"current_timeout\":";
        append_number(json, route.current_timeout);
        json += ",\"upstreams\":{";
        bool first_upstream = true;
        for (const auto& upstream : route.upstreams) {
            if (!std::exchange(first_upstream, false)) json += ',';
            append_quoted(json, upstream.name);
            json += ":{";
            append_sample(json, upstream.seen);
            if (with_hosts) {
                json += ",\"url\":";
                append_quoted(json, upstream.url);
            }
            json += '}';
        }
        json += "}}";
    }
    json += "},\"overall_status\":{\"healthy\":";
    json += view.healthy ? "true" : "false";
    json += ",\"open_circuits\":0}}";
    return json;
}

} // namespace evenkeel::telemetry
