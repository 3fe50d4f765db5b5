#pragma once
// What one event of a streamed answer says, taken apart so that two streams can be compared: texts that grow from event
// to event, and words that come at once, each in the channel of its choice or block. OpenAI chat completions and
// completions, Anthropic messages. Pure; never throws on any input.
//
// What was said before can be taken out of the event. Everything else in it stays byte for byte: numbers, order, blanks
// and members that are not compared.

#include "proxy/wire/error_body.hpp"
#include "proxy/wire/event_splitter.hpp"
#include "proxy/wire/json_model.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace evenkeel::wire {

// One thing an event says.
struct saying {
    std::string channel;
    // Of a text what it says in units that are the same however it is spelled and cut (spelled_units); of a word `=`
    // and its value as it stands.
    std::string text;
    bool whole = false;

    // Where it stands; whole: the member of which object. Of `no_place` it cannot be taken out.
    static constexpr std::size_t no_place = static_cast<std::size_t>(-1);
    std::size_t object = no_place, member = 0;
    std::string_view inside{}; // of a text's quotes
};

class event_sayings {
public:
    std::vector<saying> says;
    std::vector<json_member> top; // members of its data; views into that
    bool known = true;            // every field of it is understood
    bool error = false;           // an error frame

    [[nodiscard]] bool can_drop(const saying& one) const noexcept {
        return !one.whole || one.object != saying::no_place;
    }
    // Takes what was said before out: all but the last `rest` bytes of a text.
    void drop(const saying& one, std::size_t rest);
    // Another value for a member of `top`.
    void replace(std::string_view value, std::string_view by);
    [[nodiscard]] bool changed() const noexcept { return changed_; }
    // The data with all that, once.
    [[nodiscard]] std::string data(std::string_view as_it_came);

    // For the reader of an event.
    struct object {
        std::string_view text;
        std::vector<json_member> members;
        std::vector<bool> dropped;
    };
    std::vector<object> objects;

private:
    struct edit {
        std::string_view at;
        std::string by;
    };
    std::vector<edit> edits_;
    bool changed_ = false;
};

// `to` is as made.
void read_sayings(dialect which, const stream_event& event, event_sayings& to);

} // namespace evenkeel::wire
