#include "proxy/reading/repeatable.hpp"
#include "proxy/reading/router.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace evenkeel::test::router_test {

using request::choose_route;

namespace {
struct built {
    config::settings settings;
    config::route& add(const std::string& name) {
        auto route = std::make_shared<config::route>();
        route->name = name;
        config::route& writable = *route;
        settings.routes.push_back(std::move(route));
        return writable;
    }
};

wire::request_head head_for(std::string_view method, std::string_view target) {
    wire::request_head head;
    head.method = method;
    head.target = target;
    head.path = target.substr(0, target.find('?'));
    head.query = head.path.size() < target.size() ? target.substr(head.path.size() + 1) : std::string_view{};
    return head;
}
std::string chosen(const built& all, const wire::request_head& head,
                   std::optional<std::string_view> model = std::nullopt) {
    const auto choice = choose_route(all.settings, {head, model});
    if (choice.needs_model) return "needs model";
    return choice.route ? choice.route->name : "none";
}
} // namespace

TEST_CASE("the first route whose every condition holds wins") {
    built all;
    auto& narrow = all.add("narrow");
    narrow.match.path = "/v1/chat/completions";
    narrow.match.methods = {"POST"};
    all.add("wide").match.path_prefix = "/v1";

    CHECK(chosen(all, head_for("POST", "/v1/chat/completions")) == "narrow");
    CHECK(chosen(all, head_for("POST", "/v1/chat/completions?x=1")) == "narrow");
    CHECK(chosen(all, head_for("GET", "/v1/chat/completions")) == "wide");
    CHECK(chosen(all, head_for("POST", "/v1/embeddings")) == "wide");
    CHECK(chosen(all, head_for("POST", "/v2/embeddings")) == "none");
}

TEST_CASE("a prefix ends at a segment") {
    const struct {
        const char* path;
        const char* prefix;
        bool under;
    } rows[] = {
        {"/v1", "/v1", true}, {"/v1/", "/v1", true}, {"/v1/x", "/v1", true},  {"/v10", "/v1", false},
        {"/x", "/", true},    {"/", "/", true},      {"/v1/x", "/v1/", true}, {"/v1", "/v1/", false},
    };
    for (const auto& row : rows) {
        CAPTURE(row.path);
        CAPTURE(row.prefix);
        CHECK(request::is_under(row.path, row.prefix) == row.under);
    }
}

TEST_CASE("headers match by glob, all of them") {
    built all;
    auto& route = all.add("beta");
    route.match.path_prefix = "/";
    route.match.headers = {{"x-team", "red-*"}, {"x-kind", "?"}};

    auto head = head_for("GET", "/");
    CHECK(chosen(all, head) == "none");
    head.fields = {{"X-Team", "red-1"}, {"x-kind", "a"}};
    CHECK(chosen(all, head) == "beta");
    head.fields = {{"X-Team", "blue-1"}, {"x-kind", "a"}};
    CHECK(chosen(all, head) == "none");
}

TEST_CASE("a route that asks for a model has the body read first, and only then decides") {
    built all;
    auto& mini = all.add("mini");
    mini.match.path_prefix = "/v1";
    mini.match.models = {"*-mini", "tiny"};
    all.add("rest").match.path_prefix = "/";

    const auto head = head_for("POST", "/v1/chat/completions");
    CHECK(chosen(all, head) == "needs model");
    CHECK(chosen(all, head, "gpt-4o-mini") == "mini");
    CHECK(chosen(all, head, "tiny") == "mini");
    CHECK(chosen(all, head, "gpt-4o") == "rest");
    CHECK(chosen(all, head, "") == "rest");
    CHECK(chosen(all, head_for("GET", "/other")) == "rest");
}

TEST_CASE("the target upstream: base path, rewritten path, query unchanged") {
    const struct {
        const char* base;
        config::path_rewrite::kind kind;
        const char* value;
        const char* prefix;
        const char* target;
        const char* expected;
    } rows[] = {
        {"", config::path_rewrite::kind::none, "", "", "/v1/models?a=%20b", "/v1/models?a=%20b"},
        {"/base", config::path_rewrite::kind::none, "", "", "/v1/models", "/base/v1/models"},
        {"", config::path_rewrite::kind::whole, "/v1/chat/completions", "", "/api/phase2?x=1",
         "/v1/chat/completions?x=1"},
        {"/base", config::path_rewrite::kind::whole, "/v1", "", "/api", "/base/v1"},
        {"", config::path_rewrite::kind::prefix, "/", "/openai", "/openai/v1/models?q", "/v1/models?q"},
        {"", config::path_rewrite::kind::prefix, "/v1", "/openai", "/openai/models", "/v1/models"},
        {"", config::path_rewrite::kind::prefix, "/v1/", "/openai/", "/openai/models", "/v1/models"},
        {"", config::path_rewrite::kind::prefix, "/v1", "/openai", "/openai", "/v1"},
        {"", config::path_rewrite::kind::prefix, "/", "/openai", "/openai", "/"},
        {"/base", config::path_rewrite::kind::prefix, "/", "/openai", "/openai/x", "/base/x"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.target);
        config::route route;
        config::upstream upstream;
        upstream.address.base_path = row.base;
        route.rewrite = {row.kind, row.value};
        route.match.path_prefix = row.prefix;
        std::string room;
        CHECK(request::upstream_target(route, upstream, head_for("GET", row.target), room) == row.expected);
    }
}

TEST_CASE("an upstream with other paths is asked by them, for what the client called") {
    config::route route;
    config::upstream upstream;
    upstream.paths = {{"/v1", "/api/v3"}, {"/v1/chat/completions", "/talk"}, {"/v1/embeddings/", "/"}};
    const auto asked = [&](std::string target) {
        std::string room;
        return std::string{request::upstream_target(route, upstream, head_for("POST", std::move(target)), room)};
    };
    CHECK(asked("/v1/models?limit=2") == "/api/v3/models?limit=2");
    CHECK(asked("/v1") == "/api/v3");
    CHECK(asked("/v11/models") == "/v11/models");
    CHECK(asked("/v1/chat/completions?x") == "/talk?x"); // the longest
    CHECK(asked("/v1/chat/completions/7") == "/talk/7");
    CHECK(asked("/v1/embeddings") == "/");
    CHECK(asked("/v1/embeddings/x") == "/x");
    upstream.address.base_path = "/base";
    CHECK(asked("/v1/models") == "/base/api/v3/models");
    const auto head = head_for("POST", "/v1/chat/completions");
    const wire::call* const called = request::call_sent(route, upstream, head, "/base/talk");
    REQUIRE(called != nullptr);
    CHECK(called->upcasts);
    route.rewrite = {config::path_rewrite::kind::prefix, "/v1"};
    route.match.path_prefix = "/openai";
    CHECK(asked("/openai/models") == "/base/api/v3/models");
}

} // namespace evenkeel::test::router_test
