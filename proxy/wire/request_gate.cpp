#include "proxy/wire/gate.hpp"

#include "proxy/wire/characters.hpp"
#include "proxy/wire/field_names.hpp"
#include "proxy/wire/framing.hpp"
#include "proxy/wire/head_scanner.hpp"
#include "proxy/wire/target.hpp"

#include <algorithm>

namespace evenkeel::wire {

namespace {

// RFC 9110, 9: methods are case-sensitive.
refusal judge_method(std::string_view method) noexcept {
    switch (method.size()) {
    case 3:
        if (is_word(method, "GET") || is_word(method, "PUT")) return refusal::none;
        break;
    case 4:
        if (is_word(method, "POST") || is_word(method, "HEAD")) return refusal::none;
        break;
    case 5:
        if (is_word(method, "PATCH")) return refusal::none;
        if (is_word(method, "TRACE")) return refusal::method_not_allowed;
        break;
    case 6:
        if (is_word(method, "DELETE")) return refusal::none;
        break;
    case 7:
        if (is_word(method, "OPTIONS")) return refusal::none;
        if (is_word(method, "CONNECT")) return refusal::method_not_allowed;
        break;
    default: break;
    }
    return refusal::method_not_supported;
}

refusal read_host(const std::vector<field>& fields, const field_summary& summary, std::string_view& host) noexcept {
    if (!summary.has(field_id::host)) return refusal::missing_host;
    if (summary.has_more_than_one(field_id::host)) return refusal::duplicate_host;
    host = fields[summary.index(field_id::host)].value;
    return is_host(host) ? refusal::none : refusal::bad_host;
}

// 100-continue is dropped where it means nothing: in HTTP/1.0 and without a body (RFC 9110, 10.1.1).
refusal read_expect(const std::vector<field>& fields, request_head& out) noexcept {
    for (const field& f : fields) {
        if (f.id != field_id::expect) continue;
        if (!iequals(f.value, "100-continue")) return refusal::bad_expect;
        out.expect_continue = out.minor_version == 1 && (out.body.kind == body_kind::chunked ||
                                                         (out.body.kind == body_kind::length && out.body.length != 0));
    }
    return refusal::none;
}

// A server may ignore any Upgrade (RFC 9110, 7.8), and does: of h2c (Java's client sends it along with every first
// request) and TLS a client that is answered over HTTP/1.1 makes nothing. Only of a WebSocket it would: it hears at
// once that there is none.
bool asks_for_websocket(const std::vector<field>& fields) noexcept {
    return std::any_of(fields.begin(), fields.end(), [](const field& one) {
        return one.id == field_id::upgrade && has_element(one.value, "websocket");
    });
}

refusal examine(const request_line& line, const field_summary& summary, request_head& out) {
    if (line.major != '1' || line.minor > '1') return refusal::version_not_supported;
    out.minor_version = line.minor - '0';
    if (const refusal why = judge_method(line.method); why != refusal::none) return why;
    out.method = line.method;

    if (summary.underscore)
        for (const field& f : out.fields)
            if (shadows_reserved(f.name, false)) return refusal::shadowed_field;

    framing_fields framing;
    if (const refusal why = read_framing(out.fields, summary, out.minor_version, framing); why != refusal::none)
        return why;
    if (framing.chunked) out.body = {body_kind::chunked, 0};
    if (framing.has_length) out.body = {body_kind::length, framing.length};

    if (const refusal why = read_host(out.fields, summary, out.host); why != refusal::none) return why;
    target_parts target;
    if (const refusal why = read_target(line.target, target); why != refusal::none) return why;
    if (!target.authority.empty() && !iequals(target.authority, out.host)) return refusal::host_mismatch;
    if (target.doubled) {
        out.merged = std::make_shared<const std::string>(merge_slashes(target));
        if (const refusal why = read_target(*out.merged, target); why != refusal::none) return why;
    }
    out.target = target.target;
    out.path = target.path;
    out.query = target.query;

    out.from_page = summary.has_any(bit_of(field_id::origin) | bit_of(field_id::sec_fetch_site));
    if (summary.has(field_id::proxy_authorization))
        out.proxy_authorization = out.fields[summary.index(field_id::proxy_authorization)].value;

    const bool closes = closes_by_proxy_connection(out.fields, summary);
    out.keep_alive = out.minor_version == 1 && !closes;
    if (summary.has(field_id::connection)) {
        connection_options options;
        read_connection(out.fields, summary, options);
        if (options.malformed || options.too_many || options.names_reserved) return refusal::bad_connection;
        if (options.upgrade && out.minor_version == 1 && summary.has(field_id::upgrade) &&
            asks_for_websocket(out.fields))
            return refusal::upgrade_not_supported;
        out.keep_alive = !closes && !options.close && (out.minor_version == 1 || options.keep_alive);
        if (summary.has(field_id::expect))
            if (const refusal why = read_expect(out.fields, out); why != refusal::none) return why;
        keep_end_to_end(out.fields, summary, &options);
        return refusal::none;
    }
    if (summary.has(field_id::expect))
        if (const refusal why = read_expect(out.fields, out); why != refusal::none) return why;
    keep_end_to_end(out.fields, summary, nullptr);
    return refusal::none;
}

} // namespace

head_result read_request_head(std::string_view bytes, const head_limits& limits, std::size_t& scanned,
                              request_head& out) {
    request_line line;
    field_summary summary;
    out.clear();
    head_result result = scan_request_head(bytes, limits, scanned, line, out.fields, summary);
    if (result.is != head_result::state::complete) return result;
    if (const refusal why = examine(line, summary, out); why != refusal::none)
        return {head_result::state::refused, 0, why};
    out.raw = bytes.substr(0, result.consumed);
    return result;
}

} // namespace evenkeel::wire
