#include "config/client_keys.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <algorithm>

namespace evenkeel::config {

namespace {
int digit_of(char c) noexcept {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}
} // namespace

key_digest digest_of(std::string_view key) {
    key_digest out{};
    unsigned int length = 0;
    EVP_Digest(key.data(), key.size(), out.data(), &length, EVP_sha256(), nullptr);
    return out;
}

std::optional<key_digest> read_digest(std::string_view hexadecimal) {
    key_digest out{};
    if (hexadecimal.size() != 2 * out.size()) return std::nullopt;
    for (std::size_t i = 0; i < out.size(); ++i) {
        const int high = digit_of(hexadecimal[2 * i]), low = digit_of(hexadecimal[2 * i + 1]);
        if (high < 0 || low < 0) return std::nullopt;
        out[i] = static_cast<unsigned char>(high * 16 + low);
    }
    return out;
}

std::vector<std::string_view> keys_in(std::string_view file) {
    constexpr std::string_view blanks = " \t\r";
    std::vector<std::string_view> out;
    while (!file.empty()) {
        std::string_view line = file.substr(0, file.find('\n'));
        file.remove_prefix(std::min(line.size() + 1, file.size()));
        line.remove_prefix(std::min(line.find_first_not_of(blanks), line.size()));
        if (line.empty() || line.front() == '#') continue;
        out.push_back(line.substr(0, line.find_last_not_of(blanks) + 1));
    }
    return out;
}

const client* client_with(const settings& of, std::string_view key) noexcept {
    const key_digest shown = digest_of(key);
    const client* found = nullptr;
    for (const auto& each : of.clients) {
        for (const key_digest& one : each->keys) {
            const bool same = CRYPTO_memcmp(one.data(), shown.data(), shown.size()) == 0;
            found = same ? each.get() : found;
        }
    }
    return found;
}

} // namespace evenkeel::config
