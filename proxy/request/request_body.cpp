#include "proxy/request/request_body.hpp"

#include <boost/asio/buffer.hpp>

#include <algorithm>
#include <array>

namespace evenkeel::request {

namespace {
constexpr std::size_t read_size = buffer_pool::block_bytes;
}

request_body::request_body(net::loop& worker, net::client_stream& client, io_buffer& input, buffer_pool& buffers,
                           memory_bound& memory)
    : loop_(worker), client_(&client), input_(&input), memory_(memory), scratch_(buffers), pulled_(worker.executor()),
      released_(worker.executor()) {}

request_body::request_body(net::loop& worker, buffer_pool& buffers, memory_bound& memory)
    : loop_(worker), client_(nullptr), input_(nullptr), memory_(memory), scratch_(buffers), pulled_(worker.executor()),
      released_(worker.executor()) {}

request_body::~request_body() { memory_.give(charged_); }

void request_body::begin(const wire::body_framing& framing, const request_body_options& options, bool expect_continue) {
    framing_ = framing;
    options_ = options;
    expect_continue_ = expect_continue;
    if (framing.kind == wire::body_kind::none || (framing.kind == wire::body_kind::length && framing.length == 0)) {
        complete_ = true;
        return;
    }
    if (framing.kind == wire::body_kind::length) {
        if (framing.length > options.max_body) return fail(failure::refused, wire::refusal::body_too_large);
        const std::string_view here = input_->unread().substr(0, framing.length);
        input_->consume(here.size());
        if (here.size() == framing.length) { // the usual case: it came with the head
            in_place_ = here;
            position_ = here.size();
            complete_ = true;
        } else {
            accept(here);
        }
    } else {
        while (!complete_ && failure_ == failure::none && fresh_.empty() && decode(*input_)) {}
    }
    if (position_ > 0) expect_continue_ = false; // the client did not wait
}

void request_body::begin_whole(const wire::body_framing& framing, std::string_view body) noexcept {
    framing_ = framing;
    in_place_ = body;
    position_ = body.size();
    complete_ = true;
}

void request_body::fail(failure why, wire::refusal refused) noexcept {
    if (failure_ != failure::none) return;
    failure_ = why;
    refusal_ = refused;
}

bool request_body::hold(std::string_view data) {
    if (!holding_) return false;
    if (held_.size() + data.size() > options_.max_held || !memory_.take(data.size())) {
        stop_holding();
        return false;
    }
    charged_ += data.size();
    held_.append(data);
    return true;
}

void request_body::stop_holding() noexcept {
    holding_ = false;
    // What is held is let go only once the reader has passed it: see read().
}

void request_body::accept(std::string_view data) {
    if (data.empty()) return;
    fresh_ = {};
    if (!hold(data)) fresh_ = data;
    position_ += data.size();
    if (framing_.kind == wire::body_kind::length && position_ == framing_.length) complete_ = true;
    if (position_ > options_.max_body) fail(failure::refused, wire::refusal::body_too_large);
}

bool request_body::decode(io_buffer& from) {
    const auto decoded = decoder_.next(from.unread());
    from.consume(decoded.consumed);
    switch (decoded.is) {
    case wire::chunk_decoder::state::data:
        accept(decoded.data);
        return true;
    case wire::chunk_decoder::state::done:
        complete_ = true;
        return true;
    case wire::chunk_decoder::state::refused:
        fail(failure::refused, decoded.why);
        return true;
    case wire::chunk_decoder::state::need_more: break;
    }
    return false;
}

net::task<void> request_body::pull() {
    pulling_ = true;
    if (framing_.kind == wire::body_kind::chunked && (decode(*input_) || decode(scratch_))) {
        pulling_ = false;
        pulled_.set();
        co_return;
    }
    if (expect_continue_) {
        expect_continue_ = false;
        static constexpr std::string_view go_on = "HTTP/1.1 100 Continue\r\n\r\n";
        const std::array parts{boost::asio::const_buffer(go_on.data(), go_on.size())};
        if (const auto sent = co_await client_->write(parts); !sent.ok()) fail(failure::client_gone);
    }
    if (failure_ == failure::none) {
        scratch_.clear();
        auto room = scratch_.space(1, read_size);
        if (framing_.kind == wire::body_kind::length) { // never into the next request
            room = boost::asio::buffer(room, static_cast<std::size_t>(std::min<std::uint64_t>(room.size(), framing_.length - position_)));
        }
        loop_.timers().arm(*this, loop_.now() + options_.silence);
        const auto got = co_await client_->read_some(room);
        cancel();
        if (!got.ok()) {
            fail(timed_out_ ? failure::timeout : failure::client_gone);
        } else if (framing_.kind == wire::body_kind::length) {
            accept({static_cast<const char*>(room.data()), got.bytes});
        } else {
            scratch_.commit(got.bytes);
            static_cast<void>(decode(scratch_));
        }
    }
    pulling_ = false;
    pulled_.set();
}

void request_body::on_timer() {
    timed_out_ = true;
    client_->cancel_read();
}

net::task<request_body::step> request_body::read(std::uint64_t position) {
    ++readers_;
    const step result = co_await read_from(position);
    if (--readers_ == 0) released_.set();
    co_return result;
}

net::task<request_body::step> request_body::read_from(std::uint64_t position) {
    for (;;) {
        const std::string_view have = held();
        if (position < have.size()) co_return step{step::kind::data, have.substr(position)};
        if (!holding_ && !held_.empty()) {
            // The reader has passed all that was held, and nobody may start again: the memory goes back.
            held_ = {};
            memory_.give(charged_);
            charged_ = 0;
        }
        if (position < position_ && !fresh_.empty()) {
            const std::string_view data = fresh_;
            fresh_ = {};
            co_return step{step::kind::data, data};
        }
        if (failure_ != failure::none) co_return step{step::kind::failed, {}};
        if (complete_) co_return step{step::kind::end, {}};
        if (pulling_) {
            co_await pulled_.wait();
        } else {
            co_await pull();
        }
    }
}

net::task<bool> request_body::read_whole(std::uint64_t limit) {
    while (!complete_ && failure_ == failure::none && holding_ && held_.size() <= limit) co_await pull();
    co_return complete_;
}

void request_body::abandon() noexcept {
    if (failure_ == failure::none && !complete_) failure_ = failure::client_gone;
    if (pulling_) client_->cancel_read();
}

net::task<void> request_body::released() {
    while (readers_ > 0) co_await released_.wait();
}

} // namespace evenkeel::request
