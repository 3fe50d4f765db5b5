#pragma once
// The parts of the key table; schema.hpp is what everybody else includes.

#include "config/fill.hpp"

namespace evenkeel::config {

void add_listening_keys(std::vector<key_row>& table);  // version, listen, workers, admin
void add_upstream_keys(std::vector<key_row>& table);   // upstreams
void add_route_keys(std::vector<key_row>& table);      // defaults, routes
void add_policy_keys(std::vector<key_row>& table);     // what `defaults` and each route may hold
void add_resilience_keys(std::vector<key_row>& table); // ... those that learn and watch
void add_fallback_keys(std::vector<key_row>& table); // ... the fallback ladder; and last_good, the store it takes from
void add_chaos_keys(std::vector<key_row>& table);    // chaos
void add_process_keys(std::vector<key_row>& table);  // logs, limits, drain

void add_policies(std::vector<key_row>& table, std::initializer_list<key_row> rows);
// Blocks, or keys of them, whose policy this version does not have: they accept `off` and nothing else.
void add_later(std::vector<key_row>& table, std::initializer_list<key_row> rows);

} // namespace evenkeel::config
