#include "proxy/reading/dialect_of.hpp"

#include "proxy/reading/repeatable.hpp"

namespace evenkeel::request {

wire::dialect dialect_of(const config::upstream& upstream, const wire::call* called) noexcept {
    switch (upstream.dialect) {
    case config::dialect_setting::openai: return wire::dialect::openai;
    case config::dialect_setting::anthropic: return wire::dialect::anthropic;
    case config::dialect_setting::gemini: return wire::dialect::gemini;
    case config::dialect_setting::ollama: return wire::dialect::ollama;
    case config::dialect_setting::generic: return wire::dialect::generic;
    case config::dialect_setting::automatic: break;
    }
    return called != nullptr ? called->speaks : wire::dialect::generic;
}

wire::dialect dialect_of(const config::route& route, const config::upstream& upstream, std::string_view path) noexcept {
    const bool asked = upstream.dialect == config::dialect_setting::automatic;
    return dialect_of(upstream, asked ? call_of_path(&route, path) : nullptr);
}

wire::dialect dialect_of(const config::route* route, std::string_view path) noexcept {
    if (route == nullptr || route->upstreams.empty()) return wire::dialect_of_path(path);
    return dialect_of(*route, *route->upstreams.front(), path);
}

} // namespace evenkeel::request
