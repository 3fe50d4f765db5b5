#include "proxy/net/resolver.hpp"

#include "proxy/net/loop.hpp"

#include <boost/asio/error.hpp>

#include <algorithm>
#include <csignal>
#include <deque>
#include <map>
#include <mutex>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <thread>

namespace evenkeel::net {

// Touched on the query's loop only, except that the helper thread holds the pointer.
struct resolver::query::waiting {
    waiting(loop& on, event& signal, const void* by) : where(on), wake(&signal), owner(by) {}
    loop& where;
    event* wake; // null once the query is gone
    const void* owner;
    std::optional<resolved> answer;
};

struct resolver::state : std::enable_shared_from_this<state> {
    struct entry {
        resolved last;        // the last good answer, or the failure if there is none
        steady_time asked{};  // when the last lookup was started
        bool known = false;   // `last` is meaningful
        bool stale = false;   // every address of `last` failed
        bool running = false; // a lookup is queued or under way
        std::vector<std::shared_ptr<query::waiting>> waiting;
    };

    state(lookup_function function, resolver_options given) : lookup(std::move(function)), options(given) {}

    // All under `mutex`.
    void start(const std::string& host, entry& of, steady_time now);
    void run(); // a helper thread: works off the queue, then ends
    void finish(entry& of, resolved answer);

    lookup_function lookup;
    resolver_options options;
    std::mutex mutex;
    bool stopped = false;
    unsigned threads = 0;
    std::deque<std::string> queue;                     // names, each at most once
    std::map<std::string, entry, std::less<>> entries; // names come from the configuration only
};

void resolver::state::start(const std::string& host, entry& of, steady_time now) {
    if (of.running) return;
    of.running = true;
    of.asked = now;
    queue.push_back(host);
    if (threads >= options.threads) return;
    ++threads;
    // Signals stay with the main thread.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
        std::thread([self = shared_from_this()] { self->run(); }).detach();
    } catch (const std::system_error&) {
        // No thread to be had: another one of ours will see the queue. There is none: then this name alone is queued,
        // because a thread ends only when the queue is empty, and its queries fail now.
        if (--threads == 0) {
            queue.clear();
            finish(of, {boost::asio::error::no_memory, false, {}});
        }
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void resolver::state::run() {
    std::unique_lock lock(mutex);
    while (!stopped && !queue.empty()) {
        const std::string host = std::move(queue.front());
        queue.pop_front();
        lock.unlock();
        resolved answer = lookup(host);
        lock.lock();
        finish(entries[host], std::move(answer));
    }
    --threads;
}

void resolver::state::finish(entry& of, resolved answer) {
    of.running = false;
    if (!answer.error && answer.addresses.empty()) answer.error = boost::asio::error::host_not_found;
    const bool have_old = of.known && !of.last.error;
    // While the name server cannot be asked, yesterday's addresses are better than none; a name that is gone is gone.
    if (!answer.error || !have_old || answer.not_found) {
        of.last = std::move(answer);
        of.known = true;
    }
    of.stale = false;
    for (const auto& one : of.waiting) {
        // Posting under the lock: forget() and ~query take it too, so that no answer reaches a loop after they
        // returned.
        one->where.post([one, found = of.last]() mutable {
            if (one->wake == nullptr) return;
            one->answer = std::move(found);
            one->wake->set();
        });
    }
    of.waiting.clear();
}

resolver::resolver(lookup_function lookup, resolver_options options)
    : state_(std::make_shared<state>(std::move(lookup), options)) {}

resolver::~resolver() {
    const std::scoped_lock lock(state_->mutex);
    state_->stopped = true;
    state_->queue.clear();
    for (auto& [host, one] : state_->entries) one.waiting.clear();
}

resolver::query::query(resolver& from, std::string_view host, steady_time now, loop& where, event& wake,
                       const void* owner)
    : from_(from.state_) {
    error_code not_literal;
    const auto literal = boost::asio::ip::make_address(std::string(host), not_literal);
    if (!not_literal) {
        known_ = resolved{{}, false, {literal}};
        return;
    }
    state& all = *from_;
    const std::scoped_lock lock(all.mutex);
    auto found = all.entries.find(host);
    if (found == all.entries.end()) found = all.entries.emplace(std::string(host), state::entry{}).first;
    state::entry& one = found->second;
    const duration age = now - one.asked;
    if (one.known) {
        if (one.last.error || one.stale) {
            // Refused a moment ago: the same answer. Older: ask again, and wait.
            const bool absent = one.last.error && one.last.not_found;
            const duration lifetime = absent ? all.options.absent_lifetime : all.options.failure_lifetime;
            if (!one.running && age < lifetime) known_ = one.last;
        } else {
            known_ = one.last;
            if (age >= all.options.lifetime) all.start(found->first, one, now);
        }
    }
    if (known_) return;
    waiting_ = std::make_shared<waiting>(where, wake, owner);
    one.waiting.push_back(waiting_);
    all.start(found->first, one, now);
}

resolver::query::~query() {
    if (!waiting_) return;
    waiting_->wake = nullptr;
    if (waiting_->answer) return; // no longer listed
    const std::scoped_lock lock(from_->mutex);
    for (auto& [host, one] : from_->entries) std::erase(one.waiting, waiting_);
}

bool resolver::query::ready() const noexcept { return known_ || waiting_->answer; }

const resolved& resolver::query::answer() const noexcept { return known_ ? *known_ : *waiting_->answer; }

void resolver::failed(std::string_view host, const boost::asio::ip::address& address) {
    const std::scoped_lock lock(state_->mutex);
    const auto found = state_->entries.find(host);
    if (found == state_->entries.end()) return;
    auto& list = found->second.last.addresses;
    const auto at = std::find(list.begin(), list.end(), address);
    if (at != list.end()) std::rotate(at, at + 1, list.end());
}

void resolver::all_failed(std::string_view host) {
    const std::scoped_lock lock(state_->mutex);
    const auto found = state_->entries.find(host);
    if (found != state_->entries.end() && !found->second.last.error) found->second.stale = true;
}

void resolver::forget(const void* owner) {
    const std::scoped_lock lock(state_->mutex);
    for (auto& [host, one] : state_->entries) {
        std::erase_if(one.waiting, [&](const auto& each) { return each->owner == owner; });
    }
}

resolved resolver::system_lookup(const std::string& host) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* list = nullptr;
    const int failure = ::getaddrinfo(host.c_str(), nullptr, &hints, &list);
    if (failure != 0) {
        resolved out;
        out.not_found = failure == EAI_NONAME || failure == EAI_NODATA;
        out.error = out.not_found ? error_code(boost::asio::error::host_not_found)
                                  : error_code(boost::asio::error::host_not_found_try_again);
        return out;
    }
    std::vector<boost::asio::ip::address> first, second; // families as the system prefers them, RFC 6724
    const int preferred = list->ai_family;
    for (const addrinfo* one = list; one != nullptr; one = one->ai_next) {
        auto& into = one->ai_family == preferred ? first : second;
        if (one->ai_family == AF_INET) {
            const auto* in = reinterpret_cast<const sockaddr_in*>(one->ai_addr);
            into.emplace_back(boost::asio::ip::address_v4(ntohl(in->sin_addr.s_addr)));
        } else if (one->ai_family == AF_INET6) {
            const auto* in = reinterpret_cast<const sockaddr_in6*>(one->ai_addr);
            boost::asio::ip::address_v6::bytes_type raw;
            std::copy(std::begin(in->sin6_addr.s6_addr), std::end(in->sin6_addr.s6_addr), raw.begin());
            into.emplace_back(boost::asio::ip::address_v6(raw, in->sin6_scope_id));
        }
    }
    ::freeaddrinfo(list);
    // Alternate the families, RFC 8305 4, so that a broken one costs one step and not all of its addresses.
    resolved out;
    for (std::size_t i = 0; i < std::max(first.size(), second.size()); ++i) {
        if (i < first.size()) out.addresses.push_back(first[i]);
        if (i < second.size()) out.addresses.push_back(second[i]);
    }
    return out;
}

} // namespace evenkeel::net
