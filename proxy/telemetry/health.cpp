#include "proxy/telemetry/health.hpp"

#include "policies/small_mutex.hpp"

#include "proxy/telemetry/json_text.hpp"
#include "proxy/telemetry/series_index.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <iterator>
#include <map>
#include <mutex>
#include <set>
#include <tuple>
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

health_window::slot& health_window::slot_at(steady_time now) noexcept {
    const auto number = now.time_since_epoch() / slice;
    if (!slots_) [[unlikely]]
        slots_ = std::make_unique<std::array<slot, slices>>();
    auto& at = (*slots_)[static_cast<std::size_t>(number) % slices];
    if (at.number != number) {
        at = slot{};
        at.number = number;
    }
    return at;
}

void health_window::departed(steady_time now) noexcept { ++slot_at(now).departures; }

void health_window::record(steady_time now, bool success, duration latency) noexcept {
    slot& at = slot_at(now);
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
    if (!slots_) return sum;
    double latency_sum = 0;
    std::array<std::uint64_t, buckets> latency{};
    for (const auto& at : *slots_) {
        if (at.number < oldest || at.number > newest) continue;
        sum.departures += at.departures;
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
    void departed(steady_time now) noexcept {
        const std::lock_guard lock(mutex_);
        window_.departed(now);
    }
    [[nodiscard]] health_sample sample(steady_time now) const {
        const std::lock_guard lock(mutex_);
        return window_.sample(now);
    }
    void degraded(steady_time now, fallback_kind by) noexcept {
        const std::lock_guard lock(mutex_);
        ++fallbacks_[static_cast<std::size_t>(by)];
        degraded_at_ = now;
    }
    void failed(const failed_attempt& how) noexcept {
        const std::lock_guard lock(mutex_);
        last_failure_ = how;
    }
    [[nodiscard]] std::optional<failed_attempt> last_failure() const {
        const std::lock_guard lock(mutex_);
        return last_failure_;
    }
    // How often each step answered since the start, and whether one did within the last minute.
    [[nodiscard]] std::pair<fallback_counts, bool> fallbacks(steady_time now) const {
        const std::lock_guard lock(mutex_);
        return {fallbacks_, degraded_at_ && now - *degraded_at_ < health_window::slice * health_window::slices};
    }

private:
    mutable small_mutex mutex_;
    health_window window_;
    fallback_counts fallbacks_{};
    std::optional<steady_time> degraded_at_;
    std::optional<failed_attempt> last_failure_;
};

struct windows {
    using context = shared_window::nothing;
    using route = shared_window;
    using pair = shared_window;
    struct upstream {
        explicit upstream(context) {}
    };
};

using verdict = health_verdict;

// An upstream's own error is a success where it is the caller's fault: the service works.
verdict verdict_of(const request_account& record) noexcept {
    if (record.degraded.is) return verdict::failure; // the client has an answer; the service did not work
    switch (record.outcome) {
    case request_outcome::ok: return verdict::success;
    case request_outcome::upstream_error:
        return record.status < 500 && record.status != 408 && record.status != 429 ? verdict::success
                                                                                   : verdict::failure;
    case request_outcome::proxy_error:
    case request_outcome::truncated: return verdict::failure;
    case request_outcome::rejected:
    case request_outcome::client_cancelled: return verdict::silent;
    }
    return verdict::silent;
}

// It says nothing of the endpoint's health, but may be why it rests.
bool says_later(attempt_result result) noexcept {
    return result == attempt_result::rate_limited || result == attempt_result::quota ||
           result == attempt_result::credential;
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
    std::mutex mutex; // all below
    config::snapshot current;
    policy_reporter reporter;
};

health::health(std::function<steady_time()> now) : state_(std::make_unique<state>(std::move(now))) {}
health::~health() = default;

void health::request_finished(const request_account& record) noexcept {
    const auto how = verdict_of(record);
    const bool left = record.outcome == request_outcome::client_cancelled && record.part_of == nullptr;
    if ((how == verdict::silent && !left) || record.route == nullptr) return;
    auto* window = state_->index.find(record.route);
    if (window == nullptr) return;
    if (left) return window->departed(state_->time_of(record.at));
    if (record.degraded.is) window->degraded(state_->time_of(record.at), record.degraded.by);
    window->record(state_->time_of(record.at), how == verdict::success, record.total);
}

void health::attempt_finished(const attempt_record& record) noexcept {
    const auto how = verdict_of(record.result);
    if (how == verdict::silent && !says_later(record.result)) return;
    auto* window = state_->index.find(record.route, record.upstream).pair;
    if (window == nullptr) return;
    const steady_time at = state_->time_of(record.at);
    if (how != verdict::success) window->failed({record.result, record.status, at});
    if (how != verdict::silent) window->record(at, how == verdict::success, record.total);
}

void health::configuration_loaded(const config::snapshot& snapshot) noexcept {
    state_->index.load(snapshot);
    const std::lock_guard lock(state_->mutex);
    state_->current = snapshot;
}

void health::report_from(policy_reporter reporter) {
    const std::lock_guard lock(state_->mutex);
    state_->reporter = std::move(reporter);
}

namespace {

bool is_open(const upstream_health& upstream) {
    return upstream.policies && upstream.policies->circuit && upstream.policies->circuit->state == circuit_state::open;
}
bool rests(const upstream_health& upstream, steady_time now) {
    return upstream.policies && upstream.policies->cooldown && upstream.policies->cooldown->until &&
           *upstream.policies->cooldown->until > now;
}
bool all_open(const route_health& route) {
    return !route.upstreams.empty() && std::all_of(route.upstreams.begin(), route.upstreams.end(), is_open);
}

// The most preferred upstream that may be asked, or failing that the most preferred one whose circuit is not open.
const upstream_health* preferred(const route_health& route, steady_time now) {
    const auto find = [&](auto&& may) -> const upstream_health* {
        const auto found = std::find_if(route.upstreams.begin(), route.upstreams.end(), may);
        return found != route.upstreams.end() ? &*found : nullptr;
    };
    if (const auto* best = find([&](const auto& u) { return !is_open(u) && !rests(u, now); })) return best;
    if (const auto* alive = find([](const auto& u) { return !is_open(u); })) return alive;
    return route.upstreams.empty() ? nullptr : &route.upstreams.front();
}

void show_route(route_health& shown, const config::route& route, const route_report* report, steady_time now) {
    if (report != nullptr) {
        shown.holding = report->holding;
        shown.bulkhead = report->bulkhead;
        for (auto& upstream : shown.upstreams) {
            const auto found =
                std::find_if(report->endpoints.begin(), report->endpoints.end(), [&](const endpoint_report& e) {
                    return e.upstream == upstream.name && e.endpoint == upstream.endpoint;
                });
            if (found != report->endpoints.end()) upstream.policies = *found;
        }
    }
    const auto* best = preferred(shown, now);
    if (all_open(shown))
        shown.circuit = circuit_state::open;
    else if (best != nullptr && best->policies && best->policies->circuit)
        shown.circuit = best->policies->circuit->state;

    duration timeout = route.timeout.attempt.value_or(route.timeout.total);
    if (route.timeout.learn_attempt) {
        // Streams and buffered answers have their own; this is the longer one.
        const auto& initial = route.timeout.adaptive.initial;
        timeout = std::max(initial.stream, initial.buffered);
        if (best != nullptr && best->policies)
            timeout = std::max(best->policies->latency.current_timeout_stream,
                               best->policies->latency.current_timeout_buffered);
        timeout = std::min(timeout, route.timeout.total);
    }
    shown.current_timeout = std::chrono::duration<double>(timeout).count();
}

} // namespace

health_view health::view() const {
    health_view view;
    config::snapshot current;
    policy_reporter reporter;
    {
        const std::lock_guard lock(state_->mutex);
        current = state_->current;
        reporter = state_->reporter;
    }
    if (!current) return view;

    const policy_report report = reporter ? reporter() : policy_report{};
    const auto now = state_->now();
    view.at = reporter ? report.at : now;
    std::uint64_t attempts = 0, successes = 0;
    std::size_t down = 0;
    std::set<std::array<std::string, 3>> open;
    for (const auto& route : current->routes) {
        if (route->serves == config::route_serves::health) continue;
        const auto* of_route = state_->index.find(route.get());
        if (of_route == nullptr) continue;
        const bool in_parts = route->serves == config::route_serves::fan_out;
        auto& shown = (in_parts ? view.fan_outs : view.routes).emplace_back();
        shown.name = route->name;
        shown.seen = of_route->sample(now);
        std::tie(shown.fallbacks, shown.degraded) = of_route->fallbacks(now);
        if (in_parts) {
            shown.current_timeout = in_seconds(route->timeout.total);
            continue;
        }
        for (const auto& upstream : route->upstreams) {
            const auto* of_pair = state_->index.find(route.get(), upstream.get()).pair;
            if (of_pair == nullptr) continue;
            const auto& address = upstream->address;
            shown.upstreams.push_back({.name = upstream->name,
                                       .url = (address.tls ? "https://" : "http://") + address.authority,
                                       .seen = of_pair->sample(now),
                                       .endpoint = std::string(upstream->endpoint.label())});
            shown.upstreams.back().last_failure = of_pair->last_failure();
            attempts += shown.upstreams.back().seen.requests;
            successes += shown.upstreams.back().seen.successes;
        }
        const auto reported = std::find_if(report.routes.begin(), report.routes.end(),
                                           [&](const route_report& r) { return r.route == route->name; });
        show_route(shown, *route, reported != report.routes.end() ? &*reported : nullptr, view.at);
        down += all_open(shown) ? 1 : 0;
        const bool own = route->own_circuit || route->circuit_breaker.scope == circuit_scope::route;
        for (const auto& upstream : shown.upstreams)
            if (is_open(upstream))
                open.insert({own ? route->name : "", upstream.name,
                             route->circuit_breaker.scope == circuit_scope::upstream ? "" : upstream.endpoint});
    }
    view.open_circuits = static_cast<int>(open.size());
    view.chaos_rules = report.chaos_rules;
    const bool nothing_works = attempts > 0 && successes == 0;
    const bool nothing_open_to_ask = !view.routes.empty() && down == view.routes.size();
    view.healthy = !nothing_works && !nothing_open_to_ask;
    return view;
}

namespace {

double in_seconds(duration value) { return std::chrono::duration<double>(std::max(value, duration::zero())).count(); }
std::optional<double> in_seconds(std::optional<duration> value) {
    return value ? std::optional(in_seconds(*value)) : std::nullopt;
}

void append_member(std::string& to, std::string_view name, std::optional<double> value) {
    fmt::format_to(std::back_inserter(to), ",\"{}\":", name);
    append_number(to, value);
}
void append_word(std::string& to, std::string_view name, std::optional<std::string_view> word) {
    if (word)
        fmt::format_to(std::back_inserter(to), ",\"{}\":\"{}\"", name, *word);
    else
        fmt::format_to(std::back_inserter(to), ",\"{}\":null", name);
}

std::optional<std::string_view> overload_word(const std::optional<overload_control::summary>& seen) {
    if (!seen) return std::nullopt;
    return seen->active ? "overloaded" : seen->recovering ? "recovering" : "normal";
}

// Those of which something is known that does not hold for the others. Their names are for operators.
void append_models(std::string& to, const std::vector<model_report>& all, steady_time now, bool with_names) {
    if (all.empty()) return;
    to += ",\"models\":[";
    for (const model_report& one : all) {
        if (&one != &all.front()) to += ',';
        to += "{\"model\":";
        append_quoted(to, one.name.empty() ? "others" : with_names ? one.name : fmt::format("#{:016x}", one.model));
        append_word(to, "circuit_state", to_string(one.circuit ? one.circuit->state : circuit_state::closed));
        const auto probe = one.circuit ? one.circuit->next_probe : std::nullopt;
        append_member(to, "next_probe", probe && *probe > now ? std::optional(in_seconds(*probe - now)) : std::nullopt);
        append_member(to, "doubted", one.doubt ? std::optional(in_seconds(now - one.doubt->since)) : std::nullopt);
        to += '}';
    }
    to += ']';
}

void append_policies(std::string& to, const endpoint_report& seen, steady_time now, bool with_names) {
    const auto left = [&](std::optional<steady_time> until) {
        return until && *until > now ? std::optional(in_seconds(*until - now)) : std::nullopt;
    };
    const auto& circuit = seen.circuit;
    append_word(to, "circuit_state", circuit ? std::optional(to_string(circuit->state)) : std::nullopt);
    append_member(to, "in_state",
                  circuit && circuit->since != steady_time{} ? std::optional(in_seconds(now - circuit->since))
                                                             : std::nullopt);
    append_member(to, "next_probe", circuit ? left(circuit->next_probe) : std::nullopt);
    to += circuit && circuit->forced ? ",\"forced\":true" : ",\"forced\":false";
    append_member(to, "doubted", seen.doubt ? std::optional(in_seconds(now - seen.doubt->since)) : std::nullopt);
    append_models(to, seen.models, now, with_names);
    append_member(to, "cooldown", seen.cooldown ? left(seen.cooldown->until) : std::nullopt);
    append_word(to, "overload", overload_word(seen.overload));
    append_member(to, "budget", seen.budget_level);
    append_member(to, "learned_p50", in_seconds(seen.latency.p50));
    append_member(to, "learned_p95", in_seconds(seen.latency.p95));
    to += ",\"current_timeout\":{\"stream\":";
    append_number(to, in_seconds(seen.latency.current_timeout_stream));
    append_member(to, "buffered", in_seconds(seen.latency.current_timeout_buffered));
    to += '}';
}

// By name. Its words are operators' alone, as hosts are.
void append_credentials(std::string& to, const endpoint_report& seen, steady_time now) {
    if (seen.credentials.empty()) return;
    to += ",\"credentials\":";
    char before = '{';
    for (const credential_report& one : seen.credentials) {
        to += std::exchange(before, ',');
        append_quoted(to, one.name);
        fmt::format_to(std::back_inserter(to), R"(:{{"state":"{}","in_flight":{})", to_string(one.seen.state),
                       one.seen.in_flight);
        const bool away = one.seen.until && *one.seen.until > now;
        append_member(to, "asked_again", away ? std::optional(in_seconds(*one.seen.until - now)) : std::nullopt);
        const bool told = one.seen.state != credential_state::well;
        append_word(to, "why",
                    !told                  ? std::nullopt
                    : one.seen.by_operator ? std::optional<std::string_view>("operator")
                                           : std::optional(to_string(one.seen.why)));
        to += '}';
    }
    to += '}';
}

// Models are operators' alone, as names of credentials are.
void append_pace(std::string& to, const endpoint_report& seen) {
    if (!seen.paces) return;
    to += ",\"pace\":[";
    char before = 0;
    for (const pace_report& one : seen.pace) {
        if (before != 0) to += before;
        before = ',';
        to += "{\"model\":";
        append_quoted(to, one.seen.name);
        if (!one.credential.empty()) append_word(to, "credential", std::optional<std::string_view>(one.credential));
        append_member(to, "waiting", static_cast<double>(one.seen.waiting));
        append_member(to, "guessed_per_second", one.seen.guessed);
        for (const auto& unit : one.seen.units) {
            fmt::format_to(std::back_inserter(to), ",\"{}\":{{\"limit\":", to_string(unit.unit));
            append_number(to, unit.limit);
            append_member(to, "window", in_seconds(unit.window));
            append_member(to, "remaining", unit.left);
            append_member(to, "per_second", unit.pace);
            append_member(to, "share", unit.share);
            to += '}';
        }
        to += '}';
    }
    to += ']';
}

} // namespace

bool asks_strict(std::string_view query) noexcept {
    while (!query.empty()) {
        const auto part = query.substr(0, query.find('&'));
        if (part == "strict" || part == "strict=" || part == "strict=1" || part == "strict=true") return true;
        query.remove_prefix(std::min(query.size(), part.size() + 1));
    }
    return false;
}

namespace {

// The member `at` of the object of upstreams. Those of one upstream are together an object of its endpoints.
void append_upstream(std::string& json, const route_health& route, std::size_t at, steady_time now, bool with_hosts) {
    const auto& all = route.upstreams;
    const upstream_health& shown = all[at];
    const auto begins = [&](std::size_t place) { return place == 0 || all[place - 1].name != all[place].name; };
    if (at > 0) json += ',';
    if (begins(at)) {
        append_quoted(json, shown.name);
        json += shown.endpoint.empty() ? ":" : ":{\"endpoints\":{";
    }
    if (!shown.endpoint.empty()) {
        std::size_t number = 1;
        for (std::size_t place = at; !begins(place); --place) ++number;
        append_quoted(json, with_hosts ? shown.endpoint : std::to_string(number));
        json += ':';
    }
    json += '{';
    append_sample(json, shown.seen);
    if (shown.policies) append_policies(json, *shown.policies, now, with_hosts);
    if (with_hosts) {
        if (shown.policies) append_credentials(json, *shown.policies, now);
        if (shown.policies) append_pace(json, *shown.policies);
        json += ",\"url\":";
        append_quoted(json, shown.url);
    }
    json += '}';
    if (!shown.endpoint.empty() && (at + 1 == all.size() || begins(at + 1))) json += "}}";
}

} // namespace

std::string health_json(const health_view& view, bool with_hosts) {
    std::string json = "{\"services\":{";
    bool first = true;
    for (const auto& route : view.routes) {
        if (!std::exchange(first, false)) json += ',';
        append_quoted(json, route.name);
        json += ":{";
        append_sample(json, route.seen);
        append_word(json, "circuit_state", route.circuit ? std::optional(to_string(*route.circuit)) : std::nullopt);
        append_member(json, "current_timeout", route.current_timeout);
        append_member(json, "held", static_cast<double>(route.holding));
        append_member(json, "departures", static_cast<double>(route.seen.departures));
        json += route.degraded ? ",\"degraded\":true" : ",\"degraded\":false";
        for (std::size_t step = 0; step < route.fallbacks.size(); ++step)
            fmt::format_to(std::back_inserter(json), "{}\"{}\":{}", step == 0 ? ",\"fallbacks\":{" : ",",
                           to_string(static_cast<fallback_kind>(step)), route.fallbacks[step]);
        json += '}';
        if (route.bulkhead) {
            fmt::format_to(
                std::back_inserter(json), R"(,"bulkhead":{{"in_use":{},"limit":{},"queued":{},"queue_limit":{}}})",
                route.bulkhead->in_use, route.bulkhead->limit, route.bulkhead->queued, route.bulkhead->queue_limit);
        } else {
            json += ",\"bulkhead\":null";
        }
        json += ",\"upstreams\":{";
        for (std::size_t at = 0; at < route.upstreams.size(); ++at)
            append_upstream(json, route, at, view.at, with_hosts);
        json += "}}";
    }
    fmt::format_to(std::back_inserter(json), "}},\"overall_status\":{{\"healthy\":{},\"open_circuits\":{}",
                   view.healthy, view.open_circuits);
    if (view.chaos_rules > 0) fmt::format_to(std::back_inserter(json), ",\"chaos_rules\":{}", view.chaos_rules);
    json += "}}";
    return json;
}

} // namespace evenkeel::telemetry
