#pragma once
// To whom a file's routes show credentials. A caller's belong to the authority of the first upstream of the route that
// the caller asks (of a fan-out: of its first part): that is who the caller believes to speak to. Whatever else the
// route may turn to, by failover, balance, hedge, shard, replay, fallback or another part, must be of the same
// authority, have a credential of its own, or say what is to become of the caller's. A credential that a route itself
// sets belongs to its first upstream likewise.

#include "config/credentials.hpp"
#include "config/entry.hpp"
#include "config/problem_list.hpp"

namespace evenkeel::config {

void check_credentials(const entry& root, problem_list& problems);
// The keys of each upstream among themselves, and beside what else it sets (credential_lists.cpp).
void check_credential_lists(const entry& root, problem_list& problems);

[[nodiscard]] credential_rules build_credential_rules(const entry& root);

} // namespace evenkeel::config
