#include "policies/sip_hash.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <string>
#include <utility>

namespace evenkeel::test::sip_hash_test {

// Of the authors' reference: the key is 00 01 ... 0f, the text as many bytes of 00 01 02 ...
TEST_CASE("sip_hash says what its authors' vectors say") {
    const sip_key key{0x0706050403020100ULL, 0x0f0e0d0c0b0a0908ULL};
    const std::array<std::pair<int, std::uint64_t>, 5> vectors{{{0, 0x726fdb47dd0e0e31ULL},
                                                                {1, 0x74f839c593dc67fdULL},
                                                                {7, 0xab0200f58b01d137ULL},
                                                                {8, 0x93f5f5799a932462ULL},
                                                                {15, 0xa129ca6149be45e5ULL}}};
    for (const auto& [length, hash] : vectors) {
        std::string text;
        for (int i = 0; i < length; ++i) text.push_back(static_cast<char>(i));
        CAPTURE(length);
        CHECK(sip_hash(text, key) == hash);
    }
}

TEST_CASE("sip_hash differs with every bit of key and text, and with the length of what is zero") {
    const sip_key key{1, 2};
    const std::string text = "Bearer sk-0123456789abcdef";
    for (std::size_t i = 0; i < text.size(); ++i) {
        std::string other = text;
        other[i] = static_cast<char>(other[i] ^ 1);
        CHECK(sip_hash(other, key) != sip_hash(text, key));
    }
    for (int bit = 0; bit < 64; ++bit) {
        CHECK(sip_hash(text, {key.first ^ 1ULL << bit, key.second}) != sip_hash(text, key));
        CHECK(sip_hash(text, {key.first, key.second ^ 1ULL << bit}) != sip_hash(text, key));
    }
    CHECK(sip_hash(std::string(7, '\0'), key) != sip_hash(std::string(6, '\0'), key));
}

} // namespace evenkeel::test::sip_hash_test
