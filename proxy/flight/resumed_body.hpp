#pragma once
// A committed event stream that is asked for again when it breaks (`stream.resume: verified_replay`): what its new
// attempt says is held against what the client has been sent, and only if it is the same does the stream go on with
// what is new. Otherwise, and where no attempt can be made, it ends in the error frame it would have ended in.
//
// Whole events are passed on only, so that a stream is always between two events when it breaks. The attempts are extra
// ones of the same request: they count against max_retries and are paid for by the budget.

#include "proxy/message/answer.hpp"
#include "proxy/message/client_request.hpp"
#include "proxy/message/errand.hpp"
#include "proxy/state/worker_services.hpp"
#include "proxy/wire/error_body.hpp"

#include <memory>

namespace evenkeel::request {

// Whether a stream of this request, by a server with this dialect, could be replayed.
[[nodiscard]] bool is_replayable_stream(const client_request& request, wire::dialect which);

// `from`: a stream whose attempt leaves its last words to us, the last of `attempts`. The request outlives it; of
// `what` a copy is kept.
[[nodiscard]] std::unique_ptr<body_source> resumed_body(worker_services& services, client_request& request,
                                                        const errand& what, int attempts, const stream_origin& where,
                                                        wire::dialect which, std::unique_ptr<body_source> from);

} // namespace evenkeel::request
