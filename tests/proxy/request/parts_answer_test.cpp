#include "proxy/fan_out/parts_answer.hpp"

#include <doctest/doctest.h>

namespace evenkeel::test::parts_answer_test {

using namespace evenkeel::request;

namespace {
part_answer answered(std::string_view name, bool good, std::string body, std::string_view source = "live") {
    part_answer made;
    made.name = name;
    made.status = good ? 200 : 503;
    made.good = good;
    made.source = source;
    made.body = std::move(body);
    made.content_type = "text/plain; charset=\"utf-8\"";
    return made;
}
} // namespace

TEST_CASE("the verdict counts the good parts") {
    const part_answer good = answered("a", true, "1"), bad = answered("b", false, "2");
    const part_answer* both[] = {&good, &good};
    const part_answer* one[] = {&good, &bad};
    const part_answer* none[] = {&bad, &bad};
    CHECK(verdict_on(both, 1) == parts_verdict::complete);
    CHECK(verdict_on(both, 2) == parts_verdict::complete);
    CHECK(verdict_on(one, 1) == parts_verdict::partial);
    CHECK(verdict_on(one, 2) == parts_verdict::failed);
    CHECK(verdict_on(none, 1) == parts_verdict::failed);
}

TEST_CASE("what is missing and what is no live answer is named in the label, in the form of a structured field") {
    const part_answer a = answered("a", true, "1"), b = answered("b", false, "2"), c = answered("c", false, "3");
    const part_answer old = answered("d", true, "4", "last_good");
    const part_answer* fine[] = {&a, &a};
    const part_answer* one[] = {&a, &b};
    const part_answer* two[] = {&b, &a, &c};
    const part_answer* stale[] = {&a, &old};
    const part_answer* all[] = {&old, &b};
    CHECK(degraded_label(fine, parts_verdict::complete) == "");
    CHECK(degraded_label(one, parts_verdict::partial) == "partial; missing=b");
    CHECK(degraded_label(two, parts_verdict::partial) == "partial; missing=\"b,c\"");
    CHECK(degraded_label(stale, parts_verdict::complete) == "last_good; part=d");
    CHECK(degraded_label(all, parts_verdict::partial) == "partial; missing=b, last_good; part=d");
    CHECK(degraded_label(two, parts_verdict::failed) == "");
}

TEST_CASE("a body is told as JSON where it is some, as text with its type where it is other text") {
    const part_answer text = answered("a", true, "line\n\"two\""), json = answered("b", true, "{\n\"x\":\r\n\"\\n\"}"),
                      none = answered("c", true, "");
    CHECK(part_event(text) ==
          "event: part\ndata: {\"part\":\"a\",\"status\":200,\"source\":\"live\",\"content_type\":\"text/plain; "
          "charset=\\\"utf-8\\\"\","
          "\"body\":\"line\\n\\\"two\\\"\"}\n\n");
    CHECK(part_event(json) ==
          "event: part\ndata: {\"part\":\"b\",\"status\":200,\"source\":\"live\",\"body\":{ \"x\":  \"\\n\"}}\n\n");
    const part_answer* all[] = {&json, &none};
    CHECK(
        parts_document(all, parts_verdict::complete) ==
        "{\"status\":\"complete\",\"parts\":{\"b\":{\"status\":200,\"source\":\"live\",\"body\":{\n\"x\":\r\n\"\\n\"}},"
        "\"c\":{\"status\":200,\"source\":\"live\",\"body\":null}},\"missing\":[]}");
}

} // namespace evenkeel::test::parts_answer_test
