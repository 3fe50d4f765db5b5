#pragma once
// Where a request has its client, in the proxy; here its body has come whole and nobody writes to it.

#include "proxy/net/client_stream.hpp"
#include "proxy/net/loop.hpp"

namespace evenkeel::simulate {

class no_client final : public net::client_stream {
public:
    explicit no_client(net::loop& worker) noexcept : loop_(worker) {}
    void start_read(boost::asio::mutable_buffer, net::completion<net::io_result> done) override {
        refuse(std::move(done));
    }
    void start_write(std::span<const boost::asio::const_buffer>, net::completion<net::io_result> done) override {
        refuse(std::move(done));
    }
    void start_wait_readable(net::completion<net::io_result> done) override { refuse(std::move(done)); }
    void cancel_read() noexcept override {}
    void shutdown_send() noexcept override {}
    void close() noexcept override {}
    void reset() noexcept override {}
    int descriptor() const noexcept override { return -1; }
    std::string_view peer() const noexcept override { return "192.0.2.1"; }

private:
    void refuse(net::completion<net::io_result> done);
    net::loop& loop_;
};

} // namespace evenkeel::simulate
