// Heads written from arbitrary parts that passed the wire's rules for parts, read again: nothing may be added, lost or
// moved from one place to another.

#include "invariant.hpp"

#include "proxy/wire/characters.hpp"
#include "proxy/wire/field_names.hpp"
#include "tests/proxy/wire/rebuild.hpp"

#include <fuzzer/FuzzedDataProvider.h>

using namespace evenkeel;
using fuzz::require;

namespace {

struct parts {
    std::vector<std::pair<std::string, std::string>> fields;
    wire::body_framing body;
    bool keep_alive = true;
};

// Names and values as a gate would let them through; anything else is made to fit.
parts draw(FuzzedDataProvider& from) {
    parts out;
    for (std::size_t n = from.ConsumeIntegralInRange<std::size_t>(0, 20); n != 0; --n) {
        std::string name = from.ConsumeRandomLengthString(40);
        std::erase_if(name, [](char c) { return !wire::has_class(c, wire::char_class::token); });
        if (name.empty()) name = "x";
        const wire::field_id id = wire::classify(name);
        if (wire::is_rebuilt_or_hop_by_hop(id) || wire::shadows_reserved(name, false)) continue;
        std::string value = from.ConsumeRandomLengthString(60);
        std::erase_if(value, [](char c) { return wire::has_class(c, wire::char_class::control); });
        out.fields.emplace_back(name, std::string(wire::trim(value)));
    }
    switch (from.ConsumeIntegralInRange(0, 2)) {
    case 0: break;
    case 1: out.body = {wire::body_kind::length, from.ConsumeIntegral<std::uint64_t>() / 2}; break;
    default: out.body = {wire::body_kind::chunked, 0}; break;
    }
    out.keep_alive = from.ConsumeBool();
    return out;
}

void write(wire::head_builder& b, const parts& p) {
    for (const auto& [name, value] : p.fields) b.field(name, value);
    b.framing(p.body);
    if (!p.keep_alive) b.connection("close");
    b.finish();
}

void compare(const parts& p, const std::vector<wire::field>& fields) {
    require(fields.size() == p.fields.size(), "as many fields as were written");
    for (std::size_t i = 0; i < fields.size(); ++i) {
        require(fields[i].name == p.fields[i].first, "the same name");
        require(fields[i].value == p.fields[i].second, "the same value");
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    FuzzedDataProvider from(data, size);
    const parts p = draw(from);
    std::size_t scanned = 0;

    wire::head_text request;
    wire::head_builder b(request);
    b.request_line("POST", "/v1");
    b.field("host", "a");
    write(b, p);
    wire::request_head read_request;
    const auto first = wire::read_request_head(request, {}, scanned, read_request);
    require(first.is == wire::head_result::state::complete && first.consumed == request.size(),
            "a request built of good parts is accepted");
    require(read_request.body.kind == p.body.kind && read_request.body.length == p.body.length, "the same framing");
    require(read_request.keep_alive == p.keep_alive, "the same wish to keep the connection");
    compare(p, read_request.fields);

    const int status = from.ConsumeIntegralInRange(200, 599);
    std::string reason = from.ConsumeRandomLengthString(30);
    std::erase_if(reason, [](char c) { return wire::has_class(c, wire::char_class::control); });
    wire::head_text response;
    wire::head_builder r(response);
    r.status_line(status, reason);
    write(r, p);
    wire::response_head read_response;
    scanned = 0;
    const auto second = wire::read_response_head(response, {}, scanned, {}, read_response);
    require(second.is == wire::head_result::state::complete && second.consumed == response.size(),
            "a response built of good parts is accepted");
    require(read_response.status == status, "the same status");
    require(reason.empty() || read_response.reason == reason, "the same reason");
    compare(p, read_response.fields);
    return 0;
}
