#include "proxy/message/local_answer.hpp"

#include <doctest/doctest.h>

#include <string>

namespace evenkeel::test::local_answer_test {

using namespace std::chrono;

namespace {
const wall_time noon{sys_days{year{2026} / November / 23} + hours{12}};
std::string field_of(const request::answer& answer, std::string_view name) {
    const wire::field* found = answer.head->find(name);
    return found != nullptr ? std::string{found->value} : "";
}
} // namespace

TEST_CASE("dates are IMF-fixdate") { CHECK(request::http_date(noon) == "Mon, 23 Nov 2026 12:00:00 GMT"); }

TEST_CASE("an error of ours: status, dialect, Proxy-Status with the upstream and what to do") {
    config::upstream upstream;
    upstream.name = "deepseek";
    request::local_failure failure;
    failure.status = 504;
    failure.code = "deadline_exceeded";
    failure.proxy_error = "http_response_timeout";
    failure.message = "no answer within \"timeout.total\"";
    failure.retry_after = std::chrono::milliseconds{1500};
    auto answer = request::make_local_answer(failure, wire::dialect::openai, noon, &upstream);

    CHECK(answer.head->status == 504);
    CHECK(answer.local);
    CHECK(answer.service == telemetry::request_service::error);
    CHECK(field_of(answer, "content-type") == "application/json");
    CHECK(field_of(answer, "retry-after") == "2");
    CHECK(field_of(answer, "retry-after-ms") == "1500");
    CHECK(
        field_of(answer, "proxy-status") ==
        R"(evenkeel; error=http_response_timeout; next-hop="deepseek"; details="no answer within \"timeout.total\"")");
    const auto body = answer.body->ready();
    REQUIRE(body);
    CHECK(body->data.find(R"("code":"deadline_exceeded")") != std::string::npos);
    CHECK(answer.head->body.length == body->data.size());
    CHECK(answer.body->ready()->is == request::body_step::kind::end);
}

TEST_CASE("a method that is not forwarded: the answer says which are") {
    const auto answer = request::make_refusal(wire::refusal::method_not_allowed, wire::dialect::generic, noon);

    CHECK(answer.head->status == 405);
    CHECK(field_of(answer, "allow") == "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
}

TEST_CASE("the dialect of an error: the upstream's, else the rewritten path's, else the path's") {
    config::route route;
    auto upstream = std::make_shared<config::upstream>();
    auto& writable = *upstream;
    route.upstreams = {std::move(upstream)};
    CHECK(request::dialect_of(nullptr, "/v1/messages") == wire::dialect::anthropic);
    CHECK(request::dialect_of(&route, "/v1/chat/completions") == wire::dialect::openai);
    route.rewrite = {config::path_rewrite::kind::whole, "/v1/messages"};
    CHECK(request::dialect_of(&route, "/api/phase2") == wire::dialect::anthropic);
    writable.dialect = config::dialect_setting::ollama;
    CHECK(request::dialect_of(&route, "/api/phase2") == wire::dialect::ollama);
}

} // namespace evenkeel::test::local_answer_test
