#include "proxy/request/block.hpp"

#include <cstring>
#include <new>

namespace evenkeel::request {

struct buffer_pool::shelf {
    std::vector<block*> free;
    std::size_t out = 0;   // blocks that will come back
    bool closed = false;   // the pool is gone
};

buffer_pool::buffer_pool() : shelf_(new shelf) {
    shelf_->free.reserve(keep); // so that giving back never allocates
}

buffer_pool::~buffer_pool() {
    for (block* one : shelf_->free) ::operator delete(one);
    shelf_->free.clear();
    shelf_->closed = true;
    if (shelf_->out == 0) delete shelf_;
}

block_ptr buffer_pool::take() {
    void* place = nullptr;
    if (shelf_->free.empty()) {
        place = ::operator new(sizeof(block) + block_bytes); // not cleared on purpose
    } else {
        place = shelf_->free.back();
        shelf_->free.pop_back();
    }
    ++shelf_->out;
    return block_ptr(new (place) block(block_bytes, shelf_));
}

block_ptr buffer_pool::take(std::size_t bytes) {
    if (bytes <= block_bytes) return take();
    return block_ptr(new (::operator new(sizeof(block) + bytes)) block(bytes, nullptr));
}

void block::dispose() noexcept {
    if (charged_to_ != nullptr) charged_to_->give(capacity_);
    buffer_pool::shelf* const shelf = from_;
    if (shelf == nullptr) return ::operator delete(this);
    --shelf->out;
    if (!shelf->closed && shelf->free.size() < buffer_pool::keep) return shelf->free.push_back(this);
    ::operator delete(this);
    if (shelf->closed && shelf->out == 0) delete shelf;
}

shared_bytes copy_to_block(buffer_pool& pool, std::string_view text) {
    if (text.empty()) return {};
    block_ptr made = pool.take(text.size());
    std::memcpy(made->data(), text.data(), text.size());
    const std::string_view bytes{made->data(), text.size()};
    return {std::move(made), bytes};
}

} // namespace evenkeel::request
