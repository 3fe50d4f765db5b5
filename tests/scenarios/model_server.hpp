#pragma once
// The simulated provider of the scenarios (proxy/model/model_transport) on real sockets and in real time, so many
// times faster than the scenario: the same luck, the same servers with their capacity, the same spells. One port for
// each of two servers; where the scenario has one, both are the same.
//
// A server that refuses connections resets them here as soon as they are accepted.

#include "policies/time.hpp"
#include "proxy/model/traffic.hpp"

#include <cstdint>
#include <memory>

namespace evenkeel::test {

class model_server {
public:
    // `zero`: when the scenario's 0 is. A thread of its own serves from now on.
    model_server(const model::traffic& what, steady_time zero, double speed);
    ~model_server();
    model_server(const model_server&) = delete;
    model_server& operator=(const model_server&) = delete;

    [[nodiscard]] std::uint16_t port(int server) const noexcept;
    void stop(); // ends every connection
    // After stop().
    [[nodiscard]] unsigned attempts(unsigned request) const noexcept;
    [[nodiscard]] std::uint64_t refused() const noexcept;

private:
    struct state;
    std::unique_ptr<state> state_;
};

} // namespace evenkeel::test
