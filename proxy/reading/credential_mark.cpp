#include "proxy/reading/credential_mark.hpp"

#include "proxy/reading/principal.hpp"
#include "proxy/wire/characters.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstring>

namespace evenkeel::request {

namespace {
constexpr std::array<std::string_view, 3> keys{"api-key", "x-api-key", "x-goog-api-key"};

bool shows_a_key(const wire::field& one) noexcept {
    if (one.id == wire::field_id::authorization) return true;
    return std::any_of(keys.begin(), keys.end(), [&](std::string_view name) {
        return one.name.size() == name.size() && wire::istarts_with(one.name, name);
    });
}

struct sip_state {
    std::uint64_t v0, v1, v2, v3;
    void round() noexcept {
        v0 += v1, v1 = std::rotl(v1, 13) ^ v0, v0 = std::rotl(v0, 32);
        v2 += v3, v3 = std::rotl(v3, 16) ^ v2;
        v0 += v3, v3 = std::rotl(v3, 21) ^ v0;
        v2 += v1, v1 = std::rotl(v1, 17) ^ v2, v2 = std::rotl(v2, 32);
    }
    void take(std::uint64_t word) noexcept {
        v3 ^= word;
        round();
        round();
        v0 ^= word;
    }
};
} // namespace

std::uint64_t siphash(const std::array<std::uint64_t, 2>& key, std::string_view text) noexcept {
    sip_state state{key[0] ^ 0x736f6d6570736575ULL, key[1] ^ 0x646f72616e646f6dULL, key[0] ^ 0x6c7967656e657261ULL,
                    key[1] ^ 0x7465646279746573ULL};
    std::uint64_t last = static_cast<std::uint64_t>(text.size()) << 56;
    while (text.size() >= sizeof(std::uint64_t)) {
        std::uint64_t word = 0;
        std::memcpy(&word, text.data(), sizeof word); // little-endian, as all we are built for
        state.take(word);
        text.remove_prefix(sizeof word);
    }
    for (std::size_t at = 0; at < text.size(); ++at)
        last |= static_cast<std::uint64_t>(static_cast<unsigned char>(text[at])) << (8 * at);
    state.take(last);
    state.v2 ^= 0xff;
    for (int i = 0; i < 4; ++i) state.round();
    return state.v0 ^ state.v1 ^ state.v2 ^ state.v3;
}

std::optional<std::uint64_t> credential_mark(const wire::request_head& head) noexcept {
    static const std::array<std::uint64_t, 2> key = [] {
        const hash_key::bytes drawn = hash_key::draw().value();
        std::array<std::uint64_t, 2> made{};
        std::memcpy(made.data(), drawn.data(), sizeof made);
        return made;
    }();
    for (const wire::field& one : head.fields)
        if (shows_a_key(one)) return siphash(key, one.value);
    return std::nullopt;
}

} // namespace evenkeel::request
