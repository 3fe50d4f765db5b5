#include "proxy/message/block.hpp"

#include "policies/assert.hpp"

#include <algorithm>
#include <cstring>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace evenkeel::request {

namespace {
// A block on the shelf is nobody's: with the address sanitizer whoever still looks into it is found.
void poison([[maybe_unused]] void* place, [[maybe_unused]] std::size_t bytes) noexcept {
#if defined(__SANITIZE_ADDRESS__)
    __asan_poison_memory_region(place, bytes);
#endif
}
void unpoison([[maybe_unused]] void* place, [[maybe_unused]] std::size_t bytes) noexcept {
#if defined(__SANITIZE_ADDRESS__)
    __asan_unpoison_memory_region(place, bytes);
#endif
}
constexpr std::size_t shelved_bytes = sizeof(block) + buffer_pool::block_bytes;
} // namespace

struct buffer_pool::shelf {
    explicit shelf(memory_bound& charges) noexcept : bound(charges) {}
    memory_bound& bound;
    std::vector<block*> free;
    std::size_t out = 0; // blocks
    bool closed = false; // the pool is gone
};

buffer_pool::buffer_pool(memory_bound& charges) : shelf_(new shelf(charges)) {
    shelf_->free.reserve(keep); // so that giving back never allocates
}

buffer_pool::~buffer_pool() {
    for (block* one : shelf_->free) {
        unpoison(one, shelved_bytes);
        ::operator delete(one);
    }
    shelf_->free.clear();
    shelf_->closed = true;
    if (shelf_->out == 0) delete shelf_;
}

block_ptr buffer_pool::make(std::size_t capacity) {
    void* place = nullptr;
    if (capacity == block_bytes && !shelf_->free.empty()) {
        place = shelf_->free.back();
        shelf_->free.pop_back();
        unpoison(place, shelved_bytes);
    } else {
        place = ::operator new(sizeof(block) + capacity); // not cleared on purpose
    }
    ++shelf_->out;
    return block_ptr(new (place) block(capacity, *shelf_));
}

block_ptr buffer_pool::take(std::size_t bytes) {
    const std::size_t capacity = std::max(bytes, block_bytes);
    shelf_->bound.add(capacity);
    return make(capacity);
}

bool buffer_pool::is_crowded() const noexcept { return shelf_->out > keep; }

block_ptr buffer_pool::take_small(std::size_t bytes) {
    EVENKEEL_ASSERT(bytes <= small_bytes, "a small block for what is large");
    shelf_->bound.add(bytes);
    return make(bytes);
}

block_ptr buffer_pool::take_if_room(std::size_t bytes) {
    const std::size_t capacity = std::max(bytes, block_bytes);
    return shelf_->bound.take(capacity) ? make(capacity) : nullptr;
}

void block::dispose() noexcept {
    buffer_pool::shelf& shelf = from_;
    shelf.bound.give(capacity_);
    --shelf.out;
    if (capacity_ == buffer_pool::block_bytes && !shelf.closed && shelf.free.size() < buffer_pool::keep) {
        shelf.free.push_back(this);
        return poison(this, shelved_bytes);
    }
    ::operator delete(this);
    if (shelf.closed && shelf.out == 0) delete &shelf;
}

shared_bytes copy_to_block(buffer_pool& pool, std::string_view text) {
    return text.empty() ? shared_bytes{} : copy_to_block(pool.take(text.size()), text);
}

shared_bytes copy_to_block(block_ptr fresh, std::string_view text) {
    EVENKEEL_ASSERT(!fresh->is_shared() && text.size() <= fresh->capacity(),
                    "a copy into a block that is not free for it");
    std::memcpy(fresh->data(), text.data(), text.size());
    const std::string_view bytes{fresh->data(), text.size()};
    return {std::move(fresh), bytes};
}

} // namespace evenkeel::request
