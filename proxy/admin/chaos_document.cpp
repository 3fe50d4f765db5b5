#include "proxy/admin/chaos_document.hpp"

#include "proxy/telemetry/json_text.hpp"

#include <fmt/format.h>

#include <iterator>
#include <string_view>

namespace evenkeel::admin {

namespace {

void add_text(std::string& out, std::string_view name, std::string_view value) {
    if (value.empty()) return;
    fmt::format_to(std::back_inserter(out), ",\"{}\":", name);
    telemetry::append_quoted(out, value);
}

void add_parameters(std::string& out, const chaos_fault_options& fault) {
    const auto number = [&](std::string_view name, auto value) {
        fmt::format_to(std::back_inserter(out), ",\"{}\":{}", name, value);
    };
    switch (fault.is) {
    case chaos_fault::latency:
        number("delay_s", in_seconds(fault.delay));
        number("jitter_s", in_seconds(fault.jitter));
        break;
    case chaos_fault::abort:
        number("status", fault.status);
        if (fault.retry_after) number("retry_after_s", in_seconds(*fault.retry_after));
        break;
    case chaos_fault::drip: number("bytes_per_second", fault.bytes_per_second); break;
    default: break;
    }
    if (fault.after_events) number("after_events", *fault.after_events);
    if (fault.after_bytes) number("after_bytes", *fault.after_bytes);
    if (fault.mid_event) number("mid_event", true);
    add_text(out, "code", fault.code);
}

} // namespace

std::string chaos_document(const chaos::summary& shown) {
    std::string out = fmt::format("{{\"enabled\":{},\"seed\":{},\"rules\":[", shown.enabled, shown.seed);
    bool first = true;
    for (const auto& each : shown.rules) {
        if (!first) out += ',';
        first = false;
        out += "{\"route\":";
        telemetry::append_quoted(out, each.rule.route);
        add_text(out, "upstream", each.rule.upstream);
        if (each.rule.profile.empty()) {
            add_text(out, "fault", to_string(each.rule.fault.is));
            add_parameters(out, each.rule.fault);
        } else {
            add_text(out, "profile", each.rule.profile);
        }
        if (each.rule.attempts > 0) fmt::format_to(std::back_inserter(out), ",\"attempts\":{}", each.rule.attempts);
        if (each.rule.max_active > 0)
            fmt::format_to(std::back_inserter(out), ",\"max_active\":{}", each.rule.max_active);
        fmt::format_to(std::back_inserter(out),
                       ",\"probability\":{},\"left_s\":{:.3f},\"source\":\"{}\",\"injected\":{},\"active\":{}}}",
                       each.rule.probability, in_seconds(each.left), each.from_file ? "file" : "admin", each.injected,
                       each.active);
    }
    return out + "]}\n";
}

} // namespace evenkeel::admin
