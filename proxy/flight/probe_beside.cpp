#include "proxy/flight/probe_beside.hpp"

#include "proxy/flight/run_flight.hpp"
#include "proxy/message/owned_request.hpp"
#include "proxy/net/event.hpp"

#include <algorithm>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace evenkeel::request {

namespace {
// Without another request; or until that can be expected, which is later where they are rare. (chosen)
constexpr duration goes_on_for = std::chrono::minutes{2};
constexpr duration makes_room_after = std::chrono::seconds{50};
constexpr duration connects_for = std::chrono::minutes{15};    // ... likewise: connections are cheap
constexpr duration connects_within = std::chrono::seconds{10}; // where timeout.connect is longer
// What is silent for longer is given up, and asked again later: three times what is usual, within these; or as long as
// is just usual, where that is longer.
constexpr duration shortest = std::chrono::seconds{5}, longest = std::chrono::seconds{60},
                   unknown = std::chrono::seconds{30};
constexpr duration looks_again = std::chrono::seconds{1};
constexpr int most_at_once = 2;

// What copies and connections have in common: whose they are, and when that is over.
struct probing {
    probing(worker_services& in, const client_request& of, const errand& what, endpoint_index where)
        : services(in), job(what.without_permit()), at(where), settings(of.came.settings), policies(of.came.policies) {}
    [[nodiscard]] const route_policies& route() const { return policies->of(*job.asked); }
    [[nodiscard]] const endpoint_policies& endpoint() const { return route().endpoints[at]; }
    [[nodiscard]] steady_time now() const { return services.loop.now(); }
    // A reload may have taken the endpoint out, or changed who is shown the caller's credentials.
    [[nodiscard]] bool is_current() const {
        return !services.probers_go.requested() &&
               (services.settings == nullptr || services.settings == settings.get());
    }

    worker_services& services;
    errand job;
    endpoint_index at;
    config::snapshot settings;
    std::shared_ptr<const policy_set> policies;
};

class prober : public std::enable_shared_from_this<prober> {
public:
    prober(worker_services& services, const client_request& of, const errand& what, endpoint_index at,
           std::uint64_t model)
        : of_(services, of, what, at), model_(model), charge_(services.memory), body_(of.body.text()),
          changed_(services.loop.executor()) {
        of_.job.only = at;
        of_.job.shared = nullptr;
        of_.job.something_follows = false;
    }
    ~prober() { let_go(); }
    prober(const prober&) = delete;
    prober& operator=(const prober&) = delete;

    // The only one of its model, until it goes, whatever way.
    [[nodiscard]] bool begins() noexcept { return probes_ = of_.endpoint().doubt->begin_probing(model_); }
    [[nodiscard]] bool copies(const client_request& of) {
        // The body lies in blocks, which count already.
        if (!charge_.take((1 + most_at_once) * of.came.head->raw.size())) return false;
        pattern_ = make_copy(of);
        return true;
    }

    static net::task<void> run(std::shared_ptr<prober> self) {
        prober& me = *self;
        const net::cancel_source::hook over(
            me.of_.services.probers_go, [](void* who) { static_cast<net::event*>(who)->set(); }, &me.changed_);
        const steady_time began = me.of_.now();
        const steady_time until = began + std::max(goes_on_for, me.of_.endpoint().doubt->gap(me.model_, began));
        for (steady_time now = began; now < until && !me.is_over(); now = me.of_.now()) {
            if (now >= began + makes_room_after) me.let_go(); // a newer request may take over
            if (me.is_due(now)) {
                ++me.under_way_;
                me.of_.services.flight_nursery.spawn(ask(self));
            }
            static_cast<void>(co_await me.changed_.wait_until(me.of_.services.loop.timers(), now + looks_again));
        }
        me.let_go(); // whatever is still under way
    }

private:
    [[nodiscard]] std::unique_ptr<owned_request> make_copy(const client_request& of) const {
        auto made = std::make_unique<owned_request>(of_.services.loop, of_.services.buffers, of, body_);
        made->get().route = of.route;
        made->get().note_model();
        return made;
    }
    void let_go() noexcept {
        if (std::exchange(probes_, false)) of_.endpoint().doubt->end_probing(model_);
    }
    [[nodiscard]] bool is_over() const {
        model_doubts& doubt = *of_.endpoint().doubt;
        return !of_.is_current() || !doubt.doubted(model_, of_.now()) || (!probes_ && doubt.probed(model_));
    }
    [[nodiscard]] bool is_due(steady_time now) {
        if (under_way_ >= most_at_once) return false;
        const endpoint_policies& to = of_.endpoint();
        if (under_way_ > 0 && now < hangs_at_ && !to.doubt->goes_on_well(model_, under_way_, now)) return false;
        // What another model did may be nothing to this one.
        const bool news = !asked_ && to.doubt->is_news(model_, now);
        // While its circuit lets nothing through, none is due: the next one goes as soon as it does.
        if (!news && to.circuit != nullptr && to.circuit->look(true, false, of_.services.draw(), now)) return false;
        const duration takes = hangs_after(now);
        if (!news && !to.doubt->probe_due(model_, of_.services.draw(), takes, now)) return false;
        asked_ = true;
        hangs_at_ = now + takes;
        return true;
    }
    [[nodiscard]] std::optional<duration> usual(steady_time now) const {
        return of_.endpoint().latency->usual(pattern_->get().facts.shape(), now);
    }
    // As long as an attempt waits there that others have shown to wait in vain.
    [[nodiscard]] duration hangs_after(steady_time now) const {
        auto known = usual(now);
        for (const endpoint_policies& other : of_.route().endpoints)
            if (!known) known = other.latency->usual(pattern_->get().facts.shape(), now);
        return known ? std::max(scaled(*known, still_usual), shortest) : unknown;
    }
    [[nodiscard]] duration patience(steady_time now) const {
        const auto known = usual(now);
        return known ? std::max(std::clamp(3 * *known, shortest, longest), scaled(*known, still_usual)) : unknown;
    }

    static net::task<void> ask(std::shared_ptr<prober> self) {
        prober& me = *self;
        const std::unique_ptr<owned_request> copy = me.make_copy(me.pattern_->get());
        client_request& asks = copy->get();
        const net::cancel_source::hook over(
            me.of_.services.probers_go, [](void* which) { static_cast<client_request*>(which)->gone.request(); },
            &asks);
        std::exception_ptr failure;
        try {
            co_await me.fly(asks);
        } catch (...) {
            failure = std::current_exception();
        }
        if (asks.body.in_use()) co_await asks.body.released();
        --me.under_way_;
        me.changed_.set();                            // the next one may be due
        if (failure) std::rethrow_exception(failure); // counted and logged by the nursery
    }
    net::task<void> fly(client_request& asks) {
        errand mine = of_.job.without_permit();
        const steady_time now = of_.now();
        mine.deadline = now + patience(now);
        const answer given = co_await run_flight(of_.services, asks, std::move(mine), nothing_below);
        // Its first event, or all of it, has been read and judged; the rest is nobody's.
    }

    probing of_;
    std::uint64_t model_;
    memory_charge charge_;
    shared_bytes body_;
    std::unique_ptr<owned_request> pattern_; // of the copies
    net::event changed_;
    int under_way_ = 0;
    steady_time hangs_at_{}; // the latest of them, if it has not ended by then
    bool probes_ = false, asked_ = false;
};

class connection_prober : public std::enable_shared_from_this<connection_prober> {
public:
    connection_prober(worker_services& services, const client_request& of, const errand& what, endpoint_index at)
        : of_(services, of, what, at), request_(of.came.id), changed_(services.loop.executor()) {}
    ~connection_prober() {
        if (probes_) of_.endpoint().doubt->end_connecting();
    }
    connection_prober(const connection_prober&) = delete;
    connection_prober& operator=(const connection_prober&) = delete;
    [[nodiscard]] bool begins() noexcept { return probes_ = of_.endpoint().doubt->begin_connecting(); }

    static net::task<void> run(std::shared_ptr<connection_prober> self) {
        connection_prober& me = *self;
        const net::cancel_source::hook over(
            me.of_.services.probers_go, [](void* who) { static_cast<connection_prober*>(who)->stop(); }, self.get());
        const steady_time until = me.of_.now() + connects_for;
        probe_pace pace;
        steady_time due = me.of_.now();
        for (steady_time now = due; now < until && !me.is_over(); now = me.of_.now()) {
            if (now >= due) {
                due = now + pace.next(me.of_.services.draw());
                co_await me.connect();
            } else {
                static_cast<void>(
                    co_await me.changed_.wait_until(me.of_.services.loop.timers(), std::min(due, now + looks_again)));
            }
        }
    }

private:
    // A copy of a request tells more.
    [[nodiscard]] bool is_over() const {
        const endpoint_policies& to = of_.endpoint();
        const bool away = to.circuit != nullptr && to.circuit->unreached();
        return !of_.is_current() || to.doubt->probed() || !(to.doubt->whole().doubted() || away);
    }
    void stop() noexcept {
        stop_.request();
        changed_.set();
    }
    net::task<void> connect() {
        const std::shared_ptr<const config::upstream>& to = of_.job.asked->upstreams[of_.at];
        const steady_time deadline = of_.now() + std::min(of_.job.asked->timeout.connect, connects_within);
        net::open_result opened = co_await of_.services.transport.open(to, true, deadline, stop_);
        using kind = net::transport_error::kind;
        const bool made = opened.exchange != nullptr;
        if (made) opened.exchange->recycle({}); // the next request finds it ready
        if (!made && (opened.error.is == kind::cancelled || opened.error.is == kind::limit || stop_.queued()))
            co_return;
        const steady_time now = of_.now();
        const telemetry::event_origin origin{
            .route = of_.job.asked.get(), .upstream = to.get(), .request_id = request_};
        of_.services.observer.endpoint_changed(origin, telemetry::connection_probed{made});
        const endpoint_policies& told = of_.endpoint();
        if (told.circuit != nullptr) told.circuit->connected(made, now);
        const auto changed = told.doubt->connected(made, now);
        if (changed.whole)
            of_.services.observer.endpoint_changed(origin, telemetry::doubt_changed{.doubted = false, .reached = true});
        for (const auto& one : changed.begun)
            of_.services.observer.endpoint_changed(origin,
                                                   telemetry::doubt_changed{.doubted = true, .model = told_name(*one)});
    }

    probing of_;
    std::string request_; // whose it began with
    net::cancel_source stop_;
    net::event changed_;
    bool probes_ = false;
};
} // namespace

bool may_copy(const client_request& request) {
    const wire::body_framing& framing = request.body.framing();
    return request.body.replayable() && request.body.received() <= most_copied &&
           (framing.kind != wire::body_kind::length || framing.length <= most_copied);
}

void probe_connection(worker_services& services, const client_request& of, const errand& what, endpoint_index at) {
    if (services.probers_go.requested()) return;
    if (services.settings != nullptr && services.settings != of.came.settings.get()) return;
    auto made = std::make_shared<connection_prober>(services, of, what, at);
    if (!made->begins()) return;
    services.flight_nursery.spawn(connection_prober::run(std::move(made)));
}

void probe_beside(worker_services& services, const client_request& of, const errand& what, endpoint_index at,
                  std::uint64_t model) {
    if (services.probers_go.requested()) return;
    if (services.settings != nullptr && services.settings != of.came.settings.get()) return;
    if (!of.body.whole() || of.body.received() > most_copied) return probe_connection(services, of, what, at);
    auto made = std::make_shared<prober>(services, of, what, at, model);
    if (!made->copies(of) || !made->begins()) return;
    services.flight_nursery.spawn(prober::run(std::move(made)));
}

} // namespace evenkeel::request
