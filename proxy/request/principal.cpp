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
using key = std::array<unsigned char, 32>;

const key& process_key() {
    static const key drawn = [] {
        key bytes{};
        if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1) {
            std::random_device device;
            std::generate(bytes.begin(), bytes.end(), [&] { return static_cast<unsigned char>(device()); });
        }
        return bytes;
    }();
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
} // namespace

std::uint64_t principal_of(const wire::request_head& head) {
    std::string parts;
    for (const std::string_view name : credential_fields) {
        for (const wire::field& one : head.fields) {
            if (one.name.size() != name.size()) continue;
            const bool same = std::equal(name.begin(), name.end(), one.name.begin(), [](char a, char b) { return a == (b >= 'A' && b <= 'Z' ? b + 32 : b); });
            if (same) add_part(parts, name, one.value);
        }
    }
    add_query_key(parts, head.query);
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned size = 0;
    HMAC(EVP_sha256(), process_key().data(), static_cast<int>(process_key().size()), reinterpret_cast<const unsigned char*>(parts.data()),
         parts.size(), digest.data(), &size);
    std::uint64_t hash = 0;
    std::memcpy(&hash, digest.data(), sizeof hash);
    return hash == 0 ? 1 : hash;
}

} // namespace evenkeel::request
