#include "config/policy_order.hpp"

#include "config/fan_out_rules.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace evenkeel::config {
namespace {

// The value at `block.key`, as it would be written; empty where it is not there.
std::string value_at(const entry& route, std::string_view block, std::string_view key) {
    const entry* outer = route.find(block);
    const entry* found = outer != nullptr ? outer->find(key) : nullptr;
    return found != nullptr ? format_leaf(found->value) : std::string{};
}
bool is_on(const entry& route, std::string_view block) {
    const entry* found = route.find(block);
    return found != nullptr && !found->is_off();
}

std::string flight(const entry& route) {
    if (!is_on(route, "retry")) return "flight: one attempt";
    std::string out =
        fmt::format("flight: first attempt, retries (at most {})", value_at(route, "retry", "max_retries"));
    if (is_on(route, "hedge")) {
        out += fmt::format(", {} of them a hedge (after {})", value_at(route, "hedge", "max_hedges"),
                           value_at(route, "hedge", "delay"));
    }
    const entry* budget = route.find("retry")->find("budget");
    return out + (budget != nullptr && budget->is_off() ? "; no budget" : "; paid from the budget of their upstream");
}

std::string attempt(const entry& route) {
    const entry* balance = route.find("balance");
    std::string out = "each attempt: balance (" + (balance != nullptr ? format_leaf(balance->value) : "failover") + ")";
    for (const std::string_view each : {"cooldown", "circuit_breaker", "overload"}) {
        if (is_on(route, each)) out += fmt::format(" -> {}", each);
    }
    return out + fmt::format(" -> timeout.attempt ({})", value_at(route, "timeout", "attempt"));
}

std::string fallback(const entry& list) {
    std::string out = "fallback, where no attempt has a good answer:";
    for (const entry& rung : list.children) {
        if (&rung != &list.children.front()) out += ",";
        if (const entry* last = rung.find("last_good")) {
            out += fmt::format(" last good answer ({}, at most {} old)", format_leaf(last->find("key")->value),
                               format_leaf(last->find("max_age")->value));
        } else if (const entry* to = rung.find("route")) {
            out += fmt::format(" route {}", to->text());
        } else if (const entry* canned = rung.find("respond")) {
            out += fmt::format(" canned {}", format_leaf(canned->find("status")->value));
        }
    }
    return out;
}

using lines = std::vector<std::string>;

lines fallback_lines(const entry& route) {
    const entry* const list = route.find("fallback");
    return list != nullptr && !list->children.empty() ? lines{fallback(*list)} : lines{};
}
lines deadline_lines(const entry& route) {
    return {fmt::format("deadline: timeout.total ({})", value_at(route, "timeout", "total"))};
}
lines coalesce_lines(const entry& route) {
    const entry* const mode = route.find("coalesce");
    if (mode == nullptr || mode->is_off() || mode->is_word("off")) return {};
    return {fmt::format("coalesce: identical requests in flight share one answer ({})", format_leaf(mode->value))};
}
lines bulkhead_lines(const entry& route) {
    if (!is_on(route, "bulkhead")) return {};
    const std::string longest = value_at(route, "bulkhead", "queue_timeout");
    return {fmt::format("bulkhead: {} at a time, {} wait ({})", value_at(route, "bulkhead", "max_concurrent"),
                        value_at(route, "bulkhead", "max_queue"),
                        longest == "auto" ? "as long as each may" : "at most " + longest)};
}
lines parts_lines(const entry& route) {
    if (!is_fan_out(route)) return {};
    std::string parts;
    if (const entry* list = route.find("fan_out")->find("parts")) {
        for (const entry& each : list->children) parts += (parts.empty() ? "" : ", ") + each.text();
    }
    return {fmt::format("deadline: timeout.total ({})", value_at(route, "timeout", "total")),
            fmt::format("parts, at the same time and each with the policies of its own route: {}", parts)};
}
lines flight_lines(const entry& route) {
    lines out;
    if (is_on(route, "shuffle_shard")) {
        out.push_back(fmt::format("shuffle shard: {} of the upstreams per tenant (by {})",
                                  value_at(route, "shuffle_shard", "size"), value_at(route, "shuffle_shard", "by")));
    }
    if (is_on(route, "circuit_breaker") && value_at(route, "circuit_breaker", "when_open") == "hold") {
        out.push_back(fmt::format("hold: while no endpoint can be asked (hold_max {}, at most {} requests)",
                                  value_at(route, "circuit_breaker", "hold_max"),
                                  value_at(route, "circuit_breaker", "hold_queue")));
    }
    out.push_back(flight(route));
    out.push_back(attempt(route));
    return out;
}

// One of its upstreams has `pace`.
bool paces(const entry& route, const entry* upstreams) {
    const entry* const called = route.find("upstreams");
    if (called == nullptr || upstreams == nullptr) return false;
    return std::any_of(called->children.begin(), called->children.end(), [&](const entry& reference) {
        const entry* const name = reference.find("name");
        const entry* const one = upstreams->find(name != nullptr ? name->text() : reference.text());
        return one != nullptr && is_on(*one, "pace");
    });
}
// Before the last of what an attempt meets.
void put_pace(std::string& line) {
    if (const std::size_t at = line.rfind(" -> "); at != std::string::npos) line.insert(at, " -> pace");
}

// What a stage of the request path is to a route.
struct stage_of {
    std::string_view name;
    lines (*describe)(const entry& route);
    bool ends = false; // where it has something to say, nothing below it is the route's own
};
constexpr std::array<stage_of, 6> described{{{"in_parts", parts_lines, true},
                                             {"with_fallback", fallback_lines},
                                             {"within_deadline", deadline_lines},
                                             {"shared", coalesce_lines},
                                             {"in_turn", bulkhead_lines},
                                             {"run_flight", flight_lines}}};

} // namespace

std::vector<std::string> policy_order(const entry& route, std::span<const std::string_view> stages,
                                      const entry* upstreams) {
    if (route.find("serve") != nullptr || route.find("timeout") == nullptr) return {};
    std::vector<std::string> out;
    for (const std::string_view name : stages) {
        const auto found =
            std::find_if(described.begin(), described.end(), [&](const stage_of& one) { return one.name == name; });
        if (found == described.end()) continue; // the same for every route
        lines said = found->describe(route);
        if (name == "run_flight" && paces(route, upstreams)) put_pace(said.back());
        out.insert(out.end(), said.begin(), said.end());
        if (found->ends && !said.empty()) break;
    }
    return out;
}

} // namespace evenkeel::config
