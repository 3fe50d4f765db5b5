#pragma once
// One block of memory between a socket and a parser: bytes are appended at the end and consumed at the front. Blocks of
// the usual size come from a worker's free list, so that a connection holds one only while bytes are on their way.

#include <boost/asio/buffer.hpp>

#include <cstddef>
#include <memory>
#include <string_view>
#include <vector>

namespace evenkeel::request {

// Free list of one worker; it outlives every buffer that borrows from it.
class buffer_pool {
public:
    static constexpr std::size_t block_bytes = 16 * 1024; // chosen: a TLS record, and any head of an ordinary API call
    static constexpr std::size_t keep = 64;               // blocks kept for reuse: 1 MiB

    [[nodiscard]] std::unique_ptr<char[]> take();
    void give(std::unique_ptr<char[]> block);

private:
    std::vector<std::unique_ptr<char[]>> free_;
};

class io_buffer {
public:
    explicit io_buffer(buffer_pool& pool) noexcept : pool_(&pool) {}
    ~io_buffer() { release(); }
    io_buffer(const io_buffer&) = delete;
    io_buffer& operator=(const io_buffer&) = delete;
    io_buffer(io_buffer&& other) noexcept;
    io_buffer& operator=(io_buffer&& other) noexcept;

    [[nodiscard]] std::string_view unread() const noexcept { return {data_.get() + begin_, end_ - begin_}; }
    [[nodiscard]] bool empty() const noexcept { return begin_ == end_; }
    [[nodiscard]] char* begin() noexcept { return data_.get() + begin_; }
    void consume(std::size_t bytes) noexcept { begin_ += bytes; }

    // Room for at least `at_least` more bytes. Moves what is unread, so views into it end, unless there is room already.
    // Empty if the whole would exceed `max_bytes`.
    [[nodiscard]] boost::asio::mutable_buffer space(std::size_t at_least, std::size_t max_bytes);
    void commit(std::size_t bytes) noexcept { end_ += bytes; }

    // Where the free space begins, when `pinned` bytes of the front must stay in place: bytes consumed before are kept
    // too. Empty if there is none left behind.
    [[nodiscard]] boost::asio::mutable_buffer space_behind() noexcept { return {data_.get() + end_, capacity_ - end_}; }

    // Everything in front of what is unread may go; views into it end.
    void compact() noexcept;
    void clear() noexcept { begin_ = end_ = 0; }
    void release() noexcept; // gives the block back
    [[nodiscard]] bool holds_block() const noexcept { return data_ != nullptr; }

private:
    buffer_pool* pool_;
    std::unique_ptr<char[]> data_;
    std::size_t capacity_ = 0, begin_ = 0, end_ = 0;
};

} // namespace evenkeel::request
