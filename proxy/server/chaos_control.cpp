#include "proxy/server/chaos_control.hpp"

#include "config/chaos_rules.hpp"
#include "proxy/net/io.hpp"

#include <boost/asio/basic_waitable_timer.hpp>

#include <fmt/format.h>

#include <future>
#include <string>
#include <utility>

namespace evenkeel::server {

namespace asio = boost::asio;

namespace {

using timer_type =
    asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>, net::executor>;

steady_time now() { return std::chrono::steady_clock::now(); }

std::string_view sentence_of(chaos::change how) {
    switch (how) {
    case chaos::change::began: return "a chaos rule is in force: faults are injected on purpose";
    case chaos::change::expired: return "a chaos rule has expired";
    case chaos::change::ended: return "a chaos rule was ended";
    }
    return {};
}

constexpr const char* not_enabled = "this process injects no faults: its file does not say `chaos: {enabled: true}`";

} // namespace

struct chaos_control::state : std::enable_shared_from_this<state> {
    state(telemetry::background& on, telemetry::app_log& to)
        : helper(on), log(to), timer(on.context().get_executor()),
          rules([this](chaos::change how, const chaos_rule& rule) { say(how, rule); }) {}

    void say(chaos::change how, const chaos_rule& rule) {
        log.warning(sentence_of(how),
                    {{"route", rule.route},
                     {"upstream", rule.upstream.empty() ? std::string_view{"any"} : std::string_view{rule.upstream}},
                     {rule.profile.empty() ? "fault" : "profile",
                      rule.profile.empty() ? to_string(rule.fault.is) : std::string_view{rule.profile}},
                     {"probability", fmt::format("{}", rule.probability)},
                     {"for", fmt::format("{}s", in_seconds(rule.lasts))}});
    }
    // On the helper thread.
    void look() {
        if (stopped) return;
        const auto next = rules.expire(now());
        timer.cancel();
        if (!next) return;
        timer.expires_at(*next);
        timer.async_wait([me = shared_from_this()](const boost::system::error_code& error) {
            if (!error) me->look();
        });
    }
    void look_soon() {
        helper.post([me = shared_from_this()] { me->look(); });
    }

    telemetry::background& helper;
    telemetry::app_log& log;
    timer_type timer;
    chaos rules;
    bool stopped = false;
};

chaos_control::chaos_control(telemetry::background& on, telemetry::app_log& log)
    : state_(std::make_shared<state>(on, log)) {}

chaos_control::~chaos_control() {
    std::promise<void> done;
    state_->helper.post([&] {
        state_->stopped = true;
        state_->timer.cancel();
        done.set_value();
    });
    done.get_future().wait();
}

chaos& chaos_control::rules() noexcept { return state_->rules; }

void chaos_control::load(const config::settings& settings) {
    state_->rules.load(settings.chaos, now());
    state_->look_soon();
}

admin::control_result chaos_control::set(std::string_view json, const config::settings& current) {
    if (!current.chaos.enabled) return {false, not_enabled};
    auto sent = config::read_chaos_rules(json, current);
    if (!sent.problem.empty()) return {false, std::move(sent.problem)};
    const std::size_t count = sent.rules.size();
    state_->rules.set(std::move(sent.rules), sent.seed, now());
    state_->look_soon();
    return {true, fmt::format("{} rule{} in force", count, count == 1 ? " is" : "s are")};
}

admin::control_result chaos_control::off(const config::settings& current) {
    if (!current.chaos.enabled) return {false, not_enabled};
    state_->rules.off(now());
    return {true,
            "every chaos rule was ended; those of the file come back when they are changed there, or with a restart"};
}

} // namespace evenkeel::server
