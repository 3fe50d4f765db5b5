#include "proxy/client/half_close.hpp"

#include <algorithm>
#include <array>
#include <span>
#include <string_view>
#include <utility>

namespace evenkeel::request {

namespace {
constexpr duration look_again = std::chrono::seconds{1};
constexpr duration first_pause = std::chrono::seconds{1}; // chosen: a round trip and then some
constexpr duration longest_pause = std::chrono::seconds{32};
constexpr std::string_view interim = "HTTP/1.1 100 Continue\r\n\r\n";
} // namespace

half_close::half_close(net::loop& worker, net::client_stream& stream, owner whose)
    : loop_(worker), stream_(stream), owner_(std::move(whose)), pause_(first_pause) {}

void half_close::look() {
    const int descriptor = stream_.descriptor();
    if (descriptor < 0) return; // closed
    const net::peer_end is = owner_.kernel(descriptor);
    if (is == net::peer_end::gone) {
        cancel();
        return owner_.gone(); // last: may destroy this
    }
    const steady_time now = loop_.now();
    // With nothing of ours under way so few bytes always fit, so that none is left to be written later.
    if (is == net::peer_end::unknown && now >= next_interim_ && owner_.takes_interim() &&
        net::all_delivered(descriptor)) {
        std::array buffers{boost::asio::const_buffer(interim.data(), interim.size())};
        std::span<boost::asio::const_buffer> left = buffers;
        static_cast<void>(stream_.write_now(left)); // a failure is told by departure_watch
        next_interim_ = now + pause_;
        pause_ = std::min(pause_ * 2, longest_pause);
    }
    loop_.timers().arm(*this, now + look_again);
}

} // namespace evenkeel::request
