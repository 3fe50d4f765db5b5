// Stands in for the two gates in wire_stubbed_test: the line grammar is scanned as in the product, everything it yields
// is believed, and framing is what a careless proxy makes of it. If the vectors did not notice the difference, they
// would not be testing the gates.

#include "proxy/wire/gate.hpp"
#include "proxy/wire/head_scanner.hpp"

#include <cstdlib>
#include <string>

namespace evenkeel::wire {

namespace {

body_framing believe(const std::vector<field>& fields, body_kind otherwise) {
    body_framing out{otherwise, 0};
    for (const field& f : fields) {
        if (f.id == field_id::transfer_encoding && f.value.find("chunked") != std::string_view::npos)
            return {body_kind::chunked, 0};
        if (f.id == field_id::content_length)
            out = {body_kind::length, std::strtoull(std::string(f.value).c_str(), nullptr, 10)};
    }
    return out;
}

} // namespace

head_result read_request_head(std::string_view bytes, const head_limits& limits, std::size_t& scanned,
                              request_head& out) {
    request_line line;
    field_summary summary;
    out.clear();
    const head_result result = scan_request_head(bytes, limits, scanned, line, out.fields, summary);
    if (result.is != head_result::state::complete) return result;
    out.method = line.method;
    out.target = line.target;
    out.path = line.target.substr(0, line.target.find('?'));
    out.minor_version = line.minor - '0';
    out.body = believe(out.fields, body_kind::none);
    if (const field* host = out.find(field_id::host)) out.host = host->value;
    std::erase_if(out.fields, [](const field& f) {
        return f.id == field_id::host || f.id == field_id::content_length || f.id == field_id::transfer_encoding;
    });
    return result;
}

head_result read_response_head(std::string_view bytes, const head_limits& limits, std::size_t& scanned,
                               response_context, response_head& out) {
    status_line line;
    field_summary summary;
    out.clear();
    const head_result result = scan_response_head(bytes, limits, scanned, line, out.fields, summary);
    if (result.is != head_result::state::complete) return result;
    out.status = line.status;
    out.reason = line.reason;
    out.minor_version = line.minor - '0';
    out.keep_alive = true;
    out.body = believe(out.fields, body_kind::until_close);
    std::erase_if(out.fields, [](const field& f) {
        return f.id == field_id::content_length || f.id == field_id::transfer_encoding;
    });
    return result;
}

} // namespace evenkeel::wire
