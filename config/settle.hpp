#pragma once
// What quantities owe to each other. A contradiction that somebody wrote is reported with both places; a built-in value
// yields to one that was written, and says so in its note. A key that another one leaves without meaning is an error
// where somebody wrote it, and leaves the tree otherwise, so that `config show` claims nothing that does not happen.

#include "config/entry.hpp"
#include "config/problem_list.hpp"

namespace evenkeel::config {

// `root` is complete.
void settle_policies(entry& root, problem_list& problems);
void settle_connections(entry& root, problem_list& problems);
// A ladder that a route inherits does not lead to itself.
void settle_fallbacks(entry& root);

} // namespace evenkeel::config
