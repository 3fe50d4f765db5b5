// What can be wrong with fallback ladders: steps in the wrong order, routes that are not there or lead back, bodies
// that cannot be read.

#include "config/expand.hpp"
#include "config/fan_out_rules.hpp"
#include "config/grammar.hpp"
#include "config/parse.hpp"
#include "config/relations.hpp"
#include "config/settle.hpp"
#include "config/suggest.hpp"

#include <boost/json.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>

namespace evenkeel::config {
namespace {

// In the order in which they are tried.
constexpr std::array<std::string_view, 3> kinds{"last_good", "route", "respond"};

const entry* step_of(const entry& rung, std::string_view kind) { return rung.find(kind); }

std::string name_of(const entry& route) {
    const entry* name = route.find("name");
    return name != nullptr ? name->text() : "";
}

void check_body(const entry& respond, problem_list& problems, const environment& env, const std::string& directory) {
    const entry* body = respond.find("body");
    const entry* file = respond.find("body_file");
    if (body != nullptr && file != nullptr) {
        problems.error(
            file->key_at, "contradiction",
            fmt::format("'body' ({}) and 'body_file' exclude each other; keep one", problems.line(body->key_at)),
            {{body->key_at, "'body' is set here"}});
        return;
    }
    if (body == nullptr && file == nullptr) {
        if (!respond.was_refused("body") && !respond.was_refused("body_file"))
            problems.error(respond.key_at, "missing-key", "'respond' needs `body` or `body_file`");
        return;
    }
    std::string text = body != nullptr ? body->text() : "";
    const entry& source = body != nullptr ? *body : *file;
    if (file != nullptr) {
        auto read = env.file ? env.file(resolve_path(directory, file->text())) : std::nullopt;
        if (!read) {
            const std::string shown = file->note.empty() && !file->secret ? " '" + file->text() + "'" : "";
            problems.error(file->at, "unreadable-file", fmt::format("'body_file': file{} cannot be read", shown));
            return;
        }
        if (read->size() > max_file_bytes) {
            problems.error(file->at, "too-large", "'body_file': the file is larger than 1 MiB");
            return;
        }
        text = std::move(*read);
    }
    const entry* type = respond.find("content_type");
    const std::string media = type != nullptr ? lower_case(type->text()) : "";
    if (media.substr(0, media.find(';')) != "application/json") return;
    boost::json::error_code wrong;
    static_cast<void>(boost::json::parse(text, wrong));
    if (wrong)
        problems.error(source.at, "bad-json",
                       fmt::format("'{}' is no JSON ({}), but its content_type says so", source.key, wrong.message()));
}

// One list, where it is written.
void check_ladder(const entry& list, problem_list& problems, const environment& env, const std::string& directory) {
    std::size_t reached = 0;
    const entry* before = nullptr;
    for (const entry& rung : list.children) {
        const entry* what = nullptr;
        std::size_t kind = 0;
        for (std::size_t i = 0; i < kinds.size(); ++i) {
            const entry* found = step_of(rung, kinds[i]);
            if (found == nullptr) continue;
            if (what != nullptr) {
                problems.error(found->key_at, "contradiction",
                               fmt::format("'{}' and '{}' ({}) are two steps; write each as an entry of its own",
                                           kinds[i], what->key, problems.line(what->key_at)),
                               {{what->key_at, "the other step"}});
                continue;
            }
            what = found;
            kind = i;
        }
        if (what == nullptr) {
            if (rung.refused.empty())
                problems.error(rung.at, "missing-key",
                               "a step of 'fallback' is `last_good: {}`, `route: NAME` or `respond: {...}`");
            continue;
        }
        const bool repeated = before != nullptr && kind == reached && kinds[kind] != "route";
        if (before != nullptr && (kind < reached || repeated)) {
            problems.error(
                what->key_at, "wrong-order",
                repeated
                    ? fmt::format("'{}' stands in this ladder already ({})", kinds[kind], problems.line(before->key_at))
                    : fmt::format(
                          "'{}' comes before '{}' ({}): a ladder is tried in the order last_good, route, respond",
                          kinds[kind], kinds[reached], problems.line(before->key_at)),
                {{before->key_at, "the step before"}});
            continue;
        }
        reached = kind;
        before = what;
        if (kinds[kind] == "respond") check_body(*what, problems, env, directory);
    }
}

using route_list = std::vector<entry>;
using places = std::map<std::string, std::size_t, std::less<>>;

void check_names(const entry& list, const route_list& routes, const places& known, problem_list& problems) {
    for (const entry& rung : list.children) {
        const entry* to = step_of(rung, "route");
        if (to == nullptr) continue;
        const auto found = known.find(to->text());
        if (found == known.end()) {
            std::vector<std::string_view> names;
            for (const auto& [name, place] : known) names.push_back(name);
            const std::string shown = to->note.empty() ? " '" + to->text() + "'" : "";
            const auto near = nearest(to->text(), names);
            problems.error(to->at, "unknown-route",
                           fmt::format("there is no route{}{}", shown,
                                       near && !shown.empty() ? fmt::format(" (did you mean '{}'?)", *near) : ""));
            continue;
        }
        const entry& target = routes[found->second];
        const entry* instead = is_fan_out(target) ? target.find("fan_out") : target.find("serve");
        if (instead == nullptr) continue;
        problems.error(to->at, "has-no-upstream",
                       fmt::format("route '{}' asks no upstream of its own ({}), so it cannot take over", to->text(),
                                   problems.line(instead->key_at)),
                       {{instead->key_at, "what it does instead"}});
    }
}

// The way from `at` back to `start` over ladders, along routes that stand no earlier in the file; empty: none.
bool leads_back(std::size_t at, std::size_t start, const route_list& routes, const places& known,
                std::set<std::size_t>& seen, std::vector<const entry*>& way) {
    const entry* list = routes[at].find("fallback");
    if (list == nullptr) return false;
    for (const entry& rung : list->children) {
        const entry* to = step_of(rung, "route");
        const auto found = to != nullptr ? known.find(to->text()) : known.end();
        if (found == known.end() || found->second < start) continue;
        way.push_back(to);
        if (found->second == start) return true;
        if (seen.insert(found->second).second && leads_back(found->second, start, routes, known, seen, way))
            return true;
        way.pop_back();
    }
    return false;
}

void check_store(const entry& root, const route_list& routes, problem_list& problems) {
    const entry* store = root.find("last_good");
    const entry* user = nullptr;
    for (const entry& route : routes) {
        const entry* list = route.find("fallback");
        if (list == nullptr) continue;
        for (const entry& rung : list->children)
            if (user == nullptr) user = step_of(rung, "last_good");
    }
    if (store == nullptr) return;
    if (store->is_off() && user != nullptr) {
        problems.error(user->key_at, "contradiction",
                       fmt::format("a last good answer is asked for, but the store 'last_good' is off ({})",
                                   problems.line(store->at)),
                       {{store->at, "switched off here"}});
    }
    const entry* path = store->find("path");
    if (user == nullptr && path != nullptr && !path->text().empty()) {
        problems.warning(path->key_at, "never-reached",
                         "no route has a `last_good` step in its 'fallback', so nothing is kept in this file");
    }
}

} // namespace

void settle_fallbacks(entry& root) {
    entry* routes = root.find("routes");
    if (routes == nullptr) return;
    for (entry& route : routes->children) {
        entry* list = route.find("fallback");
        if (list == nullptr || list->from == origin::route) continue;
        const std::string name = name_of(route);
        const auto removed = std::erase_if(list->children, [&](const entry& rung) {
            const entry* to = step_of(rung, "route");
            return to != nullptr && to->text() == name;
        });
        if (removed > 0 && list->children.empty()) list->value = word{"off"};
    }
}

void check_fallbacks(const entry& root, problem_list& problems, const environment& env, const std::string& directory) {
    const entry* all = root.find("routes");
    if (all == nullptr) return;
    const route_list& routes = all->children;
    places known;
    for (std::size_t i = 0; i < routes.size(); ++i) known.emplace(name_of(routes[i]), i);

    const auto check = [&](const entry* holder, origin where) {
        const entry* list = holder != nullptr ? holder->find("fallback") : nullptr;
        if (list == nullptr || list->from != where) return;
        check_ladder(*list, problems, env, directory);
        check_names(*list, routes, known, problems);
    };
    check(root.find("defaults"), origin::defaults);
    for (const entry& route : routes) check(&route, origin::route);

    for (std::size_t i = 0; i < routes.size() && !problems.full(); ++i) {
        std::vector<const entry*> way;
        std::set<std::size_t> seen{i};
        if (!leads_back(i, i, routes, known, seen, way)) continue;
        std::vector<note> notes;
        for (std::size_t step = 1; step < way.size(); ++step)
            notes.push_back({way[step]->at, "... which leads on here"});
        const std::string name = name_of(routes[i]);
        problems.error(way.front()->at, "fallback-cycle",
                       way.size() == 1 ? fmt::format("route '{}' is its own fallback", name)
                                       : fmt::format("the fallback of route '{}' leads back to it ({})", name,
                                                     problems.line(way.back()->at)),
                       std::move(notes));
    }
    check_store(root, routes, problems);
}

} // namespace evenkeel::config
