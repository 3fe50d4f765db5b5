#include "proxy/cli/live_screen.hpp"

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>

#include <fcntl.h>
#include <poll.h>
#include <termios.h>
#include <unistd.h>

namespace evenkeel::cli {

namespace {
// What the handlers need, which take no arguments.
termios as_it_was;
std::atomic<bool> taken{false};
std::atomic<int> asked_to_end{0};
std::array<int, 2> wake{-1, -1}; // what a handler writes to ends a wait that began before it

constexpr std::string_view enter_text = "\x1b[?1049h\x1b[?25l\x1b[2J", leave_text = "\x1b[0m\x1b[?25h\x1b[?1049l";
constexpr std::array ending{SIGINT, SIGTERM, SIGHUP, SIGQUIT};
constexpr std::array faults{SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};

void put(std::string_view text) noexcept {
    while (!text.empty()) {
        const ssize_t n = ::write(STDOUT_FILENO, text.data(), text.size());
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return;
        text.remove_prefix(static_cast<std::size_t>(n));
    }
}

void take() noexcept {
    termios now = as_it_was;
    now.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    now.c_cc[VMIN] = 0;
    now.c_cc[VTIME] = 0;
    ::tcsetattr(STDIN_FILENO, TCSANOW, &now);
    taken = true;
    put(enter_text);
}
// Safe in a handler: write and tcsetattr are.
void give_back() noexcept {
    if (!taken.exchange(false)) return;
    put(leave_text);
    ::tcsetattr(STDIN_FILENO, TCSANOW, &as_it_was);
}

void wake_up() noexcept {
    const char byte = 0;
    static_cast<void>(::write(wake[1], &byte, 1) < 0); // full: it will wake anyway
}
void on_end(int number) {
    asked_to_end = number;
    wake_up();
}
void on_size(int) { wake_up(); }
void on_fault(int number) {
    give_back();
    std::signal(number, SIG_DFL);
    ::raise(number);
}
void on_stop(int) {
    const int saved = errno;
    give_back();
    ::raise(SIGSTOP); // goes on here
    take();
    wake_up();
    errno = saved;
}

void handle(int number, void (*how)(int)) {
    struct sigaction action {};
    action.sa_handler = how;
    ::sigemptyset(&action.sa_mask);
    ::sigaction(number, &action, nullptr);
}
} // namespace

live_screen::live_screen() {
    static_cast<void>(::pipe2(wake.data(), O_NONBLOCK | O_CLOEXEC) != 0); // without it, a wait lasts its time
    ::tcgetattr(STDIN_FILENO, &as_it_was);
    asked_to_end = 0;
    for (const int each : ending) handle(each, on_end);
    for (const int each : faults) handle(each, on_fault);
    handle(SIGWINCH, on_size);
    handle(SIGTSTP, on_stop);
    std::atexit(give_back);
    take();
}

live_screen::~live_screen() {
    give_back();
    for (const int each : ending) std::signal(each, SIG_DFL);
    for (const int each : faults) std::signal(each, SIG_DFL);
    for (const int each : {SIGWINCH, SIGTSTP}) std::signal(each, SIG_DFL);
    for (int& each : wake) {
        if (each >= 0) ::close(each);
        each = -1;
    }
}

void live_screen::draw(const std::vector<std::string>& lines) const {
    std::string out = "\x1b[H";
    for (std::size_t i = 0; i < lines.size(); ++i) {
        out += lines[i];
        out += "\x1b[K";
        if (i + 1 < lines.size()) out += "\r\n";
    }
    out += "\x1b[J";
    put(out);
}

live_screen::input live_screen::wait(std::chrono::milliseconds most) {
    std::array<pollfd, 2> on{pollfd{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0},
                             pollfd{.fd = wake[0], .events = POLLIN, .revents = 0}};
    if (asked_to_end != 0 || ::poll(on.data(), on.size(), static_cast<int>(most.count())) <= 0) return {};
    std::array<char, 64> bytes;
    if (on[1].revents != 0)
        while (::read(wake[0], bytes.data(), bytes.size()) > 0) {}
    if ((on[0].revents & (POLLHUP | POLLERR)) != 0) asked_to_end = SIGHUP;
    char first = 0;
    if (on[0].revents == 0 || ::read(STDIN_FILENO, &first, 1) != 1) return {};
    if (first == '\n' || first == '\r') return {.what = key::enter};
    if (first == 0x7F || first == 0x08) return {.what = key::erase};
    if (first != '\x1b') return {.what = first >= ' ' && first <= '~' ? key::character : key::none, .character = first};
    // What a key sends comes at once behind it; alone it is Escape.
    pollfd more{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
    if (::poll(&more, 1, 25) <= 0) return {.what = key::escape};
    const ssize_t n = ::read(STDIN_FILENO, bytes.data(), bytes.size());
    if (n < 2 || (bytes[0] != '[' && bytes[0] != 'O')) return {};
    switch (bytes[1]) {
    case 'A': return {.what = key::up};
    case 'B': return {.what = key::down};
    case '5': return {.what = key::page_up};
    case '6': return {.what = key::page_down};
    default: return {};
    }
}

int live_screen::ended_by() noexcept { return asked_to_end; }

} // namespace evenkeel::cli
