#pragma once
// What can end an open() early: its deadline, and its caller's cancel. Lives in the frame of open(), which asks ended()
// after each wait. Whatever open() waits for is either `wake` or an operation of the guarded stream, and both are
// interrupted.

#include "policies/time.hpp"
#include "proxy/net/byte_stream.hpp"
#include "proxy/net/cancel.hpp"
#include "proxy/net/event.hpp"
#include "proxy/net/loop.hpp"
#include "proxy/net/timer_queue.hpp"
#include "proxy/net/transport.hpp"

#include <memory>
#include <utility>

namespace evenkeel::net {

class opening : private timer_entry {
public:
    enum class phase : unsigned char { waiting, resolving, connecting, tunnelling, securing };

    opening(loop& in, steady_time deadline, cancel_source& cancel)
        : wake(in.executor()), loop_(in),
          hook_(
              cancel, [](void* self) { static_cast<opening*>(self)->cancelled(); }, this) {
        in.timers().arm(*this, deadline);
    }
    ~opening() override = default;

    event wake;
    phase at = phase::waiting;

    [[nodiscard]] bool ended() const noexcept { return cancelled_ || late_; }
    [[nodiscard]] transport_error error(const config::upstream& to) const; // only if ended
    [[nodiscard]] loop& in() const noexcept { return loop_; }

    void guard(std::shared_ptr<byte_stream> stream) noexcept { guarded_ = std::move(stream); }
    void release() noexcept { guarded_.reset(); }

private:
    void on_timer() override {
        late_ = true;
        interrupt();
    }
    void cancelled() {
        cancelled_ = true;
        interrupt();
    }
    void interrupt() {
        if (guarded_) guarded_->close();
        wake.set();
    }

    loop& loop_;
    std::shared_ptr<byte_stream> guarded_;
    bool cancelled_ = false;
    bool late_ = false;
    cancel_source::hook hook_; // last: it may call at once
};

} // namespace evenkeel::net
