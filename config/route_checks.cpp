// What can be wrong between routes, and between a route and the upstreams.

#include "config/fan_out_rules.hpp"
#include "config/network.hpp"
#include "config/relations.hpp"
#include "config/settings.hpp"
#include "config/suggest.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

namespace evenkeel::config {
namespace {

std::string leaf_text(const entry* block, std::string_view name) {
    const entry* e = block != nullptr ? block->find(name) : nullptr;
    return e != nullptr ? format_leaf(e->value) : std::string{};
}

std::set<std::string> list_of(const entry* block, std::string_view name) {
    std::set<std::string> out;
    const entry* e = block != nullptr ? block->find(name) : nullptr;
    if (e == nullptr) return out;
    for (const entry& each : e->children) out.insert(format_leaf(each.value));
    return out;
}

std::set<std::pair<std::string, std::string>> headers_of(const entry* block) {
    std::set<std::pair<std::string, std::string>> out;
    const entry* e = block != nullptr ? block->find("headers") : nullptr;
    if (e == nullptr) return out;
    for (const entry& each : e->children) out.emplace(each.key, each.text());
    return out;
}

std::string without_slash(std::string prefix) {
    while (!prefix.empty() && prefix.back() == '/') prefix.pop_back();
    return prefix;
}

bool below(const std::string& path, const std::string& prefix) {
    return path.compare(0, prefix.size(), prefix) == 0 && (path.size() == prefix.size() || path[prefix.size()] == '/');
}

// Whether every request that `late` matches is matched by `early` as well. Sound, not complete: globs are compared as
// text.
bool covers(const entry* early, const entry* late) {
    const std::string early_path = leaf_text(early, "path");
    const std::string late_path = leaf_text(late, "path");
    if (!early_path.empty() && early_path != late_path) return false;
    const entry* prefix_entry = early != nullptr ? early->find("path_prefix") : nullptr;
    if (prefix_entry != nullptr) {
        const std::string prefix = without_slash(prefix_entry->text());
        const entry* late_prefix = late != nullptr ? late->find("path_prefix") : nullptr;
        const std::string target = late_prefix != nullptr ? without_slash(late_prefix->text()) : late_path;
        if (late_prefix == nullptr && late_path.empty()) return prefix.empty();
        if (!below(target, prefix)) return false;
    }
    const auto subset = [](const auto& some, const auto& all) {
        return std::includes(all.begin(), all.end(), some.begin(), some.end());
    };
    const auto methods = list_of(early, "methods");
    const auto late_methods = list_of(late, "methods");
    if (!methods.empty() && (late_methods.empty() || !subset(late_methods, methods))) return false;
    const auto models = list_of(early, "model");
    const auto late_models = list_of(late, "model");
    if (!models.empty() && (late_models.empty() || (models.count("*") == 0 && !subset(late_models, models))))
        return false;
    return subset(headers_of(early), headers_of(late));
}

// A star is taken for what it is everywhere else.
void check_star(const entry* path, std::string_view instead, problem_list& problems) {
    if (path == nullptr || path->text().find('*') == std::string::npos) return;
    problems.warning(path->at, "literal-star",
                     fmt::format("'*' in '{}' is a star and nothing else; {}", path->key, instead));
}

// The base path of a URL is put in front of what the client asked for, which has it already.
void check_base(const entry& route, const entry* upstreams, problem_list& problems) {
    const entry* match = route.find("match");
    const entry* list = route.find("upstreams");
    if (match == nullptr || list == nullptr || upstreams == nullptr || route.find("rewrite") != nullptr) return;
    const entry* asked = match->find("path") != nullptr ? match->find("path") : match->find("path_prefix");
    if (asked == nullptr) return;
    for (const entry& reference : list->children) {
        const entry* name = reference.find("name");
        const entry* to = name != nullptr ? upstreams->find(name->text()) : nullptr;
        if (to == nullptr) continue;
        const entry* urls = to->find("urls");
        const entry* written = urls != nullptr && !urls->children.empty() ? &urls->children.front() : to->find("url");
        const auto parsed = written != nullptr ? read_url(written->text(), true) : decltype(read_url("", true)){};
        const auto* at = std::get_if<url>(&parsed);
        if (at == nullptr || at->base_path.empty() || !below(without_slash(asked->text()), at->base_path)) continue;
        problems.warning(asked->at, "base-twice",
                         fmt::format("the URL of upstream '{0}' ends in {1}, which is put in front of the path: {2} "
                                     "becomes {1}{2} there; take it off the URL, or off the path with `rewrite: "
                                     "{{path_prefix: /}}`",
                                     to->key, at->base_path, without_slash(asked->text())),
                         {{written->at, "the URL"}});
    }
}

// Who waits for one upstream until his time is over asks no other.
void check_time(const entry& route, const std::string& name, std::size_t endpoints, problem_list& problems) {
    const entry* timeout = route.find("timeout");
    const entry* retry = route.find("retry");
    if (endpoints < 2 || timeout == nullptr || (retry != nullptr && retry->is_off())) return;
    const entry* total = timeout->find("total");
    const entry* attempt = timeout->find("attempt");
    const duration* all = total != nullptr ? total->get<duration>() : nullptr;
    const duration* one = attempt != nullptr ? attempt->get<duration>() : nullptr;
    if (all == nullptr || one == nullptr || *all - *one >= *one / 4) return;
    const entry& shown = total->from == origin::built_in ? *attempt : *total;
    if (shown.from == origin::built_in) return;
    problems.warning(
        shown.at, "no-time-left",
        fmt::format("in route '{}' a silent upstream takes 'timeout.attempt' ({}) of 'timeout.total' ({}), "
                    "which leaves no time to ask another one; lower the former, or leave it to "
                    "`attempt: adaptive`",
                    name, format_leaf(attempt->value), format_leaf(total->value)));
}

void check_match(const entry& route, problem_list& problems) {
    const entry* match = route.find("match");
    const entry* path = match != nullptr ? match->find("path") : nullptr;
    const entry* prefix = match != nullptr ? match->find("path_prefix") : nullptr;
    if (path != nullptr && prefix != nullptr) {
        problems.error(
            prefix->key_at, "contradiction",
            fmt::format("'path' ({}) and 'path_prefix' exclude each other; keep one", problems.line(path->key_at)),
            {{path->key_at, "'path' is set here"}});
    }
    check_star(path, "`path_prefix` covers whatever lies below a path", problems);
    check_star(prefix, "a prefix covers whatever lies below it by itself", problems);
    const entry* rewrite = route.find("rewrite");
    if (rewrite == nullptr) return;
    const entry* whole = rewrite->find("path");
    const entry* part = rewrite->find("path_prefix");
    check_star(whole, "`path_prefix` keeps what lies behind the prefix", problems);
    check_star(part, "what lies behind the prefix is kept by itself", problems);
    if (whole != nullptr && part != nullptr) {
        problems.error(
            part->key_at, "contradiction",
            fmt::format("'path' ({}) and 'path_prefix' exclude each other; keep one", problems.line(whole->key_at)),
            {{whole->key_at, "'path' is set here"}});
    } else if (part != nullptr && prefix == nullptr) {
        problems.error(part->key_at, "rewrite-needs-prefix",
                       "rewriting a prefix needs `match: {path_prefix: ...}` in the same route");
    } else if (whole == nullptr && part == nullptr && rewrite->refused.empty()) {
        problems.error(rewrite->key_at, "missing-key", "'rewrite' needs `path` or `path_prefix`");
    }
}

// What a route that answers by itself cannot make use of must not be written, or it would be parsed and ignored.
void check_local_route(const entry& route, const std::string& name, problem_list& problems) {
    for (const entry& each : route.children) {
        const bool written = each.from == origin::route && (each.is_leaf() || !each.children.empty());
        if (!written || each.key == "name" || each.key == "match" || each.key == "serve") continue;
        problems.error(
            each.key_at, "has-no-effect",
            fmt::format("'{}' has no effect in route '{}', which serves `health` by itself", each.key, name));
    }
}

struct upstream_uses {
    std::set<std::string> used;
    bool certain = true; // false once a reference could not be read
};

void check_references(const entry& route, const std::string& name, const entry* upstreams, problem_list& problems,
                      upstream_uses& uses) {
    const entry* list = route.find("upstreams");
    if (list == nullptr) {
        uses.certain = false;
        // A list that was there but wrong has been reported with its own advice.
        if (!route.was_refused("upstreams") && !route.was_refused("serve") && !route.was_refused("fan_out")) {
            problems.error(
                route.key_at, "missing-key",
                fmt::format("route '{}' has no 'upstreams'; name one, or write `serve: health` or `fan_out`", name));
        }
        return;
    }
    if (list->children.empty()) uses.certain = false;
    std::map<std::string, const entry*> named;
    for (const entry& each : list->children) {
        const entry* reference = each.find("name");
        if (reference == nullptr) {
            uses.certain = false;
            continue;
        }
        const std::string wanted = reference->text();
        uses.used.insert(wanted);
        const auto [first, fresh] = named.try_emplace(wanted, reference);
        if (!fresh) {
            problems.error(
                reference->at, "duplicate-upstream",
                fmt::format("route '{}' names upstream '{}' twice ({}); an upstream is one credential at one "
                            "place, asking it again is what `retry` does",
                            name, wanted, problems.line(first->second->at)),
                {{first->second->at, "first named here"}});
            continue;
        }
        if (upstreams != nullptr && upstreams->find(wanted) != nullptr) continue;
        uses.certain = false;
        std::vector<std::string_view> known;
        if (upstreams != nullptr) {
            for (const entry& u : upstreams->children) known.push_back(u.key);
        }
        const auto near = nearest(wanted, known);
        const std::string shown = reference->note.empty() ? " '" + wanted + "'" : "";
        problems.error(reference->at, "unknown-upstream",
                       fmt::format("there is no upstream{}{}", shown,
                                   near && !shown.empty() ? fmt::format(" (did you mean '{}'?)", *near) : ""));
    }
    if (list->children.size() > max_upstreams_per_route) {
        problems.error(list->children[max_upstreams_per_route].at, "too-many-entries",
                       fmt::format("route '{}' has more than {} upstreams", name, max_upstreams_per_route));
    }
}

// So many endpoints as the file names; those of `resolve: each` are cut to what is left (config/endpoints.hpp).
std::size_t named_endpoints(const entry& upstream) {
    const entry* urls = upstream.find("urls");
    return urls != nullptr && !urls->children.empty() ? urls->children.size() : 1;
}
bool resolves_each(const entry& upstream) {
    const entry* resolve = upstream.find("resolve");
    return resolve != nullptr && resolve->is_word("each");
}

// What the upstreams of a route come to.
struct endpoint_count {
    std::size_t named = 0;
    bool open = false; // there may be more
};
endpoint_count count_endpoints(const entry& list, const entry* upstreams) {
    endpoint_count all;
    for (const entry& each : list.children) {
        const entry* name = each.find("name");
        const entry* to = name != nullptr && upstreams != nullptr ? upstreams->find(name->text()) : nullptr;
        all.named += to != nullptr ? named_endpoints(*to) : 1;
        all.open = all.open || (to != nullptr && resolves_each(*to));
    }
    return all;
}

// What depends on how many upstreams there are, and on how one of them is chosen.
void check_choice(const entry& route, const std::string& name, const entry* upstreams, problem_list& problems) {
    const entry* list = route.find("upstreams");
    if (list == nullptr) return;
    const entry* balance = route.find("balance");
    const bool weighted = balance != nullptr && balance->is_word("weighted");
    for (const entry& each : list->children) {
        const entry* weight = each.find("weight");
        if (weight == nullptr || weighted || route.was_refused("balance")) continue;
        problems.error(weight->key_at, "has-no-effect",
                       fmt::format("'weight' has no effect in route '{}': 'balance' is {}; write `balance: weighted`",
                                   name, balance != nullptr ? format_leaf(balance->value) : "failover"));
    }
    const endpoint_count among = count_endpoints(*list, upstreams);
    if (among.named > max_endpoints_per_route) {
        problems.error(
            list->key_at, "too-many-entries",
            fmt::format("the upstreams of route '{}' have {} endpoints together, and a route asks at most {}", name,
                        among.named, max_endpoints_per_route));
    }
    const entry* shard = route.find("shuffle_shard");
    const entry* size = shard != nullptr ? shard->find("size") : nullptr;
    if (size != nullptr && size->get<std::int64_t>() != nullptr &&
        *size->get<std::int64_t>() >= static_cast<std::int64_t>(among.named) && !among.open) {
        problems.warning(
            size->from == origin::route ? size->at : shard->key_at, "has-no-effect",
            fmt::format("'shuffle_shard.size' is {} and route '{}' has {} {}{}: every tenant has them all, and none is "
                        "kept apart",
                        format_leaf(size->value), name, among.named,
                        among.named > list->children.size() ? "endpoint" : "upstream", among.named == 1 ? "" : "s"),
            {{list->key_at, "the upstreams"}});
    }
    const entry* hedge = route.find("hedge");
    const entry* target = hedge != nullptr ? hedge->find("target") : nullptr;
    if (target == nullptr || !target->is_word("other") || among.named != 1 || among.open) return;
    const std::string message =
        fmt::format("route '{}' has one upstream, so `hedge.target: other` leaves nowhere to send a hedge", name);
    if (target->from == origin::route)
        problems.error(target->at, "contradiction", message, {{list->key_at, "the upstreams"}});
    else
        problems.warning(list->key_at, "never-reached", message, {{target->at, "'hedge.target' is set here"}});
}

} // namespace

void check_routes(const entry& root, problem_list& problems) {
    const entry* routes = root.find("routes");
    const entry* upstreams = root.find("upstreams");
    if (routes == nullptr) return;

    std::map<std::string, const entry*> names;
    upstream_uses uses;
    for (std::size_t i = 0; i < routes->children.size(); ++i) {
        const entry& route = routes->children[i];
        const entry* name_entry = route.find("name");
        const std::string name = name_entry != nullptr ? name_entry->text() : "";
        if (name_entry != nullptr) {
            const auto [first, fresh] = names.try_emplace(name, name_entry);
            if (!fresh) {
                problems.error(name_entry->at, "duplicate-route",
                               fmt::format("route name '{}' is taken ({}); names are unique", name,
                                           problems.line(first->second->at)),
                               {{first->second->at, "first used here"}});
            }
        }
        check_match(route, problems);
        if (is_fan_out(route)) {
            check_fan_out(route, name, *routes, problems);
        } else if (route.find("serve") != nullptr) {
            check_local_route(route, name, problems);
        } else {
            check_references(route, name, upstreams, problems, uses);
            check_choice(route, name, upstreams, problems);
            check_base(route, upstreams, problems);
            if (const entry* list = route.find("upstreams"); list != nullptr) {
                const endpoint_count among = count_endpoints(*list, upstreams);
                check_time(route, name, among.named + (among.open ? 1 : 0), problems);
            }
        }
        for (std::size_t j = 0; j < i; ++j) {
            const entry& early = routes->children[j];
            // Only what was read whole can be judged: a refused condition would make a route look wider than it is.
            if (problems.has_errors()) break;
            if (!covers(early.find("match"), route.find("match")) || is_part_of_any(name, *routes)) continue;
            problems.warning(name_entry != nullptr ? name_entry->at : route.at, "unreachable-route",
                             fmt::format("route '{}' is never reached: route '{}' ({}) matches all its requests first",
                                         name, leaf_text(&early, "name"), problems.line(early.at)),
                             {{early.at, "the earlier route"}});
            break;
        }
    }
    if (!uses.certain || upstreams == nullptr) return;
    for (const entry& each : upstreams->children) {
        if (uses.used.count(each.key) > 0) continue;
        problems.warning(each.key_at, "unused-upstream", fmt::format("no route uses upstream '{}'", each.key));
    }
}

} // namespace evenkeel::config
