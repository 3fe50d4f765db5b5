#include "proxy/model/work_clock.hpp"

#include <algorithm>

namespace evenkeel::model {

double slowdown(const capacity& of, std::size_t in_service) noexcept {
    const double x = static_cast<double>(in_service) / of.attempts;
    return x > 1 ? x * (1 + of.alpha * (x - 1)) : 1;
}

work_clock::job::~job() {
    if (clock_ != nullptr) clock_->leave(*this);
}

work_clock::work_clock(double start, capacity of, std::vector<speed_step> steps)
    : capacity_(of), steps_(std::move(steps)), now_(start) {
    for (; step_ < steps_.size() && steps_[step_].at <= start; ++step_) slower_ = steps_[step_].slower;
}

work_clock::~work_clock() {
    for (job* each : due_) each->scheduled_ = false; // those in service but due for nothing must be gone by now
    for (job* each : due_) each->clock_ = nullptr;
}

double work_clock::next_step() const noexcept {
    return step_ < steps_.size() ? steps_[step_].at : std::numeric_limits<double>::infinity();
}

void work_clock::count(std::size_t in_service) noexcept {
    in_service_ = in_service;
    slowdown_ = slowdown(capacity_, in_service);
}

void work_clock::advance(double to) {
    for (;;) {
        const double until = std::min(to, next_step());
        const double pace = speed(slower_);
        if (!due_.empty()) {
            job& first = **due_.begin();
            const double at = std::max(now_, now_ + (first.due_ - work_) / pace);
            if (at <= until) {
                now_ = at;
                work_ = first.due_;
                due_.erase(due_.begin());
                first.scheduled_ = false;
                if (!first.served_) first.clock_ = nullptr;
                first.on_due(*this);
                continue;
            }
        }
        if (until > now_) {
            work_ += (until - now_) * pace;
            now_ = until;
        }
        if (next_step() > to) break;
        slower_ = steps_[step_++].slower;
    }
}

void work_clock::enter(job& who) {
    if (who.served_) return;
    who.clock_ = this;
    who.served_ = true;
    count(in_service_ + 1);
}

void work_clock::schedule(job& who, double work) {
    if (who.scheduled_) due_.erase(&who);
    who.clock_ = this;
    who.due_ = work_ + std::max(work, 0.0);
    who.order_ = ++scheduled_;
    who.scheduled_ = true;
    due_.insert(&who);
}

void work_clock::leave(job& who) noexcept {
    if (who.scheduled_) due_.erase(&who);
    if (who.served_) count(in_service_ - 1);
    who.scheduled_ = who.served_ = false;
    who.clock_ = nullptr;
}

std::optional<double> work_clock::next() const noexcept {
    if (due_.empty()) return std::nullopt;
    double at = now_, left = (*due_.begin())->due_ - work_, slower = slower_;
    for (std::size_t step = step_; step < steps_.size(); ++step) {
        const double reached = (steps_[step].at - at) * speed(slower);
        if (reached >= left) break;
        left -= reached;
        at = steps_[step].at;
        slower = steps_[step].slower;
    }
    return at + left / speed(slower);
}

} // namespace evenkeel::model
