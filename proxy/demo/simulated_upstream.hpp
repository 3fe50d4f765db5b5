#pragma once
// The provider of the demo: the simulated one of the tests, with the luck of the workload, counting its attempts.

#include "proxy/demo/workload.hpp"
#include "proxy/provider/simulated_provider.hpp"

#include <array>
#include <cstdint>
#include <map>
#include <mutex>

namespace evenkeel::demo {

class simulated_upstream {
public:
    simulated_upstream(std::uint64_t seed, double speed); // 127.0.0.1, a free port, a thread of its own
    [[nodiscard]] std::string url() const { return provider_.url(); }
    [[nodiscard]] std::uint16_t port() const { return provider_.port(); }
    // Attempts seen at the requests of this side that count.
    [[nodiscard]] std::uint64_t attempts(side from) const;
    void stop() { provider_.stop(); }

private:
    [[nodiscard]] std::string script_for(const provider::attempt_record& record);

    const std::uint64_t seed_;
    const double speed_;
    mutable std::mutex mutex_;
    std::array<std::map<unsigned, unsigned>, sides.size()> seen_; // attempts by side and request
    provider::simulated_provider provider_;                       // last: its thread uses everything above
};

} // namespace evenkeel::demo
