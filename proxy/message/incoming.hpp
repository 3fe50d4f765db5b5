#pragma once
// What came: a request as its client sent it, and when, where and under which settings. It changes no more once the
// request is served, whatever is tried for it (errand.hpp) and becomes of it (events/request_account.hpp).

#include "config/settings.hpp"
#include "policies/time.hpp"
#include "proxy/reading/page_rules.hpp"
#include "proxy/wire/head.hpp"

#include <memory>
#include <string>
#include <string_view>

namespace evenkeel::request {

class policy_set;

struct incoming {
    config::snapshot settings{};                  // of the moment the head was read; a reload does not change it
    std::shared_ptr<const policy_set> policies{}; // of `settings`
    const wire::request_head* head = nullptr;     // of the owner; its views last as long as this request
    std::string_view client_address{};
    arrival via = arrival::unix_socket;
    const config::client* client = nullptr; // whose key it shows, of `settings`; null: nobody's, or none is asked for
    std::string id{};
    steady_time received{};
    wall_time started{};
};

} // namespace evenkeel::request
