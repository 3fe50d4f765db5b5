// What a file says in good faith and does not mean: warned of where everybody stumbles.

#include "config/network.hpp"
#include "config/renames.hpp"
#include "support.hpp"

#include <doctest/doctest.h>

#include <cmath>

namespace evenkeel::test::stumbles_test {

using namespace evenkeel::config;
using namespace evenkeel::config::test;

namespace {
// Of a file with one upstream, `first` at `url`, and one route with these keys.
std::string file(const std::string& url, const std::string& route, const std::string& more = "") {
    return "version: 1\n" + more + "upstreams:\n  first: {url: \"" + url + "\"}\nroutes:\n  - {name: r, " + route +
           "upstreams: [first]}\n";
}
std::vector<std::string> codes(const std::string& yaml) {
    const load_result result = load(yaml);
    CAPTURE(printed(result.diagnostics));
    CHECK(result.ok());
    std::vector<std::string> out;
    for (const diagnostic& one : result.diagnostics) out.push_back(one.code);
    return out;
}
using none = std::vector<std::string>;
} // namespace

TEST_CASE("F4: a base path that the matched path has already is warned of") {
    const std::string base = "https://api.example/v1";
    const std::vector<std::string> twice{"base-twice"};
    CHECK(codes(file(base, "match: {path_prefix: /v1}, ")) == twice);
    CHECK(codes(file(base, "match: {path_prefix: /v1/}, ")) == twice);
    CHECK(codes(file(base, "match: {path_prefix: /v1/chat}, ")) == twice);
    CHECK(codes(file(base, "match: {path: /v1/chat/completions}, ")) == twice);
    CHECK(codes("version: 1\nupstreams: {first: {urls: [\"http://a/v1\", \"http://b/v1\"]}}\nroutes: [{name: r, match: "
                "{path_prefix: /v1}, upstreams: [first]}]\n") == twice);

    CHECK(codes(file(base, "match: {path_prefix: /v1}, rewrite: {path_prefix: /}, ")) == none{});
    CHECK(codes(file(base, "match: {path_prefix: /v10}, ")) == none{});
    CHECK(codes(file(base, "match: {path_prefix: /openai}, ")) == none{});
    CHECK(codes(file(base, "match: {path_prefix: /}, ")) == none{});
    CHECK(codes(file(base, "")) == none{});
    CHECK(codes(file("https://api.example", "match: {path_prefix: /v1}, ")) == none{});

    const auto said = printed(load(file(base, "match: {path_prefix: /v1}, ")).diagnostics);
    CAPTURE(said);
    CHECK(said.find("/v1 becomes /v1/v1 there") != std::string::npos);
}

TEST_CASE("a star in a path is a literal, and is warned of") {
    const std::string url = "https://api.example";
    const std::vector<std::string> star{"literal-star"};
    CHECK(codes(file(url, "match: {path: /v1/*}, ")) == star);
    CHECK(codes(file(url, "match: {path_prefix: \"/v1/*\"}, ")) == star);
    CHECK(codes(file(url, "match: {path_prefix: /v1}, rewrite: {path_prefix: /v2/*}, ")) == star);
    CHECK(codes(file(url, "match: {path_prefix: /v1}, rewrite: {path: /v2/*}, ")) == star);
    CHECK(codes(file(url, "match: {path_prefix: /v1, model: \"gpt-*\"}, ")) == none{});
}

TEST_CASE("a total that leaves no time for a second upstream is warned of") {
    const auto two = [](const std::string& timeout, const std::string& more = "") {
        return "version: 1\nupstreams:\n  first: {url: \"https://a.example\"}\n"
               "  second: {url: \"https://b.example\", caller_credentials: drop}\nroutes:\n"
               "  - {name: r, upstreams: [first, second], timeout: {" +
               timeout + "}" + more + "}\n";
    };
    const std::vector<std::string> late{"no-time-left"};
    CHECK(codes(two("total: 30s, attempt: 30s")) == late);
    CHECK(codes(two("total: 30s, attempt: 25s")) == late);
    CHECK(codes(two("total: 30s, attempt: 24s")) == none{}); // a quarter of it is left
    CHECK(codes(two("total: 30s, attempt: 10s")) == none{});
    CHECK(codes(two("total: 20s")) == none{}); // what is learned fits itself to it
    CHECK(codes(two("total: 30s, attempt: 30s", ", retry: off")) == none{});
    CHECK(codes(file("https://a.example", "timeout: {total: 30s, attempt: 30s}, ")) == none{});
    CHECK(codes("version: 1\nupstreams: {first: {urls: [\"http://a\", \"http://b\"]}}\nroutes: [{name: r, upstreams: "
                "[first], timeout: {total: 30s, attempt: 30s}}]\n") == late);
}

TEST_CASE("F7: an upstream that is this proxy itself is warned of") {
    const auto listening = [](const std::string& at, const std::string& url) {
        return codes(file(url, "", "listen: \"" + at + "\"\n"));
    };
    const std::vector<std::string> own{"own-address"};
    CHECK(listening("127.0.0.1:8080", "http://127.0.0.1:8080") == own);
    CHECK(listening("127.0.0.1:8080", "http://localhost:8080/v1") == own);
    CHECK(listening("0.0.0.0:8080", "http://127.0.0.1:8080") == own);
    CHECK(listening("0.0.0.0:8080", "http://localhost:8080") == own);
    CHECK(listening("[::]:8080", "http://[::1]:8080") == own);
    CHECK(listening("[::1]:8080", "http://localhost:8080") == own);
    CHECK(listening("127.0.0.1:443", "https://localhost") == own);
    CHECK(codes(file("http://127.0.0.1:8080", "")) == own); // where it listens if nothing is said

    CHECK(listening("127.0.0.1:8080", "http://127.0.0.1:8081") == none{});
    CHECK(listening("127.0.0.1:8080", "http://127.0.0.2:8080") == none{});
    CHECK(listening("127.0.0.1:8080", "http://model.example:8080") == none{});
    CHECK(listening("127.0.0.1:0", "http://127.0.0.1:80") == none{});
    CHECK(listening("unix:/run/evenkeel.sock", "http://127.0.0.1:8080") == none{});
}

TEST_CASE("`off` may be written wherever a number's zero means it") {
    const auto result = load(good("access_log: {sample_ok: off}\n", "",
                                  "    circuit_breaker: {failure_ratio: off, ramp: off}\n"
                                  "    hedge: {guard: off, max_extra: off}\n"
                                  "    bulkhead: {max_queue: off}\n"
                                  "    retry: {budget: {extra_work: off, burst: off, min_per_second: off}}\n"));
    CAPTURE(printed(result.diagnostics));
    REQUIRE(result.ok());
    const route& made = *result.settings->routes.front();
    CHECK(made.circuit_breaker.failure_ratio == 0);
    CHECK(made.circuit_breaker.ramp == duration::zero());
    CHECK(made.hedge.on);
    CHECK(made.hedge.guard == 0);
    CHECK(made.hedge.max_extra == 0);
    CHECK(made.bulkhead.on);
    CHECK(made.bulkhead.max_queue == 0);
    CHECK(made.retry.budget.on);
    CHECK(made.retry.budget.extra_work == 0);
    CHECK(made.retry.budget.burst == 0);
    CHECK(made.retry.budget.min_per_second == 0);
    CHECK(result.settings->access_log.sample_ok == 0);
    // Where it could as well mean that there is no bound it is no word.
    CHECK(!load(good("", "    connections: {idle_timeout: off}\n")).ok());
    CHECK(!load(good("", "", "    retry: {max_retry_after: off}\n")).ok());
}

TEST_CASE("D5: as many at a time as would be served without us, and waiting as long as each one's time allows") {
    const auto result = load(good());
    REQUIRE(result.ok());
    const route& made = *result.settings->routes.front();
    CHECK(made.bulkhead.on);
    CHECK(made.bulkhead.max_concurrent == 1024);
    CHECK(made.bulkhead.max_queue == 4096);
    CHECK(!made.bulkhead.queue_timeout);
    CHECK(result.settings->upstreams.front()->connections.max == 1024);
    const auto bounded = load(good("", "", "    bulkhead: {queue_timeout: 3s}\n"));
    REQUIRE(bounded.ok());
    CHECK(bounded.settings->routes.front()->bulkhead.queue_timeout == std::chrono::seconds{3});
    const auto automatic =
        load(good("defaults: {bulkhead: {queue_timeout: 3s}}\n", "", "    bulkhead: {queue_timeout: auto}\n"));
    REQUIRE(automatic.ok());
    CHECK(!automatic.settings->routes.front()->bulkhead.queue_timeout);
}

TEST_CASE("models are renamed by name or glob: the name in full first, then the longest glob") {
    const auto result = load(good("", "    models: {\"gpt-4*\": big, gpt-4o: exact, \"gpt-*\": any, \"?\": letter}\n"));
    REQUIRE(result.ok());
    const upstream& to = *result.settings->upstreams.front();
    const auto named = [&](const char* model) {
        const std::string* const found = rename_of(to, model);
        return found != nullptr ? *found : "as it is";
    };
    CHECK(named("gpt-4o") == "exact");
    CHECK(named("gpt-4o-mini") == "big");
    CHECK(named("gpt-3.5") == "any");
    CHECK(named("x") == "letter");
    CHECK(named("claude") == "as it is");
    CHECK(named("") == "as it is");
}

} // namespace evenkeel::test::stumbles_test
