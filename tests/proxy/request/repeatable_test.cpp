#include "proxy/reading/repeatable.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <string>

namespace evenkeel::test::repeatable_test {

namespace {
struct row {
    const char* method;
    const char* target;
    const char* body; // null: some of it has not come
    bool key;
    bool eligible;
};
} // namespace

TEST_CASE("what may be sent twice") {
    const row rows[] = {
        {"GET", "/anything", "", false, true},
        {"HEAD", "/anything", "", false, true},
        {"PUT", "/v1/x", "{}", false, true},
        {"DELETE", "/v1/files/1", "", false, true},
        {"POST", "/v1/chat/completions", "{}", false, true},
        {"POST", "/v1/chat/completions", nullptr, false, true},
        {"POST", "/v1/chat/completions?api-version=1", "{}", false, true},
        {"POST", "/openai/deployments/x/embeddings", "{}", false, true},
        {"POST", "/v1/messages", "{}", false, true},
        {"POST", "/v1/messages?beta=true", "{}", false, true},
        {"POST", "/v1/threads/t1/messages", "{}", false, false},
        {"POST", "/v1/threads/t1/messages", "{}", true, true},
        {"POST", "/v1/files?then=/v1/messages", "{}", false, false},
        {"POST", "/v1/messages/batches", "{}", false, false},
        {"POST", "/v1/messages/count_tokens", "{}", false, true},
        {"POST", "/v1beta/models/g:streamGenerateContent?alt=sse", "{}", false, true},
        {"POST", "/api/chat", "{}", false, true},
        {"POST", "/v1/audio/transcriptions", "--boundary", false, true},
        {"POST", "/v1/responses", R"({"input":"x"})", false, true},
        {"POST", "/v1/responses", R"({"store": false})", false, true},
        {"POST", "/v1/responses", R"({"tools":[{"parameters":{"properties":{"store":{}}}}]})", false, true},
        {"POST", "/v1/responses", R"({"store": true})", false, false},
        {"POST", "/v1/responses", R"({"store": true})", true, true},
        {"POST", "/v1/responses", R"({"background":true})", false, false},
        {"POST", "/v1/responses", nullptr, false, false},
        {"POST", "/v1/models", "{}", false, false},
        {"POST", "/v1/files", "", false, false},
        {"POST", "/v1/files", "", true, true},
        {"PATCH", "/v1/x", "", false, false},
        {"PATCH", "/v1/chat/completions", "", false, false},
        {"PATCH", "/v1/x", "", true, true},
        {"LOCK", "/v1/x", "", false, false},
    };
    for (const row& one : rows) {
        CAPTURE(one.method);
        CAPTURE(one.target);
        wire::request_head head;
        head.method = one.method;
        if (one.key) head.fields = {{"Idempotency-Key", "1"}};
        const auto stores_nothing = [&] { return one.body != nullptr && !wire::stores_something(one.body); };
        const std::string_view path = std::string_view{one.target}.substr(0, std::string_view{one.target}.find('?'));
        CHECK(request::is_replay_eligible(head, wire::find_call(path), stores_nothing) == one.eligible);
    }
}

TEST_CASE("the base is what the upstream and the rewrite put in front") {
    config::route route;
    config::upstream upstream;
    CHECK(request::base_of(route, upstream) == 0);
    upstream.address.base_path = "/llm/team7";
    CHECK(request::base_of(route, upstream) == 10);
    const wire::request_head none;
    CHECK(request::call_sent(route, upstream, none, "/llm/team7/messages?x=1") != nullptr);
    CHECK(request::call_sent(route, upstream, none, "/llm/team8x/messages") == nullptr);
    route.rewrite = {config::path_rewrite::kind::prefix, "/claude"};
    CHECK(request::base_of(route, upstream) == 17);
    route.rewrite = {config::path_rewrite::kind::prefix, "/"};
    CHECK(request::base_of(route, upstream) == 10);
    route.rewrite = {config::path_rewrite::kind::whole, "/messages"};
    CHECK(request::base_of(route, upstream) == 10);
}

TEST_CASE("a client's path is the call that its route makes of it") {
    CHECK(request::call_of_path(nullptr, "/v1/messages") != nullptr);
    CHECK(request::call_of_path(nullptr, "/claude/messages") == nullptr);
    config::route route;
    route.match.path_prefix = "/claude";
    route.rewrite = {config::path_rewrite::kind::prefix, "/v1"};
    CHECK(request::call_of_path(&route, "/claude/messages") != nullptr);
    CHECK(request::call_of_path(&route, "/claude/threads/t/messages") == nullptr);
    route.rewrite = {config::path_rewrite::kind::whole, "/v1/embeddings"};
    CHECK(request::call_of_path(&route, "/anything")->embeds);
}

} // namespace evenkeel::test::repeatable_test
