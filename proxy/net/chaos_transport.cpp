#include "proxy/net/chaos_transport.hpp"

#include "proxy/net/event.hpp"
#include "proxy/net/faulty_answer.hpp"
#include "proxy/net/nursery.hpp"

#include <boost/asio/defer.hpp>
#include <boost/asio/error.hpp>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <utility>

namespace evenkeel::net {

namespace {

namespace error = boost::asio::error;
constexpr std::size_t block_bytes = 16 * 1024;                // read from the upstream at a time, as an attempt does
constexpr duration drip_step = std::chrono::milliseconds{50}; // a piece of a dripping body at most so often

// What an exchange and its pump share; the pump may outlive the exchange by the time it takes to notice.
struct tampered {
    tampered(loop& worker, std::unique_ptr<exchange> wrapped, const chaos_fault_options& what,
             chaos_answer_context context)
        : on(worker), real(std::move(wrapped)), fault(what), answer(what, context.dialect, context.head_request),
          changed(worker.executor()) {}

    void finish(io_result result) {
        if (!reader) return;
        boost::asio::defer(on.executor(), [done = std::move(*reader), result]() mutable { std::move(done)(result); });
        reader.reset();
    }
    void close() noexcept {
        if (closed) return;
        closed = true;
        if (real) real->close();
        finish({error::operation_aborted});
        changed.set();
    }

    loop& on;
    std::unique_ptr<exchange> real; // null: the fault spares the upstream
    chaos_fault_options fault;
    faulty_answer answer;
    event changed; // a reader came, or the exchange was closed
    std::optional<completion<io_result>> reader;
    boost::asio::mutable_buffer into{};
    bool pumping = false, delayed = false, closed = false;
    std::optional<error_code> ended; // what every further read gets
    steady_time next_drip{};
};

task<bool> wait_until(tampered& what, steady_time due) { // false: closed meanwhile
    while (!what.closed && what.on.now() < due) co_await what.changed.wait_until(what.on.timers(), due);
    co_return !what.closed;
}

// How much of what is ready goes out with the next read, and when.
struct portion {
    std::size_t bytes;
    steady_time at;
};
portion next_portion(tampered& what) {
    std::size_t bytes = std::min(what.answer.ready().size(), what.into.size());
    const steady_time now = what.on.now();
    const bool slow = what.fault.is == chaos_fault::drip, cut = what.fault.is == chaos_fault::split;
    if (!what.answer.in_body()) return {slow || cut ? std::min(bytes, what.answer.until_body()) : bytes, now};
    if (cut) return {std::min<std::size_t>(bytes, 1), now};
    if (!slow) return {bytes, now};
    const double rate = static_cast<double>(what.fault.bytes_per_second);
    const auto piece = std::max<std::size_t>(1, static_cast<std::size_t>(rate * in_seconds(drip_step)));
    bytes = std::min(bytes, piece);
    const steady_time at = std::max(now, what.next_drip);
    what.next_drip = at + scaled(std::chrono::seconds{1}, static_cast<double>(bytes) / rate);
    return {bytes, at};
}

// Serves one read after the other until the exchange is closed or has ended.
task<void> serve_reads(std::shared_ptr<tampered> what) {
    std::array<char, block_bytes> block;
    for (;;) {
        while (!what->closed && !what->reader) co_await what->changed.wait();
        if (what->closed) co_return;
        if (!what->answer.ready().empty()) {
            if (what->fault.is == chaos_fault::latency && !std::exchange(what->delayed, true)) {
                if (!co_await wait_until(*what, what->on.now() + what->fault.delay)) co_return;
            }
            const portion part = next_portion(*what);
            if (!co_await wait_until(*what, part.at)) co_return;
            std::memcpy(what->into.data(), what->answer.ready().data(), part.bytes);
            what->answer.consume(part.bytes);
            what->finish({{}, part.bytes});
            continue;
        }
        switch (what->answer.then()) {
        case faulty_answer::sequel::more: break;
        case faulty_answer::sequel::silence:
            while (!what->closed) co_await what->changed.wait();
            co_return;
        case faulty_answer::sequel::reset: what->ended = error::connection_reset; break;
        case faulty_answer::sequel::end: what->ended = error::eof; break;
        }
        if (!what->ended) {
            const io_result got = co_await what->real->read_some(boost::asio::buffer(block));
            if (what->closed) co_return;
            if (got.ok()) {
                what->answer.read({block.data(), got.bytes});
                continue;
            }
            if (got.error == error::eof) {
                what->answer.end();
                continue;
            }
            what->ended = got.error;
        }
        what->finish({*what->ended});
        co_return;
    }
}

task<void> pump(std::shared_ptr<tampered> what) {
    try {
        co_await serve_reads(what);
    } catch (...) {
        what->close(); // whoever reads is told
        throw;
    }
}

class tampered_exchange final : public exchange {
public:
    explicit tampered_exchange(std::shared_ptr<tampered> with) : with_(std::move(with)) {}
    ~tampered_exchange() override { with_->close(); }

    void start_read(boost::asio::mutable_buffer into, completion<io_result> done) override {
        with_->into = into;
        with_->reader.emplace(std::move(done));
        if (with_->closed) return with_->finish({error::operation_aborted});
        if (with_->ended) return with_->finish({*with_->ended});
        with_->changed.set();
        if (!std::exchange(with_->pumping, true)) with_->on.nursery().spawn(pump(with_));
    }
    void start_write(std::span<const boost::asio::const_buffer> from, completion<io_result> done) override {
        if (with_->real) return with_->real->start_write(from, std::move(done));
        const io_result result = with_->closed ? io_result{error::operation_aborted} : io_result{{}, size_of(from)};
        boost::asio::defer(with_->on.executor(),
                           [done = std::move(done), result]() mutable { std::move(done)(result); });
    }
    io_result write_now(std::span<boost::asio::const_buffer>& from) noexcept override {
        if (with_->real) return with_->real->write_now(from);
        const io_result result{{}, size_of(from)};
        from = {};
        return result;
    }
    void close() noexcept override { with_->close(); }
    void recycle(duration) noexcept override { with_->close(); }
    bool reused() const noexcept override { return with_->real && with_->real->reused(); }
    duration connect_time() const noexcept override {
        return with_->real ? with_->real->connect_time() : duration::zero();
    }

private:
    static std::size_t size_of(std::span<const boost::asio::const_buffer> from) noexcept {
        std::size_t bytes = 0;
        for (const auto& part : from) bytes += part.size();
        return bytes;
    }
    std::shared_ptr<tampered> with_;
};

} // namespace

std::unique_ptr<exchange> chaos_transport::wrap(std::unique_ptr<exchange> real) const {
    return std::make_unique<tampered_exchange>(
        std::make_shared<tampered>(loop_, std::move(real), injection_.fault, context_));
}

std::unique_ptr<exchange> chaos_transport::reuse(const std::shared_ptr<const config::upstream>& to) {
    if (injection_.fault.spares_upstream()) return nullptr; // open() knows how
    auto real = wrapped_.reuse(to);
    return real ? wrap(std::move(real)) : nullptr;
}

task<open_result> chaos_transport::open(const std::shared_ptr<const config::upstream>& to, bool fresh,
                                        steady_time deadline, cancel_source& cancel) {
    if (injection_.fault.is == chaos_fault::connect_fail) {
        co_return open_result{nullptr,
                              {transport_error::kind::refused, "connection_refused", 502, error::connection_refused,
                               "connection refused, injected by chaos"}};
    }
    if (injection_.fault.spares_upstream()) co_return open_result{wrap(nullptr), {}};
    open_result opened = co_await wrapped_.open(to, fresh, deadline, cancel);
    if (opened.exchange) opened.exchange = wrap(std::move(opened.exchange));
    co_return opened;
}

} // namespace evenkeel::net
