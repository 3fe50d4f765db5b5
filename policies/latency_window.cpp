#include "policies/latency_window.hpp"

#include <algorithm>
#include <utility>

namespace evenkeel {

namespace {
// Beyond this many samples counts take less memory than a list of them. (chosen: 1 KiB, against 0.4 KiB a chunk)
constexpr std::size_t few = 512;

constexpr std::uint16_t most_in_a_slice = 65535; // of one bucket and kind: 6,500 a second within 2 % of each other

duration slice_length_of(duration window) noexcept {
    return std::max<duration>(window / latency_window::slices_per_window, std::chrono::milliseconds{1});
}
} // namespace

latency_window::latency_window(duration window, std::uint32_t min_samples) noexcept
    : slice_length_(slice_length_of(window)), enough_(2 * min_samples),
      reach_(std::max<std::int64_t>(slices_per_window, furthest_back / slice_length_)) {}

void latency_window::configure(duration window, std::uint32_t min_samples) noexcept {
    latency_window fresh(window, min_samples);
    if (fresh.slice_length_ == slice_length_) {
        enough_ = fresh.enough_;
        return;
    }
    fresh.merge(*this);
    *this = std::move(fresh);
}

void latency_window::begin_slice(steady_time now) noexcept {
    latest_ = now.time_since_epoch() / slice_length_;
    latest_ends_ = steady_time{slice_length_ * (latest_ + 1)};
}

// A slice outside the window goes as soon as the younger ones hold enough, or it is too old altogether.
void latency_window::forget() noexcept {
    std::size_t gone = 0;
    for (; gone < slices_.size(); ++gone) {
        slice& oldest = slices_[gone];
        if (oldest.number > latest_ - slices_per_window) break;
        if (held_ - oldest.held < enough_ && oldest.number > latest_ - reach_) break;
        drop(oldest);
    }
    if (gone > 0) slices_.erase(slices_.begin(), slices_.begin() + static_cast<std::ptrdiff_t>(gone));
}

void latency_window::drop(slice& old) noexcept {
    const auto subtract = [this](latency_code sample, std::uint32_t n) {
        sums_.at(sample) -= n;
        of_kind_[sample.kind()] -= n;
        held_ -= n;
    };
    if (old.dense) {
        old.counted->each(subtract);
        old.counted->clear();
    }
    for (const latency_code one : old.list) subtract(one, 1);
    old.list.clear();
    old.held = 0;
    old.dense = false;
    spare_ = std::move(old); // its memory serves the next slice
}

latency_window::slice& latency_window::slice_of(std::int64_t number) noexcept {
    const auto at = std::lower_bound(slices_.begin(), slices_.end(), number,
                                     [](const slice& one, std::int64_t wanted) { return one.number < wanted; });
    if (at != slices_.end() && at->number == number) return *at;
    slice fresh;
    if (spare_) fresh = *std::exchange(spare_, std::nullopt);
    fresh.number = number;
    return *slices_.insert(at, std::move(fresh));
}

// Beyond most_in_a_slice nothing more is counted, which keeps adding associative.
void latency_window::count(slice& in, latency_code sample, std::uint16_t by) noexcept {
    if (!in.dense && in.list.size() + by <= few) {
        for (std::uint16_t i = 0; i < by; ++i) in.list.push_back(sample);
    } else {
        if (!in.dense) [[unlikely]] {
            if (!in.counted) in.counted = std::make_unique<bucket_counts<std::uint16_t>>();
            for (const latency_code one : in.list) ++in.counted->at(one);
            in.list.clear();
            in.dense = true;
        }
        std::uint16_t& counted = in.counted->at(sample);
        by = std::min(by, static_cast<std::uint16_t>(most_in_a_slice - counted));
        counted = static_cast<std::uint16_t>(counted + by);
    }
    sums_.at(sample) += by;
    of_kind_[sample.kind()] += by;
    in.held += by;
    held_ += by;
}

void latency_window::add(latency_code sample, steady_time now) noexcept {
    turn(now);
    const bool begun = !slices_.empty() && slices_.back().number == latest_;
    count(begun ? slices_.back() : slice_of(latest_), sample, 1);
}

template <std::size_t N>
std::array<std::optional<duration>, N> latency_window::walk(const std::array<double, N>& q,
                                                            abandoned_as reading) const noexcept {
    std::array<std::optional<duration>, N> found;
    std::size_t next = 0;
    const auto target = [&] { return 1 - q[next] + 1e-12; }; // 19 of 20 are the share 0.95, whatever rounding says
    double surviving = 1;
    double at_risk = held_;
    for (std::size_t c = 0; c < latency_buckets::chunks; ++c) {
        const auto* chunk = sums_.at(c);
        if (chunk == nullptr) continue;
        for (std::size_t i = 0; i < latency_buckets::per_chunk; ++i) {
            std::uint32_t answers = chunk->of(latency_sample::answered, i);
            std::uint32_t cut = chunk->of(latency_sample::cut_off, i);
            (reading == abandoned_as::answered ? answers : cut) += chunk->of(latency_sample::abandoned, i);
            if (answers > 0) {
                const double exposed = at_risk - 0.5 * cut;
                surviving *= (exposed - answers) / exposed;
                while (surviving <= target()) {
                    found[next] = latency_buckets::middle(c * latency_buckets::per_chunk + i);
                    if (++next == N) return found;
                }
            }
            at_risk -= answers + cut;
        }
    }
    return found;
}

std::optional<duration> latency_window::quantile(double q, abandoned_as reading, steady_time now) noexcept {
    turn(now);
    return walk<1>({q}, reading)[0];
}

std::array<std::optional<duration>, 2> latency_window::quantiles(std::array<double, 2> q, abandoned_as reading,
                                                                 steady_time now) noexcept {
    turn(now);
    return walk<2>(q, reading);
}

std::optional<duration> latency_window::quantile_of_answered(double q, steady_time now) noexcept {
    turn(now);
    const double wanted = q * of_kind_[static_cast<std::size_t>(latency_sample::answered)] - 1e-9;
    std::uint32_t seen = 0;
    for (std::size_t c = 0; c < latency_buckets::chunks; ++c) {
        const auto* chunk = sums_.at(c);
        if (chunk == nullptr) continue;
        for (std::size_t i = 0; i < latency_buckets::per_chunk; ++i) {
            const std::uint32_t answers = chunk->of(latency_sample::answered, i);
            seen += answers;
            if (answers > 0 && seen >= wanted) return latency_buckets::middle(c * latency_buckets::per_chunk + i);
        }
    }
    return std::nullopt;
}

std::optional<duration> latency_window::last_answer(steady_time now) noexcept {
    turn(now);
    for (std::size_t c = latency_buckets::chunks; c-- > 0;) {
        const auto* chunk = sums_.at(c);
        if (chunk == nullptr) continue;
        for (std::size_t i = latency_buckets::per_chunk; i-- > 0;) {
            if (chunk->of(latency_sample::answered, i) > 0)
                return latency_buckets::middle(c * latency_buckets::per_chunk + i);
        }
    }
    return std::nullopt;
}

std::uint32_t latency_window::answered(steady_time now) noexcept {
    turn(now);
    return of_kind_[static_cast<std::size_t>(latency_sample::answered)];
}

void latency_window::absorb(const slice& from, std::int64_t number) noexcept {
    slice& to = slice_of(number);
    if (from.dense) from.counted->each([&](latency_code sample, std::uint16_t n) { count(to, sample, n); });
    for (const latency_code one : from.list) count(to, one, 1);
}

// Nothing is forgotten here, so the order of merging does not show: the next read forgets what the whole does not need.
void latency_window::merge(const latency_window& other) noexcept {
    for (const slice& one : other.slices_) absorb(one, other.slice_length_ * one.number / slice_length_);
    if (other.latest_ends_ <= latest_ends_) return;
    latest_ = (other.latest_ends_ - duration{1}).time_since_epoch() / slice_length_;
    latest_ends_ = steady_time{slice_length_ * (latest_ + 1)};
}

std::size_t latency_window::memory_bytes() const noexcept {
    const auto chunks_of = [](const auto& counted) {
        std::size_t bytes = 0;
        for (std::size_t c = 0; c < latency_buckets::chunks; ++c) {
            if (counted.at(c) != nullptr) bytes += sizeof(*counted.at(c));
        }
        return bytes;
    };
    const auto of_slice = [&](const slice& one) {
        return one.list.capacity() * sizeof(latency_code) +
               (one.counted ? sizeof(*one.counted) + chunks_of(*one.counted) : 0);
    };
    std::size_t bytes = sizeof(*this) + chunks_of(sums_) + slices_.capacity() * sizeof(slice);
    for (const slice& one : slices_) bytes += of_slice(one);
    return bytes + (spare_ ? of_slice(*spare_) : 0);
}

} // namespace evenkeel
