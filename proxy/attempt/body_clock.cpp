#include "proxy/attempt/body_clock.hpp"

#include <algorithm>
#include <chrono>

namespace evenkeel::request {

namespace {
duration rate_window(double per_second) noexcept {
    static constexpr std::chrono::seconds shortest{5}; // (reference: llm-gateways 5.5)
    return std::max<duration>(shortest,
                              std::chrono::duration_cast<duration>(std::chrono::duration<double>(3 / per_second)));
}
} // namespace

void body_clock::on_timer() {
    fired_ = true;
    of_.close();
}

void body_clock::arm(duration idle, steady_time heard, const wire::stream_reader* judged, steady_time now) noexcept {
    arm(std::min({now + idle, heard + route_.timeout.content_idle,
                  judged != nullptr ? slow_by(*judged, now) : steady_time::max()}));
}

// When the wait that begins proves the stream too slow.
steady_time body_clock::slow_by(const wire::stream_reader& judged, steady_time now) const noexcept {
    const double rate = route_.stream.min_rate;
    if (rate <= 0 || !judged.has_meaning() || judged.has_terminal()) return steady_time::max();
    const duration window = rate_window(rate);
    const double wanted = rate * std::chrono::duration<double>(window).count();
    if (static_cast<double>(judged.meaningful_events() - counted_) >= wanted) return steady_time::max();
    return now + std::max(window - waited_, duration::zero());
}

void body_clock::waited(duration so_long, const wire::stream_reader& for_more) noexcept {
    const double rate = route_.stream.min_rate;
    if (rate <= 0 || !for_more.has_meaning()) return;
    waited_ += so_long;
    if (waited_ < rate_window(rate)) return;
    waited_ = {};
    counted_ = for_more.meaningful_events();
}

} // namespace evenkeel::request
