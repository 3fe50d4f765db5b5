#include "proxy/simulate/stage.hpp"

#include "config/load.hpp"
#include "proxy/fallback/last_good_store.hpp"
#include "proxy/message/local_answer.hpp"
#include "proxy/net/cancel.hpp"
#include "proxy/net/event.hpp"
#include "proxy/serve/serve.hpp"
#include "proxy/simulate/no_client.hpp"
#include "proxy/state/policy_registry.hpp"
#include "proxy/wire/gate.hpp"

#include <boost/asio/defer.hpp>
#include <boost/asio/error.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstring>
#include <limits>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <utility>

namespace evenkeel::simulate {

namespace {
constexpr steady_time begins{std::chrono::seconds{1000}};

double since_begin(steady_time at) { return in_seconds(at - begins); }
duration seconds(double count) { return scaled(std::chrono::seconds{1}, count); }
steady_time moment(double at) { return begins + seconds(at); }
bool is_stream(const reply& what) { return !what.stream.empty() || what.signs > 0; }

struct watcher final : telemetry::observer {
    explicit watcher(net::loop& clock) : loop(clock) {}
    net::loop& loop;
    std::vector<attempt_seen> attempts;
    std::vector<circuit_seen> circuits;
    void attempt_finished(const telemetry::attempt_record& record) noexcept override {
        attempts.push_back({since_begin(record.at - record.total), since_begin(record.at), record.upstream->name,
                            record.kind, record.result});
    }
    void endpoint_changed(const telemetry::event_origin&,
                          const telemetry::any_endpoint_change& what) noexcept override {
        if (const auto* change = std::get_if<circuit_transition>(&what))
            circuits.push_back({since_begin(loop.now()), *change});
    }
};

std::string head_of(const reply& what) {
    std::string head = "HTTP/1.1 " + std::to_string(what.status) + " Demonstration\r\n" + what.fields;
    if (is_stream(what)) return head + "content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    return head + "content-type: application/json\r\ncontent-length: " + std::to_string(what.body.size()) + "\r\n\r\n" +
           what.body;
}

void append_chunk(std::string& out, std::string_view data) {
    std::array<char, 16> digits;
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), data.size(), 16).ptr;
    out.append(digits.data(), end).append("\r\n").append(data).append("\r\n");
}

// Answers when the time has come, whatever was written.
class staged_exchange final : public net::exchange, private net::timer_entry {
public:
    using first_write = std::span<const boost::asio::const_buffer>;
    staged_exchange(net::loop& worker, std::function<reply(first_write)> asks)
        : loop_(worker), asks_(std::move(asks)) {}
    ~staged_exchange() override { close(); }

    void start_read(boost::asio::mutable_buffer into, net::completion<net::io_result> done) override {
        into_ = into;
        reader_.emplace(std::move(done));
        serve();
    }
    void start_write(std::span<const boost::asio::const_buffer> from, net::completion<net::io_result> done) override {
        std::size_t bytes = 0;
        for (const auto& part : from) bytes += part.size();
        boost::asio::defer(loop_.executor(), [done = std::move(done), bytes]() mutable {
            std::move(done)(net::io_result{{}, bytes});
        });
        if (!std::exchange(asked_, true)) begin(asks_(from));
    }
    void close() noexcept override {
        ended_ = boost::asio::error::operation_aborted;
        text_.clear();
        cancel();
        serve();
    }
    void recycle(duration) noexcept override { close(); }
    [[nodiscard]] bool reused() const noexcept override { return false; }
    [[nodiscard]] duration connect_time() const noexcept override { return {}; }

private:
    void begin(reply what) {
        what_ = std::move(what);
        began_ = loop_.now();
        next_sign_ = what_.after + what_.signs;
        if (!what_.silent || what_.signs > 0) loop_.timers().arm(*this, began_ + seconds(what_.after));
    }
    void on_timer() override {
        if (what_.reset) {
            ended_ = boost::asio::error::connection_reset;
            return serve();
        }
        if (!std::exchange(head_sent_, true)) {
            text_ += head_of(what_);
        } else if (next_sign_ < next_event()) {
            append_chunk(text_, ": PROCESSING\n\n");
            next_sign_ += what_.signs;
        } else {
            append_chunk(text_, what_.stream[said_++].text);
            next_sign_ = never;
            if (said_ == what_.stream.size()) text_ += "0\r\n\r\n";
        }
        if (what_.signs == 0) next_sign_ = never;
        const double next = std::min(next_sign_, next_event());
        if (next < never) loop_.timers().arm(*this, began_ + seconds(next));
        serve();
    }
    [[nodiscard]] double next_event() const {
        return what_.silent || said_ == what_.stream.size() ? never : std::max(what_.after, what_.stream[said_].at);
    }
    void serve() noexcept {
        if (!reader_) return;
        if (text_.empty()) {
            if (ended_) finish({*ended_});
            return;
        }
        const std::size_t size = std::min(text_.size(), into_.size());
        std::memcpy(into_.data(), text_.data(), size);
        text_.erase(0, size);
        finish({{}, size});
    }
    void finish(net::io_result how) noexcept {
        boost::asio::defer(loop_.executor(), [done = std::move(*reader_), how]() mutable { std::move(done)(how); });
        reader_.reset();
    }

    static constexpr double never = std::numeric_limits<double>::infinity();
    net::loop& loop_;
    std::function<reply(first_write)> asks_;
    reply what_{.silent = true};
    steady_time began_{};
    std::size_t said_ = 0; // events of the stream
    double next_sign_ = never;
    std::string text_;
    boost::asio::mutable_buffer into_;
    std::optional<net::completion<net::io_result>> reader_;
    std::optional<net::error_code> ended_; // behind the text
    bool asked_ = false, head_sent_ = false;
};

class staged_transport final : public net::transport {
public:
    staged_transport(net::loop& worker, stage::provider asks, stage::network lets_through)
        : loop_(worker), asks_(std::move(asks)), lets_through_(std::move(lets_through)) {}
    net::task<net::open_result> open(const std::shared_ptr<const config::upstream>& to, bool, steady_time deadline,
                                     net::cancel_source& stop) override {
        using kind = net::transport_error::kind;
        if (lets_through_ && !lets_through_(to->name, since_begin(loop_.now()))) {
            net::event over(loop_.executor());
            const net::cancel_source::hook stopped(
                stop, [](void* what) { static_cast<net::event*>(what)->set(); }, &over);
            if (co_await over.wait_until(loop_.timers(), deadline))
                co_return net::open_result{nullptr, {kind::cancelled, "connection_terminated", 502, {}, "cancelled"}};
            co_return net::open_result{nullptr, {kind::connect_timeout, "connection_timeout", 504, {}, "timed out"}};
        }
        co_return net::open_result{std::make_unique<staged_exchange>(
                                       loop_,
                                       [this, to](staged_exchange::first_write from) {
                                           written_.clear();
                                           for (const auto& part : from)
                                               written_.append(static_cast<const char*>(part.data()), part.size());
                                           return asks_(to->name, ++attempts_, since_begin(loop_.now()));
                                       }),
                                   {}};
    }
    [[nodiscard]] unsigned attempts() const noexcept { return attempts_; }
    [[nodiscard]] std::string_view written() const noexcept { return written_; }

private:
    net::loop& loop_;
    stage::provider asks_;
    stage::network lets_through_;
    unsigned attempts_ = 0;
    std::string written_; // by the latest, at first
};

// Leaves when its patience is over.
class leaver final : private net::timer_entry {
public:
    leaver(net::loop& worker, request::client_request& request, std::optional<double> patience) : request_(request) {
        if (patience) worker.timers().arm(*this, request.came.received + seconds(*patience));
    }
    ~leaver() override = default;
    request::body_source* reads = nullptr;

private:
    void on_timer() override {
        request_.gone.request();
        if (reads != nullptr) reads->cancel();
    }
    request::client_request& request_;
};
} // namespace

struct stage::inside {
    inside(config::snapshot all, provider asks, std::uint64_t seed, network lets_through)
        : settings(std::move(all)), transport(loop, std::move(asks), std::move(lets_through)),
          policies(registry.prepare(*settings)),
          services{loop, transport, seen, memory, [] { return std::string{"{}"}; }, split_mix64{seed}} {
        services.last_good = &last_good;
    }
    static net::task<void> play(inside& me, double when, std::string text, std::optional<double> patience,
                                std::string id);

    net::loop loop{begins};
    config::snapshot settings;
    staged_transport transport;
    watcher seen{loop};
    request::memory_bound memory;
    request::last_good_store last_good{64 * 1024 * 1024};
    request::policy_registry registry;
    std::shared_ptr<const request::policy_set> policies;
    request::worker_services services;
    no_client nobody{loop};
    std::vector<request_seen> requests;
    std::function<void(const telemetry::request_account&)> tells;
    request::virtual_end end{services};
};

net::task<void> stage::inside::play(inside& me, double when, std::string text, std::optional<double> patience,
                                    std::string id) {
    if (moment(when) > me.loop.now()) co_await me.loop.sleep_until(moment(when));
    request::io_buffer input(me.services.buffers);
    const auto room = input.space(text.size(), text.size());
    std::memcpy(room.data(), text.data(), text.size());
    input.commit(text.size());
    wire::request_head head;
    std::size_t scanned = 0;
    const auto read = wire::read_request_head(input.unread(), {}, scanned, head);
    if (read.is != wire::head_result::state::complete)
        throw std::logic_error("a request of a demonstration was refused");
    input.consume(read.consumed);

    request::client_request request({.settings = me.settings,
                                     .policies = me.policies,
                                     .head = &head,
                                     .client_address = me.nobody.peer(),
                                     .id = std::move(id),
                                     .received = me.loop.now(),
                                     .started = me.loop.wall_now()},
                                    me.loop, me.nobody, input, me.services.buffers);
    const auto& limits = me.settings->limits;
    request.body.begin(
        head.body,
        {.max_body = limits.max_body, .max_held = me.settings->replay_buffer, .silence = limits.body_timeout}, false);
    leaver client(me.loop, request, patience);
    request::answer given = co_await request::serve(me.services, request);

    request_seen saw;
    saw.came = since_begin(request.came.received);
    given.tell(request.account);
    request.account.split_time(request.came.received, given.launched, given.decided, me.loop.now());
    saw.degraded = given.degraded;
    saw.reason = given.reason;
    if (given.upstream != nullptr) saw.upstream = given.upstream->name;
    std::optional<request::answer> instead;
    if (given.body && !request.gone.requested()) {
        request::answer* sent = &given;
        auto step = given.body->ready();
        if (step && step->is == request::body_step::kind::truncated) { // before anything was sent
            instead.emplace(request::make_cut_short(given, step->why, request.facts.dialect(), me.loop.wall_now()));
            instead->tell_instead(request.account);
            saw.reason = instead->reason;
            sent = &*instead;
            step.reset();
        }
        saw.status = sent->head->status;
        if (const auto* told = sent->head->find(std::string_view{"retry-after"})) saw.retry_after = told->value;
        client.reads = sent->body.get();
        for (;; step = sent->body->ready()) {
            if (!step) step = co_await sent->body->next();
            saw.whole = step->is == request::body_step::kind::end;
            if (step->is != request::body_step::kind::data) break;
            if (step->first_event) saw.first_event = since_begin(me.loop.now()) - saw.came;
            saw.body += step->data;
        }
        client.reads = nullptr;
    }
    if (request.gone.requested()) saw.status = 0;
    request.account.status = saw.status;
    request.account.bytes_out = saw.body.size();
    if (request.gone.requested())
        request.account.outcome = telemetry::request_outcome::client_cancelled;
    else if (saw.status != 0 && !saw.whole)
        request.account.outcome = telemetry::request_outcome::truncated;
    given.body.reset(); // then the account has how the parts of a fan-out went
    saw.attempts = request.account.effort.attempts;
    saw.service = request.account.service;
    given.permit = {};
    if (request.body.in_use()) co_await request.body.released();
    if (me.tells) me.tells(request.close_account(me.loop.now()));
    saw.took = since_begin(me.loop.now()) - saw.came;
    me.requests.push_back(std::move(saw));
}

config::snapshot settings_of_text(std::string_view yaml) {
    const auto loaded = config::load_text(std::string{yaml}, "demonstration.yaml", {});
    if (loaded.ok()) return loaded.settings;
    std::ostringstream why;
    config::print_text(why, loaded.diagnostics);
    throw std::logic_error(why.str());
}

stage::stage(std::string_view yaml, provider asks, std::uint64_t seed)
    : stage(settings_of_text(yaml), std::move(asks), seed) {}

stage::stage(config::snapshot settings, provider asks, std::uint64_t seed, network lets_through)
    : inside_(std::make_unique<inside>(std::move(settings), std::move(asks), seed, std::move(lets_through))) {}

// Whoever still waits is answered at its deadline, if nothing else.
stage::~stage() { inside_->loop.run_virtual(inside_->loop.now() + std::chrono::hours{1}); }

void stage::request_at(double when, const caller& who) {
    std::string text = who.method + " " + who.path + " HTTP/1.1\r\nhost: localhost\r\n";
    if (!who.body.empty()) text += "content-type: application/json\r\n";
    text += who.fields;
    if (who.tells && who.patience) text += "x-evenkeel-timeout: " + std::to_string(*who.patience) + "\r\n";
    text += "content-length: " + std::to_string(who.body.size()) + "\r\n\r\n" + who.body;
    inside_->loop.nursery().spawn(inside::play(*inside_, when, std::move(text), who.patience, who.id));
}

void stage::tell(std::function<void(const telemetry::request_account&)> about) { inside_->tells = std::move(about); }

void stage::run_until(double when) { inside_->loop.run_virtual(moment(when)); }

const request_seen& stage::ask(const caller& who) {
    const std::size_t before = inside_->requests.size();
    request_at(now(), who);
    while (inside_->requests.size() == before) run_until(now() + 0.01);
    return inside_->requests.back();
}

double stage::now() const { return since_begin(inside_->loop.now()); }
const std::vector<request_seen>& stage::requests() const noexcept { return inside_->requests; }
const std::vector<attempt_seen>& stage::attempts() const noexcept { return inside_->seen.attempts; }
const std::vector<circuit_seen>& stage::circuits() const noexcept { return inside_->seen.circuits; }
unsigned stage::sent() const noexcept { return inside_->transport.attempts(); }
std::string_view stage::written() const noexcept { return inside_->transport.written(); }
telemetry::policy_report stage::policies() { return inside_->registry.report(*inside_->settings, inside_->loop.now()); }

} // namespace evenkeel::simulate
