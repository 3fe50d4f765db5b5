#include "policies/waiting_line.hpp"

#include <algorithm>
#include <mutex>

namespace evenkeel {

std::optional<waiting_line::ticket> waiting_line::join(steady_time deadline, std::size_t limit) {
    const std::scoped_lock lock(mutex_);
    if (waiting_.size() >= limit) return std::nullopt;
    const ticket made{deadline, next_++};
    waiting_.insert(std::upper_bound(waiting_.begin(), waiting_.end(), made), made);
    return made;
}

void waiting_line::leave(ticket one) noexcept {
    const std::scoped_lock lock(mutex_);
    const auto found = std::lower_bound(waiting_.begin(), waiting_.end(), one);
    if (found != waiting_.end() && *found == one) waiting_.erase(found);
}

std::size_t waiting_line::ahead_of(std::optional<ticket> one) const noexcept {
    const std::scoped_lock lock(mutex_);
    if (!one) return waiting_.size();
    return static_cast<std::size_t>(std::lower_bound(waiting_.begin(), waiting_.end(), *one) - waiting_.begin());
}

std::size_t waiting_line::size() const noexcept {
    const std::scoped_lock lock(mutex_);
    return waiting_.size();
}

} // namespace evenkeel
