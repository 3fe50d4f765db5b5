#include "proxy/fallback/last_good_key.hpp"

#include "proxy/reading/credentials.hpp"
#include "proxy/reading/router.hpp"

#include <array>
#include <string>

namespace evenkeel::request {

namespace {
// Of each repetition of the same question: what stood for one attempt at an effect, and what names the answer wanted,
// which is part of the key by itself.
constexpr std::array<std::string_view, 3> of_repetitions{"idempotency-key", "x-idempotency-key", partial_key_header};
} // namespace

std::optional<last_good_key> last_good_key_of(const client_request& request, config::last_good_key_kind kind,
                                              bool stream, const hash_key& key) {
    const wire::request_head& head = *request.came.head;
    const config::route& route = *request.route;
    const bool whole = request.body.whole();
    const shared_bytes body = whole ? request.body.text() : shared_bytes{};
    identity_text identity;
    identity.add(std::string_view{route.name});
    identity.add(std::string_view{stream ? "stream" : "whole"});
    if (kind == config::last_good_key_kind::partial_key) {
        const wire::field* const told = head.find(partial_key_header);
        if (told == nullptr || told->value.empty() || told->value.size() > max_partial_key) return std::nullopt;
        identity.add(std::string_view{"partial_key"});
        // The body is not part of the key, but who is named in it is: one that is not here whole might name anybody.
        if (may_be_json(head) && !whole) return std::nullopt;
        identity.add(told->value);
        identity.add(head.query);
    } else {
        if (!whole) return std::nullopt;
        std::string room;
        identity.add(std::string_view{"request"});
        identity.add(head.method);
        identity.add(head.target);
        identity.add(upstream_target(route, *route.upstreams.front(), head, room)); // a file outlives the configuration
        identity.add_digest(body.view());
    }
    identity.add_fields(head, of_repetitions);
    return last_good_key{principal{head, key, route.credentials, body.view()}, identity, key};
}

} // namespace evenkeel::request
