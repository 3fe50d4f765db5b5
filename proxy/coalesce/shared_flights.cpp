#include "proxy/coalesce/shared_flights.hpp"

#include "proxy/coalesce/shared_flight.hpp"

namespace evenkeel::request {

std::shared_ptr<shared_flight> shared_flights::find(const coalesce_key& key) const {
    const std::lock_guard lock(mutex_);
    const auto found = flights_.find(key);
    return found == flights_.end() ? nullptr : found->second;
}

bool shared_flights::put(const coalesce_key& key, const std::shared_ptr<shared_flight>& flight,
                         const shared_flight* old) {
    std::shared_ptr<shared_flight> replaced; // destroyed outside the lock
    const std::lock_guard lock(mutex_);
    auto& place = flights_[key];
    if (place && place.get() != old) return false;
    replaced = std::exchange(place, flight);
    return true;
}

void shared_flights::erase(const coalesce_key& key, const shared_flight& flight) noexcept {
    std::shared_ptr<shared_flight> gone;
    const std::lock_guard lock(mutex_);
    const auto found = flights_.find(key);
    if (found == flights_.end() || found->second.get() != &flight) return;
    gone = std::move(found->second);
    flights_.erase(found);
}

std::size_t shared_flights::size() const {
    const std::lock_guard lock(mutex_);
    return flights_.size();
}

} // namespace evenkeel::request
