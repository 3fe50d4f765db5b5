#pragma once
// What a simulation is fed with: which requests come when, and what each attempt at one meets at the provider. Pure and
// immutable: the same for every policy and on every thread. Two kinds: a scenario's model (model_traffic.hpp) and the
// replay of an access log (trace_traffic.hpp).
//
// Times are seconds of the scenario; 0 is when the first request that counts may come, warm-up lies before.

#include "proxy/model/work_clock.hpp"

#include <cstdint>
#include <optional>
#include <vector>

namespace evenkeel::model {

// Where only the time of the whole answer is given: 0.8 s of 3.2 s.
inline constexpr double first_of_whole = 0.25;

enum class api : unsigned char { openai_chat, anthropic_messages };

struct planned_request {
    double due = 0; // seconds
    api speaks = api::openai_chat;
    bool stream = false;
    int max_tokens = 512;
};

inline constexpr int answer_pieces = 10; // an answer's text comes in so many

// What one attempt meets. Durations are seconds of work of an undisturbed server (work_clock).
struct fate {
    enum class kind : unsigned char {
        answer, // whole, but for `flaw`
        status, // an error answer after `first`
        reset,  // the connection is reset after `first`, before anything of an answer
        hang,   // nothing ever comes, and nothing of the server is used
    };
    enum class flaw : unsigned char {
        none,
        reset,     // the connection is reset
        truncated, // the answer ends as if it were whole
        error,     // an error inside the 200; a buffered answer consists of it
        stall,     // nothing ever comes any more
    };
    kind is = kind::answer;
    double first = 0;                 // until the first token, the error or the reset
    double whole = 0;                 // until the end of the answer; at least `first`
    int status = 200;                 // of an error answer
    std::optional<int> retry_after{}; // seconds, as the error answer says
    flaw broken = flaw::none;         // happens instead of piece number `broken_at`, 0 to 9, and at its time
    int broken_at = 0;
};

struct traffic_facts {
    unsigned requests = 0;     // warm-up included
    unsigned warm_up = 0;      // the first so many do not count
    double begin = 0, end = 0; // seconds: no request is due before or after
    double deadline = 60;      // seconds, then a client gives up
    int servers = 1;           // 1 or 2
    capacity server{};         // of each
    // In service: from so many on a server answers 503 ...
    std::size_t refuse_from = std::numeric_limits<std::size_t>::max();
    double refuse_after = 0.5; // ... after this many seconds, however loaded it is
    std::vector<speed_step> speeds{};
    std::vector<double> cuts{};              // seconds: at each, every open connection is reset
    std::optional<double> disturbed_until{}; // seconds: recovery is measured from here
};

class traffic {
public:
    virtual ~traffic() = default;

    [[nodiscard]] virtual const traffic_facts& facts() const noexcept = 0;
    [[nodiscard]] virtual planned_request plan(unsigned number) const = 0; // due times do not fall
    // Attempt number `attempt` (from 1) at request `number`, sent to `server` at `now`.
    [[nodiscard]] virtual fate meet(unsigned number, unsigned attempt, int server, double now) const = 0;
    [[nodiscard]] virtual bool refuses_connections(int server, double now) const {
        static_cast<void>(server);
        static_cast<void>(now);
        return false;
    }
};

} // namespace evenkeel::model
