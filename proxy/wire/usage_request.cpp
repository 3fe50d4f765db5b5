#include "proxy/wire/usage_request.hpp"

#include "proxy/wire/find_word.hpp"
#include "proxy/wire/json_model.hpp"
#include "proxy/wire/json_parts.hpp"

#include <functional>
#include <vector>

namespace evenkeel::wire {

namespace {
// The member of this name among those of an object, all of whose names differ.
const json_member* member_named(const std::vector<json_member>& all, std::string_view name) noexcept {
    for (const json_member& one : all)
        if (one.name == name) return &one;
    return nullptr;
}
bool lies_in(std::string_view part, std::string_view whole) noexcept {
    const std::less_equal<const char*> no_later;
    return no_later(whole.data(), part.data()) && no_later(part.data() + part.size(), whole.data() + whole.size());
}
} // namespace

std::optional<body_edit> ask_for_usage(std::string_view body) {
    std::vector<json_member> members, options;
    if (!members_of(body, members) || members.empty()) return std::nullopt;
    const json_member* const stream = member_named(members, "stream");
    if (stream == nullptr || stream->value != "true") return std::nullopt;
    const auto place = [&](std::string_view part) { return static_cast<std::size_t>(part.data() - body.data()); };
    const auto behind = [&](std::string_view part) { return place(part) + part.size(); };

    const json_member* const told = member_named(members, "stream_options");
    if (told == nullptr)
        return body_edit{behind(members.back().value), 0, R"(,"stream_options":{"include_usage":true})"};
    if (is_vacant(told->value)) return body_edit{place(told->value), told->value.size(), R"({"include_usage":true})"};
    if (!members_of(told->value, options) || options.empty()) return std::nullopt;
    const json_member* const asks = member_named(options, "include_usage");
    if (asks == nullptr) return body_edit{behind(options.back().value), 0, R"(,"include_usage":true)"};
    if (asks->value == "true") return std::nullopt;
    return body_edit{place(asks->value), asks->value.size(), "true"};
}

std::optional<std::string> without_usage(const stream_event& event) {
    if (!has_word(event.data, "\"usage\"")) return std::nullopt;
    std::vector<json_member> members;
    if (!members_of(event.data, members)) return std::nullopt;
    const json_member* const told = member_named(members, "usage");
    if (told == nullptr || !is_object(told->value)) return std::nullopt;
    const json_member* const choices = member_named(members, "choices");
    if (choices != nullptr && is_vacant(choices->value)) return std::string{};
    if (!lies_in(told->value, event.raw)) return std::nullopt; // its data is several lines
    const auto at = static_cast<std::size_t>(told->value.data() - event.raw.data());
    std::string out{event.raw.substr(0, at)};
    out += "null";
    return out.append(event.raw.substr(at + told->value.size()));
}

} // namespace evenkeel::wire
