#include "proxy/reading/trace_id.hpp"

#include "proxy/events/hex_digits.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>

namespace evenkeel::request {

namespace {
using telemetry::trace_context;
using telemetry::write_hex;

bool is_hex(std::string_view text) noexcept {
    return std::all_of(text.begin(), text.end(),
                       [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}
bool is_zero(std::string_view text) noexcept { return text.find_first_not_of('0') == std::string_view::npos; }

struct told_parent {
    std::string_view trace, span, flags;
};
std::optional<told_parent> parent_of(const wire::request_head& head) noexcept {
    constexpr std::size_t known = traceparent_text::size;
    const wire::field* const told = head.find(std::string_view{"traceparent"});
    if (told == nullptr) return std::nullopt;
    const std::string_view all = told->value;
    const bool several = std::any_of(head.fields.begin(), head.fields.end(), [&](const wire::field& one) {
        return &one != told && one.name.size() == told->name.size() && wire::iequals(one.name, told->name);
    });
    if (several) return std::nullopt; // whose child would it be?
    if (all.size() < known || all[2] != '-' || all[35] != '-' || all[52] != '-') return std::nullopt;
    const std::string_view version = all.substr(0, 2), trace = all.substr(3, 32), span = all.substr(36, 16);
    const std::string_view flags = all.substr(53, 2);
    if (!is_hex(version) || version == "ff" || !is_hex(trace) || is_zero(trace) || !is_hex(span) || is_zero(span) ||
        !is_hex(flags))
        return std::nullopt;
    if (version == "00" ? all.size() != known : all.size() > known && all[known] != '-') return std::nullopt;
    return told_parent{trace, span, flags};
}

std::uint64_t number_of(std::string_view hex) noexcept {
    std::uint64_t all = 0;
    for (const char c : hex) all = all << 4U | static_cast<std::uint64_t>(c <= '9' ? c - '0' : c - 'a' + 10);
    return all;
}

bool is_in_share(std::uint64_t trace_low, double share) noexcept {
    constexpr std::uint64_t all = std::uint64_t{1} << 56U;
    return share > 0 && static_cast<double>(trace_low & (all - 1)) >= (1.0 - share) * static_cast<double>(all);
}
} // namespace

std::string_view trace_id_of(const wire::request_head& head) noexcept {
    const auto told = parent_of(head);
    return told ? told->trace : std::string_view{};
}

trace_context begin_trace(const wire::request_head& head, const config::tracing_options& how,
                          std::uint64_t& draws) noexcept {
    const auto draw = [&] { return telemetry::draw_id(draws); };
    trace_context made;
    made.span = draw();
    made.drawn = draw();
    bool sampled = false;
    if (const auto told = parent_of(head)) {
        made.trace_high = number_of(told->trace.substr(0, 16));
        made.trace_low = number_of(told->trace.substr(16));
        made.parent = number_of(told->span);
        made.parent_remote = true;
        const auto flags = static_cast<std::uint8_t>(number_of(told->flags));
        made.flags = flags & trace_context::random_flag;
        sampled = how.parent == config::trace_parent::follow ? (flags & trace_context::sampled_flag) != 0
                                                             : is_in_share(made.trace_low, how.sample);
    } else {
        made.trace_high = draw();
        made.trace_low = draw();
        made.flags = trace_context::random_flag;
        sampled = is_in_share(made.trace_low, how.sample);
    }
    if (sampled) made.flags |= trace_context::sampled_flag;
    return made;
}

std::string_view write_trace_id(char* out, const trace_context& of) noexcept {
    write_hex(out, of.trace_high);
    write_hex(out + 16, of.trace_low);
    return {out, 32};
}

traceparent_text::traceparent_text(const trace_context& of) noexcept {
    std::memcpy(text, "00-", 3);
    write_trace_id(text + 3, of);
    text[35] = text[52] = '-';
    write_hex(text + span_at, of.span);
    text[53] = '0';
    text[54] = static_cast<char>('0' + (of.flags & 7U));
}

} // namespace evenkeel::request
