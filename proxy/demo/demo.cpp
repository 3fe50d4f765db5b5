#include "proxy/demo/demo.hpp"

#include "config/load.hpp"
#include "proxy/demo/demo_config.hpp"
#include "proxy/demo/report.hpp"
#include "proxy/demo/workload.hpp"
#include "proxy/model/load.hpp"
#include "proxy/provider/simulated_provider.hpp"
#include "proxy/server/server.hpp"

#include <boost/asio/ip/address_v4.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <csignal>
#include <ctime>
#include <memory>
#include <optional>
#include <ostream>
#include <stdexcept>

namespace evenkeel::demo {

namespace {

using std::chrono::steady_clock;

struct loopback_address {
    std::string host;
    std::uint16_t port = 0;
};
// The demo has no credentials and no limits: nobody but this machine is to reach it.
std::optional<loopback_address> parse_loopback(const std::string& text) {
    const auto colon = text.rfind(':');
    if (colon == std::string::npos) return std::nullopt;
    boost::system::error_code not_an_address;
    const auto address = boost::asio::ip::make_address_v4(text.substr(0, colon), not_an_address);
    loopback_address out{text.substr(0, colon), 0};
    const char* const end = text.data() + text.size();
    const auto [stopped, error] = std::from_chars(text.data() + colon + 1, end, out.port);
    if (not_an_address || !address.is_loopback() || error != std::errc{} || stopped != end) return std::nullopt;
    return out;
}

// SIGINT and SIGTERM, taken by the thread that waits for them here; threads started meanwhile inherit the block.
class stop_signals {
public:
    stop_signals() {
        sigemptyset(&wanted_);
        sigaddset(&wanted_, SIGINT);
        sigaddset(&wanted_, SIGTERM);
        pthread_sigmask(SIG_BLOCK, &wanted_, &before_);
    }
    ~stop_signals() { unblock(); }
    stop_signals(const stop_signals&) = delete;
    stop_signals& operator=(const stop_signals&) = delete;

    // True if one came; false after `timeout`.
    [[nodiscard]] bool wait_for(duration timeout) {
        const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(timeout);
        const timespec limit{seconds.count(), (timeout - seconds).count()};
        return came(sigtimedwait(&wanted_, nullptr, &limit));
    }
    void wait() {
        while (!came(sigwaitinfo(&wanted_, nullptr))) {}
    }

private:
    bool came(int signal) {
        if (signal > 0) unblock(); // another one ends the process at once
        return signal > 0;
    }
    void unblock() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

    sigset_t wanted_{}, before_{};
};

using loads = std::array<std::unique_ptr<model::load>, sides.size()>;

bool all_done(const loads& of) {
    return std::ranges::all_of(of, [](const auto& each) { return each->done() == each->total(); });
}

// How far all sides are: a bar that is drawn over on a terminal, else a line at each quarter.
class progress {
public:
    progress(std::ostream& out, bool live, double expected_seconds, const loads& of)
        : out_(out), live_(live), expected_(expected_seconds), of_(of), began_(steady_clock::now()) {}

    void show() {
        unsigned total = 0, done = 0;
        for (const auto& each : of_) {
            total += each->total();
            done += each->done();
        }
        const double seconds = in_seconds(steady_clock::now() - began_);
        if (live_) {
            out_ << "\r  " << progress_bar(done, total, expected_ - seconds) << "\x1b[K" << std::flush;
            return;
        }
        for (; quarter_ <= 4 && done >= total / 4.0 * quarter_; ++quarter_)
            out_ << fmt::format("  {:>3} %  {:.0f} s\n", 25 * quarter_, seconds) << std::flush;
    }
    void end() {
        if (live_) out_ << "\r\x1b[K" << std::flush;
    }

private:
    std::ostream& out_;
    const bool live_;
    const double expected_;
    const loads& of_;
    const steady_time began_;
    unsigned quarter_ = 1;
};

int usage(std::ostream& err, std::string_view why) {
    err << "evenkeel demo: " << why << '\n';
    return 2;
}

void print_invitation(std::ostream& out, const std::string& address, const std::string& admin) {
    out << fmt::format(R"(
Try it:  curl -N http://{0}/v1/chat/completions \
              -H 'content-type: application/json' \
              -d '{{"model": "sim-1", "stream": true,
                   "messages": [{{"role": "user", "content": "hello"}}]}}'
Look:    http://{1}/          the dashboard
         http://{1}/metrics
         http://{1}/health
Yours:   set the base URL of an application to http://{0}/v1

press Ctrl-C to stop
)",
                       address, admin)
        << std::flush;
}

std::unique_ptr<server::server> start_proxy(const std::string& yaml, const std::string& version, std::ostream& err) {
    const auto environment = config::process_environment();
    const auto loaded = config::load_text(yaml, "demo", environment);
    if (!loaded.ok()) {
        config::print_text(err, loaded.diagnostics);
        return nullptr;
    }
    try {
        auto proxy = std::make_unique<server::server>(
            server::server_options{.config_file = {}, .environment = environment, .version = version}, loaded.settings);
        proxy->start();
        return proxy;
    } catch (const std::runtime_error& error) {
        std::string why = error.what();
        why.erase(std::min(why.find(" [system:"), why.size())); // the number that Boost adds
        err << fmt::format("evenkeel demo: {}\n"
                           "If another program has that port, end it, or choose other ports:\n"
                           "    evenkeel demo --listen 127.0.0.1:8081 --admin 127.0.0.1:9902\n",
                           why);
        return nullptr;
    }
}

} // namespace

int run(const options& wanted, std::ostream& out, std::ostream& err) {
    if (!parse_loopback(wanted.listen) || !parse_loopback(wanted.admin))
        return usage(err, "--listen and --admin take an IPv4 loopback address with its port, like 127.0.0.1:8081");
    config_choice choice{
        .listen = wanted.listen, .admin = wanted.admin, .provider = "http://127.0.0.1:8000", .speed = wanted.speed};
    if (wanted.print_config) {
        out << demo_config(choice);
        return 0;
    }

    stop_signals signals;
    const workload traffic(wanted.seed, wanted.requests);
    provider::simulated_provider upstream(
        {.seed = wanted.seed, .record = false, .script_for = [&](const auto& attempt) {
             return script_for(attempt, traffic, wanted.speed);
         }});
    choice.provider = upstream.url();
    const auto proxy = start_proxy(demo_config(choice), wanted.version, err);
    if (proxy == nullptr) return 1;
    auto classic_choice = choice;
    classic_choice.profile = "classic";
    classic_choice.listen = "127.0.0.1:0";
    classic_choice.admin = "off";
    const auto classic = start_proxy(demo_config(classic_choice), wanted.version, err);
    if (classic == nullptr) return 1;
    const std::string address = proxy->addresses().front();

    const double expected =
        ((original::warm_up + wanted.requests) / original::rate + original::deadline) / wanted.speed; // at most
    out << fmt::format("A simulated LLM provider that misbehaves on {},\n"
                       "evenkeel in front of it on http://{}.\n"
                       "{} requests go straight to the provider, the same {} through evenkeel\n"
                       "(profile tuned) and through one with profile classic, at the same time:\n"
                       "about {:.0f} s.\n\n",
                       upstream.url(), address, wanted.requests, wanted.requests, expected)
        << std::flush;

    const steady_time begin = steady_clock::now() + std::chrono::milliseconds{50}; // the workers are up by then
    const auto start = [&](side from, const loopback_address& to) {
        return std::make_unique<model::load>(
            traffic, model::scenario_time(begin, wanted.speed),
            model::load_options{to.host, to.port, [from](unsigned number, const model::planned_request& plan) {
                                    return question_of(from, number, plan);
                                }});
    };
    const loads all{start(side::direct, {"127.0.0.1", upstream.port()}),
                    start(side::classic, parse_loopback(classic->addresses().front()).value()),
                    start(side::tuned, parse_loopback(address).value())};
    progress shown(out, wanted.live, expected, all);
    while (!all_done(all)) {
        shown.show();
        if (!signals.wait_for(std::chrono::milliseconds{100})) continue;
        shown.end();
        for (const auto& each : all) each->cancel();
        proxy->stop_now(); // requests in flight end with their connections
        classic->stop_now();
        upstream.stop();
        err << "interrupted\n";
        return 1;
    }
    shown.show();
    shown.end();

    summaries found;
    for (std::size_t at = 0; at < sides.size(); ++at) {
        std::uint64_t attempts = 0; // at the requests that count
        for (unsigned number = original::warm_up; number < traffic.facts().requests; ++number)
            attempts += upstream.turns(nonce_of(sides[at], number));
        found[at] = summarize(all[at]->wait(), attempts);
    }
    out << (wanted.live ? "" : "\n") << table(found, {.seed = wanted.seed, .speed = wanted.speed}, wanted.colour)
        << std::flush;
    if (wanted.once) return 0;
    print_invitation(out, address, proxy->admin_addresses().front());
    signals.wait();
    out << "stopping\n" << std::flush;
    return 0;
}

} // namespace evenkeel::demo
