#include "config/load.hpp"
#include "proxy/cli/commands.hpp"
#include "proxy/cli/terminal.hpp"
#include "proxy/cli/version.hpp"
#include "proxy/server/server.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <thread>

#include <unistd.h>

namespace evenkeel::cli {

namespace {
// What an end at once may take: long enough for connections to be closed and for the log's last lines.
constexpr std::chrono::milliseconds last_moments{100};

// Whatever still runs then, or waits, is left to the system, which is told how the process died.
void die_of(int signal_number) {
    std::thread([signal_number] {
        std::this_thread::sleep_for(last_moments);
        std::signal(signal_number, SIG_DFL);
        ::kill(::getpid(), signal_number);
    }).detach();
}

// SIGHUP reloads, SIGUSR1 opens the log files anew; the first SIGTERM or SIGINT drains, the second ends at once.
class signal_handling {
public:
    explicit signal_handling(server::server& target) : target_(target), signals_(context_, SIGHUP, SIGTERM, SIGINT) {
        signals_.add(SIGUSR1);
        wait();
        thread_ = std::thread([this] { context_.run(); });
    }
    ~signal_handling() {
        context_.stop();
        thread_.join();
    }
    signal_handling(const signal_handling&) = delete;
    signal_handling& operator=(const signal_handling&) = delete;

private:
    void wait() {
        signals_.async_wait([this](const boost::system::error_code& error, int number) {
            if (error) return;
            if (number == SIGHUP) {
                target_.request_reload(); // may wait for a disk, which the next signal does not
            } else if (number == SIGUSR1) {
                target_.reopen_logs();
            } else if (!draining_) {
                draining_ = true;
                target_.drain();
            } else {
                die_of(number);
                target_.stop_now();
            }
            wait();
        });
    }

    server::server& target_;
    boost::asio::io_context context_{1};
    boost::asio::signal_set signals_;
    std::thread thread_;
    bool draining_ = false;
};

// What is torn down at the end waits for threads, and one may be stuck in a file on a disk that hangs: nobody waits for
// that.
void end_within(std::chrono::seconds most, int exit_code) {
    std::thread([most, exit_code] {
        std::this_thread::sleep_for(most);
        std::_Exit(exit_code);
    }).detach();
}
} // namespace

int run(const std::string& config_file) {
    // Sent before there is anything to be read or opened anew, neither of them is a reason to die.
    std::signal(SIGHUP, SIG_IGN);
    std::signal(SIGUSR1, SIG_IGN);
    const config::environment environment = config::process_environment();
    const auto stages = stage_names();
    const config::load_result loaded = config::load_file(config_file, environment, nullptr, stages);
    print_problems(loaded.diagnostics);
    if (!loaded.ok()) return 1;
    try {
        server::server proxy({.config_file = config_file,
                              .environment = environment,
                              .version = std::string{program_version},
                              .stages = stages},
                             loaded.settings);
        const signal_handling signals(proxy);
        proxy.start();
        const int exit_code = proxy.wait() ? 0 : 1;
        end_within(std::chrono::seconds{5}, exit_code);
        return exit_code;
    } catch (const std::exception& error) {
        std::cerr << "evenkeel: " << error.what() << '\n';
        return 1;
    }
}

} // namespace evenkeel::cli
