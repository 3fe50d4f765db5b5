#include "proxy/server/worker.hpp"

#include "proxy/net/own_addresses.hpp"
#include "proxy/net/warm_keeper.hpp"
#include "proxy/state/may_warm.hpp"
#include "proxy/wire/authority.hpp"

#include <algorithm>
#include <utility>

#include <pthread.h>

namespace evenkeel::server {

worker::worker(const shared_parts& shared, config::snapshot settings,
               std::shared_ptr<const request::policy_set> policies, std::uint64_t seed)
    : connections_(loop_.executor(), loop_.failures()), winding_down_in_(loop_.executor(), loop_.failures()),
      changed_(loop_.executor()),
      pool_(
          loop_, shared.resolver, shared.tls, shared.observer,
          [&own = shared.own](net::opening& work, const net::dial_context& with, const config::upstream& to) {
              return net::dial_elsewhere(work, with, to, own);
          },
          shared.look_for_dead_ways_every),
      chaos_(shared.chaos),
      services_{loop_, pool_, shared.observer, shared.memory, shared.health_document, split_mix64{seed}},
      context_{.services = services_, .settings = {}, .policies = {}, .id_seed = seed, .trace_draws = ~seed},
      warm_chance_(~seed),
      probes_({loop_, pool_, shared.observer, [this](const config::upstream& to) {
                   return request::may_warm(*context_.settings, *context_.policies, to, loop_.now());
               }}) {
    loop_.failures().tell([&seen = shared.observer](std::string_view what) { seen.internal_error(what); });
    services_.last_good = &shared.last_good;
    services_.chaos = settings->chaos.enabled ? &chaos_ : nullptr;
    services_.flights = &shared.flights;
    services_.settings = settings.get();
    context_.use(std::move(settings), std::move(policies));
}

worker::~worker() = default;

void worker::add_listener(std::size_t of, net::bound_socket socket, std::shared_ptr<const net::tls_server_context> tls,
                          const net::listener_options& options) {
    const std::string_view host = wire::host_of(socket.address());
    const request::arrival via = socket.is_unix()             ? request::arrival::unix_socket
                                 : wire::names_loopback(host) ? request::arrival::loopback
                                                              : request::arrival::network;
    doors_.push_back(
        {of, std::make_unique<net::listener>(loop_, std::move(socket), std::move(tls), options, services_.observer),
         via});
}

void worker::accept(std::unique_ptr<net::client_stream> stream, request::arrival via) {
    connections_.spawn(request::client_connection::run(
        std::make_unique<request::client_connection>(context_, std::move(stream), via)));
}

void worker::start() {
    pool_.keep_warm({.may_dial =
                         [this](const config::upstream& to) {
                             return request::may_warm(*context_.settings, *context_.policies, to, loop_.now());
                         },
                     // Not of the requests' draws: they are the same whether or not anything is kept warm.
                     .draw = [this] { return unit_interval(warm_chance_()); },
                     .workers = context_.settings->workers},
                    context_.settings->upstreams);
    probes_.use(context_.settings->upstreams);
    for (auto& one : doors_) {
        one.listener->start(
            [this, via = one.via](std::unique_ptr<net::client_stream> stream) { accept(std::move(stream), via); });
    }
    thread_ = std::thread([this] { loop_.run(); });
    pthread_setname_np(thread_.native_handle(), "evenkeel-work");
}

void worker::join() {
    if (thread_.joinable()) thread_.join();
}

void worker::use(config::snapshot settings, std::shared_ptr<const request::policy_set> policies) {
    loop_.post([this, settings = std::move(settings), policies = std::move(policies)]() mutable {
        services_.chaos = settings->chaos.enabled ? &chaos_ : nullptr;
        services_.settings = settings.get();
        context_.use(std::move(settings), std::move(policies));
        pool_.keep_only(context_.settings->upstreams);
        if (doors_closed_) return;
        probes_.use(context_.settings->upstreams);
    });
}

void worker::use(std::vector<std::shared_ptr<const net::tls_server_context>> certificates) {
    loop_.post([this, certificates = std::move(certificates)] {
        for (const door& one : doors_) one.listener->use(certificates[one.of]);
    });
}

void worker::drain(duration delay, duration within) {
    loop_.post([this, delay, within] { wind_down_by(loop_.now() + delay, loop_.now() + delay + within); });
}

void worker::leave_doors(duration delay, duration within) {
    loop_.post([this, delay, within] {
        for (auto& one : doors_) one.listener->stop();
        wind_down_by(loop_.now() + delay, loop_.now() + delay + within);
    });
}

void worker::wind_down_by(steady_time close, steady_time end) {
    close_by_ = std::min(close_by_, close);
    end_by_ = std::min(end_by_, end);
    if (std::exchange(winding_down_, true)) return changed_.set();
    winding_down_in_.spawn(wind_down());
}

void worker::stop_now() { drain(duration::zero(), duration::zero()); }

net::task<void> worker::wind_down() {
    // From here on each answer closes its connection: who keeps one comes back over another, where a balancer sends it.
    context_.draining = true;
    while (loop_.now() < close_by_) static_cast<void>(co_await changed_.wait_until(loop_.timers(), close_by_));
    doors_closed_ = context_.doors_closed = true;
    probes_.stop();
    services_.probers_go.request();
    pool_.drain();
    for (auto& one : doors_) one.listener->stop();
    const auto each = [this](void (request::client_connection::*action)()) {
        for (auto one = context_.open.begin(); one != context_.open.end();) {
            auto& connection = static_cast<request::client_connection&>(*one++); // may end itself
            (connection.*action)();
        }
    };
    each(&request::client_connection::drain);
    for (net::nursery* one : {&connections_, &services_.flight_nursery, &loop_.nursery()})
        one->tell_when_empty(changed_);
    while (serves() && loop_.now() < end_by_) static_cast<void>(co_await changed_.wait_until(loop_.timers(), end_by_));
    each(&request::client_connection::close_now);
    const steady_time at_last = loop_.now() + std::chrono::seconds{2};
    while ((serves() || loop_.nursery().size() > 0) && loop_.now() < at_last)
        static_cast<void>(co_await changed_.wait_until(loop_.timers(), at_last));
    if (pulse_) pulse_->end();
    pulse_.reset();
    leftovers_ = {.tasks = loop_.nursery().size() + services_.flight_nursery.size(),
                  .connections = connections_.size(),
                  .timers = loop_.timers().armed(),
                  .upstream_connections = pool_.size()};
    loop_.stop();
}

} // namespace evenkeel::server
