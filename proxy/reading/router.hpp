#pragma once
// Which route a request takes: the first in file order whose every condition holds. Pure.

#include "config/settings.hpp"
#include "proxy/wire/head.hpp"

#include <memory>
#include <optional>
#include <string_view>

namespace evenkeel::request {

struct route_question {
    const wire::request_head& head;
    // The model that the path or the body names; empty optional: not known yet. A route that asks for one then answers
    // "look first".
    std::optional<std::string_view> model;
};

struct route_choice {
    std::shared_ptr<const config::route> route; // null: none matches
    bool needs_model = false;                   // the answer depends on the model: read the body and ask again
};

[[nodiscard]] route_choice choose_route(const config::settings& settings, const route_question& question);

// Whether `path` lies under `prefix`, on segment borders: /v1 covers /v1 and /v1/x, not /v10. "/" covers everything.
[[nodiscard]] bool is_under(std::string_view path, std::string_view prefix) noexcept;

// The target that goes upstream: the upstream's base path, the path as rewritten, the query unchanged but for the
// credentials of the caller that this upstream is not shown. A view of the client's where that is the same, else of
// `room`, where it is put together.
[[nodiscard]] std::string_view upstream_target(const config::route& route, const config::upstream& upstream,
                                               const wire::request_head& head, std::string& room);

} // namespace evenkeel::request
