#include "tests/support/scripted_client.hpp"

#include <boost/asio/error.hpp>

#include <algorithm>
#include <cstring>
#include <utility>

#include <sys/socket.h>
#include <unistd.h>

namespace evenkeel::test {

namespace error = boost::asio::error;

scripted_client::shared::~shared() {
    for (const int one : ends) {
        if (one >= 0) ::close(one);
    }
}

void scripted_client::shared::finish(std::optional<net::completion<net::io_result>>& whose, net::io_result result) {
    if (!whose) return;
    turn.complete(loop, std::move(*whose), result, &whose == &reader ? 'r' : 'w');
    whose.reset();
}

void scripted_client::shared::serve_reader() {
    if (!reader) return;
    if (closed) return finish(reader, {error::operation_aborted});
    if (!incoming.empty()) {
        if (only_waits) return finish(reader, {});
        const std::size_t n = std::min(incoming.size(), into.size());
        std::memcpy(into.data(), incoming.data(), n);
        incoming.erase(0, n);
        return finish(reader, {{}, n});
    }
    if (left || sends_no_more) finish(reader, only_waits ? net::io_result{} : net::io_result{error::eof});
}

void scripted_client::shared::write(std::span<const boost::asio::const_buffer> from) {
    std::size_t bytes = 0;
    for (const auto& part : from) {
        received.append(static_cast<const char*>(part.data()), part.size());
        bytes += part.size();
    }
    finish(writer, {{}, bytes});
    if (told) told();
}

class scripted_client::stream final : public net::client_stream {
public:
    explicit stream(std::shared_ptr<shared> wire) : wire_(std::move(wire)) {}
    ~stream() override { close(); }

    void start_read(boost::asio::mutable_buffer into, net::completion<net::io_result> done) override {
        wire_->into = into;
        wire_->only_waits = false;
        wire_->reader.emplace(std::move(done));
        wire_->serve_reader();
    }
    void start_wait_readable(net::completion<net::io_result> done) override {
        wire_->only_waits = true;
        wire_->reader.emplace(std::move(done));
        wire_->serve_reader();
    }
    void cancel_read() noexcept override { wire_->finish(wire_->reader, {error::operation_aborted}); }
    void start_write(std::span<const boost::asio::const_buffer> from, net::completion<net::io_result> done) override {
        ++wire_->writes;
        wire_->writer.emplace(std::move(done));
        if (wire_->closed) return wire_->finish(wire_->writer, {error::operation_aborted});
        if (wire_->left) return wire_->finish(wire_->writer, {error::broken_pipe});
        if (wire_->stalled) return wire_->unwritten.assign(from.begin(), from.end());
        wire_->write(from);
    }
    std::uint64_t moved() const noexcept override { return wire_->moved; }
    void shutdown_send() noexcept override {
        wire_->send_shut = true;
        if (wire_->told) wire_->told();
    }
    void close() noexcept override {
        wire_->closed = true;
        wire_->finish(wire_->reader, {error::operation_aborted});
        wire_->finish(wire_->writer, {error::operation_aborted});
        if (wire_->told) wire_->told();
    }
    void reset() noexcept override {
        wire_->was_reset = true;
        close();
    }
    int descriptor() const noexcept override { return wire_->ends[0]; }
    std::string_view peer() const noexcept override { return "192.0.2.7"; }

private:
    std::shared_ptr<shared> wire_;
};

std::unique_ptr<net::client_stream> scripted_client::connect() {
    // For departure_watch, which polls. None left: the client is not seen leaving before it is written to.
    if (wire_->watched && ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, wire_->ends) != 0)
        wire_->ends[0] = wire_->ends[1] = -1;
    return std::make_unique<stream>(wire_);
}

void scripted_client::send(std::string_view bytes) {
    wire_->incoming += bytes;
    wire_->serve_reader();
}

void scripted_client::leave() {
    wire_->left = true;
    if (wire_->ends[1] >= 0) ::close(std::exchange(wire_->ends[1], -1));
    wire_->serve_reader();
}

void scripted_client::half_close() {
    wire_->sends_no_more = true;
    if (wire_->ends[1] >= 0) ::shutdown(wire_->ends[1], SHUT_WR);
    wire_->serve_reader();
}

void scripted_client::read_again() {
    wire_->stalled = false;
    if (wire_->writer) wire_->write(std::exchange(wire_->unwritten, {}));
}

} // namespace evenkeel::test
