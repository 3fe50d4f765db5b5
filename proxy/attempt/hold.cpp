#include "proxy/attempt/hold.hpp"

#include "proxy/attempt/upcast.hpp"

#include <algorithm>
#include <utility>

namespace evenkeel::request {

namespace {
using telemetry::upcast_result;

held::failed cut(outcome_kind kind) { return {failed_with(kind), "http_response_incomplete"}; }
held::failed not_whole(bool silent) {
    return {failed_with(silent ? outcome_kind::timeout : outcome_kind::reset),
            silent ? "connection_read_timeout" : "http_response_incomplete"};
}
} // namespace

hold::hold(const hold_order& order, const wire::response_head& head, memory_bound& memory)
    : order_(order), head_(head), content_(content_of(head)), format_(stream_format_of(content_, order.rules)),
      part_(what_to_keep()), charge_(memory), kept_(memory), said_(memory) {
    // Not where it is nobody's to judge: a file may be compressed, and a part of one cannot be decoded.
    const bool judged = head.status >= 400 || (head.status == 200 && (format_ || order.rules.wants_content));
    if (content_.encoded && content_.decodable && judged) decoder_.emplace(content_.coding);
    may_tell_ = order.rules.tokens != wire::token_use::none && head.status == 200 && (!content_.encoded || decoder_);
    if (format_) be_stream();
}

void hold::be_stream() {
    stream_.emplace(*format_, order_.rules.dialect, order_.recognise);
    if (part_ != part::stream) return;
    // What is opaque commits at its first byte: it cannot be known to be whole.
    to_end_ = (order_.streams_whole || order_.upcast) && *format_ != wire::stream_format::opaque;
    if (order_.upcast && *format_ == wire::stream_format::sse) assembler_.emplace(order_.rules.dialect);
}

// From now on it is passed on as it comes.
void hold::be_unread() noexcept {
    content_.decodable = false;
    decoder_.reset();
    said_.release();
    to_end_ = false;
    if (!format_) return;
    format_ = wire::stream_format::opaque;
    stream_.emplace(*format_, order_.rules.dialect, false);
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
    const bool room = assembler_ || keep(piece);
    return decoder_ ? decode(piece, room, now, wall) : judge(piece, room, now, wall);
}

// The last word of a piece counts, but for what was decided before it.
held_verdict hold::decode(std::string_view piece, bool room, steady_time now, wall_time wall) {
    held_verdict found = held::more{};
    decoder_->take(piece);
    while (const auto text = decoder_->next()) {
        const bool open = std::holds_alternative<held::more>(found) || std::holds_alternative<held::progress>(found);
        if (!open) { // heard all the same: the body goes on from here
            if (stream_) hear(*text, now);
            continue;
        }
        const bool fits = part_ == part::stream || said_.append(*text);
        held_verdict next = judge(*text, room && fits, now, wall);
        if (!std::holds_alternative<held::more>(next)) found = next;
    }
    if (!decoder_->corrupt() && !decoder_->refused()) return found;
    if (part_ == part::error) return judge_refusal(wall); // by its status, and by what could be read
    if (decoder_->corrupt())
        return held::failed{failed_with(outcome_kind::protocol_error), "http_response_content_coding"};
    if (assembler_) return held::ask_plainly{upcast_result::too_large};
    be_unread();
    return held::meaningful{};
}

held_verdict hold::judge(std::string_view text, bool room, steady_time now, wall_time wall) {
    if (begins_.is() == wire::body_beginning::kind::unknown && order_.rules.wants_content && head_.status == 200) {
        const part before = part_;
        find_out(text);
        if (before == part::whole && part_ == part::stream) return judge_late_stream(now);
        if (before == part::stream && part_ == part::whole && decoder_) said_.add(text);
    }
    if (assembler_) return assemble(text, now);
    const auto fits = [&](std::uint64_t most) { return room && kept().size() <= most && said().size() <= most; };
    switch (part_) {
    case part::error:
        if (fits(wire::max_error_body - 1)) return held::more{};
        return judge_refusal(wall);
    case part::whole:
        if (fits(order_.hold_buffer)) return held::more{};
        return held::meaningful{};
    case part::stream: return judge_stream(text, room, now);
    case part::nothing: break;
    }
    return held::head{};
}

// All of it, from its beginning.
held_verdict hold::judge_late_stream(steady_time now) {
    if (!assembler_) return judge_stream(said(), true, now);
    held_verdict found = assemble(said(), now);
    let_go(); // what is put together takes its place
    return found;
}

// A stream whatever it is called, or none though it is called one.
void hold::find_out(std::string_view text) {
    const auto is = begins_.read(text);
    const bool asked = order_.rules.wants_stream || order_.upcast;
    if (is == wire::body_beginning::kind::events && asked && format_ != wire::stream_format::sse) {
        format_ = wire::stream_format::sse;
        if (part_ == part::whole) part_ = part::stream;
        be_stream();
    } else if (is == wire::body_beginning::kind::json && format_ == wire::stream_format::sse && !assembler_) {
        format_.reset();
        stream_.reset();
        to_end_ = false;
        content_.is = content_facts::kind::json;
        if (part_ == part::stream) part_ = part::whole;
    }
}

bool hold::turns_out_stream(std::string_view piece) {
    if (begins_.is() != wire::body_beginning::kind::unknown || !order_.rules.wants_content || head_.status != 200 ||
        content_.encoded)
        return false;
    const std::string begun{begins_.begun()};
    const bool was = format_ == wire::stream_format::sse;
    find_out(piece);
    if (was || format_ != wire::stream_format::sse) return false;
    if (!begun.empty()) static_cast<void>(stream_->read(begun));
    return true;
}

held_verdict hold::judge_stream(std::string_view text, bool room, steady_time now) {
    const bool spoke = stream_->has_meaning();
    const auto meaning = hear(text, now);
    if (meaning == wire::event_meaning::hollow && order_.rules.judges_empty) return held::failed{judge_empty()};
    if (to_end_ && stream_->has_meaning()) {
        if (stream_->has_error()) return told_error();
        if (!room || kept().size() > order_.hold_buffer) return held::meaningful{};
        if (spoke) return held::more{};
        return held::progress{};
    }
    switch (meaning) {
    case wire::event_meaning::nothing:
        // A preamble may be as large as any answer: it repeats what was asked for.
        if (room && kept().size() <= order_.hold_buffer) return held::more{};
        break;
    case wire::event_meaning::meaningful:
    case wire::event_meaning::hollow: break;
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
    if (part_ != part::error && lacks_encoded_end() && !kept().empty())
        return held::failed{failed_with(outcome_kind::protocol_error), "http_response_content_coding"};
    switch (part_) {
    case part::error: return judge_refusal(wall);
    case part::whole: {
        if (may_tell() && !(tells_in_json() && wire::read_usage(order_.rules.dialect, said(), told_)))
            text_bytes_ = wire::text_size(order_.rules.dialect, said());
        may_tell_ = false;
        wire::error_facts facts;
        const auto problem = judge_whole(head_, content_, said(), order_.rules, facts);
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
    if (to_end_ && says_whole() && stream_->between_events() && head_.body.kind != wire::body_kind::length &&
        !lacks_encoded_end())
        return held::complete{};
    held::failed lost = not_whole(silent);
    if (part_ == part::error) { // its status has said enough
        wire::error_facts facts;
        lost.outcome = judge_error(head_, content_, said(), order_.rules, wall, facts);
        lost.outcome.has_answer = false;
    }
    return lost;
}

held_verdict hold::judge_refusal(wall_time wall) const {
    if (order_.upcast && blames_stream(head_.status, said())) return held::ask_plainly{upcast_result::refused};
    wire::error_facts facts;
    return held::failed{judge_error(head_, content_, said(), order_.rules, wall, facts)};
}

held_verdict hold::told_error() const { return held::failed{judge_error_event(stream_->error(), order_.rules)}; }

held_verdict hold::assemble(std::string_view piece, steady_time now) {
    const bool spoke = stream_->has_meaning();
    const auto meaning = hear(piece, now);
    if (begins_.is() == wire::body_beginning::kind::json)
        return held::ask_plainly{upcast_result::unknown_field, "[no events]"};
    if (stream_->has_error()) return told_error();
    if (meaning == wire::event_meaning::hollow && order_.rules.judges_empty) return held::failed{judge_empty()};
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
    if (!said_.empty()) said_.release();
}

bool hold::says_whole() const noexcept {
    return to_end_ && (assembler_ ? assembler_->ended() : stream_->has_terminal());
}

bool hold::promises_json() const noexcept { return !format_ && request::promises_json(head_, content_, order_.rules); }

wire::event_meaning hold::hear(std::string_view text, steady_time now) {
    const auto before = stream_->meaningful_events();
    const auto meaning = stream_->read(text);
    if (*format_ == wire::stream_format::json_array) end_.add(text);
    if (*format_ == wire::stream_format::json_array || *format_ == wire::stream_format::opaque)
        text_bytes_ += text.size();
    if (stream_->meaningful_events() > before) meant_at_ = now;
    return meaning;
}

wire::event_meaning hold::listen(std::string_view piece, steady_time now) {
    if (!decoder_) return hear(piece, now);
    auto first = wire::event_meaning::nothing;
    decoder_->take(piece);
    while (const auto text = decoder_->next()) {
        const auto meaning = hear(*text, now);
        if (first == wire::event_meaning::nothing) first = meaning;
    }
    if (decoder_->refused()) be_unread();
    return first;
}

telemetry::token_count hold::count_tokens(std::uint64_t request) const {
    wire::usage told = told_;
    std::uint64_t text = text_bytes_;
    if (format_ && *format_ == wire::stream_format::json_array) {
        wire::read_usage_at_end(order_.rules.dialect, end_.bytes(), true, told);
    } else if (stream_ && *format_ != wire::stream_format::opaque) {
        told = stream_->told();
        text = stream_->text_bytes();
    } else if (may_tell()) { // it has not come to its end
        text = std::max<std::uint64_t>(text, said().size());
    }
    return request::count_tokens(told, order_.rules.tokens, {request, text});
}

void hold::passes_by(std::string_view text, bool last) {
    text_bytes_ += text.size();
    if (!last) return end_.add(text);
    const std::string_view end = end_.with(text);
    if (tells_in_json()) wire::read_usage_at_end(order_.rules.dialect, end, false, told_);
    may_tell_ = false;
}

void hold::passed_by() {
    if (tells_in_json()) wire::read_usage_at_end(order_.rules.dialect, end_.bytes(), false, told_);
    may_tell_ = false;
}

void hold::read_along(std::string_view piece, const std::function<void(std::string_view)>& said) {
    if (!decoder_) return said(piece);
    decoder_->take(piece);
    while (const auto text = decoder_->next()) said(*text);
    if (decoder_->refused()) be_unread();
}

} // namespace evenkeel::request
