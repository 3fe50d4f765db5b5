#pragma once
// The rules of chaos that are in force, as GET /-/chaos shows them: those of the file and those set since, with the
// time each has left.

#include "policies/chaos.hpp"

#include <string>

namespace evenkeel::admin {

// {"enabled": true, "seed": 0, "rules": [{"route": ..., "fault" or "profile": ..., "probability": ..., "left_s": ...,
//   "source": "file" | "admin", "injected": N, "active": N}]}; parameters as they were written, where they were.
[[nodiscard]] std::string chaos_document(const chaos::summary& shown);

} // namespace evenkeel::admin
