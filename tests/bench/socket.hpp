#pragma once
// Loopback TCP and epoll for the two bench programs, bare on purpose: what they cost must stay small beside what they
// measure. Every failure here is one of the set-up and ends the program.

#include "options.hpp"

#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <span>
#include <string>
#include <string_view>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace evenkeel::bench {

inline sockaddr_in parse_address(const std::string& text) {
    const auto colon = text.rfind(':');
    sockaddr_in address{};
    address.sin_family = AF_INET;
    if (colon == std::string::npos || inet_pton(AF_INET, text.substr(0, colon).c_str(), &address.sin_addr) != 1)
        die("not an address: " + text);
    address.sin_port = htons(static_cast<std::uint16_t>(std::atoi(text.c_str() + colon + 1)));
    return address;
}

inline const sockaddr* generic(const sockaddr_in& address) { return reinterpret_cast<const sockaddr*>(&address); }

// Non-blocking, and each write leaves at once: events are written one by one.
inline void prepare(int fd) {
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

inline int connect_to(const sockaddr_in& address) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) die(std::string{"socket: "} + std::strerror(errno));
    if (connect(fd, generic(address), sizeof address) != 0) die(std::string{"connect: "} + std::strerror(errno));
    prepare(fd);
    return fd;
}

inline int listen_on(const sockaddr_in& address) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, generic(address), sizeof address) != 0 || listen(fd, 4096) != 0)
        die(std::string{"listen: "} + std::strerror(errno));
    return fd;
}

inline std::uint16_t local_port(int fd) {
    sockaddr_in address{};
    socklen_t size = sizeof address;
    getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
    return ntohs(address.sin_port);
}

// Level-triggered readiness, waiting with nanosecond deadlines.
class poller {
public:
    poller() {
        // The kernel's default slack of 50 us would move every paced event and every scheduled request.
        prctl(PR_SET_TIMERSLACK, 1);
    }
    poller(const poller&) = delete;
    poller& operator=(const poller&) = delete;
    ~poller() { close(epoll_); }

    void add(int fd, std::uint64_t tag) const { change(EPOLL_CTL_ADD, fd, tag, false); }
    void remove(int fd) const { epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr); }
    void want_write(int fd, std::uint64_t tag, bool wanted) const { change(EPOLL_CTL_MOD, fd, tag, wanted); }

    // Waits until something is ready or the deadline (of now_ns) has come; a deadline below 0 is none.
    std::span<const epoll_event> wait(std::int64_t now, std::int64_t deadline) {
        timespec left{};
        if (deadline > now) {
            left.tv_sec = (deadline - now) / 1'000'000'000;
            left.tv_nsec = (deadline - now) % 1'000'000'000;
        }
        const int n = epoll_pwait2(epoll_, ready_.data(), static_cast<int>(ready_.size()),
                                   deadline < 0 ? nullptr : &left, nullptr);
        return {ready_.data(), static_cast<std::size_t>(n < 0 ? 0 : n)};
    }

private:
    void change(int operation, int fd, std::uint64_t tag, bool write) const {
        epoll_event event{};
        event.events = write ? EPOLLIN | EPOLLOUT : EPOLLIN;
        event.data.u64 = tag;
        if (epoll_ctl(epoll_, operation, fd, &event) != 0) die(std::string{"epoll_ctl: "} + std::strerror(errno));
    }

    int epoll_ = epoll_create1(EPOLL_CLOEXEC);
    std::array<epoll_event, 256> ready_{};
};

} // namespace evenkeel::bench
