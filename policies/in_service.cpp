#include "policies/in_service.hpp"

namespace evenkeel {

std::uint32_t in_service::enter(steady_time now) {
    std::uint32_t number = free_;
    if (number == nobody) {
        number = static_cast<std::uint32_t>(attempts_.size());
        attempts_.emplace_back();
    } else {
        free_ = attempts_[number].after;
    }
    attempts_[number] = {now, last_, nobody};
    (last_ == nobody ? first_ : attempts_[last_].after) = number;
    last_ = number;
    ++count_;
    return number;
}

steady_time in_service::leave(std::uint32_t number) noexcept {
    attempt& gone = attempts_[number];
    (gone.before == nobody ? first_ : attempts_[gone.before].after) = gone.after;
    (gone.after == nobody ? last_ : attempts_[gone.after].before) = gone.before;
    gone.after = free_;
    free_ = number;
    --count_;
    return gone.start;
}

int in_service::older_than(duration age, steady_time now) const noexcept {
    int old = 0;
    for (std::uint32_t at = first_; at != nobody && now - attempts_[at].start > age; at = attempts_[at].after) ++old;
    return old;
}

} // namespace evenkeel
