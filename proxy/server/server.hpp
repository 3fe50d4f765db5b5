#pragma once
// The process: workers, listeners, telemetry, admin, reload and drain, put together in one place.

#include "config/load.hpp"
#include "config/settings.hpp"
#include "policies/time.hpp"
#include "proxy/net/resolver.hpp"
#include "proxy/server/file_watch.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace evenkeel::net {
class given_sockets;
}

namespace evenkeel::server {

class service_manager;

struct server_options {
    std::string config_file;
    std::optional<std::string> config_text{}; // instead of what stands in it: then it is a mere name
    config::environment environment;
    std::string version;
    std::vector<std::string_view> stages{}; // of a request's way, by name, for who looks at the configuration
    net::resolver::lookup_function lookup = net::resolver::system_lookup; // names to addresses
    duration look_up_every = std::chrono::seconds{5}; // names with `resolve: each`; chosen: as often as DNS-based
                                                      // discovery of services is asked elsewhere
    file_watch_options watching{};                    // of `watch: on`
    duration look_for_dead_ways_every{};              // 0: as usual (way_watch.hpp)
    std::optional<std::uint64_t> seed{};        // of what the first worker draws, the next one its next; empty: any
    std::shared_ptr<service_manager> manager{}; // told what happens; null: nobody is
    // Which the process was given; those of another process that it takes over from may be too many, for the file may
    // have changed, those of a service manager may not.
    net::given_sockets* sockets = nullptr; // outlives the constructor
    bool takes_over = false;
    std::vector<std::string> command{}; // that starts another process such as this; empty: upgrade() does not
};

class server {
public:
    // Binds and opens everything the settings name; throws std::runtime_error (or system_error) that names what failed.
    server(server_options options, config::snapshot settings);
    ~server(); // stops at once
    server(const server&) = delete;
    server& operator=(const server&) = delete;

    void start();
    void tell_ready(); // to the service manager: that it serves, and from then on that it lives

    // What came of reading the file again.
    struct reloaded {
        bool taken = true;
        std::string problem{};                         // why not, as `evenkeel check` has it
        std::vector<std::string_view> needs_restart{}; // keys that have changed and stay as they were
    };
    // Reads the file again. A bad file changes nothing, is logged, and sets evenkeel_config_last_reload_successful to
    // 0. From any thread.
    reloaded read_again();
    bool reload() { return read_again().taken; }
    // The same on a thread of its own, where a disk that hangs holds up nothing else; `told` is called there. From any
    // thread.
    void request_reload(std::function<void(const reloaded&)> told = {});

    // The log files are opened anew, once they have been moved away. From any thread; waits for no disk.
    void reopen_logs();

    // Not ready from now on; after drain.delay stops accepting and lets requests end, at most drain.timeout. From any
    // thread.
    void drain();
    void stop_now(); // from any thread
    // Starts the program anew, which reads the file again and serves from the same sockets; once it does, this process
    // lets its requests end, at most for drain.timeout. A new process that fails changes nothing. From any thread.
    void upgrade();
    [[nodiscard]] bool wait(); // until every worker has ended; true: nothing was left over

    // As bound, in the order of `listen`: "127.0.0.1:8080", "unix:/path".
    [[nodiscard]] std::vector<std::string> addresses() const;
    [[nodiscard]] std::vector<std::string> admin_addresses() const;

private:
    reloaded take_file();
    void watch_files();
    void look_at_files();

    struct inside;
    std::unique_ptr<inside> inside_;
};

} // namespace evenkeel::server
