#include "proxy/reading/shape_of.hpp"

#include "policies/hash64.hpp"
#include "proxy/wire/characters.hpp"
#include "proxy/wire/find_word.hpp"

#include <algorithm>
#include <array>
#include <charconv>

namespace evenkeel::request {

namespace {
// Bytes at each end.
constexpr std::size_t looked_at = 2048;

std::size_t skip_blanks(std::string_view text, std::size_t at) noexcept {
    while (at < text.size() && (text[at] == ' ' || text[at] == '\t' || text[at] == '\r' || text[at] == '\n')) ++at;
    return at;
}

// What was read of a text: the first of each counts.
struct members_seen {
    bool any = false, model = false, tokens = false;
};

// The member whose name ends in front of the quote at `quote`, with its value behind the colon.
void read_member(std::string_view text, std::size_t quote, std::size_t colon, members_seen& seen,
                 body_ends& into) noexcept {
    const std::string_view name = text.substr(0, quote);
    const auto value = [&] { return text.substr(std::min(skip_blanks(text, colon + 1), text.size())); };
    seen.any = true;
    if (name.empty()) return;
    switch (name.back()) { // most names end otherwise
    case 'l':
        if (!seen.model && wire::ends_with(name, "\"model")) {
            const std::string_view model = value();
            const std::size_t end = model.starts_with('"') ? model.find('"', 1) : std::string_view::npos;
            if (end == std::string_view::npos) return;
            seen.model = true;
            into.model_name_at = quote - std::string_view{"\"model"}.size();
            into.model_at = static_cast<std::size_t>(model.data() + 1 - text.data());
            into.model_size = end - 1;
            into.shape.model = model_hash(model.substr(1, end - 1));
        }
        return;
    case 'm':
        if (wire::ends_with(name, "\"stream")) {
            const std::string_view said = value();
            const bool wanted = wire::begins_with(said, "true");
            if (!into.stream && (wanted || wire::begins_with(said, "false"))) into.stream = wanted;
            into.any_stream = into.any_stream || wanted;
        }
        return;
    case 's': // max_tokens, max_completion_tokens, max_output_tokens; Google's
    case 't': // Ollama's
        if (!seen.tokens && (wire::ends_with(name, "_tokens") || wire::ends_with(name, "maxOutputTokens") ||
                             wire::ends_with(name, "\"num_predict"))) {
            const std::string_view number = value();
            std::uint64_t tokens = 0;
            if (std::from_chars(number.data(), number.data() + number.size(), tokens).ec != std::errc{}) return;
            seen.tokens = true;
            into.shape.tokens_class = tokens_class_of(tokens);
        }
        return;
    default: return;
    }
}

void read_members(std::string_view text, body_ends& into) noexcept {
    members_seen seen;
    std::array<std::uint32_t, 128> quotes;
    for (std::size_t from = 0; from < text.size();) {
        const std::size_t found = wire::find_pairs(text, from, '"', ':', quotes);
        for (std::size_t i = 0; i < found; ++i) read_member(text, quotes[i], quotes[i] + 1, seen, into);
    }
    if (seen.any) return;
    // Written with a blank in front of every colon, as some printers do.
    for (std::size_t from = 0; from < text.size();) {
        const std::size_t found = wire::find_pairs(text, from, '"', ' ', quotes);
        for (std::size_t i = 0; i < found; ++i) {
            const std::size_t colon = skip_blanks(text, quotes[i] + 1);
            if (colon < text.size() && text[colon] == ':') read_member(text, quotes[i], colon, seen, into);
        }
    }
}

// By how much deeper the end of a part of a JSON text lies than its beginning, which is outside of strings. Empty: it
// ends within one.
std::optional<int> deeper_by(std::string_view part) noexcept {
    int depth = 0;
    for (std::size_t at = 0; at < part.size(); ++at) {
        switch (part[at]) {
        case '{':
        case '[': ++depth; break;
        case '}':
        case ']': --depth; break;
        case '"':
            for (++at; at < part.size() && part[at] != '"'; ++at) at += part[at] == '\\';
            if (at >= part.size()) return std::nullopt;
            break;
        default: break;
        }
    }
    return depth;
}
} // namespace

// FNV-1a; a clash mixes what is known of two models, and nothing else.
std::uint64_t model_hash(std::string_view name) noexcept {
    constexpr std::size_t most = 128; // bytes
    const std::uint64_t hash = fnv1a(name.substr(0, most));
    return hash == 0 ? 1 : hash;
}

body_ends read_ends(std::string_view body, std::uint64_t whole_size) noexcept {
    body_ends found;
    found.shape.size_class = size_class_of(std::max<std::uint64_t>(whole_size, body.size()));
    found.all = body.size() <= 2 * looked_at;
    if (found.all) {
        read_members(body, found);
        return found;
    }
    const std::size_t tail = body.size() - looked_at;
    read_members(body.substr(tail), found);
    found.model_name_at += tail;
    found.model_at += tail;
    read_members(body.substr(0, looked_at), found);
    return found;
}

bool is_outermost(std::string_view body, std::size_t at, bool whole) noexcept {
    if (whole && body.size() - at < at) return deeper_by(body.substr(at)) == -1;
    return deeper_by(body.substr(0, at)) == 1;
}

stream_member find_stream(std::string_view body) noexcept {
    static constexpr std::string_view name = R"("stream")";
    constexpr std::size_t near = 2 * looked_at;
    stream_member found;
    for (std::size_t at = wire::find_word(body, name, 1); at != std::string_view::npos;) {
        const std::size_t colon = skip_blanks(body, at + name.size());
        if (colon < body.size() && body[colon] == ':') { // else it is a string of that text
            const bool in_front = at <= near;
            if (!in_front && body.size() - at > near) return {.sure = false};
            const auto depth = in_front ? deeper_by(body.substr(0, at)) : deeper_by(body.substr(at));
            if (!depth) return {.sure = false}; // no JSON
            if (*depth == (in_front ? 1 : -1)) {
                const std::string_view value = body.substr(std::min(skip_blanks(body, colon + 1), body.size()));
                found.says.reset();
                if (wire::begins_with(value, "true")) found.says = true;
                if (wire::begins_with(value, "false")) found.says = false;
            }
        }
        const std::size_t next = at + name.size();
        const std::size_t further = wire::find_word(body.substr(next), name, 1);
        at = further == std::string_view::npos ? further : next + further;
    }
    return found;
}

} // namespace evenkeel::request
