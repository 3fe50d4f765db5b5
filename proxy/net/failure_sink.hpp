#pragma once
// Where exceptions end that leave a coroutine or a callback of the loop. Nothing throws for what a peer can do, so each
// is a bug of ours or exhaustion (memory, descriptors): it costs the work that was under way, a log line and a count,
// and not the process with everybody else's requests. One worker's.

#include <cstdint>
#include <exception>
#include <functional>
#include <string_view>
#include <utility>

namespace evenkeel::net {

class failure_sink {
public:
    // `what`: the exception's own words. Must not throw.
    void tell(std::function<void(std::string_view what)> listener) { listener_ = std::move(listener); }

    // Call within or after the handler that caught it. Where nobody listens (tests, simulations) it is thrown on.
    void note(const std::exception_ptr& failure) {
        ++count_;
        if (!listener_) std::rethrow_exception(failure);
        try {
            std::rethrow_exception(failure);
        } catch (const std::exception& error) {
            listener_(error.what());
        } catch (...) {
            listener_("an exception of an unknown type");
        }
    }
    // Runs a callback that others depend on: whatever it throws ends here.
    template <class Work>
    void guard(Work&& work) {
        try {
            std::forward<Work>(work)();
        } catch (...) {
            note(std::current_exception());
        }
    }
    [[nodiscard]] std::uint64_t count() const noexcept { return count_; }

private:
    std::function<void(std::string_view)> listener_;
    std::uint64_t count_ = 0;
};

} // namespace evenkeel::net
