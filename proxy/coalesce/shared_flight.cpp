#include "proxy/coalesce/shared_flight.hpp"

#include "proxy/coalesce/shared_flights.hpp"
#include "proxy/flight/flight.hpp"
#include "proxy/message/local_answer.hpp"
#include "proxy/reading/judgement.hpp"

#include <algorithm>
#include <exception>
#include <utility>

namespace evenkeel::request {

void flight_reader::state::wake() {
    loop.post([self = shared_from_this()] { self->ready.set(); });
}

void flight_reader::leave() noexcept {
    if (const auto left = std::exchange(flight_, nullptr)) left->remove(state_);
}

shared_answer::shared_answer(const answer& of, const telemetry::request_account& account)
    : provenance(of), so_far{account.effort, account.journal}, head(*of.head) {
    // The views of the head point into the attempt's buffers, which are reused while the body is read.
    head.raw = {};
    head.reason = keep(head.reason);
    for (wire::field& one : head.fields) {
        one.name = keep(one.name);
        one.value = keep(one.value);
    }
    const content_facts content = content_of(head);
    const bool streams = content.is == content_facts::kind::events || content.is == content_facts::kind::lines;
    if (streams && !content.encoded)
        format = content.is == content_facts::kind::events ? wire::stream_format::sse : wire::stream_format::ndjson;
}

std::shared_ptr<shared_flight> shared_flight::make(worker_services& services, shared_flights& among,
                                                   const coalesce_key& key, const client_request& of,
                                                   const errand& what, next_stage next) {
    auto made = std::make_shared<shared_flight>(services, among, key, what.without_permit(), next);
    const shared_bytes body = of.body.text();                          // of the leader's connection, which may leave
    if (!made->charge_.take(of.came.head->raw.size())) return nullptr; // the body lies in blocks, which count already
    made->route_ = of.route;
    made->latest_ = what.deadline;
    made->leader_ = of.account.trace.link();
    made->request_ = std::make_unique<owned_request>(services.loop, services.buffers, of, body);
    client_request& request = made->request_->get();
    request.route = of.route;
    // Behind a compressed stream nobody could be told why it broke; one that comes all the same is read as it comes.
    if (request.facts.wants_stream()) made->request_->set_field("accept-encoding", "identity");
    return made;
}

shared_flight::shared_flight(worker_services& services, shared_flights& among, const coalesce_key& key, errand what,
                             next_stage next)
    : services_(services), among_(among), key_(key), charge_(services.memory), errand_(std::move(what)), next_(next),
      progress_(services.loop.executor()), log_(services.memory, errand_.asked->stream.hold_buffer) {
    time_.deadline = errand_.deadline;
    errand_.shared = &time_;
}

shared_flight::~shared_flight() = default;

void shared_flight::start() { services_.flight_nursery.spawn(run(shared_from_this())); }

// Readers.

bool shared_flight::join(flight_reader& reader, steady_time deadline) {
    const sleeper& who = reader.state_;
    bool later = false;
    {
        const std::lock_guard lock(mutex_);
        if (over_ || !log_.open() || log_.readers() >= max_readers) return false;
        log_.join(who->cursor);
        who->waits = false;
        readers_.push_back(who);
        later = deadline > latest_;
        latest_ = std::max(latest_, deadline);
    }
    if (later) services_.loop.post([self = shared_from_this(), deadline] { self->allow_until(deadline); });
    reader.flight_ = shared_from_this();
    return true;
}

void shared_flight::remove(const sleeper& reader) noexcept {
    bool last = false;
    {
        const std::lock_guard lock(mutex_);
        log_.leave(reader->cursor);
        std::erase(readers_, reader);
        last = log_.deserted() && !over_;
        if (last) over_ = true;
    }
    if (!last) return;
    among_.erase(key_, *this);
    services_.loop.post([self = shared_from_this()] { self->cancel_now(); });
}

shared_flight::seen shared_flight::look(flight_reader& reader) {
    flight_reader::state& who = *reader.state_;
    const std::lock_guard lock(mutex_);
    seen out{.answer = answer_, .detached = who.cursor.detached, .no_answer = over_ && !answer_};
    who.waits = !out.answer && !out.detached && !out.no_answer;
    return out;
}

shared_flight::taken shared_flight::take(flight_reader& reader, bool waits) {
    flight_reader::state& who = *reader.state_;
    taken out;
    bool poke = false;
    {
        const std::lock_guard lock(mutex_);
        out.piece = log_.take(who.cursor);
        if (out.piece) {
            poke = waiting_ && log_.wants_more();
            if (poke) waiting_ = false;
        } else if (who.cursor.detached) {
            out.detached = who.cursor.detached;
            out.spoken = spoken_;
            out.may_speak = who.cursor.next > 0 && who.cursor.between_events;
        } else if (final_) {
            out.final = final_;
            out.story = story_;
        } else {
            who.waits = waits;
        }
    }
    if (poke) services_.loop.post([self = shared_from_this()] { self->progress_.set(); });
    return out;
}

void shared_flight::collect_sleepers(std::vector<sleeper>& into) {
    for (const auto& one : readers_) {
        if (std::exchange(one->waits, false)) into.push_back(one);
    }
}

void shared_flight::wake(const std::vector<sleeper>& sleepers) {
    for (const auto& one : sleepers) one->wake();
}

// The running worker.

void shared_flight::allow_until(steady_time deadline) {
    if (!request_) return;
    time_.deadline = std::max(time_.deadline, deadline);
    if (time_.under_way != nullptr) time_.under_way->allow_until(time_.deadline);
    if (reading_ != nullptr) reading_->allow_until(time_.deadline);
}

void shared_flight::cancel_now() {
    if (!request_) return;
    request_->get().gone.request();
    if (reading_ != nullptr) reading_->cancel();
    progress_.set();
}

bool shared_flight::deserted() {
    const std::lock_guard lock(mutex_);
    return log_.deserted();
}

bool shared_flight::may_go_on() {
    const std::lock_guard lock(mutex_);
    waiting_ = !log_.deserted() && !log_.wants_more();
    return !waiting_;
}

void shared_flight::publish(const answer& given, const client_request& request) {
    auto told = std::make_shared<const shared_answer>(given, request.account);
    if (told->format) {
        const auto dialect = given.upstream != nullptr
                                 ? dialect_of(*errand_.asked, *given.upstream, request.came.head->path)
                                 : wire::dialect::generic;
        scan_ = std::make_unique<wire::stream_reader>(*told->format, dialect, true);
    }
    std::vector<sleeper> sleepers;
    {
        const std::lock_guard lock(mutex_);
        answer_ = std::move(told);
        collect_sleepers(sleepers);
    }
    wake(sleepers);
}

void shared_flight::append(const body_step& step) {
    bool between = false;
    if (scan_) {
        static_cast<void>(scan_->read(step.data));
        between = scan_->between_events();
    }
    std::vector<sleeper> sleepers;
    bool closed = false;
    {
        const std::lock_guard lock(mutex_);
        const bool was_open = log_.open();
        log_.append(std::string{step.data}, step.first_event, between);
        closed = was_open && !log_.open();
        if (scan_) spoken_ = scan_->spoken();
        collect_sleepers(sleepers);
    }
    if (closed) among_.erase(key_, *this);
    wake(sleepers);
}

// Whole, broken, or (empty) without an answer.
void shared_flight::end(std::optional<body_step> final, std::shared_ptr<const telemetry::request_story> story) {
    std::vector<sleeper> sleepers;
    {
        const std::lock_guard lock(mutex_);
        over_ = true;
        final_ = final;
        story_ = std::move(story);
        collect_sleepers(sleepers);
    }
    among_.erase(key_, *this);
    wake(sleepers);
}

net::task<void> shared_flight::read(answer& given, client_request& request) {
    reading_ = given.body.get();
    body_step last{.is = body_step::kind::truncated, .why = "connection_terminated"}; // where nobody is left to read it
    for (;;) {
        auto step = given.body->ready();
        if (!step) {
            while (!may_go_on()) co_await progress_.wait();
            if (deserted()) break;
            step = co_await given.body->next();
        }
        if (step->is != body_step::kind::data) {
            last = *step;
            break;
        }
        append(*step);
    }
    reading_ = nullptr;
    const telemetry::request_story all{request.account.effort, request.account.journal};
    end(last, std::make_shared<const telemetry::request_story>(all));
}

// After an exception of ours: those who wait for an answer ask by themselves; for those who have its head it is cut
// short.
void shared_flight::give_up() {
    bool answered = false;
    {
        const std::lock_guard lock(mutex_);
        answered = answer_ != nullptr;
    }
    if (!answered) return end(std::nullopt);
    end(body_step{.is = body_step::kind::truncated,
                  .why = "proxy_internal_error",
                  .ended = scan_ ? telemetry::stream_end::truncated : telemetry::stream_end::none});
}

net::task<void> shared_flight::run(std::shared_ptr<shared_flight> self) {
    client_request& request = self->request_->get();
    std::exception_ptr failure;
    try {
        errand mine = self->errand_.without_permit();
        answer given = co_await self->next_(self->services_, request, std::move(mine));
        if (given.body) {
            if (!given.may_ask_again()) request.body.let_go();
            self->publish(given, request);
            co_await self->read(given, request);
        } else {
            self->end(std::nullopt);
        }
        given.body.reset();
    } catch (...) {
        failure = std::current_exception();
        self->reading_ = nullptr;
        self->give_up();
    }
    if (request.body.in_use()) co_await request.body.released();
    request.account.tell(self->services_.observer, self->services_.loop.now(), {.route = self->route_.get()},
                         telemetry::happened::shared_flight_ended{});
    self->request_.reset();
    self->charge_.release();
    if (failure) std::rethrow_exception(failure); // counted and logged by the nursery
}

} // namespace evenkeel::request
