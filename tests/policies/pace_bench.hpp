#pragma once
// One quota and those who use it, in virtual time: a provider that lets in so many requests a minute and says so in the
// fields of one family, or in none; N sidecars that know nothing of each other, each with its own `paced_quota`; and
// what they are compared with: the same clients with an SDK's back-off, and one line for all that knows the quota.

#include "policies/pace.hpp"

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

namespace evenkeel::pace_bench {

enum class fields : unsigned char { openai, anthropic, azure, groq, ietf, none };
enum class kind : unsigned char { bucket, window };
enum class player : unsigned char { paced, sdk, perfect };

struct scenario {
    int sidecars = 1;
    double per_minute = 600;
    double tokens_per_minute = 0; // 0: no such limit
    double load = 1;              // of the quota
    bool bursts = true;           // a third of the time three times the load of the rest
    fields family = fields::openai;
    kind fills = kind::bucket;
    bool refused_count = false;
    duration length = std::chrono::minutes{10};
    duration patience = std::chrono::seconds{60};
    double tokens = 1000; // of a request, on average
    double batch = 0;     // the part of the load that is batch
    std::uint64_t seed = 1;
};

struct outcome {
    int asked = 0, served = 0, refused = 0, given_up = 0;
    double mean = 0, p99 = 0;                   // seconds of those served
    double interactive_p99 = 0, batch_mean = 0; // likewise
    std::vector<int> by_client, asked_by_client;

    [[nodiscard]] double refused_per_served() const noexcept { return refused / std::max(1.0, double(served)); }
    // The worst client's, of its fair share of what was served; as much as it asked for is fair as well.
    [[nodiscard]] double least_share() const;
};

[[nodiscard]] outcome play(player who, const scenario& in);

} // namespace evenkeel::pace_bench
