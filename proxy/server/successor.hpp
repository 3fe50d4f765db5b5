#pragma once
// Another process of the same program that takes over the listening sockets of this one, so that an upgrade refuses
// nobody: both serve from the same sockets until the old one lets go of them.
//
// The old process starts the new one with duplicates of its sockets (LISTEN_FDS and so on) and one end of a connection
// (EVENKEEL_PREDECESSOR). The new one says `pid N` and, once it serves, `ready`; the old one answers `go`, and drains.
// What ends before it is ready has changed nothing. The new process is no child of the old one but of who looks after
// orphans (systemd), which learns of its end that way.

#include "policies/time.hpp"

#include <atomic>
#include <string>
#include <utility>
#include <vector>

#include <sys/types.h>

namespace evenkeel::server {

// What starts this program again, by the command line that started it: the program as it can be found when another file
// has taken its place. Empty: it cannot be found.
[[nodiscard]] std::vector<std::string> command_again(std::vector<std::string> words);

class successor {
public:
    // Descriptor and name of each socket; the descriptors stay the caller's. Throws std::system_error.
    successor(const std::vector<std::string>& command, const std::vector<std::pair<int, std::string>>& sockets);
    ~successor(); // to one that was not let go: SIGTERM
    successor(const successor&) = delete;
    successor& operator=(const successor&) = delete;

    // Until it serves, no longer than that. Empty: it does; or else why not.
    [[nodiscard]] std::string wait(duration most);
    void give_up() noexcept; // from any thread: wait() ends
    void let_go();           // it is the service now
    [[nodiscard]] pid_t id() const noexcept { return id_; }

private:
    [[nodiscard]] bool read_line(std::string& line, duration most);

    int connection_ = -1;
    std::string read_;
    pid_t id_ = 0;
    bool let_go_ = false;
    std::atomic<bool> given_up_{false};
};

// The other end.
class predecessor {
public:
    predecessor(); // of the environment, and out of it
    ~predecessor();
    predecessor(const predecessor&) = delete;
    predecessor& operator=(const predecessor&) = delete;

    [[nodiscard]] bool there() const noexcept { return connection_ >= 0; }
    // This process serves: the old one is to let go. Returns when it has, or is gone.
    void take_over();

private:
    int connection_ = -1;
};

} // namespace evenkeel::server
