#include "proxy/admin/overview.hpp"

#include "proxy/admin/chaos_document.hpp"
#include "proxy/admin/overview_words.hpp"
#include "proxy/telemetry/json_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <concepts>
#include <iterator>
#include <map>
#include <optional>
#include <tuple>

namespace evenkeel::admin {

namespace {

using namespace telemetry;

// Members one after the other; `open` and `close` are the caller's to match.
class json_writer {
public:
    void open(std::string_view name = {}) { begin(name, '{'); }
    void open_list(std::string_view name = {}) { begin(name, '['); }
    void close() { out_ += '}'; }
    void close_list() { out_ += ']'; }
    void text(std::string_view name, std::string_view value) {
        key(name);
        append_quoted(out_, value);
    }
    void raw(std::string_view name, std::string_view json) {
        key(name);
        out_ += json;
    }
    void flag(std::string_view name, bool value) { raw(name, value ? "true" : "false"); }
    void number(std::string_view name, std::integral auto value) {
        key(name);
        fmt::format_to(std::back_inserter(out_), "{}", value);
    }
    void number(std::string_view name, std::optional<double> value) {
        key(name);
        if (value)
            fmt::format_to(std::back_inserter(out_), "{:.6g}", *value);
        else
            out_ += "null";
    }
    void moment(std::string_view name, double unix_seconds) {
        key(name);
        fmt::format_to(std::back_inserter(out_), "{:.3f}", unix_seconds);
    }
    void nothing(std::string_view name) { raw(name, "null"); }
    void time(std::string_view name, const time_total& of) {
        key(name);
        fmt::format_to(std::back_inserter(out_), "[{},{:.6f}]", of.count, of.seconds);
    }
    [[nodiscard]] std::string take() { return std::move(out_); }

private:
    void begin(std::string_view name, char bracket) {
        key(name);
        out_ += bracket;
    }
    void key(std::string_view name) {
        if (!out_.empty() && out_.back() != '{' && out_.back() != '[') out_ += ',';
        if (name.empty()) return;
        append_quoted(out_, name);
        out_ += ':';
    }
    std::string out_;
};

std::optional<double> left(std::optional<steady_time> until, steady_time now) {
    return until && *until > now ? std::optional(in_seconds(*until - now)) : std::nullopt;
}
std::optional<double> seconds(std::optional<duration> value) {
    return value ? std::optional(in_seconds(*value)) : std::nullopt;
}

void add_sample(json_writer& to, const health_sample& seen, bool of_route) {
    to.open("minute");
    to.number("requests", seen.requests);
    to.number("success_rate", seen.success_rate);
    to.number("avg_s", seen.avg_latency);
    to.number("p95_s", seen.p95_latency);
    if (of_route) to.number("departures", seen.departures);
    to.close();
}

template <class Word, std::size_t Count>
void add_counts(json_writer& to, std::string_view name, const std::array<std::uint64_t, Count>& counts) {
    to.open(name);
    for (std::size_t at = 0; at < Count; ++at) to.number(to_string(static_cast<Word>(at)), counts[at]);
    to.close();
}
void add_cost(json_writer& to, const std::array<std::uint64_t, spent_on_count>& billionths) {
    to.open("cost");
    for (std::size_t at = 0; at < billionths.size(); ++at) {
        char digits[most_cost_digits];
        to.raw(to_string(static_cast<spent_on>(at)),
               {digits, static_cast<std::size_t>(write_cost(digits, billionths[at]) - digits)});
    }
    to.close();
}

void add_circuit(json_writer& to, const std::optional<circuit_breaker::summary>& circuit, steady_time now) {
    if (!circuit) return to.nothing("circuit");
    to.open("circuit");
    to.text("state", to_string(circuit->state));
    to.number("in_state_s",
              circuit->since != steady_time{} ? std::optional(in_seconds(now - circuit->since)) : std::nullopt);
    to.number("next_probe_s", left(circuit->next_probe, now));
    to.flag("forced", circuit->forced.has_value());
    to.number("failures_in_a_row", circuit->consecutive_failures);
    to.number("failures", circuit->failures);
    to.number("calls", circuit->calls);
    to.close();
}
void add_rest(json_writer& to, const std::optional<cooldown::summary>& rest, steady_time now) {
    if (!rest || !left(rest->until, now)) return to.nothing("rest");
    to.open("rest");
    to.number("left_s", left(rest->until, now));
    to.number("count", rest->resting);
    to.text("why", to_string(rest->why));
    to.flag("guessed", rest->guessed);
    to.close();
}
void add_credentials(json_writer& to, const std::vector<credential_report>& all, steady_time now) {
    to.open_list("credentials");
    for (const credential_report& one : all) {
        to.open();
        to.text("name", one.name);
        to.text("state", to_string(one.seen.state));
        to.number("in_flight", one.seen.in_flight);
        to.number("asked_again_s", left(one.seen.until, now));
        const bool well = one.seen.state == credential_state::well;
        to.text("why", well ? "" : one.seen.by_operator ? "operator" : to_string(one.seen.why));
        to.close();
    }
    to.close_list();
}
void add_doubt(json_writer& to, const std::optional<endpoint_doubt::summary>& doubt, steady_time now) {
    if (!doubt) return to.nothing("doubt");
    to.open("doubt");
    to.number("for_s", std::optional(in_seconds(now - doubt->since)));
    to.text("why", doubt->slow ? "slow" : "silent");
    to.number("next_probe_s", left(doubt->next_probe, now));
    to.close();
}
void add_models(json_writer& to, const std::vector<telemetry::model_report>& all, steady_time now) {
    to.open_list("models");
    for (const auto& one : all) {
        to.open();
        to.text("model", one.name.empty() ? "others" : one.name);
        add_circuit(to, one.circuit, now);
        add_doubt(to, one.doubt, now);
        to.close();
    }
    to.close_list();
}
void add_overload(json_writer& to, const std::optional<overload_control::summary>& load) {
    if (!load) return to.nothing("overload");
    to.open("overload");
    to.text("state", load->active ? "overloaded" : load->recovering ? "recovering" : "normal");
    to.number("limit", load->limit);
    to.number("in_service", load->in_service);
    to.close();
}
void add_policies(json_writer& to, const endpoint_report& of, steady_time now) {
    add_circuit(to, of.circuit, now);
    add_rest(to, of.cooldown, now);
    add_credentials(to, of.credentials, now);
    add_doubt(to, of.doubt, now);
    add_models(to, of.models, now);
    add_overload(to, of.overload);
    to.open("budget");
    to.number("level", std::optional(of.budget_level));
    to.number("burst", std::optional(of.budget_burst));
    to.close();
    to.open("learned");
    to.number("p50_s", seconds(of.latency.p50));
    to.number("p95_s", seconds(of.latency.p95));
    to.number("timeout_stream_s", std::optional(in_seconds(of.latency.current_timeout_stream)));
    to.number("timeout_buffered_s", std::optional(in_seconds(of.latency.current_timeout_buffered)));
    to.number("samples", of.latency.samples);
    to.close();
}

void add_pair_total(json_writer& to, std::string_view name, const pair_total& of) {
    to.open(name);
    add_counts<attempt_kind>(to, "attempts", of.attempts);
    to.number("failed", of.failed);
    to.number("cancelled", of.cancelled);
    to.time("first_token", of.first_token);
    add_counts<spent_on>(to, "tokens", of.tokens);
    to.number("estimated", of.estimated);
    add_cost(to, of.cost);
    to.close();
}

void add_into(pair_total& sum, const pair_total& of) {
    for (std::size_t at = 0; at < sum.attempts.size(); ++at) sum.attempts[at] += of.attempts[at];
    sum.failed += of.failed;
    sum.cancelled += of.cancelled;
    sum.first_token.count += of.first_token.count;
    sum.first_token.seconds += of.first_token.seconds;
    for (std::size_t at = 0; at < sum.tokens.size(); ++at) sum.tokens[at] += of.tokens[at];
    sum.estimated += of.estimated;
    for (std::size_t at = 0; at < sum.cost.size(); ++at) sum.cost[at] += of.cost[at];
}

// By name.
class known_totals {
public:
    explicit known_totals(const metric_totals& all) {
        for (const auto& one : all.routes) routes_.emplace(one.route, &one);
        for (const auto& one : all.pairs) pairs_.emplace(names{one.route, one.upstream, one.endpoint}, &one);
    }
    [[nodiscard]] const route_total& of(const route_health& route) const {
        return in(routes_, std::string_view(route.name));
    }
    [[nodiscard]] const pair_total& of(const route_health& route, const upstream_health& endpoint) const {
        return in(pairs_, names{route.name, endpoint.name, endpoint.endpoint});
    }

private:
    using names = std::tuple<std::string_view, std::string_view, std::string_view>;
    template <class Key, class Total>
    [[nodiscard]] static const Total& in(const std::map<Key, const Total*>& map, const Key& key) {
        static const Total none{};
        const auto found = map.find(key);
        return found == map.end() ? none : *found->second;
    }
    std::map<std::string_view, const route_total*> routes_;
    std::map<names, const pair_total*> pairs_;
};

void add_endpoint(json_writer& to, const upstream_health& of, const pair_total& total, steady_time now) {
    to.open();
    to.text("upstream", of.name);
    to.text("endpoint", of.endpoint);
    to.text("url", of.url);
    to.text("state", to_string(state_of(of, now)));
    to.text("note", note_of(of, now));
    add_sample(to, of.seen, false);
    static const endpoint_report nothing_told{};
    add_policies(to, of.policies ? *of.policies : nothing_told, now);
    if (of.last_failure) {
        to.open("last_failure");
        to.text("result", to_string(of.last_failure->result));
        to.number("status", of.last_failure->status);
        to.number("ago_s", std::optional(std::max(in_seconds(now - of.last_failure->at), 0.0)));
        to.close();
    } else {
        to.nothing("last_failure");
    }
    add_pair_total(to, "total", total);
    to.close();
}

void add_route(json_writer& to, const route_health& of, const known_totals& totals, steady_time now) {
    const route_total& total = totals.of(of);
    to.open();
    to.text("name", of.name);
    to.text("state", to_string(state_of(of, now)));
    add_sample(to, of.seen, true);
    to.number("in_flight", std::max<std::int64_t>(total.in_flight, 0));
    to.number("holding", of.holding);
    to.number("timeout_s", std::optional(of.current_timeout));
    if (of.bulkhead) {
        to.open("bulkhead");
        to.number("in_use", of.bulkhead->in_use);
        to.number("limit", of.bulkhead->limit);
        to.number("queued", of.bulkhead->queued);
        to.number("queue_limit", of.bulkhead->queue_limit);
        to.close();
    } else {
        to.nothing("bulkhead");
    }
    time_total first_token;
    for (const auto& endpoint : of.upstreams) {
        first_token.count += totals.of(of, endpoint).first_token.count;
        first_token.seconds += totals.of(of, endpoint).first_token.seconds;
    }
    to.open("total");
    add_counts<request_ending>(to, "ended", total.ended);
    to.time("duration", total.duration);
    to.time("first_token", first_token);
    to.number("lost_s", std::optional(total.lost));
    to.number("paused_s", std::optional(total.paused));
    to.close();
    to.open_list("endpoints");
    for (const auto& endpoint : of.upstreams) add_endpoint(to, endpoint, totals.of(of, endpoint), now);
    to.close_list();
    to.close();
}

void add_bill(json_writer& to, const metric_totals& totals) {
    pair_total sum;
    for (const auto& one : totals.pairs) add_into(sum, one);
    std::uint64_t all = 0;
    for (const std::uint64_t tokens : sum.tokens) all += tokens;
    to.open("bill");
    add_counts<attempt_kind>(to, "attempts", sum.attempts);
    add_counts<spent_on>(to, "tokens", sum.tokens);
    to.number("estimated", sum.estimated);
    add_cost(to, sum.cost);
    const std::uint64_t served = sum.tokens[static_cast<std::size_t>(spent_on::served)];
    to.number("overhead_share",
              all > 0 ? std::optional(static_cast<double>(all - served) / static_cast<double>(all)) : std::nullopt);
    to.close();
}

void add_configuration(json_writer& to, const configuration_state& of) {
    to.open("configuration");
    to.text("file", of.file);
    to.text("hash", of.hash);
    to.moment("loaded_at", in_seconds(of.loaded.time_since_epoch()));
    to.flag("last_reload_ok", of.last_reload_taken);
    if (of.tried != wall_time{}) to.moment("tried_at", in_seconds(of.tried.time_since_epoch()));
    if (!of.problem.empty()) to.text("problem", of.problem);
    to.open_list("restart_required");
    for (const std::string& key : of.restart_required) to.text({}, key);
    to.close_list();
    to.close();
}

} // namespace

std::string overview_json(const overview_facts& of) {
    const steady_time now = of.health.at;
    const overall told = overall_of({.health = of.health,
                                     .not_ready = of.not_ready,
                                     .chaos_rules = of.health.chaos_rules,
                                     .configuration = of.configuration});
    json_writer to;
    to.open();
    to.text("version", of.totals.version);
    to.moment("at", in_seconds(of.at.time_since_epoch()));
    to.moment("started_at", of.totals.sample.start_time_seconds);
    to.text("level", to_string(told.level));
    to.text("sentence", told.sentence);
    to.flag("healthy", of.health.healthy);
    if (!of.not_ready.empty()) to.text("not_ready", of.not_ready);
    to.number("open_circuits", of.health.open_circuits);
    const known_totals totals(of.totals);
    to.open_list("routes");
    for (const auto* list : {&of.health.routes, &of.health.fan_outs})
        for (const auto& route : *list) add_route(to, route, totals, now);
    to.close_list();
    to.open("unrouted");
    add_counts<request_ending>(to, "ended", of.totals.unrouted.ended);
    to.close();
    add_bill(to, of.totals);
    if (of.chaos_rules != nullptr) {
        std::string document = chaos_document(*of.chaos_rules);
        document.resize(document.find_last_not_of('\n') + 1);
        to.raw("chaos", document);
    }
    if (of.configuration != nullptr) add_configuration(to, *of.configuration);
    to.open("process");
    if (of.totals.process) {
        to.number("memory_held", of.totals.process->memory_held);
        to.number("memory_limit", of.totals.process->memory_limit);
        to.number("journal_requests", of.totals.process->journal_requests);
        to.number("journal_bytes", of.totals.process->journal_bytes);
        to.number("access_log_dropped", of.totals.process->access_log_dropped);
    }
    to.number("resident_bytes", of.totals.sample.resident_bytes);
    to.number("cpu_s", std::optional(of.totals.sample.cpu_seconds));
    to.close();
    to.close();
    return to.take();
}

} // namespace evenkeel::admin
