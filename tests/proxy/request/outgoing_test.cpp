#include "proxy/reading/outgoing.hpp"

#include "proxy/wire/gate.hpp"

#include <doctest/doctest.h>

#include <string>

namespace evenkeel::test::outgoing_test {

namespace {
wire::request_head post(std::vector<wire::field> fields) {
    wire::request_head head;
    head.method = "POST";
    head.target = head.path = "/v1/chat/completions";
    head.fields = std::move(fields);
    return head;
}
std::string written(const wire::request_head& head, const config::route& route, const config::upstream& upstream,
                    wire::body_framing body = {}) {
    wire::head_text out;
    request::append_request_head(out, head, head.target, route, upstream, body, "192.0.2.7");
    return std::string(out.view());
}
config::upstream provider() {
    config::upstream upstream;
    upstream.name = "provider";
    upstream.address.authority = "api.example";
    return upstream;
}
} // namespace

TEST_CASE("an unedited request keeps its fields, their order and spelling; Host and framing are ours") {
    const auto out =
        written(post({{"Authorization", "Bearer k", wire::field_id::authorization}, {"X-Stainless-Lang", "js"}}), {},
                provider(), {wire::body_kind::length, 12});
    CHECK(out ==
          "POST /v1/chat/completions HTTP/1.1\r\nhost: api.example\r\nAuthorization: Bearer k\r\nX-Stainless-Lang: "
          "js\r\ncontent-length: 12\r\n\r\n");
}

TEST_CASE("fields meant for the proxy do not go upstream") {
    const auto out = written(post({{"X-Evenkeel-Timeout", "5s", wire::field_id::own}}), {}, provider());
    CHECK(out.find("venkeel") == std::string::npos);
}

TEST_CASE("the session of the admin port, which a browser shows to every port of its host, goes to no upstream") {
    const auto cookies = [](std::string_view value) {
        const auto out = written(post({{"Cookie", value}}), {}, provider());
        const auto at = out.find("ookie: ");
        return at == std::string::npos ? "none" : out.substr(at + 7, out.find('\r', at) - at - 7);
    };
    CHECK(cookies("evenkeel_9901=secret") == "none");
    CHECK(cookies("evenkeel=secret") == "none");
    CHECK(cookies("a=1; evenkeel_9901=secret;b=2;evenkeel=secret") == "a=1; b=2");
    CHECK(cookies("evenkeel_theme=dark; evenkeels=2; x=evenkeel") == "evenkeel_theme=dark; evenkeels=2; x=evenkeel");
    CHECK(cookies("a=1;b=2") == "a=1;b=2"); // untouched
}

TEST_CASE("edits replace every field of a name; the upstream's edit wins over the route's") {
    config::route route;
    route.headers.set = {{"authorization", "Bearer route"}, {"x-route", "1"}};
    route.headers.remove = {"cookie"};
    auto upstream = provider();
    upstream.own_credential = true;
    upstream.headers.set = {{"authorization", "Bearer upstream"}};
    const auto out = written(
        post({{"Authorization", "Bearer app"}, {"authorization", "again"}, {"Cookie", "c=1"}, {"accept", "*/*"}}),
        route, upstream);
    CHECK(
        out ==
        "POST /v1/chat/completions HTTP/1.1\r\nhost: api.example\r\naccept: */*\r\nx-route: 1\r\nauthorization: Bearer "
        "upstream\r\n\r\n");
}

TEST_CASE("the client's address goes upstream only where `forwarded` says so, behind what is there") {
    auto upstream = provider();
    CHECK(written(post({{"X-Forwarded-For", "198.51.100.1"}}), {}, upstream).find("192.0.2.7") == std::string::npos);
    upstream.forwarded = true;
    const auto out = written(post({{"X-Forwarded-For", "198.51.100.1"}}), {}, upstream);
    CHECK(out.find("x-forwarded-for: 198.51.100.1, 192.0.2.7\r\n") != std::string::npos);
}

TEST_CASE("an answer keeps the upstream's fields and gains ours") {
    wire::response_head head;
    head.status = 200;
    head.reason = "OK";
    head.fields = {{"content-type", "application/json", wire::field_id::content_type},
                   {"x-evenkeel-route", "forged", wire::field_id::own}};
    wire::head_text out;
    request::append_response_head(
        out, head, {wire::body_kind::length, 2},
        {.route = "all", .upstream = "provider", .attempts = 1, .request_id = "id-1", .close = true});
    CHECK(out.view() == "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: id-1\r\nx-evenkeel-route: "
                        "all\r\nx-evenkeel-upstream: provider\r\nx-evenkeel-attempts: 1\r\ncontent-length: "
                        "2\r\nconnection: close\r\n\r\n");
}

TEST_CASE("the provider's request id is kept") {
    wire::response_head head;
    head.status = 200;
    head.fields = {{"x-request-id", "req_theirs", wire::field_id::x_request_id}};
    wire::head_text out;
    request::append_response_head(out, head, {}, {.route = {}, .upstream = {}, .request_id = "ours"});
    CHECK(out.view().find("ours") == std::string::npos);
    CHECK(out.view().find("x-request-id: req_theirs") != std::string::npos);
}

TEST_CASE("fields of a received head are copied as they came, or written anew where they came in another form") {
    const std::string received = "HTTP/1.1 200 OK\r\nA: 1\r\nB:2\r\nC:  3\r\nx-evenkeel-route: forged\r\nD: 4 \r\nE: "
                                 "5\r\nF: \r\nG: 7\r\nContent-Length: 0\r\n"
                                 "H: 8\r\n\r\n";
    wire::response_head head;
    std::size_t scanned = 0;
    REQUIRE(wire::read_response_head(received, {}, scanned, {}, head).is == wire::head_result::state::complete);
    wire::head_text out;
    request::append_response_head(out, head, head.body, {});
    CHECK(
        out.view() ==
        "HTTP/1.1 200 OK\r\nA: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\nE: 5\r\nF: \r\nG: 7\r\nH: 8\r\ncontent-length: 0\r\n\r\n");
}

} // namespace evenkeel::test::outgoing_test
