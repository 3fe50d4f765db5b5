#include "proxy/demo/simulated_upstream.hpp"

namespace evenkeel::demo {

simulated_upstream::simulated_upstream(std::uint64_t seed, double speed)
    : seed_(seed), speed_(speed),
      provider_({.seed = seed, .record = false, .script_for = [this](const provider::attempt_record& record) {
                     return script_for(record);
                 }}) {}

std::string simulated_upstream::script_for(const provider::attempt_record& record) {
    // Whoever tries the demo by hand comes without a name and gets the luck of a request beyond any of the workload.
    constexpr std::uint64_t beyond = std::uint64_t{1} << 32U;
    const auto name = parse_nonce(record.nonce);
    if (!name) return script_of(draw_luck(seed_, beyond + record.serial, 1), speed_);
    unsigned attempt = 0;
    {
        const std::lock_guard lock{mutex_};
        attempt = ++seen_.at(static_cast<std::size_t>(name->from))[name->number];
    }
    return script_of(draw_luck(seed_, name->number, attempt), speed_);
}

std::uint64_t simulated_upstream::attempts(side from) const {
    const std::lock_guard lock{mutex_};
    std::uint64_t sum = 0;
    for (const auto& [number, count] : seen_.at(static_cast<std::size_t>(from)))
        if (number >= original::warm_up) sum += count;
    return sum;
}

} // namespace evenkeel::demo
