#pragma once
// A profile for a provider that is so many times faster than a real one: the same configuration with every duration of
// its policies divided by the speed, so that on real sockets it behaves in a minute as it would in twenty. Made from
// the schema's own table, so no duration can be forgotten.

#include "proxy/simulate/profiles.hpp"

#include <string>

namespace evenkeel::simulate {

// The lines `profile:` and `defaults:` of a file. Behind each value stands the one it was made from. A duration that
// would fall below what the key allows takes the smallest that it does.
[[nodiscard]] std::string faster(const profile& which, double speed);

} // namespace evenkeel::simulate
