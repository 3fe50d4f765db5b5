#pragma once
// The program in a terminal of its own: a pseudo-terminal, and what its screen shows, as far as our programs use one.

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

namespace evenkeel::test {

class pane {
public:
    // `environment` as a shell has it: "A=b C=d".
    explicit pane(const std::string& arguments, const std::string& environment = "", unsigned short columns = 80,
                  unsigned short rows = 24)
        : columns_(columns), lines_(rows) {
        winsize size{};
        size.ws_col = columns;
        size.ws_row = rows;
        const std::string line = "env TERM=xterm NO_COLOR= " + environment + " " + EVENKEEL_PROGRAM + " " + arguments;
        const std::string whole = "exec " + line;
        child_ = ::forkpty(&terminal_, nullptr, nullptr, &size);
        if (child_ == 0) {
            ::execl("/bin/sh", "sh", "-c", whole.c_str(), static_cast<char*>(nullptr));
            ::_exit(127);
        }
    }
    ~pane() {
        if (child_ > 0 && code_ == unknown) {
            ::kill(child_, SIGKILL);
            ::waitpid(child_, nullptr, 0);
        }
        if (terminal_ >= 0) ::close(terminal_);
    }
    pane(const pane&) = delete;
    pane& operator=(const pane&) = delete;

    void type(std::string_view keys) { static_cast<void>(::write(terminal_, keys.data(), keys.size()) < 0); }
    void signal(int number) const { ::kill(child_, number); }
    void resize(unsigned short columns, unsigned short rows) {
        winsize size{};
        size.ws_col = columns;
        size.ws_row = rows;
        columns_ = columns;
        lines_.assign(rows, {});
        row_ = column_ = 0;
        ::ioctl(terminal_, TIOCSWINSZ, &size);
    }

    // Until the screen has it, or it has ended, or ten seconds have passed.
    bool shows(std::string_view text) {
        const auto until = std::chrono::steady_clock::now() + std::chrono::seconds{10};
        while (screen().find(text) == std::string::npos)
            if (std::chrono::steady_clock::now() > until || !read_some(50))
                return screen().find(text) != std::string::npos;
        return true;
    }
    // Until it is so, likewise.
    bool becomes(const auto& so) {
        const auto until = std::chrono::steady_clock::now() + std::chrono::seconds{10};
        while (!so() && std::chrono::steady_clock::now() < until && read_some(20)) {}
        return so();
    }
    // Its exit code; 128 and the signal where one ended it. -1: it goes on.
    int end() {
        const auto until = std::chrono::steady_clock::now() + std::chrono::seconds{10};
        while (read_some(50) && std::chrono::steady_clock::now() < until) {}
        if (code_ != unknown) return code_;
        for (int tries = 0; tries < 200; ++tries) {
            int status = 0;
            if (::waitpid(child_, &status, WNOHANG) == child_)
                return code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
            ::usleep(20'000);
        }
        return -1;
    }
    [[nodiscard]] std::string screen() const {
        std::string out;
        for (const std::string& each : lines_) out += each + '\n';
        return out;
    }
    [[nodiscard]] const std::string& raw() const { return raw_; }
    // As a shell would find it: the usual screen, a cursor, keys that echo and come in lines.
    [[nodiscard]] bool restored() const {
        termios now{};
        return !alternate_ && cursor_ && !overflown_ && ::tcgetattr(terminal_, &now) == 0 &&
               (now.c_lflag & ECHO) != 0 && (now.c_lflag & ICANON) != 0;
    }
    [[nodiscard]] bool in_alternate() const { return alternate_; }
    [[nodiscard]] bool overflown() const { return overflown_; } // something was written beyond the right border

private:
    static constexpr int unknown = -2;

    bool read_some(int milliseconds) {
        pollfd ready{.fd = terminal_, .events = POLLIN, .revents = 0};
        if (::poll(&ready, 1, milliseconds) <= 0) return true;
        std::array<char, 4096> block;
        const ssize_t n = ::read(terminal_, block.data(), block.size());
        if (n <= 0) return n < 0 && errno == EINTR;
        for (ssize_t i = 0; i < n; ++i) take(block[static_cast<std::size_t>(i)]);
        return true;
    }

    void take(char c) {
        raw_ += c;
        if (!escape_.empty()) {
            escape_ += c;
            if (escape_.size() == 2 && c != '[') escape_.clear();
            if (escape_.size() > 2 && c >= '@' && c <= '~') {
                obey(c);
                escape_.clear();
            }
            return;
        }
        if (c == '\x1b') {
            escape_ = c;
        } else if (c == '\r') {
            column_ = 0;
        } else if (c == '\n') {
            if (row_ + 1 < lines_.size()) {
                ++row_;
            } else {
                lines_.erase(lines_.begin());
                lines_.emplace_back();
            }
        } else if (c >= ' ') {
            if (column_ >= columns_) overflown_ = true;
            std::string& line = lines_[row_];
            if (line.size() <= column_) line.resize(column_ + 1, ' ');
            line[column_++] = c;
        }
    }
    void obey(char what) {
        const std::string_view numbers = std::string_view(escape_).substr(2, escape_.size() - 3);
        if (what == 'H') {
            const auto semicolon = numbers.find(';');
            row_ = std::min(static_cast<std::size_t>(std::max(1, std::atoi(std::string(numbers).c_str()))),
                            lines_.size()) -
                   1;
            column_ = semicolon == std::string_view::npos
                          ? 0
                          : static_cast<std::size_t>(
                                std::max(1, std::atoi(std::string(numbers.substr(semicolon + 1)).c_str()))) -
                                1;
        } else if (what == 'J') {
            const std::size_t from = numbers == "2" ? 0 : row_;
            if (from == row_ && lines_[row_].size() > column_ && numbers != "2") lines_[row_].resize(column_);
            for (std::size_t i = numbers == "2" ? 0 : from + 1; i < lines_.size(); ++i) lines_[i].clear();
        } else if (what == 'K') {
            if (lines_[row_].size() > column_) lines_[row_].resize(column_);
        } else if (what == 'h' || what == 'l') {
            if (numbers == "?1049") alternate_ = what == 'h';
            if (numbers == "?25") cursor_ = what == 'h';
        }
    }

    unsigned short columns_;
    std::vector<std::string> lines_;
    std::size_t row_ = 0, column_ = 0;
    std::string raw_, escape_;
    bool alternate_ = false, cursor_ = true, overflown_ = false;
    int terminal_ = -1;
    pid_t child_ = -1;
    int code_ = unknown;
};

} // namespace evenkeel::test
