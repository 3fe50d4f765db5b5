#pragma once
// The chaos block: what can be wrong with its rules, and from entries to the rules of the policy. The rules of a file
// and those an operator sends while the process runs go through the same table and the same checks.

#include "config/entry.hpp"
#include "config/problem_list.hpp"
#include "config/settings.hpp"
#include "policies/chaos.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace evenkeel::config {

void check_chaos(const entry& root, problem_list& problems); // of a file
[[nodiscard]] std::vector<chaos_rule> build_chaos_rules(const entry& block);

// `{"rules": [...], "seed": N}` as JSON, against the routes of `settings`. No variable and no file is read for it.
struct sent_rules {
    std::vector<chaos_rule> rules;
    std::optional<std::uint64_t> seed;
    std::string problem; // what is wrong, in one or more sentences; then there are no rules
};
[[nodiscard]] sent_rules read_chaos_rules(std::string_view json, const settings& against);

} // namespace evenkeel::config
