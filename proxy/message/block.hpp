#pragma once
// Memory that several coroutines read while one still appends to it. A block is reference-counted and never moves;
// bytes that have been handed out as shared_bytes are never written again, and live as long as anybody holds them. So
// whoever writes from a body owns what it writes from until the write is over, whatever becomes of the body meanwhile.
//
// One worker's: the count is a plain number. A block may outlive the pool it came from and the buffer that filled it,
// but not the memory bound that its pool charges it to.

#include "proxy/message/memory_bound.hpp"

#include <boost/container/small_vector.hpp>
#include <boost/smart_ptr/intrusive_ptr.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace evenkeel::request {

class block;
using block_ptr = boost::intrusive_ptr<block>;

// Free list of one worker: blocks of the usual size, so that a connection holds one only while bytes are on their way.
// Every block that is out counts whole against the memory bound, those of connections too: they are as resident as any
// body.
class buffer_pool {
public:
    static constexpr std::size_t block_bytes = 16 * 1024; // chosen: a TLS record, and any head of an ordinary API call
    static constexpr std::size_t keep = 64;               // blocks kept for reuse: 1 MiB

    explicit buffer_pool(memory_bound& charges);
    ~buffer_pool();
    buffer_pool(const buffer_pool&) = delete;
    buffer_pool& operator=(const buffer_pool&) = delete;

    // Of at least so many bytes; only those of the usual size come back. take() is for what cannot be done without and
    // counts whatever there is room for; take_if_room() gives none where the bound is reached.
    [[nodiscard]] block_ptr take(std::size_t bytes = block_bytes);
    [[nodiscard]] block_ptr take_if_room(std::size_t bytes);
    // Of hardly more than so many, which are at most small_bytes; likewise counted whatever there is room for.
    static constexpr std::size_t small_bytes = 4000; // with what is in front of them in the largest class of free_lists
    [[nodiscard]] block_ptr take_small(std::size_t bytes);
    // More are out than would be kept for reuse: what is saved now is saved for good.
    [[nodiscard]] bool is_crowded() const noexcept;

private:
    friend class block;
    struct shelf;
    [[nodiscard]] block_ptr make(std::size_t capacity); // which is counted already
    shelf* shelf_;                                      // shared with the blocks that are out
};

class block {
public:
    block(const block&) = delete;
    block& operator=(const block&) = delete;

    [[nodiscard]] char* data() noexcept { return reinterpret_cast<char*>(this + 1); }
    [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
    [[nodiscard]] bool is_shared() const noexcept { return references_ > 1; }

private:
    friend class buffer_pool;
    block(std::size_t capacity, buffer_pool::shelf& from) noexcept : capacity_(capacity), from_(from) {}
    void dispose() noexcept;
    friend void intrusive_ptr_add_ref(block* one) noexcept { ++one->references_; }
    friend void intrusive_ptr_release(block* one) noexcept {
        if (--one->references_ == 0) one->dispose();
    }

    std::size_t capacity_;
    std::size_t references_ = 0;
    buffer_pool::shelf& from_;
};

// Some bytes of a block, and a share in it; or none.
class shared_bytes {
public:
    shared_bytes() noexcept = default;
    shared_bytes(block_ptr owner, std::string_view bytes) noexcept : owner_(std::move(owner)), bytes_(bytes) {}

    [[nodiscard]] std::string_view view() const noexcept { return bytes_; } // as long as this
    [[nodiscard]] std::size_t size() const noexcept { return bytes_.size(); }
    [[nodiscard]] bool empty() const noexcept { return bytes_.empty(); }
    [[nodiscard]] const block_ptr& owner() const noexcept { return owner_; }
    // `part` lies within view().
    [[nodiscard]] shared_bytes part(std::string_view part) const { return {owner_, part}; }
    [[nodiscard]] shared_bytes from(std::size_t offset) const { return {owner_, bytes_.substr(offset)}; }

private:
    block_ptr owner_;
    std::string_view bytes_{};
};

// A body in a few pieces.
using body_pieces = boost::container::small_vector<shared_bytes, 3>;

// A copy of `text` in a block of its own, for what others are to share in.
[[nodiscard]] shared_bytes copy_to_block(buffer_pool& pool, std::string_view text);
[[nodiscard]] shared_bytes copy_to_block(block_ptr fresh, std::string_view text); // which has the capacity

} // namespace evenkeel::request
