#include "invariant.hpp"

#include "proxy/wire/retry_hint.hpp"

#include <array>

using namespace evenkeel;
using fuzz::require;

// The first byte names the field, the rest is its value; a second field may follow behind a line feed.
extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    static constexpr std::array<std::pair<std::string_view, wire::field_id>, 8> names{{
        {"retry-after", wire::field_id::retry_after},
        {"retry-after-ms", wire::field_id::other},
        {"date", wire::field_id::date},
        {"x-ratelimit-reset-requests", wire::field_id::other},
        {"x-ratelimit-remaining-requests", wire::field_id::other},
        {"anthropic-ratelimit-tokens-reset", wire::field_id::other},
        {"anthropic-ratelimit-tokens-remaining", wire::field_id::other},
        {"x-should-retry", wire::field_id::x_should_retry},
    }};
    std::string_view rest(reinterpret_cast<const char*>(data), size);
    wire::response_head head;
    head.status = 429;
    while (!rest.empty() && head.fields.size() < 8) {
        const auto& [name, id] = names[static_cast<unsigned char>(rest.front()) % names.size()];
        const std::string_view value = rest.substr(1, rest.find('\n') - 1);
        head.fields.push_back({name, value, id});
        rest.remove_prefix(std::min(rest.size(), value.size() + 2));
    }
    const wall_time now{std::chrono::seconds{1'790'000'000}};
    const auto hint = wire::retry_hint(head, {}, now);
    require(!hint || (*hint >= duration::zero() && *hint <= std::chrono::hours{24 * 400}),
            "a hint is neither negative nor absurd");
    static_cast<void>(wire::should_retry(head));
    for (const auto& one : head.fields) {
        const auto seconds = wire::parse_seconds(one.value);
        require(!seconds || *seconds > duration::zero(), "a timeout is positive");
        static_cast<void>(wire::parse_http_date(one.value));
    }
    return 0;
}
