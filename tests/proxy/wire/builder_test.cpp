#include "verdicts.hpp"

#include "rebuild.hpp"

#include <doctest/doctest.h>

namespace evenkeel::test::builder_test {

TEST_CASE("an accepted request, rebuilt, reads as the same request") {
    int rebuilt = 0;
    for (const head_vector& row : request_vectors()) {
        if (row.why != wire::refusal::none) continue;
        CAPTURE(row.name);
        wire::request_head head;
        std::size_t scanned = 0;
        REQUIRE(wire::read_request_head(row.bytes, {}, scanned, head).is == wire::head_result::state::complete);

        const std::string out = rebuild(head);
        // The same bytes cannot be larger than the limit by what the proxy adds.
        const wire::head_limits limits{.max_head_bytes = 65 * 1024 + 64};
        wire::request_head again;
        scanned = 0;
        const wire::head_result result = wire::read_request_head(out, limits, scanned, again);

        REQUIRE_MESSAGE(result.is == wire::head_result::state::complete, wire::to_string(result.why));
        CHECK(result.consumed == out.size());
        CHECK(same_parts(head, again));
        ++rebuilt;
    }
    CHECK(rebuilt > 60);
}

TEST_CASE("an accepted response, rebuilt, reads as the same response") {
    int rebuilt = 0;
    for (const head_vector& row : response_vectors()) {
        if (row.why != wire::refusal::none) continue;
        CAPTURE(row.name);
        wire::response_head head;
        std::size_t scanned = 0;
        REQUIRE(wire::read_response_head(row.bytes, {}, scanned, {row.head_request}, head).is ==
                wire::head_result::state::complete);

        const std::string out = rebuild(head);
        wire::response_head again;
        scanned = 0;
        const wire::head_result result =
            wire::read_response_head(out, {.max_fields = 130}, scanned, {row.head_request}, again);

        REQUIRE_MESSAGE(result.is == wire::head_result::state::complete, wire::to_string(result.why));
        CHECK(same_parts(head, again));
        ++rebuilt;
    }
    CHECK(rebuilt > 30);
}

TEST_CASE("the builder writes exactly what it is told, behind what is there") {
    wire::head_text out;
    out.append("before");
    wire::head_builder b(out);
    b.status_line(503, "");
    b.field("retry-after", std::uint64_t{18446744073709551615U});
    b.field("x", "y");
    b.framing({wire::body_kind::length, 0});
    b.framing({wire::body_kind::chunked, 0});
    b.framing({wire::body_kind::none, 7});
    b.framing({wire::body_kind::until_close, 0});
    b.connection("close");
    b.finish();

    CHECK(out.view() ==
          "beforeHTTP/1.1 503 Service Unavailable\r\nretry-after: 18446744073709551615\r\nx: y\r\ncontent-length: 0\r\n"
          "transfer-encoding: chunked\r\nconnection: close\r\n\r\n");
}

TEST_CASE("a status that is not registered gets an empty reason") {
    wire::head_text out;
    wire::head_builder(out).status_line(299, "");
    CHECK(out.view() == "HTTP/1.1 299 \r\n");
    CHECK(wire::reason_phrase(299).empty());
    CHECK(wire::reason_phrase(200) == "OK");
}

} // namespace evenkeel::test::builder_test
