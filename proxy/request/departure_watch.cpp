#include "proxy/request/departure_watch.hpp"

namespace evenkeel::request {

departure_watch::watched::watched(departure_watch& watch, int descriptor, callback on_departure, void* context)
    : watch_(watch), on_departure_(on_departure), context_(context), index_(watch.entries_.size()) {
    watch_.entries_.push_back(this);
    // Errors and hang-ups are reported without being asked for; a negative descriptor is skipped by poll().
    watch_.descriptors_.push_back({descriptor, POLLRDHUP, 0});
    if (!watch_.armed()) watch_.loop_.timers().arm(watch_, watch_.loop_.now() + period);
}

departure_watch::watched::~watched() {
    const std::size_t last = watch_.entries_.size() - 1;
    watch_.entries_[index_] = watch_.entries_[last];
    watch_.descriptors_[index_] = watch_.descriptors_[last];
    watch_.entries_[index_]->index_ = index_;
    watch_.entries_.pop_back();
    watch_.descriptors_.pop_back();
    // The timer stays armed: cancelling and arming it for every short request costs more than one idle tick.
}

void departure_watch::on_timer() {
    if (entries_.empty()) return;
    if (::poll(descriptors_.data(), descriptors_.size(), 0) > 0) {
        // Backwards: a callback may end watched objects, which swaps the last one into their place.
        for (std::size_t index = entries_.size(); index-- > 0;) {
            if (index >= entries_.size() || descriptors_[index].revents == 0) continue;
            watched& gone = *entries_[index];
            descriptors_[index].fd = -1;
            descriptors_[index].revents = 0;
            gone.on_departure_(gone.context_);
        }
    }
    if (!entries_.empty()) loop_.timers().arm(*this, loop_.now() + period);
}

} // namespace evenkeel::request
