#pragma once
// A provider at the other end of pairs of sockets, in the loop of the proxy and in its virtual time: for tests of the
// real connection pool. Its dial() takes the place of net::dial. Requests end with a body of two bytes, but a GET has
// none.

#include "proxy/net/byte_stream.hpp"
#include "proxy/net/dial.hpp"
#include "proxy/net/loop.hpp"
#include "proxy/net/nursery.hpp"

#include <algorithm>
#include <cstddef>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <sys/socket.h>
#include <utility>
#include <vector>

namespace evenkeel::test {

class virtual_provider {
public:
    explicit virtual_provider(net::loop& in) : loop_(in), servers_(in.executor(), in.failures()) {}

    duration connect_time = std::chrono::milliseconds{150};
    duration idle_limit{}; // ends connections that are idle for so long; 0: never
    bool refuses = false;
    // Of the n-th request.
    std::function<duration(std::size_t number)> answers_after = [](std::size_t) { return duration{}; };
    std::function<bool(std::size_t number)> ends_instead = [](std::size_t) { return false; }; // ... closes unanswered

    std::string answers = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n{\"a\":1}";

    std::vector<steady_time> dials{}; // when each began
    std::string last_request{};
    std::size_t requests = 0, dialling = 0, most_dialling = 0, open = 0, most_open = 0;

    [[nodiscard]] net::dial_function dialler() {
        return
            [this](net::opening& work, const net::dial_context&, const config::upstream& to) { return dial(work, to); };
    }
    [[nodiscard]] std::size_t serving() const noexcept { return servers_.size(); }

private:
    struct line {
        std::shared_ptr<net::byte_stream> stream;
        steady_time used{};
        bool busy = false;
    };

    std::shared_ptr<net::byte_stream> end_of(int fd) {
        net::stream_socket socket(loop_.executor());
        socket.assign(boost::asio::generic::stream_protocol(AF_UNIX, SOCK_STREAM), fd);
        return std::make_shared<net::byte_stream>(std::move(socket));
    }

    net::task<net::dialled> dial(net::opening& work, const config::upstream& to) {
        dials.push_back(loop_.now());
        most_dialling = std::max(most_dialling, ++dialling);
        co_await work.wake.wait_until(loop_.timers(), loop_.now() + connect_time);
        --dialling;
        net::dialled made;
        if (work.ended()) {
            made.error = work.error(to);
        } else if (refuses) {
            made.error = {net::transport_error::kind::refused, "connection_refused", 502, {}, "refused"};
        } else {
            int ends[2];
            if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0)
                throw std::runtime_error("no sockets");
            made.stream = end_of(ends[0]);
            const auto there = std::make_shared<line>(line{end_of(ends[1]), loop_.now()});
            most_open = std::max(most_open, ++open);
            servers_.spawn(serve(there));
            if (idle_limit > duration::zero()) servers_.spawn(reap(there));
        }
        co_return made;
    }

    net::task<void> serve(std::shared_ptr<line> one) {
        net::byte_stream& stream = *one->stream;
        std::string seen;
        char block[4096];
        for (;;) {
            const net::io_result got =
                co_await net::await_completion<net::io_result>([&](net::completion<net::io_result> ended) {
                    stream.start_read(boost::asio::buffer(block), std::move(ended));
                });
            if (!got.ok()) break;
            seen.append(block, got.bytes);
            const auto head = seen.find("\r\n\r\n");
            const std::size_t body = seen.starts_with("GET ") ? 0 : 2;
            if (head == std::string::npos || seen.size() < head + 4 + body) continue;
            last_request = std::exchange(seen, {});
            one->busy = true;
            if (ends_instead(requests)) break;
            co_await loop_.sleep_until(loop_.now() + answers_after(requests++));
            const std::string answer = answers;
            const boost::asio::const_buffer whole = boost::asio::buffer(answer);
            const net::io_result sent =
                co_await net::await_completion<net::io_result>([&](net::completion<net::io_result> ended) {
                    stream.start_write({&whole, 1}, std::move(ended));
                });
            if (!sent.ok()) break;
            one->busy = false;
            one->used = loop_.now();
        }
        stream.close();
        --open;
    }

    net::task<void> reap(std::shared_ptr<line> one) {
        while (!one->stream->closed()) {
            co_await loop_.sleep_until(one->busy ? loop_.now() + idle_limit : one->used + idle_limit);
            if (!one->busy && loop_.now() >= one->used + idle_limit) one->stream->close();
        }
    }

    net::loop& loop_;
    net::nursery servers_;
};

} // namespace evenkeel::test
