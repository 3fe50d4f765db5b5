#include "config/build.hpp"

#include "config/chaos_rules.hpp"
#include "config/credential_checks.hpp"
#include "config/expand.hpp"
#include "config/fan_out_rules.hpp"
#include "config/grammar.hpp"
#include "config/network.hpp"

#include <algorithm>
#include <thread>

namespace evenkeel::config {
namespace {

// Reads typed leaves of one block. A key that is absent keeps what the struct says; a test holds the structs and the
// table together.
class block_reader {
public:
    explicit block_reader(const entry* block) : block_(block) {}

    [[nodiscard]] const entry* key(std::string_view name) const {
        return block_ != nullptr ? block_->find(name) : nullptr;
    }
    [[nodiscard]] bool is_there() const { return block_ != nullptr; }
    [[nodiscard]] bool is_off() const { return block_ != nullptr && block_->is_off(); }
    [[nodiscard]] block_reader block(std::string_view name) const { return block_reader(key(name)); }

    template <class From, class To>
    void into(std::string_view name, To& out) const {
        const entry* e = key(name);
        const From* value = e != nullptr ? e->get<From>() : nullptr;
        if (value == nullptr) return;
        if constexpr (std::is_same_v<From, bytes>)
            out = static_cast<To>(value->count);
        else
            out = static_cast<To>(*value);
    }
    // Empty if absent, or a word like `auto`.
    template <class From>
    [[nodiscard]] std::optional<From> value(std::string_view name) const {
        const entry* e = key(name);
        const From* found = e != nullptr ? e->get<From>() : nullptr;
        return found != nullptr ? std::optional<From>(*found) : std::nullopt;
    }
    // The text of a string or a word; empty if absent.
    [[nodiscard]] std::string text(std::string_view name) const {
        const entry* e = key(name);
        return e != nullptr ? format_leaf(e->value) : std::string{};
    }
    // The text of a string; empty for words like `auto`.
    [[nodiscard]] std::string own_text(std::string_view name) const {
        const entry* e = key(name);
        return e != nullptr ? e->text() : std::string{};
    }
    [[nodiscard]] const std::vector<entry>& elements(std::string_view name) const {
        static const std::vector<entry> none;
        const entry* e = key(name);
        return e != nullptr ? e->children : none;
    }

private:
    const entry* block_;
};

std::string file_path(const block_reader& from, std::string_view name, const std::string& directory) {
    const std::string written = from.own_text(name);
    return written.empty() ? written : resolve_path(directory, written);
}

listener build_listener(const std::string& address) {
    auto parsed = read_address(address);
    auto* good = std::get_if<listener>(&parsed);
    return good != nullptr ? std::move(*good) : listener{};
}

std::optional<url> build_url(const std::string& text, bool base_path) {
    auto parsed = read_url(text, base_path);
    auto* good = std::get_if<url>(&parsed);
    return good != nullptr ? std::optional<url>(std::move(*good)) : std::nullopt;
}

header_edits build_edits(const block_reader& headers) {
    header_edits out;
    for (const entry& each : headers.elements("set")) out.set.emplace_back(each.key, each.text());
    for (const entry& each : headers.elements("remove")) out.remove.push_back(each.text());
    return out;
}

dialect build_dialect(const std::string& word) {
    if (word == "openai") return dialect::openai;
    if (word == "anthropic") return dialect::anthropic;
    if (word == "gemini") return dialect::gemini;
    if (word == "ollama") return dialect::ollama;
    if (word == "generic") return dialect::generic;
    return dialect::automatic;
}

bool has_secret(const header_edits& edits, const credential_rules& rules) {
    return std::any_of(edits.set.begin(), edits.set.end(),
                       [&](const auto& one) { return sets_credential(rules, one.first, one.second); });
}

upstream build_upstream(const entry& e, const std::string& directory, const credential_rules& rules) {
    const block_reader from(&e);
    upstream out;
    out.name = e.key;
    if (auto address = build_url(from.text("url"), true)) out.address = std::move(*address);
    out.dialect = build_dialect(from.text("dialect"));
    out.headers = build_edits(from.block("headers"));
    out.own_credential = has_secret(out.headers, rules);
    const std::string callers = from.text("caller_credentials");
    out.caller_credentials = callers == "pass"   ? caller_credentials::pass
                             : callers == "drop" ? caller_credentials::drop
                                                 : caller_credentials::automatic;
    for (const entry& each : from.elements("models")) out.models.emplace(each.key, each.text());
    const block_reader tls = from.block("tls");
    out.tls.ca_file = file_path(tls, "ca_file", directory);
    out.tls.server_name = tls.own_text("server_name");
    out.tls.cert_file = file_path(tls, "cert_file", directory);
    out.tls.key_file = file_path(tls, "key_file", directory);
    tls.into<bool>("verify", out.tls.verify);
    if (from.key("proxy") != nullptr) out.proxy = build_url(from.text("proxy"), false);
    const block_reader pool = from.block("connections");
    pool.into<std::int64_t>("max", out.connections.max);
    pool.into<duration>("idle_timeout", out.connections.idle_timeout);
    pool.into<duration>("max_age", out.connections.max_age);
    pool.into<bool>("retry_stale", out.connections.retry_stale);
    from.into<bool>("forwarded", out.forwarded);
    const block_reader prewarm = from.block("prewarm");
    out.prewarm.on = prewarm.is_there() && !prewarm.is_off();
    prewarm.into<std::int64_t>("min_idle", out.prewarm.min_idle);
    prewarm.into<bool>("predict", out.prewarm.predict);
    const block_reader probe = prewarm.block("probe");
    if (probe.is_there() && !probe.is_off()) out.prewarm.probe_path = probe.text("path");
    probe.into<duration>("interval", out.prewarm.probe_interval);
    return out;
}

by_shape build_shapes(const block_reader& from, by_shape out) {
    from.into<duration>("stream", out.stream);
    from.into<duration>("buffered", out.buffered);
    return out;
}

adaptive_options build_adaptive(const block_reader& from) {
    adaptive_options out;
    from.into<double>("quantile", out.quantile);
    from.into<double>("multiplier", out.multiplier);
    from.into<std::int64_t>("min_samples", out.min_samples);
    from.into<duration>("window", out.window);
    from.into<duration>("max", out.max);
    out.initial = build_shapes(from.block("initial"), out.initial);
    out.min = build_shapes(from.block("min"), out.min);
    return out;
}

timeouts build_timeouts(const block_reader& from) {
    timeouts out;
    from.into<duration>("total", out.total);
    from.into<duration>("connect", out.connect);
    from.into<duration>("stream_idle", out.stream_idle);
    from.into<duration>("content_idle", out.content_idle);
    const entry* attempt = from.key("attempt");
    if (attempt != nullptr && attempt->get<duration>() != nullptr) out.attempt = *attempt->get<duration>();
    out.learn_attempt = attempt != nullptr && attempt->is_word("adaptive");
    out.adaptive = build_adaptive(from.block("adaptive"));
    return out;
}

balance_kind build_balance(const std::string& word) {
    if (word == "least_latency") return balance_kind::least_latency;
    if (word == "round_robin") return balance_kind::round_robin;
    if (word == "weighted") return balance_kind::weighted;
    return balance_kind::failover;
}

breaker_options build_breaker(const block_reader& from) {
    breaker_options out;
    out.on = from.is_there() && !from.is_off();
    from.into<std::int64_t>("failure_threshold", out.failure_threshold);
    out.failure_ratio = from.value<double>("failure_ratio");
    if (const auto calls = from.value<std::int64_t>("min_calls")) out.min_calls = static_cast<int>(*calls);
    from.into<duration>("window", out.window);
    from.into<duration>("recovery_timeout", out.recovery_timeout);
    from.into<duration>("max_recovery_timeout", out.max_recovery_timeout);
    from.into<std::int64_t>("half_open_max_calls", out.half_open_max_calls);
    from.into<std::int64_t>("success_threshold", out.success_threshold);
    from.into<duration>("ramp", out.ramp);
    const std::string scope = from.text("scope");
    out.scope = scope == "upstream" ? circuit_scope::upstream
                : scope == "route"  ? circuit_scope::route
                                    : circuit_scope::endpoint;
    out.when_open = from.text("when_open") == "reject" ? when_open::reject : when_open::hold;
    out.hold_max = from.value<duration>("hold_max");
    from.into<std::int64_t>("hold_queue", out.hold_queue);
    return out;
}

cooldown_options build_cooldown(const block_reader& from) {
    cooldown_options out;
    out.on = from.is_there() && !from.is_off();
    from.into<duration>("initial", out.initial);
    from.into<duration>("max", out.max);
    from.into<duration>("overload", out.overload);
    from.into<duration>("quota", out.quota);
    return out;
}

overload_options build_overload(const block_reader& from) {
    overload_options out;
    out.on = from.is_there() && !from.is_off();
    from.into<duration>("window", out.window);
    from.into<double>("ratio", out.ratio);
    from.into<std::int64_t>("min_verdicts", out.min_verdicts);
    from.into<duration>("max_wait", out.max_wait);
    return out;
}

hedge_options build_hedge(const block_reader& from) {
    hedge_options out;
    out.on = from.is_there() && !from.is_off();
    if (const auto fixed = from.value<duration>("delay")) {
        out.delay = hedge_options::delay_kind::fixed;
        out.fixed = *fixed;
    } else if (const std::string word = from.text("delay"); word.starts_with('p')) {
        out.delay = hedge_options::delay_kind::quantile;
        out.quantile = word == "p99.9" ? 0.999 : std::stoi(word.substr(1)) / 100.0;
    }
    from.into<std::int64_t>("max_hedges", out.max_hedges);
    from.into<double>("max_extra", out.max_extra);
    from.into<duration>("min_delay", out.min_delay);
    from.into<duration>("max_delay", out.max_delay);
    const std::string target = from.text("target");
    out.target = target == "other" ? hedge_target::other
                 : target == "any" ? hedge_target::any
                                   : hedge_target::prefer_other;
    from.into<double>("guard", out.guard);
    return out;
}

bulkhead_options build_bulkhead(const block_reader& from) {
    bulkhead_options out;
    out.on = from.is_there() && !from.is_off();
    from.into<std::int64_t>("max_concurrent", out.max_concurrent);
    from.into<std::int64_t>("max_queue", out.max_queue);
    from.into<duration>("queue_timeout", out.queue_timeout);
    from.into<double>("tenant_share", out.tenant_share);
    return out;
}

coalesce_mode build_coalesce(const entry* mode) {
    if (mode == nullptr) return coalesce_mode::off;
    return mode->is_word("deterministic") ? coalesce_mode::deterministic
           : mode->is_word("always")      ? coalesce_mode::always
                                          : coalesce_mode::off;
}

shuffle_shard_options build_shuffle_shard(const block_reader& from) {
    shuffle_shard_options out;
    out.on = from.is_there() && !from.is_off();
    from.into<std::int64_t>("size", out.size);
    const std::string by = from.own_text("by"); // empty: credential
    out.header = lower_case(by.substr(std::min(by.size(), by.find(':') + 1)));
    return out;
}

retry_on build_retry_on(const block_reader& from) {
    static constexpr std::pair<std::string_view, retry_on> words[] = {
        {"connect_failure", retry_on::connect_failure},
        {"reset", retry_on::reset},
        {"timeout", retry_on::timeout},
        {"overloaded", retry_on::overloaded},
        {"rate_limited", retry_on::rate_limited},
        {"server_error", retry_on::server_error},
        {"stream_error", retry_on::stream_error},
        {"protocol_error", retry_on::protocol_error},
    };
    if (from.key("on") == nullptr) return retry_on::all;
    unsigned set = 0;
    for (const entry& each : from.elements("on")) {
        for (const auto& [text, bit] : words) set |= each.is_word(text) ? static_cast<unsigned>(bit) : 0;
    }
    return static_cast<retry_on>(set);
}

jitter build_jitter(const std::string& word) {
    return word == "equal"          ? jitter::equal
           : word == "decorrelated" ? jitter::decorrelated
           : word == "none"         ? jitter::none
                                    : jitter::full;
}

retry_options build_retry(const block_reader& from) {
    retry_options out;
    if (from.is_off()) {
        out.max_retries = 0;
        return out;
    }
    from.into<std::int64_t>("max_retries", out.max_retries);
    out.on = build_retry_on(from);
    const block_reader backoff = from.block("backoff");
    backoff.into<duration>("initial", out.backoff.initial);
    backoff.into<duration>("max", out.backoff.max);
    backoff.into<double>("base", out.backoff.base);
    out.backoff.jitter = build_jitter(backoff.text("jitter"));
    from.into<duration>("max_retry_after", out.max_retry_after);
    const std::string replay = from.text("replay");
    out.replay = replay == "always"  ? replay_mode::always
                 : replay == "never" ? replay_mode::never
                                     : replay_mode::automatic;
    from.into<bytes>("replay_buffer", out.replay_buffer);
    const block_reader budget = from.block("budget");
    out.budget.on = !budget.is_off();
    budget.into<double>("extra_work", out.budget.extra_work);
    budget.into<double>("burst", out.budget.burst);
    budget.into<double>("min_per_second", out.budget.min_per_second);
    return out;
}

stream_options build_stream(const block_reader& from) {
    stream_options out;
    const entry* hold = from.key("head_hold");
    if (hold != nullptr) {
        out.hold_head = !hold->is_word("off");
        if (const auto* length = hold->get<duration>()) out.head_hold = *length;
    }
    from.into<duration>("heartbeat", out.heartbeat);
    from.into<bytes>("hold_buffer", out.hold_buffer);
    if (const entry* how = from.key("resume")) {
        out.resume = how->is_word("buffer")            ? stream_resume::buffer
                     : how->is_word("verified_replay") ? stream_resume::verified_replay
                                                       : stream_resume::off;
    }
    from.into<double>("min_rate", out.min_rate);
    if (const entry* how = from.key("upcast")) out.upcast = how->is_word("on");
    return out;
}

std::string without_trailing_slash(std::string path) {
    while (path.size() > 1 && path.back() == '/') path.pop_back();
    return path;
}

route_match build_match(const block_reader& from) {
    route_match out;
    out.path = from.text("path");
    out.path_prefix = without_trailing_slash(from.text("path_prefix"));
    for (const entry& each : from.elements("methods")) out.methods.push_back(format_leaf(each.value));
    for (const entry& each : from.elements("headers")) out.headers.push_back({each.key, each.text()});
    for (const entry& each : from.elements("model")) out.models.push_back(each.text());
    return out;
}

using file_reader = std::function<std::optional<std::string>(const std::string&)>;

canned_answer build_respond(const block_reader& from, const std::string& directory, const file_reader& read_file) {
    canned_answer out;
    from.into<std::int64_t>("status", out.status);
    out.content_type = from.text("content_type");
    std::optional<std::string> body;
    if (from.key("body_file") != nullptr)
        body = read_file ? read_file(file_path(from, "body_file", directory)) : std::nullopt;
    out.body = std::make_shared<const std::string>(body ? std::move(*body) : from.own_text("body"));
    return out;
}

std::vector<fallback_step> build_fallback(const block_reader& route, const entry& all_routes,
                                          const std::string& directory, const file_reader& read_file) {
    std::vector<fallback_step> out;
    for (const entry& each : route.elements("fallback")) {
        const block_reader from(&each);
        fallback_step step;
        if (const block_reader last = from.block("last_good"); last.is_there()) {
            step.is = fallback_kind::last_good;
            step.key =
                last.text("key") == "partial_key" ? last_good_key_kind::partial_key : last_good_key_kind::request;
            last.into<duration>("max_age", step.max_age);
        } else if (from.key("route") != nullptr) {
            step.is = fallback_kind::route;
            const std::string wanted = from.text("route");
            while (step.route < all_routes.children.size() &&
                   block_reader(&all_routes.children[step.route]).text("name") != wanted)
                ++step.route;
        } else {
            step.respond = build_respond(from.block("respond"), directory, read_file);
        }
        out.push_back(std::move(step));
    }
    return out;
}

fan_out_options build_fan_out(const block_reader& from) {
    fan_out_options out;
    for (const entry& each : from.elements("parts")) out.parts.push_back(each.text());
    from.into<std::int64_t>("min_success", out.min_success);
    const std::string body = from.text("body");
    out.body = body == "same" ? fan_out_body::same : body == "split" ? fan_out_body::split : fan_out_body::automatic;
    return out;
}

route build_route(const entry& e, const settings& so_far) {
    const block_reader from(&e);
    route out;
    out.name = from.text("name");
    out.credentials = so_far.credentials;
    out.match = build_match(from.block("match"));
    if (from.text("serve") == "health") {
        out.serves = route_serves::health;
        return out;
    }
    if (is_fan_out(e)) {
        out.serves = route_serves::fan_out;
        out.fan_out = build_fan_out(from.block("fan_out"));
        out.timeout = build_timeouts(from.block("timeout"));
        out.stream = build_stream(from.block("stream"));
        out.retry.replay_buffer = so_far.replay_buffer; // its parts share one copy of the body
        return out;
    }
    for (const entry& each : from.elements("upstreams")) {
        const std::string wanted = block_reader(&each).text("name");
        const auto found = std::find_if(so_far.upstreams.begin(), so_far.upstreams.end(),
                                        [&](const auto& u) { return u->name == wanted; });
        if (found == so_far.upstreams.end()) continue;
        out.upstreams.push_back(*found);
        out.weights.push_back(static_cast<double>(block_reader(&each).value<std::int64_t>("weight").value_or(1)));
    }
    const block_reader rewrite = from.block("rewrite");
    if (rewrite.key("path") != nullptr) {
        out.rewrite = {path_rewrite::kind::whole, rewrite.text("path")};
    } else if (rewrite.key("path_prefix") != nullptr) {
        out.rewrite = {path_rewrite::kind::prefix, without_trailing_slash(rewrite.text("path_prefix"))};
    }
    out.headers = build_edits(from.block("headers"));
    out.own_credential = has_secret(out.headers, out.credentials);
    out.timeout = build_timeouts(from.block("timeout"));
    out.retry = build_retry(from.block("retry"));
    out.own_budget = out.retry.max_retries > 0 && !(out.retry.budget == so_far.budget);
    out.balance = build_balance(from.text("balance"));
    out.circuit_breaker = build_breaker(from.block("circuit_breaker"));
    out.own_circuit = out.circuit_breaker.on && !(out.circuit_breaker == so_far.circuit_breaker);
    out.cooldown = build_cooldown(from.block("cooldown"));
    out.overload = build_overload(from.block("overload"));
    out.hedge = build_hedge(from.block("hedge"));
    out.bulkhead = build_bulkhead(from.block("bulkhead"));
    out.coalesce = build_coalesce(from.key("coalesce"));
    out.shuffle_shard = build_shuffle_shard(from.block("shuffle_shard"));
    out.stream = build_stream(from.block("stream"));
    return out;
}

void build_process(const entry& root, const std::string& directory, settings& out) {
    const block_reader from(&root);
    for (const entry& each : from.elements("listen")) {
        const block_reader one(&each);
        listener at = build_listener(one.text("address"));
        if (at.unix)
            at.unix->mode =
                static_cast<unsigned>(std::stoul(one.text("mode").empty() ? "0660" : one.text("mode"), nullptr, 8));
        if (one.key("tls") != nullptr) {
            at.tls = server_tls{file_path(one.block("tls"), "cert_file", directory),
                                file_path(one.block("tls"), "key_file", directory)};
        }
        out.listen.push_back(std::move(at));
    }
    for (const entry& each : from.elements("allowed_hosts")) out.pages.hosts.push_back(lower_case(each.text()));
    for (const entry& each : from.elements("allowed_origins")) out.pages.origins.push_back(lower_case(each.text()));
    if (from.text("workers") == "auto")
        out.workers = std::max(1U, std::thread::hardware_concurrency());
    else
        from.into<std::int64_t>("workers", out.workers);

    const block_reader admin_block = from.block("admin");
    if (admin_block.key("listen") != nullptr) out.admin.listen = build_listener(admin_block.text("listen"));
    if (admin_block.key("metrics_listen") != nullptr)
        out.admin.metrics_listen = build_listener(admin_block.text("metrics_listen"));
    out.admin.token = admin_block.own_text("token");

    const block_reader access = from.block("access_log");
    out.access_log.path = access.text("path");
    access.into<double>("sample_ok", out.access_log.sample_ok);

    const block_reader log = from.block("log");
    const std::string level = log.text("level");
    out.log.level = level == "debug"     ? log_level::debug
                    : level == "warning" ? log_level::warning
                    : level == "error"   ? log_level::error
                                         : log_level::info;
    out.log.json = log.text("format") == "json";
    out.log.path = log.text("path");

    const block_reader limit = from.block("limits");
    limit.into<bytes>("max_header_bytes", out.limits.max_header_bytes);
    limit.into<bytes>("max_body", out.limits.max_body);
    limit.into<duration>("header_timeout", out.limits.header_timeout);
    limit.into<duration>("body_timeout", out.limits.body_timeout);
    const auto body_rate = limit.value<bytes>("body_min_rate"); // empty: off
    out.limits.body_min_rate = body_rate ? body_rate->count : 0;
    limit.into<duration>("idle_timeout", out.limits.idle_timeout);
    limit.into<duration>("write_timeout", out.limits.write_timeout);
    limit.into<std::int64_t>("max_connections", out.limits.max_connections);
    limit.into<bytes>("memory", out.limits.memory);
    const retry_options defaults = build_retry(from.block("defaults").block("retry"));
    out.replay_buffer = defaults.replay_buffer;
    out.budget = defaults.budget;
    out.circuit_breaker = build_breaker(from.block("defaults").block("circuit_breaker"));

    const block_reader store = from.block("last_good");
    store.into<bytes>("max_bytes", out.last_good.max_bytes);
    out.last_good.path = store.own_text("path");

    out.credentials = build_credential_rules(root);
    out.chaos = build_chaos(from.key("chaos"));
    from.block("drain").into<duration>("timeout", out.drain_timeout);
}

} // namespace

settings build_settings(const entry& root, const std::string& directory, const file_reader& read_file) {
    const block_reader from(&root);
    settings out;
    build_process(root, directory, out);
    for (const entry& each : from.elements("upstreams")) {
        out.upstreams.push_back(std::make_shared<const upstream>(build_upstream(each, directory, out.credentials)));
    }
    std::vector<route> routes;
    for (const entry& each : from.elements("routes")) {
        routes.push_back(build_route(each, out));
        routes.back().fallback = build_fallback(block_reader(&each), *root.find("routes"), directory, read_file);
    }
    const auto hides = [](const route& one) {
        return std::any_of(one.upstreams.begin(), one.upstreams.end(),
                           [&](const auto& to) { return hides_callers(one, *to); });
    };
    for (route& each : routes) {
        each.hides_some =
            hides(each) || std::any_of(each.fallback.begin(), each.fallback.end(), [&](const fallback_step& step) {
                return step.is == fallback_kind::route && step.route < routes.size() && hides(routes[step.route]);
            });
    }
    for (route& each : routes) out.routes.push_back(std::make_shared<const route>(std::move(each)));
    return out;
}

} // namespace evenkeel::config
