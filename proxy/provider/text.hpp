#pragma once
// Small helpers of text that the provider's parts share.

#include <string>
#include <string_view>

namespace evenkeel::provider {

[[nodiscard]] std::string_view trim(std::string_view text) noexcept; // without blanks and tabs at both ends
[[nodiscard]] std::string quoted(std::string_view text);             // as a JSON string, with its quotes

} // namespace evenkeel::provider
