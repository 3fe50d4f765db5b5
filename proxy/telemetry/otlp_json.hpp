#pragma once
// Spans as a collector takes them: OTLP's ExportTraceServiceRequest in the JSON mapping of its protocol buffers. Ids
// are hexadecimal, enumerators are numbers, and whole numbers of 64 bits are strings. And what it answers. Pure.

#include "config/settings.hpp"
#include "proxy/telemetry/spans.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace evenkeel::telemetry {

class otlp_batch {
public:
    otlp_batch(const config::tracing_options& how, std::string_view version, std::string_view instance);
    void add(const traced_request& of);
    [[nodiscard]] std::size_t spans() const noexcept { return spans_; }
    [[nodiscard]] std::string finish() &&;

private:
    config::genai_conventions names_;
    std::string text_;
    std::size_t spans_ = 0;
};

// Of an answer with a good status: how many of the spans were not taken. An answer that is not understood took all.
[[nodiscard]] std::uint64_t rejected_spans(std::string_view answer);

} // namespace evenkeel::telemetry
