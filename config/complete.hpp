#pragma once
// From what a file says to what it means: built-in < `defaults` < route, key by key.

#include "config/entry.hpp"

namespace evenkeel::config {

// Every available key has an entry afterwards, in the order of the schema, except where absence is the meaning.
void complete(entry& root);

} // namespace evenkeel::config
