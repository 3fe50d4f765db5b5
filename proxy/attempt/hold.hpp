#pragma once
// What is kept back of an answer until its flight commits it: an error answer until it is classified, a stream until
// its first meaningful event or to its end, an answer in one piece to its end, and a stream that is to become one until
// it is put together. Pieces of the body and its end go in, a verdict comes out. Pure: no clock, no loop, no transport;
// the memory it takes is counted by the bound it is given.
//
// What a body is, is told by its first bytes rather than by its label. What came compressed is judged by what it says,
// and kept as it came; what cannot be read commits with its first byte, and is not judged.
//
// Owned by an attempt, one for each call; the head it judges by belongs to that call, which outlives it. After the
// commit the body delivers what was kept from here, and reads along with the same stream.

#include "policies/flight_plan.hpp"
#include "proxy/events/outcomes.hpp"
#include "proxy/message/memory_bound.hpp"
#include "proxy/reading/judgement.hpp"
#include "proxy/reading/token_count.hpp"
#include "proxy/wire/answer_assembler.hpp"
#include "proxy/wire/body_beginning.hpp"
#include "proxy/wire/content_decoder.hpp"
#include "proxy/wire/head.hpp"
#include "proxy/wire/stream_reader.hpp"

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <variant>

namespace evenkeel::request {

struct hold_order {
    holding what = holding::nothing;
    bool streams_whole = false;    // ... where answers are held: a stream to its end as well
    bool upcast = false;           // it was asked for as a stream, and is to be put together
    bool recognise = false;        // a stream's dialect may be told from its first event
    std::uint64_t hold_buffer = 0; // bytes of a good answer; more is passed on as it comes
    judge_rules rules{};
};

// What a held answer has come to.
namespace held {
struct more {};       // nothing can be said yet
struct progress {};   // likewise, but what is kept to its end has said its first meaningful thing
struct head {};       // nothing is kept back: the head commits
struct meaningful {}; // enough has been said to commit, or more has come than may be kept
struct complete {};   // it is here, whole and good
struct failed {
    attempt_outcome outcome;
    std::string_view token{}; // RFC 9209; empty: the answer itself says what is wrong
};
// It cannot be put together: the request has to be sent as the client sent it.
struct ask_plainly {
    telemetry::upcast_result why;
    std::string_view what{}; // was not understood; lives as long as the hold
};
} // namespace held
using held_verdict = std::variant<held::more, held::progress, held::head, held::meaningful, held::complete,
                                  held::failed, held::ask_plainly>;

class hold {
public:
    hold(const hold_order& order, const wire::response_head& head, memory_bound& memory);
    hold(const hold&) = delete;
    hold& operator=(const hold&) = delete;

    // Before the body: `more` where that has to be seen. `wall`: only of an error, which may name a date.
    [[nodiscard]] held_verdict begin() const;
    // The next piece. It lies where it is until settle(), and is copied only if another follows.
    [[nodiscard]] held_verdict add(std::string_view piece, steady_time now, wall_time wall);
    [[nodiscard]] held_verdict end(wall_time wall);                 // as its framing says it should
    [[nodiscard]] held_verdict broken(bool silent, wall_time wall); // ... or not, because it went silent or broke off

    // What is kept is copied, since it is about to be overwritten. False: there is no room for all that comes, and it
    // has to be passed on as it does.
    [[nodiscard]] bool settle();
    [[nodiscard]] std::string_view kept() const noexcept { return lies_.data() != nullptr ? lies_ : kept_.view(); }
    void let_go() noexcept; // what was kept has been delivered

    [[nodiscard]] bool keeps_nothing() const noexcept { return part_ == part::nothing; }
    [[nodiscard]] bool keeps_error() const noexcept { return part_ == part::error; }
    [[nodiscard]] bool keeps_stream() const noexcept { return part_ == part::stream; }
    [[nodiscard]] bool keeps_whole_stream() const noexcept { return to_end_; }
    [[nodiscard]] bool assembles() const noexcept { return assembler_.has_value(); }
    [[nodiscard]] bool assembled() const noexcept { return assembled_; } // kept() is the answer in one piece
    [[nodiscard]] bool says_whole() const noexcept; // a stream kept to its end has said all; its end is all that lacks

    [[nodiscard]] std::optional<wire::stream_format> format() const noexcept { return format_; } // none: no stream
    [[nodiscard]] bool promises_json() const noexcept;
    // It came compressed: nothing of ours may be put behind it, ...
    [[nodiscard]] bool is_encoded() const noexcept { return content_.encoded; }
    // ... it has not come to its own end, ...
    [[nodiscard]] bool lacks_encoded_end() const noexcept { return decoder_ && !decoder_->whole(); }
    // ... and nobody here can read it: by its name, or because it turned out to be too much.
    [[nodiscard]] bool is_unread() const noexcept { return !content_.readable(); }
    // Of a stream, read along with, whether it is kept or passed on.
    [[nodiscard]] wire::stream_reader& stream() noexcept { return *stream_; }
    [[nodiscard]] const wire::stream_reader& stream() const noexcept { return *stream_; }
    [[nodiscard]] bool has_meaning() const noexcept { return stream_ && stream_->has_meaning(); }
    wire::event_meaning listen(std::string_view piece, steady_time now);
    // What a piece of an answer in one piece says, that is passed on.
    void read_along(std::string_view piece, const std::function<void(std::string_view)>& said);
    // What is kept says; empty where that is not looked at.
    [[nodiscard]] std::string_view said() const noexcept { return decoder_ ? said_.view() : kept(); }
    // Of what is passed on from its head on: the next piece, before anything else is done with it. True: it has just
    // turned out to be a stream, and is one from this piece on.
    [[nodiscard]] bool turns_out_stream(std::string_view piece);
    [[nodiscard]] steady_time meant_at() const noexcept { return meant_at_; } // its last meaningful event; epoch: none

    // What it takes in tokens, as far as it has come; `request`: bytes of what was asked.
    [[nodiscard]] telemetry::token_count count_tokens(std::uint64_t request) const;
    // It may tell, where it is in one piece. Whoever passes it on says what passes by, and when it is over.
    // Text may hold anything that its speaker liked to say.
    [[nodiscard]] bool tells_in_json() const noexcept { return content_.is == content_facts::kind::json; }
    [[nodiscard]] bool may_tell() const noexcept { return may_tell_ && !is_unread(); }
    void passes_by(std::string_view text, bool last);
    void passed_by();

private:
    enum class part : unsigned char { nothing, error, whole, stream };
    [[nodiscard]] part what_to_keep() const noexcept;
    [[nodiscard]] bool keep(std::string_view piece); // false: more than may be kept
    // `text`: the next part of what the body says; said(): all of it, where that is kept.
    [[nodiscard]] held_verdict judge(std::string_view text, bool room, steady_time now, wall_time wall);
    [[nodiscard]] held_verdict decode(std::string_view piece, bool room, steady_time now, wall_time wall);
    [[nodiscard]] held_verdict judge_late_stream(steady_time now);
    void find_out(std::string_view text);
    void be_stream();
    void be_unread() noexcept;
    wire::event_meaning hear(std::string_view text, steady_time now);
    [[nodiscard]] held_verdict judge_stream(std::string_view text, bool room, steady_time now);
    [[nodiscard]] held_verdict judge_refusal(wall_time wall) const;
    [[nodiscard]] held_verdict told_error() const;
    [[nodiscard]] held_verdict assemble(std::string_view piece, steady_time now);
    [[nodiscard]] held_verdict assemble_end(bool whole, bool silent);

    hold_order order_;
    const wire::response_head& head_;
    content_facts content_;
    std::optional<wire::stream_format> format_;
    part part_;
    bool to_end_ = false;
    bool assembled_ = false;
    wire::body_beginning begins_;
    std::optional<wire::content_decoder> decoder_; // of what came compressed
    std::optional<wire::stream_reader> stream_;
    steady_time meant_at_{};
    std::optional<wire::answer_assembler> assembler_;
    memory_charge charge_; // of what the assembler holds
    std::uint64_t charged_ = 0;
    std::string_view lies_; // what is kept, as long as it is one piece and lies where it came from
    charged_text kept_;     // ... else
    charged_text said_;     // what that says, where it is compressed and judged as a whole
    // Of what is no stream of events.
    bool may_tell_ = false;
    wire::usage told_;
    wire::body_end end_;
    std::uint64_t text_bytes_ = 0;
};

} // namespace evenkeel::request
