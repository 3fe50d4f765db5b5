#include "proxy/message/request_body.hpp"

#include "policies/assert.hpp"

#include <boost/asio/buffer.hpp>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

namespace evenkeel::request {

namespace {
// Blocks that bodies are read into (chosen): the usual ones at first, since each counts whole against limits.memory
// from its first byte on and a client may stop there; larger ones, for fewer system calls, once the body has shown that
// it is large, or as soon as more is there than was read.
constexpr std::size_t largest_block = 64 * 1024;
constexpr std::size_t least_room = 2 * 1024; // in a block: less is not worth a read
// Of a body that is still coming so much is laid together for whoever looks into it.
constexpr std::uint64_t most_joined_early = 128 * 1024;
} // namespace

// Counts a coroutine in, and out however it ends.
class request_body::presence {
public:
    explicit presence(request_body& in, reader* as = nullptr) noexcept : in_(in), as_(as) {
        ++in_.inside_;
        if (as_ != nullptr) as_->inside_ = true;
    }
    ~presence() {
        if (as_ != nullptr) {
            as_->inside_ = false;
            if (as_->body_ == nullptr) return;
        }
        if (--in_.inside_ == 0) in_.progress_.notify();
    }
    presence(const presence&) = delete;
    presence& operator=(const presence&) = delete;

private:
    request_body& in_;
    reader* as_;
};

// One coroutine reads from the client at a time; the others are told when it has done so, however it ends.
class request_body::pulling {
public:
    explicit pulling(request_body& in, reader* as) : in_(in), as_(as) {
        EVENKEEL_ASSERT(!in_.pulling_, "two readers pull at once");
        in_.pulling_ = true;
    }
    ~pulling() {
        if (as_ != nullptr && as_->body_ == nullptr) return;
        in_.pulling_ = false;
        in_.cancel();
        in_.progress_.notify();
    }
    pulling(const pulling&) = delete;
    pulling& operator=(const pulling&) = delete;

private:
    request_body& in_;
    reader* as_;
};

request_body::request_body(net::loop& worker, net::client_stream& client, io_buffer& input, buffer_pool& buffers)
    : loop_(worker), client_(&client), input_(&input), buffers_(buffers), excess_(buffers),
      progress_(worker.executor()) {}

request_body::request_body(net::loop& worker, buffer_pool& buffers)
    : loop_(worker), client_(nullptr), input_(nullptr), buffers_(buffers), excess_(buffers),
      progress_(worker.executor()) {}

request_body::~request_body() {
    // With a loop that is torn down coroutines end in any order, never to go on.
    for (reader& one : readers_) one.body_ = nullptr;
}

void request_body::begin(const wire::body_framing& framing, const request_body_options& options, bool expect_continue) {
    framing_ = framing;
    options_ = options;
    rate_ = upload_rate{options.min_rate};
    expect_continue_ = expect_continue;
    if (framing.kind == wire::body_kind::none || (framing.kind == wire::body_kind::length && framing.length == 0)) {
        complete_ = true;
        return;
    }
    const shared_bytes here = input_->share(input_->unread());
    comes_fast_ = input_->full();
    if (framing.kind == wire::body_kind::length) {
        if (framing.length > options.max_body) return fail(failure::refused, wire::refusal::body_too_large);
        const std::string_view ours =
            here.view().substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(framing.length, here.size())));
        input_->consume(ours.size());
        accept(here.owner(), ours);
        if (complete_) holding_ = true; // the usual case: it lies behind its head, whatever it is allowed to take
    } else if (!here.empty()) {
        decode(here.owner(), input_->begin(), here.size(), input_);
    }
    if (position_ > 0) expect_continue_ = false; // the client did not wait
}

void request_body::begin_whole(const wire::body_framing& framing, shared_bytes body) {
    framing_ = framing;
    position_ = body.size();
    if (!body.empty()) pieces_.push_back(std::move(body));
    complete_ = true;
}

void request_body::fail(failure why, wire::refusal refused) noexcept {
    if (failure_ != failure::none) return;
    failure_ = why;
    refusal_ = refused;
}

void request_body::accept(const block_ptr& in, std::string_view data) {
    if (data.empty()) return;
    const bool goes_on = !pieces_.empty() && pieces_.back().owner() == in &&
                         pieces_.back().view().data() + pieces_.back().size() == data.data();
    if (goes_on) {
        shared_bytes& last = pieces_.back();
        last = shared_bytes{last.owner(), {last.view().data(), last.size() + data.size()}};
    } else {
        pieces_.emplace_back(in, data);
    }
    position_ += data.size();
    if (framing_.kind == wire::body_kind::length && position_ == framing_.length) complete_ = true;
    if (position_ - dropped_ > options_.max_held) holding_ = false;
    if (position_ > options_.max_body) fail(failure::refused, wire::refusal::body_too_large);
}

// `raw`: chunked bytes, which nobody else has seen. The data of all chunks is moved together to their beginning. What
// lies behind the body stays unread in `rest_stays`, of which `raw` is then all, or is kept for the next request.
void request_body::decode(const block_ptr& in, char* raw, std::size_t size, io_buffer* rest_stays) {
    char* const start = raw;
    std::size_t data = 0, at = 0;
    bool refused = false;
    for (;;) {
        const auto decoded = decoder_.next({raw + at, size - at});
        if (!decoded.data.empty()) {
            if (decoded.data.data() != start + data)
                std::memmove(start + data, decoded.data.data(), decoded.data.size());
            data += decoded.data.size();
        }
        at += decoded.consumed;
        complete_ = decoded.is == wire::chunk_decoder::state::done;
        refused = decoded.is == wire::chunk_decoder::state::refused;
        if (refused) fail(failure::refused, decoded.why);
        if (complete_ || refused || decoded.is == wire::chunk_decoder::state::need_more) break;
    }
    if (rest_stays != nullptr) {
        rest_stays->consume(complete_ ? at : size);
    } else {
        tail_used_ += data;
        if (complete_ && at < size) {
            const auto space = excess_.space(size - at, size - at);
            std::memcpy(space.data(), raw + at, size - at);
            excess_.commit(size - at);
        }
    }
    accept(in, {start, data});
}

shared_bytes request_body::at(std::uint64_t position) const {
    std::uint64_t begin = dropped_;
    for (const shared_bytes& one : pieces_) {
        if (position < begin + one.size()) return one.from(static_cast<std::size_t>(position - begin));
        begin += one.size();
    }
    return {};
}

// Whoever asks for more is at the frontier; who is not stands in the way.
void request_body::outrun_others() noexcept {
    for (reader& each : readers_) each.outrun_ = each.outrun_ || each.position_ != position_;
}

// What every reader has passed, once not all is held.
void request_body::drop_passed() noexcept {
    if (holding_ || readers_.empty()) return;
    std::uint64_t slowest = position_;
    for (const reader& one : readers_) {
        if (!one.outrun_) slowest = std::min(slowest, one.position_);
    }
    auto kept = pieces_.begin();
    for (; kept != pieces_.end() && dropped_ + kept->size() <= slowest; ++kept) dropped_ += kept->size();
    pieces_.erase(pieces_.begin(), kept);
}

block_ptr request_body::take_block(std::size_t bytes) {
    // The first one is needed to pass the body on at all. It is taken whatever there is room for, so what lies in it
    // may as well be held, like what came with the head.
    if (!tail_ && bytes <= buffer_pool::block_bytes) return buffers_.take();
    const auto take = [&]() -> block_ptr {
        if (position_ - dropped_ >= options_.max_held) return nullptr;
        block_ptr made = buffers_.take_if_room(bytes);
        lacked_memory_ = lacked_memory_ || !made;
        return made;
    };
    if (block_ptr made = take()) return made;
    holding_ = false;
    drop_passed(); // nothing, before there is a reader: whoever comes first reads from the first byte
    if (block_ptr made = take()) return made;
    if (!readers_.empty()) outrun_others();
    drop_passed();
    return buffers_.take(); // one is needed to pass the body on at all
}

// As long as there is room for it: else the usual one, which is taken whatever there is room for.
block_ptr request_body::take_larger_block(std::uint64_t missing) const {
    if (!comes_fast_ || position_ >= largest_block || missing <= buffer_pool::block_bytes) return nullptr;
    if (position_ - dropped_ >= options_.max_held) return nullptr;
    return buffers_.take_if_room(static_cast<std::size_t>(std::min<std::uint64_t>(missing, largest_block)));
}

boost::asio::mutable_buffer request_body::room() {
    const std::uint64_t missing = framing_.kind == wire::body_kind::length ? framing_.length - position_ : UINT64_MAX;
    const std::size_t left = tail_ ? tail_->capacity() - tail_used_ : 0;
    if (left < std::min<std::uint64_t>(missing, least_room)) {
        const std::size_t wanted = position_ >= largest_block ? largest_block : buffer_pool::block_bytes;
        block_ptr larger = take_larger_block(missing);
        tail_ =
            larger ? std::move(larger) : take_block(static_cast<std::size_t>(std::min<std::uint64_t>(missing, wanted)));
        tail_used_ = 0;
    }
    // Never into the next request.
    return {tail_->data() + tail_used_,
            static_cast<std::size_t>(std::min<std::uint64_t>(missing, tail_->capacity() - tail_used_))};
}

net::task<void> request_body::pull(reader* as) {
    const pulling now(*this, as);
    if (std::exchange(expect_continue_, false)) {
        static constexpr std::string_view go_on = "HTTP/1.1 100 Continue\r\n\r\n";
        std::array buffers{boost::asio::const_buffer(go_on.data(), go_on.size())};
        std::span<boost::asio::const_buffer> left = buffers;
        net::io_result sent = client_->write_now(left);
        if (sent.ok() && !left.empty()) sent = co_await client_->write(left);
        if (!sent.ok()) fail(failure::client_gone);
    }
    if (failure_ != failure::none) co_return;
    const auto space = room();
    const block_ptr in = tail_;
    const steady_time asked = loop_.now();
    loop_.timers().arm(*this, std::min(asked + options_.silence, until_));
    const auto got = co_await client_->read_some(space);
    comes_fast_ = got.bytes == space.size();
    if (!got.ok()) {
        const failure late = loop_.now() >= until_ ? failure::too_late : failure::timeout;
        fail(timed_out_ ? late : failure::client_gone);
    } else if (framing_.kind == wire::body_kind::length) {
        tail_used_ += got.bytes;
        accept(in, {static_cast<const char*>(space.data()), got.bytes});
    } else {
        decode(in, static_cast<char*>(space.data()), got.bytes, nullptr);
    }
    if (got.ok() && !rate_.note(got.bytes, loop_.now() - asked) && !complete_) fail(failure::too_slow);
    if (complete_ || failure_ != failure::none) tail_.reset();
}

void request_body::on_timer() {
    timed_out_ = true;
    client_->cancel_read();
}

request_body::reader::reader(request_body& of) : body_(&of), outrun_(of.dropped_ != 0) { of.readers_.push_back(*this); }

request_body::reader::~reader() {
    EVENKEEL_ASSERT(!inside_, "a reader ends inside next()");
    if (body_ == nullptr || !is_linked()) return;
    unlink();
    body_->drop_passed();
}

net::task<request_body::step> request_body::reader::next() {
    EVENKEEL_ASSERT(!inside_, "one reader is asked twice at once");
    if (body_ == nullptr) co_return step{step::kind::failed};
    request_body& body = *body_;
    const presence here(body, this);
    step out{step::kind::failed};
    for (;;) {
        if (outrun_) break;
        if (position_ < body.position_) {
            out = {step::kind::data, body.at(position_)};
            position_ += out.data.size();
            body.drop_passed();
            break;
        }
        if (body.failure_ != failure::none) break;
        if (body.complete_) {
            out.is = step::kind::end;
            break;
        }
        if (body.pulling_) {
            co_await body.progress_.wait();
        } else {
            co_await body.pull(this);
        }
        EVENKEEL_ASSERT(body_ != nullptr, "a request body has ended while an attempt was reading it: see released()");
    }
    co_return out;
}

net::task<bool> request_body::read_whole(std::uint64_t limit, steady_time until) {
    EVENKEEL_ASSERT(readers_.empty(), "a body is read ahead while an attempt reads it");
    const presence here(*this);
    if (!take_block_for_all()) {
        holding_ = false;
        co_return false;
    }
    until_ = until;
    while (!complete_ && failure_ == failure::none && holding_ && position_ <= limit) co_await pull(nullptr);
    until_ = steady_time::max();
    co_return complete_;
}

// What has come is copied to its front, so that whoever looks into the body finds it in one piece.
bool request_body::take_block_for_all() {
    if (framing_.kind != wire::body_kind::length || framing_.length > options_.max_held) return true;
    if (framing_.length - position_ <= buffer_pool::block_bytes) return true;
    block_ptr all = buffers_.take_if_room(static_cast<std::size_t>(framing_.length));
    if (!all) {
        lacked_memory_ = true;
        return false;
    }
    tail_used_ = copy_pieces(*all);
    const std::string_view here{all->data(), tail_used_};
    pieces_.clear();
    if (!here.empty()) pieces_.emplace_back(all, here);
    tail_ = std::move(all);
    return true;
}

std::size_t request_body::copy_pieces(block& to) const noexcept {
    std::size_t size = 0;
    for (const shared_bytes& one : pieces_) {
        std::memcpy(to.data() + size, one.view().data(), one.size());
        size += one.size();
    }
    return size;
}

shared_bytes request_body::text() const {
    if (dropped_ != 0 || pieces_.empty()) return {};
    if (pieces_.size() == 1) return pieces_.front();
    if (!complete_ && position_ > most_joined_early) return pieces_.front();
    // Laid together once, whatever there is room for: the pieces go as soon as nobody writes from them.
    block_ptr all = buffers_.take(static_cast<std::size_t>(position_));
    const std::size_t size = copy_pieces(*all);
    const std::string_view bytes{all->data(), size};
    pieces_.clear();
    pieces_.emplace_back(std::move(all), bytes);
    return pieces_.front();
}

void request_body::let_go() noexcept {
    holding_ = false;
    drop_passed();
    if (!readers_.empty()) return;
    dropped_ = position_;
    pieces_.clear();
    if (!pulling_) tail_.reset();
}

void request_body::abandon() noexcept {
    if (complete_) return;
    if (failure_ == failure::none) failure_ = failure::client_gone;
    if (pulling_) client_->cancel_read();
}

net::task<void> request_body::released() {
    while (inside_ > 0) co_await progress_.wait();
}

} // namespace evenkeel::request
