#pragma once
// A server on loopback that answers every request with "ok" over connections that it keeps, and whose connections can
// be made deaf: the kernel drops what comes for them, as a firewall on the way would, and acknowledges nothing. New
// ones are well, unless it is made unreachable: then they are neither made nor refused.

#include <algorithm>
#include <atomic>
#include <cctype>
#include <cstdint>
#include <iterator>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <linux/filter.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace evenkeel::test {

class deaf_server {
public:
    explicit deaf_server(std::string answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        : answer_(std::move(answer)) {
        sockaddr_in at{};
        at.sin_family = AF_INET;
        at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof at;
        ::bind(listener_, reinterpret_cast<const sockaddr*>(&at), sizeof at);
        ::listen(listener_, 64);
        ::getsockname(listener_, reinterpret_cast<sockaddr*>(&at), &size);
        port_ = ntohs(at.sin_port);
        thread_ = std::thread([this] { serve(); });
    }
    ~deaf_server() {
        over_ = true;
        thread_.join();
        for (const auto& each : open_) ::close(each.fd);
        ::close(listener_);
    }
    deaf_server(const deaf_server&) = delete;
    deaf_server& operator=(const deaf_server&) = delete;

    [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
    [[nodiscard]] int heard() const noexcept { return heard_; } // requests
    [[nodiscard]] int connections() const noexcept { return accepted_; }

    void turn_deaf() { // those that are open
        const std::lock_guard lock(mutex_);
        for (const auto& each : open_) drop_all(each.fd);
    }
    void hear_again() {
        const std::lock_guard lock(mutex_);
        for (const auto& each : open_) drop_none(each.fd);
    }
    void be_unreachable() { drop_all(listener_); }
    void be_reachable() { drop_none(listener_); }
    void say_nothing() { // it does not even read from now on
        const std::lock_guard lock(mutex_);
        silent_ = true;
    }

private:
    static void drop_all(int fd) {
        sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
        const sock_fprog program{1, &nothing};
        ::setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
    }
    static void drop_none(int fd) {
        const int none = 0;
        ::setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof none);
    }
    struct connection {
        int fd;
        std::string received;
    };
    void serve() {
        while (!over_) {
            std::vector<pollfd> asked{{listener_, POLLIN, 0}};
            {
                const std::lock_guard lock(mutex_);
                if (!silent_)
                    for (const auto& each : open_) asked.push_back({each.fd, POLLIN, 0});
            }
            if (::poll(asked.data(), asked.size(), 5) <= 0) continue;
            const std::lock_guard lock(mutex_);
            if (asked[0].revents != 0) {
                open_.push_back({::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC), {}});
                ++accepted_;
            }
            for (std::size_t at = 1; at < asked.size() && !silent_; ++at)
                if (asked[at].revents != 0) hear(open_[at - 1]);
        }
    }
    void hear(connection& from) {
        char room[4096];
        const ssize_t got = ::recv(from.fd, room, sizeof room, MSG_DONTWAIT);
        if (got == 0) ::close(std::exchange(from.fd, -1)); // poll() passes it over
        if (got <= 0) return;
        std::transform(room, room + got, std::back_inserter(from.received),
                       [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
        const auto end = from.received.find("\r\n\r\n");
        if (end == std::string::npos) return;
        const auto length = from.received.find("\r\ncontent-length: ");
        const std::size_t body = length < end ? std::stoul(from.received.substr(length + 18)) : 0;
        if (from.received.size() < end + 4 + body) return;
        from.received.clear();
        ++heard_;
        ::send(from.fd, answer_.data(), answer_.size(), MSG_NOSIGNAL);
    }

    std::string answer_;
    int listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    std::uint16_t port_ = 0;
    std::mutex mutex_;
    std::vector<connection> open_; // each until the end
    std::atomic<bool> over_{false};
    bool silent_ = false;
    std::atomic<int> heard_{0}, accepted_{0};
    std::thread thread_;
};

} // namespace evenkeel::test
