#include "proxy/net/warm_keeper.hpp"

#include <algorithm>

namespace evenkeel::net {

namespace {
constexpr duration gate_recheck = std::chrono::seconds{1}; // of an endpoint that may not be dialled now; chosen
} // namespace

warm_keeper::warm_keeper(loop& in, warmed_endpoint& of, const warming& how) noexcept
    : loop_(in), pool_(of), how_(how) {}

void warm_keeper::configure(const prewarm_options& options) {
    policy_.configure(options, how_.workers);
    if (!options.on) return stop();
    stopped_ = false;
    look();
}

void warm_keeper::stop() noexcept {
    if (stopped_) return;
    stopped_ = true;
    cancel();
    set_target(0);
    const auto under_way = dialling_; // each may end at once
    for (dialling* each : under_way) each->cancel.request();
}

void warm_keeper::taken(bool ready) noexcept {
    if (stopped_) return;
    policy_.taken(ready, how_.draw(), loop_.now());
    look();
}

void warm_keeper::released(duration held) noexcept {
    if (stopped_) return;
    policy_.released(held);
    look();
}

void warm_keeper::unused() noexcept {
    if (stopped_) return;
    policy_.unused(how_.draw(), loop_.now());
    look();
}

void warm_keeper::look() noexcept {
    if (stopped_) return;
    const steady_time now = loop_.now();
    if (!armed() || due() > now) loop_.timers().arm(*this, now);
}

void warm_keeper::set_target(std::size_t target) noexcept {
    if (target != target_) pool_.target_changed(static_cast<int>(target) - static_cast<int>(target_));
    target_ = target;
}

void warm_keeper::on_timer() {
    const steady_time now = loop_.now();
    prewarm::connections present = pool_.present();
    present.opening = dialling_.size() + begun_;
    const prewarm::decision decided = policy_.decide(present, now);
    set_target(decided.target);
    if (decided.again) return loop_.timers().arm(*this, *decided.again);
    if (decided.open == 0) return;
    if (!how_.may_dial(pool_.settings())) return loop_.timers().arm(*this, now + gate_recheck);
    for (std::size_t i = 0; i < decided.open; ++i) {
        ++begun_;
        pool_.dial_ahead();
    }
}

warm_keeper::dialling::dialling(warm_keeper& of) : keeper_(of) {
    if (keeper_.begun_ > 0) --keeper_.begun_;
    keeper_.dialling_.push_back(this);
    if (keeper_.stopped_) cancel.request();
}

warm_keeper::dialling::~dialling() {
    std::erase(keeper_.dialling_, this);
    keeper_.look();
}

void warm_keeper::dialling::ended(bool opened) noexcept {
    if (opened) {
        keeper_.policy_.opened();
    } else {
        keeper_.policy_.failed(keeper_.how_.draw(), keeper_.loop_.now());
    }
}

} // namespace evenkeel::net
