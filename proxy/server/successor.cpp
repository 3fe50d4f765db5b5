#include "proxy/server/successor.hpp"

#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <system_error>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace evenkeel::server {

namespace {
constexpr int first_given = 3; // SD_LISTEN_FDS_START
constexpr const char* connection_variable = "EVENKEEL_PREDECESSOR";
constexpr duration longest_farewell =
    std::chrono::seconds{30}; // for `go`; a process that hangs lets nobody wait longer

// Whom they are for is another process.
constexpr std::array not_inherited{
    "LISTEN_FDS=", "LISTEN_PID=", "LISTEN_FDNAMES=", "WATCHDOG_PID=", "EVENKEEL_PREDECESSOR="};

[[noreturn]] void fail(const char* what) { throw std::system_error(errno, std::system_category(), what); }

std::vector<char*> pointers(std::vector<std::string>& to) {
    std::vector<char*> out;
    out.reserve(to.size() + 1);
    for (std::string& each : to) out.push_back(each.data());
    out.push_back(nullptr);
    return out;
}

// Between fork and exec: nothing that takes a lock or memory.
void put_number(char* into, long number) noexcept {
    std::array<char, 24> digits{};
    std::size_t count = 0;
    do digits[count++] = static_cast<char>('0' + number % 10);
    while ((number /= 10) > 0);
    while (count > 0) *into++ = digits[--count];
    *into = '\0';
}
void say(int to, const char* word, long number) noexcept {
    std::array<char, 64> line{};
    std::size_t size = 0;
    while (word[size] != '\0') line[size] = word[size], ++size;
    put_number(line.data() + size, number);
    while (line[size] != '\0') ++size;
    line[size++] = '\n';
    static_cast<void>(::send(to, line.data(), size, MSG_NOSIGNAL));
}

bool is_program(const std::string& path) { return ::access(path.c_str(), X_OK) == 0; }
} // namespace

std::vector<std::string> command_again(std::vector<std::string> words) {
    if (words.empty()) return words;
    std::string& program = words.front();
    if (program.find('/') != std::string::npos && is_program(program)) return words;
    const char* const told = std::getenv("PATH"); // NOLINT(concurrency-mt-unsafe): before any other thread
    const std::string path = told != nullptr ? told : "/usr/bin:/bin";
    for (std::size_t from = 0; program.find('/') == std::string::npos && !program.empty() && from <= path.size();) {
        const auto end = std::min(path.find(':', from), path.size());
        const std::string candidate = path.substr(from, end - from) + "/" + program;
        from = end + 1;
        if (candidate.front() != '/' || !is_program(candidate)) continue;
        program = candidate;
        return words;
    }
    std::array<char, 4096> file{};
    const ssize_t size = ::readlink("/proc/self/exe", file.data(), file.size());
    if (size <= 0) return {};
    program.assign(file.data(), static_cast<std::size_t>(size));
    return words;
}

successor::successor(const std::vector<std::string>& command, const std::vector<std::pair<int, std::string>>& sockets) {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) fail("socketpair");
    connection_ = ends[0];
    const int count = static_cast<int>(sockets.size()), last = first_given + count;
    // All of them beyond where they are to be, so that none is overwritten before it is moved.
    std::vector<int> beyond;
    int error = 0;
    for (int at = 0; at <= count && error == 0; ++at) {
        const int from = at < count ? sockets[static_cast<std::size_t>(at)].first : ends[1];
        beyond.push_back(::fcntl(from, F_DUPFD_CLOEXEC, last + 1));
        if (beyond.back() < 0) error = errno;
    }
    ::close(ends[1]);

    std::string names;
    for (const auto& [fd, name] : sockets) names += (names.empty() ? "" : ":") + name;
    std::vector<std::string> words = command, variables;
    for (char** each = environ; *each != nullptr; ++each) {
        const std::string_view variable = *each;
        bool wanted = true;
        for (const std::string_view other : not_inherited) wanted = wanted && !variable.starts_with(other);
        if (wanted) variables.emplace_back(variable);
    }
    variables.push_back("LISTEN_FDS=" + std::to_string(count));
    variables.push_back("LISTEN_FDNAMES=" + names);
    variables.push_back(std::string{connection_variable} + "=" + std::to_string(last));
    variables.push_back("LISTEN_PID=" + std::string(24, '\0'));
    char* const own_id = variables.back().data() + std::strlen("LISTEN_PID=");
    const std::vector<char*> arguments = pointers(words), environment = pointers(variables);

    const pid_t between = error == 0 ? ::fork() : -1;
    if (between == 0) {
        const pid_t child = ::fork();
        if (child != 0) ::_exit(child < 0 ? 1 : 0);
        for (int at = 0; at <= count; ++at) ::dup2(beyond[static_cast<std::size_t>(at)], first_given + at);
        ::close_range(static_cast<unsigned>(last) + 1, ~0U, 0);
        put_number(own_id, ::getpid());
        say(last, "pid ", ::getpid());
        ::execve(arguments[0], arguments.data(), environment.data());
        say(last, "exec ", errno);
        ::_exit(127);
    }
    if (between < 0 && error == 0) error = errno;
    for (const int each : beyond)
        if (each >= 0) ::close(each);
    if (error == 0) {
        int status = 0;
        ::waitpid(between, &status, 0);
        if (status == 0) return;
        error = EAGAIN;
    }
    ::close(connection_);
    throw std::system_error(error, std::system_category(), "starting another process");
}

successor::~successor() {
    if (!let_go_ && id_ > 0) ::kill(id_, SIGTERM);
    ::close(connection_);
}

bool successor::read_line(std::string& line, duration most) {
    const auto until = std::chrono::steady_clock::now() + most;
    for (;;) {
        if (const auto end = read_.find('\n'); end != std::string::npos) {
            line = read_.substr(0, end);
            read_.erase(0, end + 1);
            return true;
        }
        const auto left =
            std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
        pollfd waited{.fd = connection_, .events = POLLIN, .revents = 0};
        if (given_up_ || left.count() <= 0 || ::poll(&waited, 1, static_cast<int>(left.count()) + 1) == 0) return false;
        std::array<char, 256> piece{};
        const ssize_t size = ::read(connection_, piece.data(), piece.size());
        if (size == 0 || (size < 0 && errno != EINTR)) return false;
        if (size > 0) read_.append(piece.data(), static_cast<std::size_t>(size));
    }
}

std::string successor::wait(duration most) {
    const auto begun = std::chrono::steady_clock::now();
    const auto left = [&] { return most - (std::chrono::steady_clock::now() - begun); };
    std::string line;
    while (read_line(line, left())) {
        const auto number = [&](std::string_view word) {
            int value = 0;
            std::from_chars(line.data() + word.size(), line.data() + line.size(), value);
            return value;
        };
        if (line.starts_with("pid ")) id_ = number("pid ");
        if (line.starts_with("exec ")) return std::system_category().message(number("exec "));
        if (line == "ready") return {};
    }
    if (given_up_) return "this process is to end";
    if (left() <= duration::zero()) return "it was not ready in time";
    id_ = 0; // may be another's by now
    return "it ended before it was ready; it has said why";
}

void successor::give_up() noexcept {
    given_up_ = true;
    ::shutdown(connection_, SHUT_RDWR);
}

void successor::let_go() {
    let_go_ = true;
    static_cast<void>(::send(connection_, "go\n", 3, MSG_NOSIGNAL));
}

predecessor::predecessor() {
    const char* const told = std::getenv(connection_variable); // NOLINT(concurrency-mt-unsafe): before any other thread
    if (told == nullptr) return;
    const std::string_view text = told;
    int fd = -1;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), fd);
    ::unsetenv(connection_variable); // NOLINT(concurrency-mt-unsafe)
    if (error != std::errc{} || fd < first_given || ::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) return;
    connection_ = fd;
}

predecessor::~predecessor() {
    if (connection_ >= 0) ::close(connection_);
}

void predecessor::take_over() {
    if (!there()) return;
    static_cast<void>(::send(connection_, "ready\n", 6, MSG_NOSIGNAL));
    pollfd waited{.fd = connection_, .events = POLLIN, .revents = 0};
    ::poll(&waited, 1,
           static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(longest_farewell).count()));
}

} // namespace evenkeel::server
