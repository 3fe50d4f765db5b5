#include "config/source_text.hpp"

#include "config/schema.hpp"

#include <algorithm>

namespace evenkeel::config {
namespace {

bool continues_character(char c) { return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U; }

int count_characters(std::string_view bytes) {
    return static_cast<int>(std::count_if(bytes.begin(), bytes.end(), [](char c) { return !continues_character(c); }));
}

bool is_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

constexpr std::string_view mask = "***";
constexpr int window = 160; // characters of a long line that are shown; chosen to fit a terminal twice over

} // namespace

source_text::source_text(std::string_view text) : text_(text) {
    starts_.push_back(0);
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\n') starts_.push_back(i + 1);
    }
}

std::size_t source_text::line_index(std::size_t offset) const {
    const auto next = std::upper_bound(starts_.begin(), starts_.end(), offset);
    return static_cast<std::size_t>(next - starts_.begin()) - 1;
}

span source_text::line_span(std::size_t index) const {
    const std::size_t begin = starts_[index];
    std::size_t end = index + 1 < starts_.size() ? starts_[index + 1] - 1 : text_.size();
    if (end > begin && text_[end - 1] == '\r') --end;
    return {begin, end};
}

place source_text::where(std::size_t offset) const {
    offset = std::min(offset, text_.size());
    const std::size_t index = line_index(offset);
    const std::size_t begin = starts_[index];
    return {static_cast<int>(index) + 1, count_characters(text_.substr(begin, offset - begin)) + 1};
}

int source_text::characters(span range) const {
    const std::size_t begin = std::min(range.begin, text_.size());
    const std::size_t end = std::min(range.end, line_span(line_index(begin)).end);
    return end > begin ? std::max(1, count_characters(text_.substr(begin, end - begin))) : 1;
}

void source_text::hide(span range) {
    if (range.end > range.begin) hidden_.push_back(range);
    sorted_ = false;
}

void source_text::hide_unparsed(std::size_t from, std::size_t to) {
    std::size_t at = starts_[line_index(std::min(from, text_.size()))];
    const std::size_t stop = line_span(line_index(std::min(to, text_.size()))).end;
    bool harmless = false; // whether the key last seen is one whose value may be shown
    bool key_place = true; // whether a key can stand here; inside a value `word:` may be part of a secret
    while (at < stop) {
        const char c = text_[at];
        if (c == '\n' || c == '#') harmless = false; // a comment may hold yesterday's key
        if (c == '\n' || c == '{' || c == '[' || c == ',') key_place = true;
        if (c == ' ' && !key_place && at > 0 && text_[at - 1] != ':')
            harmless = false; // harmless values hold no blanks
        if (!is_word(c)) {
            // Anything that could be part of a secret goes; what gives the line its shape stays.
            const bool shape = std::string_view(" \t\r\n{}[],:#\"'-&*!|>%?").find(c) != std::string_view::npos;
            if (!shape && !harmless) hide({at, at + 1});
            if (!shape) key_place = false;
            ++at;
            continue;
        }
        std::size_t end = at;
        while (end < stop && is_word(text_[end])) ++end;
        const std::string_view word = text_.substr(at, end - at);
        std::size_t colon = end;
        while (colon < stop && (text_[colon] == ' ' || text_[colon] == '"' || text_[colon] == '\'')) ++colon;
        const bool dashes = word.find_first_not_of('-') == std::string_view::npos;
        const bool key =
            key_place && colon < stop && text_[colon] == ':' &&
            (colon + 1 == stop || std::string_view(" \t\r\n\"'[{").find(text_[colon + 1]) != std::string_view::npos);
        if (key) {
            harmless = is_harmless_key(word);
        } else if (!dashes && !harmless && !is_schema_word(word)) {
            hide({at, end});
        }
        if (!dashes) key_place = false;
        at = end;
    }
}

excerpt source_text::show(span range) const {
    if (!sorted_) {
        std::sort(hidden_.begin(), hidden_.end(), [](span a, span b) { return a.begin < b.begin; });
        std::vector<span> merged;
        for (const span& each : hidden_) {
            if (!merged.empty() && each.begin <= merged.back().end) {
                merged.back().end = std::max(merged.back().end, each.end);
            } else {
                merged.push_back(each);
            }
        }
        hidden_ = std::move(merged);
        sorted_ = true;
    }
    range.begin = std::min(range.begin, text_.size());
    const span line = line_span(line_index(range.begin));
    range.begin = std::min(range.begin, line.end);
    range.end = std::clamp(range.end, range.begin, line.end);

    // Only the neighbourhood of the caret of a long line is copied, so that a megabyte on one line stays cheap.
    std::size_t from = line.begin;
    std::size_t to = line.end;
    if (line.end - line.begin > static_cast<std::size_t>(window)) {
        const std::size_t half = static_cast<std::size_t>(window) / 2;
        from = range.begin - line.begin > half ? range.begin - half : line.begin;
        to = std::min(line.end, from + static_cast<std::size_t>(window));
        while (from > line.begin && continues_character(text_[from])) --from;
        while (to < line.end && continues_character(text_[to])) ++to;
    }

    excerpt out;
    std::string& text = out.text;
    if (from > line.begin) text += "...";
    std::size_t caret = std::string::npos;
    std::size_t caret_end = std::string::npos;
    auto hidden = std::lower_bound(hidden_.begin(), hidden_.end(), from,
                                   [](span each, std::size_t offset) { return each.end <= offset; });
    std::size_t at = from;
    while (at <= to) {
        if (at >= range.begin && caret == std::string::npos) caret = text.size();
        if (at >= range.end && caret_end == std::string::npos) caret_end = text.size();
        if (at == to) break;
        if (hidden != hidden_.end() && at >= hidden->begin) {
            const std::size_t next = std::min(hidden->end, to);
            // A caret anywhere inside the hidden part points at the start of the mask.
            if (range.begin < next && caret == std::string::npos) caret = text.size();
            text += mask;
            if (range.end <= next && caret_end == std::string::npos) caret_end = text.size();
            at = next;
            ++hidden;
            continue;
        }
        text += text_[at++];
    }
    if (to < line.end) text += "...";
    if (caret == std::string::npos) caret = text.size();
    if (caret_end == std::string::npos || caret_end < caret) caret_end = text.size();
    out.column = count_characters(std::string_view(text).substr(0, caret)) + 1;
    out.length = std::max(1, count_characters(std::string_view(text).substr(caret, caret_end - caret)));
    return out;
}

} // namespace evenkeel::config
