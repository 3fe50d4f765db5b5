#include "proxy/attempt/prewarm_probes.hpp"

#include "proxy/attempt/ask_plainly.hpp"
#include "proxy/wire/head_builder.hpp"

#include <algorithm>
#include <deque>
#include <string_view>
#include <utility>

namespace evenkeel::request {

namespace {
using telemetry::probe_result;

// For the whole answer (chosen: a list of models, not a model).
constexpr duration answer_time = std::chrono::seconds{10};
// Of an answer that is read to its end; a longer one costs its connection.
constexpr std::uint64_t max_body = 1024 * 1024;

probe_result result_of(int status) noexcept {
    if (status == 401 || status == 403) return probe_result::refused;
    return status < 500 ? probe_result::answered : probe_result::error;
}
} // namespace

// One upstream's. Shared with the request it has under way.
class prewarm_probes::probe final : public std::enable_shared_from_this<probe>, private net::timer_entry {
public:
    probe(const services& with, std::shared_ptr<const config::upstream> to) : with_(with), to_(std::move(to)) {
        for (std::size_t key = 0; key < std::max<std::size_t>(to_->credentials.size(), 1); ++key) {
            wire::head_builder head(heads_.emplace_back());
            head.request_line("GET", to_->address.base_path + to_->prewarm.probe_path);
            head.field("host", to_->address.authority);
            head.field("accept", "application/json");
            for (const auto& [name, value] : to_->headers.set) head.field(name, value);
            if (!to_->credentials.empty()) {
                for (const auto& [name, value] : to_->credentials[key].set) head.field(name, value);
            }
            head.finish();
        }
    }
    ~probe() override = default;

    void wait() { with_.loop.timers().arm(*this, with_.loop.now() + to_->prewarm.probe_interval); }
    void stop() noexcept {
        cancel();
        limit_.cancel();
        stopped_ = true;
        if (on_) on_->close();
    }

private:
    // Ends a request that takes too long.
    struct limit final : net::timer_entry {
        explicit limit(probe& of) noexcept : owner(of) {}
        ~limit() override = default;
        void on_timer() override { owner.on_->close(); }
        probe& owner;
    };

    void on_timer() override {
        wait();
        if (on_ || !with_.may_ask(*to_)) return;
        on_ = with_.transport.reuse(to_); // none: opening one is for those who keep it warm
        if (on_) with_.loop.nursery().spawn(run(shared_from_this()));
    }

    static net::task<void> run(std::shared_ptr<probe> self) {
        probe& me = *self;
        me.with_.loop.timers().arm(me.limit_, me.with_.loop.now() + answer_time);
        const probe_result how = co_await me.ask();
        me.limit_.cancel();
        if (!me.stopped_) me.with_.observer.endpoint_changed({.upstream = me.to_.get()}, how);
        me.on_.reset();
    }

    net::task<probe_result> ask() {
        std::uint64_t passed = 0;
        const wire::head_text& head = heads_[next_++ % heads_.size()];
        const plain_answer got = co_await ask_plainly(
            *on_, head.view(), [&](std::string_view data) { return (passed += data.size()) <= max_body; });
        if (got.reusable) {
            on_->recycle(got.keep_alive);
        } else {
            on_->close();
        }
        co_return got.status == 0 ? probe_result::failed : result_of(got.status);
    }

    const services& with_;
    std::shared_ptr<const config::upstream> to_;
    std::deque<wire::head_text> heads_; // of each of its credentials, which take turns
    std::size_t next_ = 0;
    std::unique_ptr<net::exchange> on_; // of the request under way
    limit limit_{*this};
    bool stopped_ = false;
};

prewarm_probes::prewarm_probes(services with) : with_(std::move(with)) {}
prewarm_probes::~prewarm_probes() { stop(); }

void prewarm_probes::use(std::span<const std::shared_ptr<const config::upstream>> upstreams) {
    stop();
    for (const auto& each : upstreams) {
        if (!each->prewarm.on || each->prewarm.probe_path.empty()) continue;
        probes_.push_back(std::make_shared<probe>(with_, each));
        probes_.back()->wait();
    }
}

void prewarm_probes::stop() noexcept {
    for (const auto& each : probes_) each->stop();
    probes_.clear();
}

} // namespace evenkeel::request
