#pragma once
// What an endpoint of the admin listener answers, before it is put into HTTP.

#include "proxy/admin/admin_server.hpp"

#include <string>
#include <string_view>

namespace evenkeel::admin {

inline constexpr std::string_view plain_text = "text/plain; charset=utf-8";
inline constexpr std::string_view json_text = "application/json";
inline constexpr std::string_view html_text = "text/html; charset=utf-8";
inline constexpr std::string_view event_text = "text/event-stream";

struct reply {
    int status = 200;
    std::string_view type = plain_text;
    std::string body{};
    std::string_view allow{};    // for 405
    std::string_view policy{};   // what the page may load; empty: nothing
    std::string_view location{}; // for 303
    std::string cookie{};        // to be kept, or forgotten
    int retry_after = 0;         // seconds; 0: not said
};

[[nodiscard]] reply sentence(int status, std::string_view text, std::string_view name = "error");
[[nodiscard]] reply told(const control_result& result);

} // namespace evenkeel::admin
