#pragma once
// What one request has to do with the store of last good answers: it may take from it, and what it gets may be put
// there. Owned by the request's ladder; only routes whose ladder has a `last_good` step have one.

#include "config/settings.hpp"
#include "proxy/fallback/last_good_store.hpp"
#include "proxy/message/answer.hpp"
#include "proxy/message/client_request.hpp"
#include "proxy/message/memory_bound.hpp"
#include "proxy/wire/error_body.hpp"

#include <memory>
#include <optional>

namespace evenkeel::request {

class last_good_use {
public:
    // `step`: of the route's ladder. Reads the request's body: everything that is to be part of its identity is there.
    last_good_use(last_good_store& store, const client_request& request, const config::fallback_step& step);

    // Young enough, or why not. `look` counts nothing: whether a ladder has something to stand on.
    struct found {
        std::shared_ptr<const stored_answer> answer;
        fallback_skip why = fallback_skip::no_entry; // where there is none
    };
    [[nodiscard]] found look(steady_time now) const;
    [[nodiscard]] found take(steady_time now) const;

    // The same answer, read along with while it is relayed, to be kept once it is whole.
    [[nodiscard]] answer keep(answer given, memory_bound& memory, wire::dialect dialect, steady_time now,
                              wall_time wall_now) const;

private:
    last_good_store& store_;
    const config::fallback_step& step_;
    std::optional<last_good_key> key_;   // of answers of the kind the client asked for
    std::optional<last_good_key> whole_; // a client that asked for a stream can make do with an answer in one piece
    fallback_skip why_not_ = fallback_skip::no_key;
};

} // namespace evenkeel::request
