#include "proxy/state/upcast_memory.hpp"

#include <algorithm>

namespace evenkeel::request {

namespace {
constexpr std::size_t longest_model = 256; // of a name that is kept
} // namespace

std::string upcast_memory::key_of(std::string_view upstream, std::string_view model) {
    return std::string{upstream}.append("\n").append(model.substr(0, longest_model));
}

bool upcast_memory::excludes(std::string_view upstream, std::string_view model, steady_time now) {
    if (!any_.load(std::memory_order_relaxed)) return false;
    const std::scoped_lock lock(mutex_);
    const auto found = until_.find(key_of(upstream, model));
    return found != until_.end() && now < found->second;
}

bool upcast_memory::exclude(std::string_view upstream, std::string_view model, steady_time now) {
    const std::scoped_lock lock(mutex_);
    if (until_.size() >= most) std::erase_if(until_, [&](const auto& one) { return one.second <= now; });
    if (until_.size() >= most)
        until_.erase(std::min_element(until_.begin(), until_.end(),
                                      [](const auto& a, const auto& b) { return a.second < b.second; }));
    any_.store(true, std::memory_order_relaxed);
    steady_time& until = until_[key_of(upstream, model)];
    const bool fresh = until <= now;
    until = now + remembered;
    return fresh;
}

} // namespace evenkeel::request
