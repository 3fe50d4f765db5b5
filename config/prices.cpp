#include "config/prices.hpp"

#include "config/glob.hpp"

namespace evenkeel::config {

const price* price_of(const upstream& at, std::string_view model) noexcept {
    if (const auto exact = at.prices.find(model); exact != at.prices.end()) return &exact->second;
    const std::pair<const std::string, price>* best = nullptr;
    for (const auto& one : at.prices) {
        if ((best == nullptr || one.first.size() > best->first.size()) && glob_match(one.first, model)) best = &one;
    }
    return best != nullptr ? &best->second : nullptr;
}

} // namespace evenkeel::config
