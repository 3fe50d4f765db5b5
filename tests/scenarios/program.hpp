#pragma once
// `evenkeel run` as a child process, with a configuration written by the test.

#include <cstdint>
#include <string>

#include <sys/types.h>

namespace evenkeel::test {

class program {
public:
    // `rest` is the file without version, listen, admin and logs. Returns once it listens; throws std::runtime_error
    // with what it said if it does not.
    explicit program(const std::string& rest);
    ~program(); // SIGKILL, if it is still there
    program(const program&) = delete;
    program& operator=(const program&) = delete;

    [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
    [[nodiscard]] int finish(); // SIGTERM; its exit code, or -1
    [[nodiscard]] std::string log() const;
    void hang_up(); // SIGHUP
    void send(int signal_number);
    [[nodiscard]] bool ended(); // by itself or by a signal; then nothing else may be asked
    [[nodiscard]] std::string file() const { return directory_ + "/evenkeel.yaml"; }

private:
    std::string directory_;
    pid_t id_ = 0;
    std::uint16_t port_ = 0;
};

} // namespace evenkeel::test
