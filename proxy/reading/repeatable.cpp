#include "proxy/reading/repeatable.hpp"

#include "proxy/wire/characters.hpp"

#include <algorithm>
#include <array>

namespace evenkeel::request {

namespace {
// RFC 9110 9.2.2, without TRACE, which is refused. A method that we do not know may do anything.
constexpr std::array<std::string_view, 5> idempotent{"GET", "HEAD", "OPTIONS", "PUT", "DELETE"};

std::size_t without_slash(std::string_view prefix) noexcept { return prefix.size() - (prefix.ends_with('/') ? 1 : 0); }
} // namespace

std::size_t base_of(const config::route& route, const config::upstream& upstream) noexcept {
    const bool adds_prefix = route.rewrite.is == config::path_rewrite::kind::prefix;
    return upstream.address.base_path.size() + (adds_prefix ? without_slash(route.rewrite.value) : 0);
}

const wire::call* call_sent(const config::route& route, const config::upstream& upstream,
                            const wire::request_head& head, std::string_view target) noexcept {
    if (!upstream.paths.empty()) return call_of_path(&route, head.path);
    return wire::find_call(target.substr(0, target.find('?')), base_of(route, upstream));
}

const wire::call* call_of_path(const config::route* route, std::string_view path) noexcept {
    if (route == nullptr || route->rewrite.is == config::path_rewrite::kind::none) return wire::find_call(path);
    if (route->rewrite.is == config::path_rewrite::kind::whole) return wire::find_call(route->rewrite.value);
    return wire::find_call(path, without_slash(route->match.path_prefix));
}

replay_verdict check_replay(const wire::request_head& head, const wire::call* called) {
    if (!head.is_post() && std::find(idempotent.begin(), idempotent.end(), head.method) != idempotent.end()) {
        return replay_verdict::yes;
    }
    if (head.find(std::string_view{"idempotency-key"}) != nullptr) return replay_verdict::yes;
    if (called == nullptr || !(head.is_post() ? wire::is_word(called->method, "POST") : called->method == head.method))
        return replay_verdict::no;
    return called->effect == wire::call_effect::may_store ? replay_verdict::by_body : replay_verdict::yes;
}

} // namespace evenkeel::request
