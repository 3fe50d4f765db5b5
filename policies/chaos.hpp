#pragma once
// Which attempts suffer a fault that was ordered, and until when. Every rule expires: nobody finds last week's
// rehearsal in tomorrow's traffic. An attempt suffers the first rule that is for it and whose draw falls to it; rules
// after that are not asked.
//
// A draw is no draw but a hash: hash64(seed, request id, attempt, rule) < probability. The same seed and the same
// request ids give the same decisions whatever the number of workers and the order of requests. A rule is known by what
// it says, not by its place, so adding one changes no decision of another. `max_active` is the exception: who is there
// first decides.
//
// Rules of the file and rules set at run time are kept apart. A reload starts the clock of the rules that are new in
// it; one that is there unchanged goes on, or stays expired. Owned by the process; thread-safe, one decision under its
// own mutex.

#include "policies/chaos_fault.hpp"
#include "policies/time.hpp"

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace evenkeel {

struct chaos_rule {
    std::string route;
    std::string upstream; // empty: any of the route's
    std::string profile;  // empty: `fault`
    chaos_fault_options fault;
    double probability = 0; // share of the attempts it is for, 0..1
    duration lasts{};       // `for`: from the moment it is loaded or set
    int attempts = 0;       // only the first so many of a request; 0: any
    int max_active = 0;     // at most so many attempts suffer at a time; 0: unbounded
    bool operator==(const chaos_rule&) const = default;
};

struct chaos_options {
    bool enabled = false;
    std::uint64_t seed = 0;
    std::vector<chaos_rule> rules;
    bool operator==(const chaos_options&) const = default;
};

// Returns its place among `max_active` when the attempt is over; without one it holds nothing.
class chaos_permit {
public:
    chaos_permit() noexcept = default;
    explicit chaos_permit(std::shared_ptr<std::atomic<int>> active) noexcept : active_(std::move(active)) {}
    ~chaos_permit() {
        if (active_) active_->fetch_sub(1, std::memory_order_relaxed);
    }
    chaos_permit(chaos_permit&&) noexcept = default;
    chaos_permit& operator=(chaos_permit&&) = delete;

private:
    std::shared_ptr<std::atomic<int>> active_;
};

struct chaos_injection {
    chaos_fault_options fault; // of latency the delay has its jitter in it
    chaos_permit permit;
};

// An attempt about to be made.
struct chaos_question {
    std::string_view route, upstream, request_id;
    std::uint64_t attempt = 1; // of the request, from 1 on
};

class chaos {
public:
    enum class change : unsigned char {
        began,
        expired,
        ended
    }; // ended: by a reload, by another set, by the kill switch
    struct shown_rule {
        chaos_rule rule;
        bool from_file = true;
        duration left{};
        std::uint64_t injected = 0;
        int active = 0; // attempts that suffer now
    };
    struct summary {
        bool enabled = false;
        std::uint64_t seed = 0;
        std::vector<shown_rule> rules; // in force, in the order in which they are asked
    };
    // Called without the mutex, from the thread of the change.
    using listener = std::function<void(change, const chaos_rule&)>;

    explicit chaos(listener told = {}) : told_(std::move(told)) {}

    void load(const chaos_options& options, steady_time now); // the file's; `enabled: false` ends every rule
    // Instead of those set before.
    void set(std::vector<chaos_rule> rules, std::optional<std::uint64_t> seed, steady_time now);
    void off(steady_time now); // ends every rule; the file's come back when they are changed, or with a restart

    [[nodiscard]] std::optional<chaos_injection> decide(const chaos_question& asked, steady_time now);
    // Says which rules have expired; the time at which the next one does, or nothing.
    std::optional<steady_time> expire(steady_time now);
    [[nodiscard]] summary report(steady_time now) const;

private:
    struct kept_rule {
        chaos_rule rule;
        std::uint64_t id = 0;
        steady_time until{};
        bool from_file = true;
        bool over = false; // expired or ended, and told; one of the file is remembered
        std::uint64_t injected = 0;
        std::shared_ptr<std::atomic<int>> active = std::make_shared<std::atomic<int>>(0);
    };
    using changes = std::vector<std::pair<change, chaos_rule>>;
    static kept_rule keep(chaos_rule rule, bool from_file, steady_time now);
    void note_expired(steady_time now, changes& out);
    void tell(const changes& what) const;

    listener told_;
    mutable std::mutex mutex_;
    bool enabled_ = false;
    std::uint64_t seed_ = 0;
    std::optional<std::uint64_t> set_seed_; // ... at run time
    std::vector<kept_rule> rules_;          // the file's first
};

} // namespace evenkeel
