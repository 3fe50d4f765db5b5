#include "proxy/provider/core.hpp"

#include "policies/hash64.hpp"

#include <boost/beast/core/string.hpp>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <ctime>
#include <string>

namespace evenkeel::provider {

namespace json = boost::json;

namespace {

json::object to_json(const attempt_record& r) {
    json::array headers;
    for (const auto& [name, value] : r.headers) headers.push_back(json::array{name, value});
    return {
        {"serial", r.serial},
        {"connection", r.connection},
        {"on_connection", r.on_connection},
        {"method", r.method},
        {"target", r.target},
        {"minor_version", r.minor_version},
        {"headers", std::move(headers)},
        {"body_bytes", r.body_bytes},
        {"body_sha256", r.body_sha256},
        {"body", r.body},
        {"nonce", r.nonce},
        {"turn", r.turn},
        {"script", r.script},
        {"status", r.status},
        {"accepted_ns", r.accepted_ns},
        {"head_ns", r.head_ns},
        {"body_ns", r.body_ns},
        {"first_byte_ns", r.first_byte_ns},
        {"finished_ns", r.finished_ns},
        {"peer_closed_ns", r.peer_closed_ns},
        {"bytes_in", r.bytes_in},
        {"bytes_out", r.bytes_out},
        {"events_out", r.events_out},
        {"input_tokens", r.input_tokens},
        {"output_tokens", r.output_tokens},
        {"cancelled", r.cancelled},
        {"peer_reset", r.peer_reset},
        {"server_name", r.server_name},
        {"resumed", r.resumed},
        {"complete", r.complete},
    };
}

std::string counters_json(const provider_counters& c) {
    return json::serialize(json::object{{"connections", c.connections},
                                        {"open_connections", c.open_connections},
                                        {"peak_connections", c.peak_connections},
                                        {"requests", c.requests},
                                        {"in_flight", c.in_flight},
                                        {"peak_in_flight", c.peak_in_flight},
                                        {"completed", c.completed},
                                        {"cancelled", c.cancelled},
                                        {"broken", c.broken},
                                        {"bytes_in", c.bytes_in},
                                        {"bytes_out", c.bytes_out},
                                        {"input_tokens", c.input_tokens},
                                        {"output_tokens", c.output_tokens},
                                        {"handshake_failures", c.handshake_failures},
                                        {"goodbyes", c.goodbyes}});
}

provider_rule rule_of(const json::value& value) {
    if (!value.is_object()) throw script_error("a rule is an object");
    provider_rule out;
    for (const auto& [key, member] : value.as_object()) {
        if (key == "times" && member.is_int64()) {
            out.times = static_cast<int>(member.as_int64());
            continue;
        }
        if (!member.is_string()) throw script_error("bad value of " + std::string{key});
        const std::string text{member.as_string()};
        if (key == "script")
            out.script = text;
        else if (key == "path")
            out.path = text;
        else if (key == "header")
            out.header = text;
        else if (key == "value")
            out.value = text;
        else
            throw script_error("unknown key " + std::string{key});
    }
    return out;
}

} // namespace

std::string attempt_record::header(std::string_view name) const {
    for (const auto& [field, value] : headers)
        if (boost::beast::iequals(field, name)) return value;
    return {};
}

std::string records_json(const std::vector<attempt_record>& records) {
    json::array out;
    for (const auto& record : records) out.push_back(to_json(record));
    return json::serialize(out);
}

provider_core::provider_core(provider_options options)
    : options_(std::move(options)), default_(std::make_shared<const script_choice>(options_.script)) {}

void provider_core::add_rule(provider_rule rule) {
    auto choice = std::make_shared<const script_choice>(rule.script);
    const bool for_accept = choice->pick(0).accept != accept_action::none;
    const std::lock_guard lock{mutex_};
    rules_.push_back({std::move(rule), std::move(choice), for_accept});
}

void provider_core::clear_rules() {
    const std::lock_guard lock{mutex_};
    rules_.clear();
}

void provider_core::reset() {
    const std::lock_guard lock{mutex_};
    rules_.clear();
    turns_.clear();
    records_.clear();
    // What is going on stays counted, or its end would take the counts below zero.
    provider_counters fresh;
    fresh.open_connections = fresh.peak_connections = count.open_connections;
    fresh.in_flight = fresh.peak_in_flight = count.in_flight;
    count = fresh;
    changed_.notify_all();
}

provider_script provider_core::on_accept() {
    const std::lock_guard lock{mutex_};
    for (auto rule = rules_.begin(); rule != rules_.end(); ++rule) {
        if (!rule->for_accept) continue;
        auto script = rule->choice->pick(0);
        if (rule->rule.times > 0 && --rule->rule.times == 0) rules_.erase(rule);
        return script;
    }
    return {};
}

std::shared_ptr<const script_choice> provider_core::choose(const attempt_record& record) {
    if (const auto own = record.header("x-sim"); !own.empty()) return std::make_shared<const script_choice>(own);
    const std::lock_guard lock{mutex_};
    for (auto rule = rules_.begin(); rule != rules_.end(); ++rule) {
        const auto& r = rule->rule;
        const auto matches_header = [&](const auto& field) {
            return boost::beast::iequals(field.first, r.header) && field.second.find(r.value) != std::string::npos;
        };
        if (rule->for_accept || !record.target.starts_with(r.path)) continue;
        if (!r.header.empty() && std::none_of(record.headers.begin(), record.headers.end(), matches_header)) continue;
        auto choice = rule->choice;
        if (r.times > 0 && --rule->rule.times == 0) rules_.erase(rule);
        return choice;
    }
    return default_;
}

std::uint64_t provider_core::count_turn(const std::string& key) {
    const std::lock_guard lock{mutex_};
    return ++turns_[key];
}

std::uint64_t provider_core::turns(const std::string& key) const {
    const std::lock_guard lock{mutex_};
    const auto counted = turns_.find(key);
    return counted == turns_.end() ? 0 : counted->second;
}

provider_script provider_core::pick(const script_choice& choice, const std::string& key, std::uint64_t nth) {
    // Luck is a function of (seed, request, how often it was seen), not of the order of arrival.
    const auto& script = choice.pick(draw(std::hash<std::string>{}(key), nth));
    if (script.quota > 0) return within_quota(script, script.key + "\n" + choice.text());
    if (script.fail_times < 0) return script;
    const auto failures = count_turn("fail_times\n" + (script.key.empty() ? key : script.key) + "\n" + choice.text());
    return failures <= static_cast<std::uint64_t>(script.fail_times) ? script : provider_script{};
}

namespace {
// As its provider writes them; times in seconds.
void tell_quota(provider_script& in, const std::string& says, std::uint64_t limit, std::uint64_t left, double whole_in,
                double window) {
    const auto put = [&](const char* name, const std::string& value) { in.headers.emplace_back(name, value); };
    const auto seconds = [](double count) { return std::to_string(static_cast<long>(std::ceil(count))); };
    if (says == "openai") {
        put("x-ratelimit-limit-requests", std::to_string(limit));
        put("x-ratelimit-remaining-requests", std::to_string(left));
        put("x-ratelimit-reset-requests", std::to_string(static_cast<long>(std::ceil(whole_in * 1000))) + "ms");
    } else if (says == "anthropic") {
        const std::time_t at = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now()) +
                               static_cast<std::time_t>(std::ceil(whole_in));
        std::tm parts{};
        gmtime_r(&at, &parts);
        std::array<char, 32> text{};
        const std::size_t size = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
        put("anthropic-ratelimit-requests-limit", std::to_string(limit));
        put("anthropic-ratelimit-requests-remaining", std::to_string(left));
        put("anthropic-ratelimit-requests-reset", std::string(text.data(), size));
    } else if (says == "azure") {
        put("x-ratelimit-remaining-requests", std::to_string(left));
    } else if (says == "ietf") {
        put("ratelimit-policy", "\"default\";q=" + std::to_string(limit) + ";w=" + seconds(window));
        put("ratelimit", "\"default\";r=" + std::to_string(left) + ";t=" + seconds(whole_in));
    }
}
} // namespace

provider_script provider_core::within_quota(const provider_script& script, const std::string& whose) {
    using namespace std::chrono;
    const auto now = steady_clock::now();
    const std::lock_guard lock{mutex_};
    spent_quota& spent = quotas_[whose];
    const nanoseconds window{script.quota_window_ns};
    const auto limit = static_cast<double>(script.quota), length = duration<double>(window).count();
    if (spent.until == steady_clock::time_point{}) spent = {now + window, limit, now};
    if (script.quota_fills_steadily) {
        const double came = duration<double>(now - spent.filled).count() * limit / length;
        spent.left = std::min(limit, spent.left + came);
        spent.filled = now;
    } else if (spent.until <= now) {
        spent = {spent.until + window * ((now - spent.until) / window + 1), limit, now};
    }
    const bool in = spent.left >= 1;
    if (in) spent.left -= 1;
    const double next = script.quota_fills_steadily ? std::max(1 - spent.left, 0.0) * length / limit
                                                    : duration<double>(spent.until - now).count();
    const double whole_in = script.quota_fills_steadily ? (limit - spent.left) * length / limit : next;
    provider_script told = in ? script : provider_script{};
    if (!in) {
        told.error = error_kind::rate;
        told.retry_after_ms = std::to_string(static_cast<long>(std::ceil(next * 1000)));
    }
    tell_quota(told, script.quota_says, script.quota, static_cast<std::uint64_t>(spent.left), whole_in, length);
    return told;
}

double provider_core::draw(std::uint64_t a, std::uint64_t b) const noexcept {
    return unit_interval(mix64(mix64(mix64(options_.seed) ^ a) ^ b));
}

std::shared_ptr<attempt_record> provider_core::begin(attempt_record record) {
    auto shared = std::make_shared<attempt_record>(std::move(record));
    const std::lock_guard lock{mutex_};
    shared->serial = ++count.requests;
    count.peak_in_flight = std::max(count.peak_in_flight, ++count.in_flight);
    if (options_.record) {
        records_.push_back(shared);
        if (records_.size() > options_.max_records) records_.pop_front();
    }
    changed_.notify_all();
    return shared;
}

void provider_core::finish(const std::shared_ptr<attempt_record>& record,
                           const std::function<void(attempt_record&)>& last) {
    const std::lock_guard lock{mutex_};
    last(*record);
    --count.in_flight;
    ++(record->complete ? count.completed : record->cancelled ? count.cancelled : count.broken);
    count.bytes_in += record->bytes_in;
    count.bytes_out += record->bytes_out;
    count.input_tokens += record->input_tokens;
    count.output_tokens += record->output_tokens;
    changed_.notify_all();
}

void provider_core::update(const std::function<void()>& change) {
    const std::lock_guard lock{mutex_};
    change();
    changed_.notify_all();
}

std::vector<attempt_record> provider_core::records() const {
    const std::lock_guard lock{mutex_};
    std::vector<attempt_record> out;
    out.reserve(records_.size());
    for (const auto& record : records_) out.push_back(*record);
    return out;
}

provider_counters provider_core::counters() const {
    const std::lock_guard lock{mutex_};
    return count;
}

bool provider_core::wait_for(const std::function<bool(const provider_counters&)>& holds,
                             std::chrono::milliseconds timeout) const {
    std::unique_lock lock{mutex_};
    return changed_.wait_for(lock, timeout, [&] { return holds(count); });
}

std::optional<attempt_record> provider_core::wait_for_record(const std::function<bool(const attempt_record&)>& matches,
                                                             std::chrono::milliseconds timeout) const {
    std::unique_lock lock{mutex_};
    std::optional<attempt_record> out;
    changed_.wait_for(lock, timeout, [&] {
        const auto found = std::find_if(records_.begin(), records_.end(),
                                        [&](const auto& r) { return r->finished_ns != 0 && matches(*r); });
        if (found != records_.end()) out = **found;
        return out.has_value();
    });
    return out;
}

std::pair<int, std::string> provider_core::control(std::string_view method, std::string_view target,
                                                   std::string_view body, control_effect& effect) {
    const auto refusal = [](int status, const std::string& why) {
        return std::pair{status, json::serialize(json::object{{"error", why}})};
    };
    const std::pair<int, std::string> done{200, "{}"};
    if (target == "/__sim/records" && method == "GET") return {200, records_json(records())};
    if (target == "/__sim/counters" && method == "GET") return {200, counters_json(counters())};
    if (method != "POST") return refusal(405, "use POST");
    if (target == "/__sim/reset") {
        reset();
        return done;
    }
    boost::system::error_code failed;
    const auto value = body.empty() ? json::value(json::object{}) : json::parse({body.data(), body.size()}, failed);
    if (failed) return refusal(400, "not JSON");
    if (target == "/__sim/script") {
        try {
            if (value.is_array())
                for (const auto& each : value.as_array()) add_rule(rule_of(each));
            else
                add_rule(rule_of(value));
        } catch (const script_error& error) {
            return refusal(400, error.what());
        }
        return done;
    }
    if (!value.is_object()) return refusal(400, "not an object");
    const json::object& in = value.as_object();
    if (target == "/__sim/refuse") {
        const auto* ms = in.if_contains("ms");
        if (ms == nullptr || !ms->is_int64() || ms->as_int64() <= 0) return refusal(400, "ms is missing");
        effect.refuse_for = std::chrono::milliseconds{ms->as_int64()};
        return done;
    }
    if (target == "/__sim/drop") {
        const auto* how = in.if_contains("how");
        effect.drop_idle = true;
        effect.drop_with_reset = how != nullptr && how->is_string() && how->as_string() == "reset";
        return done;
    }
    return refusal(404, "no such control");
}

} // namespace evenkeel::provider
