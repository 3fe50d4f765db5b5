#pragma once
// Heads that leave the proxy, rebuilt from validated parts (DESIGN "Wire rules"): the request to an upstream and the
// answer to a client. Pure: strings out.

#include "config/settings.hpp"
#include "proxy/events/trace_context.hpp"
#include "proxy/wire/head.hpp"
#include "proxy/wire/head_text.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace evenkeel::request {

// Our own fields on an answer, besides what the upstream sent.
struct answer_labels {
    std::string_view route{};    // empty: not added
    std::string_view upstream{}; // empty: not added
    int attempts = 0;
    std::string_view outcome{};       // empty: not added
    std::string_view tries{};         // empty: not added
    std::string_view degraded{};      // empty: not added
    std::string_view cache_status{};  // empty: not added
    std::string_view cost{};          // empty: not added
    bool stop_client_retries = false; // x-should-retry: false, where the upstream did not speak for itself
    std::string_view request_id{};    // added where the upstream sent no x-request-id
    std::string_view upgrade_to{};    // what a 426 asks for instead (RFC 9110, 15.5.22)
    bool close = false;               // Connection: close
    bool keep_alive_http10 = false;   // Connection: keep-alive, which an HTTP/1.0 client must be told
};

// How the answer may come compressed: as the client says, or, where it is to be judged, not at all. The configuration's
// own word stands.
enum class answer_coding : unsigned char { as_asked, identity };

// What an upstream is told of the trace, in place of what the caller said of it.
struct trace_fields {
    telemetry::trace_context of{}; // empty: nothing is traced here, and the caller's word goes on as it is
    config::trace_propagation propagate = config::trace_propagation::traceparent;
};

// The one place where a request's head is written: of the fields of a caller only this decides which an upstream is
// shown. Where it is shown no caller's credentials, `target` is without them too (upstream_target).
//
// `shown`: which of the upstream's credentials it is sent with; null: it has no choice.
//
// Where in `out` the id of the span is (16 digits): each time that the head is sent it has one of its own. 0: nowhere.
std::size_t append_request_head(wire::head_text& out, const wire::request_head& head, std::string_view target,
                                const config::route& route, const config::upstream& upstream,
                                const wire::body_framing& body, std::string_view client_address,
                                answer_coding coding = answer_coding::as_asked, const trace_fields& trace = {},
                                const config::credential* shown = nullptr);

void append_response_head(wire::head_text& out, const wire::response_head& head, const wire::body_framing& body,
                          const answer_labels& labels);

} // namespace evenkeel::request
