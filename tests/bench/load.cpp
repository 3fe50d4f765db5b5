// The load generator. One epoll thread, three ways to ask, every answer checked byte by byte:
//
//   bench_load closed  --target A [--connections N] [--in-flight N] [--warmup REQUESTS] (--requests N | --seconds S)
//                      [--prompt BYTES]
//   bench_load open    --target A --rate PER_SECOND [--connections N] [--warmup SECONDS] --seconds S [--seed N]
//   bench_load streams --target A [--connections N] --events N --interval-us N [--warmup SECONDS] [--seconds S]
//
// closed: a connection asks again when it has its answer. open: Poisson arrivals whatever the answers do, latency
// counted from the scheduled time, so a stall is felt by everybody who would have come. streams: without --seconds each
// connection has one stream (one more before, where a warm-up is asked for); with it, streams flow all the time and
// only the events of the measured seconds count. Latency is that of a request, or for streams of an event from its
// writing. --prompt: the size of each request's body, 700 bytes otherwise.
//
// With --handshake 1 it prints `ready` after the warm-up and starts measuring on a line of input; after the result it
// stays, connections open, until the input ends. --limit ends everything after so many seconds (default 120).

#include "http_text.hpp"
#include "socket.hpp"
#include "workload.hpp"

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <memory>
#include <random>
#include <vector>

namespace evenkeel::bench {
namespace {

constexpr std::int64_t never = -1;

struct connection {
    int fd = -1;
    std::uint64_t tag = 0;
    bool busy = false;
    std::size_t sent = 0;       // bytes of the request that the socket took
    std::int64_t scheduled = 0; // when the request was to be sent
    std::uint32_t events = 0;   // whole events of the current stream
    bool done_seen = false;     // the stream's last event
    answer_reader reader;
};

// What the three ways have in common: connections, checks, the phases and the result.
class load {
public:
    load(const options& given, stream_shape shape)
        : address_(parse_address(given.text("target"))),
          request_(request_bytes(given.text("target"), shape, prompt_bytes(given))), shape_(shape),
          connections_(given.count("connections", 8)), seconds_(given.number("seconds", 0)),
          handshake_(given.count("handshake", 0) != 0) {
        for (std::uint64_t tag = 0; tag < connections_.size(); ++tag) {
            connections_[tag].tag = tag;
            idle_.push_back(tag);
        }
        if (handshake_) poller_.add(STDIN_FILENO, input_tag);
    }
    load(const load&) = delete;
    load& operator=(const load&) = delete;
    virtual ~load() = default;

    int run() {
        began_ = now_ns();
        begin_warmup();
        for (;;) {
            const std::int64_t now = now_ns();
            advance(now);
            if (phase_ == phase::warming && is_warm()) ready();
            if (phase_ == phase::measuring && is_over()) break;
            for (const epoll_event& event : poller_.wait(now, next_wake())) {
                if (event.data.u64 == input_tag)
                    read_input();
                else
                    serve(connections_[event.data.u64], event.events);
            }
        }
        report();
        if (handshake_) wait_for_end_of_input();
        return fails_ == 0 ? 0 : 1;
    }

protected:
    enum class phase { warming, waiting, measuring };

    virtual void begin_warmup() = 0;
    virtual void begin_measuring() = 0;         // sends the first request itself where it does not wait for a moment
    virtual void advance(std::int64_t now) = 0; // sends what is to be sent by now
    [[nodiscard]] virtual std::int64_t next_wake() const { return end_ > 0 ? end_ : never; }
    [[nodiscard]] virtual bool is_warm() const = 0;
    [[nodiscard]] virtual bool is_over() const = 0;
    virtual void answered(connection&, std::int64_t) {}

    [[nodiscard]] bool has_idle() const { return !idle_.empty(); }
    [[nodiscard]] std::size_t in_flight() const { return connections_.size() - idle_.size(); }
    [[nodiscard]] bool is_measuring() const { return phase_ == phase::measuring; }
    [[nodiscard]] bool is_waiting() const { return phase_ == phase::waiting; }

    // On the connection that has been idle longest, so that a limit below their number still uses them all.
    void ask(std::int64_t scheduled) {
        connection& on = connections_[idle_.front()];
        idle_.pop_front();
        ask_on(on, scheduled);
    }

    void note_latency(std::int64_t ns) { latencies_.push_back(ns); }

    const sockaddr_in address_;
    const std::string request_;
    const stream_shape shape_;
    std::vector<connection> connections_;
    const double seconds_;
    std::int64_t began_ = 0, started_ = 0, end_ = 0, last_answer_ = 0; // end_: 0 where no time is set
    std::uint64_t completed_ = 0, events_ = 0;

private:
    static constexpr std::uint64_t input_tag = ~std::uint64_t{0};

    static std::size_t prompt_bytes(const options& given) {
        const std::uint64_t bytes = given.count("prompt", request_body_bytes);
        if (bytes < request_body_bytes) die("--prompt: too small");
        return bytes;
    }

    void ask_on(connection& on, std::int64_t scheduled) {
        if (on.fd < 0) {
            on.fd = connect_to(address_);
            poller_.add(on.fd, on.tag);
            ++connects_;
        }
        on.busy = true;
        on.sent = 0;
        on.events = 0;
        on.done_seen = false;
        on.scheduled = scheduled;
        on.reader.reset();
        write_request(on);
    }

    void write_request(connection& on) {
        const ssize_t n = send(on.fd, request_.data() + on.sent, request_.size() - on.sent, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN) return; // the reading side finds out
        const bool was_partial = on.sent != 0;
        on.sent += n < 0 ? 0 : static_cast<std::size_t>(n);
        const bool is_partial = on.sent != request_.size();
        if (was_partial || is_partial) poller_.want_write(on.fd, on.tag, is_partial);
    }

    void serve(connection& on, std::uint32_t ready) {
        if (on.fd < 0) return;
        if ((ready & EPOLLOUT) != 0) write_request(on);
        if ((ready & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0) return;
        const ssize_t n = recv(on.fd, buffer_.data(), buffer_.size(), 0);
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0) {
            disconnect(on);
            if (on.busy) settle(on, "connection closed in the middle of an answer");
            return;
        }
        if (!on.busy) {
            disconnect(on);
            fail("bytes nobody asked for");
            return;
        }
        on.reader.feed({buffer_.data(), static_cast<std::size_t>(n)});
        const char* problem = shape_.events != 0 ? take_events(on) : nullptr;
        if (problem == nullptr && on.reader.complete()) {
            problem = verdict(on);
            if (on.reader.closes()) disconnect(on);
            settle(on, problem);
        } else if (problem != nullptr || on.reader.malformed()) {
            disconnect(on);
            settle(on, problem != nullptr ? problem : "malformed answer");
        }
    }

    // The whole answer against what the origin must have sent; null when it is right.
    [[nodiscard]] const char* verdict(connection& on) const {
        if (on.reader.status() != 200) return "status is not 200";
        if (shape_.events == 0) return on.reader.body() == answer_ ? nullptr : "body differs from the origin's";
        if (on.events != shape_.events) return "stream ended with events missing";
        return on.done_seen && on.reader.body().empty() ? nullptr : "stream ended without its last event";
    }

    // Consumes whole events, each compared with what the origin writes; null when all are right.
    const char* take_events(connection& on) {
        if (on.reader.status() != 0 && on.reader.status() != 200) return "status is not 200";
        std::string& body = on.reader.body();
        const std::int64_t now = now_ns();
        std::size_t used = 0;
        for (auto end = body.find("\n\n"); end != std::string::npos; end = body.find("\n\n", used)) {
            const std::string_view event = std::string_view{body}.substr(used, end + 2 - used);
            used = end + 2;
            if (event == stream_end) {
                on.done_seen = true;
                continue;
            }
            if (event.size() != event_bytes) return "event of another size than the origin's";
            const auto written = static_cast<std::int64_t>(to_number(event.substr(event_before.size() + 9, 20)));
            if (on.done_seen || event != event_text(on.events, written)) return "event differs from the origin's";
            ++on.events;
            if (!is_measuring()) continue;
            ++events_;
            note_latency(now - written);
        }
        body.erase(0, used);
        return nullptr;
    }

    void settle(connection& on, const char* problem) {
        on.busy = false;
        idle_.push_back(on.tag);
        last_answer_ = now_ns();
        if (problem != nullptr)
            fail(problem);
        else if (is_measuring())
            ++completed_;
        answered(on, last_answer_);
    }

    void disconnect(connection& on) {
        close(on.fd);
        on.fd = -1;
    }

    void fail(const char* problem) {
        if (++fails_ <= 3) std::fprintf(stderr, "bench_load: %s\n", problem);
        if (fails_ == 1000) die("bench_load: 1000 failures, giving up");
    }

    void ready() {
        phase_ = phase::waiting;
        if (!handshake_) return start();
        std::puts("ready");
        std::fflush(stdout);
    }

    void start() {
        phase_ = phase::measuring;
        connects_ = 0;
        started_ = now_ns();
        end_ = seconds_ > 0 ? started_ + static_cast<std::int64_t>(seconds_ * 1e9) : 0;
        begin_measuring();
    }

    void read_input() {
        if (read(STDIN_FILENO, buffer_.data(), buffer_.size()) <= 0) die("bench_load: input ended before the start");
        if (!is_waiting()) return;
        poller_.remove(STDIN_FILENO);
        start();
    }

    void wait_for_end_of_input() {
        while (read(STDIN_FILENO, buffer_.data(), buffer_.size()) > 0) {}
    }

    [[nodiscard]] double percentile_us(double share) {
        if (latencies_.empty()) return 0;
        const auto at = static_cast<std::ptrdiff_t>(share * static_cast<double>(latencies_.size() - 1));
        std::nth_element(latencies_.begin(), latencies_.begin() + at, latencies_.end());
        return static_cast<double>(latencies_[static_cast<std::size_t>(at)]) / 1000;
    }

    void report() {
        const std::int64_t until = in_flight() == 0 ? std::max(last_answer_, started_) : now_ns();
        const double seconds = static_cast<double>(until - started_) / 1e9;
        std::printf("{\"completed\": %llu, \"events\": %llu, \"fails\": %llu, \"connects\": %llu, \"seconds\": %.6f, "
                    "\"p50_us\": %.1f, \"p90_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f}\n",
                    static_cast<unsigned long long>(completed_), static_cast<unsigned long long>(events_),
                    static_cast<unsigned long long>(fails_), static_cast<unsigned long long>(connects_), seconds,
                    percentile_us(0.5), percentile_us(0.9), percentile_us(0.99), percentile_us(1));
        std::fflush(stdout);
    }

    poller poller_;
    std::deque<std::uint64_t> idle_; // longest idle first
    std::vector<std::int64_t> latencies_;
    std::array<char, 65536> buffer_{};
    std::uint64_t fails_ = 0, connects_ = 0;
    phase phase_ = phase::warming;
    const bool handshake_;
    const std::string answer_ = answer_body();
};

class closed_loop : public load {
public:
    explicit closed_loop(const options& given)
        : load(given, {}), limit_(given.count("in-flight", connections_.size())), warmup_(given.count("warmup", 0)),
          requests_(seconds_ > 0 ? std::numeric_limits<std::uint64_t>::max() : given.count("requests", 0)) {}

private:
    void begin_warmup() override { left_ = warmup_; }
    void begin_measuring() override {
        left_ = requests_;
        advance(started_);
    }

    void advance(std::int64_t now) override {
        if (is_measuring() && end_ > 0 && now >= end_) left_ = 0;
        for (; left_ != 0 && has_idle() && in_flight() < limit_; --left_) ask(now);
    }
    [[nodiscard]] bool is_warm() const override { return left_ == 0 && in_flight() == 0; }
    [[nodiscard]] bool is_over() const override { return left_ == 0 && in_flight() == 0; }

    void answered(connection& on, std::int64_t now) override {
        if (is_measuring()) note_latency(now - on.scheduled);
    }

    const std::uint64_t limit_, warmup_, requests_;
    std::uint64_t left_ = 0; // requests still to be sent in this phase
};

class open_loop : public load {
public:
    explicit open_loop(const options& given)
        : load(given, {}), warmup_seconds_(given.number("warmup", 0)), random_(given.count("seed", 1)),
          gap_(given.number("rate", 1000)) {}

private:
    void begin_warmup() override { begin_arrivals(began_, warmup_seconds_); }
    void begin_measuring() override { begin_arrivals(started_, seconds_); }

    void begin_arrivals(std::int64_t now, double seconds) {
        last_arrival_ = now + static_cast<std::int64_t>(seconds * 1e9);
        next_arrival_ = now;
        draw_arrival();
    }
    void draw_arrival() {
        next_arrival_ += static_cast<std::int64_t>(gap_(random_) * 1e9);
        if (next_arrival_ >= last_arrival_) next_arrival_ = never;
    }
    [[nodiscard]] std::int64_t next_wake() const override { return next_arrival_; }

    void advance(std::int64_t now) override {
        for (; next_arrival_ != never && next_arrival_ <= now; draw_arrival()) waiting_.push_back(next_arrival_);
        for (; !waiting_.empty() && has_idle(); waiting_.pop_front()) ask(waiting_.front());
    }
    [[nodiscard]] bool is_warm() const override { return drained(); }
    [[nodiscard]] bool is_over() const override { return drained(); }
    [[nodiscard]] bool drained() const { return next_arrival_ == never && waiting_.empty() && in_flight() == 0; }

    void answered(connection& on, std::int64_t now) override {
        if (is_measuring()) note_latency(now - on.scheduled);
    }

    const double warmup_seconds_;
    std::mt19937_64 random_;
    std::exponential_distribution<double> gap_;
    std::int64_t next_arrival_ = never, last_arrival_ = 0;
    std::deque<std::int64_t> waiting_; // scheduled, but every connection is busy
};

class streams : public load {
public:
    explicit streams(const options& given)
        : load(given, {static_cast<std::uint32_t>(given.count("events", 1)),
                       static_cast<std::int64_t>(given.count("interval-us", 1000))}),
          warmup_seconds_(given.number("warmup", 0)), random_(given.count("seed", 1)) {}

private:
    [[nodiscard]] bool flows() const { return seconds_ > 0; }

    void begin_warmup() override {
        if (flows() || warmup_seconds_ > 0) draw_starts(began_);
    }
    void begin_measuring() override {
        if (!flows()) draw_starts(started_);
    }

    // Streams of different users have no common beat: each starts at a random moment. 2 ms a stream leave time for its
    // connections; starting faster lines streams up behind a slow set-up, and events that come in bursts are cheap.
    void draw_starts(std::int64_t now) {
        const auto apart = static_cast<std::int64_t>(connections_.size()) * 2'000'000;
        std::uniform_int_distribution<std::int64_t> moment(0, std::max(apart, shape_.interval_us * 1000));
        starts_.clear();
        for (std::size_t i = 0; i < connections_.size(); ++i) starts_.push_back(now + moment(random_));
        std::ranges::sort(starts_);
    }
    [[nodiscard]] std::int64_t next_wake() const override {
        const std::int64_t warm = began_ + static_cast<std::int64_t>(warmup_seconds_ * 1e9);
        const std::int64_t phase_end = is_measuring() ? end_ : is_waiting() ? 0 : warm;
        if (starts_.empty()) return phase_end > 0 && flows() ? phase_end : never;
        return starts_.front();
    }
    void advance(std::int64_t now) override {
        for (; !starts_.empty() && starts_.front() <= now && has_idle(); starts_.pop_front()) ask(now);
    }
    [[nodiscard]] bool is_warm() const override {
        if (!flows()) return starts_.empty() && in_flight() == 0;
        return starts_.empty() && now_ns() >= began_ + static_cast<std::int64_t>(warmup_seconds_ * 1e9);
    }
    [[nodiscard]] bool is_over() const override {
        return flows() ? now_ns() >= end_ : starts_.empty() && in_flight() == 0;
    }
    void answered(connection&, std::int64_t now) override {
        if (flows()) starts_.push_back(now);
    }

    const double warmup_seconds_;
    std::mt19937_64 random_;
    std::deque<std::int64_t> starts_; // when the streams not yet started are to start
};

std::unique_ptr<load> make(std::string_view kind, const options& given) {
    if (kind == "closed") return std::make_unique<closed_loop>(given);
    if (kind == "open") return std::make_unique<open_loop>(given);
    if (kind == "streams") return std::make_unique<streams>(given);
    die("bench_load: closed, open or streams?");
}

} // namespace
} // namespace evenkeel::bench

int main(int argc, char** argv) {
    using namespace evenkeel::bench;
    if (argc < 2) die("usage: bench_load closed|open|streams --target 127.0.0.1:PORT ...; load.cpp says more");
    const options given(argc, argv, 2,
                        {"target", "connections", "in-flight", "warmup", "requests", "seconds", "rate", "seed",
                         "events", "interval-us", "handshake", "limit", "prompt"});
    alarm(static_cast<unsigned>(given.count("limit", 120)));
    return make(argv[1], given)->run();
}
