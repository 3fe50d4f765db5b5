#include "proxy/request/last_good_key.hpp"

#include "proxy/request/router.hpp"

#include <array>
#include <string>

namespace evenkeel::request {

namespace {
// Fields that change what a provider answers to the same body.
constexpr std::array<std::string_view, 8> telling_fields{"accept",           "accept-encoding",   "accept-language", "content-encoding",
                                                         "content-type",     "anthropic-version", "anthropic-beta",  "openai-beta"};
// ... and what the same client puts up with, whatever the question.
constexpr std::array<std::string_view, 2> form_fields{"accept", "accept-encoding"};
} // namespace

std::optional<last_good_key> last_good_key_of(const client_request& request, config::last_good_key_kind kind, bool stream,
                                              const hash_key& key) {
    const wire::request_head& head = *request.head;
    const config::route& route = *request.route;
    identity_text identity;
    identity.add(std::string_view{route.name});
    identity.add(std::string_view{stream ? "stream" : "whole"});
    if (kind == config::last_good_key_kind::partial_key) {
        const wire::field* const told = head.find(partial_key_header);
        if (told == nullptr || told->value.empty() || told->value.size() > max_partial_key) return std::nullopt;
        identity.add(std::string_view{"partial_key"});
        identity.add(told->value);
        identity.add_fields(head, form_fields);
    } else {
        if (!request.body.whole()) return std::nullopt;
        std::string room;
        identity.add(std::string_view{"request"});
        identity.add(head.method);
        identity.add(upstream_target(route, *route.upstreams.front(), head, room));
        identity.add_fields(head, telling_fields);
        identity.add_digest(request.body.text().view());
    }
    return last_good_key{principal{head, key}, identity, key};
}

} // namespace evenkeel::request
