#include "proxy/reading/trace_id.hpp"

#include <algorithm>
#include <cstddef>

namespace evenkeel::request {

namespace {
bool is_hex(std::string_view text) noexcept {
    return std::all_of(text.begin(), text.end(),
                       [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}
bool is_zero(std::string_view text) noexcept { return text.find_first_not_of('0') == std::string_view::npos; }
} // namespace

std::string_view trace_id_of(const wire::request_head& head) noexcept {
    constexpr std::size_t known = 55; // 00-<32>-<16>-<2>
    const wire::field* const told = head.find(std::string_view{"traceparent"});
    if (told == nullptr) return {};
    const std::string_view all = told->value;
    if (all.size() < known || all[2] != '-' || all[35] != '-' || all[52] != '-') return {};
    const std::string_view version = all.substr(0, 2), trace = all.substr(3, 32), span = all.substr(36, 16);
    if (!is_hex(version) || version == "ff" || !is_hex(trace) || is_zero(trace) || !is_hex(span) || is_zero(span) ||
        !is_hex(all.substr(53, 2)))
        return {};
    if (version == "00" ? all.size() != known : all.size() > known && all[known] != '-') return {};
    return trace;
}

} // namespace evenkeel::request
