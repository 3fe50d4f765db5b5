#include "proxy/model/model_transport.hpp"

#include "proxy/net/cancel.hpp"

#include <boost/asio/defer.hpp>
#include <boost/asio/error.hpp>

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

namespace evenkeel::model {

namespace error = boost::asio::error;

model_transport::clocked::clocked(model_transport& owner, capacity of, std::vector<speed_step> steps)
    : owner_(owner), clock_(owner.time_.seconds(owner.loop_.now()), of, std::move(steps)) {}

work_clock& model_transport::clocked::up_to_date() {
    clock_.advance(owner_.time_.seconds(owner_.loop_.now()));
    return clock_;
}

void model_transport::clocked::arm() {
    if (const auto next = clock_.next()) {
        owner_.loop_.timers().arm(*this, owner_.time_.at(*next));
    } else {
        cancel();
    }
}

void model_transport::clocked::on_timer() {
    up_to_date();
    arm();
}

class model_transport::model_exchange final : public net::exchange,
                                              public work_clock::job,
                                              public boost::intrusive::list_base_hook<> {
public:
    model_exchange(model_transport& owner, int server) : owner_(owner), server_(server) {
        ++owner_.open_;
        owner_.exchanges_->push_back(*this);
    }
    ~model_exchange() override { close(); }

    void start_read(boost::asio::mutable_buffer into, net::completion<net::io_result> done) override {
        into_ = into;
        reader_.emplace(std::move(done));
        serve_reader();
    }
    void start_write(std::span<const boost::asio::const_buffer> from, net::completion<net::io_result> done) override {
        std::size_t bytes = 0;
        for (const auto& part : from) bytes += part.size();
        const bool first = !asked_;
        asked_ = true;
        const net::error_code refusal = closed_  ? net::error_code{error::operation_aborted}
                                        : ended_ ? net::error_code{error::broken_pipe}
                                                 : net::error_code{};
        // The head, and whatever a request of a simulation has for a body, come in the first write.
        if (!refusal && first && !from.empty())
            take({static_cast<const char*>(from.front().data()), from.front().size()});
        boost::asio::defer(owner_.loop_.executor(),
                           [done = std::move(done), result = net::io_result{refusal, refusal ? 0 : bytes}]() mutable {
                               std::move(done)(result);
                           });
    }
    void close() noexcept override {
        if (closed_) return;
        closed_ = true;
        leave();
        unlink();
        finish_read({error::operation_aborted});
    }
    void recycle(duration) noexcept override { close(); }
    bool reused() const noexcept override { return false; }
    duration connect_time() const noexcept override { return duration::zero(); }

    // The connection is lost from the other side.
    void reset() {
        leave();
        end(error::connection_reset);
    }

private:
    void take(std::string_view request);
    void on_due(work_clock& clock) override;
    void next_piece(work_clock& clock);
    void break_stream();
    void break_buffered();

    void leave() noexcept {
        if (waits_at_ == nullptr) return;
        clocked& there = *waits_at_;
        work_clock& clock = there.up_to_date();
        if (waits_at_ != nullptr) clock.leave(*this); // it may just have come to its end
        there.arm();
        waits_at_ = nullptr;
    }
    void unlink() noexcept {
        if (!is_linked()) return;
        owner_.exchanges_->erase(owner_.exchanges_->iterator_to(*this));
        --owner_.open_;
    }
    void end(net::error_code why) {
        if (!ended_) ended_ = why;
        serve_reader();
    }
    void finish_read(net::io_result result) {
        if (!reader_) return;
        boost::asio::defer(owner_.loop_.executor(),
                           [done = std::move(*reader_), result]() mutable { std::move(done)(result); });
        reader_.reset();
    }
    void serve_reader() {
        if (!reader_) return;
        if (closed_) return finish_read({error::operation_aborted});
        if (given_ < outgoing_.size()) {
            const std::size_t bytes = std::min(outgoing_.size() - given_, into_.size());
            std::memcpy(into_.data(), outgoing_.data() + given_, bytes);
            given_ += bytes;
            if (given_ == outgoing_.size()) {
                outgoing_.clear();
                given_ = 0;
            }
            return finish_read({{}, bytes});
        }
        if (ended_) finish_read({*ended_});
    }

    model_transport& owner_;
    int server_;
    clocked* waits_at_ = nullptr; // while it waits for one
    unsigned number_ = 0;
    bool stream_ = false;
    fate fate_;
    int piece_ = 0;
    bool asked_ = false, closed_ = false;
    std::string outgoing_; // not read yet, from given_ on
    std::size_t given_ = 0;
    std::optional<net::error_code> ended_;
    std::optional<net::completion<net::io_result>> reader_;
    boost::asio::mutable_buffer into_{};
};

void model_transport::model_exchange::take(std::string_view request) {
    const auto number = request_number(request);
    if (!number || *number >= owner_.attempts_.size()) { // no request of this simulation
        answer_texts::status(outgoing_, 400, std::nullopt);
        return serve_reader();
    }
    number_ = *number;
    auto& attempts = owner_.attempts_[number_];
    if (attempts < UINT16_MAX) ++attempts;
    stream_ = owner_.traffic_.plan(number_).stream;

    const auto& facts = owner_.traffic_.facts();
    clocked& server = *owner_.servers_[static_cast<std::size_t>(server_)];
    work_clock& service = server.up_to_date();
    if (service.in_service() >= facts.refuse_from) {
        fate_.is = fate::kind::status;
        fate_.first = facts.refuse_after;
        fate_.status = 503;
        waits_at_ = &owner_.undisturbed_;
    } else {
        fate_ = owner_.traffic_.meet(number_, attempts, server_, service.now());
        if (fate_.is == fate::kind::hang) return;
        service.enter(*this);
        waits_at_ = &server;
    }
    const bool whole_at_once = fate_.is == fate::kind::answer && !stream_ && fate_.broken == fate::flaw::none;
    waits_at_->up_to_date().schedule(*this, whole_at_once ? fate_.whole : fate_.first);
    waits_at_->arm();
}

void model_transport::model_exchange::on_due(work_clock& clock) {
    const answer_texts& texts = owner_.texts_;
    const auto done = [&] {
        clock.leave(*this); // whoever drives the clock arms it
        waits_at_ = nullptr;
    };
    switch (fate_.is) {
    case fate::kind::status:
        done();
        answer_texts::status(outgoing_, fate_.status, fate_.retry_after, owner_.time_.speed());
        return serve_reader();
    case fate::kind::reset: done(); return end(error::connection_reset);
    case fate::kind::hang: return;
    case fate::kind::answer: break;
    }
    if (stream_ || fate_.broken != fate::flaw::none) return next_piece(clock);
    done();
    texts.buffered(outgoing_, number_);
    serve_reader();
}

// The pieces are spread evenly from the first token to the end. Those of a buffered answer are seen only where it
// breaks.
void model_transport::model_exchange::next_piece(work_clock& clock) {
    const bool breaks = fate_.broken != fate::flaw::none && piece_ == fate_.broken_at;
    if (stream_ && piece_ == 0) owner_.texts_.stream_head(outgoing_);
    if (stream_ && !breaks) owner_.texts_.stream_piece(outgoing_, number_, piece_);
    if (breaks && fate_.broken == fate::flaw::stall) { // it stays in service until somebody closes it
        if (!stream_) owner_.texts_.buffered_part(outgoing_, number_, fate_.broken_at);
        return serve_reader();
    }
    if (breaks || ++piece_ == answer_pieces) {
        clock.leave(*this);
        waits_at_ = nullptr;
        if (breaks) {
            if (stream_) {
                break_stream();
            } else {
                break_buffered();
            }
        }
    } else {
        clock.schedule(*this, (fate_.whole - fate_.first) / (answer_pieces - 1));
    }
    serve_reader();
}

void model_transport::model_exchange::break_stream() {
    switch (fate_.broken) {
    case fate::flaw::reset: ended_ = error::connection_reset; break;
    case fate::flaw::truncated: owner_.texts_.stream_end(outgoing_); break;
    case fate::flaw::error: owner_.texts_.stream_error(outgoing_); break;
    case fate::flaw::stall:
    case fate::flaw::none: break;
    }
}

void model_transport::model_exchange::break_buffered() {
    switch (fate_.broken) {
    case fate::flaw::reset:
        owner_.texts_.buffered_part(outgoing_, number_, fate_.broken_at);
        ended_ = error::connection_reset;
        break;
    case fate::flaw::truncated: owner_.texts_.buffered_cut(outgoing_, number_, fate_.broken_at); break;
    case fate::flaw::error: owner_.texts_.buffered_error(outgoing_); break;
    case fate::flaw::stall:
    case fate::flaw::none: break;
    }
}

// Resets whatever is open, at the times the scenario names.
class model_transport::cut final : private net::timer_entry {
public:
    explicit cut(model_transport& owner) : owner_(owner) { arm(); }
    ~cut() override = default;

private:
    void arm() {
        const auto& cuts = owner_.traffic_.facts().cuts;
        if (next_ < cuts.size()) owner_.loop_.timers().arm(*this, owner_.time_.at(cuts[next_]));
    }
    void on_timer() override {
        // Only tells: nobody acts on it before the loop turns.
        for (model_exchange& each : *owner_.exchanges_) each.reset();
        ++next_;
        arm();
    }

    model_transport& owner_;
    std::size_t next_ = 0;
};

model_transport::model_transport(net::loop& worker, const traffic& what, scenario_time clock)
    : loop_(worker), traffic_(what), time_(clock), attempts_(what.facts().requests),
      exchanges_(std::make_unique<exchange_list>()), undisturbed_(*this, {}, {}) {
    for (int server = 0; server < what.facts().servers; ++server) {
        servers_.push_back(std::make_unique<clocked>(*this, what.facts().server, what.facts().speeds));
    }
    cut_ = std::make_unique<cut>(*this);
}

model_transport::~model_transport() = default;

std::unique_ptr<net::exchange> model_transport::connect(int server) {
    if (traffic_.refuses_connections(server, time_.seconds(loop_.now()))) {
        ++refused_;
        return nullptr;
    }
    return std::make_unique<model_exchange>(*this, server);
}

net::task<net::open_result> model_transport::open(const std::shared_ptr<const config::upstream>& to, bool, steady_time,
                                                  net::cancel_source& cancel) {
    using kind = net::transport_error::kind;
    if (cancel.requested())
        co_return net::open_result{nullptr, {kind::cancelled, "connection_terminated", 502, {}, "cancelled"}};
    const auto named = servers_by_name_.find(name_of(*to));
    auto exchange = connect(named != servers_by_name_.end() ? named->second : 0);
    if (!exchange)
        co_return net::open_result{
            nullptr, {kind::refused, "connection_refused", 502, error::connection_refused, "connection refused"}};
    co_return net::open_result{std::move(exchange), {}};
}

} // namespace evenkeel::model
