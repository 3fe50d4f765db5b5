#pragma once
// When a silent attempt is joined by another one, which then runs beside it: the first good answer wins, and nothing
// that has been paid for is thrown away and begun again. A hedge bets on the tail of what usually takes that long; a
// rescue answers a silence that is not usual at all, so it is on where hedges are off and hardly ever happens in calm.
//
//     nothing known               10 s for a stream, 30 s for an answer in one piece
//     usual P95 known             3 x it, at least 1 s, or 5 s where answers take a second and more
//     signs of life, no meaning   likewise, since it was asked, where its usual P95 is known and another one may be
//                                 asked: pings go on for ever before a model that hangs, and before one that thinks
//     others show that it hangs   1.5 x the usual P95, its own or else the other's: who waited there was answered
//                                 elsewhere, and this is no guess any more
//     no byte has left for 1 s    at once: the way there is dead, not the provider slow
//     little time is left         at the latest when 1.3 x the other's usual P95 still fits, or after half of the time
//                                 where nothing is known; not while the silence is one in which answers still come
//
// Paid for by the endpoint that is silent: `free_rescues` to begin with, `per_request` for each request that it is
// asked first for. Never by the one that helps: it would pay for the failures of others. (chosen: what is under
// way when a provider begins to hang, and a tenth more of the requests where it keeps failing by halves) What others
// have shown needs no payment.

#include "policies/time.hpp"

#include <atomic>
#include <cstdint>
#include <optional>
#include <string_view>

namespace evenkeel {

struct rescue_options {
    bool on = true;
    std::optional<duration> after{}; // fixed; empty: auto
    bool operator==(const rescue_options&) const = default;
};

inline constexpr duration connect_silence = std::chrono::seconds{1};
// Times the usual P95: one answer in a hundred takes longer; and what takes longer than that is evidence.
inline constexpr double still_usual = 1.5, no_longer_usual = 2;

// Of an attempt whose latest sign of life was `since`; `own` and `other`: the usual P95 of the endpoint that is silent
// and of the one that would be asked.
struct rescue_question {
    steady_time since{}, launched{}, deadline{};
    std::optional<duration> own{}, other{};
    bool stream = false;
    // Since when it could have said something, and has not; empty: signs of life are enough.
    std::optional<steady_time> asked{};
    int joined = 0;     // rescues of this request so far: each waits twice as long as the one before
    bool shown = false; // others show that the silent endpoint hangs
};
[[nodiscard]] duration rescue_delay(const rescue_options& options, const std::optional<duration>& usual_p95,
                                    bool stream) noexcept;
[[nodiscard]] steady_time rescue_due(const rescue_options& options, const rescue_question& of) noexcept;

// Why a rescue that was due is not launched; metric label.
enum class rescue_refusal : unsigned char {
    none,
    limit,          // max_retries, or a lone endpoint has been asked twice
    not_replayable, // the request may not be sent twice
    no_endpoint,    // none may be asked beside
    overload,       // the one to ask is overloaded: both are slow, and more requests make it worse
    budget,         // the endpoint that is silent has none left
    deadline,       // it could not answer in time
};
inline constexpr int rescue_refusal_count = 7;
[[nodiscard]] std::string_view to_string(rescue_refusal) noexcept;

// What an endpoint may still cost in rescues. Thread-safe, no lock.
class rescue_allowance {
public:
    static constexpr int free_rescues = 50;
    static constexpr double per_request = 0.1;

    void asked_first() noexcept { // of every request that is sent there first: nearly always there is enough
        if (left_.load(std::memory_order_relaxed) < most) add();
    }
    [[nodiscard]] bool take() noexcept;
    void give_back() noexcept { left_.fetch_add(unit, std::memory_order_relaxed); }
    [[nodiscard]] double left() const noexcept { return static_cast<double>(left_.load()) / unit; }

private:
    static constexpr std::int32_t unit = 10; // parts of a rescue
    static constexpr std::int32_t most = free_rescues * unit;
    static constexpr std::int32_t part = static_cast<std::int32_t>(per_request * unit);
    static_assert(part > 0);
    void add() noexcept;
    std::atomic<std::int32_t> left_{most};
};

} // namespace evenkeel
