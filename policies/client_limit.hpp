#pragma once
// How many requests a caller that is known by name has under way, and whether it may have one more. Nobody waits here:
// who is over its own number waits for itself, and knows best what for.
//
// One per name, for all workers; thread-safe.

#include <atomic>
#include <cstdint>
#include <utility>

namespace evenkeel {

struct client_limit_options {
    std::uint32_t max_concurrent = 0; // 0: as many as come
};

class client_limit {
public:
    // A place that is taken, for as long as it lives. It ends before its client_limit does.
    class permit {
    public:
        permit() noexcept = default;
        explicit permit(client_limit& from) noexcept : from_(&from) {}
        permit(permit&& other) noexcept : from_(std::exchange(other.from_, nullptr)) {}
        permit& operator=(permit&& other) noexcept {
            std::swap(from_, other.from_);
            return *this;
        }
        ~permit() {
            if (from_ != nullptr) from_->in_use_.fetch_sub(1, std::memory_order_relaxed);
        }
        explicit operator bool() const noexcept { return from_ != nullptr; }

    private:
        client_limit* from_ = nullptr;
    };

    explicit client_limit(const client_limit_options& options) noexcept { configure(options); }
    // Those that are under way stay so.
    void configure(const client_limit_options& options) noexcept {
        limit_.store(options.max_concurrent, std::memory_order_relaxed);
    }

    // Empty: it has as many as it may. Of several that come at once as many get one as there are places.
    [[nodiscard]] permit enter() noexcept {
        const std::uint32_t limit = limit_.load(std::memory_order_relaxed);
        std::uint32_t now = in_use_.load(std::memory_order_relaxed);
        do {
            if (limit != 0 && now >= limit) return {};
        } while (!in_use_.compare_exchange_weak(now, now + 1, std::memory_order_relaxed));
        return permit{*this};
    }

    struct summary {
        std::uint32_t in_use = 0, limit = 0; // limit 0: none
    };
    [[nodiscard]] summary report() const noexcept {
        return {in_use_.load(std::memory_order_relaxed), limit_.load(std::memory_order_relaxed)};
    }

private:
    std::atomic<std::uint32_t> limit_{0}, in_use_{0};
};

} // namespace evenkeel
