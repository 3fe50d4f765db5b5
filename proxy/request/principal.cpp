#include "proxy/request/principal.hpp"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <random>
#include <string>

namespace evenkeel::request {

namespace {
const hash_key& process_key() {
    static const hash_key drawn = hash_key::draw();
    return drawn;
}

constexpr std::array<std::string_view, 9> credential_fields{
    "authorization", "x-api-key", "x-goog-api-key", "api-key", "openai-organization", "openai-project", "anthropic-organization-id",
    "x-goog-user-project", "cookie"};

// Each part with its length in front, so that no two lists read the same.
void add_part(std::string& to, std::string_view name, std::string_view value) {
    to.append(name).push_back('\0');
    to.append(std::to_string(value.size())).push_back('\0');
    to.append(value);
}

void add_query_key(std::string& to, std::string_view query) {
    while (!query.empty()) {
        const std::string_view one = query.substr(0, query.find('&'));
        if (one.starts_with("key=")) add_part(to, "key=", one.substr(4));
        query.remove_prefix(std::min(query.size(), one.size() + 1));
    }
}

std::string credentials_of(const wire::request_head& head) {
    std::string parts;
    append_fields(parts, head, credential_fields);
    add_query_key(parts, head.query);
    return parts;
}
} // namespace

void append_fields(std::string& to, const wire::request_head& head, std::span<const std::string_view> names) {
    for (const std::string_view name : names) {
        for (const wire::field& one : head.fields) {
            if (one.name.size() != name.size()) continue;
            const bool same = std::equal(name.begin(), name.end(), one.name.begin(), [](char a, char b) { return a == (b >= 'A' && b <= 'Z' ? b + 32 : b); });
            if (same) add_part(to, name, one.value);
        }
    }
}

hash_key hash_key::draw() {
    bytes drawn{};
    if (RAND_bytes(drawn.data(), static_cast<int>(drawn.size())) != 1) {
        std::random_device device;
        std::generate(drawn.begin(), drawn.end(), [&] { return static_cast<unsigned char>(device()); });
    }
    return hash_key{drawn};
}

hash_key::bytes hash_key::digest(std::string_view of) const {
    std::array<unsigned char, EVP_MAX_MD_SIZE> out{};
    unsigned size = 0;
    HMAC(EVP_sha256(), bytes_.data(), static_cast<int>(bytes_.size()), reinterpret_cast<const unsigned char*>(of.data()), of.size(), out.data(),
         &size);
    bytes result;
    std::copy_n(out.begin(), result.size(), result.begin());
    return result;
}

principal::principal(const wire::request_head& head, const hash_key& key) : hash_(key.digest(credentials_of(head))) {}

std::uint64_t principal_of(const wire::request_head& head) {
    const auto digest = process_key().digest(credentials_of(head));
    std::uint64_t hash = 0;
    std::memcpy(&hash, digest.data(), sizeof hash);
    return hash == 0 ? 1 : hash;
}

} // namespace evenkeel::request
