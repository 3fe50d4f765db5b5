#include "proxy/attempt/hold.hpp"

#include "proxy/attempt/upcast.hpp"

#include <algorithm>
#include <utility>

namespace evenkeel::request {

namespace {
using telemetry::upcast_result;

constexpr std::size_t max_preamble = 64 * 1024; // of a stream without meaning; more commits it

held::failed cut(outcome_kind kind) { return {failed_with(kind), "http_response_incomplete"}; }
held::failed not_whole(bool silent) {
    return {failed_with(silent ? outcome_kind::timeout : outcome_kind::reset),
            silent ? "connection_read_timeout" : "http_response_incomplete"};
}
} // namespace

hold::hold(const hold_order& order, const wire::response_head& head, memory_bound& memory)
    : order_(order), head_(head), content_(content_of(head)), format_(stream_format_of(content_, order.rules)),
      part_(what_to_keep()), charge_(memory), kept_(memory) {
    if (!format_) return;
    stream_.emplace(*format_, order.rules.dialect, order.recognise);
    if (part_ != part::stream) return;
    // What is opaque commits at its first byte: it cannot be known to be whole.
    to_end_ = (order.streams_whole || order.upcast) && *format_ != wire::stream_format::opaque;
    if (order.upcast && *format_ == wire::stream_format::sse) assembler_.emplace(order.rules.dialect);
}

hold::part hold::what_to_keep() const noexcept {
    if (order_.what == holding::nothing) return part::nothing;
    if (head_.status >= 400) return part::error;
    if (order_.what == holding::errors) return part::nothing;
    if (format_) return part::stream;
    const bool too_large = head_.body.kind == wire::body_kind::length && head_.body.length > order_.hold_buffer;
    return too_large ? part::nothing : part::whole;
}

held_verdict hold::begin() const {
    if (order_.upcast && part_ == part::stream && !assembler_)
        return held::ask_plainly{upcast_result::unknown_field, "[no readable events]"};
    if (part_ != part::nothing) return held::more{};
    if (order_.what == holding::errors && is_no_answer(head_, content_, order_.rules))
        return cut(outcome_kind::protocol_error);
    return held::head{};
}

held_verdict hold::add(std::string_view piece, steady_time now, wall_time wall) {
    if (assembler_) return assemble(piece, now);
    const bool room = keep(piece);
    const auto fits = [&](std::uint64_t most) { return room && kept().size() <= most; };
    switch (part_) {
    case part::error:
        if (fits(wire::max_error_body - 1)) return held::more{};
        return judge_refusal(wall);
    case part::whole:
        if (fits(order_.hold_buffer)) return held::more{};
        return held::meaningful{};
    case part::stream: return judge_stream(piece, room, now);
    case part::nothing: break;
    }
    return held::head{};
}

held_verdict hold::judge_stream(std::string_view piece, bool room, steady_time now) {
    const bool spoke = stream_->has_meaning();
    const auto meaning = listen(piece, now);
    if (to_end_ && stream_->has_meaning()) {
        if (stream_->has_error()) return told_error();
        if (!room || kept().size() > order_.hold_buffer) return held::meaningful{};
        if (spoke) return held::more{};
        return held::progress{};
    }
    switch (meaning) {
    case wire::event_meaning::nothing:
        if (room && kept().size() <= max_preamble) return held::more{};
        break;
    case wire::event_meaning::meaningful: break;
    case wire::event_meaning::terminal: // perhaps over without having said anything
        if (!stream_->has_meaning()) return cut(outcome_kind::protocol_error);
        break;
    case wire::event_meaning::error: return told_error();
    case wire::event_meaning::malformed:
        return held::failed{failed_with(outcome_kind::protocol_error), "http_protocol_error"};
    }
    return held::meaningful{};
}

held_verdict hold::end(wall_time wall) {
    if (assembler_) return assemble_end(true, false);
    switch (part_) {
    case part::error: return judge_refusal(wall);
    case part::whole: {
        wire::error_facts facts;
        const auto problem = judge_whole(head_, content_, kept(), order_.rules, facts);
        if (!problem) return held::complete{};
        return held::failed{*problem, problem->has_answer ? std::string_view{} : "http_response_incomplete"};
    }
    case part::stream:
        if (stream_->end() == wire::event_meaning::error) return told_error();
        if (order_.rules.wants_content && !stream_->has_meaning()) return cut(outcome_kind::protocol_error);
        if (to_end_ && stream_->knows_terminal() && !stream_->has_terminal()) return cut(outcome_kind::reset);
        return held::complete{};
    case part::nothing: break;
    }
    return held::head{};
}

held_verdict hold::broken(bool silent, wall_time wall) {
    if (assembler_) return assemble_end(false, silent);
    // Everything has been said; only the connection's own end went wrong.
    if (to_end_ && says_whole() && stream_->between_events() && head_.body.kind != wire::body_kind::length)
        return held::complete{};
    held::failed lost = not_whole(silent);
    if (part_ == part::error) { // its status has said enough
        wire::error_facts facts;
        lost.outcome = judge_error(head_, content_, kept(), order_.rules, wall, facts);
        lost.outcome.has_answer = false;
    }
    return lost;
}

held_verdict hold::judge_refusal(wall_time wall) const {
    if (order_.upcast && blames_stream(head_.status, kept())) return held::ask_plainly{upcast_result::refused};
    wire::error_facts facts;
    return held::failed{judge_error(head_, content_, kept(), order_.rules, wall, facts)};
}

held_verdict hold::told_error() const { return held::failed{judge_error_event(stream_->error(), order_.rules)}; }

held_verdict hold::assemble(std::string_view piece, steady_time now) {
    const bool spoke = stream_->has_meaning();
    const auto meaning = listen(piece, now);
    if (stream_->has_error()) return told_error();
    if (meaning == wire::event_meaning::malformed)
        return held::failed{failed_with(outcome_kind::protocol_error), "http_protocol_error"};
    if (!assembler_->add(piece)) return held::ask_plainly{upcast_result::unknown_field, assembler_->unknown()};
    const std::uint64_t size = assembler_->size();
    if (size > order_.hold_buffer || (size > charged_ && !charge_.take(size - charged_)))
        return held::ask_plainly{upcast_result::too_large};
    charged_ = std::max(charged_, size);
    if (spoke || !stream_->has_meaning()) return held::more{};
    return held::progress{};
}

// Only a stream that breaks before all has been said has failed; what says all and is no answer yet is asked for again.
held_verdict hold::assemble_end(bool whole, bool silent) {
    if (stream_->end() == wire::event_meaning::error) return told_error();
    // What a broken connection leaves half said is no event.
    if (whole && !assembler_->end()) return held::ask_plainly{upcast_result::unknown_field, assembler_->unknown()};
    auto answer = assembler_->answer();
    if (!answer && assembler_->ended()) return held::ask_plainly{upcast_result::incomplete};
    if (!answer) return not_whole(silent);
    assembled_ = true;
    kept_.adopt(std::move(*answer));
    return held::complete{};
}

bool hold::keep(std::string_view piece) {
    if (lies_.data() == nullptr && kept_.empty()) {
        lies_ = piece;
        return true;
    }
    if (settle() && kept_.append(piece)) return true;
    kept_.add(piece); // it is here already, and goes out with the rest
    return false;
}

bool hold::settle() {
    if (lies_.data() == nullptr) return true;
    kept_.release();
    // No more than is kept; and of what there is no room for as a whole, no more than is here.
    const bool knows_size = part_ == part::whole && head_.body.kind == wire::body_kind::length;
    const bool room = !knows_size || kept_.expect(head_.body.length);
    kept_.add(lies_);
    lies_ = {};
    return room;
}

void hold::let_go() noexcept {
    lies_ = {};
    if (!kept_.empty()) kept_.release();
}

bool hold::says_whole() const noexcept {
    return to_end_ && (assembler_ ? assembler_->ended() : stream_->has_terminal());
}

bool hold::promises_json() const noexcept { return request::promises_json(head_, content_, order_.rules); }

wire::event_meaning hold::listen(std::string_view piece, steady_time now) {
    const auto before = stream_->meaningful_events();
    const auto meaning = stream_->read(piece);
    if (stream_->meaningful_events() > before) meant_at_ = now;
    return meaning;
}

} // namespace evenkeel::request
