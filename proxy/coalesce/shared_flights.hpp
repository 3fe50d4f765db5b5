#pragma once
// The shared flights under way, of all workers, by what makes requests identical. One that is over, or that nobody may
// join any more, is not here: this is no cache. The mutex is held for one look-up.

#include "proxy/coalesce/coalesce_key.hpp"
#include "proxy/reading/principal.hpp"

#include <cstddef>
#include <memory>
#include <mutex>
#include <unordered_map>

namespace evenkeel::request {

class shared_flight;

class shared_flights {
public:
    [[nodiscard]] const hash_key& key() const noexcept { return key_; } // of the keys: drawn anew with each start

    [[nodiscard]] std::shared_ptr<shared_flight> find(const coalesce_key& key) const;
    // In the place of `old` (null: of none); false: another is there by now.
    [[nodiscard]] bool put(const coalesce_key& key, const std::shared_ptr<shared_flight>& flight,
                           const shared_flight* old);
    // If it is still the one that is there: by the time an old flight ends there may be a new one.
    void erase(const coalesce_key& key, const shared_flight& flight) noexcept;
    [[nodiscard]] std::size_t size() const;

private:
    hash_key key_ = hash_key::draw();
    mutable std::mutex mutex_;
    std::unordered_map<coalesce_key, std::shared_ptr<shared_flight>, coalesce_key::hash> flights_;
};

} // namespace evenkeel::request
