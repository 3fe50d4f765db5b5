#pragma once
// The bound on all request bodies held for replay or inspection, over every worker (`limits.memory`). A holder takes
// before it grows and gives back when it lets go; refusal means "stream it instead", never "fail".

#include <atomic>
#include <cstdint>

namespace evenkeel::request {

class memory_bound {
public:
    void set_limit(std::uint64_t bytes) noexcept { limit_.store(bytes, std::memory_order_relaxed); }

    [[nodiscard]] bool take(std::uint64_t bytes) noexcept {
        const auto before = used_.fetch_add(bytes, std::memory_order_relaxed);
        if (before + bytes <= limit_.load(std::memory_order_relaxed)) return true;
        used_.fetch_sub(bytes, std::memory_order_relaxed);
        return false;
    }
    void give(std::uint64_t bytes) noexcept { used_.fetch_sub(bytes, std::memory_order_relaxed); }
    [[nodiscard]] std::uint64_t used() const noexcept { return used_.load(std::memory_order_relaxed); }

private:
    std::atomic<std::uint64_t> used_{0};
    std::atomic<std::uint64_t> limit_{UINT64_MAX};
};

// What one holder has taken; given back with it.
class memory_charge {
public:
    explicit memory_charge(memory_bound& of) noexcept : of_(of) {}
    ~memory_charge() { release(); }
    memory_charge(const memory_charge&) = delete;
    memory_charge& operator=(const memory_charge&) = delete;

    [[nodiscard]] bool take(std::uint64_t bytes) noexcept {
        if (!of_.take(bytes)) return false;
        bytes_ += bytes;
        return true;
    }
    void release() noexcept {
        of_.give(bytes_);
        bytes_ = 0;
    }

private:
    memory_bound& of_;
    std::uint64_t bytes_ = 0;
};

} // namespace evenkeel::request
