#pragma once
// A complete answer of an upstream, as it is kept to be given again. Immutable once kept.

#include "policies/time.hpp"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace evenkeel::request {

struct stored_answer {
    int status = 200;
    bool stream = false;                                     // with its terminal marker
    std::vector<std::pair<std::string, std::string>> fields; // what describes the body: content-type and the like
    std::string body;                                        // as it went to the client, without framing
    steady_time kept{};
    wall_time kept_at{}; // the same moment

    // What it takes of the store, all in all. (chosen: 256 bytes for places and pointers)
    [[nodiscard]] std::uint64_t size() const noexcept {
        std::uint64_t sum = 256 + body.size();
        for (const auto& [name, value] : fields) sum += name.size() + value.size();
        return sum;
    }
};

} // namespace evenkeel::request
