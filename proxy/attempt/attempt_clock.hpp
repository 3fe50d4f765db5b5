#pragma once
// The clock of an attempt that reads a body: closes the exchange under the reader.

#include "proxy/attempt/attempt.hpp"

namespace evenkeel::request {

class attempt::body_clock final : public net::timer_entry {
public:
    explicit body_clock(attempt& owner) noexcept : owner_(owner) {}
    bool fired = false;

private:
    void on_timer() override {
        fired = true;
        if (owner_.exchange_) owner_.exchange_->close();
    }
    attempt& owner_;
};

} // namespace evenkeel::request
