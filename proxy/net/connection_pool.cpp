#include "proxy/net/connection_pool.hpp"

#include "proxy/events/observer.hpp"
#include "proxy/net/byte_stream.hpp"
#include "proxy/net/cancel.hpp"
#include "proxy/net/dial.hpp"
#include "proxy/net/loop.hpp"
#include "proxy/net/opening.hpp"
#include "proxy/net/resolver.hpp"
#include "proxy/net/tls_context.hpp"
#include "proxy/net/warm_keeper.hpp"
#include "proxy/net/way_watch.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>

#include <algorithm>
#include <deque>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

namespace evenkeel::net {

namespace {
using connection_kind = telemetry::connection_event::kind;

void tell(telemetry::observer& who, const config::upstream& of, telemetry::prewarm_event what) {
    who.connection_changed({.is = connection_kind::prewarmed, .upstream = &of, .warm = what});
}

using kind = transport_error::kind;

// The server counts its Keep-Alive timeout from when it sent the answer, and our next request takes a while to reach
// it.
constexpr duration keep_alive_margin = std::chrono::seconds{1};
// Of a connection nobody waits for; the default of timeout.connect.
constexpr duration warm_connect_limit = std::chrono::seconds{5};

bool same_connections(const config::upstream& one, const config::upstream& other) {
    return one.name == other.name && one.address == other.address && one.endpoint.address == other.endpoint.address &&
           one.tls == other.tls && one.proxy == other.proxy;
}

class pooled_connection;
struct waiter;

// All connections with one key. Shared by the pool, by each connection and by each open() call.
struct endpoint final : std::enable_shared_from_this<endpoint>, warmed_endpoint {
    endpoint(loop& in, telemetry::observer& to, std::shared_ptr<way_watch> watch,
             std::shared_ptr<const config::upstream> settings)
        : worker(in), observer(to), ways(std::move(watch)), upstream(std::move(settings)),
          resumption(std::make_shared<tls_resumption>()) {}

    std::unique_ptr<pooled_connection> take(); // null: none idle that is fit for use
    void place(std::unique_ptr<pooled_connection> back);
    void remove_idle(pooled_connection& one) noexcept;
    void close_idle() noexcept;
    void grant() noexcept;                                          // hands free slots to those who wait
    void trust_anew(std::shared_ptr<const tls_client_context> now); // after a reload
    [[nodiscard]] bool pools() const noexcept { return alive && !retired && !draining; }
    void warm_as_told(const std::optional<warming>& how); // by its settings
    [[nodiscard]] bool warms() const noexcept { return warm != nullptr; }

    [[nodiscard]] prewarm::connections present() const noexcept override {
        return {open, idle.size(), 0, upstream->connections.max};
    }
    [[nodiscard]] const config::upstream& settings() const noexcept override { return *upstream; }
    void dial_ahead() override { begin_dial(*this); }
    void target_changed(int by) noexcept override {
        observer.connection_changed({connection_kind::prewarm_target, upstream.get(), by});
    }

    loop& worker;
    telemetry::observer& observer;
    std::shared_ptr<way_watch> ways;                  // of the worker
    std::shared_ptr<const config::upstream> upstream; // newest settings of this key
    std::shared_ptr<tls_resumption> resumption;
    std::shared_ptr<const tls_client_context> trusted;    // as of the last reload; null: plain, or not known yet
    unsigned generation = 0;                              // of what is trusted: connections of an older one do not stay
    std::vector<std::unique_ptr<pooled_connection>> idle; // newest last
    std::deque<waiter*> waiters;                          // each in the frame of an open()
    std::size_t open = 0;                                 // slots taken
    bool retired = false;
    bool draining = false;
    bool alive = true; // the pool still exists; once it does not, nothing is reported or handed on
    std::function<void(endpoint&)> begin_dial; // set with `warm`
    duration keep_alive{};                     // as the server last told; 0: it did not
    std::unique_ptr<warm_keeper> warm;         // null: never asked to
};

// The right to one connection of connections.max.
class slot {
public:
    explicit slot(std::shared_ptr<endpoint> of) noexcept : home_(std::move(of)), generation_(home_->generation) {
        ++home_->open;
    }
    slot(slot&&) noexcept = default;
    slot& operator=(slot&&) = delete;
    ~slot() {
        if (!home_) return;
        --home_->open;
        home_->grant();
        if (home_->warms()) home_->warm->look();
    }
    [[nodiscard]] const std::shared_ptr<endpoint>& home() const noexcept { return home_; }
    [[nodiscard]] bool is_outdated() const noexcept { return generation_ != home_->generation; }

private:
    std::shared_ptr<endpoint> home_;
    unsigned generation_; // as its connection was dialled
};

struct waiter {
    bool fresh;
    event* wake;
    std::unique_ptr<pooled_connection> connection; // one or the other is given
    std::optional<slot> place;
};

// One open connection and its time in the pool. As a timer entry it is armed only while idle.
class pooled_connection final : private timer_entry, private byte_stream::watcher, private way_watch::watched {
public:
    pooled_connection(slot place, std::shared_ptr<byte_stream> stream, duration connect_time)
        : slot_(std::move(place)), home_(slot_->home()), upstream_(home_->upstream), stream_(std::move(stream)),
          opened_(home_->worker.now()), connect_time_(connect_time) {
        home_->observer.connection_changed({connection_kind::opened, upstream_.get()});
    }
    ~pooled_connection() override { close(); }

    [[nodiscard]] byte_stream& stream() noexcept { return *stream_; }
    [[nodiscard]] bool reused() const noexcept { return reused_; }
    [[nodiscard]] duration connect_time() const noexcept { return reused_ ? duration::zero() : connect_time_; }

    void close() noexcept {
        if (!slot_) return;
        cancel();
        leave();
        stream_->unwatch();
        stream_->close();
        if (home_->alive) home_->observer.connection_changed({connection_kind::closed, upstream_.get()});
        if (home_->warms()) no_longer_warm();
        slot_.reset();
    }

    // Back from an exchange: from now on every byte is a stray one. Spends one turn of the loop before it can be taken.
    // The release is checked by the watch: arming it asks the kernel for the present state, which the loop sees within
    // that turn, so that a system call of its own would only say the same.
    static void give_back(std::unique_ptr<pooled_connection> self, duration upstream_keep_alive) {
        pooled_connection& one = *self;
        one.leave();
        if (!one.home_->pools() || !one.stream_->at_rest()) return;
        const steady_time now = one.home_->worker.now();
        if (one.home_->warms()) one.given_back(upstream_keep_alive, now);
        keep(std::move(self), upstream_keep_alive, now);
    }
    // Opened ahead of demand. To whoever takes it it is a reused one: the server may have given it up meanwhile.
    static void keep_warm(std::unique_ptr<pooled_connection> self) {
        pooled_connection& one = *self;
        one.unused_ = true;
        tell(one.home_->observer, *one.upstream_, telemetry::prewarm_event::opened);
        if (one.home_->pools()) keep(std::move(self), one.home_->keep_alive, one.home_->worker.now());
    }
    // Also for one that was handed to somebody who no longer wants it.
    static void settle(std::unique_ptr<pooled_connection> self) {
        pooled_connection& one = *self;
        one.stream_->watch(one);
        boost::asio::post(one.home_->worker.executor(), [back = std::move(self)]() mutable {
            const auto home = back->home_;
            home->place(std::move(back));
        });
    }

    void begin() noexcept { home_->ways->join(*this); } // an exchange
    // Where the endpoint is kept warm: likewise.
    void lend(steady_time now) noexcept {
        lent_at_ = now;
        if (std::exchange(unused_, false)) tell(home_->observer, *upstream_, telemetry::prewarm_event::used);
    }

    [[nodiscard]] bool lost() const noexcept { return stream_->closed() || (slot_ && slot_->is_outdated()); }
    [[nodiscard]] bool spoiled(steady_time now) const noexcept { return lost() || now >= best_before_; }

    void rest() {
        resting_ = true;
        home_->worker.timers().arm(*this, best_before_);
    }
    // Fit for another exchange? Call once, on leaving the idle state.
    [[nodiscard]] bool awaken(steady_time now) noexcept {
        resting_ = false;
        cancel();
        stream_->unwatch();
        return !spoiled(now) && stream_->quiet();
    }

private:
    static void keep(std::unique_ptr<pooled_connection> self, duration upstream_keep_alive, steady_time now) {
        pooled_connection& one = *self;
        one.reused_ = true;
        const config::connection_options& limits = one.home_->upstream->connections;
        duration unused = limits.idle_timeout;
        if (upstream_keep_alive > duration::zero()) unused = std::min(unused, upstream_keep_alive - keep_alive_margin);
        one.best_before_ = std::min(now + unused, one.opened_ + limits.max_age);
        if (!one.spoiled(now)) settle(std::move(self));
    }
    void given_back(duration upstream_keep_alive, steady_time now) noexcept {
        home_->keep_alive = upstream_keep_alive;
        if (lent_at_) home_->warm->released(now - *std::exchange(lent_at_, {}));
    }
    void no_longer_warm() noexcept {
        if (lent_at_) home_->warm->released(home_->worker.now() - *lent_at_);
        if (!unused_) return;
        if (home_->alive) tell(home_->observer, *upstream_, telemetry::prewarm_event::unused);
        home_->warm->unused();
    }

    void on_timer() override { home_->remove_idle(*this); } // destroys this
    void on_readable() override {
        if (stream_->quiet()) {
            stream_->watch(*this); // TLS housekeeping, or a false alarm
        } else if (resting_) {
            home_->remove_idle(*this); // destroys this
        } else {
            stream_->close(); // on its way back: place() finds it closed
        }
    }

    [[nodiscard]] int way_descriptor() const noexcept override { return stream_->native_handle(); }
    // What lies idle went the same way, and would cost the next request as long to find out.
    void way_is_dead() noexcept override {
        if (home_->alive) home_->close_idle();
        stream_->reset();
        close();
    }

    std::optional<slot> slot_; // empty: closed
    std::shared_ptr<endpoint> home_;
    std::shared_ptr<const config::upstream> upstream_; // as it was opened for: opened and closed are reported alike
    std::shared_ptr<byte_stream> stream_;
    steady_time opened_;
    steady_time best_before_{};
    duration connect_time_;
    bool reused_ = false;
    bool resting_ = false;
    bool unused_ = false;                  // opened ahead, and nobody has taken it
    std::optional<steady_time> lent_at_{}; // only where the endpoint is kept warm
};

void endpoint::warm_as_told(const std::optional<warming>& how) {
    const bool wanted = how && upstream->prewarm.on && pools();
    if (wanted && !warm) warm = std::make_unique<warm_keeper>(worker, *this, *how);
    if (warm) wanted ? warm->configure(upstream->prewarm) : warm->stop();
}

std::unique_ptr<pooled_connection> endpoint::take() {
    if (idle.empty()) return nullptr;
    const steady_time now = worker.now();
    while (!idle.empty()) {
        auto one = std::move(idle.back());
        idle.pop_back();
        observer.connection_changed({connection_kind::idle, upstream.get(), -1});
        if (!one->awaken(now)) continue;
        if (warms()) {
            one->lend(now);
            warm->taken(true);
        }
        return one;
    }
    return nullptr;
}

void endpoint::place(std::unique_ptr<pooled_connection> back) {
    if (!pools() || back->lost()) return; // its time was looked at when it was kept
    if (waiters.empty()) {
        back->rest();
        idle.push_back(std::move(back));
        observer.connection_changed({connection_kind::idle, upstream.get(), +1});
        return;
    }
    // A fresh one wants the slot, which the connection leaves behind when it is dropped here.
    const steady_time now = worker.now();
    if (waiters.front()->fresh || !back->awaken(now)) return;
    waiter& first = *waiters.front();
    waiters.pop_front();
    if (warms()) back->lend(now);
    first.connection = std::move(back);
    first.wake->set();
}

void endpoint::remove_idle(pooled_connection& one) noexcept {
    const auto at = std::find_if(idle.begin(), idle.end(), [&](const auto& each) { return each.get() == &one; });
    if (at == idle.end()) return;
    const auto gone = std::move(*at); // dies after the list is whole again
    idle.erase(at);
    observer.connection_changed({connection_kind::idle, upstream.get(), -1});
}

void endpoint::close_idle() noexcept {
    const auto gone = std::exchange(idle, {});
    if (!gone.empty())
        observer.connection_changed({connection_kind::idle, upstream.get(), -static_cast<int>(gone.size())});
}

// What was shown another certificate, or trusted other CAs, serves nobody who comes from now on.
void endpoint::trust_anew(std::shared_ptr<const tls_client_context> now) {
    const bool changed = trusted && now && !trusted->same_files(*now);
    if (now) trusted = std::move(now);
    if (!changed) return;
    ++generation;
    resumption = std::make_shared<tls_resumption>();
    close_idle();
}

void endpoint::grant() noexcept {
    if (!alive) return;
    while (!waiters.empty() && open < upstream->connections.max) {
        waiter& first = *waiters.front();
        waiters.pop_front();
        first.place.emplace(shared_from_this());
        first.wake->set();
    }
}

class pooled_exchange final : public exchange {
public:
    explicit pooled_exchange(std::unique_ptr<pooled_connection> connection) noexcept
        : connection_(std::move(connection)) {
        connection_->begin();
    }

    void start_read(boost::asio::mutable_buffer into, completion<io_result> done) override {
        connection_->stream().start_read(into, std::move(done));
    }
    void start_read_late(room_for_bytes& into, completion<io_result> done) override {
        connection_->stream().start_read_late(into, std::move(done));
    }
    [[nodiscard]] io_result write_now(std::span<boost::asio::const_buffer>& from) noexcept override {
        return connection_->stream().write_now(from);
    }
    void start_write(std::span<const boost::asio::const_buffer> from, completion<io_result> done) override {
        connection_->stream().start_write(from, std::move(done));
    }
    void close() noexcept override {
        if (connection_) connection_->close();
    }
    void recycle(duration upstream_keep_alive) noexcept override {
        if (connection_) pooled_connection::give_back(std::move(connection_), upstream_keep_alive);
    }
    [[nodiscard]] bool reused() const noexcept override { return connection_ && connection_->reused(); }
    [[nodiscard]] duration connect_time() const noexcept override {
        return connection_ ? connection_->connect_time() : duration::zero();
    }

private:
    std::unique_ptr<pooled_connection> connection_; // null: recycled
};

// Leaves the queue in whatever way open() ends.
struct queueing {
    endpoint& at;
    waiter& who;
    queueing(endpoint& where, waiter& one) : at(where), who(one) { at.waiters.push_back(&who); }
    queueing(const queueing&) = delete;
    queueing& operator=(const queueing&) = delete;
    ~queueing() { std::erase(at.waiters, &who); }
};

std::unique_ptr<exchange> exchange_on(std::unique_ptr<pooled_connection> connection) {
    return std::make_unique<pooled_exchange>(std::move(connection));
}
open_result opened(std::unique_ptr<pooled_connection> connection) { return {exchange_on(std::move(connection)), {}}; }
open_result refused(transport_error error) {
    open_result result;
    result.error = std::move(error);
    return result;
}
} // namespace

struct connection_pool::state : std::enable_shared_from_this<connection_pool::state> {
    state(loop& in, resolver& names, tls_contexts& contexts, telemetry::observer& to, dial_function by,
          duration look_every)
        : worker(in), resolver(names), tls(contexts), observer(to), ways(std::make_shared<way_watch>(in, look_every)),
          dial_by(by ? std::move(by) : dial_function(&dial)) {}

    loop& worker;
    net::resolver& resolver;
    tls_contexts& tls;
    telemetry::observer& observer;
    std::shared_ptr<way_watch> ways;
    std::vector<std::shared_ptr<endpoint>> endpoints;
    // Settings objects seen, so that the usual open() compares a pointer and not a key. Each entry keeps its object
    // alive, so its address cannot come to mean another one; keep_only() clears them.
    struct alias {
        std::shared_ptr<const config::upstream> settings;
        std::shared_ptr<endpoint> to;
    };
    std::unordered_map<const config::upstream*, alias> aliases;
    std::optional<std::vector<std::shared_ptr<const config::upstream>>> wanted; // of the last keep_only()
    std::optional<warming> warm_how;                                            // empty: nothing is kept warm
    dial_function dial_by;
    bool draining = false;

    static task<void> dial_ahead(std::shared_ptr<state> self, std::shared_ptr<endpoint> home, slot place);
    void warm(endpoint& one);
    void begin_warm(std::span<const std::shared_ptr<const config::upstream>> upstreams);

    std::shared_ptr<endpoint> endpoint_of(const std::shared_ptr<const config::upstream>& to) {
        const auto known = aliases.find(to.get());
        if (known != aliases.end()) return known->second.to;
        std::erase_if(endpoints,
                      [](const auto& one) { return one->retired && one->open == 0 && one.use_count() == 1; });
        const auto same = std::find_if(endpoints.begin(), endpoints.end(),
                                       [&](const auto& one) { return same_connections(*one->upstream, *to); });
        std::shared_ptr<endpoint> found;
        if (same != endpoints.end()) {
            found = *same;
        } else {
            found = endpoints.emplace_back(std::make_shared<endpoint>(worker, observer, ways, to));
            found->draining = draining;
            if (to->address.tls) found->trusted = tls.find(to->tls);
            // A request that began before a reload may still ask for what the reload removed: served, not pooled.
            found->retired = wanted && std::none_of(wanted->begin(), wanted->end(),
                                                    [&](const auto& one) { return same_connections(*one, *to); });
            warm(*found);
        }
        aliases.emplace(to.get(), alias{to, found});
        return found;
    }
};

// One connection ahead of demand; `place` is its own.
task<void> connection_pool::state::dial_ahead(std::shared_ptr<state> self, std::shared_ptr<endpoint> home, slot place) {
    warm_keeper::dialling under_way(*home->warm);
    const auto to = home->upstream;
    opening work(self->worker, self->worker.now() + warm_connect_limit, under_way.cancel);
    if (work.ended()) co_return;
    const steady_time began = self->worker.now();
    const dial_context context{self->resolver, self->tls, self.get(), home->resumption};
    dialled made = co_await self->dial_by(work, context, *to);
    if (under_way.cancel.requested()) co_return;
    under_way.ended(made.stream != nullptr);
    if (!made.stream) {
        tell(self->observer, *to, telemetry::prewarm_event::failed);
        co_return;
    }
    pooled_connection::keep_warm(
        std::make_unique<pooled_connection>(std::move(place), std::move(made.stream), self->worker.now() - began));
}

void connection_pool::state::warm(endpoint& one) {
    // An endpoint that outlives its pool is stopped, and dials no more.
    if (!one.begin_dial) {
        one.begin_dial = [this](endpoint& at) {
            worker.nursery().spawn(dial_ahead(shared_from_this(), at.shared_from_this(), slot(at.shared_from_this())));
        };
    }
    one.warm_as_told(warm_how);
}

void connection_pool::state::begin_warm(std::span<const std::shared_ptr<const config::upstream>> upstreams) {
    for (const auto& each : upstreams) {
        if (each->prewarm.on) static_cast<void>(endpoint_of(each)); // keeps itself warm from its first moment
    }
}

connection_pool::connection_pool(loop& worker, resolver& names, tls_contexts& tls, telemetry::observer& observer,
                                 dial_function by, duration look_every)
    : state_(std::make_shared<state>(worker, names, tls, observer, std::move(by),
                                     look_every > duration::zero() ? look_every : way_watch::usual_interval)) {}

connection_pool::~connection_pool() {
    state_->resolver.forget(state_.get());
    for (const auto& one : state_->endpoints) {
        if (one->warm) one->warm->stop();
        one->close_idle();
        one->alive = false;
    }
}

std::unique_ptr<exchange> connection_pool::reuse(const std::shared_ptr<const config::upstream>& to) {
    auto connection = state_->endpoint_of(to)->take();
    return connection ? exchange_on(std::move(connection)) : nullptr;
}

task<open_result> connection_pool::open(const std::shared_ptr<const config::upstream>& to, bool fresh,
                                        steady_time deadline, cancel_source& cancel) {
    const std::shared_ptr<state> all = state_;
    const std::shared_ptr<endpoint> home = all->endpoint_of(to);
    if (!fresh && !cancel.requested()) {
        if (auto connection = home->take()) co_return opened(std::move(connection));
    }

    opening work(all->worker, deadline, cancel);
    if (work.ended()) co_return refused(work.error(*to));
    if (home->warms()) home->warm->taken(false);
    std::optional<slot> place;
    if (fresh && home->open >= home->upstream->connections.max && !home->idle.empty())
        home->remove_idle(*home->idle.front());
    if (home->waiters.empty() && home->open < home->upstream->connections.max) {
        place.emplace(home);
    } else {
        waiter self{fresh, &work.wake, nullptr, std::nullopt};
        const queueing queued(*home, self);
        cancel.note_queued(true);
        while (!self.connection && !self.place && !work.ended()) co_await work.wake.wait();
        cancel.note_queued(false);
        if (work.ended()) {
            // What was given in the same turn goes to the next one: a connection is back in the pool, a slot is freed.
            if (self.connection) pooled_connection::settle(std::move(self.connection));
            co_return refused(work.error(*to));
        }
        if (self.connection) co_return opened(std::move(self.connection));
        place.emplace(std::move(*self.place));
    }

    const steady_time began = all->worker.now();
    const dial_context context{all->resolver, all->tls, all.get(), home->resumption};
    dialled made = co_await all->dial_by(work, context, *to);
    if (!made.stream) co_return refused(std::move(made.error));
    auto connection =
        std::make_unique<pooled_connection>(std::move(*place), std::move(made.stream), all->worker.now() - began);
    all->observer.connection_changed({connection_kind::cold, to.get()});
    if (home->warms()) connection->lend(all->worker.now());
    co_return opened(std::move(connection));
}

void connection_pool::keep_only(std::span<const std::shared_ptr<const config::upstream>> upstreams) {
    state_->wanted.emplace(upstreams.begin(), upstreams.end());
    state_->aliases.clear();
    for (const auto& one : state_->endpoints) {
        const auto still = std::find_if(upstreams.begin(), upstreams.end(),
                                        [&](const auto& each) { return same_connections(*each, *one->upstream); });
        if (still == upstreams.end()) {
            one->retired = true;
            state_->warm(*one);
            one->close_idle();
        } else {
            one->upstream = *still; // limits may have changed
            one->retired = false;
            if ((*still)->address.tls) one->trust_anew(state_->tls.find((*still)->tls));
            state_->warm(*one);
            one->grant();
        }
    }
    if (state_->warm_how) state_->begin_warm(upstreams);
    std::erase_if(state_->endpoints,
                  [](const auto& one) { return one->retired && one->open == 0 && one.use_count() == 1; });
}

void connection_pool::keep_warm(warming how, std::span<const std::shared_ptr<const config::upstream>> upstreams) {
    state_->warm_how.emplace(std::move(how));
    state_->begin_warm(upstreams);
}

void connection_pool::close_idle() noexcept {
    for (const auto& one : state_->endpoints) one->close_idle();
}

void connection_pool::drain() noexcept {
    state_->draining = true;
    for (const auto& one : state_->endpoints) {
        one->draining = true;
        if (one->warm) one->warm->stop();
        one->close_idle();
    }
}

std::size_t connection_pool::size() const noexcept {
    std::size_t sum = 0;
    for (const auto& one : state_->endpoints) sum += one->open;
    return sum;
}

std::size_t connection_pool::idle() const noexcept {
    std::size_t sum = 0;
    for (const auto& one : state_->endpoints) sum += one->idle.size();
    return sum;
}

} // namespace evenkeel::net
