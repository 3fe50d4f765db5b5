#include "proxy/reading/shape_of.hpp"

#include <doctest/doctest.h>

#include <string>

namespace evenkeel::test::shape_of_test {

namespace {
request_shape shape_of(std::string_view body, std::uint64_t whole_size, bool asks_for_stream) {
    const request::body_ends found = request::read_ends(body, whole_size);
    request_shape shape = found.shape;
    shape.stream = asks_for_stream || found.stream.value_or(false);
    return shape;
}
} // namespace

TEST_CASE("a request's shape is read off its members, however they are written") {
    struct row {
        const char* body;
        bool model, stream;
        std::uint64_t tokens; // 0: not told
    };
    const row rows[] = {
        {R"({"model":"m","stream":true,"max_tokens":512})", true, true, 512},
        {R"({ "model" : "m", "stream" : true, "max_tokens" : 512 })", true, true, 512},
        {"{\"model\":\n  \"m\",\n\"stream\": false}", true, false, 0},
        {R"({"messages":[{"role":"user","content":"\"stream\":true"}],"model":"m"})", true, false, 0},
        {R"({"model":"m","max_completion_tokens":64})", true, false, 64},
        {R"({"model":"m","max_output_tokens":64})", true, false, 64},
        {R"({"generationConfig":{"maxOutputTokens":64}})", false, false, 64},
        {R"({"model":"m","options":{"num_predict":64}})", true, false, 64},
        {R"({"model":{"id":"m"}})", false, false, 0},
        {R"({"model":)", false, false, 0},
        {R"({"model":"cut)", false, false, 0},
        {R"({"max_tokens":"many"})", false, false, 0},
        {R"(":)", false, false, 0},
        {"", false, false, 0},
        {"not JSON at all", false, false, 0},
    };
    const auto known = shape_of(R"({"model":"m"})", 0, false).model;
    REQUIRE(known != 0);
    for (const row& one : rows) {
        CAPTURE(one.body);
        const request_shape shape = shape_of(one.body, 0, false);
        CHECK(shape.model == (one.model ? known : 0));
        CHECK(shape.stream == one.stream);
        CHECK(shape.tokens_class == tokens_class_of(one.tokens));
    }
    CHECK(shape_of("{}", 0, true).stream);
}

TEST_CASE("what counts stands before or behind the messages: the middle of a large body is not looked at") {
    const std::string filler(100'000, 'x');
    const std::string text = R"("messages":[{"role":"user","content":")" + filler + R"("}])";
    const auto in_front = shape_of(R"({"model":"m","stream":true,"max_tokens":9,)" + text + "}", 0, false);
    const auto behind = shape_of("{" + text + R"(,"model":"m","stream":true,"max_tokens":9})", 0, false);
    CHECK(in_front == behind);
    CHECK(in_front.stream);
    CHECK(in_front.tokens_class == tokens_class_of(9));
    const auto both = shape_of(R"({"model":"m",)" + text + R"(,"model":"other"})", 0, false);
    CHECK(both.model == in_front.model);
}

TEST_CASE("many members are all seen") {
    std::string body = "{";
    for (int i = 0; i < 1000; ++i) body += "\"a\":1,";
    CHECK(shape_of(body.substr(0, 3900) + R"("stream":true})", 0, false).stream);
}

} // namespace evenkeel::test::shape_of_test
