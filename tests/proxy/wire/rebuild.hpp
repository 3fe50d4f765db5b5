#pragma once
// Writes a head the way the proxy forwards it, for checks that what was read survives being written.

#include "proxy/wire/gate.hpp"
#include "proxy/wire/head_builder.hpp"

#include <algorithm>
#include <string>

namespace evenkeel::test {

[[nodiscard]] inline std::string rebuild(const wire::request_head& head) {
    wire::head_text out;
    wire::head_builder b(out);
    b.request_line(head.method, head.target);
    b.field("host", head.host);
    for (const wire::field& f : head.fields) b.field(f.name, f.value);
    if (head.expect_continue) b.field("expect", "100-continue");
    b.framing(head.body);
    if (!head.keep_alive) b.connection("close");
    b.finish();
    return std::string(out.view());
}

[[nodiscard]] inline std::string rebuild(const wire::response_head& head) {
    wire::head_text out;
    wire::head_builder b(out);
    b.status_line(head.status, head.reason);
    for (const wire::field& f : head.fields) b.field(f.name, f.value);
    b.framing(head.body);
    if (head.declared_length) b.field("content-length", *head.declared_length);
    if (head.keep_alive_timeout_seconds != 0)
        b.field("keep-alive", "timeout=" + std::to_string(head.keep_alive_timeout_seconds));
    if (!head.keep_alive) b.connection("close");
    b.finish();
    return std::string(out.view());
}

[[nodiscard]] inline bool same_fields(const std::vector<wire::field>& a, const std::vector<wire::field>& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const wire::field& x, const wire::field& y) {
        return x.name == y.name && x.value == y.value && x.id == y.id;
    });
}

// The version is the proxy's own; the builder always writes 1.1.
[[nodiscard]] inline bool same_parts(const wire::request_head& a, const wire::request_head& b) {
    return a.method == b.method && a.target == b.target && a.path == b.path && a.query == b.query && a.host == b.host &&
           a.body.kind == b.body.kind && a.body.length == b.body.length && a.keep_alive == b.keep_alive &&
           a.expect_continue == b.expect_continue && b.minor_version == 1 && same_fields(a.fields, b.fields);
}

// An empty reason is filled in by the builder.
[[nodiscard]] inline bool same_parts(const wire::response_head& a, const wire::response_head& b) {
    return a.status == b.status &&
           (a.reason.empty() ? b.reason == wire::reason_phrase(a.status) : a.reason == b.reason) &&
           a.body.kind == b.body.kind && a.body.length == b.body.length && a.keep_alive == b.keep_alive &&
           a.declared_length == b.declared_length && a.keep_alive_timeout_seconds == b.keep_alive_timeout_seconds &&
           b.minor_version == 1 && same_fields(a.fields, b.fields);
}

} // namespace evenkeel::test
