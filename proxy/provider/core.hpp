#pragma once
// What the connections of a simulated provider share: rules, draws, records and counters, behind one mutex. No sockets.

#include "proxy/provider/script.hpp"
#include "proxy/provider/simulated_provider.hpp"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace evenkeel::provider {

// What a control request asks of the listener, beside its answer.
struct control_effect {
    std::chrono::milliseconds refuse_for{0};
    bool drop_idle = false;
    bool drop_with_reset = false;
};

class provider_core {
public:
    explicit provider_core(provider_options options);

    [[nodiscard]] const provider_options& options() const noexcept { return options_; }

    void add_rule(provider_rule rule);
    void clear_rules();
    void reset();

    // The script for a new connection; uses up a turn of an accept= rule.
    [[nodiscard]] provider_script on_accept();

    // The script for a request whose head was read; uses up a turn of a rule. `record` is filled with its text.
    [[nodiscard]] std::shared_ptr<const script_choice> choose(const attempt_record& record);
    // Counts a request of this key, which is its nonce or else its path: how many there were, this one included.
    std::uint64_t count_turn(const std::string& key);
    [[nodiscard]] std::uint64_t turns(const std::string& key) const;
    // The alternative for the nth request of this key, or the healthy script once fail_times is used up.
    [[nodiscard]] provider_script pick(const script_choice& choice, const std::string& key, std::uint64_t nth);
    // ... or, once its quota is spent, what says so.
    [[nodiscard]] provider_script within_quota(const provider_script& script, const std::string& whose);
    // A draw in [0, 1), a function of the seed and the arguments.
    [[nodiscard]] double draw(std::uint64_t a, std::uint64_t b) const noexcept;

    // A record that others see; all its changes go through update().
    std::shared_ptr<attempt_record> begin(attempt_record record);
    void finish(const std::shared_ptr<attempt_record>& record, const std::function<void(attempt_record&)>& last);
    void update(const std::function<void()>& change); // under the mutex, wakes the waiting
    template <class Change>
    void quietly(Change change) { // under the mutex, wakes nobody: for what happens per event
        const std::lock_guard lock{mutex_};
        change();
    }
    provider_counters count; // only inside update() or quietly()

    [[nodiscard]] std::vector<attempt_record> records() const;
    [[nodiscard]] provider_counters counters() const;
    bool wait_for(const std::function<bool(const provider_counters&)>& holds, std::chrono::milliseconds timeout) const;
    std::optional<attempt_record> wait_for_record(const std::function<bool(const attempt_record&)>& matches,
                                                  std::chrono::milliseconds timeout) const;

    // GET or POST /__sim/...: status and JSON body.
    std::pair<int, std::string> control(std::string_view method, std::string_view target, std::string_view body,
                                        control_effect& effect);

private:
    struct active_rule {
        provider_rule rule;
        std::shared_ptr<const script_choice> choice;
        bool for_accept;
    };

    provider_options options_;
    std::shared_ptr<const script_choice> default_;
    mutable std::mutex mutex_;
    mutable std::condition_variable changed_;
    std::deque<active_rule> rules_;
    std::map<std::string, std::uint64_t, std::less<>> turns_; // of a key: for fail_times and draws
    struct spent_quota {
        std::chrono::steady_clock::time_point until{};
        double left = 0;
        std::chrono::steady_clock::time_point filled{};
    };
    std::map<std::string, spent_quota, std::less<>> quotas_; // of a script and its key: the window under way
    std::deque<std::shared_ptr<attempt_record>> records_;
};

} // namespace evenkeel::provider
