#include "config/fan_out_rules.hpp"

#include "config/settings.hpp"
#include "config/suggest.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string_view>
#include <vector>

namespace evenkeel::config {
namespace {

bool is_used(const entry& e) {
    static constexpr std::string_view used[] = {"timeout.total", "stream.heartbeat", "stream.hold_buffer"};
    return e.schema->row != nullptr &&
           std::find(std::begin(used), std::end(used), e.schema->row->path) != std::end(used);
}

const entry* route_named(const entry& routes, const std::string& wanted) {
    const auto found = std::find_if(routes.children.begin(), routes.children.end(), [&](const entry& route) {
        const entry* name = route.find("name");
        return name != nullptr && name->text() == wanted;
    });
    return found == routes.children.end() ? nullptr : &*found;
}

const std::vector<entry>& parts_of(const entry& route) {
    static const std::vector<entry> none;
    const entry* parts = is_fan_out(route) ? route.find("fan_out")->find("parts") : nullptr;
    return parts != nullptr ? parts->children : none;
}

void check_own_keys(const entry& route, const std::string& name, problem_list& problems) {
    const entry& fan_out = *route.find("fan_out");
    const auto object = [&](const entry& each) {
        problems.error(each.key_at, "has-no-effect",
                       fmt::format("'{}' has no effect in route '{}', which fans out: its parts' routes have their own",
                                   each.key, name),
                       {{fan_out.key_at, "'fan_out' is set here"}});
    };
    for (const entry& each : route.children) {
        if (each.from != origin::route || each.key == "name" || each.key == "match" || each.key == "fan_out") continue;
        if (each.key == "upstreams" || each.key == "serve") {
            problems.error(each.key_at, "contradiction",
                           fmt::format("'{}' and 'fan_out' ({}) exclude each other; keep one", each.key,
                                       problems.line(fan_out.key_at)),
                           {{fan_out.key_at, "'fan_out' is set here"}});
        } else if (each.key == "timeout" || each.key == "stream") {
            for (const entry& member : each.children) {
                if (member.from == origin::route && !is_used(member)) object(member);
            }
        } else if (!each.is_off() && (each.is_leaf() || !each.children.empty())) {
            object(each);
        }
    }
}

void check_part(const entry& part, const std::string& name, const entry& routes, problem_list& problems) {
    const std::string wanted = part.text();
    const entry* target = route_named(routes, wanted);
    if (target == nullptr) {
        std::vector<std::string> names;
        for (const entry& each : routes.children) {
            const entry* other = each.find("name");
            if (other != nullptr && !is_fan_out(each) && each.find("serve") == nullptr) names.push_back(other->text());
        }
        const auto near = nearest(wanted, {names.begin(), names.end()});
        problems.error(part.at, "unknown-route",
                       fmt::format("there is no route '{}' for a part of '{}'{}", wanted, name,
                                   near ? fmt::format(" (did you mean '{}'?)", *near) : ""));
        return;
    }
    const entry* serve = target->find("serve");
    if (is_fan_out(*target) || serve != nullptr) {
        problems.error(part.at, "bad-part",
                       fmt::format("a part of '{}' must be a route with upstreams, and '{}' ({}) {}", name, wanted,
                                   problems.line(target->at),
                                   serve != nullptr ? "answers by itself" : "is a fan-out itself"),
                       {{target->at, "the route"}});
        return;
    }
    const entry* rewrite = target->find("rewrite");
    const entry* prefix = rewrite != nullptr ? rewrite->find("path_prefix") : nullptr;
    if (prefix == nullptr) return;
    problems.error(
        part.at, "bad-part",
        fmt::format(
            "route '{}' cannot be a part of '{}': it rewrites a prefix ({}), and the path of a fan-out's request does "
            "not begin with it; write `rewrite: {{path: ...}}` there",
            wanted, name, problems.line(prefix->key_at)),
        {{prefix->key_at, "the rewrite"}});
}

} // namespace

bool is_fan_out(const entry& route) noexcept {
    const entry* fan_out = route.find("fan_out");
    return fan_out != nullptr && !fan_out->is_off();
}

void drop_unused_by_fan_out(entry& route) {
    const auto stays = [](const entry& e) { return e.from == origin::route || is_used(e); };
    std::erase_if(route.children, [&](entry& each) {
        const bool policy = each.schema->row != nullptr &&
                            (each.schema->row->policy || each.key == "balance" || each.key == "shuffle_shard");
        if (!policy) return false;
        if (each.is_block() && !each.is_off()) {
            std::erase_if(each.children, [&](const entry& member) { return !stays(member); });
            return each.children.empty() && each.from != origin::route;
        }
        return !stays(each);
    });
}

void check_fan_out(const entry& route, const std::string& name, const entry& routes, problem_list& problems) {
    check_own_keys(route, name, problems);
    const entry& fan_out = *route.find("fan_out");
    const entry* list = fan_out.find("parts");
    if (list == nullptr) return; // reported as missing, or as wrong
    if (list->children.empty()) problems.error(list->at, "empty-value", "'parts' needs at least one entry");
    std::map<std::string, const entry*> seen;
    for (const entry& part : list->children) {
        const auto [first, fresh] = seen.try_emplace(part.text(), &part);
        if (fresh) {
            check_part(part, name, routes, problems);
            continue;
        }
        problems.error(
            part.at, "duplicate-part",
            fmt::format("fan-out '{}' names part '{}' twice ({})", name, part.text(), problems.line(first->second->at)),
            {{first->second->at, "first named here"}});
    }
    if (list->children.size() > max_fan_out_parts) {
        problems.error(list->children[max_fan_out_parts].at, "too-many-entries",
                       fmt::format("fan-out '{}' has more than {} parts", name, max_fan_out_parts));
    }
    const entry* least = fan_out.find("min_success");
    const auto* wanted = least != nullptr ? least->get<std::int64_t>() : nullptr;
    if (wanted == nullptr || least->from == origin::built_in || list->children.empty()) return;
    if (static_cast<std::size_t>(*wanted) <= list->children.size()) return;
    problems.error(least->at, "contradiction",
                   fmt::format("'min_success' ({}) exceeds the number of parts ({}, {})", *wanted,
                               list->children.size(), problems.line(list->key_at)),
                   {{list->key_at, "the parts"}});
}

bool is_part_of_any(const std::string& route, const entry& routes) {
    return std::any_of(routes.children.begin(), routes.children.end(), [&](const entry& each) {
        const auto& parts = parts_of(each);
        return std::any_of(parts.begin(), parts.end(), [&](const entry& part) { return part.text() == route; });
    });
}

} // namespace evenkeel::config
