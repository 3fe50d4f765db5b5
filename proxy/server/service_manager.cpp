#include "proxy/server/service_manager.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

namespace evenkeel::server {

namespace {
constexpr std::size_t longest_status = 500; // bytes; chosen: a line of `systemctl status`

std::string_view variable(const char* name) {
    const char* const value = std::getenv(name); // NOLINT(concurrency-mt-unsafe): before any other thread
    return value != nullptr ? value : std::string_view{};
}
std::optional<long long> number_in(const char* name) {
    const std::string_view text = variable(name);
    long long number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return number;
}
} // namespace

service_manager::service_manager() {
    const std::string_view named = variable("NOTIFY_SOCKET");
    if (named.size() < 2 || named.size() >= sizeof(sockaddr_un::sun_path) || (named[0] != '/' && named[0] != '@'))
        return;
    address_ = named;
    if (address_[0] == '@') address_[0] = '\0'; // abstract: no file
    socket_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (socket_ < 0) return;
    // A manager that does not read holds nothing up.
    const timeval most{.tv_sec = 1, .tv_usec = 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof most);

    const auto within = number_in("WATCHDOG_USEC");
    const auto of = number_in("WATCHDOG_PID"); // of a wrapper's, it is not ours to answer
    if (within && *within > 0 && (variable("WATCHDOG_PID").empty() || of == ::getpid()))
        every_ = std::chrono::microseconds{*within} / 2;
}

service_manager::~service_manager() {
    if (socket_ >= 0) ::close(socket_);
}

void service_manager::reloading() const {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    tell(fmt::format("RELOADING=1\nMONOTONIC_USEC={}", now.tv_sec * 1'000'000LL + now.tv_nsec / 1000), {});
}

void service_manager::stopping(duration most, std::string_view status) const {
    tell(fmt::format("STOPPING=1\nEXTEND_TIMEOUT_USEC={}",
                     std::chrono::duration_cast<std::chrono::microseconds>(most).count()),
         status);
}

void service_manager::succeeded_by(pid_t main) {
    tell(fmt::format("MAINPID={}", main), {});
    silent_ = true;
}

void service_manager::tell(std::string_view state, std::string_view status) const {
    if (socket_ < 0 || silent_) return;
    std::string text{state};
    if (!status.empty()) {
        text += "\nSTATUS=";
        const std::string_view line = status.substr(0, std::min(status.find('\n'), longest_status));
        text += line;
    }
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    std::memcpy(to.sun_path, address_.data(), address_.size());
    // An abstract name is as long as it is said to be; the zero after a path counts.
    const std::size_t size = offsetof(sockaddr_un, sun_path) + address_.size() + (address_[0] != '\0' ? 1 : 0);
    ::sendto(socket_, text.data(), text.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&to),
             static_cast<socklen_t>(size));
}

} // namespace evenkeel::server
