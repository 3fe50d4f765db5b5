#pragma once
// Configuration files that the program writes itself: what `init` leaves to be edited, and what `run --to` runs.

#include "proxy/cli/providers.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace evenkeel::cli {

// The dialect that the application speaks to all of them: the first one's own where the others speak it too, else
// OpenAI's.
[[nodiscard]] std::string_view common_dialect(const std::vector<const provider_facts*>& in_order);
[[nodiscard]] std::string starter_file(const std::vector<const provider_facts*>& in_order);

struct place_with_key {
    std::string url;
    std::string key{}; // environment variable; empty: none
};
struct plain_run {
    place_with_key to;
    std::vector<place_with_key> then;
    std::string listen = "127.0.0.1:8080";
    std::string admin = "127.0.0.1:9901"; // or off
};
[[nodiscard]] std::string file_of(const plain_run& wanted);

} // namespace evenkeel::cli
