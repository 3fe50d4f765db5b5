#pragma once
// The text of an outgoing head: a string whose room is not cleared before it is written to, as std::string's would be.

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>

namespace evenkeel::wire {

class head_text {
public:
    static constexpr std::size_t usual_bytes = 1024; // chosen: nearly every head of an API call fits

    [[nodiscard]] std::string_view view() const noexcept { return {data_.get(), size_}; }
    operator std::string_view() const noexcept { return view(); } // NOLINT: it is one
    [[nodiscard]] const char* data() const noexcept { return data_.get(); }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
    void clear() noexcept { size_ = 0; } // keeps the room

    // Where the next `bytes` bytes go; commit() says how many were written.
    [[nodiscard]] char* room(std::size_t bytes) {
        if (capacity_ - size_ < bytes) grow(bytes);
        return data_.get() + size_;
    }
    void commit(std::size_t bytes) noexcept { size_ += bytes; }
    // In place of what was written there.
    void overwrite(std::size_t at, std::string_view bytes) noexcept {
        std::memcpy(data_.get() + at, bytes.data(), bytes.size());
    }
    void append(std::string_view bytes) {
        if (!bytes.empty()) std::memcpy(room(bytes.size()), bytes.data(), bytes.size());
        commit(bytes.size());
    }

private:
    void grow(std::size_t bytes) {
        const std::size_t capacity = std::max({size_ + bytes, 2 * capacity_, usual_bytes});
        auto larger = std::make_unique_for_overwrite<char[]>(capacity);
        if (size_ != 0) std::memcpy(larger.get(), data_.get(), size_);
        data_ = std::move(larger);
        capacity_ = capacity;
    }

    std::unique_ptr<char[]> data_;
    std::size_t size_ = 0, capacity_ = 0;
};

} // namespace evenkeel::wire
