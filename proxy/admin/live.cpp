#include "proxy/admin/live.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/socket_base.hpp>
#include <boost/asio/write.hpp>

#include <array>
#include <cstddef>
#include <utility>

namespace evenkeel::admin {

namespace {

// What the system holds for one that does not read.
constexpr int most_unsent = 128 * 1024;

live_feed::event event_of(std::string_view name, const std::string& data) {
    std::string text = "event: ";
    text.append(name).append("\ndata: ").append(data).append("\n\n");
    return std::make_shared<const std::string>(std::move(text));
}

} // namespace

const live_feed::events& live_feed::latest(steady_time at) {
    if (latest_.overview != nullptr && at - made_ < interval_ / 2) return latest_;
    latest_.overview = event_of("overview", from_.overview());
    made_ = at;
    if (const std::uint64_t kept = from_.requests_kept(); latest_.requests == nullptr || kept != kept_) {
        kept_ = kept;
        event fresh = event_of("requests", from_.requests());
        // The undisturbed ones are kept as well, and none of them is shown.
        if (latest_.requests == nullptr || *fresh != *latest_.requests) latest_.requests = std::move(fresh);
    }
    return latest_;
}

net::task<void> send_events(live_feed& feed, connection& to, live_terms terms) {
    boost::system::error_code ignored;
    to.stream.socket().set_option(boost::asio::socket_base::send_buffer_size(most_unsent), ignored);
    live_feed::event requests_sent;
    while (terms.goes_on()) {
        live_feed::events next = feed.latest(now());
        if (next.requests == requests_sent) next.requests = nullptr;
        if (next.requests != nullptr) requests_sent = next.requests;
        std::array<live_feed::event, 2> unsent{std::move(next.overview), std::move(next.requests)};
        for (std::size_t at = 0; at < unsent.size(); ++at) {
            const live_feed::event one = std::move(unsent[at]);
            if (one == nullptr) continue;
            to.stream.expires_after(terms.write_timeout);
            const auto [broken, written] =
                co_await boost::asio::async_write(to.stream, boost::asio::buffer(*one), as_values);
            static_cast<void>(written);
            if (broken || !terms.goes_on()) co_return;
        }
        to.pause.expires_after(feed.interval());
        static_cast<void>(co_await to.pause.async_wait(as_values));
    }
}

} // namespace evenkeel::admin
