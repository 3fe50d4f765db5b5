#pragma once
// Memory between a socket and a parser: bytes are appended at the end and consumed at the front. It lies in a block, of
// which others may take a share (share()): what is shared is neither moved nor written over; the buffer goes on in
// another block instead.

#include "proxy/message/block.hpp"

#include <boost/asio/buffer.hpp>

#include <cstddef>
#include <string_view>

namespace evenkeel::request {

class io_buffer {
public:
    explicit io_buffer(buffer_pool& pool) noexcept : pool_(&pool) {}
    io_buffer(const io_buffer&) = delete;
    io_buffer& operator=(const io_buffer&) = delete;
    io_buffer(io_buffer&& other) noexcept;
    io_buffer& operator=(io_buffer&& other) noexcept;

    [[nodiscard]] std::string_view unread() const noexcept { return {base() + begin_, end_ - begin_}; }
    [[nodiscard]] bool empty() const noexcept { return begin_ == end_; }
    [[nodiscard]] char* begin() noexcept { return base() + begin_; } // what is unread may be changed in place
    void consume(std::size_t bytes) noexcept { begin_ += bytes; }

    // A share in the block for `bytes` of it, which lie in front of the end and stay as they are from now on.
    [[nodiscard]] shared_bytes share(std::string_view bytes) const { return {block_, bytes}; }

    // Room for at least `at_least` more bytes. Moves what is unread, so views into it end, unless there is room already
    // or somebody has a share in it. Empty if the whole would exceed `max_bytes`.
    [[nodiscard]] boost::asio::mutable_buffer space(std::size_t at_least, std::size_t max_bytes);
    void commit(std::size_t bytes) noexcept { end_ += bytes; }
    // Where the pool is crowded: moves what is unread, so views into it end, to a block of its size if it is small, for
    // it may wait long for its answer. Room is given in a block of the usual size again.
    void fit();
    // There was no room for more in a block of the usual size.
    [[nodiscard]] bool full() const noexcept { return capacity() > buffer_pool::small_bytes && end_ == capacity(); }

    void clear() noexcept;   // nothing is unread; the block stays, unless it is shared or small
    void release() noexcept; // gives the block back
    [[nodiscard]] bool holds_block() const noexcept { return block_ != nullptr; }

private:
    [[nodiscard]] char* base() const noexcept { return block_ ? block_->data() : nullptr; }
    [[nodiscard]] std::size_t capacity() const noexcept { return block_ ? block_->capacity() : 0; }
    void move_to(block_ptr other) noexcept;

    buffer_pool* pool_;
    block_ptr block_;
    std::size_t begin_ = 0, end_ = 0;
};

} // namespace evenkeel::request
