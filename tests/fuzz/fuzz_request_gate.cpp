#include "invariant.hpp"

#include "tests/proxy/wire/rebuild.hpp"

using namespace evenkeel;
using fuzz::require;

namespace {

using head_type = wire::request_head;

// Small limits too, so that the fuzzer reaches them.
constexpr wire::head_limits limits{.max_head_bytes = 2048, .max_target_bytes = 256, .max_fields = 16};

wire::head_result read(std::string_view bytes, const wire::head_limits& with, std::size_t& scanned, bool,
                       head_type& out) {
    return wire::read_request_head(bytes, with, scanned, out);
}

void require_parts_inside(const head_type& head, std::string_view bytes) {
    for (const std::string_view part : {head.method, head.host}) fuzz::require_inside(part, bytes);
    for (const std::string_view part : {head.target, head.path, head.query})
        fuzz::require_inside(part, head.merged ? std::string_view{*head.merged} : bytes);
    require(head.path.find("//") == std::string_view::npos, "a path has no empty segment");
    require(head.target.starts_with('/'), "the target is in origin-form");
    require(!head.host.empty(), "there is a host");
    require(head.body.kind != wire::body_kind::until_close, "no request ends with its connection");
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    if (size == 0) return 0;
    // The first byte chooses how the rest is cut, and what was asked.
    const std::size_t piece = data[0] % 64 + 1;
    const bool head_request = data[0] >= 192;
    const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
    using state = wire::head_result::state;

    head_type whole;
    std::size_t scanned = 0;
    const wire::head_result result = read(bytes, limits, scanned, head_request, whole);

    head_type pieces;
    wire::head_result incremental;
    scanned = 0;
    for (std::size_t end = 0; incremental.is == state::need_more;) {
        incremental = read(bytes.substr(0, end), limits, scanned, head_request, pieces);
        require(scanned <= end, "no more was scanned than there is");
        if (end == bytes.size()) break;
        end = std::min(end + piece, bytes.size());
    }
    require(incremental.is == result.is && incremental.why == result.why && incremental.consumed == result.consumed,
            "pieces and whole agree");

    if (result.is != state::complete) return 0;
    require(result.consumed <= bytes.size(), "consumed no more than there is");
    require(bytes.substr(0, result.consumed).ends_with("\r\n\r\n"), "a head ends in an empty line");
    require_parts_inside(whole, bytes);
    fuzz::require_fields_inside(whole, bytes);

    const std::string rebuilt = test::rebuild(whole);
    head_type again;
    scanned = 0;
    const wire::head_result second = read(rebuilt, {}, scanned, head_request, again);
    require(second.is == state::complete && second.consumed == rebuilt.size(),
            "what was accepted is accepted again when rebuilt");
    require(test::same_parts(whole, again), "rebuilding changes no part");
    return 0;
}
