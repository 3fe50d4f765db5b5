#pragma once
// What is known of how fast one endpoint serves one route, by the shape of the request: stream or not, model, how many
// tokens it asks for, how large it is. A shape that is too sparse is read from its parent (fields dropped from the
// right), and in the end from everything the endpoint did. Answers the three questions that hang on latency: how long
// an attempt may take, when to hedge, what is usual.
//
//     everything -> stream -> + model -> + tokens_class -> + size_class
//
// Every attempt is counted at all five levels; the deepest that holds min_samples is read. The first level mixes first
// tokens with whole answers: it says nothing of when to hedge, and it only ever lengthens a timeout beyond `initial`.
//
// What is usual is another question: known from one answer on, and for as long as the process lives, for a pod that is
// asked once an hour has to know it too. So the latest answers of a model, tokens and kind are kept beside the windows,
// whatever their age, and only answers: what was cut off must not make it look usual to be silent.
//
// A read is kept for 250 ms, or up to 2 s while hardly anything new came in, so that it costs a request little. One per
// (route, endpoint); thread-safe: one mutex, held for one call. Bounded: at most max_shapes levels of all shapes
// together, the longest unused goes first.

#include "policies/adaptive_timeout.hpp"
#include "policies/hedge.hpp"
#include "policies/latency_window.hpp"
#include "policies/small_mutex.hpp"
#include "policies/time.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

namespace evenkeel {

// What the latency of a request depends on, before it is sent. Coarse on purpose.
struct request_shape {
    bool stream = false;
    std::uint64_t model = 0;       // a hash; 0: not known
    std::uint8_t tokens_class = 0; // of max_tokens; 0: not told
    std::uint8_t size_class = 0;   // of the request's body
    bool operator==(const request_shape&) const = default;
};
// 1: up to 64, then by factors of 4; 0 for 0.
[[nodiscard]] std::uint8_t tokens_class_of(std::uint64_t max_tokens) noexcept;
[[nodiscard]] std::uint8_t size_class_of(std::uint64_t body_bytes) noexcept; // 0: up to 1 KiB, then by factors of 4

class endpoint_latency {
public:
    // What takes a second and more is given 5 s before it is rescued (rescue.hpp). (chosen)
    static constexpr duration of_another_kind = std::chrono::seconds{1};
    static constexpr std::uint8_t large_size = 4; // size_class, from 64 KiB on: reading it may take seconds
    static constexpr std::size_t max_shapes =
        256; // chosen: measured 0.4 MB an endpoint when all are thin, 1 to 4 MB in use; at most 10 MB

    explicit endpoint_latency(const adaptive_options& options);
    endpoint_latency(const endpoint_latency&) = delete;
    endpoint_latency& operator=(const endpoint_latency&) = delete;
    ~endpoint_latency();
    void configure(const adaptive_options& options); // after a reload; what was learned is kept

    // `took`: from sending to the first meaningful event of a stream, to the whole of a buffered answer. `timed_out`:
    // it ran into the attempt timeout (then kind is cut_off).
    // `is_usual`: else the answer took so long that it is known not to be, and must not make itself so.
    void record(const request_shape& shape, duration took, latency_sample kind, bool timed_out, steady_time now,
                bool is_usual = true);

    [[nodiscard]] duration attempt_timeout(const request_shape& shape, steady_time now);
    // The P95 of what was answered: to as many tokens asked of this model if there ever was an answer, else by this
    // model, else in this kind (stream, or in one piece). Of up to 16 answers about their longest. At least
    // of_another_kind where only other questions were answered: fewer tokens, or, of a large body, none as large.
    // Empty: there was none.
    [[nodiscard]] std::optional<duration> usual(const request_shape& shape, steady_time now);
    // What share q of the attempts stays within (the longest that answered, where more than 1 - q were cut off); empty
    // until min_samples at some level.
    [[nodiscard]] std::optional<duration> quantile(const request_shape& shape, double q, steady_time now);
    // When to hedge an attempt of this shape, counted from its start. Empty: not known enough.
    [[nodiscard]] std::optional<duration> hedge_delay(const request_shape& shape, const hedge_options& options,
                                                      steady_time now);

    // Silences inside streams. A gap that ended with more content shows that this endpoint pauses; one that ended in
    // the idle timeout says nothing. Only gaps worth noting need be told (longer than a quarter of stream_idle).
    // Recent: 5 to 10 minutes.
    void note_gap(duration gap, steady_time now);
    // stream_idle, or more: 1.5 x the longest recent gap, at most 3 x.
    [[nodiscard]] duration widened_idle(duration configured, steady_time now);

    struct summary {
        std::optional<duration> p50, p95;
        duration current_timeout_stream{}, current_timeout_buffered{};
        std::uint32_t samples = 0;
    };
    [[nodiscard]] summary report(steady_time now);

    [[nodiscard]] std::size_t shapes();       // levels of shapes held, at most max_shapes
    [[nodiscard]] std::size_t memory_bytes(); // about

private:
    struct state;
    small_mutex mutex_;
    std::unique_ptr<state> state_;
};

} // namespace evenkeel
