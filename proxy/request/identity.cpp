#include "proxy/request/identity.hpp"

#include <openssl/evp.h>

#include <array>

namespace evenkeel::request {

void identity_text::add(std::string_view part) { text_.append(std::to_string(part.size())).append(1, ':').append(part); }

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
