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

} // namespace evenkeel::config
