#pragma once
// The attempts of a request, one by one, as its journal has them: where each went, as what and why, how it ended and
// how long it took. Whoever tells them (the access log, the field x-evenkeel-tries, the journal store) reads them here.

#include "policies/time.hpp"
#include "proxy/events/journal.hpp"

#include <boost/container/small_vector.hpp>

#include <cstddef>
#include <string>

namespace evenkeel::telemetry {

struct tried {
    attempt_number number = 0;
    const config::upstream* upstream = nullptr;
    happened::launched as{};
    steady_time began{};
    bool committed = false; // its answer is the request's
    bool over = false;
    happened::ended how{}; // once it is over
};
using all_tries = boost::container::small_vector<tried, 4>;
[[nodiscard]] all_tries tries_of(const journal& of);

// "timeout"; of one that goes on: "answering", or "under_way".
[[nodiscard]] std::string_view ending_of(const tried& one) noexcept;

// Where there are more, those in the middle are left out.
inline constexpr std::size_t most_tries_told = 8;

// A list of RFC 8941, as the client may see it (names of upstreams and of their credentials, but of no host):
// a;kind=first;end=timeout;s=2.500, b/team;kind=rescue;end=answering;s=0.310
// With `why` where that is another word than the kind, `cause` and `status` where there is one. Empty: none was made.
[[nodiscard]] std::string tries_label(const journal& of, steady_time now);

// An array of JSON objects: upstream, endpoint, credential (its name), kind, why, end, cause, status, at_s (since
// `began`), duration_s, silent_s. Empty: none was made.
inline constexpr std::size_t max_tries_json = most_tries_told * 808 + 32;
[[nodiscard]] std::string tries_json(const journal& of, steady_time began, steady_time now);

} // namespace evenkeel::telemetry
