#include "proxy/telemetry/journal_store.hpp"

#include "proxy/events/disturbed.hpp"

#include <algorithm>
#include <exception>
#include <utility>

namespace evenkeel::telemetry {

namespace {
constexpr duration between_samples = std::chrono::seconds{1}; // (chosen)
constexpr std::size_t most_of_an_id = 32;
// Of its place in a ring, and what goes with a shared_ptr.
constexpr std::size_t of_a_place = 64;
} // namespace

void journal_store::ring::drop_oldest() noexcept {
    bytes -= requests.front().bytes;
    requests.pop_front();
}

void journal_store::request_finished(const request_account& what) noexcept {
    if (!on_.load(std::memory_order_relaxed)) return;
    const bool disturbed = is_disturbed(what);
    if (!disturbed) {
        const auto now = what.at.time_since_epoch();
        if (now.count() < next_sample_.load(std::memory_order_relaxed)) return;
        next_sample_.store((now + between_samples).count(), std::memory_order_relaxed); // two at once are no harm
    }
    try {
        auto made = std::make_shared<const kept_request>(telemetry::keep(what));
        const std::size_t bytes = made->bytes() + of_a_place;
        const std::lock_guard lock(mutex_);
        ring& to = disturbed ? disturbed_ : others_;
        to.requests.push_back({std::move(made), bytes, ++numbered_});
        to.bytes += bytes;
        make_room();
    } catch (const std::exception&) { // no memory: what happened is not kept
    }
}

void journal_store::make_room() noexcept {
    const auto over = [](const ring& of, std::size_t keep, std::size_t bytes) {
        return !of.requests.empty() && (of.requests.size() > keep || of.bytes > bytes);
    };
    // A quarter, and one where that is none.
    while (over(others_, std::max<std::size_t>(keep_ / 4, 1), max_bytes_ / 4)) {
        others_.drop_oldest();
        ++evicted_;
    }
    while (over(disturbed_, keep_ - std::min(keep_, others_.requests.size()),
                max_bytes_ - std::min(max_bytes_, others_.bytes))) {
        // What is sampled makes room where it is all that is in the way.
        ring& from = disturbed_.requests.size() > 1 || others_.requests.empty() ? disturbed_ : others_;
        from.drop_oldest();
        ++evicted_;
    }
}

void journal_store::configuration_loaded(const config::snapshot& snapshot) noexcept {
    const config::journal_options& options = snapshot->journal;
    const std::lock_guard lock(mutex_);
    keep_ = options.on ? options.keep : 0;
    max_bytes_ = options.on ? static_cast<std::size_t>(options.max_bytes) : 0;
    if (options.on) {
        make_room();
    } else {
        disturbed_ = {};
        others_ = {};
    }
    on_.store(options.on, std::memory_order_relaxed);
}

std::vector<journal_store::kept> journal_store::list(const wanted& which) const {
    const auto fits = [&](const kept_request& it) {
        return (which.route.empty() || it.route == which.route) &&
               (which.upstream.empty() || it.upstream == which.upstream) &&
               (which.model.empty() || it.model == which.model) && (!which.outcome || it.ending == *which.outcome) &&
               (!which.disturbed_only || it.disturbed) && it.started >= which.since && it.started < which.until;
    };
    std::vector<kept> found;
    const std::lock_guard lock(mutex_);
    auto one = disturbed_.requests.rbegin();
    auto other = others_.requests.rbegin();
    while (found.size() < which.limit) {
        const bool first = one != disturbed_.requests.rend(), second = other != others_.requests.rend();
        if (!first && !second) break;
        const auto& next = first && (!second || one->number > other->number) ? *one++ : *other++;
        if (fits(*next.request)) found.push_back(next.request);
    }
    return found;
}

std::vector<journal_store::kept> journal_store::find(std::string_view id) const {
    std::vector<std::pair<std::uint64_t, kept>> all;
    {
        const std::lock_guard lock(mutex_);
        for (const ring* from : {&disturbed_, &others_}) {
            for (const auto& each : from->requests)
                if (each.request->id == id || each.request->upstream_request_id == id)
                    all.emplace_back(each.number, each.request);
        }
    }
    // The parts of a fan-out end before it does, under its id.
    std::sort(all.begin(), all.end(), [](const auto& one, const auto& other) { return one.first > other.first; });
    if (all.size() > most_of_an_id) all.resize(most_of_an_id);
    std::vector<kept> found;
    for (auto& each : all) found.push_back(std::move(each.second));
    return found;
}

journal_store::report journal_store::summary() const {
    const std::lock_guard lock(mutex_);
    return {.requests = disturbed_.requests.size() + others_.requests.size(),
            .bytes = disturbed_.bytes + others_.bytes,
            .evicted = evicted_};
}

} // namespace evenkeel::telemetry
