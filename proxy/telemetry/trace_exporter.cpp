#include "proxy/telemetry/trace_exporter.hpp"

#include "proxy/events/disturbed.hpp"
#include "proxy/net/cancel.hpp"
#include "proxy/net/connection_pool.hpp"
#include "proxy/net/event.hpp"
#include "proxy/net/loop.hpp"
#include "proxy/net/tls_context.hpp"
#include "proxy/telemetry/app_log.hpp"
#include "proxy/telemetry/otlp_json.hpp"
#include "proxy/wire/retry_hint.hpp"

#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <csignal>
#include <deque>
#include <mutex>
#include <optional>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include <pthread.h>

namespace evenkeel::telemetry {

namespace {
namespace http = boost::beast::http;

constexpr std::size_t longest_answer = 256 * 1024;
constexpr std::size_t longest_piece = 16 * 1024;         // of it that is no body: a head, the size of a chunk (chosen)
constexpr int most_informational = 8;                    // 1xx in front of it (chosen)
constexpr duration longest_rest = std::chrono::hours{1}; // that a collector may ask for (chosen)
constexpr std::string_view traces_path = "/v1/traces";

// Where a batch goes, as the pool wants to know it.
struct collector {
    std::shared_ptr<const config::upstream> at;
    std::string head; // of the request, up to the length of its body
    config::tracing_options how;

    [[nodiscard]] bool is_at(const collector& other) const noexcept { // and is asked alike
        return head == other.head && at->address.tls == other.at->address.tls;
    }
};

collector collector_of(const config::tracing_options& how, std::string_view version) {
    const bool whole = how.traces_endpoint.has_value();
    const config::url& to = whole ? *how.traces_endpoint : *how.otlp_endpoint;
    auto at = std::make_shared<config::upstream>();
    at->name = "tracing";
    at->address = to;
    at->endpoint.authority = to.authority;
    std::string path = to.base_path;
    if (!whole) path += traces_path;
    if (path.empty()) path = "/";
    std::string head = fmt::format("POST {} HTTP/1.1\r\nhost: {}\r\n", path, to.authority);
    const bool named = std::any_of(how.headers.begin(), how.headers.end(),
                                   [](const auto& field) { return field.first == "user-agent"; });
    if (!named) head += fmt::format("user-agent: evenkeel/{}\r\n", version);
    for (const auto& [name, value] : how.headers) {
        if (name != "host" && name != "content-type") head += fmt::format("{}: {}\r\n", name, value);
    }
    head += "content-type: application/json\r\ncontent-length: ";
    return {std::move(at), std::move(head), how};
}

struct reply {
    int status = 0; // 0: none came
    std::string body;
    std::optional<duration> retry_after;
    std::string_view error; // of none: RFC 9209's word
};

bool is_passing(int status) noexcept {
    return status == 0 || status == 429 || status == 502 || status == 503 || status == 504;
}

std::optional<duration> pause_of(std::string_view field, wall_time now) {
    if (const auto seconds = wire::parse_seconds(field)) return seconds;
    if (const auto date = wire::parse_http_date(field)) return std::max(*date - now, duration::zero());
    return std::nullopt;
}

// Ends a try that takes too long, by its connection.
class time_limit final : public net::timer_entry {
public:
    time_limit(net::loop& in, net::exchange& over, steady_time due) : over_(over) { in.timers().arm(*this, due); }

private:
    void on_timer() override { over_.close(); }
    net::exchange& over_;
};

std::string draw_instance() {
    std::random_device device;
    return fmt::format("{:08x}{:08x}{:08x}{:08x}", device(), device(), device(), device());
}
} // namespace

struct trace_exporter::inside {
    inside(app_log& sink, trace_exporter_options given)
        : log(sink), options(std::move(given)), names(options.lookup), pool(loop, names, tls, nobody),
          wake(loop.executor()) {
        loop.failures().tell([this](std::string_view what) { log.internal_error(what); });
    }

    app_log& log;
    const trace_exporter_options options;
    const std::string instance = draw_instance();
    std::array<std::atomic<std::uint64_t>, trace_result_count> counted{};
    std::atomic<bool> on{false};

    std::mutex mutex; // what follows
    std::deque<std::unique_ptr<traced_request>> queue;
    std::shared_ptr<const collector> wanted; // null: nothing is traced
    bool started = false, finishing = false, finished = false;
    std::condition_variable done; // finished

    // Of the thread.
    net::loop loop;
    observer nobody; // its connections are no upstream's
    net::resolver names;
    net::tls_contexts tls;
    net::connection_pool pool;
    net::event wake;
    net::cancel_source gone;
    net::exchange* asking = nullptr;
    std::shared_ptr<const collector> asked; // last
    bool reached = true;                    // the log has not been told otherwise
    steady_time rests_until{};              // the collector has asked for it
    std::minstd_rand chance{std::random_device{}()};
    std::thread thread;

    void count(trace_result as, std::uint64_t spans) noexcept {
        counted[static_cast<std::size_t>(as)].fetch_add(spans, std::memory_order_relaxed);
    }
    void post_wake() {
        loop.post([this] { wake.set(); });
    }

    void start() {
        if (std::exchange(started, true)) return;
        loop.nursery().spawn(run());
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        thread = std::thread([this] { loop.run(); });
        pthread_sigmask(SIG_SETMASK, &before, nullptr);
        pthread_setname_np(thread.native_handle(), "evenkeel-trace");
    }

    [[nodiscard]] bool ends() {
        const std::lock_guard lock(mutex);
        return finishing;
    }
    [[nodiscard]] std::shared_ptr<const collector> current() {
        const std::lock_guard lock(mutex);
        return wanted;
    }
    // Told by another thread: who is asked at another place is asked no longer.
    void look_again() noexcept {
        wake.set();
        const auto now = current();
        if (asked == nullptr || (now && now->is_at(*asked))) return;
        rests_until = {};
        if (asking != nullptr) asking->close();
    }
    [[nodiscard]] std::size_t queued() {
        const std::lock_guard lock(mutex);
        return queue.size();
    }

    net::task<void> run() {
        try {
            while (!gone.requested()) {
                if (queued() == 0) {
                    if (ends()) break;
                    co_await wake.wait();
                    continue;
                }
                const steady_time due = loop.now() + options.collect;
                while (queued() < options.most_together && !ends() && loop.now() < due)
                    static_cast<void>(co_await wake.wait_until(loop.timers(), due));
                while (loop.now() < rests_until && !ends() && current()) {
                    const steady_time until = rests_until;
                    static_cast<void>(co_await wake.wait_until(loop.timers(), until));
                }
                co_await deliver_some();
            }
        } catch (...) {
            end();
            throw; // told by the nursery
        }
        end();
    }
    void end() {
        pool.drain();
        loop.stop();
        const std::lock_guard lock(mutex);
        finished = true;
        on = false;
        done.notify_all();
    }

    net::task<void> deliver_some() {
        std::vector<std::unique_ptr<traced_request>> taken;
        const auto where = current();
        {
            const std::lock_guard lock(mutex);
            while (!queue.empty() && taken.size() < options.most_together) {
                taken.push_back(std::move(queue.front()));
                queue.pop_front();
            }
        }
        static const config::tracing_options none;
        otlp_batch batch(where ? where->how : none, options.version, instance);
        for (const auto& one : taken) batch.add(*one);
        taken.clear();
        const std::size_t spans = batch.spans();
        const std::string body = std::move(batch).finish();
        co_await deliver(body, spans);
    }

    // To whom the configuration names now, at each try.
    net::task<void> deliver(const std::string& body, std::size_t spans) {
        const steady_time give_up = loop.now() + options.give_up;
        duration pause = options.first_pause;
        for (;;) {
            const bool last = ends();
            const auto where = current();
            if (!where || loop.now() < rests_until) { // switched off meanwhile, or it ends while the collector rests
                count(trace_result::failed, spans);
                co_return;
            }
            pool.keep_only({&where->at, 1});
            asked = where;
            const reply got = co_await ask(*where, body);
            if (got.status >= 200 && got.status < 300) {
                const std::uint64_t rejected = std::min<std::uint64_t>(rejected_spans(got.body), spans);
                count(trace_result::exported, spans - rejected);
                count(trace_result::rejected, rejected);
                tell_reached(*where);
                co_return;
            }
            if (is_still(*where)) tell_lost(*where, got); // else it was broken off by us
            if (!is_passing(got.status)) {
                count(trace_result::rejected, spans);
                co_return;
            }
            const double share = 0.5 + 0.5 * std::generate_canonical<double, 32>(chance);
            const duration jittered{static_cast<duration::rep>(static_cast<double>(pause.count()) * share)};
            const steady_time next = loop.now() + got.retry_after.value_or(jittered);
            pause = std::min(2 * pause, options.longest_pause);
            if (got.retry_after) rests_until = loop.now() + std::min(*got.retry_after, longest_rest);
            if (last || gone.requested() || next > give_up) {
                count(trace_result::failed, spans);
                co_return;
            }
            while (loop.now() < next && !ends() && is_still(*where))
                static_cast<void>(co_await wake.wait_until(loop.timers(), next));
            if (loop.now() < next && !is_still(*where)) pause = options.first_pause; // another one owes nothing
        }
    }
    [[nodiscard]] bool is_still(const collector& where) {
        const auto now = current();
        return now && now->is_at(where);
    }

    // One try. A connection that was kept and has ended meanwhile is replaced.
    net::task<reply> ask(const collector& where, const std::string& body) {
        const steady_time due = loop.now() + options.answer_time;
        const std::string head = where.head + std::to_string(body.size()) + "\r\n\r\n";
        auto over = pool.reuse(where.at);
        for (;;) {
            const bool reused = over != nullptr;
            if (!over) {
                net::open_result opened = co_await pool.open(where.at, true, due, gone);
                if (!opened.exchange) {
                    reply none;
                    none.error = opened.error.token;
                    co_return none;
                }
                over = std::move(opened.exchange);
            }
            reply got = co_await ask_over(*over, head, body, due);
            if (got.status == 0) over->close();
            const bool stale = got.status == 0 && reused && loop.now() < due && !gone.requested();
            if (!stale) co_return got;
            over = nullptr;
        }
    }

    net::task<reply> ask_over(net::exchange& over, const std::string& head, const std::string& body, steady_time due) {
        reply got;
        const time_limit limit(loop, over, due);
        asking = &over;
        const std::array<boost::asio::const_buffer, 2> parts{boost::asio::buffer(head), boost::asio::buffer(body)};
        const net::io_result sent = co_await over.write(parts);
        std::optional<http::response_parser<http::string_body>> answer;
        const auto begin = [&] {
            answer.emplace();
            answer->eager(true);
            answer->body_limit(longest_answer);
        };
        begin();
        std::array<char, 4096> room;
        std::string unread;
        int informational = 0;
        // Where it could not all be written the answer may say why.
        while (!answer->is_done()) {
            net::error_code failed;
            unread.erase(0, answer->put(boost::asio::buffer(unread), failed));
            if (failed && failed != http::error::need_more) break;
            if (answer->is_done()) {
                if (answer->get().result_int() / 100 != 1 || ++informational > most_informational) break;
                begin(); // the answer comes behind it
                continue;
            }
            if (unread.size() > longest_piece) break;
            const boost::asio::mutable_buffer into(room.data(), room.size());
            const net::io_result read = co_await over.read_some(into);
            if (!read.ok()) {
                if (sent.ok() && answer->got_some()) answer->put_eof(failed);
                break;
            }
            unread.append(room.data(), read.bytes);
        }
        auto& parser = *answer;
        asking = nullptr;
        if (!parser.is_header_done() || parser.get().result_int() / 100 == 1) {
            got.error = gone.requested() || loop.now() >= due ? "http_response_timeout" : "connection_terminated";
            co_return got;
        }
        const auto& message = parser.get();
        got.status = static_cast<int>(message.result_int());
        got.body = message.body();
        if (const auto field = message.find(http::field::retry_after); field != message.end())
            got.retry_after = pause_of({field->value().data(), field->value().size()}, loop.wall_now());
        if (parser.is_done() && parser.keep_alive() && unread.empty() && sent.ok())
            over.recycle({});
        else
            over.close();
        co_return got;
    }

    void tell_lost(const collector& where, const reply& got) {
        if (!std::exchange(reached, false)) return;
        log.warning("the collector of traces does not take them",
                    {{"collector", where.at->address.authority},
                     {"problem", got.status != 0 ? "status " + std::to_string(got.status) : std::string{got.error}}});
    }
    void tell_reached(const collector& where) {
        if (std::exchange(reached, true)) return;
        log.info("the collector of traces takes them again", {{"collector", where.at->address.authority}});
    }
};

trace_exporter::trace_exporter(app_log& log, trace_exporter_options options)
    : inside_(std::make_unique<inside>(log, std::move(options))) {}

trace_exporter::~trace_exporter() { finish(duration::zero()); }

void trace_exporter::request_finished(const request_account& what) noexcept {
    if (!what.trace) return;
    inside& all = *inside_;
    if (!all.on.load(std::memory_order_relaxed)) return;
    if (!what.trace.sampled() && !is_disturbed(what)) return;
    try {
        {
            const std::lock_guard lock(all.mutex);
            if (all.finishing || all.queue.size() >= all.options.most_queued) {
                all.count(all.finishing ? trace_result::failed : trace_result::queue_full, count_spans(what));
                return;
            }
        }
        auto made = std::make_unique<traced_request>(traced_request{telemetry::keep(what), what.trace});
        bool wakes = false;
        {
            const std::lock_guard lock(all.mutex);
            all.queue.push_back(std::move(made)); // several at once may be a few too many
            wakes = all.queue.size() == 1 || all.queue.size() == all.options.most_together;
        }
        if (wakes) all.post_wake();
    } catch (const std::exception&) { // no memory
        all.count(trace_result::queue_full, count_spans(what));
    }
}

void trace_exporter::configuration_loaded(const config::snapshot& snapshot) noexcept {
    inside& all = *inside_;
    try {
        const config::tracing_options& how = snapshot->tracing;
        auto next = how.active() ? std::make_shared<const collector>(collector_of(how, all.options.version)) : nullptr;
        const std::lock_guard lock(all.mutex);
        if (all.finishing || all.finished) return;
        all.wanted = std::move(next);
        all.on = false;
        if (all.wanted != nullptr) all.start();
        all.on = all.wanted != nullptr;
        if (all.thread.joinable()) all.loop.post([&all] { all.look_again(); });
    } catch (const std::exception& error) {
        all.log.error("traces are not exported", {{"problem", error.what()}});
    }
}

void trace_exporter::finish(duration within) noexcept {
    inside& all = *inside_;
    std::unique_lock lock(all.mutex);
    all.finishing = true;
    if (all.thread.joinable()) {
        all.post_wake();
        all.done.wait_for(lock, within, [&] { return all.finished; });
        lock.unlock();
        all.loop.post([&all] {
            all.gone.request();
            if (all.asking != nullptr) all.asking->close();
            all.wake.set();
        });
        all.thread.join();
        lock.lock();
    }
    all.on = false;
    for (const auto& one : all.queue) {
        try {
            all.count(trace_result::failed, spans_of(*one, config::genai_conventions::both).size());
        } catch (const std::exception&) { // no memory: they are not counted
        }
    }
    all.queue.clear();
}

trace_report trace_exporter::summary() const noexcept {
    trace_report out;
    for (std::size_t i = 0; i < out.spans.size(); ++i)
        out.spans[i] = inside_->counted[i].load(std::memory_order_relaxed);
    return out;
}

} // namespace evenkeel::telemetry
