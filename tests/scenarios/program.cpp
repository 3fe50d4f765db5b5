#include "tests/scenarios/program.hpp"

#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

namespace evenkeel::test {

program::program(const std::string& rest) {
    std::string pattern = (std::filesystem::temp_directory_path() / "evenkeel-scenario-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary directory");
    directory_ = pattern;
    const std::string file = directory_ + "/evenkeel.yaml";
    std::ofstream(file) << "version: 1\nlisten: 127.0.0.1:0\nadmin: off\naccess_log: {path: \"off\"}\nlog: {path: "
                        << directory_ << "/log}\n"
                        << rest;

    std::array<std::string, 4> words{"evenkeel", "run", "-c", file};
    std::array<char*, 5> arguments{words[0].data(), words[1].data(), words[2].data(), words[3].data(), nullptr};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    const std::string said = directory_ + "/said";
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, said.c_str(), O_WRONLY | O_CREAT, 0600);
    const int failed = ::posix_spawn(&id_, EVENKEEL_PROGRAM, &actions, nullptr, arguments.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    if (failed != 0) throw std::runtime_error("cannot start " EVENKEEL_PROGRAM);

    // It logs where it listens.
    const std::string mark = "127.0.0.1:";
    for (int tries = 0; tries < 1000 && port_ == 0; ++tries) {
        std::this_thread::sleep_for(std::chrono::milliseconds{10});
        const std::string text = log();
        const auto line = text.find("listening");
        const auto at = line == std::string::npos ? line : text.find(mark, line);
        if (at != std::string::npos && text.find('\n', at) != std::string::npos)
            port_ = static_cast<std::uint16_t>(std::stoi(text.substr(at + mark.size(), 5)));
    }
    if (port_ == 0) {
        std::ostringstream why;
        why << std::ifstream(said).rdbuf();
        throw std::runtime_error("evenkeel does not listen: " + why.str() + log());
    }
}

program::~program() {
    if (id_ > 0) {
        ::kill(id_, SIGKILL);
        ::waitpid(id_, nullptr, 0);
    }
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
}

void program::hang_up() { ::kill(id_, SIGHUP); }

void program::send(int signal_number) { ::kill(id_, signal_number); }

bool program::ended() {
    if (id_ > 0 && ::waitpid(id_, nullptr, WNOHANG) == id_) id_ = 0;
    return id_ == 0;
}

int program::finish() {
    int status = 0;
    ::kill(id_, SIGTERM);
    ::waitpid(id_, &status, 0);
    id_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

std::string program::log() const {
    std::ostringstream text;
    text << std::ifstream(directory_ + "/log").rdbuf();
    return text.str();
}

} // namespace evenkeel::test
