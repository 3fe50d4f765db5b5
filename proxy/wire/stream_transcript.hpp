#pragma once
// What a streamed answer has said so far, and whether a second one says the same: the decision of `stream.resume:
// verified_replay`. Text, reasoning, refusals, tool names and arguments are compared, per choice or block, however the
// two streams cut them into events; so are finish reasons and the order of blocks. Ids, times and usage are not.
//
// First every event of the broken stream goes through said(). After begin_replay() every event of the second one goes
// through replayed(): what has been said already is swallowed, until all of it has come again; from then on its
// events go out under the id, model and time of the first stream, without what was said before. One difference ends it.
//
// OpenAI chat completions and completions, Anthropic messages. An event with a field unknown here cannot be compared:
// a stream that has one is not replayed. Pure; never throws on any input; not to be copied while views live.

#include "proxy/wire/error_body.hpp"
#include "proxy/wire/event_splitter.hpp"

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <string_view>

namespace evenkeel::wire {

class stream_transcript {
public:
    explicit stream_transcript(dialect which) noexcept;
    ~stream_transcript();
    stream_transcript(const stream_transcript&) = delete;
    stream_transcript& operator=(const stream_transcript&) = delete;

    // Whether streams of this dialect can be compared at all.
    [[nodiscard]] static bool knows(dialect which) noexcept {
        return which == dialect::openai || which == dialect::anthropic;
    }

    enum class kind : unsigned char {
        ordinary,
        error, // an error frame: the stream is broken. Not taken into account
    };
    kind said(const stream_event& event);

    // Enough was understood of what was said to compare another stream with it, and it said something.
    [[nodiscard]] bool can_replay() const noexcept { return known_ && !channels_.empty(); }
    void forget() noexcept;                                             // it cannot be replayed any more
    [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; } // of text that is kept

    void begin_replay() noexcept;
    enum class step : unsigned char {
        swallowed, // it was said before
        fresh,     // text() is to be sent: this event, and others that had to wait for it
        error,     // the second stream broke with an error frame
        differs,   // it does not say the same
    };
    [[nodiscard]] step replayed(const stream_event& event);
    [[nodiscard]] const std::string& text() const noexcept { return text_; }
    // All that was said has come again. A replay that ends before is a difference.
    [[nodiscard]] bool caught_up() const noexcept { return behind_ == 0; }

private:
    struct channel {
        std::string said;
        std::size_t again = 0; // bytes of it that have come again
        bool whole = false;    // a word that comes at once, such as a finish reason
    };
    void settle(channel& one) noexcept;

    dialect dialect_;
    std::map<std::string, channel, std::less<>> channels_;
    std::size_t behind_ = 0; // channels that have not come again in full
    std::size_t bytes_ = 0;
    bool known_ = true;
    std::string text_, waiting_; // waiting_: fresh events, while another channel is still behind
    struct identity;             // id, model and time of the first stream
    std::unique_ptr<identity> identity_;
};

} // namespace evenkeel::wire
