#include "proxy/request/last_good_key.hpp"

#include "proxy/request/router.hpp"

#include <openssl/evp.h>

#include <string>

namespace evenkeel::request {

namespace {
// With its length in front, so that no two lists read the same.
void add_part(std::string& to, std::string_view part) { to.append(std::to_string(part.size())).append(1, ':').append(part); }

// Fields that change what a provider answers to the same body.
constexpr std::array<std::string_view, 8> telling_fields{"accept",           "accept-encoding",   "accept-language", "content-encoding",
                                                         "content-type",     "anthropic-version", "anthropic-beta",  "openai-beta"};
// ... and what the same client puts up with, whatever the question.
constexpr std::array<std::string_view, 2> form_fields{"accept", "accept-encoding"};

// The body itself may be large; its digest stands for it under the keyed hash.
void add_digest(std::string& to, std::string_view body) {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned size = 0;
    EVP_Digest(body.data(), body.size(), digest.data(), &size, EVP_sha256(), nullptr);
    add_part(to, {reinterpret_cast<const char*>(digest.data()), size});
}
} // namespace

last_good_key::last_good_key(const principal& whose, std::string_view identity, const hash_key& key) {
    std::string all;
    all.reserve(whose.bytes().size() + identity.size());
    all.append(whose.bytes()).append(identity); // the former's length is fixed
    hash_ = key.digest(all);
}

std::optional<last_good_key> last_good_key_of(const client_request& request, config::last_good_key_kind kind, bool stream,
                                              const hash_key& key) {
    const wire::request_head& head = *request.head;
    const config::route& route = *request.route;
    std::string identity;
    add_part(identity, route.name);
    add_part(identity, stream ? "stream" : "whole");
    if (kind == config::last_good_key_kind::partial_key) {
        const wire::field* const told = head.find(partial_key_header);
        if (told == nullptr || told->value.empty() || told->value.size() > max_partial_key) return std::nullopt;
        add_part(identity, "partial_key");
        add_part(identity, told->value);
        append_fields(identity, head, form_fields);
    } else {
        if (!request.body.complete() || !request.body.replayable()) return std::nullopt;
        std::string room;
        add_part(identity, "request");
        add_part(identity, head.method);
        add_part(identity, upstream_target(route, *route.upstreams.front(), head, room));
        append_fields(identity, head, telling_fields);
        add_digest(identity, request.body.held());
    }
    return last_good_key{principal{head, key}, identity, key};
}

} // namespace evenkeel::request
