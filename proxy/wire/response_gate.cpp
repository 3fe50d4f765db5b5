#include "proxy/wire/gate.hpp"

#include "proxy/wire/characters.hpp"
#include "proxy/wire/field_names.hpp"
#include "proxy/wire/framing.hpp"
#include "proxy/wire/head_scanner.hpp"

#include <algorithm>
#include <limits>

namespace evenkeel::wire {

namespace {

// `Keep-Alive: timeout=5, max=100`: how long the server keeps an idle connection. Anything unreadable tells nothing.
std::uint32_t read_keep_alive_timeout(const std::vector<field>& fields) noexcept {
    for (const field& f : fields) {
        if (f.id != field_id::keep_alive) continue;
        std::string_view rest = f.value;
        while (!rest.empty()) {
            const std::size_t comma = rest.find(',');
            const std::string_view element = trim(rest.substr(0, comma));
            std::uint64_t seconds = 0;
            if (element.size() > 8 && iequals(element.substr(0, 8), "timeout=") &&
                read_length(element.substr(8), seconds))
                return static_cast<std::uint32_t>(
                    std::min<std::uint64_t>(seconds, std::numeric_limits<std::uint32_t>::max()));
            if (comma == std::string_view::npos) break;
            rest.remove_prefix(comma + 1);
        }
    }
    return 0;
}

// RFC 9112, 6.3, in its order. `reusable` turns false where the end of the body ends the connection, or where the
// head announces a body that must not follow and some servers send all the same.
refusal frame_body(const framing_fields& framing, response_context context, response_head& out,
                   bool& reusable) noexcept {
    const bool announces_body = framing.chunked || (framing.has_length && framing.length != 0);
    if (out.status < 200) {
        // The final head comes on this connection in any case, so a body here could only be misread as that head.
        // `Content-Length: 0`, which RFC 9110, 8.6 forbids as well, does no harm.
        if (announces_body) return framing.chunked ? refusal::bad_transfer_encoding : refusal::bad_content_length;
        return refusal::none;
    }
    if (context.head_request || out.status == 304) {
        if (framing.has_length) out.declared_length = framing.length;
        return refusal::none;
    }
    if (out.status == 204) {
        if (announces_body) reusable = false;
        return refusal::none;
    }
    if (framing.chunked) {
        out.body = {body_kind::chunked, 0};
    } else if (framing.has_length) {
        out.body = {body_kind::length, framing.length};
    } else {
        out.body = {body_kind::until_close, 0};
        reusable = false;
    }
    return refusal::none;
}

refusal examine(const status_line& line, const field_summary& summary, response_context context, response_head& out) {
    if (line.major != '1' || line.minor > '1') return refusal::version_not_supported;
    out.minor_version = line.minor - '0';
    if (line.status < 100 || line.status > 599) return refusal::bad_status;
    out.status = line.status;
    out.reason = line.reason;
    if (line.status == 101) return refusal::unexpected_upgrade;

    if (summary.underscore)
        for (const field& f : out.fields)
            if (shadows_reserved(f.name, true)) return refusal::shadowed_field;

    framing_fields framing;
    if (const refusal why = read_framing(out.fields, summary, out.minor_version, framing); why != refusal::none)
        return why;
    bool reusable = true;
    if (const refusal why = frame_body(framing, context, out, reusable); why != refusal::none) return why;

    if (closes_by_proxy_connection(out.fields, summary)) reusable = false;
    if (summary.has(field_id::keep_alive)) out.keep_alive_timeout_seconds = read_keep_alive_timeout(out.fields);
    out.keep_alive = reusable && out.minor_version == 1;
    if (!summary.has(field_id::connection)) {
        keep_end_to_end(out.fields, summary, nullptr);
        return refusal::none;
    }
    // Whatever a server nominates is dropped, never refused: framing was read above and is rebuilt, so that naming it
    // takes nothing away. Only a list that cannot be read or applied is.
    connection_options options;
    read_connection(out.fields, summary, options);
    if (options.malformed || options.too_many) return refusal::bad_connection;
    out.keep_alive = reusable && !options.close && (out.minor_version == 1 || options.keep_alive);
    keep_end_to_end(out.fields, summary, &options);
    return refusal::none;
}

} // namespace

head_result read_response_head(std::string_view bytes, const head_limits& limits, std::size_t& scanned,
                               response_context context, response_head& out) {
    status_line line;
    field_summary summary;
    out.clear();
    head_result result = scan_response_head(bytes, limits, scanned, line, out.fields, summary);
    if (result.is != head_result::state::complete) return result;
    if (const refusal why = examine(line, summary, context, out); why != refusal::none)
        return {head_result::state::refused, 0, why};
    out.raw = bytes.substr(0, result.consumed);
    return result;
}

} // namespace evenkeel::wire
