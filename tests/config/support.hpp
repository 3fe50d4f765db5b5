#pragma once
// What every configuration test needs: a world with known variables and files, and a file that is good.

#include "config/load.hpp"

#include <algorithm>
#include <array>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

namespace evenkeel::config::test {

using texts = std::map<std::string, std::string>;

inline environment world(texts variables = {}, texts files = {}) {
    environment out;
    out.variable = [variables = std::move(variables)](const std::string& name) -> std::optional<std::string> {
        const auto found = variables.find(name);
        return found != variables.end() ? std::optional<std::string>(found->second) : std::nullopt;
    };
    out.file = [files = std::move(files)](const std::string& path) -> std::optional<std::string> {
        const auto found = files.find(path);
        return found != files.end() ? std::optional<std::string>(found->second) : std::nullopt;
    };
    return out;
}

// As the request path has them (proxy/serve), which no configuration depends on.
inline constexpr std::array<std::string_view, 6> stages{"in_parts", "with_fallback", "within_deadline",
                                                        "shared",   "in_turn",       "run_flight"};

inline load_result load(std::string_view yaml, const environment& env = world()) {
    return load_text(yaml, "conf/evenkeel.yaml", env);
}

inline std::string printed(const std::vector<diagnostic>& diagnostics) {
    std::ostringstream out;
    print_text(out, diagnostics);
    return out.str();
}

// "error unknown-key 3:5", one per problem.
inline std::vector<std::string> brief(const std::vector<diagnostic>& diagnostics) {
    std::vector<std::string> out;
    for (const diagnostic& d : diagnostics) {
        out.push_back(std::string(d.level == severity::error ? "error " : "warning ") + d.code + " " +
                      std::to_string(d.line) + ":" + std::to_string(d.column));
    }
    return out;
}

// The smallest file that loads, with room for more keys before and after.
inline std::string good(const std::string& more = "", const std::string& upstream_more = "",
                        const std::string& route_more = "") {
    return "version: 1\n" + more + "upstreams:\n  openai:\n    url: https://api.openai.com\n" + upstream_more +
           "routes:\n  - name: chat\n    upstreams: [openai]\n" + route_more;
}

inline std::string read_file(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
}

inline std::string config_file(const std::string& name) { return std::string(EVENKEEL_CONFIG_FOLDER) + "/" + name; }

inline const std::vector<std::string>& example_names() {
    static const std::vector<std::string> names{"examples/openai.yaml", "examples/anthropic.yaml",
                                                "examples/deepseek.yaml", "examples/vllm.yaml", "examples/ollama.yaml"};
    return names;
}

// Whether two snapshots mean the same; `source` is about the load, not about the meaning.
inline bool same_meaning(const settings& a, const settings& b) {
    const auto same_pointees = [](const auto& left, const auto& right) {
        if (left.size() != right.size()) return false;
        for (std::size_t i = 0; i < left.size(); ++i) {
            if (!(*left[i] == *right[i])) return false;
        }
        return true;
    };
    // Routes point at their upstreams, and two loads never share one, so routes are compared with them taken out.
    if (a.routes.size() != b.routes.size()) return false;
    for (std::size_t i = 0; i < a.routes.size(); ++i) {
        route left = *a.routes[i];
        route right = *b.routes[i];
        if (!std::equal(left.upstreams.begin(), left.upstreams.end(), right.upstreams.begin(), right.upstreams.end(),
                        [](const auto& one, const auto& other) { return one->name == other->name; })) {
            return false;
        }
        left.upstreams.clear();
        right.upstreams.clear();
        if (!(left == right)) return false;
    }
    return a.listen == b.listen && a.pages == b.pages && a.workers == b.workers && a.admin == b.admin &&
           same_pointees(a.upstreams, b.upstreams) && same_pointees(a.clients, b.clients) && a.watch == b.watch &&
           a.access_log == b.access_log && a.log == b.log && a.limits == b.limits && a.tracing == b.tracing &&
           a.last_good == b.last_good && a.chaos == b.chaos && a.replay_buffer == b.replay_buffer &&
           a.budget == b.budget && a.circuit_breaker == b.circuit_breaker && a.drain_delay == b.drain_delay &&
           a.drain_timeout == b.drain_timeout && a.hash == b.hash;
}

} // namespace evenkeel::config::test
