#include "config/renames.hpp"

#include "config/glob.hpp"

namespace evenkeel::config {

const std::string* rename_of(const upstream& to, std::string_view model) noexcept {
    if (model.empty() || to.models.empty()) return nullptr;
    if (const auto exact = to.models.find(model); exact != to.models.end()) return &exact->second;
    const std::pair<const std::string, std::string>* best = nullptr;
    for (const auto& one : to.models) {
        if ((best == nullptr || one.first.size() > best->first.size()) && glob_match(one.first, model)) best = &one;
    }
    return best != nullptr ? &best->second : nullptr;
}

std::optional<std::string> path_for(const upstream& to, std::string_view path) {
    const std::pair<const std::string, std::string>* best = nullptr;
    const auto without_slash = [](std::string_view of) { return of.substr(0, of.size() - of.ends_with('/')); };
    for (const auto& one : to.paths) {
        const std::string_view prefix = without_slash(one.first);
        const bool begins = path.starts_with(prefix) && (path.size() == prefix.size() || path[prefix.size()] == '/');
        if (begins && (best == nullptr || one.first.size() > best->first.size())) best = &one;
    }
    if (best == nullptr) return std::nullopt;
    std::string found{without_slash(best->second)};
    found += path.substr(without_slash(best->first).size());
    if (found.empty()) found = "/";
    return found;
}

} // namespace evenkeel::config
