#pragma once
// The process: workers, listeners, telemetry, admin, reload and drain, put together in one place.

#include "config/load.hpp"
#include "config/settings.hpp"
#include "policies/time.hpp"
#include "proxy/net/resolver.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace evenkeel::server {

struct server_options {
    std::string config_file;
    std::optional<std::string> config_text{}; // instead of what stands in it: then it is a mere name
    config::environment environment;
    std::string version;
    std::vector<std::string_view> stages{}; // of a request's way, by name, for who looks at the configuration
    net::resolver::lookup_function lookup = net::resolver::system_lookup; // names to addresses
    duration look_up_every = std::chrono::seconds{5}; // names with `resolve: each`; chosen: as often as DNS-based
                                                      // discovery of services is asked elsewhere
    duration look_for_dead_ways_every{};              // 0: as usual (way_watch.hpp)
};

class server {
public:
    // Binds and opens everything the settings name; throws std::runtime_error (or system_error) that names what failed.
    server(server_options options, config::snapshot settings);
    ~server(); // stops at once
    server(const server&) = delete;
    server& operator=(const server&) = delete;

    void start();

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
    void stop_now();           // from any thread
    [[nodiscard]] bool wait(); // until every worker has ended; true: nothing was left over

    // As bound, in the order of `listen`: "127.0.0.1:8080", "unix:/path".
    [[nodiscard]] std::vector<std::string> addresses() const;
    [[nodiscard]] std::vector<std::string> admin_addresses() const;

private:
    struct inside;
    std::unique_ptr<inside> inside_;
};

} // namespace evenkeel::server
