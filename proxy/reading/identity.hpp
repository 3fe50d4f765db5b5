#pragma once
// What makes two requests the same, for those who give two of them one answer: a text that lists it, and a keyed hash
// of that text and the principal. The hash cannot be made without a principal, so no two of them ever share an answer,
// and it tells nothing of either: it may be written to a file.

#include "proxy/reading/principal.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

namespace evenkeel::request {

// Each part with its length in front, so that no two lists read the same.
class identity_text {
public:
    void add(std::string_view part);
    void add(std::uint64_t number) { add(std::string_view{std::to_string(number)}); }
    // A body may be large: its SHA-256 stands for it.
    void add_digest(std::string_view body);
    // Every end-to-end field of a request in its order and with its exact value, but those that change no answer: what
    // is not known to be harmless counts. Left out are the ids that tracing gives to each request, what a client says
    // of its own repetitions, x-evenkeel-timeout and x-evenkeel-cost, which are not sent upstream, and `harmless`
    // (lower case).
    void add_fields(const wire::request_head& head, std::span<const std::string_view> harmless = {});
    [[nodiscard]] std::string_view view() const noexcept { return text_; }

private:
    std::string text_;
};

// 256 bits. What is kept by it derives from it, so that the keys of one place do not fit another.
class identity_hash {
public:
    bool operator==(const identity_hash&) const = default;
    struct hash {
        std::size_t operator()(const identity_hash& of) const noexcept {
            std::size_t out = 0;
            std::memcpy(&out, of.hash_.data(), sizeof out); // it is a hash already
            return out;
        }
    };

protected:
    identity_hash(const principal& whose, const identity_text& what, const hash_key& key);
    explicit identity_hash(const hash_key::bytes& kept) noexcept : hash_(kept) {}
    [[nodiscard]] const hash_key::bytes& bytes() const noexcept { return hash_; }

private:
    hash_key::bytes hash_;
};

} // namespace evenkeel::request
