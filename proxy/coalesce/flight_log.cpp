#include "proxy/coalesce/flight_log.hpp"

#include <algorithm>
#include <utility>

namespace evenkeel::request {

flight_log::~flight_log() { memory_.give(charged_); }

void flight_log::join(cursor& place) {
    place = {};
    place.reads = true;
    readers_.push_back(&place);
}

void flight_log::leave(cursor& place) noexcept {
    if (!std::exchange(place.reads, false)) return;
    std::erase(readers_, &place);
    if (!open_) trim();
}

std::uint64_t flight_log::fastest() const noexcept {
    std::uint64_t most = 0;
    for (const flight_log::cursor* one : readers_) most = std::max(most, one->position);
    return most;
}

void flight_log::detach_behind(std::uint64_t by, telemetry::coalesce_detachment why) noexcept {
    const std::uint64_t front = fastest();
    std::erase_if(readers_, [&](flight_log::cursor* one) {
        if (front - one->position <= by) return false;
        one->reads = false;
        one->detached = why;
        return true;
    });
}

void flight_log::trim() noexcept {
    std::uint64_t slowest = first_ + pieces_.size();
    for (const flight_log::cursor* one : readers_) slowest = std::min(slowest, one->next);
    for (; first_ < slowest; ++first_) {
        const piece& gone = pieces_.front();
        held_ -= gone.bytes->size();
        if (gone.charged) {
            charged_ -= gone.bytes->size();
            memory_.give(gone.bytes->size());
        }
        pieces_.pop_front();
    }
}

void flight_log::append(std::string data, bool first_event, bool between_events) {
    const std::uint64_t size = data.size();
    bool charged = memory_.take(size);
    if (!charged) {
        open_ = false;
        trim();
        charged = memory_.take(size);
    }
    if (!charged) {
        detach_behind(0, telemetry::coalesce_detachment::memory);
        trim();
        charged = memory_.take(size); // else: it is here already, and whoever waits for it takes it at once
    }
    if (charged) charged_ += size;
    pieces_.push_back({std::make_shared<const std::string>(std::move(data)), first_event, between_events, charged});
    end_ += size;
    held_ += size;
    if (end_ > bound_) open_ = false;
    if (open_) return;
    detach_behind(bound_, telemetry::coalesce_detachment::slow);
    trim();
}

std::optional<flight_log::piece> flight_log::take(cursor& place) {
    if (!place.reads || place.next == first_ + pieces_.size()) return std::nullopt;
    piece out = pieces_[static_cast<std::size_t>(place.next - first_)];
    ++place.next;
    place.position += out.bytes->size();
    place.between_events = out.between_events;
    return out;
}

} // namespace evenkeel::request
