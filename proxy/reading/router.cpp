#include "proxy/reading/router.hpp"

#include "config/glob.hpp"
#include "config/renames.hpp"
#include "proxy/reading/credentials.hpp"

#include <algorithm>

namespace evenkeel::request {

bool is_under(std::string_view path, std::string_view prefix) noexcept {
    if (!path.starts_with(prefix)) return false;
    return path.size() == prefix.size() || prefix.ends_with('/') || path[prefix.size()] == '/';
}

namespace {
bool head_matches(const config::route_match& match, const wire::request_head& head) {
    if (!match.path.empty() && head.path != match.path) return false;
    if (!match.path_prefix.empty() && !is_under(head.path, match.path_prefix)) return false;
    if (!match.methods.empty() &&
        std::find(match.methods.begin(), match.methods.end(), head.method) == match.methods.end()) {
        return false;
    }
    return std::all_of(match.headers.begin(), match.headers.end(), [&](const config::header_match& wanted) {
        const wire::field* found = head.find(std::string_view{wanted.name});
        return found != nullptr && config::glob_match(wanted.glob, found->value);
    });
}
} // namespace

route_choice choose_route(const config::settings& settings, const route_question& question) {
    for (const auto& route : settings.routes) {
        if (!head_matches(route->match, question.head)) continue;
        if (!route->match.models.empty()) {
            if (!question.model) return {nullptr, true};
            const bool wanted =
                std::any_of(route->match.models.begin(), route->match.models.end(),
                            [&](const std::string& glob) { return config::glob_match(glob, *question.model); });
            if (!wanted) continue;
        }
        return {route, false};
    }
    return {};
}

namespace {
// The path behind the route's rewrite.
std::string_view rewritten_path(const config::route& route, const wire::request_head& head, std::string& room) {
    switch (route.rewrite.is) {
    case config::path_rewrite::kind::none: break;
    case config::path_rewrite::kind::whole: return route.rewrite.value;
    case config::path_rewrite::kind::prefix: {
        std::string_view rest = head.path.substr(route.match.path_prefix.size());
        std::string_view prefix = route.rewrite.value;
        // Exactly one slash where the two meet, whichever of them brought it.
        while (prefix.ends_with('/')) prefix.remove_suffix(1);
        while (rest.starts_with('/')) rest.remove_prefix(1);
        room = prefix;
        if (!rest.empty() || room.empty()) room += '/';
        room += rest;
        return room;
    }
    }
    return head.path;
}

std::string_view whole_target(const config::route& route, const config::upstream& upstream,
                              const wire::request_head& head, std::string& room) {
    const bool as_written = route.rewrite.is == config::path_rewrite::kind::none && upstream.paths.empty();
    if (as_written && upstream.address.base_path.empty()) return head.target;
    std::string& target = room;
    if (as_written) {
        target.clear();
        target.reserve(upstream.address.base_path.size() + head.target.size());
        target.append(upstream.address.base_path).append(head.target);
        return target;
    }
    std::string own; // of the path
    const std::string_view path = rewritten_path(route, head, own);
    const auto theirs = config::path_for(upstream, path);
    target = upstream.address.base_path;
    target.append(theirs ? std::string_view{*theirs} : path);
    if (head.target.size() > head.path.size()) target += head.target.substr(head.path.size()); // '?' and the query
    return target;
}

} // namespace

std::string_view upstream_target(const config::route& route, const config::upstream& upstream,
                                 const wire::request_head& head, std::string& room) {
    const std::string_view target = whole_target(route, upstream, head, room);
    if (head.query.empty() || !config::hides_callers(route, upstream)) return target;
    std::string kept; // apart from `room`, of which `target` may be
    const std::string_view shown = target_without_credentials(target, route.credentials, kept);
    if (kept.empty()) return shown;
    room = std::move(kept);
    return room;
}

} // namespace evenkeel::request
