#pragma once
// One request sent upstream on behalf of several clients. It belongs to none of them: it runs in the nursery of the
// worker that started it, on a copy of the request that started it, and every client, also the first, reads its answer
// from a log (flight_log). Whoever leaves harms no other; when the last one has left, the work upstream is cancelled at
// once.
//
//   start     by the leader, below with_fallback and above the bulkhead: one permit, one request to budgets and
//   breakers join      as long as the answer is held from its first byte on and nothing has ended it deadline  the
//   latest of its readers'; each of them waits under its own pace      that of the fastest reader end       whole,
//   broken or refused: all readers get the same, once; the flight leaves the map at once
//
// Threads: what the mutex guards is anybody's, and nobody waits or posts while he has it; the rest is the running
// worker's. Readers of other workers are woken by a post to their loop.

#include "proxy/coalesce/coalesce_key.hpp"
#include "proxy/coalesce/flight_log.hpp"
#include "proxy/flight/stage.hpp"
#include "proxy/message/answer.hpp"
#include "proxy/message/memory_bound.hpp"
#include "proxy/message/owned_request.hpp"
#include "proxy/net/event.hpp"
#include "proxy/state/worker_services.hpp"
#include "proxy/wire/stream_reader.hpp"

#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace evenkeel::request {

class shared_flight;
class shared_flights;

// One client's part in a shared flight: joins one, waits for what comes, and leaves it, at the latest when it goes. Of
// its client's worker; a flight wakes it from any.
class flight_reader {
public:
    explicit flight_reader(net::loop& worker) : state_(std::make_shared<state>(worker)) {}
    flight_reader(flight_reader&&) noexcept = default;
    flight_reader& operator=(flight_reader&&) = delete;
    ~flight_reader() { leave(); }

    void leave() noexcept;
    [[nodiscard]] shared_flight* flight() const noexcept { return flight_.get(); } // null: it is in none
    [[nodiscard]] net::task<bool> wait_until(steady_time due) {
        net::event& ready = state_->ready;
        return due == steady_time::max() ? ready.wait() : ready.wait_until(state_->loop.timers(), due);
    }
    void set() { state_->ready.set(); }

private:
    friend class shared_flight;
    // What the flight knows of it and guards, and how it is woken.
    struct state : std::enable_shared_from_this<state> {
        explicit state(net::loop& worker) : loop(worker), ready(worker.executor()) {}
        void wake(); // on any worker
        net::loop& loop;
        net::event ready;
        flight_log::cursor cursor;
        bool waits = false; // for what has not come yet
    };
    std::shared_ptr<state> state_; // null: moved from
    std::shared_ptr<shared_flight> flight_;
};

// What all readers are told of the answer: a copy of its head, which outlives the attempt it came from.
struct shared_answer : provenance {
    shared_answer(const answer& of, const telemetry::request_account& account);
    telemetry::request_story so_far; // of the request that it is the answer to
    wire::response_head head;
    std::optional<wire::stream_format> format; // of a stream that is not compressed: our words may stand behind it

private:
    [[nodiscard]] std::string_view keep(std::string_view text) { return texts_.emplace_back(text); }
    std::list<std::string> texts_;
};

class shared_flight : public std::enable_shared_from_this<shared_flight> {
public:
    static constexpr std::size_t max_readers =
        1000; // of one flight; the next one starts another (reference: semantics 10)

    // Null: limits.memory has no room for a copy of the request.
    [[nodiscard]] static std::shared_ptr<shared_flight> make(worker_services& services, shared_flights& among,
                                                             const coalesce_key& key, const client_request& of,
                                                             const errand& what, next_stage next);
    shared_flight(worker_services& services, shared_flights& among, const coalesce_key& key, errand what,
                  next_stage next);
    ~shared_flight();
    shared_flight(const shared_flight&) = delete;
    shared_flight& operator=(const shared_flight&) = delete;

    void start(); // once, by the worker that made it

    // From any worker. False: nobody joins any more.
    [[nodiscard]] bool join(flight_reader& reader, steady_time deadline);
    [[nodiscard]] const telemetry::trace_link& leader() const noexcept { return leader_; } // likewise

    // For one reader; where there is nothing yet it is woken once there is.
    struct seen {
        std::shared_ptr<const shared_answer> answer; // its head has come
        std::optional<telemetry::coalesce_detachment> detached{};
        bool no_answer = false; // it has ended without one
    };
    [[nodiscard]] seen look(flight_reader& reader);
    struct taken {
        std::optional<flight_log::piece> piece;
        std::optional<body_step> final; // behind the last piece
        std::optional<telemetry::coalesce_detachment> detached{};
        bool may_speak = false; // detached between two events
        wire::dialect spoken = wire::dialect::generic;
        std::shared_ptr<const telemetry::request_story> story{}; // with `final`: all of it; null: it is not known
    };
    [[nodiscard]] taken take(flight_reader& reader, bool waits);

private:
    friend class flight_reader;
    using sleeper = std::shared_ptr<flight_reader::state>;
    void remove(const sleeper& reader) noexcept;
    static net::task<void> run(std::shared_ptr<shared_flight> self);
    [[nodiscard]] net::task<void> read(answer& given, client_request& request);
    void publish(const answer& given, const client_request& request);
    void append(const body_step& step);
    void give_up();
    void end(std::optional<body_step> final, std::shared_ptr<const telemetry::request_story> story = nullptr);
    [[nodiscard]] bool may_go_on(); // a reader waits for more, or none is left
    [[nodiscard]] bool deserted();
    void cancel_now();
    void allow_until(steady_time deadline);
    // Under the mutex: who is to be woken once it is let go.
    void collect_sleepers(std::vector<sleeper>& into);
    static void wake(const std::vector<sleeper>& sleepers);

    worker_services& services_;
    shared_flights& among_;
    const coalesce_key key_;
    telemetry::trace_link leader_; // the request it was made for; as it was made

    // Of the running worker.
    memory_charge charge_; // of the copied request
    std::unique_ptr<owned_request> request_;
    errand errand_; // of whoever started it
    next_stage next_;
    shared_time time_;
    std::shared_ptr<const config::route> route_;
    net::event progress_;
    body_source* reading_ = nullptr;
    std::unique_ptr<wire::stream_reader> scan_;

    std::mutex mutex_; // all below
    flight_log log_;
    std::vector<sleeper> readers_; // all who have joined and not left
    std::shared_ptr<const shared_answer> answer_;
    std::optional<body_step> final_;
    std::shared_ptr<const telemetry::request_story> story_;
    wire::dialect spoken_ = wire::dialect::generic;
    steady_time latest_{};
    bool over_ = false;    // nothing more comes
    bool waiting_ = false; // until a reader has had everything
};

} // namespace evenkeel::request
