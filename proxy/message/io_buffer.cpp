#include "proxy/message/io_buffer.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace evenkeel::request {

io_buffer::io_buffer(io_buffer&& other) noexcept
    : pool_(other.pool_), block_(std::move(other.block_)), begin_(std::exchange(other.begin_, 0)),
      end_(std::exchange(other.end_, 0)) {}

io_buffer& io_buffer::operator=(io_buffer&& other) noexcept {
    if (this == &other) return *this;
    pool_ = other.pool_;
    block_ = std::move(other.block_);
    begin_ = std::exchange(other.begin_, 0);
    end_ = std::exchange(other.end_, 0);
    return *this;
}

void io_buffer::move_to(block_ptr other) noexcept {
    const std::string_view kept = unread();
    std::memcpy(other->data(), kept.data(), kept.size());
    block_ = std::move(other);
    end_ = kept.size();
    begin_ = 0;
}

void io_buffer::fit() {
    if (!pool_->is_crowded()) return;
    const std::size_t held = end_ - begin_;
    if (held == 0 || held > buffer_pool::small_bytes || capacity() <= buffer_pool::small_bytes || block_->is_shared())
        return;
    move_to(pool_->take_small(held));
}

boost::asio::mutable_buffer io_buffer::space(std::size_t at_least, std::size_t max_bytes) {
    if (!block_) {
        block_ = pool_->take();
        begin_ = end_ = 0;
    } else if (capacity() <= buffer_pool::small_bytes) {
        move_to(pool_->take());
    }
    if (begin_ == end_ && !block_->is_shared()) begin_ = end_ = 0;
    if (capacity() - end_ < at_least) {
        const std::size_t held = end_ - begin_;
        if (held + at_least > max_bytes) return {};
        if (held + at_least > capacity()) {
            move_to(pool_->take(std::min(std::max(capacity() * 2, held + at_least), std::max(max_bytes, capacity()))));
        } else if (block_->is_shared()) {
            move_to(pool_->take(capacity()));
        } else {
            std::memmove(base(), base() + begin_, held);
            begin_ = 0;
            end_ = held;
        }
    }
    return {base() + end_, capacity() - end_};
}

void io_buffer::clear() noexcept {
    if (block_ && (block_->is_shared() || capacity() <= buffer_pool::small_bytes)) block_.reset();
    begin_ = end_ = 0;
}

void io_buffer::release() noexcept {
    block_.reset();
    begin_ = end_ = 0;
}

} // namespace evenkeel::request
