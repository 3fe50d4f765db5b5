#include "proxy/attempt/upstream_call.hpp"

#include "policies/assert.hpp"
#include "proxy/wire/gate.hpp"
#include "proxy/wire/head_builder.hpp"

#include <boost/asio/error.hpp>
#include <boost/container/small_vector.hpp>
#include <boost/container/static_vector.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <utility>

namespace evenkeel::request {

namespace {
constexpr int max_interim_heads = 16; // 1xx answers per response (reference: threats, row 10)

using boost::container::static_vector;

boost::asio::const_buffer buffer_of(std::string_view bytes) noexcept { return {bytes.data(), bytes.size()}; }
} // namespace

upstream_call::upstream_call(buffer_pool& buffers, std::unique_ptr<net::exchange> over,
                             std::shared_ptr<net::transport> through)
    : through_(std::move(through)), owned_(std::move(over)), exchange_(*owned_), in_(buffers), head_block_(buffers) {}

upstream_call::upstream_call(buffer_pool& buffers, net::exchange& lent)
    : exchange_(lent), in_(buffers), head_block_(buffers) {}

// One gather write for head and body, which owns what it is written from: the body may be let go of while the write
// still waits for room.
struct upstream_call::gathered {
    static_vector<boost::asio::const_buffer, request_body::most_pieces + 3> buffers;
    static_vector<shared_bytes, request_body::most_pieces> body;
    std::array<char, 18> size_line;
    std::size_t body_size = 0;
    std::size_t size = 0;

    void add(std::string_view bytes) {
        buffers.push_back(buffer_of(bytes));
        size += bytes.size();
    }
    void drop(std::size_t bytes) {
        auto first = buffers.begin();
        for (; first != buffers.end() && bytes >= first->size(); ++first) bytes -= first->size();
        buffers.erase(buffers.begin(), first);
        if (!buffers.empty()) buffers.front() += bytes;
    }
};

upstream_call::~upstream_call() = default;

bool upstream_call::gather(const upstream_request& what, gathered& out) {
    const bool from_client = what.whole.empty() && what.body != nullptr;
    if (from_client && !what.body->whole()) return false;
    const std::span<const shared_bytes> source = from_client ? what.body->pieces() : what.whole;
    for (const shared_bytes& one : source) out.body_size += one.size();
    if (out.body_size > inline_body_bytes || source.size() > out.body.capacity()) return false;
    if (from_client && out.body_size != what.body->received()) return false; // in too many pieces
    const bool chunked = from_client && what.body->framing().kind == wire::body_kind::chunked;
    out.add(what.head);
    if (chunked && !source.empty()) out.add(wire::chunk_head(out.size_line.data(), out.body_size));
    for (const shared_bytes& one : source) out.add(out.body.emplace_back(one).view());
    if (chunked) out.add(source.empty() ? wire::last_chunk : std::string_view{"\r\n0\r\n\r\n"});
    return true;
}

bool upstream_call::send(const upstream_request& what) {
    body_ = what.body;
    max_head_ = what.max_response_head;
    head_request_ = what.head_request;
    clock_ = what.clock;
    sending_ = sending::running;
    gathered all;
    if (!gather(what, all)) {
        what.uploads->spawn(
            upload(shared_from_this(), std::string{what.head}, body_pieces{what.whole.begin(), what.whole.end()}));
        return true;
    }
    std::span<boost::asio::const_buffer> buffers{all.buffers.data(), all.buffers.size()};
    const net::io_result sent = exchange_.write_now(buffers);
    sent_any_ = sent.bytes > 0;
    if (!sent.ok() || sent.bytes == all.size) {
        wrote(sent, all.body_size);
        return true;
    }
    rest_ = std::make_unique<gathered>();
    static_cast<void>(gather(what, *rest_));
    rest_->drop(sent.bytes);
    return false;
}

net::task<void> upstream_call::send_rest() {
    EVENKEEL_ASSERT(rest_, "nothing is left to send");
    const std::span<const boost::asio::const_buffer> left{rest_->buffers.data(), rest_->buffers.size()};
    writing_ = true;
    const net::io_result sent = co_await exchange_.write(left);
    writing_ = false;
    sent_any_ = sent_any_ || sent.bytes > 0;
    const auto done = std::move(rest_);
    wrote(sent, done->body_size);
}

// A failed write does not end the call: the answer that explains it may be there to read.
void upstream_call::wrote(const net::io_result& sent, std::size_t body_size) noexcept {
    sending_ = sent.ok() ? sending::done : sending::broken;
    if (sent.ok()) bytes_sent_ = body_size;
}

net::task<net::io_result> upstream_call::read_head() { return exchange_.read_late(*this); }

std::optional<std::string_view> upstream_call::answered(const net::io_result& got) {
    if (!got.ok()) return in_.empty() ? "connection_terminated" : "http_response_incomplete";
    in_.commit(got.bytes);
    if (take_heads()) return std::string_view{};
    if (refused_ != wire::refusal::none) return "http_protocol_error";
    if (closed_) return "connection_terminated";
    if (room().size() > 0) return std::nullopt;
    refused_ = wire::refusal::head_too_large;
    return "http_response_header_section_size";
}

// Interim answers are for us: we asked for none, and the client's own Expect was answered here.
bool upstream_call::take_heads() {
    do {
        const auto result = wire::read_response_head(in_.unread(), {.max_head_bytes = max_head_}, scanned_,
                                                     {.head_request = head_request_}, head_);
        if (result.is == wire::head_result::state::need_more) return false;
        scanned_ = 0;
        refused_ = result.why;
        in_.consume(result.consumed);
        if (refused_ == wire::refusal::none && head_.status < 200 && ++interim_ > max_interim_heads)
            refused_ = wire::refusal::too_many_interim;
        if (refused_ != wire::refusal::none) return false;
    } while (head_.status < 200);
    remaining_ = head_.body.length;
    return true;
}

// Head and body go out while the answer is already being read.
net::task<void> upstream_call::upload(std::shared_ptr<upstream_call> self, std::string head, body_pieces whole) {
    try {
        if (whole.empty()) {
            co_await self->send_as_it_comes(head);
        } else {
            co_await self->send_whole(head, whole);
        }
    } catch (...) {
        self->sending_ = sending::withdrawn;
        self->exchange_.close(); // whoever reads the answer reports
        throw;
    }
}

net::task<void> upstream_call::send_whole(std::string_view head, const body_pieces& whole) {
    if (body_ == nullptr) co_return;
    boost::container::small_vector<boost::asio::const_buffer, 4> buffers{buffer_of(head)};
    std::size_t together = head.size();
    for (const shared_bytes& one : whole) {
        for (std::string_view rest = one.view(); !rest.empty();) {
            const std::string_view next = rest.substr(0, most_together - std::min(together, most_together));
            if (!next.empty()) buffers.push_back(buffer_of(next));
            together += next.size();
            rest.remove_prefix(next.size());
            if (together < most_together) continue;
            std::span<boost::asio::const_buffer> left{buffers.data(), buffers.size()};
            if (!went_out(exchange_.write_now(left))) co_return;
            if (!left.empty()) {
                writing_ = true;
                const net::io_result sent = co_await exchange_.write(left);
                writing_ = false;
                if (!went_out(sent)) co_return;
            }
            buffers.clear();
            together = 0;
        }
    }
    if (!buffers.empty()) {
        std::span<boost::asio::const_buffer> left{buffers.data(), buffers.size()};
        if (!went_out(exchange_.write_now(left))) co_return;
        if (!left.empty()) {
            writing_ = true;
            const net::io_result sent = co_await exchange_.write(left);
            writing_ = false;
            if (!went_out(sent)) co_return;
        }
    }
    sending_ = sending::done;
}

// False: nothing more is to be sent.
bool upstream_call::went_out(const net::io_result& sent) noexcept {
    if (body_ == nullptr) return false;
    sent_any_ = sent_any_ || sent.bytes > 0;
    bytes_sent_ += sent.bytes;
    if (sent.bytes > 0) moved();
    if (!sent.ok()) sending_ = sending::broken;
    return sent.ok();
}

net::task<void> upstream_call::send_as_it_comes(std::string_view head) {
    if (body_ == nullptr) co_return;
    const bool chunked = body_->framing().kind == wire::body_kind::chunked;
    request_body::reader source(*body_);
    bool head_sent = false;
    for (;;) {
        request_body::step step;
        if (!head_sent && body_->received() == 0) {
            step.is = request_body::step::kind::data; // the head goes ahead of the first byte of a slow client
        } else {
            waits_for_client_ = true;
            step = co_await source.next();
            waits_for_client_ = false;
            if (body_ == nullptr) co_return;
            moved(); // what was waited for was the client
        }
        std::array<boost::asio::const_buffer, 4> buffers;
        std::size_t count = 0;
        std::array<char, 18> size_line;
        const auto add = [&](std::string_view bytes) { buffers[count++] = buffer_of(bytes); };
        if (!head_sent) add(head);
        head_sent = true;
        const bool last = step.is == request_body::step::kind::end;
        if (step.is == request_body::step::kind::failed) {
            sending_ = source.outrun() ? sending::withdrawn : sending::broken;
            exchange_.close(); // the reader reports: what was promised upstream cannot be kept
            co_return;
        }
        if (!step.data.empty()) {
            if (chunked) add(wire::chunk_head(size_line.data(), step.data.size()));
            add(step.data.view());
            if (chunked) add(wire::chunk_tail);
        } else if (last && chunked) {
            add(wire::last_chunk);
        }
        if (count > 0) {
            std::span<boost::asio::const_buffer> left{buffers.data(), count};
            net::io_result sent = exchange_.write_now(left);
            sent_any_ = sent_any_ || sent.bytes > 0;
            if (sent.ok() && !left.empty()) {
                writing_ = true;
                sent = co_await exchange_.write(left);
                writing_ = false;
                if (body_ == nullptr) co_return;
                sent_any_ = sent_any_ || sent.bytes > 0;
            }
            if (!sent.ok()) {
                sending_ = sending::broken; // an early answer may still be there to read
                co_return;
            }
            moved();
        }
        bytes_sent_ += step.data.size();
        if (last) {
            sending_ = sending::done;
            co_return;
        }
    }
}

void upstream_call::stop_sending() noexcept {
    if (sending_ != sending::running) return;
    sending_ = sending::broken;
    body_ = nullptr;
}

void upstream_call::release_head() noexcept {
    head_block_.release();
    head_gone_ = true;
}

upstream_call::piece upstream_call::deliver(std::string_view data) noexcept {
    bytes_received_ += data.size();
    return {.is = piece::kind::data, .data = data};
}

std::optional<upstream_call::piece> upstream_call::ready() {
    if (head_.body.kind == wire::body_kind::chunked) return ready_chunks();
    whole_ = whole_ || head_.body.kind == wire::body_kind::none || (is_counted() && remaining_ == 0);
    if (whole_) return piece{};
    std::string_view data = in_.unread();
    if (is_counted()) {
        data = data.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(remaining_, data.size())));
        remaining_ -= data.size();
    }
    if (data.empty()) return std::nullopt;
    in_.consume(data.size());
    piece found = deliver(data);
    found.last = is_counted() && remaining_ == 0;
    return found;
}

// The data of all chunks at hand is moved together, so that one read upstream is one write downstream. What came in
// front of a chunk that is none is good, and goes first.
std::optional<upstream_call::piece> upstream_call::ready_chunks() {
    char* start = nullptr;
    std::size_t size = 0;
    bool more = true;
    while (more && !chunks_.done() && refused_ == wire::refusal::none) {
        char* const here = in_.begin();
        const auto step = chunks_.next(in_.unread());
        if (step.is == wire::chunk_decoder::state::data) {
            char* const data = here + (step.data.data() - here);
            if (start == nullptr) {
                start = data;
            } else {
                std::memmove(start + size, data, step.data.size());
            }
            size += step.data.size();
        }
        in_.consume(step.consumed);
        refused_ = step.why;
        more = step.is != wire::chunk_decoder::state::need_more;
    }
    if (size > 0) return deliver({start, size});
    if (refused_ != wire::refusal::none) {
        end();
        return piece{.is = piece::kind::broken};
    }
    if (!chunks_.done()) return std::nullopt;
    whole_ = true;
    return piece{};
}

net::task<net::io_result> upstream_call::read() {
    if (!head_gone_ && !head_block_.holds_block()) head_block_ = std::move(in_);
    in_.release(); // whoever waits for an answer to go on holds no buffer
    return exchange_.read_late(*this);
}

bool upstream_call::arrived(const net::io_result& got) {
    if (got.ok()) {
        in_.commit(got.bytes);
        return true;
    }
    // Only a clean end of the connection ends a body that has no length of its own; TLS without close_notify and a
    // reset are no clean ends.
    whole_ = !closed_ && head_.body.kind == wire::body_kind::until_close && got.error == boost::asio::error::eof;
    return whole_;
}

// What follows the message without having been asked for poisons the connection; so does what lies in front of the next
// request because an upstream that refused a large one has not read it, and never will.
bool upstream_call::is_reusable() const noexcept {
    const bool all_read = sending_ == sending::done && (head_.status < 400 || bytes_sent_ <= inline_body_bytes);
    return whole_ && !closed_ && in_.empty() && head_.keep_alive && all_read;
}

void upstream_call::end() noexcept {
    if (std::exchange(ended_, true)) return;
    body_ = nullptr;
    if (is_reusable()) {
        exchange_.recycle(std::chrono::seconds{head_.keep_alive_timeout_seconds});
    } else {
        exchange_.close();
    }
}

void upstream_call::close() noexcept {
    if (ended_) return;
    closed_ = true;
    body_ = nullptr;
    exchange_.close();
}

} // namespace evenkeel::request
