#pragma once
// Keeps connections of one endpoint of a pool ready: asks the policy (policies/prewarm.hpp) when something changed and
// when a pause is over, and has the pool dial. Each change only arms a timer, so that a burst of changes is one
// decision.

#include "policies/prewarm.hpp"
#include "proxy/net/cancel.hpp"
#include "proxy/net/loop.hpp"
#include "proxy/net/timer_queue.hpp"

#include <cstddef>
#include <functional>
#include <vector>

namespace evenkeel::config {
struct upstream;
}

namespace evenkeel::net {

// What pre-warming is given by the worker.
struct warming {
    std::function<bool(const config::upstream&)> may_dial; // neither does its circuit reject nor does it rest
    std::function<double()> draw;                          // uniform in [0, 1)
    unsigned workers = 1;                                  // that share min_idle
};

// The pool's side.
class warmed_endpoint {
public:
    [[nodiscard]] virtual prewarm::connections present() const noexcept = 0; // but `opening`, which the keeper knows
    [[nodiscard]] virtual const config::upstream& settings() const noexcept = 0;
    virtual void dial_ahead() = 0; // begins; in its coroutine lives a dialling
    virtual void target_changed(int by) noexcept = 0;

protected:
    ~warmed_endpoint() = default;
};

class warm_keeper final : private timer_entry {
public:
    warm_keeper(loop& in, warmed_endpoint& of, const warming& how) noexcept;
    ~warm_keeper() override { stop(); }

    void configure(const prewarm_options& options); // also after stop()
    void stop() noexcept;                           // dials under way are cancelled, no further ones begin
    [[nodiscard]] bool stopped() const noexcept { return stopped_; }

    // As prewarm.
    void taken(bool ready) noexcept;
    void released(duration held) noexcept;
    void unused() noexcept;
    void look() noexcept; // something else changed: decides soon

    // A dial under way; in its frame, and the keeper outlives it.
    class dialling {
    public:
        explicit dialling(warm_keeper& of);
        dialling(const dialling&) = delete;
        dialling& operator=(const dialling&) = delete;
        ~dialling();
        void ended(bool opened) noexcept; // not if it was cancelled
        cancel_source cancel;

    private:
        warm_keeper& keeper_;
    };

private:
    void on_timer() override;
    void set_target(std::size_t target) noexcept;

    loop& loop_;
    warmed_endpoint& pool_;
    warming how_;
    prewarm policy_{prewarm_options{}};
    std::vector<dialling*> dialling_;
    std::size_t begun_ = 0; // dials whose coroutine has not run yet
    std::size_t target_ = 0;
    bool stopped_ = true;
};

} // namespace evenkeel::net
