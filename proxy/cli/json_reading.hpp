#pragma once
// Members of documents that came from elsewhere: what is missing, or of another type, is not there.

#include <boost/json.hpp>

#include <optional>
#include <string>
#include <string_view>

namespace evenkeel::cli {

[[nodiscard]] inline const boost::json::value* member_of(const boost::json::value& of, std::string_view key) {
    return of.is_object() ? of.as_object().if_contains(key) : nullptr;
}
[[nodiscard]] inline std::optional<double> number_in(const boost::json::value& of, std::string_view key) {
    const boost::json::value* const found = member_of(of, key);
    return found != nullptr && found->is_number() ? std::optional(found->to_number<double>()) : std::nullopt;
}
[[nodiscard]] inline std::string text_in(const boost::json::value& of, std::string_view key) {
    const boost::json::value* const found = member_of(of, key);
    return found != nullptr && found->is_string() ? std::string(found->as_string()) : std::string{};
}
[[nodiscard]] inline bool flag_in(const boost::json::value& of, std::string_view key) {
    const boost::json::value* const found = member_of(of, key);
    return found != nullptr && found->is_bool() && found->as_bool();
}
// A null stands for what is not there.
[[nodiscard]] inline const boost::json::value& part_of(const boost::json::value& of, std::string_view key) {
    static const boost::json::value nothing;
    const boost::json::value* const found = member_of(of, key);
    return found != nullptr ? *found : nothing;
}

} // namespace evenkeel::cli
