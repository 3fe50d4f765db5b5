#include "proxy/reading/principal.hpp"

#include "policies/sip_hash.hpp"
#include "proxy/reading/credentials.hpp"

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
const sip_key& process_key() {
    static const sip_key drawn = [] {
        const hash_key from = hash_key::draw();
        sip_key key;
        std::memcpy(&key.first, from.value().data(), sizeof key.first);
        std::memcpy(&key.second, from.value().data() + sizeof key.first, sizeof key.second);
        return key;
    }();
    return drawn;
}

// Each part with its length in front, so that no two lists read the same.
void add_part(std::string& to, std::string_view part) {
    to.append(std::to_string(part.size())).append(1, ':').append(part);
}

std::string credentials_of(const wire::request_head& head, std::string_view body,
                           const config::credential_rules& rules) {
    std::string parts;
    for_each_credential(head, body, rules, [&](std::string_view name, std::string_view value) {
        add_part(parts, name);
        add_part(parts, value);
    });
    return parts;
}

std::uint64_t short_hash_of(std::string_view text) {
    const std::uint64_t hash = sip_hash(text, process_key());
    return hash == 0 ? 1 : hash;
}

char as_compared(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c == '_' ? '-' : c; }
bool is_called(std::string_view name, std::string_view compared) noexcept {
    return name.size() == compared.size() &&
           std::equal(name.begin(), name.end(), compared.begin(), [](char a, char b) { return as_compared(a) == b; });
}

// What remains of a value however it is written: no scheme, no blanks; of a signature that is another with each request
// the name of the key that made it (AWS, "AWS4-HMAC-SHA256 Credential=NAME/...").
std::string_view essence_of(std::string_view value) noexcept {
    constexpr std::string_view blanks = " \t", signer = "Credential=";
    while (!value.empty() && blanks.find(value.front()) != std::string_view::npos) value.remove_prefix(1);
    while (!value.empty() && blanks.find(value.back()) != std::string_view::npos) value.remove_suffix(1);
    const std::size_t blank = value.find_first_of(blanks);
    if (blank == std::string_view::npos) return value;
    std::string_view rest = value.substr(value.find_first_not_of(blanks, blank));
    if (const std::size_t at = rest.find(signer); at != std::string_view::npos) {
        rest.remove_prefix(at + signer.size());
        rest = rest.substr(0, rest.find_first_of("/, "));
    }
    return rest;
}

// The credential that one group of places agrees on.
struct found_credential {
    std::string value{};
    bool differ = false;
    void add(std::string_view another) {
        another = essence_of(another);
        if (another.empty()) return;
        differ = differ || (!value.empty() && value != another);
        value = another;
    }
};

// That of the first group in which there is one.
found_credential tenants_credential(const wire::request_head& head, const config::credential_rules& rules) {
    const auto order = rules.tenant_order();
    for (auto place = order.begin(); place != order.end();) {
        found_credential found;
        const unsigned group = place->group;
        for (; place != order.end() && place->group == group; ++place) {
            if (place->in_query) {
                if (head.query.empty()) continue;
                for_each_query_member(head.query,
                                      [&](const std::string& name, const std::string& value, std::string_view) {
                                          if (is_called(name, place->name)) found.add(value);
                                      });
            } else {
                for (const wire::field& one : head.fields) {
                    if (is_called(one.name, place->name)) found.add(one.value);
                }
            }
        }
        if (!found.value.empty()) return found;
    }
    return {};
}
} // namespace

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
    HMAC(EVP_sha256(), bytes_.data(), static_cast<int>(bytes_.size()),
         reinterpret_cast<const unsigned char*>(of.data()), of.size(), out.data(), &size);
    bytes result;
    std::copy_n(out.begin(), result.size(), result.begin());
    return result;
}

principal::principal(const wire::request_head& head, const hash_key& key, const config::credential_rules& rules,
                     std::string_view body)
    : hash_(key.digest(credentials_of(head, body, rules))) {}

std::uint64_t principal_of(const wire::request_head& head, const config::credential_rules& rules,
                           std::string_view body) {
    return short_hash_of(credentials_of(head, body, rules));
}

std::uint64_t tenant_of(const wire::request_head& head, const config::credential_rules& rules) {
    const found_credential found = tenants_credential(head, rules);
    if (found.differ) return short_hash_of("?");
    return found.value.empty() ? short_hash_of("") : short_hash_of('=' + found.value);
}

std::uint64_t secret_hash(std::string_view text) { return short_hash_of(text); }

bool shows_key(const wire::request_head& head, const config::credential_rules& rules) {
    return !tenants_credential(head, rules).value.empty();
}

} // namespace evenkeel::request
