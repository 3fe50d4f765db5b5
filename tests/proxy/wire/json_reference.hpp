#pragma once
// Boost.JSON as the second opinion on the scanner of request bodies.

#include <random>
#include <string>
#include <string_view>

namespace evenkeel::test {

// Empty if find_members and Boost.JSON agree on `body`, else what they disagree on. Two leniencies of ours are
// allowed for: lone surrogates and exponents that do not fit a number of Boost.JSON's.
[[nodiscard]] std::string disagreement_with_boost(std::string_view body);

[[nodiscard]] std::string random_json_object(std::mt19937& random);
void damage_json(std::string& body, std::mt19937& random);

} // namespace evenkeel::test
