#pragma once
// The environment variables that every OpenTelemetry SDK knows, as defaults of `tracing`: the file's own word comes
// first, key by key. Where neither names a collector there is nothing to add.
//
//   OTEL_SDK_DISABLED=true, OTEL_TRACES_EXPORTER=none     no endpoint comes from a variable
//   OTEL_EXPORTER_OTLP_ENDPOINT, _TRACES_ENDPOINT         where the file has neither of the two
//   OTEL_EXPORTER_OTLP_HEADERS, _TRACES_HEADERS           name=value,name=value, percent-encoded
//   OTEL_TRACES_SAMPLER, OTEL_TRACES_SAMPLER_ARG          sample and parent
//   OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES           (the former before a service.name among the latter)
//   OTEL_SEMCONV_STABILITY_OPT_IN                         with gen_ai_latest_experimental: semconv 0.1

#include "config/entry.hpp"
#include "config/load.hpp"

#include <string>
#include <vector>

namespace evenkeel::config {

// What is wrong with those that were ignored, a sentence each, without their values. `secrets` gets what is one.
[[nodiscard]] std::vector<std::string> add_otel_variables(entry& root, const environment& env,
                                                          std::vector<std::string>& secrets);

} // namespace evenkeel::config
