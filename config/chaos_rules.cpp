#include "config/chaos_rules.hpp"

#include "config/fill.hpp"
#include "config/parse.hpp"
#include "config/reader.hpp"
#include "config/relations.hpp"
#include "config/suggest.hpp"

#include <boost/json.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>
#include <utility>

namespace evenkeel::config {
namespace {

// Which faults a parameter is for.
struct parameter {
    std::string_view key;
    std::initializer_list<chaos_fault> of;
};
constexpr auto reset = chaos_fault::reset, stall = chaos_fault::stall, truncate = chaos_fault::truncate;
const std::array<parameter, 9> parameters{{
    {"delay", {chaos_fault::latency}},
    {"jitter", {chaos_fault::latency}},
    {"status", {chaos_fault::abort}},
    {"retry_after", {chaos_fault::abort}},
    {"code", {chaos_fault::abort, chaos_fault::stream_error}},
    {"after_events", {reset, stall, truncate, chaos_fault::malformed, chaos_fault::stream_error}},
    {"after_bytes", {reset, stall, truncate}},
    {"mid_event", {reset, stall, truncate}},
    {"bytes_per_second", {chaos_fault::drip}},
}};

std::optional<chaos_fault> fault_of(std::string_view word) {
    for (int i = 0; i < chaos_fault_count; ++i) {
        if (to_string(static_cast<chaos_fault>(i)) == word) return static_cast<chaos_fault>(i);
    }
    return std::nullopt;
}

std::string text_at(const entry& rule, std::string_view key) {
    const entry* found = rule.find(key);
    return found != nullptr ? format_leaf(found->value) : std::string{};
}

// The upstreams of the route of that name; nothing: there is no such route.
using route_lookup = std::function<std::optional<std::vector<std::string>>(const std::string&)>;

// A name as a message may repeat it: not what came from a variable or a file.
std::string shown(const entry& name) {
    return name.note.empty() && !name.secret ? " '" + name.text() + "'" : std::string{" of this name"};
}

void check_target(const entry& rule, const route_lookup& upstreams_of, const std::vector<std::string>& routes,
                  problem_list& problems) {
    const entry* route = rule.find("route");
    if (route == nullptr) return;
    const auto upstreams = upstreams_of(route->text());
    if (!upstreams) {
        const auto near = route->note.empty() ? nearest(route->text(), {routes.begin(), routes.end()}) : std::nullopt;
        problems.error(route->at, "unknown-route",
                       fmt::format("there is no route{}{}", shown(*route),
                                   near ? fmt::format(" (did you mean '{}'?)", *near) : ""));
        return;
    }
    if (upstreams->empty()) {
        problems.error(route->at, "has-no-upstream",
                       fmt::format("route '{}' asks no upstream of its own, so nothing of it can be disturbed; "
                                   "of a fan-out name the routes that are its parts",
                                   route->text()));
        return;
    }
    const entry* upstream = rule.find("upstream");
    if (upstream == nullptr || std::find(upstreams->begin(), upstreams->end(), upstream->text()) != upstreams->end())
        return;
    problems.error(upstream->at, "unknown-upstream",
                   fmt::format("route '{}' has no upstream{}", route->text(), shown(*upstream)));
}

void check_fault(const entry& rule, problem_list& problems) {
    const entry* fault = rule.find("fault");
    const entry* profile = rule.find("profile");
    if (fault != nullptr && profile != nullptr) {
        problems.error(
            profile->key_at, "contradiction",
            fmt::format("'fault' ({}) and 'profile' exclude each other; keep one", problems.line(fault->key_at)),
            {{fault->key_at, "'fault' is set here"}});
        return;
    }
    if (fault == nullptr && profile == nullptr) {
        if (!rule.was_refused("fault") && !rule.was_refused("profile"))
            problems.error(rule.at, "missing-key", "a rule needs `fault` or `profile`");
        return;
    }
    const entry& what = fault != nullptr ? *fault : *profile;
    const auto is = fault != nullptr ? fault_of(format_leaf(fault->value)) : std::nullopt;
    for (const parameter& each : parameters) {
        const entry* set = rule.find(each.key);
        if (set == nullptr || (is && std::find(each.of.begin(), each.of.end(), *is) != each.of.end())) continue;
        problems.error(
            set->key_at, "has-no-effect",
            fault != nullptr
                ? fmt::format("'{}' has no effect: the fault is {}", each.key, format_leaf(what.value))
                : fmt::format("'{}' has no effect: a profile brings its own; write `fault` instead to choose",
                              each.key),
            {{what.at, "set here"}});
    }
    const entry* events = rule.find("after_events");
    const entry* bytes = rule.find("after_bytes");
    const entry* half = rule.find("mid_event");
    if (events != nullptr && bytes != nullptr)
        problems.error(bytes->key_at, "contradiction",
                       fmt::format("'after_events' ({}) and 'after_bytes' exclude each other; keep one",
                                   problems.line(events->key_at)));
    if (half != nullptr && events == nullptr && !rule.was_refused("after_events"))
        problems.error(half->key_at, "has-no-effect", "'mid_event' has no effect without `after_events`");
}

void check_rules(const entry& list, const route_lookup& upstreams_of, const std::vector<std::string>& routes,
                 problem_list& problems) {
    for (const entry& rule : list.children) {
        check_target(rule, upstreams_of, routes, problems);
        check_fault(rule, problems);
    }
}

// JSON as YAML's flow style on one line: outside of strings no line break, and a blank behind every ':' and ','.
std::string as_flow(std::string_view json) {
    std::string out;
    bool quoted = false, escaped = false;
    for (const char c : json) {
        const bool blank = !quoted && (c == '\n' || c == '\r' || c == '\t');
        out += blank ? ' ' : c;
        if (!quoted && (c == ':' || c == ',')) out += ' ';
        if (c == '"' && !escaped) quoted = !quoted;
        escaped = quoted && c == '\\' && !escaped;
    }
    return out;
}

} // namespace

void check_chaos(const entry& root, problem_list& problems) {
    const entry* block = root.find("chaos");
    const entry* rules = block != nullptr ? block->find("rules") : nullptr;
    if (rules == nullptr) return;
    const entry* enabled = block->find("enabled");
    const bool on = enabled != nullptr && enabled->get<bool>() != nullptr && *enabled->get<bool>();
    if (!on && !block->was_refused("enabled")) {
        problems.error(rules->key_at, "chaos-disabled",
                       "there are chaos rules, but 'chaos.enabled' is not true, so none would be in force; write "
                       "`enabled: true`, or remove the rules");
    }
    const entry* all = root.find("routes");
    if (all == nullptr) return;
    std::vector<std::string> names;
    for (const entry& each : all->children) names.push_back(text_at(each, "name"));
    const auto upstreams_of = [&](const std::string& wanted) -> std::optional<std::vector<std::string>> {
        const auto at = std::find(names.begin(), names.end(), wanted);
        if (at == names.end()) return std::nullopt;
        std::vector<std::string> found;
        if (const entry* list = all->children[static_cast<std::size_t>(at - names.begin())].find("upstreams")) {
            for (const entry& each : list->children) found.push_back(text_at(each, "name"));
        }
        return found;
    };
    check_rules(*rules, upstreams_of, names, problems);
}

std::vector<chaos_rule> build_chaos_rules(const entry& block) {
    std::vector<chaos_rule> out;
    if (const entry* rules = block.find("rules")) {
        for (const entry& each : rules->children) fill(each, {&out.emplace_back(), {}});
    }
    return out;
}

sent_rules read_chaos_rules(std::string_view json, const settings& against) {
    sent_rules out;
    boost::json::error_code wrong;
    const boost::json::value sent = boost::json::parse({json.data(), json.size()}, wrong);
    if (wrong || !sent.is_object() || !sent.as_object().contains("rules")) {
        out.problem = R"(Send JSON: {"rules": [{"route": ..., "fault": ..., "probability": ..., "for": "10m"}]})";
        return out;
    }
    const std::string text = "chaos: " + as_flow(json);
    source_text source(text);
    problem_list problems(source, "rules");
    const std::optional<node> parsed = parse(source, problems);
    if (parsed && !parsed->children.empty()) {
        const environment nothing{.variable = [](const std::string&) { return std::nullopt; },
                                  .file = [](const std::string&) { return std::nullopt; }};
        const auto block =
            read_part(parsed->children.front(), *schema_root().child("chaos"), source, problems, nothing);
        if (block && block->find("enabled") != nullptr)
            problems.error(block->at, "not-here", "'enabled' is set in the file only");
        if (const entry* rules = block ? block->find("rules") : nullptr) {
            std::vector<std::string> names;
            for (const auto& each : against.routes) names.push_back(each->name);
            const auto upstreams_of = [&](const std::string& wanted) -> std::optional<std::vector<std::string>> {
                for (const auto& each : against.routes) {
                    if (each->name != wanted) continue;
                    std::vector<std::string> found;
                    for (const auto& upstream : each->upstreams) found.push_back(upstream->name);
                    return found;
                }
                return std::nullopt;
            };
            check_rules(*rules, upstreams_of, names, problems);
        }
        if (block && !problems.has_errors()) {
            out.rules = build_chaos_rules(*block);
            if (const entry* seed = block->find("seed"))
                out.seed = static_cast<std::uint64_t>(*seed->get<std::int64_t>());
        }
    }
    for (const diagnostic& each : problems.finish()) {
        if (each.level == severity::error) out.problem += (out.problem.empty() ? "" : "; ") + each.message;
    }
    return out;
}

} // namespace evenkeel::config
