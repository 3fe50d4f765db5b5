#include "proxy/flight/probe_beside.hpp"

#include "proxy/flight/run_flight.hpp"
#include "proxy/message/owned_request.hpp"
#include "proxy/net/event.hpp"

#include <algorithm>
#include <exception>
#include <memory>
#include <utility>

namespace evenkeel::request {

namespace {
constexpr duration goes_on_for = std::chrono::minutes{2}; // without another request (chosen)
// What is silent for longer is given up, and asked again later. At most three times what is usual, within these.
constexpr duration shortest = std::chrono::seconds{5}, longest = std::chrono::seconds{60},
                   unknown = std::chrono::seconds{30};
constexpr duration looks_again = std::chrono::seconds{1};

class prober : public std::enable_shared_from_this<prober> {
public:
    prober(worker_services& services, const client_request& of, const errand& what, endpoint_index at,
           std::uint64_t model)
        : services_(services), errand_(what.without_permit()), at_(at), model_(model), charge_(services.memory),
          settings_(of.came.settings), policies_(of.came.policies), changed_(services.loop.executor()) {
        errand_.only = at;
        errand_.shared = nullptr;
        errand_.something_follows = false;
    }

    ~prober() {
        if (probes_) endpoint().doubt->end_probing(model_);
    }
    prober(const prober&) = delete;
    prober& operator=(const prober&) = delete;

    // The only one of its model, until it goes, whatever way.
    [[nodiscard]] bool begins() noexcept { return probes_ = endpoint().doubt->begin_probing(model_); }
    [[nodiscard]] bool copies(const client_request& of) {
        const shared_bytes body = of.body.text();
        if (!charge_.take(of.came.head->raw.size())) return false; // the body lies in blocks, which count already
        request_ = std::make_unique<owned_request>(services_.loop, services_.buffers, of, body);
        request_->get().route = of.route;
        request_->get().note_model();
        return true;
    }

    static net::task<void> run(std::shared_ptr<prober> self) {
        prober& me = *self;
        const net::cancel_source::hook over(
            me.services_.probers_go, [](void* who) { static_cast<prober*>(who)->stop(); }, self.get());
        std::exception_ptr failure;
        try {
            const steady_time until = me.services_.loop.now() + goes_on_for;
            for (;;) {
                steady_time now = me.services_.loop.now();
                while (!me.is_over() && now < until && !me.is_due(now)) {
                    static_cast<void>(co_await me.changed_.wait_until(me.services_.loop.timers(), now + looks_again));
                    now = me.services_.loop.now();
                }
                if (me.is_over() || now >= until) break;
                co_await me.ask();
            }
        } catch (...) {
            failure = std::current_exception();
        }
        request_body& body = me.request_->get().body;
        if (body.in_use()) co_await body.released();
        if (failure) std::rethrow_exception(failure); // counted and logged by the nursery
    }

private:
    [[nodiscard]] const endpoint_policies& endpoint() const { return policies_->of(*errand_.asked).endpoints[at_]; }
    // A reload may have taken the endpoint out, or changed who is shown the caller's credentials.
    [[nodiscard]] bool is_over() const {
        const bool current = services_.settings == nullptr || services_.settings == settings_.get();
        return stopped_ || !current || !endpoint().doubt->doubted(model_, services_.loop.now());
    }
    [[nodiscard]] bool is_due(steady_time now) const {
        // Its circuit has a word in it as well, but not the pace.
        model_doubts& doubt = *endpoint().doubt;
        return (!asked_ && doubt.is_news(model_, now)) || doubt.probe_due(model_, services_.draw(), now);
    }
    void stop() noexcept {
        stopped_ = true;
        request_->get().gone.request();
        changed_.set();
    }

    net::task<void> ask() {
        asked_ = true;
        errand mine = errand_.without_permit();
        const steady_time now = services_.loop.now();
        const auto usual = endpoint().latency->usual(request_->get().facts.shape(), now);
        mine.deadline = now + (usual ? std::clamp(3 * *usual, shortest, longest) : unknown);
        const answer given = co_await run_flight(services_, request_->get(), std::move(mine), nothing_below);
        // Its first event, or all of it, has been read and judged; the rest is nobody's.
    }

    worker_services& services_;
    errand errand_;
    endpoint_index at_;
    std::uint64_t model_;
    memory_charge charge_;
    config::snapshot settings_;
    std::shared_ptr<const policy_set> policies_;
    std::unique_ptr<owned_request> request_;
    net::event changed_;
    bool stopped_ = false, probes_ = false, asked_ = false;
};
} // namespace

bool may_copy(const client_request& request) {
    const wire::body_framing& framing = request.body.framing();
    return request.body.replayable() && request.body.received() <= most_copied &&
           (framing.kind != wire::body_kind::length || framing.length <= most_copied);
}

void probe_beside(worker_services& services, const client_request& of, const errand& what, endpoint_index at,
                  std::uint64_t model) {
    if (services.probers_go.requested() || !of.body.whole() || of.body.received() > most_copied) return;
    if (services.settings != nullptr && services.settings != of.came.settings.get()) return;
    auto made = std::make_shared<prober>(services, of, what, at, model);
    if (!made->copies(of) || !made->begins()) return;
    services.flight_nursery.spawn(prober::run(std::move(made)));
}

} // namespace evenkeel::request
