// The provider behind every subject: keep-alive HTTP/1.1 on one epoll thread. Not the simulated provider, which takes
// 50 to 75 us of CPU for such a request where this takes 10 to 15 (release, 16 connections, 2026-11-29): 20,000 a
// second would be all that its core gives, before the generator that shares it has had its part, and so the bottleneck.
// A POST is answered with 1 KiB of JSON, or with a stream of events when its x-bench-stream field asks for one
// (events/interval in us); each event is one chunk and one write, the first one interval after the head. One that asks
// for it is turned away once. The faults prove that the generator's checks do check.
//
//   bench_origin --listen 127.0.0.1:0 [--port-file F] [--wrong-body-every N] [--wrong-status-every N] [--cut-every N]

#include "http_text.hpp"
#include "socket.hpp"
#include "workload.hpp"

#include <fstream>
#include <memory>
#include <queue>
#include <utility>
#include <vector>

namespace evenkeel::bench {
namespace {

struct faults {
    std::uint64_t wrong_body_every = 0, wrong_status_every = 0, cut_every = 0; // every Nth answer; 0: never
};

bool is_due(std::uint64_t count, std::uint64_t every) { return every != 0 && count % every == 0; }

struct client {
    int fd = -1;
    std::string in, out;   // received and not yet a whole request; what the socket did not take
    std::size_t whole = 0; // bytes of the request that is coming; 0: its head is not here yet
    stream_shape shape;    // of the stream in progress; events == 0: none
    std::uint32_t next_event = 0;
    std::uint32_t cut_after = 0;
    std::int64_t stream_began = 0;
};

class origin {
public:
    origin(int listener, faults wanted) : listener_(listener), faults_(wanted) {
        poller_.add(listener_, listener_tag);
        wrong_body_.back() = '!';
        wrong_status_.replace(9, 3, "500");
    }

    [[noreturn]] void run() {
        for (;;) {
            const std::int64_t deadline = due_.empty() ? -1 : due_.top().at;
            for (const epoll_event& event : poller_.wait(now_ns(), deadline)) {
                if (event.data.u64 == listener_tag)
                    accept_all();
                else
                    serve(event.data.u64, event.events);
            }
            write_due_events();
        }
    }

private:
    static constexpr std::uint64_t listener_tag = ~std::uint64_t{0};

    struct due_event {
        std::int64_t at;
        std::uint64_t client;
        bool operator<(const due_event& other) const { return at > other.at; } // the earliest on top
    };

    void accept_all() {
        for (;;) {
            const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
            if (fd < 0) return;
            prepare(fd);
            // Tags are never used twice, so an event that is still due for a client that left finds nobody.
            const std::uint64_t tag = clients_.size();
            clients_.push_back(std::make_unique<client>());
            clients_.back()->fd = fd;
            poller_.add(fd, tag);
        }
    }

    void drop(std::uint64_t tag) {
        close(clients_[tag]->fd);
        clients_[tag].reset();
    }

    void serve(std::uint64_t tag, std::uint32_t ready) {
        if (!clients_[tag]) return;
        client& from = *clients_[tag];
        if ((ready & EPOLLOUT) != 0 && !flush(tag)) return;
        if ((ready & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0) return;
        const ssize_t n = recv(from.fd, buffer_.data(), buffer_.size(), 0);
        if (n <= 0) {
            if (n == 0 || errno != EAGAIN) drop(tag);
            return;
        }
        from.in.append(buffer_.data(), static_cast<std::size_t>(n));
        if (from.shape.events == 0) answer_requests(tag);
    }

    void answer_requests(std::uint64_t tag) {
        while (clients_[tag] && clients_[tag]->shape.events == 0) {
            client& from = *clients_[tag];
            if (from.in.size() < from.whole) return;
            const auto end = from.in.find("\r\n\r\n");
            if (end == std::string::npos) return;
            const std::string_view head = std::string_view{from.in}.substr(0, end + 2);
            from.whole = end + 4 + to_number(field_value(head, "content-length").value_or("0"));
            if (from.in.size() < from.whole) return;
            const std::string_view shape = field_value(head, shape_field).value_or("0/0");
            const auto slash = std::min(shape.find('/'), shape.size() - 1);
            from.shape = {static_cast<std::uint32_t>(to_number(shape.substr(0, slash))),
                          static_cast<std::int64_t>(to_number(shape.substr(slash + 1)))};
            const bool refused = field_value(head, refuse_field).has_value() && (refused_ = !refused_);
            from.in.erase(0, std::exchange(from.whole, 0));
            if (refused) {
                send_to(tag, refusal_);
            } else if (from.shape.events == 0) {
                send_to(tag, next_answer());
            } else {
                begin_stream(tag);
            }
        }
    }

    const std::string& next_answer() {
        ++answers_;
        if (is_due(answers_, faults_.wrong_status_every)) return wrong_status_;
        return is_due(answers_, faults_.wrong_body_every) ? wrong_body_ : answer_;
    }

    void begin_stream(std::uint64_t tag) {
        client& to = *clients_[tag];
        to.next_event = 0;
        to.cut_after = is_due(++streams_, faults_.cut_every) ? to.shape.events / 2 : to.shape.events;
        to.stream_began = now_ns();
        if (send_to(tag, stream_head_)) schedule(tag);
    }

    void schedule(std::uint64_t tag) {
        const client& to = *clients_[tag];
        if (!to.out.empty()) return; // flush() goes on once the client has read
        // From the stream's start, so that a late event does not delay those after it.
        due_.push({to.stream_began + (to.next_event + 1) * to.shape.interval_us * 1000, tag});
    }

    void write_due_events() {
        const std::int64_t now = now_ns();
        // One pass over what is due now: streams without an interval take turns instead of running one to its end.
        for (std::size_t n = due_.size(); n != 0 && !due_.empty() && due_.top().at <= now; --n) {
            const std::uint64_t tag = due_.top().client;
            due_.pop();
            if (clients_[tag]) write_event(tag);
        }
    }

    void write_event(std::uint64_t tag) {
        client& to = *clients_[tag];
        if (to.next_event == to.cut_after) {
            if (to.cut_after != to.shape.events) return drop(tag);
            to.shape = {};
            if (send_to(tag, chunk(stream_end) + "0\r\n\r\n")) answer_requests(tag);
            return;
        }
        if (send_to(tag, chunk(event_text(to.next_event, now_ns())))) {
            ++to.next_event;
            schedule(tag);
        }
    }

    static std::string chunk(std::string_view data) {
        std::array<char, 20> size{};
        const int length = std::snprintf(size.data(), size.size(), "%zx\r\n", data.size());
        return std::string{size.data(), static_cast<std::size_t>(length)}.append(data).append("\r\n");
    }

    // False when the client is gone.
    bool send_to(std::uint64_t tag, std::string_view bytes) {
        client& to = *clients_[tag];
        std::size_t sent = 0;
        if (to.out.empty()) {
            const ssize_t n = send(to.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (n < 0 && errno != EAGAIN) {
                drop(tag);
                return false;
            }
            sent = n < 0 ? 0 : static_cast<std::size_t>(n);
            if (sent != bytes.size()) poller_.want_write(to.fd, tag, true);
        }
        to.out.append(bytes.substr(sent));
        return true;
    }

    bool flush(std::uint64_t tag) {
        client& to = *clients_[tag];
        const ssize_t n = send(to.fd, to.out.data(), to.out.size(), MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN) {
            drop(tag);
            return false;
        }
        to.out.erase(0, n < 0 ? 0 : static_cast<std::size_t>(n));
        if (to.out.empty()) {
            poller_.want_write(to.fd, tag, false);
            if (to.shape.events != 0) schedule(tag);
        }
        return true;
    }

    int listener_;
    faults faults_;
    poller poller_;
    std::vector<std::unique_ptr<client>> clients_; // by tag; empty where the client left
    std::priority_queue<due_event> due_;
    std::array<char, 65536> buffer_{};
    std::uint64_t answers_ = 0, streams_ = 0;
    bool refused_ = false;
    const std::string answer_ = answer_bytes(), stream_head_ = stream_head(), refusal_ = refusal_bytes();
    std::string wrong_body_ = answer_, wrong_status_ = answer_;
};

} // namespace
} // namespace evenkeel::bench

int main(int argc, char** argv) {
    using namespace evenkeel::bench;
    const options given(argc, argv, 1, {"listen", "port-file", "wrong-body-every", "wrong-status-every", "cut-every"});
    const int listener = listen_on(parse_address(given.text("listen")));
    const std::uint16_t port = local_port(listener);
    if (const std::string file = given.text("port-file"); !file.empty()) std::ofstream(file) << port << '\n';
    std::printf("listening on 127.0.0.1:%u\n", port);
    std::fflush(stdout);
    origin(listener,
           {given.count("wrong-body-every", 0), given.count("wrong-status-every", 0), given.count("cut-every", 0)})
        .run();
}
