#include "proxy/wire/stream_transcript.hpp"

#include "proxy/wire/event_sayings.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace evenkeel::wire {

namespace {
constexpr std::array<std::string_view, 3> identity_names{"id", "created", "model"};

} // namespace

struct stream_transcript::identity {
    std::map<std::string, std::string, std::less<>> fields; // id, created, model, as they are spelled
};

stream_transcript::stream_transcript(dialect which) noexcept : dialect_(which), known_(knows(which)) {}
stream_transcript::~stream_transcript() = default;

void stream_transcript::forget() noexcept {
    known_ = false;
    channels_.clear();
    behind_ = bytes_ = 0;
}

stream_transcript::kind stream_transcript::said(const stream_event& event) {
    if (!known_) {
        // Only the error frame is still of interest; it is found by its name or its first member.
        event_sayings one;
        read_sayings(dialect_, event, one);
        return one.error ? kind::error : kind::ordinary;
    }
    event_sayings one;
    read_sayings(dialect_, event, one);
    if (one.error) return kind::error;
    if (!one.known) {
        forget();
        return kind::ordinary;
    }
    for (const saying& each : one.says) {
        channel& to = channels_[each.channel];
        if (each.whole && to.whole) continue; // again; which of them counts is the client's affair
        to.whole = to.whole || each.whole;
        to.said += each.text;
        bytes_ += each.text.size();
    }
    if (dialect_ == dialect::openai && !one.top.empty()) {
        if (!identity_) identity_ = std::make_unique<identity>();
        if (identity_->fields.size() == identity_names.size()) return kind::ordinary;
        for (const json_member& each : one.top) {
            if (std::find(identity_names.begin(), identity_names.end(), each.name) != identity_names.end())
                identity_->fields.emplace(each.name, each.value);
        }
    }
    return kind::ordinary;
}

void stream_transcript::begin_replay() noexcept {
    for (auto& [name, one] : channels_) one.again = 0;
    behind_ = static_cast<std::size_t>(
        std::count_if(channels_.begin(), channels_.end(), [](const auto& one) { return !one.second.said.empty(); }));
    waiting_.clear();
}

void stream_transcript::settle(channel& one) noexcept {
    if (one.again == one.said.size()) --behind_;
}

stream_transcript::step stream_transcript::replayed(const stream_event& event) {
    event_sayings one;
    read_sayings(dialect_, event, one);
    if (one.error) return step::error;
    const bool was_up = caught_up();
    if (!one.known) {
        if (!was_up) return step::differs;
        forget(); // it can be passed on, but not compared once more
    }
    bool fresh = false;
    bool fixed = false; // what cannot be taken out of the event was said before
    for (const saying& each : one.says) {
        const auto at = channels_.find(each.channel);
        if (at == channels_.end() || at->second.said.empty()) {
            fresh = true;
            if (!known_) continue;
            channel& made = channels_[each.channel];
            made.whole = each.whole;
            made.said = each.text;
            made.again = each.text.size();
            bytes_ += each.text.size();
            continue;
        }
        channel& known = at->second;
        if (known.whole || each.whole) {
            if (known.again == 0) {
                if (known.said != each.text || known.whole != each.whole) return step::differs;
                known.again = known.said.size();
                settle(known);
            }
            if (one.can_drop(each)) {
                one.drop(each, 0);
            } else {
                fixed = true;
            }
            continue;
        }
        const std::size_t matched = std::min(each.text.size(), known.said.size() - known.again);
        if (known.said.compare(known.again, matched, each.text, 0, matched) != 0) return step::differs;
        const bool was_behind = known.again < known.said.size();
        known.again += matched;
        if (was_behind) settle(known);
        const std::size_t rest = each.text.size() - matched;
        if (matched > 0) one.drop(each, rest);
        if (rest == 0) continue;
        fresh = true;
        known.said.append(each.text, matched);
        known.again = known.said.size();
        bytes_ += rest;
    }
    if (fresh && fixed) return step::differs;
    text_.clear();
    // Comments, pings and empty deltas have their place only once there is something new.
    if (!fresh && !(was_up && one.says.empty())) {
        if (!caught_up() || waiting_.empty()) return step::swallowed;
        text_ = std::exchange(waiting_, {});
        return step::fresh;
    }
    if (identity_ != nullptr) {
        for (const json_member& each : one.top) {
            const auto known = identity_->fields.find(each.name);
            if (known != identity_->fields.end()) one.replace(each.value, known->second);
        }
    }
    if (!one.changed()) {
        text_ = event.raw;
    } else {
        if (!event.name.empty()) text_.append("event: ").append(event.name).append("\n");
        const std::string data = one.data(event.data);
        for (std::size_t at = 0; at <= data.size();) { // a line break of its own makes one more line
            const std::size_t end = std::min(data.find('\n', at), data.size());
            text_.append("data: ").append(data, at, end - at).append("\n");
            at = end + 1;
        }
        text_ += '\n';
    }
    if (!caught_up()) {
        waiting_ += text_;
        return step::swallowed;
    }
    if (!waiting_.empty()) text_.insert(0, std::exchange(waiting_, {}));
    return step::fresh;
}

} // namespace evenkeel::wire
