#include "proxy/net/way_watch.hpp"

#include "proxy/net/loop.hpp"
#include "proxy/net/unacknowledged.hpp"

#include <utility>

namespace evenkeel::net {

way_watch::~way_watch() {
    while (first_ != nullptr) first_->leave();
}

void way_watch::join(watched& one) noexcept {
    one.leave();
    one.of_ = this;
    one.stuck_ = 0;
    one.waits_ = false;
    one.before_ = nullptr;
    one.after_ = first_;
    if (first_ != nullptr) first_->before_ = &one;
    first_ = &one;
    if (!armed()) loop_.timers().arm(*this, loop_.now() + interval_);
}

void way_watch::watched::leave() noexcept {
    if (of_ == nullptr) return;
    way_watch& all = *std::exchange(of_, nullptr);
    (before_ != nullptr ? before_->after_ : all.first_) = after_;
    if (after_ != nullptr) after_->before_ = before_;
    if (all.first_ == nullptr) all.cancel();
}

// What is said to be dead leaves, and nothing else does.
void way_watch::on_timer() {
    watched* next = first_;
    while (next != nullptr) look(*std::exchange(next, next->after_));
    if (first_ != nullptr) loop_.timers().arm(*this, loop_.now() + interval_);
}

void way_watch::look(watched& one) noexcept {
    const auto found = look_at_sent(one.way_descriptor());
    const bool waits = found && found->under_way > 0 && found->window_open;
    const bool stuck = waits && one.waits_ && found->acknowledged == one.acked_;
    one.waits_ = waits;
    if (found) one.acked_ = found->acknowledged;
    if (!stuck) {
        one.stuck_ = 0;
        return;
    }
    if (++one.stuck_ < static_cast<std::uint32_t>(patience)) return;
    one.leave();
    one.way_is_dead();
}

} // namespace evenkeel::net
