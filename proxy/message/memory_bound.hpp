#pragma once
// The bound on all bodies held for replay or inspection, over every worker (`limits.memory`). A holder takes before it
// grows, by the capacity of what it grows to, and gives back when it lets go; refusal means "stream it instead".

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

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
    // What cannot be done without is counted all the same, so that others are refused the sooner.
    void add(std::uint64_t bytes) noexcept { used_.fetch_add(bytes, std::memory_order_relaxed); }
    void give(std::uint64_t bytes) noexcept { used_.fetch_sub(bytes, std::memory_order_relaxed); }
    [[nodiscard]] std::uint64_t limit() const noexcept { return limit_.load(std::memory_order_relaxed); }
    [[nodiscard]] std::uint64_t used() const noexcept { return used_.load(std::memory_order_relaxed); }
    [[nodiscard]] std::uint64_t room() const noexcept { return limit() > used() ? limit() - used() : 0; }

private:
    std::atomic<std::uint64_t> used_{0};
    std::atomic<std::uint64_t> limit_{UINT64_MAX};
};

// Text that grows as it comes and counts by its capacity.
class charged_text {
public:
    explicit charged_text(memory_bound& of) noexcept : of_(of) {}
    ~charged_text() { of_.give(charged_); }
    charged_text(const charged_text&) = delete;
    charged_text& operator=(const charged_text&) = delete;

    // False: there is no room, and nothing is added.
    [[nodiscard]] bool append(std::string_view data) {
        const std::uint64_t grown = capacity_for(data.size());
        if (grown > charged_ && !of_.take(grown - charged_)) return false;
        charged_ = std::max(charged_, grown);
        text_.reserve(grown);
        text_ += data;
        return true;
    }
    // Room for so much in all, at once, where it is known: growing by doubling takes up to twice that. False: there is
    // none.
    [[nodiscard]] bool expect(std::uint64_t size) {
        if (size <= text_.capacity() || size <= charged_) return true;
        if (!of_.take(size - charged_)) return false;
        charged_ = size;
        text_.reserve(size);
        return true;
    }
    // What is here already has to stay, whatever there is room for.
    void add(std::string_view data) {
        text_.reserve(capacity_for(data.size()));
        text_ += data;
        count();
    }
    void adopt(std::string text) {
        text_ = std::move(text);
        count();
    }
    void release() noexcept {
        text_ = {};
        of_.give(std::exchange(charged_, 0));
    }

    [[nodiscard]] std::string_view view() const noexcept { return text_; }
    [[nodiscard]] std::size_t size() const noexcept { return text_.size(); }
    [[nodiscard]] bool empty() const noexcept { return text_.empty(); }

private:
    [[nodiscard]] std::uint64_t capacity_for(std::size_t more) const noexcept {
        const std::uint64_t wanted = text_.size() + more;
        return wanted <= text_.capacity() ? std::max<std::uint64_t>(charged_, wanted)
                                          : std::max<std::uint64_t>(wanted, 2 * text_.capacity());
    }
    void count() noexcept {
        if (text_.capacity() <= charged_) return;
        of_.add(text_.capacity() - charged_);
        charged_ = text_.capacity();
    }

    memory_bound& of_;
    std::string text_;
    std::uint64_t charged_ = 0;
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
    // Room for so much at once, where it is known: growing by doubling takes up to twice that. Does nothing where there
    // is none.
    void expect(std::string& text, std::uint64_t size) {
        if (size > text.capacity() && take(size - text.capacity())) text.reserve(size);
    }
    // Appends, having counted the capacity that it takes. False: there is no room, and nothing is added.
    [[nodiscard]] bool append(std::string& to, std::string_view data) {
        const std::uint64_t size = to.size() + data.size();
        if (size > to.capacity()) {
            const std::uint64_t capacity = std::max<std::uint64_t>(size, 2 * to.capacity());
            if (!take(capacity - to.capacity())) return false;
            to.reserve(capacity);
        }
        to += data;
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
