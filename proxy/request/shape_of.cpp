#include "proxy/request/shape_of.hpp"

#include "proxy/wire/find_word.hpp"

#include <algorithm>
#include <charconv>

namespace evenkeel::request {

namespace {
constexpr std::size_t looked_at = 2048; // bytes at each end: the members that matter stand before or behind the messages

// What follows the member's name and its colon; empty where there is none.
std::string_view value_of(std::string_view text, std::string_view quoted_name, std::size_t probe) noexcept {
    for (std::size_t from = 0;;) {
        const std::size_t at = wire::find_word(text.substr(from), quoted_name, probe);
        if (at == std::string_view::npos) return {};
        std::string_view rest = text.substr(from + at + quoted_name.size());
        from += at + quoted_name.size();
        const std::size_t colon = rest.find_first_not_of(" \t\r\n");
        if (colon == std::string_view::npos || rest[colon] != ':') continue;
        rest.remove_prefix(colon + 1);
        const std::size_t start = rest.find_first_not_of(" \t\r\n");
        return start == std::string_view::npos ? std::string_view{} : rest.substr(start);
    }
}

std::uint64_t hash_of(std::string_view text) noexcept { // FNV-1a; a clash mixes two models' latencies and nothing else
    std::uint64_t hash = 14695981039346656037U;
    for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211U;
    return hash == 0 ? 1 : hash;
}

void read_members(std::string_view text, request_shape& into) noexcept {
    if (const auto model = value_of(text, "\"model\"", 5); model.starts_with('"')) {
        const std::size_t end = model.find('"', 1);
        if (end != std::string_view::npos) into.model = hash_of(model.substr(1, std::min<std::size_t>(end - 1, 128)));
    }
    if (value_of(text, "\"stream\"", 6).starts_with("true")) into.stream = true;
    // max_tokens, max_completion_tokens, max_output_tokens; Google's maxOutputTokens; Ollama's num_predict
    for (const std::string_view name : {std::string_view{"_tokens\""}, std::string_view{"maxOutputTokens\""}, std::string_view{"num_predict\""}}) {
        const auto number = value_of(text, name, name.size() - 2);
        std::uint64_t tokens = 0;
        if (!number.empty() && std::from_chars(number.data(), number.data() + number.size(), tokens).ec == std::errc{}) {
            into.tokens_class = tokens_class_of(tokens);
            return;
        }
    }
}
} // namespace

request_shape shape_of(std::string_view body, std::uint64_t whole_size, bool asks_for_stream) noexcept {
    request_shape shape;
    shape.stream = asks_for_stream;
    shape.size_class = size_class_of(std::max<std::uint64_t>(whole_size, body.size()));
    if (body.size() <= 2 * looked_at) {
        read_members(body, shape);
        return shape;
    }
    read_members(body.substr(body.size() - looked_at), shape);
    read_members(body.substr(0, looked_at), shape);
    return shape;
}

} // namespace evenkeel::request
