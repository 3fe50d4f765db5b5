#pragma once
// Follows what the names of upstreams with `resolve: each` stand for: looks each up again every few seconds and says
// when something has changed. getaddrinfo blocks and may hang for many seconds, so each name has a thread of its own
// (names come from the configuration); one that hangs holds up neither the others nor the end of the process.
//
// While a name cannot be looked up, or stands for nothing any more, it stands for what it stood for before: whoever
// turns off the last endpoint turns off the upstream, and that its connections say by themselves.

#include "config/endpoints.hpp"
#include "config/settings.hpp"
#include "policies/time.hpp"
#include "proxy/net/resolver.hpp"

#include <functional>
#include <memory>

namespace evenkeel::server {

class address_watch {
public:
    // `changed` is called on a thread of the watch, not from inside use().
    address_watch(net::resolver::lookup_function lookup, duration every, std::function<void()> changed);
    ~address_watch(); // `changed` is not called any more
    address_watch(const address_watch&) = delete;
    address_watch& operator=(const address_watch&) = delete;

    // From now on follows the names of these settings and no others. Waits for the first answer to each, at most so
    // long.
    void use(const config::settings& written, duration at_most);
    // What the names of these settings stand for, as far as it is known.
    [[nodiscard]] config::address_book known(const config::settings& written) const;

private:
    struct state;
    std::shared_ptr<state> state_; // shared with the threads
};

} // namespace evenkeel::server
