#pragma once
// Leave to be served, from the route's bulkhead: it lives with the answer, so that it comes back when the last byte has
// been relayed or the client has left, whatever way that happens. Nothing more is done here than giving it back in
// time.
//
// Belongs to the worker of its request, and ends before the head of that request does (bulkhead.hpp, requester).

#include "policies/bulkhead.hpp"
#include "proxy/net/loop.hpp"

#include <utility>

namespace evenkeel::request {

class bulkhead_permit {
public:
    bulkhead_permit() noexcept = default;
    bulkhead_permit(bulkhead& from, bulkhead::slot which, net::loop& worker) noexcept
        : from_(&from), worker_(&worker), which_(which) {}
    bulkhead_permit(bulkhead_permit&& other) noexcept
        : from_(std::exchange(other.from_, nullptr)), worker_(other.worker_), which_(other.which_) {}
    bulkhead_permit& operator=(bulkhead_permit&& other) noexcept {
        std::swap(from_, other.from_);
        std::swap(worker_, other.worker_);
        std::swap(which_, other.which_);
        return *this;
    }
    ~bulkhead_permit() {
        if (from_ != nullptr && !from_->leave_unnoticed(which_)) from_->leave(which_, worker_->now());
    }

    explicit operator bool() const noexcept { return from_ != nullptr; }

private:
    bulkhead* from_ = nullptr;
    net::loop* worker_ = nullptr;
    bulkhead::slot which_ = 0;
};

} // namespace evenkeel::request
