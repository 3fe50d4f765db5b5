#include "proxy/telemetry/metrics.hpp"

#include "proxy/telemetry/family_list.hpp"
#include "proxy/telemetry/from_start.hpp"
#include "proxy/telemetry/metric_cells.hpp"
#include "proxy/telemetry/metric_rows.hpp"
#include "proxy/telemetry/metric_totals.hpp"
#include "proxy/telemetry/series_index.hpp"

#include <boost/container/small_vector.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <map>
#include <mutex>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace evenkeel::telemetry {

namespace {

constexpr std::size_t code_class_of(int status) noexcept {
    return status >= 200 && status < 600 ? static_cast<std::size_t>(status / 100 - 2) : code_classes.size() - 1;
}
std::size_t connection_refusal_of(std::string_view reason) noexcept {
    const auto found = std::find(connection_refusals.begin(), connection_refusals.end(), reason);
    return std::min(static_cast<std::size_t>(found - connection_refusals.begin()), connection_refusals.size() - 1);
}
std::size_t refusal_of(std::string_view reason) noexcept {
    static const std::map<std::string_view, std::size_t> places = [] {
        std::map<std::string_view, std::size_t> made;
        for (std::size_t i = 0; i < refusal_count; ++i) made.emplace(refusal_word(i), i);
        return made;
    }();
    const auto found = places.find(reason);
    return found == places.end() ? refusal_count - 1 : found->second;
}
std::size_t cooldown_reason_of(outcome_kind why) noexcept {
    switch (why) {
    case outcome_kind::rate_limited: return 0;
    case outcome_kind::overloaded: return 1;
    case outcome_kind::quota: return 2;
    case outcome_kind::credential: return 3;
    default: return 4;
    }
}
// transition_count: the states are those of no transition that there is.
std::size_t place_of(const circuit_transition& change) noexcept {
    for (const std::string_view why : {change.why, std::string_view("other")})
        for (std::size_t i = 0; i < transition_count; ++i)
            if (transitions[i].from == change.from && transitions[i].to == change.to && transitions[i].why == why)
                return i;
    return transition_count;
}

template <class Word>
constexpr std::size_t place(Word word) noexcept {
    return static_cast<std::size_t>(word);
}
void add_signed(cell& to, int by) noexcept { // fewer wraps, as the cell does
    telemetry::add(to, static_cast<std::uint64_t>(static_cast<std::int64_t>(by)));
}

void count_spending(const spending& spent, pair_cells& into) noexcept {
    const std::size_t became = place(spent.became);
    bool estimated = false;
    for (int i = 0; i < token_kind_count; ++i) {
        const auto kind = static_cast<token_kind>(i);
        const std::uint32_t tokens = spent.tokens.at(kind);
        if (tokens == 0) continue;
        const bool guessed = spent.tokens.is_estimated(kind);
        telemetry::add(into.tokens[became][2 * place(kind) + (guessed ? 1 : 0)], tokens);
        estimated = estimated || guessed;
    }
    if (spent.cost > 0) telemetry::add(into.cost[became][estimated ? 1 : 0], spent.cost);
}

void count_of(const request_account& what, client_cells& into) noexcept {
    telemetry::add(into.finished[code_class_of(what.status)]);
    const std::array<const bill*, bill_sides.size()> sides{&what.effort.served, &what.effort.lost};
    for (std::size_t side = 0; side < sides.size(); ++side) {
        for (std::size_t kind = 0; kind < token_kind_count; ++kind)
            if (const std::uint64_t tokens = sides[side]->tokens[kind]; tokens > 0)
                telemetry::add(into.tokens[side][kind], tokens);
        if (sides[side]->cost > 0) telemetry::add(into.cost[side], sides[side]->cost);
    }
}

// Of one scrape, whom the series of each kind are about, in their order.
using subjects = std::array<std::vector<subject>, about_count>;

} // namespace

struct metrics::state {
    explicit state(metrics_options given)
        : options(std::move(given)), index(options.workers), no_route(options.workers), clients(options.workers),
          process(options.workers) {}

    [[nodiscard]] counted::upstream* side_of(const config::upstream* upstream) {
        return upstream == nullptr ? &clients : index.find(upstream);
    }
    [[nodiscard]] subjects subjects_of(const scrape& at) const;

    metrics_options options;
    series_index<counted> index;
    counted::route no_route;   // of requests without one
    counted::upstream clients; // the connections on the other side
    sharded<process_cells> process;
    mutable std::atomic<std::size_t> last_size{0}; // of a text

    mutable std::mutex mutex; // all below
    policy_reporter reporter;
    last_good_reporter last_good;
    process_reporter of_process;
    config::snapshot in_force;
    bool reload_successful = false;
    double reload_success_seconds = 0;
};

// What an event or a change counts as. One of a route or an upstream that no configuration had is nobody's.
struct metrics::counting {
    state& all;
    const event_origin& of;

    template <class Cells>
    [[nodiscard, gnu::noinline]] Cells* cells() const {
        if constexpr (std::is_same_v<Cells, rare_route_cells>) {
            auto* found = all.index.find(of.route);
            return found == nullptr ? nullptr : &found->rare.mine();
        } else {
            auto* found = all.index.find(of.route, of.upstream).pair;
            return found == nullptr ? nullptr : &found->rare.mine();
        }
    }
    template <class Cells>
    void count(cell Cells::*single) const {
        if (Cells* found = cells<Cells>()) add(found->*single);
    }
    template <class Cells, std::size_t Count>
    void count(counts<Count> Cells::*list, std::size_t at) const {
        if (Cells* found = cells<Cells>()) add((found->*list)[at]);
    }

    void operator()(const happened::launched&) const {
        if (auto* found = all.index.find(of.route, of.upstream).upstream) add(found->usual.mine().attempts_in_flight);
    }
    void operator()(const happened::passed_over& passed) const {
        if (passed.why == retry_denial::budget) count(&rare_pair_cells::budget_refusals, 0);
    }
    void operator()(const happened::not_hedged& alone) const {
        count(&rare_route_cells::hedges_refused, place(alone.why));
        if (alone.why == hedge_refusal::budget) count(&rare_pair_cells::budget_refusals, 1);
    }
    void operator()(const happened::not_rescued& alone) const {
        count(&rare_route_cells::rescues_refused, place(alone.why));
    }
    void operator()(const happened::holding&) const { count(&rare_route_cells::holding); }
    void operator()(const happened::held& wait) const {
        auto* found = cells<rare_route_cells>();
        if (found == nullptr) return;
        subtract(found->holding);
        add(found->held[wait.went_on ? 1 : 0]);
        found->hold.observe(wait.waited);
    }
    void operator()(const happened::pacing&) const { count(&rare_route_cells::pacing); }
    void operator()(const happened::paced& wait) const {
        auto* found = cells<rare_route_cells>();
        if (found == nullptr) return;
        subtract(found->pacing);
        add(found->paced[place(wait.how)]);
        found->pace_wait.observe(wait.waited);
    }
    void operator()(const happened::queued& turn) const {
        auto* found = cells<rare_route_cells>();
        if (found == nullptr) return;
        if (turn.refused != bulkhead_refusal::none) add(found->bulkhead_refused[place(turn.refused)]);
        if (turn.tenant_limited) add(found->tenant_limited);
        if (turn.in_line) found->bulkhead_wait.observe(turn.waited);
    }
    void operator()(const happened::joined& flight) const { count(&rare_route_cells::coalesced, place(flight.role)); }
    void operator()(const happened::shared_flight_ended&) const { count(&rare_route_cells::shared_flights_ended); }
    void operator()(const happened::detached& lost) const { count(&rare_route_cells::detached, place(lost.why)); }
    void operator()(const happened::faulted& fault) const { count(&rare_route_cells::faults, place(fault.with)); }
    void operator()(const happened::upcast& asked) const { count(&rare_route_cells::upcasts, place(asked.how)); }
    void operator()(const happened::unread&) const { count(&rare_pair_cells::unread); }
    void operator()(const happened::resumed& stream) const { count(&rare_route_cells::resumptions, place(stream.how)); }
    void operator()(const happened::step_skipped& skipped) const {
        if (auto* found = cells<rare_route_cells>()) add(found->steps_skipped[place(skipped.step)][place(skipped.why)]);
    }
    void operator()(const happened::ladder_exhausted&) const { count(&rare_route_cells::ladders_exhausted); }
    // Told by attempt_finished and request_finished as well, or the journal's alone.
    void operator()(const happened::not_followed&) const {}
    void operator()(const happened::overdue&) const {}
    void operator()(const happened::committed&) const {}
    void operator()(const happened::gave_up&) const {}
    void operator()(const happened::ended&) const {}
    void operator()(const happened::step_taken&) const {}

    void operator()(const circuit_transition& change) const {
        if (const std::size_t at = place_of(change); at < transition_count) count(&rare_pair_cells::transitions, at);
    }
    void operator()(const rest_began& rest) const {
        count(&rare_pair_cells::cooldowns, cooldown_reason_of(rest.why));
        if (of.credential == nullptr) return;
        const auto at = static_cast<std::size_t>(of.credential - of.upstream->credentials.data());
        if (auto* found = all.index.find(of.upstream, at))
            add(found->rare.mine().refused[cooldown_reason_of(rest.why)]);
    }
    void operator()(const rest_ended&) const {} // how long rests took is a gauge
    void operator()(const overload_changed& change) const { count(&rare_pair_cells::overload, change.active ? 1 : 0); }
    void operator()(const model_circuit_changed& own) const {
        count(&rare_pair_cells::model_transitions, place(own.change.to));
    }
    void operator()(const doubt_changed& change) const {
        count(change.model.empty() ? &rare_pair_cells::doubts : &rare_pair_cells::model_doubts, change.doubted ? 1 : 0);
    }
    void operator()(const connection_probed& probe) const { count(&rare_pair_cells::connections, probe.made ? 0 : 1); }
    void operator()(const upcast_excluded&) const {} // the attempts that showed it are counted
    void operator()(const probe_result& how) const {
        if (auto* found = all.index.find(of.upstream)) add(found->rare.mine().probed[place(how)]);
    }
};

metrics::metrics(metrics_options options) : state_(std::make_unique<state>(std::move(options))) {}
metrics::~metrics() = default;

void metrics::request_started(const config::route* route) noexcept {
    auto* found = state_->index.find(route);
    add((found == nullptr ? state_->no_route : *found).usual.mine().in_flight);
}

void metrics::request_finished(const request_account& account) noexcept {
    const auto found = state_->index.find(account.route, account.upstream);
    counted::route& route = found.route == nullptr ? state_->no_route : *found.route;
    route_cells& cells = route.usual.mine();
    subtract(cells.in_flight);
    add(cells.finished[place(account.ending())][code_class_of(account.status)]);
    cells.duration.observe(account.total);
    if (account.effort.attempts > 0 && account.upstream != nullptr && account.coalesced != coalesce_role::follower)
        cells.overhead.observe(account.overhead);
    if (account.ended != stream_end::none) add(cells.stream_ends[place(account.ended)]);
    if (account.bytes_in > 0) add(cells.body_bytes[0], account.bytes_in);
    if (account.bytes_out > 0) add(cells.body_bytes[1], account.bytes_out);
    if (account.denied != denied_reason::none) add(route.rare.mine().denied[place(account.denied)]);
    if (account.degraded.is && found.route != nullptr) add(route.rare.mine().fallbacks[place(account.degraded.by)]);
    if (account.lost + account.paused > duration::zero()) {
        rare_route_cells& rare = route.rare.mine();
        if (account.lost > duration::zero()) rare.lost.observe(account.lost);
        if (account.paused > duration::zero()) rare.paused.observe(account.paused);
    }
    if (account.outcome == request_outcome::client_cancelled && account.part_of == nullptr) {
        rare_route_cells& rare = route.rare.mine();
        add(rare.departures[place(account.departed())]);
        if (account.effort.attempts > 0) rare.departure_silence.observe(account.silent);
    }
    if (account.outcome == request_outcome::rejected)
        add(state_->process.mine().requests_refused[refusal_of(account.reason)]);
    if (account.by != nullptr && account.part_of == nullptr) [[unlikely]]
        if (auto* client = state_->index.find(account.by)) count_of(account, client->mine());
    if (found.pair != nullptr && (account.first_byte > duration::zero() || account.first_token > duration::zero())) {
        pair_cells& pair = found.pair->usual.mine();
        if (account.first_byte > duration::zero()) pair.first_byte.observe(account.first_byte);
        if (account.first_token > duration::zero()) pair.first_token.observe(account.first_token);
    }
}

void metrics::request_event(const event_origin& of, const any_happening& what) noexcept {
    std::visit(counting{*state_, of}, what);
}

void metrics::attempt_finished(const attempt_record& record) noexcept {
    const auto found = state_->index.find(record.route, record.upstream);
    if (found.pair == nullptr) return;
    pair_cells& pair = found.pair->usual.mine();
    add(pair.attempts[place(record.kind)][place(record.result)]);
    if (record.events > 0 && !record.committed) add(pair.wasted_events, record.events);
    if (record.spent.tokens.any()) count_spending(record.spent, pair);
    upstream_cells& upstream = found.upstream->usual.mine();
    subtract(upstream.attempts_in_flight);
    upstream.attempt_duration.observe(record.total);
    if (record.kind == attempt_kind::hedge)
        add(found.pair->rare.mine().hedges[record.committed                             ? hedge_won
                                           : record.result == attempt_result::cancelled ? hedge_lost
                                                                                        : hedge_failed]);
    if (record.credential != no_lane) [[unlikely]]
        if (auto* key = state_->index.find(record.upstream, record.credential))
            add(key->usual.mine().attempts[place(record.result)]);
    if (record.probe) add(found.pair->rare.mine().probes[place(verdict_of(record.result))]);
}

void metrics::endpoint_changed(const event_origin& of, const any_endpoint_change& what) noexcept {
    std::visit(counting{*state_, of}, what);
}

void metrics::connection_changed(const connection_event& what) noexcept {
    auto* side = state_->side_of(what.upstream);
    if (side == nullptr) return;
    using enum connection_event::kind;
    switch (what.is) {
    case opened: {
        upstream_cells& cells = side->usual.mine();
        add(cells.connections);
        add(cells.connections_opened);
        break;
    }
    case closed: subtract(side->usual.mine().connections); break;
    case idle: add_signed(side->usual.mine().idle_connections, what.by); break;
    case cold: add(side->usual.mine().connected_cold); break;
    case prewarmed: add(side->rare.mine().prewarmed[place(what.warm)]); break;
    case prewarm_target: add_signed(side->rare.mine().prewarm_target, what.by); break;
    }
}

void metrics::connection_refused(std::string_view reason) noexcept {
    add(state_->process.mine().connections_refused[connection_refusal_of(reason)]);
}

void metrics::internal_error(std::string_view) noexcept { add(state_->process.mine().internal_errors); }

void metrics::configuration_loaded(const config::snapshot& snapshot) noexcept {
    state_->index.load(snapshot);
    const auto now = state_->options.wall_now().time_since_epoch();
    const std::lock_guard lock(state_->mutex);
    state_->reload_successful = true;
    state_->reload_success_seconds = in_seconds(now);
    state_->in_force = snapshot;
}

void metrics::endpoints_changed(const config::snapshot& snapshot) noexcept {
    state_->index.load(snapshot);
    const std::lock_guard lock(state_->mutex);
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

void metrics::report_process_from(process_reporter reporter) {
    const std::lock_guard lock(state_->mutex);
    state_->of_process = std::move(reporter);
}

subjects metrics::state::subjects_of(const scrape& at) const {
    using names = std::tuple<std::string_view, std::string_view, std::string_view>;
    const from_start shown(at.in_force);
    std::map<std::string_view, const route_report*> routes;
    std::map<names, const endpoint_report*> endpoints;
    std::map<std::pair<std::string_view, std::string_view>, const credential_report*> credentials;
    std::map<std::string_view, const client_report*> known;
    for (const client_report& one : at.policies.clients) known.emplace(one.name, &one);
    for (const route_report& route : at.policies.routes) {
        routes.emplace(route.route, &route);
        for (const endpoint_report& one : route.endpoints)
            endpoints.emplace(names{route.route, one.upstream, one.endpoint}, &one);
        for (const endpoint_report& one : route.endpoints)
            for (const credential_report& each : one.credentials)
                credentials.emplace(std::pair(std::string_view(one.upstream), std::string_view(each.name)), &each);
    }
    const auto in = [](const auto& map, const auto& key) {
        const auto found = map.find(key);
        return found == map.end() ? nullptr : found->second;
    };
    // Of what is counted (names and series that the index never lets go), so that no name comes from a report. What a
    // report does not name has vanished, and what a policy that is off would say is empty in it: neither has a state to
    // show.
    subjects all;
    const auto put = [&](about whom, const subject& one) { all[static_cast<std::size_t>(whom)].push_back(one); };
    put(about::process, {.at = &at, .process = &process});
    index.for_each_route([&](const std::string& name, const counted::route& series) {
        const config::route* configured = shown.route(name);
        put(about::route, {.at = &at,
                           .route_name = name,
                           .in_force = configured != nullptr,
                           .route = &series,
                           .configured_route = configured,
                           .reported_route = in(routes, std::string_view(name))});
    });
    put(about::route, {.at = &at, .route_name = "none", .route = &no_route});
    index.for_each_pair([&](const std::string& route, const std::string& upstream, const std::string& endpoint,
                            const counted::pair& series) {
        const config::route* configured = shown.pair(route, upstream, endpoint);
        put(about::pair, {.at = &at,
                          .route_name = route,
                          .upstream_name = upstream,
                          .endpoint_name = endpoint,
                          .in_force = configured != nullptr,
                          .pair = &series,
                          .configured_route = configured,
                          .reported_endpoint = in(endpoints, names{route, upstream, endpoint})});
    });
    index.for_each_credential(
        [&](const std::string& upstream, const std::string& name, const counted::credential& series) {
            const auto reported = in(credentials, std::pair(std::string_view(upstream), std::string_view(name)));
            put(about::credential, {.at = &at,
                                    .upstream_name = upstream,
                                    .credential_name = name,
                                    .in_force = reported != nullptr,
                                    .credential = &series,
                                    .reported_credential = reported});
        });
    index.for_each_client([&](const std::string& name, const sharded<client_cells>& series) {
        const auto reported = in(known, std::string_view(name));
        put(about::client, {.at = &at,
                            .client_name = name,
                            .in_force = reported != nullptr,
                            .client = &series,
                            .reported_client = reported});
    });
    put(about::connections, {.at = &at, .upstream = &clients});
    index.for_each_upstream([&](const std::string& name, const std::string& endpoint, const counted::upstream& series) {
        const config::upstream* configured = shown.upstream(name, endpoint);
        const subject one{.at = &at,
                          .upstream_name = name,
                          .endpoint_name = endpoint,
                          .in_force = configured != nullptr,
                          .upstream = &series,
                          .configured_upstream = configured};
        put(about::upstream, one);
        put(about::connections, one);
    });
    return all;
}

namespace {

// A series that does not exist from the start is there from its first event on: once it is not zero.
void write_row(family_list& out, const metric_row& row, const std::vector<subject>& of) {
    out.begin(row.type, std::string(row.name.starts_with("process_") ? "" : "evenkeel_").append(row.name), row.help);
    const auto labelled = [&](const subject& one, const series_place& at, auto&& write) {
        boost::container::small_vector<std::pair<std::string_view, std::string_view>, 6> labels;
        for_each_word(row, one, at, [&](const label& name, std::string_view word) {
            if (word.data() != nullptr) labels.emplace_back(name.name, word);
        });
        write(labels);
    };
    for (const subject& one : of) {
        for_each_place(row, [&](const series_place& at) {
            if (const auto* read = std::get_if<histogram_reader>(&row.read)) {
                const histogram_view view = (*read)(one, at);
                if (std::all_of(view.counts.begin(), view.counts.end(), [](std::uint64_t n) { return n == 0; })) return;
                labelled(one, at, [&](const auto& labels) { out.histogram(view, labels); });
            } else {
                const auto value = std::get<value_reader>(row.read)(one, at);
                if (!value || (*value == 0 && !row.exists.from_the_start(one, at))) return;
                labelled(one, at, [&](const auto& labels) { out.value(*value, labels); });
            }
        });
    }
}

} // namespace

std::string metrics::text() const {
    scrape at{.now = state_->options.wall_now(), .sample = sample_process(), .version = state_->options.version};
    policy_reporter reporter;
    last_good_reporter last_good;
    process_reporter of_process;
    {
        const std::lock_guard lock(state_->mutex);
        reporter = state_->reporter;
        last_good = state_->last_good;
        of_process = state_->of_process;
        at.in_force = state_->in_force;
        at.reload_successful = state_->reload_successful;
        at.reload_success_seconds = state_->reload_success_seconds;
    }
    if (reporter) at.policies = reporter();
    if (last_good) at.last_good = last_good();
    if (of_process) at.process = of_process();
    const subjects of = state_->subjects_of(at);
    family_list out(state_->last_size + state_->last_size / 16);
    for (const metric_row& row : metric_rows()) write_row(out, row, of[static_cast<std::size_t>(row.of)]);
    std::string text = out.take_text();
    state_->last_size = text.size();
    return text;
}

metric_totals metrics::totals() const {
    metric_totals all{.version = state_->options.version,
                      .routes = {},
                      .pairs = {},
                      .unrouted = total_of(state_->no_route),
                      .process = {},
                      .sample = sample_process()};
    process_reporter of_process;
    {
        const std::lock_guard lock(state_->mutex);
        of_process = state_->of_process;
    }
    if (of_process) all.process = of_process();
    state_->index.for_each_route([&](const std::string& name, const counted::route& series) {
        all.routes.push_back(total_of(series));
        all.routes.back().route = name;
    });
    state_->index.for_each_pair([&](const std::string& route, const std::string& upstream, const std::string& endpoint,
                                    const counted::pair& series) {
        pair_total& one = all.pairs.emplace_back(total_of(series));
        one.route = route;
        one.upstream = upstream;
        one.endpoint = endpoint;
    });
    return all;
}

} // namespace evenkeel::telemetry
