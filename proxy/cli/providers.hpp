#pragma once
// Providers that `init` knows by name and `run --to` by host: where they are, what they speak, how they take a key.

#include <span>
#include <string_view>

namespace evenkeel::cli {

// A dialect at a provider: the URL in front of /v1 (or /v1beta), and what goes by another path there.
struct spoken {
    std::string_view url{}; // empty: not spoken
    std::string_view paths{};
    std::string_view key_field = "authorization"; // with "Bearer ", any other without
};

struct provider_facts {
    std::string_view name, title;
    std::string_view key;   // environment variable; empty: takes none
    std::string_view model; // a small one, or one of its own
    spoken openai{}, anthropic{}, gemini{};
    std::string_view first_dialect = "openai"; // of its own API
    std::string_view note{};                   // what else has to be said or set
};
[[nodiscard]] std::span<const provider_facts> providers();
[[nodiscard]] const provider_facts* provider_named(std::string_view name);
[[nodiscard]] const provider_facts* provider_at(std::string_view host);
[[nodiscard]] const spoken& spoken_in(const provider_facts& by, std::string_view dialect);

} // namespace evenkeel::cli
