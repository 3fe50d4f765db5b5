#pragma once
// What would become of a request that is not sent: it goes the real way, routing, policies and attempts, on a virtual
// clock, before upstreams that do what is supposed of them. Circuits are closed and nothing is learned, as after a
// start. The story is told in the words of those that happened (telemetry/request_story.hpp).

#include "config/settings.hpp"
#include "proxy/telemetry/kept_request.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace evenkeel::simulate {

struct hypothesis {
    static constexpr std::uint64_t draws = 1; // the seed of what is drawn: pauses and the spread of rests

    std::string method = "POST";
    std::string path{}; // and query
    std::string body{};
    std::vector<std::string> fields{}; // "name: value"

    // Of the upstream that is asked first; the others answer well.
    enum class fault : unsigned char { none, silent, reset, unreachable } does = fault::none;
    std::optional<int> status{}; // it answers so, each time
    std::string answer{};        // ... with this body; empty: an error of its dialect
    std::string retry_after{};   // ... and this field; empty: none
    bool everywhere = false;     // not the first alone
};

// As it is kept of one that was sent. Throws std::invalid_argument, with why, where it is no request.
[[nodiscard]] telemetry::kept_request suppose(const config::snapshot& settings, const hypothesis& what);

// In words, for a terminal of 80 columns. Throws as that does.
[[nodiscard]] std::string explain(const config::snapshot& settings, const hypothesis& what);

} // namespace evenkeel::simulate
