#include "proxy/coalesce/coalesce_key.hpp"

#include "proxy/message/local_answer.hpp"
#include "proxy/reading/repeatable.hpp"
#include "proxy/reading/router.hpp"
#include "proxy/wire/deterministic.hpp"
#include "proxy/wire/json_model.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>

namespace evenkeel::request {

namespace {

// A live object, which the flight keeps alive: no other has its address meanwhile.
void add_address(identity_text& to, const void* of) { to.add(std::uint64_t{reinterpret_cast<std::uintptr_t>(of)}); }

identity_text identity_of(const client_request& request, const errand& what) {
    const wire::request_head& head = *request.came.head;
    const config::route& asked = *what.asked;
    identity_text identity;
    // Of one configuration: after a reload the same request may be sent elsewhere, or otherwise.
    add_address(identity, request.route.get());
    add_address(identity, &asked);
    identity.add(std::uint64_t{what.something_follows}); // decides how long it is held
    identity.add(head.method);
    identity.add(head.target);
    identity.add_fields(head);
    const bool tells_address =
        std::any_of(asked.upstreams.begin(), asked.upstreams.end(), [](const auto& one) { return one->forwarded; });
    identity.add(tells_address ? request.came.client_address : std::string_view{});
    identity.add(static_cast<std::uint64_t>(head.body.kind != wire::body_kind::none));
    identity.add_digest(request.body.text().view());
    return identity;
}

// The value of the first of these members of an object.
std::string_view member(std::string_view object, std::string_view name, std::string_view other = {}) {
    for (const wire::json_member& one : wire::list_members(object, wire::most_members)) {
        if (one.name == name || (!other.empty() && one.name == other)) return one.value;
    }
    return {};
}

// temperature 0, a seed (in the place of the dialect), or embeddings.
bool asks_deterministically(const client_request& request, const config::route& asked, std::string_view target) {
    const config::upstream& first = *asked.upstreams.front();
    const wire::call* const called = call_sent(asked, first, *request.came.head, target);
    if (called != nullptr && called->embeds) return true;
    const shared_bytes held = request.body.text();
    const std::string_view body = held.view();
    switch (dialect_of(asked, first, request.came.head->path)) {
    case wire::dialect::gemini: return wire::is_deterministic(member(body, "generationConfig", "generation_config"));
    case wire::dialect::ollama: return wire::is_deterministic(member(body, "options"));
    default: return request.facts.is_deterministic();
    }
}
} // namespace

std::optional<coalesce_key> coalesce_key_of(const client_request& request, const errand& what, const hash_key& key) {
    const wire::request_head& head = *request.came.head;
    const config::route& asked = *what.asked;
    const coalesce_mode mode = request.route->coalesce;
    coalesce_facts facts{.is_get = head.method == "GET", .is_post = head.is_post(), .body_held = request.body.whole()};
    if (!(facts.is_get || facts.is_post) || !facts.body_held) return std::nullopt;
    std::string room;
    const std::string_view target = upstream_target(asked, *asked.upstreams.front(), head, room);
    facts.repeatable = request.facts.may_repeat(asked);
    facts.deterministic =
        mode == coalesce_mode::deterministic && facts.is_post && asks_deterministically(request, asked, target);
    if (!may_coalesce(mode, facts)) return std::nullopt;
    return coalesce_key{principal{head, key, asked.credentials, request.body.text().view()}, identity_of(request, what),
                        key};
}

} // namespace evenkeel::request
