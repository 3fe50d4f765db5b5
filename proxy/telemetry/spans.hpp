#pragma once
// A request that is over, as the spans of its trace: what is told to a collector. A pure function of what is kept of it
// (kept_request.hpp), so nothing of a body, a query or a credential can be in them.
//
//   SERVER    POST llm                      the request, with how it ended (of a part of a fan-out: INTERNAL)
//   CLIENT      chat gpt-4o                 what its client asked for, once, with the tokens that it was charged for:
//                                           where the path is a call of an LLM's API that is known
//   CLIENT        POST  (a)                 each attempt, as the upstream was told it in traceparent
//   CLIENT        POST  (b, hedge)          ... with links to those that were under way when it was launched
//
// Waits, refusals of policies and steps of the ladder are events of the first, or of the attempt that they are about.
// An attempt that another one made needless is no error.
//
// Names: the semantic conventions of OpenTelemetry for HTTP; of the GenAI conventions those of 0.1, those that the
// semantic conventions had up to 1.41, or both; our own begin with `evenkeel.`.

#include "config/settings.hpp"
#include "proxy/events/trace_context.hpp"
#include "proxy/telemetry/kept_request.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace evenkeel::telemetry {

struct attribute {
    std::string_view name; // static, and nothing in it to escape
    // A view is static, or into the kept request.
    std::variant<std::string_view, std::string, bool, std::int64_t, double> value;
};
using attributes = std::vector<attribute>;

struct span_event {
    std::int64_t at = 0; // nanoseconds of the Unix clock, as all times here
    std::string name{};
    attributes with{};
};
struct span_link {
    trace_link to{};
    attributes with{};
};

struct span {
    enum class kind : unsigned char { internal = 1, server = 2, client = 3 }; // as OTLP numbers them
    enum class status : unsigned char { unset = 0, error = 2 };

    std::uint64_t id = 0, parent = 0; // parent 0: none
    bool parent_remote = false;
    std::string name{};
    kind is = kind::internal;
    status ended = status::unset;
    std::int64_t begin = 0, end = 0;
    attributes with{};
    std::vector<span_event> events{};
    std::vector<span_link> links{};
};

struct traced_request {
    kept_request kept{};
    trace_context trace{};
};

// The request's own first. They look into `of`, which is to outlive them.
[[nodiscard]] std::vector<span> spans_of(const traced_request& of, config::genai_conventions names);
std::vector<span> spans_of(traced_request&&, config::genai_conventions) = delete;

// How many those will be, of a request that has not been kept.
[[nodiscard]] std::size_t count_spans(const request_account& of) noexcept;

} // namespace evenkeel::telemetry
