#include "proxy/wire/stream_reader.hpp"

#include "proxy/wire/event_meaning.hpp"
#include "proxy/wire/find_word.hpp"
#include "proxy/wire/json_model.hpp"
#include "proxy/wire/lenient_json.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace evenkeel::wire {

namespace {

constexpr std::string_view done_marker = "[DONE]";

// The first CR or LF from `at` on; npos if none.
std::size_t line_end(std::string_view text, std::size_t at) noexcept {
    const char* const from = text.data() + at;
    const auto* lf = static_cast<const char*>(std::memchr(from, '\n', text.size() - at));
    const std::size_t before = lf != nullptr ? static_cast<std::size_t>(lf - from) : text.size() - at;
    const auto* cr = static_cast<const char*>(std::memchr(from, '\r', before));
    const char* const end = cr != nullptr ? cr : lf;
    return end != nullptr ? static_cast<std::size_t>(end - text.data()) : std::string_view::npos;
}

// Words without which an event neither ends a stream nor is an error. Inside a JSON string a quote is escaped, so the
// quoted ones are never part of what a model says.
bool may_decide(dialect which, std::string_view data) noexcept {
    if (data == done_marker || has_word(data, "error\"", 1)) return true;
    switch (which) {
    case dialect::openai: {
        static constexpr std::string_view reason = "finish_reason\":";
        const std::size_t found = find_word(data, reason, 6);
        if (found == std::string_view::npos) return has_word(data, "\"response.");
        const std::size_t at = found + reason.size();
        // One choice that is not over, as nearly all of them; anything else is looked into.
        return !data.substr(at).starts_with("null") || has_word(data.substr(at), reason);
    }
    case dialect::anthropic: return has_word(data, "message_stop");
    case dialect::gemini: return has_word(data, "finishReason\"") || has_word(data, "blockReason\"");
    case dialect::ollama: return has_word(data, "\"done\"");
    case dialect::generic: break;
    }
    return false;
}

// Anthropic sends them at any time; they say that the connection lives and no more.
bool is_ping(std::string_view name, std::string_view data) noexcept {
    return data.size() < 32 && (name == "ping" || name.empty()) && has_word(data, "\"type\"") &&
           has_word(data, "\"ping\"");
}

// Of an event that is too long to be read: that says nothing, however long it is (the request's own tools and
// instructions come back in it).
bool names_a_preamble(std::string_view beginning) noexcept {
    static constexpr std::array<std::string_view, 4> words{"response.created", "response.in_progress",
                                                           "response.queued", "message_start"};
    return std::any_of(words.begin(), words.end(), [&](std::string_view word) { return has_word(beginning, word); });
}

bool names_an_end(std::string_view beginning) noexcept {
    static constexpr std::array<std::string_view, 4> ends{"response.completed", "response.incomplete",
                                                          "response.failed", "message_stop"};
    return std::any_of(ends.begin(), ends.end(), [&](std::string_view word) { return has_word(beginning, word); });
}

} // namespace

stream_reader::stream_reader(stream_format format, dialect which, bool recognise) noexcept
    : format_(format), dialect_(which), recognise_(recognise) {}

bool stream_reader::knows_terminal() const noexcept {
    switch (format_) {
    case stream_format::opaque: return false;
    case stream_format::json_array: return true;
    case stream_format::sse:
    case stream_format::ndjson: break;
    }
    return family_ || (!any_event_ && dialect_ != dialect::generic);
}

event_meaning stream_reader::read(std::string_view bytes) {
    if (bytes.empty()) return event_meaning::nothing;
    switch (format_) {
    case stream_format::opaque: return meaningful_++ == 0 ? event_meaning::meaningful : event_meaning::nothing;
    case stream_format::json_array: return read_array(bytes);
    case stream_format::sse:
    case stream_format::ndjson: break;
    }
    return read_lines(bytes);
}

// Every byte counts here: only brackets outside of strings tell where the array ends.
event_meaning stream_reader::read_array(std::string_view bytes) noexcept {
    event_meaning found = event_meaning::nothing;
    for (const char c : bytes) {
        if (in_string_) {
            in_string_ = escaped_ || c != '"';
            escaped_ = !escaped_ && c == '\\';
            continue;
        }
        if (c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == ',') continue;
        if (depth_ == 1 && c != ']' && meaningful_ == 0) {
            meaningful_ = 1;
            found = event_meaning::meaningful;
        }
        terminal_ = false;
        if (c == '"') in_string_ = true;
        if (c == '[' || c == '{') ++depth_;
        if (c == ']' || c == '}') --depth_;
        terminal_ = depth_ == 0 && c == ']';
    }
    open_ = depth_ > 0;
    return found;
}

void stream_reader::keep(std::string_view part) {
    const std::size_t room = max_event - std::min(max_event, kept_.size());
    overflow_ = overflow_ || part.size() > room;
    kept_.append(part.substr(0, room));
}

event_meaning stream_reader::read_lines(std::string_view bytes) {
    event_meaning first = event_meaning::nothing;
    std::size_t begin = 0; // of the event under way, in these bytes
    std::size_t at = 0;
    const auto forget = [&] {
        begin = at;
        kept_.clear();
        overflow_ = open_ = false;
    };
    while (at < bytes.size()) {
        if (after_cr_) {
            after_cr_ = false;
            if (bytes[at] == '\n') {
                if (begin == at && !open_) ++begin;
                ++at;
                continue;
            }
        }
        if (!line_begun_) line_is_comment_ = format_ == stream_format::sse && bytes[at] == ':';
        const std::size_t end = line_end(bytes, at);
        if (end == std::string_view::npos) {
            line_begun_ = true;
            open_ = open_ || !line_is_comment_;
            break;
        }
        const bool blank = !line_begun_ && end == at;
        line_begun_ = false;
        after_cr_ = bytes[end] == '\r';
        at = end + 1;
        if (format_ == stream_format::ndjson || blank) {
            const event_meaning meaning =
                open_ || !blank ? end_event(bytes.substr(begin, end - begin)) : event_meaning::nothing;
            if (first == event_meaning::nothing) first = meaning;
            forget();
        } else if (!line_is_comment_) {
            open_ = true;
        } else if (!open_) {
            forget(); // a comment between events
        }
    }
    if (begin < bytes.size() && (open_ || line_begun_)) {
        // The colon of a comment is enough to know it again.
        if (!open_ && line_is_comment_) return first;
        keep(bytes.substr(begin));
    }
    return first;
}

event_meaning stream_reader::end_event(std::string_view last_part) {
    if (kept_.empty()) {
        overflow_ = last_part.size() > max_event;
        return meaning_of(last_part);
    }
    keep(last_part);
    return meaning_of(kept_);
}

event_meaning stream_reader::end() {
    if (format_ != stream_format::sse && format_ != stream_format::ndjson) return event_meaning::nothing;
    if (!open_ || kept_.empty()) return event_meaning::nothing;
    const event_meaning meaning = meaning_of(kept_);
    kept_.clear();
    open_ = line_begun_ = overflow_ = false;
    return meaning;
}

event_meaning stream_reader::meaning_of(std::string_view event) {
    if (at_start_ && event.starts_with(byte_order_mark)) event.remove_prefix(byte_order_mark.size());
    at_start_ = false;
    if (format_ == stream_format::ndjson) {
        return event.find_first_not_of(" \t") == std::string_view::npos ? event_meaning::nothing : take_data({}, event);
    }
    std::string_view name, data;
    int lines = 0;
    while (!event.empty()) {
        const std::size_t end = std::min(line_end(event, 0), event.size());
        std::string_view line = event.substr(0, end);
        event.remove_prefix(std::min(end + 1, event.size())); // the LF of a CRLF makes one more, empty line
        const std::size_t colon = std::min(line.find(':'), line.size());
        const std::string_view field = line.substr(0, colon);
        const bool is_data = field == "data", is_error = field == "error";
        if (!is_data && !is_error && field != "event") continue;
        line.remove_prefix(std::min(colon + 1, line.size()));
        if (line.starts_with(' ')) line.remove_prefix(1);
        if (is_error && format_ == stream_format::sse) {
            error_field_ = true;
            name = field;
            data = line;
            lines = 1;
        } else if (!is_data) {
            name = line;
        } else if (++lines == 1) {
            data = line;
        } else {
            if (lines == 2) joined_.assign(data);
            joined_ += '\n';
            joined_ += line;
            data = joined_;
        }
    }
    return lines == 0 || data.empty() ? event_meaning::nothing : take_data(name, data);
}

event_meaning stream_reader::count(event_meaning meaning) noexcept {
    if (meaning == event_meaning::meaningful) ++meaningful_;
    return meaning;
}

event_meaning stream_reader::take_data(std::string_view name, std::string_view data) {
    const event_meaning found = judge_data(name, data);
    if (overflow_) return found;
    read_event_usage(dialect_, name, data, told_);
    if (found == event_meaning::meaningful) text_bytes_ += said_in(data);
    return found;
}

// What stands around the text is alike in the events of one stream, and looking for the text costs a tenth of what an
// event costs: the first ones are looked into, then one of sixteen, and of the others the size tells.
std::uint64_t stream_reader::said_in(std::string_view data) noexcept {
    constexpr std::uint64_t all_of = 4, one_of = 16;
    if (around_ && meaningful_ > all_of && meaningful_ % one_of != 0)
        return data.size() - std::min<std::uint64_t>(data.size(), *around_);
    const std::uint64_t size = text_size(dialect_, data);
    if (size > 0) around_ = data.size() - size;
    return size;
}

event_meaning stream_reader::judge_data(std::string_view name, std::string_view data) {
    any_event_ = true;
    if (overflow_) { // cut short here, not there: no JSON, but long enough to mean something
        if (names_a_preamble(name) || (name.empty() && names_a_preamble(data.substr(0, 512)))) {
            family_ = true;
            return event_meaning::nothing;
        }
        if (names_an_end(name) || names_an_end(data.substr(0, 512))) terminal_ = family_ = true;
        return count(event_meaning::meaningful);
    }
    if (is_ping(name, data)) {
        family_ = true;
        if (dialect_ == dialect::generic && recognise_) dialect_ = dialect::anthropic;
        return event_meaning::nothing;
    }
    if (meaningful_ > 0 && name != "error" && !may_decide(dialect_, data)) return count(event_meaning::meaningful);
    return look_into(name, data);
}

event_meaning stream_reader::look_into(std::string_view name, std::string_view data) {
    const auto last = data.find_last_not_of(" \t\r");
    if (data.substr(0, last + 1) == done_marker) {
        terminal_ = family_ = true;
        return event_meaning::terminal;
    }
    const event_facts facts = read_event(dialect_, recognise_, name, data);
    dialect_ = facts.spoken;
    if (!facts.is_json) {
        if (name == "error") {
            error_seen_ = true;
            if (!error_.is_error) {
                error_.is_error = true;
                error_.message = std::string{data.substr(0, max_error_message)};
            }
            return event_meaning::error;
        }
        return dialect_ == dialect::generic ? count(event_meaning::meaningful) : event_meaning::malformed;
    }
    family_ = family_ || facts.family;
    terminal_ = terminal_ || facts.terminal;
    if (facts.error) {
        error_seen_ = true;
        if (!error_.is_error) error_ = read_error(data);
        error_.is_error = true;
        return event_meaning::error;
    }
    if (facts.meaningful) {
        const bool hollow = facts.hollow && meaningful_ == 0;
        static_cast<void>(count(event_meaning::meaningful));
        return hollow ? event_meaning::hollow : event_meaning::meaningful;
    }
    return facts.terminal ? event_meaning::terminal : event_meaning::nothing;
}

std::string error_frame(stream_format format, dialect which, int status, std::string_view code,
                        std::string_view message) {
    std::string said, word;
    append_json_escaped(said, message);
    append_json_escaped(word, code);
    if (format == stream_format::ndjson)
        return which == dialect::ollama ? "{\"error\":\"" + said + "\"}\n" : std::string{};
    if (format != stream_format::sse) return {};
    switch (which) {
    case dialect::openai:
    case dialect::anthropic:
        return "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"evenkeel_error\",\"message\":\"" + said +
               "\",\"code\":\"" + word + "\"}}\n\n";
    case dialect::gemini:
        return "data: {\"error\":{\"code\":" + std::to_string(status) + ",\"message\":\"" + said + "\",\"status\":\"" +
               std::string{google_status(status)} + "\"}}\n\n";
    case dialect::ollama:
    case dialect::generic: break;
    }
    return {};
}

} // namespace evenkeel::wire
