#pragma once
// Whether a request may be sent again after it may have reached the upstream (DESIGN section 4, "Replay eligibility"):
// the idempotent methods, anything with an Idempotency-Key, and the calls that compute and leave nothing behind
// (wire/calls.hpp). Judged on what is sent, behind the route's rewrite and the upstream's base path. Pure.

#include "config/settings.hpp"
#include "proxy/wire/calls.hpp"
#include "proxy/wire/head.hpp"

#include <cstddef>
#include <string_view>

namespace evenkeel::request {

// How many bytes of what is sent upstream are a base that the configuration names.
[[nodiscard]] std::size_t base_of(const config::route& route, const config::upstream& upstream) noexcept;

// The call that is sent to an upstream by this target; null: none that we know. Where that upstream has paths of its
// own, it is what the client's path means.
[[nodiscard]] const wire::call* call_sent(const config::route& route, const config::upstream& upstream,
                                          const wire::request_head& head, std::string_view target) noexcept;

// The call that a client's path is, where a route rewrites it after the rewrite; the upstream's base path does not
// matter.
[[nodiscard]] const wire::call* call_of_path(const config::route* route, std::string_view path) noexcept;

// As far as the head tells.
enum class replay_verdict : unsigned char { no, yes, by_body };
[[nodiscard]] replay_verdict check_replay(const wire::request_head& head, const wire::call* called);

// A call that may be asked to store something is not sent again before all of its body has been read and held. Of any
// other the body is not looked at. `stores_nothing`: all of it is here, and asks for nothing of the kind.
template <class StoresNothing>
[[nodiscard]] bool is_replay_eligible(const wire::request_head& head, const wire::call* called,
                                      StoresNothing stores_nothing) {
    const replay_verdict verdict = check_replay(head, called);
    return verdict == replay_verdict::by_body ? stores_nothing() : verdict == replay_verdict::yes;
}

} // namespace evenkeel::request
