#pragma once
// From what a file says to what it means: built-in < `defaults` < route, key by key, and the clamping of built-in
// values that an explicit bound makes impossible.

#include "config/entry.hpp"
#include "config/report.hpp"

namespace evenkeel::config {

// Every available key has an entry afterwards, in the order of the schema, except where absence is the meaning.
void complete(entry& root);

// Explicit contradictions are reported; built-in values yield to explicit bounds and say so in their note.
void settle_policies(entry& root, report& problems);
void settle_connections(entry& root, report& problems);

} // namespace evenkeel::config
