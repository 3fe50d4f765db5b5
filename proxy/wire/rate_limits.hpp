#pragma once
// The rate-limit fields of an answer, in the spellings of those who send them:
//
//   x-ratelimit-{limit,remaining,reset}-{requests,tokens}   OpenAI, Groq and those who copy them: reset in durations
//                                                           (6m0s, 1s, 20ms); Azure sends `remaining` alone
//   anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-{limit,remaining,reset}   reset by RFC 3339
//   RateLimit and RateLimit-Policy ("default";r=50;t=30, "default";q=100;w=60; also limit=, remaining=, reset=), and
//   RateLimit-{Limit,Remaining,Reset} (drafts of the IETF's httpapi group), of requests
//
// What cannot be read is not there. Whether it can be true is for whoever uses it to judge (policies/quota_level.hpp).

#include "policies/quota_fields.hpp"
#include "policies/time.hpp"
#include "proxy/wire/head.hpp"

namespace evenkeel::wire {

[[nodiscard]] quota_fields read_rate_limits(const response_head& head, wall_time local_now) noexcept;

} // namespace evenkeel::wire
