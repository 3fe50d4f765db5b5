#include "proxy/request/io_buffer.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace evenkeel::request {

std::unique_ptr<char[]> buffer_pool::take() {
    if (free_.empty()) return std::unique_ptr<char[]>(new char[block_bytes]); // not cleared on purpose
    auto block = std::move(free_.back());
    free_.pop_back();
    return block;
}

void buffer_pool::give(std::unique_ptr<char[]> block) {
    if (free_.size() < keep) free_.push_back(std::move(block));
}

io_buffer::io_buffer(io_buffer&& other) noexcept
    : pool_(other.pool_), data_(std::move(other.data_)), capacity_(std::exchange(other.capacity_, 0)),
      begin_(std::exchange(other.begin_, 0)), end_(std::exchange(other.end_, 0)) {}

io_buffer& io_buffer::operator=(io_buffer&& other) noexcept {
    if (this == &other) return *this;
    release();
    pool_ = other.pool_;
    data_ = std::move(other.data_);
    capacity_ = std::exchange(other.capacity_, 0);
    begin_ = std::exchange(other.begin_, 0);
    end_ = std::exchange(other.end_, 0);
    return *this;
}

boost::asio::mutable_buffer io_buffer::space(std::size_t at_least, std::size_t max_bytes) {
    if (!data_) {
        data_ = pool_->take();
        capacity_ = buffer_pool::block_bytes;
    }
    if (begin_ == end_) begin_ = end_ = 0;
    if (capacity_ - end_ < at_least) {
        const std::size_t held = end_ - begin_;
        if (held + at_least > max_bytes) return {};
        if (held + at_least > capacity_) {
            const std::size_t larger = std::min(std::max(capacity_ * 2, held + at_least), std::max(max_bytes, capacity_));
            std::unique_ptr<char[]> block(new char[larger]);
            std::memcpy(block.get(), data_.get() + begin_, held);
            if (capacity_ == buffer_pool::block_bytes) pool_->give(std::move(data_));
            data_ = std::move(block);
            capacity_ = larger;
            begin_ = 0;
            end_ = held;
        } else {
            compact();
        }
    }
    return {data_.get() + end_, capacity_ - end_};
}

void io_buffer::compact() noexcept {
    if (begin_ == 0) return;
    std::memmove(data_.get(), data_.get() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
}

void io_buffer::release() noexcept {
    if (data_ && capacity_ == buffer_pool::block_bytes) pool_->give(std::move(data_));
    data_.reset();
    capacity_ = begin_ = end_ = 0;
}

} // namespace evenkeel::request
