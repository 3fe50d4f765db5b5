#pragma once
// What a service manager is told of this process, as sd_notify(3) says: datagrams to the unix socket that NOTIFY_SOCKET
// names (a path, or @name). Without that variable nothing is said. Written here, as the manual page shows it: the
// library would bring five others with it.
//
// With WATCHDOG_USEC it wants a sign of life that often. It gets one twice as often, for as long as every worker's loop
// turns (watchdog.hpp); a process whose workers hang is silent, and is started anew.

#include "policies/time.hpp"

#include <atomic>
#include <optional>
#include <string>
#include <string_view>

#include <sys/types.h>

namespace evenkeel::server {

class service_manager {
public:
    service_manager(); // of the environment
    ~service_manager();
    service_manager(const service_manager&) = delete;
    service_manager& operator=(const service_manager&) = delete;

    // From any thread. A status is one line for people.
    void ready(std::string_view status) const { tell("READY=1", status); }
    void reloading() const;                                      // until the next ready()
    void stopping(duration most, std::string_view status) const; // it takes no longer than that
    void alive() const { tell("WATCHDOG=1", {}); }
    // From now on that process is the service; this one says nothing more.
    void succeeded_by(pid_t main);

    [[nodiscard]] std::optional<duration> sign_of_life_every() const noexcept {
        return every_;
    } // empty: none is wanted

private:
    void tell(std::string_view state, std::string_view status) const;

    int socket_ = -1;
    std::string address_; // as sun_path wants it
    std::optional<duration> every_;
    std::atomic<bool> silent_{false};
};

} // namespace evenkeel::server
