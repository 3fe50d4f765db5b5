#include "config/build.hpp"

#include "config/expand.hpp"
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

upstream build_upstream(const entry& e, const std::string& directory) {
    const block_reader from(&e);
    upstream out;
    out.name = e.key;
    if (auto address = build_url(from.text("url"), true)) out.address = std::move(*address);
    out.dialect = build_dialect(from.text("dialect"));
    out.headers = build_edits(from.block("headers"));
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
    return out;
}

retry_on build_retry_on(const block_reader& from) {
    static constexpr std::pair<std::string_view, retry_on> words[] = {
        {"connect_failure", retry_on::connect_failure}, {"reset", retry_on::reset},
        {"timeout", retry_on::timeout},                 {"overloaded", retry_on::overloaded},
        {"rate_limited", retry_on::rate_limited},       {"server_error", retry_on::server_error},
        {"stream_error", retry_on::stream_error},       {"protocol_error", retry_on::protocol_error},
    };
    if (from.key("on") == nullptr) return retry_on::all;
    unsigned set = 0;
    for (const entry& each : from.elements("on")) {
        for (const auto& [text, bit] : words) set |= each.is_word(text) ? static_cast<unsigned>(bit) : 0;
    }
    return static_cast<retry_on>(set);
}

jitter build_jitter(const std::string& word) {
    return word == "equal" ? jitter::equal : word == "decorrelated" ? jitter::decorrelated : word == "none" ? jitter::none : jitter::full;
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
    out.replay = replay == "always" ? replay_mode::always : replay == "never" ? replay_mode::never : replay_mode::automatic;
    from.into<bytes>("replay_buffer", out.replay_buffer);
    const block_reader budget = from.block("budget");
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

route build_route(const entry& e, const settings& so_far) {
    const block_reader from(&e);
    route out;
    out.name = from.text("name");
    out.match = build_match(from.block("match"));
    if (from.text("serve") == "health") {
        out.serves = route_serves::health;
        return out;
    }
    for (const entry& each : from.elements("upstreams")) {
        const std::string wanted = block_reader(&each).text("name");
        const auto found = std::find_if(so_far.upstreams.begin(), so_far.upstreams.end(),
                                        [&](const auto& u) { return u->name == wanted; });
        if (found != so_far.upstreams.end()) out.upstreams.push_back(*found);
    }
    const block_reader rewrite = from.block("rewrite");
    if (rewrite.key("path") != nullptr) {
        out.rewrite = {path_rewrite::kind::whole, rewrite.text("path")};
    } else if (rewrite.key("path_prefix") != nullptr) {
        out.rewrite = {path_rewrite::kind::prefix, without_trailing_slash(rewrite.text("path_prefix"))};
    }
    out.headers = build_edits(from.block("headers"));
    out.timeout = build_timeouts(from.block("timeout"));
    out.retry = build_retry(from.block("retry"));
    out.own_budget = out.retry.max_retries > 0 && !(out.retry.budget == so_far.budget);
    out.stream = build_stream(from.block("stream"));
    return out;
}

void build_process(const block_reader& from, const std::string& directory, settings& out) {
    for (const entry& each : from.elements("listen")) {
        const block_reader one(&each);
        listener at = build_listener(one.text("address"));
        if (one.key("tls") != nullptr) {
            at.tls = server_tls{file_path(one.block("tls"), "cert_file", directory),
                                file_path(one.block("tls"), "key_file", directory)};
        }
        out.listen.push_back(std::move(at));
    }
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
    limit.into<duration>("idle_timeout", out.limits.idle_timeout);
    limit.into<duration>("write_timeout", out.limits.write_timeout);
    limit.into<std::int64_t>("max_connections", out.limits.max_connections);
    limit.into<bytes>("memory", out.limits.memory);
    const retry_options defaults = build_retry(from.block("defaults").block("retry"));
    out.replay_buffer = defaults.replay_buffer;
    out.budget = defaults.budget;

    from.block("drain").into<duration>("timeout", out.drain_timeout);
}

} // namespace

settings build_settings(const entry& root, const std::string& directory) {
    const block_reader from(&root);
    settings out;
    build_process(from, directory, out);
    for (const entry& each : from.elements("upstreams")) {
        out.upstreams.push_back(std::make_shared<const upstream>(build_upstream(each, directory)));
    }
    for (const entry& each : from.elements("routes")) {
        out.routes.push_back(std::make_shared<const route>(build_route(each, out)));
    }
    return out;
}

} // namespace evenkeel::config
