#pragma once
// `stream.upcast`: a buffered request goes upstream as a stream, and its answer is put together again before anything
// of it is passed on, so that hedging, silences and timeouts see its first token. What cannot be put together is asked
// for again as the client asked for it, in the same attempt: that is no extra attempt and costs the budget nothing.

#include "policies/flight_plan.hpp"
#include "policies/time.hpp"
#include "proxy/request/block.hpp"
#include "proxy/request/body_source.hpp"
#include "proxy/request/memory_bound.hpp"
#include "proxy/telemetry/observer.hpp"
#include "proxy/wire/answer_assembler.hpp"
#include "proxy/wire/head.hpp"
#include "proxy/wire/head_text.hpp"

#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace evenkeel::request {

struct client_request;

// The models whose streams turned out to hold what is not known, by upstream: their requests go as they are.
// Process-wide, of one configuration: a reload forgets them. Thread-safe.
class upcast_memory {
public:
    // A provider that learned something new, or a request that asked for something rare, costs one request twice this
    // often.
    static constexpr duration remembered = std::chrono::hours{1}; // chosen
    static constexpr std::size_t most = 1024;                     // chosen: models are named by clients

    [[nodiscard]] bool excludes(std::string_view upstream, std::string_view model, steady_time now);
    // True: it was not excluded before.
    bool exclude(std::string_view upstream, std::string_view model, steady_time now);

private:
    [[nodiscard]] static std::string key_of(std::string_view upstream, std::string_view model);

    std::atomic<bool> any_{false};
    std::mutex mutex_;
    std::unordered_map<std::string, steady_time> until_;
};

// What an attempt that goes upstream as a stream is made of; its order holds it.
struct upcast_order {
    upcast_order(wire::dialect which, memory_bound& memory) : assembler(which), charge(memory) {}

    wire::head_text head; // what goes out instead of the order's
    body_pieces body;     // ... and instead of the client's body: one piece
    std::string model;
    upcast_memory* exclusions = nullptr;             // of the order's policies
    holding plain_hold = holding::nothing;           // ... where it is repeated
    bool streams = true;                             // false: it is being repeated
    std::optional<telemetry::upcast_result> again{}; // it is to be repeated, for this reason
    std::string unknown{};                           // what was not understood
    wire::answer_assembler assembler;
    memory_charge charge; // of what it holds
    std::uint64_t charged = 0;
    bool assembled = false;
};

// The client's head as it goes with an upcast request: what comes back has to be readable here.
[[nodiscard]] wire::request_head upcast_head(const wire::request_head& of);

// Whether an error answer speaks of the stream that the client did not ask for.
[[nodiscard]] bool blames_stream(int status, std::string_view body) noexcept;

// The answer as the client gets it. `from` delivers the JSON that was put together, and keeps what `head` points to.
struct assembled_answer {
    std::unique_ptr<body_source> body;
    const wire::response_head* head = nullptr; // of the body
};
[[nodiscard]] assembled_answer assembled_body(const wire::response_head& head, std::size_t size,
                                              std::unique_ptr<body_source> from);

} // namespace evenkeel::request
