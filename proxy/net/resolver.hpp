#pragma once
// Names to addresses, off the loops. getaddrinfo blocks and may hang for many seconds, so each look-up has a thread of
// its own for as long as it takes (bounded; names come from the configuration); answers are shared by all workers. An
// answer older than its time is still handed out while a fresh one is fetched in the background, so that only the first
// request for a name waits.

#include "policies/time.hpp"
#include "proxy/net/event.hpp"
#include "proxy/net/io.hpp"

#include <boost/asio/ip/address.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace evenkeel::net {

class loop;

struct resolved {
    error_code error;
    bool not_found = false;                          // the name does not exist, as opposed to "could not be asked"
    std::vector<boost::asio::ip::address> addresses; // in the order in which they should be tried
};

struct resolver_options {
    duration lifetime = std::chrono::seconds{30};        // getaddrinfo tells no TTL; chosen, as most resolvers' floor
    duration failure_lifetime = std::chrono::seconds{1}; // a failure is not asked for again sooner, and not kept longer
    // ... but where the name does not exist: that seldom changes, and asking costs every server on the way a search.
    // (chosen: a name that is just being made, as services of a cluster are, is not waited for longer than that)
    duration absent_lifetime = std::chrono::seconds{5};
    unsigned threads = 32; // at a time, one a name: those that hang hold up no other name
};

class resolver {
    struct state;

public:
    using lookup_function = std::function<resolved(const std::string& host)>; // blocking; called on helper threads

    static resolved system_lookup(const std::string& host);

    explicit resolver(lookup_function lookup = system_lookup, resolver_options options = {});
    // Does not wait for a lookup that hangs: its thread owns what it touches and ends by itself, or with the process.
    ~resolver();
    resolver(const resolver&) = delete;
    resolver& operator=(const resolver&) = delete;

    // One waiting for a name; lives on its loop's thread. Ready at once for a literal address or a known name;
    // otherwise `wake` is set when the answer has come. Destroying it gives up waiting, not the lookup.
    class query {
    public:
        // `owner` groups the queries of one worker, for forget().
        query(resolver& from, std::string_view host, steady_time now, loop& where, event& wake, const void* owner);
        ~query();
        query(const query&) = delete;
        query& operator=(const query&) = delete;

        [[nodiscard]] bool ready() const noexcept;
        [[nodiscard]] const resolved& answer() const noexcept; // only when ready

    private:
        friend class resolver;
        struct waiting;
        std::shared_ptr<waiting> waiting_; // null: answered from memory
        std::shared_ptr<resolver::state> from_;
        std::optional<resolved> known_;
    };

    // A connection to this address failed: it goes to the end of the name's list.
    void failed(std::string_view host, const boost::asio::ip::address& address);
    // All addresses failed: the next query waits for a fresh lookup, unless the last one is younger than a second.
    void all_failed(std::string_view host);

    // No answer is posted to this owner's loop any more; called before the loop goes.
    void forget(const void* owner);

private:
    std::shared_ptr<state> state_; // shared with the helper threads
};

} // namespace evenkeel::net
