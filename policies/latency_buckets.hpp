#pragma once
// Where a latency is counted: logarithmic buckets, each gamma = (1 + a) / (1 - a) times as wide as the one before, so
// that the middle of a bucket is within a = 1 % of everything in it (Masson, Rim, Lee: DDSketch, VLDB 2019). Bucket 0
// ends at 1 ms, bucket i at gamma^i ms; the last of the 704 ends at 21 minutes and takes whatever is longer.
//
// Counts are kept in chunks of 64 buckets, allocated when first used: the latencies of one shape of request spread over
// a decade or two, which is two to four chunks of eleven.

#include "policies/time.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace evenkeel {

enum class latency_sample : unsigned char {
    answered,  // took exactly this long
    cut_off,   // would have taken longer: a loser, or a timeout
    abandoned, // the client left: longer, but leaving is not independent of waiting
};
inline constexpr std::size_t latency_sample_kinds = 3;

struct latency_buckets {
    static constexpr double accuracy = 0.01; // a
    static constexpr std::size_t per_chunk = 64;
    static constexpr std::size_t chunks = 11;
    static constexpr std::size_t count = chunks * per_chunk;

    [[nodiscard]] static std::size_t of(duration took) noexcept;
    [[nodiscard]] static duration middle(std::size_t bucket) noexcept; // on the linear scale; of bucket 0 its end
};

// A sample in two bytes: chunk, kind, place within the chunk. Worked: 100 ms answered, bucket 231 = 3 * 64 + 39:
// 0x0327.
class latency_code {
public:
    latency_code(std::size_t bucket, latency_sample kind) noexcept
        : code_(static_cast<std::uint16_t>(bucket / latency_buckets::per_chunk << 8 |
                                           static_cast<std::size_t>(kind) << 6 | bucket % latency_buckets::per_chunk)) {
    }
    latency_code(duration took, latency_sample kind) noexcept : latency_code(latency_buckets::of(took), kind) {}

    [[nodiscard]] std::size_t chunk() const noexcept { return code_ >> 8; }
    [[nodiscard]] std::size_t kind() const noexcept { return code_ >> 6 & 3; }
    [[nodiscard]] std::size_t place() const noexcept { return code_ & 255; } // kind and bucket within the chunk

private:
    std::uint16_t code_;
};

// Counts of three kinds for every bucket.
template <class Count>
class bucket_counts {
public:
    struct chunk {
        std::array<Count, latency_sample_kinds * latency_buckets::per_chunk> counts{};
        [[nodiscard]] Count of(latency_sample kind, std::size_t within) const noexcept {
            return counts[static_cast<std::size_t>(kind) * latency_buckets::per_chunk + within];
        }
    };

    // Null: nothing in these 64.
    [[nodiscard]] const chunk* at(std::size_t number) const noexcept { return chunks_[number].get(); }
    [[nodiscard]] Count& at(latency_code code) {
        auto& holds = chunks_[code.chunk()];
        if (!holds) [[unlikely]]
            holds = std::make_unique<chunk>();
        return holds->counts[code.place()];
    }
    void clear() noexcept { // the memory is kept
        for (auto& one : chunks_) {
            if (one) *one = {};
        }
    }
    // Everything that is not zero: a code and how many.
    template <class Visit>
    void each(Visit visit) const {
        for (std::size_t c = 0; c < latency_buckets::chunks; ++c) {
            if (!chunks_[c]) continue;
            for (std::size_t kind = 0; kind < latency_sample_kinds; ++kind) {
                for (std::size_t i = 0; i < latency_buckets::per_chunk; ++i) {
                    const auto what = static_cast<latency_sample>(kind);
                    if (const Count n = chunks_[c]->of(what, i); n > 0)
                        visit(latency_code(c * latency_buckets::per_chunk + i, what), n);
                }
            }
        }
    }

private:
    std::array<std::unique_ptr<chunk>, latency_buckets::chunks> chunks_;
};

} // namespace evenkeel
