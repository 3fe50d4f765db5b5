#include "proxy/server/address_watch.hpp"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <map>
#include <mutex>
#include <pthread.h>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace evenkeel::server {

struct address_watch::state {
    struct name {
        std::vector<std::string> addresses; // sorted
        bool asked = false;                 // a look-up has ended
    };

    static void follow(std::shared_ptr<state> self, std::string host, std::shared_ptr<name> mine);

    net::resolver::lookup_function lookup;
    std::chrono::steady_clock::duration every;
    std::mutex telling; // held while `changed` is called
    std::function<void()> changed;
    std::mutex mutex; // all below
    std::condition_variable something;
    std::map<std::string, std::shared_ptr<name>> names; // a thread ends when its own is not here any more
};

void address_watch::state::follow(std::shared_ptr<state> self, std::string host, std::shared_ptr<name> mine) {
    state& all = *self;
    const auto wanted = [&] {
        const auto found = all.names.find(host);
        return found != all.names.end() && found->second == mine;
    };
    std::unique_lock lock(all.mutex);
    while (wanted()) {
        lock.unlock();
        const net::resolved answer = all.lookup(host);
        std::vector<std::string> addresses;
        for (const auto& each : answer.addresses) addresses.push_back(each.to_string());
        std::sort(addresses.begin(), addresses.end());
        addresses.erase(std::unique(addresses.begin(), addresses.end()), addresses.end());
        lock.lock();
        const bool other = !answer.error && !addresses.empty() && addresses != mine->addresses;
        mine->asked = true;
        if (other) mine->addresses = std::move(addresses);
        all.something.notify_all();
        if (other && wanted()) {
            lock.unlock();
            {
                const std::scoped_lock one(all.telling);
                if (all.changed) all.changed();
            }
            lock.lock();
        }
        all.something.wait_until(lock, std::chrono::steady_clock::now() + all.every, [&] { return !wanted(); });
    }
}

address_watch::address_watch(net::resolver::lookup_function lookup, duration every, std::function<void()> changed)
    : state_(std::make_shared<state>()) {
    state_->lookup = std::move(lookup);
    state_->every = std::chrono::duration_cast<std::chrono::steady_clock::duration>(every);
    state_->changed = std::move(changed);
}

address_watch::~address_watch() {
    {
        const std::scoped_lock lock(state_->mutex);
        state_->names.clear();
        state_->something.notify_all();
    }
    const std::scoped_lock lock(state_->telling);
    state_->changed = nullptr;
}

void address_watch::use(const config::settings& written, duration at_most) {
    std::unique_lock lock(state_->mutex);
    std::map<std::string, std::shared_ptr<state::name>> next;
    std::vector<std::string> fresh;
    for (const auto& each : written.upstreams) {
        if (!each->resolve_each || next.contains(each->address.host)) continue;
        const auto known = state_->names.find(each->address.host);
        if (known == state_->names.end()) fresh.push_back(each->address.host);
        next[each->address.host] = known != state_->names.end() ? known->second : std::make_shared<state::name>();
    }
    state_->names = std::move(next);
    state_->something.notify_all();
    if (fresh.empty()) return;
    // Signals stay with the main thread.
    sigset_t every_signal, before;
    sigfillset(&every_signal);
    pthread_sigmask(SIG_SETMASK, &every_signal, &before);
    for (const std::string& host : fresh) {
        try {
            std::thread(&state::follow, state_, host, state_->names[host]).detach();
        } catch (const std::system_error&) {
            state_->names[host]->asked = true; // no thread to be had: it stays one endpoint
        }
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    const auto until =
        std::chrono::steady_clock::now() + std::chrono::duration_cast<std::chrono::steady_clock::duration>(at_most);
    state_->something.wait_until(lock, until, [&] {
        return std::all_of(state_->names.begin(), state_->names.end(),
                           [](const auto& one) { return one.second->asked; });
    });
}

config::address_book address_watch::known(const config::settings& written) const {
    const std::scoped_lock lock(state_->mutex);
    config::address_book out;
    for (const auto& each : written.upstreams) {
        const auto found = state_->names.find(each->address.host);
        if (each->resolve_each && found != state_->names.end()) out[each->name] = found->second->addresses;
    }
    return out;
}

} // namespace evenkeel::server
