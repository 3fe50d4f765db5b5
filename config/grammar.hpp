#pragma once
// Small grammars of texts that end up in a request. Each answers with what is wrong, empty if nothing is; none repeats
// the text, which may be a secret.

#include <string>
#include <string_view>

namespace evenkeel::config {

[[nodiscard]] std::string lower_case(std::string_view text);

[[nodiscard]] std::string check_name(std::string_view text);        // of a route or upstream
[[nodiscard]] std::string check_host(std::string_view text);        // a DNS name or a literal address without brackets
[[nodiscard]] std::string check_path(std::string_view text);        // RFC 3986 path, absolute, without dot segments
[[nodiscard]] std::string check_header_name(std::string_view text); // RFC 9110 token
[[nodiscard]] std::string check_tenant(std::string_view text);      // header:NAME
[[nodiscard]] std::string check_header_value(std::string_view text);
[[nodiscard]] std::string check_token(std::string_view text);
[[nodiscard]] std::string check_plain_text(std::string_view text); // no control characters

// Fields that frame a message, belong to one hop or are our own are never edited by a user. Empty: it may be edited.
[[nodiscard]] std::string check_editable_header(std::string_view lower_case_name);
[[nodiscard]] bool carries_credential(std::string_view lower_case_name);

} // namespace evenkeel::config
