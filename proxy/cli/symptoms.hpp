#pragma once
// What somebody sees and what to do about it, by word: the tables under "Symptoms" in deploy/README.md, and the alerts
// of deploy/prometheus, as they were when this was built.

#include <string>
#include <string_view>

namespace evenkeel::cli {

extern const std::string_view operating_page; // deploy/README.md
extern const std::string_view alert_rules;    // deploy/prometheus/evenkeel.rules.yaml

// The rows that name `word` (circuit_open, 503, stream_idle_timeout) as what is seen, or where none does, and it is one
// with `_` in it (evenkeel_hedges_refused_total), as what to look at: text of 80 columns, in the order of the page.
// Empty: none. Only whole words in code count, and statuses. Of a word for a request that is not strict HTTP/1.1: the
// rule it broke; of a metric also what it counts; of an alert (EvenkeelCircuitOpen, CircuitOpen) when it fires and its
// runbook.
[[nodiscard]] std::string symptoms_of(std::string_view word);

} // namespace evenkeel::cli
