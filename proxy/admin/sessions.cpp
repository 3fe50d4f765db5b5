#include "proxy/admin/sessions.hpp"

#include "proxy/admin/access_rules.hpp"

#include <openssl/rand.h>
#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <stdexcept>

namespace evenkeel::admin {

namespace {

// Of equal length whatever is compared, so that the time says nothing of that either.
std::string digest_of(std::string_view text) {
    std::string made(SHA256_DIGEST_LENGTH, '\0');
    SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(),
           reinterpret_cast<unsigned char*>(made.data()));
    return made;
}

std::string random_word() {
    std::array<unsigned char, 32> bytes{};
    if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1)
        throw std::runtime_error("the system has no random numbers");
    constexpr std::string_view digits = "0123456789abcdef";
    std::string word;
    for (const unsigned char byte : bytes) {
        word += digits[byte >> 4U];
        word += digits[byte & 15U];
    }
    return word;
}

} // namespace

sessions::attempt sessions::log_in(std::string_view token, steady_time now) {
    if (filled_ != steady_time{})
        tries_left_ = std::min<double>(burst, tries_left_ + in_seconds(now - filled_) / in_seconds(between_tries));
    filled_ = now;
    if (tries_left_ < 1) return {.wait = scaled(between_tries, 1 - tries_left_)};
    if (token_.empty() || !same_secret(digest_of(token), digest_of(token_))) {
        tries_left_ -= 1;
        return {};
    }
    tries_left_ = burst;
    std::erase_if(all_, [&](const known& one) { return one.until <= now; });
    if (all_.size() >= most) all_.pop_front();
    all_.push_back({random_word(), now + lifetime});
    return {.session = all_.back().session};
}

bool sessions::knows(std::string_view session, steady_time now) const noexcept {
    bool found = false;
    for (const known& one : all_) found = (same_secret(one.session, session) && one.until > now) || found;
    return found;
}

void sessions::log_out(std::string_view session) noexcept {
    std::erase_if(all_, [&](const known& one) { return same_secret(one.session, session); });
}

} // namespace evenkeel::admin
