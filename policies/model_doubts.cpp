#include "policies/model_doubts.hpp"

#include <algorithm>

namespace evenkeel {

// A model that was answered since is not silent, and of one that is no longer known nobody can say.
bool model_doubts::is_evidence(std::uint64_t model, steady_time sent, bool mute) const noexcept {
    if (!mute) return true;
    const auto& goods = places_.goods();
    const steady_time own = goods.of(model);
    return own <= sent && (own != steady_time::min() || goods.forgotten() <= sent);
}

model_doubts::change model_doubts::against_whole(steady_time sent, std::optional<silence> mute, steady_time now) {
    return of_whole(mute ? whole_.silent(sent, now, *mute) : whole_.answered(sent, false, now));
}

model_doubts::change model_doubts::blamed(const std::shared_ptr<model_doubt>& own, std::uint64_t model,
                                          steady_time sent, std::optional<silence> mute, steady_time now) {
    own->bad(sent, now);
    const auto whose = places_.judge(model, *own, now);
    const bool begins = mute ? own->doubt.silent(sent, now, *mute) : own->doubt.answered(sent, false, now);
    change all;
    if (whose.whole) all = against_whole(sent, mute, now);
    all.model_alone = !whose.whole;
    if (begins && !whole_.doubted()) all.begun.push_back(own);
    return all;
}

model_doubts::change model_doubts::good_for(std::uint64_t model, steady_time sent, steady_time now) {
    const auto own = places_.find(model, now);
    const bool was_silent = own && own->doubt.doubted();
    const bool ends = own && own->doubt.answered(sent, true, now);
    if (own) own->good(sent);
    const auto began = whole_.report();
    change all = of_whole(whole_.answered(sent, true, now));
    if (ends && !began) all.ended.push_back(own);
    if (!all.whole) return all;
    if (was_silent && began) { // ... and so were they, since the whole was
        for (const auto& one : places_.all()) {
            const auto doubt = one->doubt.report();
            if (!doubt || doubt->since < began->since) continue;
            one->doubt.clear();
            one->good(now);
        }
    }
    tell_who_stays(all);
    return all;
}

void model_doubts::tell_who_stays(change& to) const {
    for (const auto& one : places_.all()) {
        if (one->doubt.doubted()) to.begun.push_back(one);
    }
}

bool model_doubts::own(std::uint64_t model, steady_time now, bool (endpoint_doubt::*is)() const noexcept) {
    const std::scoped_lock lock(mutex_);
    const auto found = places_.find(model, now);
    return found && (found->doubt.*is)();
}

void model_doubts::passed(std::uint64_t model, steady_time now) {
    if (whole_.doubted()) whole_.passed(now);
    if (places_.none()) return;
    const std::scoped_lock lock(mutex_);
    if (const auto found = places_.find(model, now)) found->doubt.passed(now);
}

model_doubts::change model_doubts::connected(bool made, steady_time now) {
    const std::scoped_lock lock(mutex_);
    change all = of_whole(whole_.connected(made, now));
    if (all.whole) tell_who_stays(all);
    return all;
}

void model_doubts::clear() noexcept {
    const std::scoped_lock lock(mutex_);
    whole_.clear();
    places_.clear();
}

model_doubts::change model_doubts::lapse(std::uint64_t model, steady_time now) {
    const std::scoped_lock lock(mutex_);
    const bool of_all = whole_.doubted();
    change all = of_whole(of_all && whole_.lapse(now));
    if (whole_.doubted() || places_.none()) return all;
    const auto own = places_.find(model, now);
    if (own && own->doubt.lapse(now) && !of_all) all.ended.push_back(own);
    if (all.whole) tell_who_stays(all);
    return all;
}

bool model_doubts::is_news(std::uint64_t model, steady_time now) {
    if (model == 0 || !whole_.doubted()) return false;
    const std::scoped_lock lock(mutex_);
    const auto own = places_.find(model, now);
    return !places_.none() && (!own || !own->doubt.doubted());
}

bool model_doubts::probe_due(std::uint64_t model, double u, duration takes, steady_time now) {
    if (whole_.doubted()) return whole_.probe_due(u, takes, now);
    const std::scoped_lock lock(mutex_);
    const auto own = places_.find(model, now);
    return own && own->doubt.probe_due(u, takes, now);
}

bool model_doubts::goes_on_well(std::uint64_t model, int under_way, steady_time now) {
    if (whole_.doubted()) return whole_.goes_on_well(under_way);
    const std::scoped_lock lock(mutex_);
    const auto own = places_.find(model, now);
    return own && own->doubt.goes_on_well(under_way);
}

duration model_doubts::gap(std::uint64_t model, steady_time now) {
    if (whole_.doubted()) return whole_.gap();
    const std::scoped_lock lock(mutex_);
    const auto own = places_.find(model, now);
    return own ? own->doubt.gap() : duration::zero();
}

bool model_doubts::is_probing(std::uint64_t model) const noexcept {
    return std::find(probing_.begin(), probing_.end(), model) != probing_.end();
}

bool model_doubts::probed(std::uint64_t model) noexcept {
    const std::scoped_lock lock(mutex_);
    return is_probing(model);
}

bool model_doubts::probed() noexcept {
    const std::scoped_lock lock(mutex_);
    return std::any_of(probing_.begin(), probing_.end(), [](const auto& one) { return one.has_value(); });
}

bool model_doubts::may_begin_probing(std::uint64_t model) noexcept {
    const std::scoped_lock lock(mutex_);
    return !is_probing(model) && std::find(probing_.begin(), probing_.end(), std::nullopt) != probing_.end();
}

bool model_doubts::begin_probing(std::uint64_t model) noexcept {
    const std::scoped_lock lock(mutex_);
    const auto free = std::find(probing_.begin(), probing_.end(), std::nullopt);
    if (is_probing(model) || free == probing_.end()) return false;
    *free = model;
    return true;
}

void model_doubts::end_probing(std::uint64_t model) noexcept {
    const std::scoped_lock lock(mutex_);
    const auto mine = std::find(probing_.begin(), probing_.end(), model);
    if (mine != probing_.end()) mine->reset();
}

std::vector<model_doubts::summary> model_doubts::report() {
    std::vector<summary> all;
    if (places_.none() || whole_.doubted()) return all;
    const std::scoped_lock lock(mutex_);
    for (const auto& one : places_.all()) {
        if (const auto doubt = one->doubt.report()) all.push_back({one->model, one->name, *doubt});
    }
    return all;
}

} // namespace evenkeel
