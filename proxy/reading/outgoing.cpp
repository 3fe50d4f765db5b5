#include "proxy/reading/outgoing.hpp"

#include "proxy/reading/credentials.hpp"
#include "proxy/reading/trace_id.hpp"
#include "proxy/wire/head_builder.hpp"

#include <algorithm>

namespace evenkeel::request {

namespace {
bool same_name(std::string_view a, std::string_view b) noexcept {
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
    return a.size() == b.size() &&
           std::equal(a.begin(), a.end(), b.begin(), [&](char x, char y) { return lower(x) == lower(y); });
}

bool is_edited(const config::header_edits& edits, std::string_view name) noexcept {
    const auto same = [&](std::string_view other) { return same_name(name, other); };
    return std::any_of(edits.remove.begin(), edits.remove.end(), same) ||
           std::any_of(edits.set.begin(), edits.set.end(), [&](const auto& one) { return same(one.first); });
}

bool is_empty(const config::header_edits& edits) noexcept { return edits.set.empty() && edits.remove.empty(); }

constexpr std::string_view forwarded_for = "x-forwarded-for", accept_encoding = "accept-encoding",
                           traceparent = "traceparent";

bool speaks_of_trace(std::string_view name) noexcept {
    switch (name.size()) { // of every field of every request
    case 7: return same_name(name, "baggage");
    case 10: return same_name(name, "tracestate");
    case traceparent.size(): return same_name(name, traceparent);
    default: return false;
    }
}

// A browser shows the cookie of our admin port to every port of the host, the data port too. It is no upstream's.
constexpr std::string_view cookie = "cookie", admin_cookie = "evenkeel";
bool has_admin_cookie(const wire::field& one) noexcept {
    return one.name.size() == cookie.size() && same_name(one.name, cookie) &&
           one.value.find(admin_cookie) != std::string_view::npos;
}
bool is_admin_cookie(std::string_view name) noexcept { // evenkeel, evenkeel_9901
    if (!name.starts_with(admin_cookie)) return false;
    name.remove_prefix(admin_cookie.size());
    return name.empty() || (name[0] == '_' && name.find_first_not_of("0123456789", 1) == std::string_view::npos);
}
void append_other_cookies(std::string& to, std::string_view all) {
    while (!all.empty()) {
        const auto end = all.find(';');
        std::string_view one = all.substr(0, end);
        all = end == std::string_view::npos ? std::string_view{} : all.substr(end + 1);
        one.remove_prefix(std::min(one.find_first_not_of(' '), one.size()));
        if (one.empty() || is_admin_cookie(one.substr(0, one.find('=')))) continue;
        if (!to.empty()) to += "; ";
        to += one;
    }
}
} // namespace

std::size_t append_request_head(wire::head_text& out, const wire::request_head& head, std::string_view target,
                                const config::route& route, const config::upstream& upstream,
                                const wire::body_framing& body, std::string_view client_address, answer_coding coding,
                                const trace_fields& trace, const config::credential* shown) {
    wire::head_builder builder(out);
    builder.request_line(head.method, target);
    builder.field("host", upstream.address.authority);
    const bool edited = !is_empty(route.headers) || !is_empty(upstream.headers);
    const bool hides = config::hides_callers(route, upstream);
    const bool plain = coding == answer_coding::identity;
    const bool traced{trace.of};
    // A tracestate belongs to the traceparent that it came with.
    const bool all = trace.propagate == config::trace_propagation::all && trace.of.parent_remote;
    std::size_t span_at = 0;
    std::string forwarded, cookies;
    builder.fields(head.raw, head.fields, [&](const wire::field& one) {
        if (one.id == wire::field_id::own) return false; // meant for us
        if (plain && one.id == wire::field_id::accept_encoding) return false;
        if (traced && speaks_of_trace(one.name) && (!all || same_name(one.name, traceparent))) return false;
        if (hides && is_credential(route.credentials, one)) return false;
        if (edited && (is_edited(route.headers, one.name) || is_edited(upstream.headers, one.name))) return false;
        // Whatever its caller calls by the name of a field that shows the key.
        if (shown != nullptr && std::any_of(shown->set.begin(), shown->set.end(),
                                            [&](const auto& field) { return same_name(one.name, field.first); }))
            return false;
        if (has_admin_cookie(one)) {
            append_other_cookies(cookies, one.value);
            return false;
        }
        if (upstream.forwarded && same_name(one.name, forwarded_for)) {
            if (!forwarded.empty()) forwarded += ", ";
            forwarded += one.value;
            return false;
        }
        return true;
    });
    if (!cookies.empty()) builder.field(cookie, cookies);
    if (plain &&
        !(edited && (is_edited(route.headers, accept_encoding) || is_edited(upstream.headers, accept_encoding))))
        builder.field(accept_encoding, "identity");
    if (edited) {
        // The upstream's own edits come last in meaning: they carry its credential.
        for (const auto& [name, value] : route.headers.set) {
            const bool its_own = shown != nullptr && shown->sets(name);
            if (!its_own && !is_edited(upstream.headers, name)) builder.field(name, value);
        }
        for (const auto& [name, value] : upstream.headers.set) builder.field(name, value);
    }
    if (shown != nullptr) {
        for (const auto& [name, value] : shown->set) builder.field(name, value);
    }
    if (traced && trace.propagate != config::trace_propagation::none &&
        !(edited && (is_edited(route.headers, traceparent) || is_edited(upstream.headers, traceparent)))) {
        builder.field(traceparent, traceparent_text{trace.of}.view());
        span_at = out.size() - 2 - traceparent_text::size + traceparent_text::span_at; // in front of its CRLF
    }
    if (upstream.forwarded && !client_address.empty()) {
        if (!forwarded.empty()) forwarded += ", ";
        forwarded += client_address;
        builder.field(forwarded_for, forwarded);
    }
    builder.framing(body);
    builder.finish();
    return span_at;
}

void append_response_head(wire::head_text& out, const wire::response_head& head, const wire::body_framing& body,
                          const answer_labels& labels) {
    wire::head_builder builder(out);
    builder.status_line(head.status, head.reason);
    bool has_request_id = false, upstream_speaks = false;
    builder.fields(head.raw, head.fields, [&](const wire::field& one) {
        has_request_id = has_request_id || one.id == wire::field_id::x_request_id;
        upstream_speaks = upstream_speaks || one.id == wire::field_id::x_should_retry;
        return one.id != wire::field_id::own;
    });
    if (!has_request_id && !labels.request_id.empty()) builder.field("x-request-id", labels.request_id);
    if (!labels.route.empty()) builder.field("x-evenkeel-route", labels.route);
    if (!labels.upstream.empty()) builder.field("x-evenkeel-upstream", labels.upstream);
    if (labels.attempts > 0) builder.field("x-evenkeel-attempts", static_cast<std::uint64_t>(labels.attempts));
    if (!labels.outcome.empty()) builder.field("x-evenkeel-outcome", labels.outcome);
    if (!labels.tries.empty()) builder.field("x-evenkeel-tries", labels.tries);
    if (!labels.degraded.empty()) builder.field("x-evenkeel-degraded", labels.degraded);
    if (!labels.cost.empty()) builder.field("x-evenkeel-cost", labels.cost);
    if (!labels.cache_status.empty()) builder.field("cache-status", labels.cache_status);
    if (labels.stop_client_retries && !upstream_speaks) builder.field("x-should-retry", "false");
    builder.framing(body);
    // Content-Length of an answer to HEAD and of a 304: it describes a body that is not here.
    if (body.kind == wire::body_kind::none && head.declared_length)
        builder.field("content-length", *head.declared_length);
    if (!labels.upgrade_to.empty()) builder.field("upgrade", labels.upgrade_to);
    if (labels.close) {
        builder.connection(labels.upgrade_to.empty() ? "close" : "close, upgrade");
    } else if (labels.keep_alive_http10) {
        builder.connection("keep-alive");
    }
    builder.finish();
}

} // namespace evenkeel::request
