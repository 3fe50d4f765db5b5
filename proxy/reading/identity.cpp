#include "proxy/reading/identity.hpp"

#include "proxy/wire/characters.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <array>

namespace evenkeel::request {

namespace {
constexpr std::array<std::string_view, 19> no_matter{"x-request-id",
                                                     "request-id",
                                                     "x-client-request-id",
                                                     "x-correlation-id",
                                                     "traceparent",
                                                     "tracestate",
                                                     "b3",
                                                     "x-b3-traceid",
                                                     "x-b3-spanid",
                                                     "x-b3-parentspanid",
                                                     "x-amzn-trace-id",
                                                     "x-cloud-trace-context",
                                                     "sentry-trace",
                                                     "x-datadog-trace-id",
                                                     "x-datadog-parent-id",
                                                     "uber-trace-id",
                                                     "x-stainless-retry-count",
                                                     "x-evenkeel-timeout",
                                                     "x-evenkeel-cost"};

bool is_among(std::span<const std::string_view> names, std::string_view name) noexcept {
    return std::any_of(names.begin(), names.end(), [&](std::string_view one) { return wire::iequals(name, one); });
}
} // namespace

void identity_text::add_fields(const wire::request_head& head, std::span<const std::string_view> harmless) {
    for (const wire::field& one : head.fields) {
        if (is_among(no_matter, one.name) || is_among(harmless, one.name)) continue;
        std::string name{one.name};
        std::transform(name.begin(), name.end(), name.begin(),
                       [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
        add(std::string_view{name});
        add(one.value);
    }
    add(std::string_view{}); // no field has an empty name
}

void identity_text::add(std::string_view part) {
    text_.append(std::to_string(part.size())).append(1, ':').append(part);
}

void identity_text::add_digest(std::string_view body) {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned size = 0;
    EVP_Digest(body.data(), body.size(), digest.data(), &size, EVP_sha256(), nullptr);
    add(std::string_view{reinterpret_cast<const char*>(digest.data()), size});
}

identity_hash::identity_hash(const principal& whose, const identity_text& what, const hash_key& key) {
    std::string all;
    all.reserve(whose.bytes().size() + what.view().size());
    all.append(whose.bytes()).append(what.view()); // the former's length is fixed
    hash_ = key.digest(all);
}

} // namespace evenkeel::request
