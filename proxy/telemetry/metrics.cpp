#include "proxy/telemetry/metrics.hpp"

#include "proxy/telemetry/cells.hpp"
#include "proxy/telemetry/chaos_metrics.hpp"
#include "proxy/telemetry/coalesce_metrics.hpp"
#include "proxy/telemetry/fallback_metrics.hpp"
#include "proxy/telemetry/family_list.hpp"
#include "proxy/telemetry/from_start.hpp"
#include "proxy/telemetry/policy_metrics.hpp"
#include "proxy/telemetry/process_sample.hpp"
#include "proxy/telemetry/series_index.hpp"
#include "proxy/wire/refusal.hpp"

#include <array>
#include <atomic>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <map>
#include <mutex>
#include <sstream>
#include <string_view>
#include <utility>
#include <vector>

namespace evenkeel::telemetry {

namespace {

constexpr std::array<std::string_view, 5> code_classes{"2xx", "3xx", "4xx", "5xx", "none"};
constexpr std::size_t code_class_of(int status) noexcept {
    return status >= 200 && status < 600 ? static_cast<std::size_t>(status / 100 - 2) : code_classes.size() - 1;
}

#ifdef __clang__
constexpr std::string_view compiler = __VERSION__;
#else
constexpr std::string_view compiler = "g++ " __VERSION__;
#endif

// What every route comes to sooner or later.
constexpr bool is_usual(request_outcome outcome, std::size_t code_class) noexcept {
    enum : std::size_t { success, redirection, client_error, server_error, nothing };
    switch (outcome) {
    case request_outcome::ok:
    case request_outcome::truncated: return code_class == success;
    case request_outcome::upstream_error:
    case request_outcome::rejected: return code_class == client_error || code_class == server_error;
    case request_outcome::proxy_error: return code_class == server_error;
    case request_outcome::client_cancelled: return code_class == nothing;
    }
    return false;
}

// First attempts whose results show how an upstream is: not the caller's doing, not what hardly ever happens, and not
// what requests_total tells as well (truncated).
constexpr bool is_alerted(attempt_kind kind, attempt_result result) noexcept {
    if (kind != attempt_kind::first) return false;
    switch (result) {
    case attempt_result::success:
    case attempt_result::credential:
    case attempt_result::server_error:
    case attempt_result::rate_limited:
    case attempt_result::overloaded:
    case attempt_result::quota:
    case attempt_result::connect_failure:
    case attempt_result::reset:
    case attempt_result::timeout: return true;
    case attempt_result::caller_error:
    case attempt_result::tls_failure:
    case attempt_result::protocol_error:
    case attempt_result::stream_error:
    case attempt_result::truncated:
    case attempt_result::cancelled: return false;
    }
    return false;
}

// Whether a request of this route can be served in this way.
bool may_serve(const config::route& route, request_service how) noexcept {
    switch (how) {
    case request_service::retried: return route.retry.max_retries > 0;
    case request_service::failed_over: return route.upstreams.size() > 1;
    case request_service::hedged: return route.hedge.on;
    case request_service::degraded: return !route.fallback.empty() || route.serves == config::route_serves::fan_out;
    case request_service::ok:
    case request_service::error:
    case request_service::rejected: return true;
    }
    return true;
}

constexpr std::array<std::string_view, 3> connection_refusals{"max_connections", "no_fds", "other"};

// Why a request was rejected: the gate's words and those of the request path.
constexpr std::array<std::string_view, 17> own_refusals{"no_route",
                                                        "foreign_host",
                                                        "foreign_origin",
                                                        "body_not_split",
                                                        "header_timeout",
                                                        "body_timeout",
                                                        "body_too_large_to_inspect",
                                                        "memory",
                                                        "draining",
                                                        "circuit_open",
                                                        "hold_queue_full",
                                                        "hold_timeout",
                                                        "bulkhead_full",
                                                        "bulkhead_timeout",
                                                        "bulkhead_tenant_share",
                                                        "internal_error",
                                                        "other"};

// A closed list of words with a counter each; an unknown word counts as the last one, `other`.
class word_counters {
public:
    explicit word_counters(std::vector<std::string_view> words)
        : words_(std::move(words)), counts_(std::make_unique<cell[]>(words_.size())) {
        for (std::size_t i = 0; i < words_.size(); ++i) places_.emplace(words_[i], i);
    }
    void count(std::string_view word) noexcept {
        const auto found = places_.find(word);
        add(counts_[found == places_.end() ? words_.size() - 1 : found->second]);
    }
    void for_each(auto&& function) const {
        for (std::size_t i = 0; i < words_.size(); ++i) function(words_[i], get(counts_[i]));
    }

private:
    std::vector<std::string_view> words_; // static storage
    std::map<std::string_view, std::size_t> places_;
    std::unique_ptr<cell[]> counts_;
};

std::vector<std::string_view> refusal_words() {
    std::vector<std::string_view> words;
    for (int why = 1; why <= static_cast<int>(wire::refusal::unexpected_bytes); ++why)
        words.push_back(wire::to_string(static_cast<wire::refusal>(why)));
    words.insert(words.end(), own_refusals.begin(), own_refusals.end());
    return words;
}

struct route_cells {
    std::array<std::array<cell, code_classes.size()>, request_outcome_count> finished{};
    long_histogram duration;
    short_histogram overhead;
    std::array<cell, request_service_count> served{};
    std::array<cell, retry_denial_count> denied{};
    std::array<cell, stream_end_count> stream_ends{};
    std::array<cell, stream_resumption_count> resumptions{};
    std::array<cell, upcast_result_count> upcasts{};
    cell in_flight{0};
    cell bytes_in{0}, bytes_out{0};
};
struct pair_cells {
    std::array<std::array<cell, attempt_result_count>, attempt_kind_count> attempts{};
    long_histogram first_byte, first_token;
    cell wasted_events{0};
};
struct upstream_cells {
    long_histogram attempt_duration;
    cell attempts_in_flight{0};
    cell connections{0}, connections_opened{0}, idle_connections{0};
    std::array<cell, prewarm_event_count> prewarmed{};
    std::array<cell, probe_result_count> probed{};
    cell prewarm_target{0}, connected_cold{0};
};
struct client_cells {
    cell connections{0}, connections_opened{0};
};

struct counted {
    using context = unsigned; // workers
    using route = sharded<route_cells>;
    using pair = sharded<pair_cells>;
    using upstream = sharded<upstream_cells>;
};

} // namespace

struct metrics::state {
    explicit state(metrics_options given)
        : options(std::move(given)), index(options.workers), none(options.workers), clients(options.workers),
          policies(options.workers), fallbacks(options.workers), coalescing(options.workers), faults(options.workers) {}

    [[nodiscard]] route_cells& cells_of(const config::route* route) {
        auto* found = route == nullptr ? nullptr : index.find(route);
        return (found == nullptr ? none : *found).mine();
    }
    void for_each_route(auto&& function) const {
        index.for_each_route(function);
        function(std::string("none"), none);
    }

    void write_requests(family_list& out, const from_start& shown) const;
    void write_attempts(family_list& out, const from_start& shown) const;
    void write_connections(family_list& out, const from_start& shown) const;
    void write_refusals(family_list& out) const;
    void write_configuration(family_list& out) const;
    static void write_process(family_list& out);

    metrics_options options;
    series_index<counted> index;
    counted::route none;
    sharded<client_cells> clients;
    policy_metrics policies;
    fallback_metrics fallbacks;
    coalesce_metrics coalescing;
    chaos_metrics faults;
    word_counters request_refusals{refusal_words()};
    mutable std::atomic<std::size_t> last_size{0}; // of a text
    word_counters connection_refusals{{telemetry::connection_refusals.begin(), telemetry::connection_refusals.end()}};

    struct foreign_family {
        prometheus::MetricType type;
        std::string name, help;
        std::function<std::uint64_t()> read;
    };
    mutable std::mutex mutex; // all below
    policy_reporter reporter;
    last_good_reporter last_good;
    std::vector<foreign_family> foreign;
    std::atomic<std::uint64_t> internal_errors{0};
    config::snapshot in_force;
    bool reload_successful = false;
    double reload_success_seconds = 0;
};

metrics::metrics(metrics_options options) : state_(std::make_unique<state>(std::move(options))) {}
metrics::~metrics() = default;

void metrics::request_started(const config::route* route) noexcept { add(state_->cells_of(route).in_flight); }

void metrics::request_finished(const request_account& record) noexcept {
    const auto found = state_->index.find(record.route, record.upstream);
    auto& cells = (found.route == nullptr ? state_->none : *found.route).mine();
    subtract(cells.in_flight);
    add(cells.finished[static_cast<std::size_t>(record.outcome)][code_class_of(record.status)]);
    cells.duration.observe(record.total);
    if (record.attempts > 0 && record.upstream != nullptr && record.coalesced != coalesce_role::follower)
        cells.overhead.observe(record.overhead);
    add(cells.served[static_cast<std::size_t>(record.service)]);
    if (record.denied != denied_reason::none) add(cells.denied[static_cast<std::size_t>(record.denied)]);
    if (record.ended != stream_end::none) add(cells.stream_ends[static_cast<std::size_t>(record.ended)]);
    if (record.bytes_in > 0) add(cells.bytes_in, record.bytes_in);
    if (record.bytes_out > 0) add(cells.bytes_out, record.bytes_out);
    if (found.pair != nullptr && (record.first_byte > duration::zero() || record.first_token > duration::zero())) {
        auto& seen = found.pair->mine();
        if (record.first_byte > duration::zero()) seen.first_byte.observe(record.first_byte);
        if (record.first_token > duration::zero()) seen.first_token.observe(record.first_token);
    }
    if (record.outcome == request_outcome::rejected) state_->request_refusals.count(record.reason);
    if (record.degraded.is) state_->fallbacks.request_finished(record);
}

void metrics::attempt_started(const config::route& route, const config::upstream& upstream) noexcept {
    if (auto* found = state_->index.find(&route, &upstream).upstream) add(found->mine().attempts_in_flight);
}

void metrics::attempt_finished(const attempt_record& record) noexcept {
    const auto found = state_->index.find(record.route, record.upstream);
    if (found.pair == nullptr) return;
    auto& pair = found.pair->mine();
    add(pair.attempts[static_cast<std::size_t>(record.kind)][static_cast<std::size_t>(record.result)]);
    if (record.events > 0 && !record.committed) add(pair.wasted_events, record.events);
    auto& upstream = found.upstream->mine();
    subtract(upstream.attempts_in_flight);
    upstream.attempt_duration.observe(record.total);
    state_->policies.attempt_finished(record);
}

void metrics::circuit_changed(const config::route& route, const config::upstream& upstream,
                              const circuit_transition& change) noexcept {
    state_->policies.circuit_changed(route, upstream, change);
}

void metrics::cooldown_began(const config::route& route, const config::upstream& upstream, outcome_kind why,
                             duration) noexcept {
    state_->policies.cooldown_began(route, upstream, why);
}

void metrics::overload_changed(const config::route& route, const config::upstream& upstream, bool overloaded) noexcept {
    state_->policies.overload_changed(route, upstream, overloaded);
}

void metrics::hedge_refused(const config::route& route, hedge_refusal why) noexcept {
    state_->policies.hedge_refused(route, why);
}

void metrics::budget_refused(const config::route& route, const config::upstream& upstream,
                             attempt_kind wanted) noexcept {
    state_->policies.budget_refused(route, upstream, wanted);
}

void metrics::hold_began(const config::route& route) noexcept { state_->policies.hold_began(route); }

void metrics::hold_ended(const config::route& route, duration waited, bool went_on) noexcept {
    state_->policies.hold_ended(route, waited, went_on);
}

void metrics::fallback_skipped(const config::route& route, fallback_kind step, fallback_skip why) noexcept {
    state_->fallbacks.skipped(route, step, why);
}

void metrics::fallback_exhausted(const config::route& route) noexcept { state_->fallbacks.exhausted(route); }

void metrics::stream_resumed(const config::route& route, stream_resumption how) noexcept {
    if (auto* found = state_->index.find(&route)) add(found->mine().resumptions[static_cast<std::size_t>(how)]);
}

void metrics::request_coalesced(const config::route& route, coalesce_role role) noexcept {
    state_->coalescing.entered(route, role);
}

void metrics::coalesced_flight_ended(const config::route& route) noexcept { state_->coalescing.flight_ended(route); }

void metrics::coalesced_detached(const config::route& route, coalesce_detachment why) noexcept {
    state_->coalescing.detached(route, why);
}

void metrics::upcast_ended(const config::route& route, upcast_result how) noexcept {
    if (auto* found = state_->index.find(&route)) add(found->mine().upcasts[static_cast<std::size_t>(how)]);
}

void metrics::bulkhead_passed(const config::route& route, const bulkhead_passage& passage) noexcept {
    state_->policies.bulkhead_passed(route, passage);
}

void metrics::fault_injected(const config::route& route, chaos_fault fault) noexcept {
    state_->faults.injected(route, fault);
}

void metrics::connection_opened(side which, const config::upstream* upstream) noexcept {
    if (which == side::downstream) {
        auto& cells = state_->clients.mine();
        add(cells.connections);
        add(cells.connections_opened);
    } else if (auto* found = state_->index.find(upstream)) {
        auto& cells = found->mine();
        add(cells.connections);
        add(cells.connections_opened);
    }
}

void metrics::connection_closed(side which, const config::upstream* upstream) noexcept {
    if (which == side::downstream) {
        subtract(state_->clients.mine().connections);
    } else if (auto* found = state_->index.find(upstream)) {
        subtract(found->mine().connections);
    }
}

void metrics::idle_changed(const config::upstream& upstream, int by) noexcept {
    // A negative `by` wraps, as the cell does.
    if (auto* found = state_->index.find(&upstream))
        add(found->mine().idle_connections, static_cast<std::uint64_t>(static_cast<std::int64_t>(by)));
}

void metrics::prewarmed(const config::upstream& upstream, prewarm_event what) noexcept {
    if (auto* found = state_->index.find(&upstream)) add(found->mine().prewarmed[static_cast<std::size_t>(what)]);
}

void metrics::upstream_probed(const config::upstream& upstream, probe_result how) noexcept {
    if (auto* found = state_->index.find(&upstream)) add(found->mine().probed[static_cast<std::size_t>(how)]);
}

void metrics::prewarm_target_changed(const config::upstream& upstream, int by) noexcept {
    if (auto* found = state_->index.find(&upstream))
        add(found->mine().prewarm_target, static_cast<std::uint64_t>(static_cast<std::int64_t>(by)));
}

void metrics::connected_cold(const config::upstream& upstream) noexcept {
    if (auto* found = state_->index.find(&upstream)) add(found->mine().connected_cold);
}

void metrics::connection_refused(std::string_view reason) noexcept { state_->connection_refusals.count(reason); }

void metrics::internal_error(std::string_view) noexcept {
    state_->internal_errors.fetch_add(1, std::memory_order_relaxed);
}

void metrics::configuration_loaded(const config::snapshot& snapshot) noexcept {
    state_->index.load(snapshot);
    state_->policies.load(snapshot);
    state_->fallbacks.load(snapshot);
    state_->faults.load(snapshot);
    state_->coalescing.load(snapshot);
    const auto now = state_->options.wall_now().time_since_epoch();
    const std::lock_guard lock(state_->mutex);
    state_->reload_successful = true;
    state_->reload_success_seconds = std::chrono::duration<double>(now).count();
    state_->in_force = snapshot;
}

void metrics::configuration_failed() noexcept {
    const std::lock_guard lock(state_->mutex);
    state_->reload_successful = false;
}

void metrics::report_from(policy_reporter reporter) {
    const std::lock_guard lock(state_->mutex);
    state_->reporter = std::move(reporter);
}

void metrics::report_last_good_from(last_good_reporter reporter) {
    const std::lock_guard lock(state_->mutex);
    state_->last_good = std::move(reporter);
}

void metrics::count_from(std::string name, std::string help, std::function<std::uint64_t()> read) {
    const std::lock_guard lock(state_->mutex);
    state_->foreign.push_back({counter, std::move(name), std::move(help), std::move(read)});
}

void metrics::gauge_from(std::string name, std::string help, std::function<std::uint64_t()> read) {
    const std::lock_guard lock(state_->mutex);
    state_->foreign.push_back({gauge, std::move(name), std::move(help), std::move(read)});
}

void metrics::state::write_requests(family_list& out, const from_start& shown) const {
    out.begin(counter, "requests_total", "Requests by what became of them and the class of the status the client got.");
    for_each_route([&](const std::string& route, const counted::route& series) {
        const bool standing = &series == &none || shown.route(route) != nullptr;
        for (std::size_t outcome = 0; outcome < request_outcome_count; ++outcome)
            for (std::size_t code = 0; code < code_classes.size(); ++code)
                out.value(
                    series.sum([&](const route_cells& cells) -> const cell& { return cells.finished[outcome][code]; }),
                    {{"route", route},
                     {"outcome", to_string(static_cast<request_outcome>(outcome))},
                     {"code_class", code_classes[code]}},
                    standing && is_usual(static_cast<request_outcome>(outcome), code));
    });
    // Labelled words from `first` on: the ones before mean that there is nothing to count. `standing`: of a configured
    // route, whether a word's series exists from the start.
    const auto words = [&](std::string_view label, std::size_t first, std::size_t count, auto member, auto word,
                           auto standing) {
        for_each_route([&](const std::string& route, const counted::route& series) {
            const config::route* configured = shown.route(route);
            for (std::size_t i = first; i < count; ++i)
                out.value(series.sum([&](const route_cells& cells) -> const cell& { return (cells.*member)[i]; }),
                          {{"route", route}, {label, word(i)}}, configured != nullptr && standing(*configured, i));
        });
    };
    out.begin(counter, "requests_served_total", "Requests by how their answer came about.");
    words(
        "service", 0, request_service_count, &route_cells::served,
        [](std::size_t i) { return to_string(static_cast<request_service>(i)); },
        [](const config::route& route, std::size_t i) { return may_serve(route, static_cast<request_service>(i)); });
    out.begin(counter, "retries_denied_total", "Failed attempts that were not followed by another, by reason.");
    words(
        "reason", 1, retry_denial_count, &route_cells::denied,
        [](std::size_t i) { return to_string(static_cast<denied_reason>(i)); },
        [](const config::route&, std::size_t) { return false; });
    out.begin(counter, "stream_ends_total", "Streams that clients were sent something of, by how they ended.");
    words(
        "reason", 1, stream_end_count, &route_cells::stream_ends,
        [](std::size_t i) { return to_string(static_cast<stream_end>(i)); },
        [](const config::route&, std::size_t) { return false; });
    out.begin(counter, "stream_resumptions_total",
              "Streams that broke on a route with stream.resume: verified_replay, by what became of them.");
    words(
        "result", 0, stream_resumption_count, &route_cells::resumptions,
        [](std::size_t i) { return to_string(static_cast<stream_resumption>(i)); },
        [](const config::route& route, std::size_t) {
            return route.stream.resume == config::stream_resume::verified_replay;
        });
    out.begin(counter, "upcast_total",
              "Attempts of buffered requests that went upstream as streams (stream.upcast), by what became of them.");
    words(
        "result", 0, upcast_result_count, &route_cells::upcasts,
        [](std::size_t i) { return to_string(static_cast<upcast_result>(i)); },
        [](const config::route& route, std::size_t) { return route.stream.upcast; });
    out.begin(gauge, "requests_in_flight", "Requests begun and not yet finished.");
    for_each_route([&](const std::string& route, const counted::route& series) {
        out.value(series.gauge([](const route_cells& cells) -> const cell& { return cells.in_flight; }),
                  {{"route", route}}, &series == &none || shown.route(route) != nullptr);
    });
    out.begin(histogram, "request_duration_seconds", "From a request's head to the end of its answer.");
    for_each_route([&](const std::string& route, const counted::route& series) {
        out.histogram(series.histogram([](const route_cells& cells) -> auto& { return cells.duration; }),
                      {{"route", route}});
    });
    out.begin(histogram, "proxy_overhead_seconds", "The proxy's own share of a request that was sent upstream.");
    for_each_route([&](const std::string& route, const counted::route& series) {
        out.histogram(series.histogram([](const route_cells& cells) -> auto& { return cells.overhead; }),
                      {{"route", route}});
    });
    out.begin(counter, "body_bytes_total", "Body bytes read from clients (request) and sent to them (response).");
    for_each_route([&](const std::string& route, const counted::route& series) {
        out.value(series.sum([](const route_cells& cells) -> const cell& { return cells.bytes_in; }),
                  {{"route", route}, {"direction", "request"}}, false);
        out.value(series.sum([](const route_cells& cells) -> const cell& { return cells.bytes_out; }),
                  {{"route", route}, {"direction", "response"}}, false);
    });
}

void metrics::state::write_attempts(family_list& out, const from_start& shown) const {
    out.begin(counter, "upstream_attempts_total", "Tries sent upstream, or meant to be, by kind and result.");
    index.for_each_pair([&](const std::string& route, const std::string& upstream, const counted::pair& series) {
        const bool standing = shown.pair(route, upstream) != nullptr;
        for (std::size_t kind = 0; kind < attempt_kind_count; ++kind)
            for (std::size_t result = 0; result < attempt_result_count; ++result)
                out.value(
                    series.sum([&](const pair_cells& cells) -> const cell& { return cells.attempts[kind][result]; }),
                    {{"route", route},
                     {"upstream", upstream},
                     {"kind", to_string(static_cast<attempt_kind>(kind))},
                     {"result", to_string(static_cast<attempt_result>(result))}},
                    standing && is_alerted(static_cast<attempt_kind>(kind), static_cast<attempt_result>(result)));
    });
    out.begin(histogram, "time_to_first_byte_seconds",
              "From a request's head to the first body byte sent to the client.");
    index.for_each_pair([&](const std::string& route, const std::string& upstream, const counted::pair& series) {
        out.histogram(series.histogram([](const pair_cells& cells) -> auto& { return cells.first_byte; }),
                      {{"route", route}, {"upstream", upstream}});
    });
    out.begin(histogram, "time_to_first_token_seconds",
              "From a request's head to the first meaningful event of its stream sent to the client.");
    index.for_each_pair([&](const std::string& route, const std::string& upstream, const counted::pair& series) {
        out.histogram(series.histogram([](const pair_cells& cells) -> auto& { return cells.first_token; }),
                      {{"route", route}, {"upstream", upstream}});
    });
    out.begin(counter, "wasted_output_events_total", "Meaningful events of streams whose attempt was not the answer.");
    index.for_each_pair([&](const std::string& route, const std::string& upstream, const counted::pair& series) {
        const config::route* configured = shown.pair(route, upstream);
        out.value(series.sum([](const pair_cells& cells) -> const cell& { return cells.wasted_events; }),
                  {{"route", route}, {"upstream", upstream}}, configured != nullptr && configured->hedge.on);
    });
    out.begin(histogram, "upstream_attempt_duration_seconds",
              "From the launch of an attempt to its end, however it ended.");
    index.for_each_upstream([&](const std::string& upstream, const counted::upstream& series) {
        out.histogram(series.histogram([](const upstream_cells& cells) -> auto& { return cells.attempt_duration; }),
                      {{"upstream", upstream}});
    });
    out.begin(gauge, "upstream_attempts_in_flight", "Attempts begun and not yet finished.");
    index.for_each_upstream([&](const std::string& upstream, const counted::upstream& series) {
        out.value(series.gauge([](const upstream_cells& cells) -> const cell& { return cells.attempts_in_flight; }),
                  {{"upstream", upstream}}, shown.upstream(upstream) != nullptr);
    });
}

void metrics::state::write_connections(family_list& out, const from_start& shown) const {
    out.begin(gauge, "connections", "Open connections from clients and to upstreams.");
    out.value(clients.gauge([](const client_cells& cells) -> const cell& { return cells.connections; }),
              {{"side", "downstream"}});
    index.for_each_upstream([&](const std::string& upstream, const counted::upstream& series) {
        out.value(series.gauge([](const upstream_cells& cells) -> const cell& { return cells.connections; }),
                  {{"side", "upstream"}, {"upstream", upstream}}, shown.upstream(upstream) != nullptr);
    });
    out.begin(counter, "connections_opened_total", "Connections accepted from clients and opened to upstreams.");
    out.value(clients.sum([](const client_cells& cells) -> const cell& { return cells.connections_opened; }),
              {{"side", "downstream"}});
    index.for_each_upstream([&](const std::string& upstream, const counted::upstream& series) {
        out.value(series.sum([](const upstream_cells& cells) -> const cell& { return cells.connections_opened; }),
                  {{"side", "upstream"}, {"upstream", upstream}}, shown.upstream(upstream) != nullptr);
    });
    out.begin(gauge, "upstream_idle_connections", "Open connections to an upstream that wait for work.");
    index.for_each_upstream([&](const std::string& upstream, const counted::upstream& series) {
        out.value(series.gauge([](const upstream_cells& cells) -> const cell& { return cells.idle_connections; }),
                  {{"upstream", upstream}}, shown.upstream(upstream) != nullptr);
    });
    out.begin(counter, "upstream_cold_connections_total",
              "Attempts that found no connection ready and had to open one.");
    index.for_each_upstream([&](const std::string& upstream, const counted::upstream& series) {
        out.value(series.sum([](const upstream_cells& cells) -> const cell& { return cells.connected_cold; }),
                  {{"upstream", upstream}}, shown.upstream(upstream) != nullptr);
    });
    const auto warms = [&](const std::string& upstream) {
        const config::upstream* configured = shown.upstream(upstream);
        return configured != nullptr && configured->prewarm.on;
    };
    out.begin(counter, "prewarm_connections_total", "Connections opened ahead of demand, by what became of them.");
    index.for_each_upstream([&](const std::string& upstream, const counted::upstream& series) {
        for (std::size_t what = 0; what < prewarm_event_count; ++what)
            out.value(series.sum([&](const upstream_cells& cells) -> const cell& { return cells.prewarmed[what]; }),
                      {{"upstream", upstream}, {"result", to_string(static_cast<prewarm_event>(what))}},
                      warms(upstream));
    });
    out.begin(counter, "prewarm_probes_total", "Requests of prewarm.probe, by how they ended.");
    index.for_each_upstream([&](const std::string& upstream, const counted::upstream& series) {
        const bool probes = warms(upstream) && !shown.upstream(upstream)->prewarm.probe_path.empty();
        for (std::size_t how = 0; how < probe_result_count; ++how)
            out.value(series.sum([&](const upstream_cells& cells) -> const cell& { return cells.probed[how]; }),
                      {{"upstream", upstream}, {"result", to_string(static_cast<probe_result>(how))}}, probes);
    });
    out.begin(gauge, "prewarm_target_connections", "Idle connections that pre-warming wants, all workers together.");
    index.for_each_upstream([&](const std::string& upstream, const counted::upstream& series) {
        out.value(series.gauge([](const upstream_cells& cells) -> const cell& { return cells.prewarm_target; }),
                  {{"upstream", upstream}}, warms(upstream));
    });
}

void metrics::state::write_refusals(family_list& out) const {
    out.begin(counter, "connections_refused_total", "Client connections closed unheard.");
    connection_refusals.for_each([&](std::string_view reason, std::uint64_t count) {
        out.value(count, {{"reason", reason}});
    });
    out.begin(counter, "requests_refused_total", "Requests answered by a refusal of the proxy's own, by its reason.");
    request_refusals.for_each([&](std::string_view reason, std::uint64_t count) {
        out.value(count, {{"reason", reason}});
    });
}

void metrics::state::write_configuration(family_list& out) const {
    const std::lock_guard lock(mutex);
    out.begin(counter, "internal_errors_total", "Requests and connections given up because of an error of ours.");
    out.value(internal_errors.load(std::memory_order_relaxed));
    out.begin(gauge, "config_last_reload_successful", "Whether the configuration was accepted when it was last read.");
    out.value(reload_successful ? 1.0 : 0.0);
    out.begin(gauge, "config_last_reload_success_timestamp_seconds", "When a configuration was last accepted.");
    out.value(reload_success_seconds);
    out.begin(gauge, "config_info", "The configuration in force.");
    out.value(1.0, {{"hash", in_force ? std::string_view(in_force->hash) : std::string_view{}}});
    out.begin(gauge, "build_info", "The program that runs.");
    out.value(1.0, {{"version", options.version}, {"compiler", compiler}});
    for (const auto& [type, name, help, read] : foreign) {
        out.begin(type, name, help);
        out.value(read());
    }
}

void metrics::state::write_process(family_list& out) {
    const auto sample = sample_process();
    out.begin_process(counter, "process_cpu_seconds_total", "User and system time spent.");
    out.value(sample.cpu_seconds);
    out.begin_process(gauge, "process_resident_memory_bytes", "Resident memory.");
    out.value(sample.resident_bytes);
    out.begin_process(gauge, "process_open_fds", "Open file descriptors.");
    out.value(sample.open_fds);
    out.begin_process(gauge, "process_max_fds", "Most file descriptors that may be open.");
    out.value(sample.max_fds);
    out.begin_process(gauge, "process_start_time_seconds", "When the process started.");
    out.value(sample.start_time_seconds);
}

std::string metrics::text() const {
    policy_reporter reporter;
    last_good_reporter last_good;
    config::snapshot in_force;
    {
        const std::lock_guard lock(state_->mutex);
        reporter = state_->reporter;
        last_good = state_->last_good;
        in_force = state_->in_force;
    }
    const from_start shown(std::move(in_force));
    family_list out(state_->last_size + state_->last_size / 16);
    state_->write_requests(out, shown);
    state_->write_attempts(out, shown);
    const policy_report report = reporter ? reporter() : policy_report{};
    state_->policies.write(out, shown, report, state_->options.wall_now());
    state_->fallbacks.write(out, shown, last_good ? last_good() : last_good_report{});
    state_->faults.write(out, report.chaos_rules);
    state_->coalescing.write(out, shown);
    state_->write_connections(out, shown);
    state_->write_refusals(out);
    state_->write_configuration(out);
    state_->write_process(out);
    std::string text = out.take_text();
    state_->last_size = text.size();
    return text;
}

} // namespace evenkeel::telemetry
