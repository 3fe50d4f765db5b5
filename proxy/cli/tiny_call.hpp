#pragma once
// The smallest call that shows whether a route's upstream can be used, as the proxy would send it: written by the same
// code, with the same rewriting, header edits and model names. Pure.

#include "config/settings.hpp"
#include "proxy/cli/exchange.hpp"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace evenkeel::cli {

using field_list = std::vector<std::pair<std::string, std::string>>;

// What is known of the application that usually asks.
struct application {
    std::string model{}; // empty: chosen by the route and its upstreams
    field_list fields{};
};

struct tiny_call {
    std::string skipped{}; // why nothing is asked; the rest is empty then
    std::string method{}, target{}, body{};
    std::string head{}; // as it goes upstream; holds credentials
    std::string asked_model{}, sent_model{};
    std::string key_of{};     // whose key goes along, in words; empty: none
    bool wants_model = false; // no model is known: `list` says which there are
};

// `variable`: of the environment, where a provider that is known takes the application's key from.
using variable_reader = std::string (*)(const std::string& name);
[[nodiscard]] tiny_call call_for(const config::settings& settings, const config::route& route,
                                 const config::upstream& to, const application& from, variable_reader variable);
// GET of the models that the upstream has, likewise.
[[nodiscard]] tiny_call list_for(const config::settings& settings, const config::route& route,
                                 const config::upstream& to, const application& from, variable_reader variable);
// The first one of that list; empty: none.
[[nodiscard]] std::string first_model(std::string_view body);

struct verdict {
    bool good = false;
    std::string words{}; // "ok", or plainly what is wrong
};
// Nothing of an answer's body is repeated but a short code: providers quote keys.
[[nodiscard]] verdict judge(const tiny_call& call, const exchanged& what, std::chrono::milliseconds within);

// Secrets masked.
[[nodiscard]] std::string head_shown(const config::settings& settings, std::string_view head);

} // namespace evenkeel::cli
