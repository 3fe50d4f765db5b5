#include "verdicts.hpp"

#include <doctest/doctest.h>

#include <numeric>
#include <set>

namespace evenkeel::test::head_test {

namespace {

// Heads of the limits class are tens of kilobytes long; every 997th position of them is enough, the rest are cut
// everywhere.
std::size_t step_of(std::string_view bytes) { return bytes.size() > 3000 ? 997 : 1; }

template <class Head>
void check(const std::vector<head_vector>& rows) {
    std::set<std::string> names;
    for (const head_vector& row : rows) {
        CAPTURE(row.name);
        CAPTURE(printable(row.bytes));
        CHECK_MESSAGE(names.insert(row.name).second, "two vectors have this name");

        const std::string whole = verdict_whole<Head>(row, row.bytes);
        CHECK_MESSAGE(is_as_expected<Head>(row), "got " << whole << ", expected " << expected(row));

        // Bytes behind the head change nothing, whatever they are.
        if (row.why == wire::refusal::none) CHECK(verdict_whole<Head>(row, row.bytes + "\n\r \001x") == whole);

        std::vector<std::size_t> ends;
        for (std::size_t end = 0; end < row.bytes.size(); end += step_of(row.bytes)) ends.push_back(end);
        ends.push_back(row.bytes.size());
        CHECK(verdict_in_pieces<Head>(row, row.bytes, ends) == whole);

        for (const std::size_t split : ends)
            if (const std::string got = verdict_in_pieces<Head>(row, row.bytes, std::vector{split, row.bytes.size()});
                got != whole)
                FAIL_CHECK("split at " << split << ": " << got << " instead of " << whole);

        // Each prefix read afresh from a block of its own: the gate must not look past the end, and a refused prefix
        // stays refused for the same reason.
        if (row.bytes.size() > 3000) continue;
        for (std::size_t size = 0; size < row.bytes.size(); ++size) {
            const std::string prefix = verdict_whole<Head>(row, std::string_view(row.bytes).substr(0, size));
            if (prefix != "need_more" && prefix != whole)
                FAIL_CHECK("the first " << size << " bytes: " << prefix << " instead of " << whole);
        }
    }
}

} // namespace

TEST_CASE("every request vector gets its verdict, however its bytes are cut") {
    CHECK(request_vectors().size() >= 300);
    check<wire::request_head>(request_vectors());
}

TEST_CASE("every response vector gets its verdict, however its bytes are cut") {
    CHECK(response_vectors().size() >= 100);
    check<wire::response_head>(response_vectors());
}

TEST_CASE("a head keeps nothing of the one read before") {
    wire::request_head head;
    std::size_t scanned = 0;
    const std::string first =
        "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\nX: y\r\nConnection: close\r\n\r\n";
    REQUIRE(wire::read_request_head(first, {}, scanned, head).is == wire::head_result::state::complete);
    scanned = 0;
    const std::string second = "GET /b HTTP/1.1\r\nHost: b\r\n\r\n";

    REQUIRE(wire::read_request_head(second, {}, scanned, head).is == wire::head_result::state::complete);

    CHECK(describe(head) == "GET /b host=b 1.1 none keep []");
    CHECK(head.query.empty());
}

TEST_CASE("path and query are cut at the first question mark") {
    wire::request_head head;
    std::size_t scanned = 0;
    const std::string bytes = "GET /a/b?c=d?e HTTP/1.1\r\nHost: a\r\n\r\n";

    REQUIRE(wire::read_request_head(bytes, {}, scanned, head).is == wire::head_result::state::complete);

    CHECK(head.path == "/a/b");
    CHECK(head.query == "c=d?e");
}

TEST_CASE("D6: slashes in a row are one, and what was merged outlives a copy of its head") {
    wire::request_head copy;
    const std::string bytes = "POST //v1///messages?a=//b HTTP/1.1\r\nHost: a\r\n\r\n";
    {
        wire::request_head head;
        std::size_t scanned = 0;
        REQUIRE(wire::read_request_head(bytes, {}, scanned, head).is == wire::head_result::state::complete);
        copy = head;
    }

    CHECK(copy.target == "/v1/messages?a=//b");
    CHECK(copy.path == "/v1/messages");
    CHECK(copy.query == "a=//b");

    std::size_t scanned = 0;
    const std::string plain = "POST /v1/messages HTTP/1.1\r\nHost: a\r\n\r\n";
    REQUIRE(wire::read_request_head(plain, {}, scanned, copy).is == wire::head_result::state::complete);
    CHECK(copy.merged == nullptr);
}

TEST_CASE("fields are found by id and by name in any case") {
    wire::request_head head;
    std::size_t scanned = 0;
    const std::string bytes = "GET / HTTP/1.1\r\nHost: a\r\nACCEPT: 1\r\nX-Custom: 2\r\nx-evenkeel-route: "
                              "3\r\nAuthorization: 4\r\nx-Request-ID: 5\r\n"
                              "Request-Id: 6\r\nRetry-After: 7\r\nX-Should-Retry: 8\r\nVia: 9\r\nDate: "
                              "10\r\nCache-Control: 11\r\nContent-Encoding: 12\r\n\r\n";
    REQUIRE(wire::read_request_head(bytes, {}, scanned, head).is == wire::head_result::state::complete);

    const auto value = [&](auto key) {
        return head.find(key) == nullptr ? std::string_view("absent") : head.find(key)->value;
    };
    CHECK(value(wire::field_id::accept) == "1");
    CHECK(value("x-CUSTOM") == "2");
    CHECK(value(wire::field_id::own) == "3");
    CHECK(value(wire::field_id::authorization) == "4");
    CHECK(value(wire::field_id::x_request_id) == "5");
    CHECK(value(wire::field_id::request_id) == "6");
    CHECK(value(wire::field_id::retry_after) == "7");
    CHECK(value(wire::field_id::x_should_retry) == "8");
    CHECK(value(wire::field_id::via) == "9");
    CHECK(value(wire::field_id::date) == "10");
    CHECK(value(wire::field_id::cache_control) == "11");
    CHECK(value(wire::field_id::content_encoding) == "12");
    CHECK(value(wire::field_id::host) == "absent");
    CHECK(value("x-absent") == "absent");
}

TEST_CASE("smaller limits are kept to the byte") {
    const std::string bytes = "GET /abc HTTP/1.1\r\nHost: a\r\n\r\n";
    wire::request_head head;
    const auto read = [&](wire::head_limits limits) {
        std::size_t scanned = 0;
        return verdict(wire::read_request_head(bytes, limits, scanned, head), head);
    };

    CHECK(read({.max_head_bytes = bytes.size()}).starts_with("30: "));
    CHECK(read({.max_head_bytes = bytes.size() - 1}) == "refused: head_too_large");
    CHECK(read({.max_target_bytes = 4}).starts_with("30: "));
    CHECK(read({.max_target_bytes = 3}) == "refused: target_too_long");
    CHECK(read({.max_fields = 1}).starts_with("30: "));
    CHECK(read({.max_fields = 0}) == "refused: too_many_fields");
}

TEST_CASE("every refusal has a word, a sentence and a status of a client's fault") {
    std::set<std::string_view> words;
    for (int i = 1; i <= static_cast<int>(wire::refusal::unexpected_bytes); ++i) {
        const auto why = static_cast<wire::refusal>(i);
        CHECK(words.insert(wire::to_string(why)).second);
        CHECK(wire::explain(why).ends_with("."));
        CHECK(std::set{400, 405, 413, 414, 417, 426, 431, 501, 505}.contains(wire::status_of(why)));
    }
    CHECK(wire::status_of(wire::refusal::method_not_allowed) == 405);
    CHECK(wire::status_of(wire::refusal::method_not_supported) == 501);
    CHECK(wire::status_of(wire::refusal::upgrade_not_supported) == 426);
    CHECK(wire::status_of(wire::refusal::version_not_supported) == 505);
    CHECK(wire::status_of(wire::refusal::target_too_long) == 414);
    CHECK(wire::status_of(wire::refusal::head_too_large) == 431);
    CHECK(wire::status_of(wire::refusal::bad_expect) == 417);
}

} // namespace evenkeel::test::head_test
