#include "proxy/admin/query.hpp"

#include "config/value.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <ctime>
#include <variant>

namespace evenkeel::admin {

std::optional<std::string_view> parameter(std::string_view query, std::string_view name) {
    while (!query.empty()) {
        const auto end = query.find('&');
        const auto part = query.substr(0, end);
        const auto equals = part.find('=');
        if (part.substr(0, equals) == name)
            return equals == std::string_view::npos ? std::string_view{} : part.substr(equals + 1);
        query = end == std::string_view::npos ? std::string_view{} : query.substr(end + 1);
    }
    return std::nullopt;
}

std::optional<std::string> decoded(std::string_view text) {
    const auto digit = [](char c) {
        return c >= '0' && c <= '9'   ? c - '0'
               : c >= 'a' && c <= 'f' ? c - 'a' + 10
               : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                      : -1;
    };
    std::string out;
    for (std::size_t at = 0; at < text.size(); ++at) {
        if (text[at] != '%') {
            out += text[at];
            continue;
        }
        const int high = at + 2 < text.size() ? digit(text[at + 1]) : -1;
        const int low = at + 2 < text.size() ? digit(text[at + 2]) : -1;
        if (high < 0 || low < 0) return std::nullopt;
        out += static_cast<char>(high * 16 + low);
        at += 2;
    }
    return out;
}

std::optional<std::string> decoded_form(std::string_view text) {
    std::string spaced(text);
    std::replace(spaced.begin(), spaced.end(), '+', ' ');
    return decoded(spaced);
}

std::string_view trimmed(std::string_view text) {
    constexpr std::string_view blank = " \t\r\n";
    const auto begin = text.find_first_not_of(blank);
    if (begin == std::string_view::npos) return {};
    return text.substr(begin, text.find_last_not_of(blank) - begin + 1);
}

std::optional<wall_time> moment(std::string_view text, wall_time now) {
    const auto ago = config::read_duration(text);
    if (const auto* length = std::get_if<duration>(&ago)) return now - *length;
    std::string copy(text);
    if (copy.find(' ') != std::string::npos) return std::nullopt; // which strptime reads over
    std::replace(copy.begin(), copy.end(), 't', 'T');
    std::replace(copy.begin(), copy.end(), 'z', 'Z');
    std::tm fields{}, zone{};
    const char* at = ::strptime(copy.c_str(), "%Y-%m-%dT%H:%M", &fields);
    if (at != nullptr && *at == ':') at = ::strptime(at, ":%S", &fields);
    if (at == nullptr) return std::nullopt;
    if (*at == '.') at += 1 + std::strspn(at + 1, "0123456789");
    const char sign = *at;
    if (sign == '+' || sign == '-') {
        at = ::strptime(at + 1, "%H:%M", &zone);
    } else if (sign == 'Z') {
        ++at;
    }
    if (at == nullptr || *at != '\0') return std::nullopt;
    const int day = fields.tm_mday;
    const std::time_t local = ::timegm(&fields);
    if (fields.tm_mday != day) return std::nullopt; // the 30th of February
    const std::time_t east = 3600 * zone.tm_hour + 60 * zone.tm_min;
    const std::chrono::seconds at_utc{local - (sign == '-' ? -east : east)};
    // Whoever names a year that the clock does not reach means no bound.
    if (at_utc >= std::chrono::floor<std::chrono::seconds>(wall_time::max().time_since_epoch()))
        return wall_time::max();
    if (at_utc <= std::chrono::ceil<std::chrono::seconds>(wall_time::min().time_since_epoch())) return wall_time::min();
    return wall_time{at_utc};
}

} // namespace evenkeel::admin
