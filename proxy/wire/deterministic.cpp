#include "proxy/wire/deterministic.hpp"

#include "proxy/wire/json_model.hpp"

#include <algorithm>

namespace evenkeel::wire {

namespace {

bool is_zero(std::string_view number) noexcept {
    if (number.starts_with('-')) number.remove_prefix(1);
    if (number.empty() || number.front() < '0' || number.front() > '9') return false;
    const std::string_view digits = number.substr(0, number.find_first_of("eE"));
    return digits.find_first_of("123456789") == std::string_view::npos;
}
bool is_number(std::string_view value) noexcept {
    return !value.empty() && (value.front() == '-' || (value.front() >= '0' && value.front() <= '9'));
}
} // namespace

bool is_deterministic(std::string_view body) {
    const auto members = list_members(body, most_members);
    const auto last = [&](std::string_view name) { // of several the last counts, as most readers have it
        const auto found =
            std::find_if(members.rbegin(), members.rend(), [&](const json_member& one) { return one.name == name; });
        return found == members.rend() ? std::string_view{} : found->value;
    };
    return is_zero(last("temperature")) || is_number(last("seed"));
}

} // namespace evenkeel::wire
