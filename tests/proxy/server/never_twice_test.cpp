// What leaves something behind is sent once, whatever its path ends like.

#include "proxy/provider/blocking_client.hpp"
#include "proxy/provider/simulated_provider.hpp"
#include "tests/proxy/server/running_proxy.hpp"

#include <doctest/doctest.h>

#include <string>

namespace evenkeel::test::never_twice_test {

using namespace evenkeel::provider;

TEST_CASE("a message for a thread is sent once, a message for the model is sent again") {
    simulated_provider failing({.script = "status=500"}), healthy;
    const std::string config = "defaults: {retry: {backoff: {initial: 2ms, max: 10ms}, budget: {burst: 1000}}, "
                               "circuit_breaker: off, cooldown: off}\n"
                               "upstreams: {a: {url: " +
                               failing.url() + "}, b: {url: " + healthy.url() +
                               ", caller_credentials: pass}}\n"
                               "routes: [{name: all, match: {path_prefix: /}, upstreams: [a, b]}]\n";
    running_proxy proxy(config);
    auto client = proxy.connect();
    const struct {
        const char* path;
        const char* body;
        bool again;
    } rows[] = {
        {"/v1/threads/t1/messages", R"({"role":"user","content":"nonce:a"})", false},
        {"/v1/conversations/c1/responses", "{}", false},
        {"/v1/messages/batches", "{}", false},
        {"/v1/files", "{}", false},
        {"/v1/responses", R"({"input":"nonce:a","store":true})", false},
        {"/v1/responses", R"({"input":"nonce:a","background":true})", false},
        {"/v1/responses", R"({"input":"nonce:a","store":false})", true},
        {"/v1/responses",
         R"({"input":"nonce:a","tools":[{"type":"function","parameters":{"properties":{"store":{}}}}]})", true},
        {"/v1/messages", R"({"model":"m","max_tokens":9,"messages":[{"role":"user","content":"nonce:a"}]})", true},
        {"/v1/chat/completions", R"({"model":"m","messages":[{"role":"user","content":"nonce:a"}]})", true},
    };
    for (const auto& one : rows) {
        CAPTURE(one.path);
        CAPTURE(one.body);
        const auto before = failing.counters().requests, before_there = healthy.counters().requests;
        const auto answer = client.request("POST", one.path, {{"content-type", "application/json"}}, one.body);
        const auto sent = failing.counters().requests - before + healthy.counters().requests - before_there;
        CHECK((sent > 1) == one.again);
        CHECK((answer.status == 200) == one.again);
        if (!one.again) CHECK(sent == 1);
    }
    CHECK(proxy.finish());
}

} // namespace evenkeel::test::never_twice_test
