#include "proxy/net/faulty_answer.hpp"

#include "proxy/net/chaos_words.hpp"
#include "proxy/wire/characters.hpp"
#include "proxy/wire/gate.hpp"
#include "proxy/wire/head_builder.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace evenkeel::net {

namespace {

// limits.max_header_bytes goes no further: the attempt's own bound decides.
constexpr std::size_t max_head_bytes = 1024 * 1024;
constexpr std::size_t max_stored_block = 65535; // RFC 1951 3.2.4

void append_little_endian(std::string& to, std::uint32_t number, int bytes) {
    for (int i = 0; i < bytes; ++i) to += static_cast<char>(number >> (8 * i) & 0xFFU);
}

// A head with framing of ours: its lines without those that say how long the body is, then `Transfer-Encoding:
// chunked`.
std::string reframed(std::string_view raw, std::string_view more) {
    std::string out = "HTTP/1.1";
    std::size_t at = raw.find(' ');
    std::size_t end = raw.find("\r\n");
    out.append(raw.substr(at, end + 2 - at));
    for (at = end + 2; (end = raw.find("\r\n", at)) != std::string_view::npos && end > at; at = end + 2) {
        const std::string_view line = raw.substr(at, end + 2 - at);
        const std::string_view name = line.substr(0, line.find(':'));
        if (wire::iequals(name, "content-length") || wire::iequals(name, "transfer-encoding") ||
            wire::iequals(name, "trailer"))
            continue;
        out.append(line);
    }
    return out.append(more).append("Transfer-Encoding: chunked\r\n\r\n");
}

bool is_media(const wire::response_head& head, std::string_view type) noexcept {
    const wire::field* found = head.find(wire::field_id::content_type);
    return found != nullptr && wire::istarts_with(found->value, type);
}

bool changes_length(chaos_fault is) noexcept {
    return is == chaos_fault::malformed || is == chaos_fault::stream_error || is == chaos_fault::gzip;
}

} // namespace

faulty_answer::faulty_answer(chaos_fault_options fault, wire::dialect which, bool head_request)
    : fault_(std::move(fault)), dialect_(which), head_request_(head_request) {
    if (fault_.spares_upstream()) make_local();
}

void faulty_answer::make_local() {
    if (fault_.is == chaos_fault::abort) {
        out_ = abort_answer(fault_, dialect_, head_request_);
        return stop(sequel::silence); // a connection that is kept says nothing behind its answer
    }
    if (fault_.is == chaos_fault::malformed) {
        out_ = "HTTP/1.1 2OO OK\r\nContent-Length: 0\r\n\r\n"; // two letters where digits belong
        return stop(sequel::end);
    }
    stop(fault_.is == chaos_fault::stall ? sequel::silence : sequel::reset);
}

void faulty_answer::consume(std::size_t bytes) noexcept {
    given_ += bytes;
    if (given_ < out_.size()) return;
    // What was given is forgotten; the place of the body moves with it.
    if (body_at_ != SIZE_MAX) body_at_ -= std::min(body_at_, given_);
    out_.clear();
    given_ = 0;
}

void faulty_answer::stop(sequel how) noexcept {
    then_ = how;
    phase_ = phase::over;
}

void faulty_answer::read(std::string_view bytes) {
    switch (phase_) {
    case phase::over: return;
    case phase::through: out_.append(bytes); return;
    case phase::body: return read_body(bytes);
    case phase::head: head_.append(bytes); return read_head();
    }
}

void faulty_answer::end() {
    if (phase_ == phase::over) return;
    if (phase_ == phase::head) out_ += std::exchange(head_, {});
    if (phase_ == phase::body && in_.kind == wire::body_kind::until_close) finish();
    if (phase_ != phase::over) stop(sequel::end);
}

void faulty_answer::read_head() {
    for (;;) {
        wire::response_head head;
        const auto result = wire::read_response_head(head_, {.max_head_bytes = max_head_bytes}, scanned_,
                                                     {.head_request = head_request_}, head);
        if (result.is == wire::head_result::state::need_more) return;
        if (result.is == wire::head_result::state::refused) {
            phase_ = phase::through;
            out_ += std::exchange(head_, {});
            return;
        }
        scanned_ = 0;
        if (head.status < 200) { // more heads follow
            out_.append(head_, 0, result.consumed);
            head_.erase(0, result.consumed);
            continue;
        }
        const std::string all = std::exchange(head_, {});
        begin_body(std::string_view{all}.substr(0, result.consumed), head);
        if (phase_ != phase::over) read(std::string_view{all}.substr(result.consumed));
        return;
    }
}

void faulty_answer::begin_body(std::string_view raw, const wire::response_head& head) {
    phase_ = phase::body;
    in_ = framing_ = head.body;
    remaining_ = head.body.length;
    const bool encoded = head.find(wire::field_id::content_encoding) != nullptr;
    lines_ = is_media(head, "application/x-ndjson") || is_media(head, "application/jsonl");
    if (head.status < 400 && !encoded && (lines_ || is_media(head, "text/event-stream"))) {
        shape_ = shape::events;
        borders_ = wire::event_borders{lines_ ? wire::stream_format::ndjson : wire::stream_format::sse};
    }
    const bool untouched = in_.kind == wire::body_kind::none || fault_.is == chaos_fault::latency ||
                           fault_.is == chaos_fault::drip || fault_.is == chaos_fault::split ||
                           (fault_.is == chaos_fault::gzip && encoded);
    if (!untouched && changes_length(fault_.is)) {
        framing_.kind = wire::body_kind::chunked;
        out_ += reframed(raw, fault_.is == chaos_fault::gzip ? "Content-Encoding: gzip\r\n" : "");
    } else {
        out_ += raw;
    }
    body_at_ = out_.size();
    if (untouched) {
        phase_ = phase::through;
    } else if (in_.kind == wire::body_kind::length && remaining_ == 0) {
        finish();
    }
}

void faulty_answer::read_body(std::string_view bytes) {
    switch (in_.kind) {
    case wire::body_kind::none: return;
    case wire::body_kind::until_close: return take(bytes);
    case wire::body_kind::length: {
        const auto data = bytes.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(remaining_, bytes.size())));
        remaining_ -= data.size();
        take(data);
        if (remaining_ == 0 && phase_ == phase::body) finish();
        return;
    }
    case wire::body_kind::chunked:
        while (phase_ == phase::body) {
            const auto step = decoder_.next(bytes);
            bytes.remove_prefix(step.consumed);
            switch (step.is) {
            case wire::chunk_decoder::state::need_more: return;
            case wire::chunk_decoder::state::data: take(step.data); break;
            case wire::chunk_decoder::state::done: return finish();
            case wire::chunk_decoder::state::refused: return stop(sequel::end); // broken already; cut here
            }
        }
    }
}

void faulty_answer::take(std::string_view data) {
    if (data.empty()) return;
    if (fault_.is == chaos_fault::gzip) return emit_compressed(data);
    if (fault_.after_bytes) {
        const std::uint64_t left = *fault_.after_bytes - std::min(*fault_.after_bytes, passed_);
        emit(data.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(left, data.size()))));
        if (data.size() >= left) happen();
        return;
    }
    return shape_ == shape::events ? take_events(data) : take_other(data);
}

void faulty_answer::take_events(std::string_view data) {
    const bool keeps_last = fault_.is == chaos_fault::truncate && !fault_.after_events;
    const std::int64_t due = fault_.after_events.value_or(0);
    while (!data.empty() && phase_ == phase::body) {
        if (!happened_ && !keeps_last && !halving_ && events_ >= due) {
            if (!fault_.mid_event) {
                happen();
                continue;
            }
            halving_ = true;
        }
        const auto step = borders_.through(data);
        const std::string_view piece = data.substr(0, step.bytes);
        data.remove_prefix(step.bytes);
        if (halving_) {
            held_.append(piece);
            if (!step.ended) continue;
            emit(std::string_view{held_}.substr(0, held_.size() / 2));
            happen();
        } else if (keeps_last) {
            if (std::exchange(held_whole_, false)) emit(std::exchange(held_, {}));
            held_.append(piece);
            held_whole_ = step.ended;
        } else {
            emit(piece);
            events_ += step.ended ? 1 : 0;
        }
    }
    // An event has ended: the fault does not wait for the next one to begin.
    if (phase_ == phase::body && !happened_ && !keeps_last && !fault_.mid_event && events_ >= due) happen();
}

void faulty_answer::take_other(std::string_view data) {
    if (fault_.is == chaos_fault::truncate) {
        if (fault_.after_events) return happen();
        if (!held_.empty()) emit(held_);
        emit(data.substr(0, data.size() - 1));
        held_.assign(1, data.back());
        return;
    }
    if (happened_) return emit(data);
    happen();
    if (fault_.is == chaos_fault::malformed) emit(data.substr(1));
}

// Ends the answer, or changes what goes on.
void faulty_answer::happen() {
    happened_ = true;
    switch (fault_.is) {
    case chaos_fault::reset: return stop(sequel::reset);
    case chaos_fault::stall: return stop(sequel::silence);
    case chaos_fault::truncate:
        end_framing();
        return stop(framing_.kind == wire::body_kind::chunked ? sequel::silence : sequel::end);
    case chaos_fault::stream_error:
        emit(shape_ == shape::events ? error_event(fault_, dialect_, lines_)
                                     : provider_error(dialect_, 503, fault_.code));
        end_framing();
        return stop(sequel::silence);
    case chaos_fault::malformed:
        if (shape_ == shape::other) return emit("!");
        return emit(lines_ ? "{\"message\":{\"content\":\n" : "data: {\"choices\":[{\"delta\":{\"content\":\n\n");
    case chaos_fault::latency:
    case chaos_fault::abort:
    case chaos_fault::connect_fail:
    case chaos_fault::drip:
    case chaos_fault::split:
    case chaos_fault::gzip: return;
    }
}

void faulty_answer::finish() {
    // Without what is held.
    if (fault_.is == chaos_fault::truncate && !fault_.after_events && !fault_.after_bytes) return happen();
    // An empty body.
    if (fault_.is == chaos_fault::stream_error && shape_ == shape::other && !happened_) return happen();
    if (!held_.empty()) emit(std::exchange(held_, {}));
    if (fault_.is == chaos_fault::gzip) {
        if (!gzip_begun_) emit_compressed({});
        std::string last("\x01\x00\x00\xFF\xFF", 5); // a last, empty stored block
        append_little_endian(last, crc_.checksum(), 4);
        append_little_endian(last, static_cast<std::uint32_t>(passed_), 4);
        const std::uint64_t size = passed_;
        emit(last);
        passed_ = size;
    }
    end_framing();
    // Whatever the upstream has to say after its answer, an injected connection carries no second one.
    stop(framing_.kind == wire::body_kind::until_close ? sequel::end : sequel::silence);
}

void faulty_answer::end_framing() {
    if (framing_.kind == wire::body_kind::chunked) out_ += "0\r\n\r\n";
}

void faulty_answer::emit(std::string_view data) {
    if (data.empty()) return;
    passed_ += data.size();
    if (framing_.kind != wire::body_kind::chunked) {
        out_.append(data);
        return;
    }
    std::array<char, 18> size_line;
    out_.append(wire::chunk_head(size_line.data(), data.size())).append(data).append(wire::chunk_tail);
}

// Stored blocks (RFC 1951 3.2.4): whoever reads gzip reads these, and nothing has to be compressed.
void faulty_answer::emit_compressed(std::string_view data) {
    const std::uint64_t before = passed_;
    crc_.process_bytes(data.data(), data.size());
    std::string block;
    if (!std::exchange(gzip_begun_, true)) block.assign("\x1F\x8B\x08\x00\x00\x00\x00\x00\x00\xFF", 10); // RFC 1952 2.3
    for (std::string_view left = data; !left.empty();) {
        const auto part = left.substr(0, max_stored_block);
        left.remove_prefix(part.size());
        block += '\0';
        append_little_endian(block, static_cast<std::uint32_t>(part.size()), 2);
        append_little_endian(block, ~static_cast<std::uint32_t>(part.size()), 2);
        block.append(part);
    }
    emit(block);
    passed_ = before + data.size(); // of the body as it was
}

} // namespace evenkeel::net
