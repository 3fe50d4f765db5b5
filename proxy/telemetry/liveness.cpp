#include "proxy/telemetry/liveness.hpp"

namespace evenkeel::telemetry {

liveness::liveness(unsigned workers, steady_time now) : workers_(workers), beats_(std::make_unique<padded[]>(workers)) {
    for (unsigned worker = 0; worker < workers; ++worker) beat(worker, now);
}

void liveness::beat(unsigned worker, steady_time now) noexcept {
    beats_[worker].nanoseconds.store(now.time_since_epoch().count(), std::memory_order_relaxed);
}

bool liveness::alive(steady_time now, duration within) const noexcept {
    for (unsigned worker = 0; worker < workers_; ++worker) {
        const steady_time last{duration{beats_[worker].nanoseconds.load(std::memory_order_relaxed)}};
        if (last < now && now - last > within) return false;
    }
    return true;
}

pulse::pulse(liveness& of, unsigned worker, net::loop& loop) : of_(of), worker_(worker), loop_(loop) { on_timer(); }

void pulse::end() noexcept {
    cancel();
    of_.ended(worker_);
}

void pulse::on_timer() {
    const auto now = loop_.now();
    of_.beat(worker_, now);
    loop_.timers().arm(*this, now + liveness::interval);
}

} // namespace evenkeel::telemetry
