#include "config/load.hpp"
#include "proxy/cli/commands.hpp"
#include "proxy/cli/starter_file.hpp"
#include "proxy/cli/terminal.hpp"
#include "proxy/cli/version.hpp"
#include "proxy/net/given_sockets.hpp"
#include "proxy/server/server.hpp"
#include "proxy/server/service_manager.hpp"
#include "proxy/server/successor.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

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
        std::_Exit(128 + signal_number); // as the first process of a container it cannot be killed from within
    }).detach();
}

// SIGHUP reloads, SIGUSR1 opens the log files anew, SIGUSR2 starts a new process that takes over; the first SIGTERM or
// SIGINT drains, the second ends at once.
class signal_handling {
public:
    explicit signal_handling(server::server& target) : target_(target), signals_(context_, SIGHUP, SIGTERM, SIGINT) {
        signals_.add(SIGUSR1);
        signals_.add(SIGUSR2);
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
            } else if (number == SIGUSR2) {
                target_.upgrade();
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

namespace {
// URL=VARIABLE, or URL: it may hold equals signs itself, and no variable holds a slash.
place_with_key place_of(const std::string& text) {
    const auto equals = text.rfind('=');
    if (equals == std::string::npos || text.find('/', equals) != std::string::npos) return {.url = text};
    return {.url = text.substr(0, equals), .key = text.substr(equals + 1)};
}

bool is_variable(std::string_view name) {
    return !name.empty() && (name[0] < '0' || name[0] > '9') && std::ranges::all_of(name, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    });
}

// Empty: `why` says it.
std::string file_meant(const run_choice& choice, std::string& why) {
    plain_run wanted{.to = {.url = choice.to}, .then = {}};
    for (const std::string& each : choice.then) wanted.then.push_back(place_of(each));
    if (!choice.listen.empty()) wanted.listen = choice.listen;
    if (!choice.admin.empty()) wanted.admin = choice.admin;
    for (const place_with_key& each : wanted.then)
        if (!each.key.empty() && !is_variable(each.key))
            // Not quoted: who puts the key itself there has shown it to enough places.
            why = "--then is URL=VARIABLE with the name of an environment variable that holds the key, or URL alone";
    return why.empty() ? file_of(wanted) : std::string{};
}
} // namespace

int run(const run_choice& choice) {
    if (choice.file.empty() == choice.to.empty()) return wrong_usage("run", "say either FILE or --to URL");
    if (choice.to.empty() && (!choice.then.empty() || !choice.listen.empty() || !choice.admin.empty() || choice.print))
        return wrong_usage("run", "--then, --listen, --admin and --print go with --to");
    std::string why;
    const std::optional<std::string> text =
        choice.to.empty() ? std::nullopt : std::optional<std::string>{file_meant(choice, why)};
    if (!why.empty()) return wrong_usage("run", why);
    const std::string config_file = text ? "(command line)" : choice.file;
    if (choice.print) {
        std::cout << *text;
        std::set<std::string> assumed; // keys may not be set where it is printed
        const auto meant =
            config::load_text(*text, config_file, config::assuming(config::process_environment(), assumed));
        print_problems(meant.diagnostics);
        return meant.ok() ? 0 : 1;
    }
    // Not on stdout, where the access log goes.
    if (text) std::cerr << *text << std::flush;
    // Sent before there is anything to be read or opened anew, neither of them is a reason to die.
    std::signal(SIGHUP, SIG_IGN);
    std::signal(SIGUSR1, SIG_IGN);
    std::signal(SIGUSR2, SIG_IGN);
    server::predecessor before;
    std::optional<net::given_sockets> given;
    try {
        given = net::given_sockets::of_environment(before.there());
    } catch (const std::exception& error) {
        std::cerr << "evenkeel: " << error.what() << '\n';
        return 1;
    }
    const config::environment environment = config::process_environment();
    const auto stages = stage_names();
    const config::load_result loaded = text ? config::load_text(*text, config_file, environment, stages)
                                            : config::load_file(config_file, environment, nullptr, stages);
    print_problems(loaded.diagnostics);
    if (!loaded.ok()) return 1;
    try {
        server::server proxy({.config_file = config_file,
                              .config_text = text,
                              .environment = environment,
                              .version = std::string{program_version},
                              .stages = stages,
                              .manager = std::make_shared<server::service_manager>(),
                              .sockets = &*given,
                              .takes_over = before.there(),
                              .command = server::command_again(choice.command)},
                             loaded.settings);
        const signal_handling signals(proxy);
        proxy.start();
        before.take_over();
        proxy.tell_ready(); // the service manager listens to the old process until it has let go
        const int exit_code = proxy.wait() ? 0 : 1;
        end_within(std::chrono::seconds{5}, exit_code);
        return exit_code;
    } catch (const std::exception& error) {
        std::cerr << "evenkeel: " << error.what() << '\n';
        return 1;
    }
}

} // namespace evenkeel::cli
