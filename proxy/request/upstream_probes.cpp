#include "proxy/request/upstream_probes.hpp"

#include "proxy/wire/chunk_decoder.hpp"
#include "proxy/wire/gate.hpp"
#include "proxy/wire/head_builder.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

namespace evenkeel::request {

namespace {
using telemetry::probe_result;

constexpr duration answer_time = std::chrono::seconds{10}; // for the whole answer (chosen: a list of models, not a model)
constexpr std::size_t max_head = 64 * 1024;
constexpr std::uint64_t max_body = 1024 * 1024; // of an answer that is read to its end; a longer one costs its connection

probe_result result_of(int status) noexcept {
    if (status == 401 || status == 403) return probe_result::refused;
    return status < 500 ? probe_result::answered : probe_result::error;
}
} // namespace

// One upstream's. Shared with the request it has under way.
class upstream_probes::probe final : public std::enable_shared_from_this<probe>, private net::timer_entry {
public:
    probe(const parts& with, std::shared_ptr<const config::upstream> to) : with_(with), to_(std::move(to)) {
        wire::head_builder head(head_);
        head.request_line("GET", to_->address.base_path + to_->prewarm.probe_path);
        head.field("host", to_->address.authority);
        head.field("accept", "application/json");
        for (const auto& [name, value] : to_->headers.set) head.field(name, value);
        head.finish();
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
        if (!me.stopped_) me.with_.observer.upstream_probed(*me.to_, how);
        me.on_.reset();
    }

    net::task<probe_result> ask() {
        const std::array parts{boost::asio::const_buffer(head_.view().data(), head_.view().size())};
        const net::io_result sent = co_await on_->write(parts);
        if (!sent.ok()) co_return probe_result::failed;
        io_buffer in(with_.buffers);
        wire::response_head head;
        std::size_t scanned = 0;
        for (;;) {
            const auto read = wire::read_response_head(in.unread(), {.max_head_bytes = max_head}, scanned, {}, head);
            if (read.is == wire::head_result::state::refused) co_return probe_result::failed;
            if (read.is == wire::head_result::state::complete) {
                in.consume(read.consumed);
                scanned = 0;
                if (head.status >= 200) break;
                continue;
            }
            if (!co_await more(in)) co_return probe_result::failed;
        }
        const probe_result how = result_of(head.status);
        const bool keep_alive = head.keep_alive;
        const duration idle_time = std::chrono::seconds{head.keep_alive_timeout_seconds};
        if (!co_await pass_over(in, head.body)) co_return how; // its end is of no interest, its connection is lost
        if (keep_alive && in.empty()) {
            on_->recycle(idle_time);
        } else {
            on_->close();
        }
        co_return how;
    }

    net::task<bool> more(io_buffer& in) {
        const auto room = in.space(1, max_head + buffer_pool::block_bytes);
        if (room.size() == 0) co_return false;
        const net::io_result got = co_await on_->read_some(room);
        in.commit(got.bytes);
        co_return got.ok();
    }

    // Reads the body to its end. False: it has none that can be waited for.
    net::task<bool> pass_over(io_buffer& in, wire::body_framing body) {
        if (body.kind == wire::body_kind::none) co_return true;
        if (body.kind == wire::body_kind::until_close || body.length > max_body) co_return false;
        wire::chunk_decoder decoder;
        std::uint64_t left = body.length, passed = 0;
        for (;;) {
            if (body.kind == wire::body_kind::length) {
                const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(left, in.unread().size()));
                in.consume(size);
                left -= size;
                if (left == 0) co_return true;
            } else {
                for (;;) {
                    const auto step = decoder.next(in.unread());
                    in.consume(step.consumed);
                    passed += step.data.size();
                    if (step.is == wire::chunk_decoder::state::done) co_return true;
                    if (step.is == wire::chunk_decoder::state::refused || passed > max_body) co_return false;
                    if (step.is == wire::chunk_decoder::state::need_more) break;
                }
            }
            if (!co_await more(in)) co_return false;
        }
    }

    const parts& with_;
    std::shared_ptr<const config::upstream> to_;
    wire::head_text head_;
    std::unique_ptr<net::exchange> on_; // of the request under way
    limit limit_{*this};
    bool stopped_ = false;
};

upstream_probes::upstream_probes(parts with) : with_(std::move(with)) {}
upstream_probes::~upstream_probes() { stop(); }

void upstream_probes::use(std::span<const std::shared_ptr<const config::upstream>> upstreams) {
    stop();
    for (const auto& each : upstreams) {
        if (!each->prewarm.on || each->prewarm.probe_path.empty()) continue;
        probes_.push_back(std::make_shared<probe>(with_, each));
        probes_.back()->wait();
    }
}

void upstream_probes::stop() noexcept {
    for (const auto& each : probes_) each->stop();
    probes_.clear();
}

} // namespace evenkeel::request
