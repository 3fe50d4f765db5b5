// Over real sockets: one request with a canary in every place a caller's credential can stand, on every way that leads
// to a second authority. The first sees them all; the second none, unless the file says that it may.

#include "proxy/provider/blocking_client.hpp"
#include "proxy/provider/simulated_provider.hpp"
#include "tests/proxy/server/running_proxy.hpp"

#include <doctest/doctest.h>

#include <array>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace evenkeel::test::crossing_test {

using namespace evenkeel::provider;
using namespace std::chrono_literals;

namespace {
constexpr std::array fields{"Authorization",
                            "X-Api-Key",
                            "api-key",
                            "x-goog-api-key",
                            "Ocp-Apim-Subscription-Key",
                            "X-Auth-Token",
                            "cf-aig-authorization",
                            "X-Amz-Security-Token",
                            "Cookie",
                            "OpenAI-Organization",
                            "OpenAI-Project",
                            "anthropic-organization-id",
                            "x-goog-user-project",
                            "Helicone-Auth",
                            "x-portkey-api-key",
                            "x-portkey-virtual-key",
                            "xi-api-key",
                            "x-functions-key",
                            "x-rapidapi-key",
                            "X-Access-Token",
                            "private-token",
                            "x-litellm-api-key",
                            "cf-access-jwt-assertion",
                            "x-forwarded-access-token",
                            "x-openai-api-key",
                            "x-team-token",
                            "dpop",
                            "x-app-secret",
                            "x-serverless-authorization",
                            "x-corp",
                            "x-1-ticket"};
constexpr std::array queries{"key",          "api_key",         "api-key",
                             "access_token", "token",           "subscription-key",
                             "sig",          "X-Amz-Signature", "X-Amz-Security-Token",
                             "code",         "%6bey",           "corp_ticket"};
constexpr std::array members{"api_key",       "access_token",  "aws_secret_access_key",
                             "authorization", "api\\u005fkey", "corp_ticket"};
constexpr std::size_t places = fields.size() + queries.size() + members.size();

std::string canary(std::size_t n) { return "CANARY" + std::to_string(n) + "END"; }

class vendor {
public:
    vendor()
        : provider_({.record_body_bytes = 64 * 1024,
                     .script_for = [this](const attempt_record&) -> std::optional<std::string> {
                         const std::scoped_lock lock(mutex_);
                         return script_;
                     }}) {}
    void play(const std::string& script) {
        provider_.reset();
        const std::scoped_lock lock(mutex_);
        script_ = script;
    }
    [[nodiscard]] std::string url() const { return provider_.url(); }
    [[nodiscard]] std::size_t requests() const { return provider_.counters().requests; }
    // How many of the canaries were in any request.
    [[nodiscard]] std::size_t canaries() const {
        std::string all;
        for (const auto& each : provider_.records()) {
            all += each.target + "\n" + each.body + "\n";
            for (const auto& [name, value] : each.headers) all += name + ": " + value + "\n";
        }
        std::size_t seen = 0;
        for (std::size_t n = 0; n < places; ++n) seen += all.find(canary(n)) != std::string::npos;
        return seen;
    }
    [[nodiscard]] bool every_request_has(const std::string& name, const std::string& value) const {
        const auto all = provider_.records();
        return !all.empty() && std::all_of(all.begin(), all.end(),
                                           [&](const attempt_record& each) { return each.header(name) == value; });
    }

private:
    std::mutex mutex_;
    std::string script_;
    simulated_provider provider_;
};

struct way {
    const char* name;
    std::string first, second; // scripts
    std::string route;         // of `all`, besides its match
    std::string more;          // further routes
    bool stream = false;
    int status = 200;
    bool reaches_second = true;
};

const std::string to_both = "    upstreams: [first, second]\n";

std::vector<way> ways(const std::string& second_url) {
    const std::string other =
        "  - {name: other, match: {path: /other}, upstreams: [second], rewrite: {path: /v1/chat/completions}}\n";
    const std::string parts =
        "  - {name: one, match: {path: /one}, upstreams: [first], rewrite: {path: /v1/chat/completions}}\n"
        "  - {name: two, match: {path: /two}, upstreams: [second], rewrite: {path: /v1/chat/completions}}\n";
    return {
        {"retry", "status=500", "", to_both, ""},
        {"retry after a rate limit", "error=rate; retry_after=20", "", to_both, ""},
        {"retry of a stream", "reset_after=request", "", to_both, "", true},
        {"hedge", "delay=700ms", "", to_both + "    hedge: {delay: 20ms}\n", ""},
        {"balance", "", "", to_both + "    balance: round_robin\n", ""},
        {"renamed, as a stream", "status=500", "", to_both + "    stream: {upcast: on}\n", ""},
        {"coalesced", "status=500", "", to_both + "    coalesce: always\n", ""},
        {"fallback", "status=500", "", "    upstreams: [first]\n    fallback: [{last_good: {}}, {route: other}]\n",
         other},
        {"fan-out", "", "", "    fan_out: {parts: [one, two]}\n", parts},
        {"fan-out, parts that are retried", "status=500", "", "    fan_out: {parts: [one, two]}\n", parts},
        {"replay", "events=12; reset_after=4", "events=12", to_both + "    stream: {resume: verified_replay}\n", "",
         true},
        {"replay, held", "events=12; reset_after=4", "events=12", to_both + "    stream: {resume: buffer}\n", "", true},
        {"redirect", "status=307; header=location:" + second_url + "/v1/chat/completions", "", to_both, "", false, 307,
         false},
        {"redirect of a stream", "status=302; header=location:" + second_url + "/v1/chat/completions", "", to_both, "",
         true, 302, false},
    };
}

std::string config_of(const vendor& first, const vendor& second, const std::string& second_says, const way& by) {
    return "credential_fields: [X-Corp, \"x-*-ticket\"]\ncredential_query: [corp_ticket]\ncredential_body: "
           "[corp_ticket]\n"
           "defaults:\n  retry: {max_retries: 2, backoff: {initial: 2ms, max: 5ms}, budget: off}\n  timeout: {total: "
           "10s}\n"
           "upstreams:\n  first: {url: \"" +
           first.url() + "\"}\n  second: {url: \"" + second.url() + "\", models: {m: n}" + second_says +
           "}\nroutes:\n  - name: all\n" + "    match: {path: /v1/chat/completions}\n" + by.route + by.more;
}

client_response ask(running_proxy& proxy, bool stream) {
    std::size_t n = 0;
    header_list with{{"content-type", "application/json"}};
    for (const char* name : fields)
        with.emplace_back(name, (std::string{name} == "Authorization" ? "Bearer " : "") + canary(n++));
    std::string target = "/v1/chat/completions?alt=sse";
    for (const char* name : queries) target += std::string{"&"} + name + "=" + canary(n++);
    std::string body = std::string{R"({"model":"m","seed":7,"temperature":0,"stream":)"} + (stream ? "true" : "false");
    for (const char* name : members) body += std::string{",\""} + name + "\":\"" + canary(n++) + "\"";
    body += R"(,"messages":[{"role":"user","content":"nonce:cross1"}]})";
    auto client = proxy.connect();
    return client.request("POST", target, with, body);
}
} // namespace

TEST_CASE("a second authority sees no credential of a caller's: none beside its own, none where they are dropped, all "
          "where that "
          "is asked for") {
    REQUIRE(places >= 40);
    vendor first, second;
    struct saying {
        const char *name, *text;
        std::size_t seen;
    };
    for (const saying& says :
         {saying{"own", ", headers: {set: {authorization: Bearer its-own}}", 0},
          saying{"own, in another field", ", headers: {set: {x-its-key: its-own}}", 0},
          saying{"drop", ", caller_credentials: drop", 0}, saying{"pass", ", caller_credentials: pass", places}}) {
        for (const way& by : ways(second.url())) {
            CAPTURE(says.name);
            CAPTURE(by.name);
            first.play(by.first);
            second.play(by.second);
            running_proxy proxy(config_of(first, second, says.text, by));
            const bool coalesced = std::string{by.name} == "coalesced";
            std::thread other;
            if (coalesced) other = std::thread([&] { static_cast<void>(ask(proxy, by.stream)); });
            const int times = std::string{by.name} == "balance" ? 4 : 1;
            for (int i = 0; i < times; ++i) {
                const auto answer = ask(proxy, by.stream);
                CHECK(answer.status == by.status);
                CHECK(answer.complete());
                CHECK(answer.body.find("CANARY") == std::string::npos);
                if (!by.reaches_second) CHECK(answer.header("location").starts_with(second.url()));
            }
            if (other.joinable()) other.join();
            CHECK(first.canaries() == places);
            CHECK(second.canaries() == (by.reaches_second ? says.seen : 0));
            CHECK((second.requests() > 0) == by.reaches_second);
            if (by.reaches_second && says.seen == 0 && std::string{says.name} != "drop") {
                CHECK(second.every_request_has(std::string{says.name} == "own" ? "authorization" : "x-its-key",
                                               std::string{says.name} == "own" ? "Bearer its-own" : "its-own"));
            }
            CHECK(proxy.log_text().find("CANARY") == std::string::npos);
            CHECK(proxy.finish());
        }
    }
}

TEST_CASE(
    "an upstream with its own credential gets a body that comes in pieces without the caller's, and one that cannot be "
    "looked through not at all where the file names members") {
    vendor first, second;
    const way by{"alone", "", "", "    upstreams: [second]\n", ""};
    const std::string body = R"({"model":"m","api_key":")" + canary(0) +
                             R"(","messages":[{"role":"user","content":"nonce:cross2 )" + std::string(300 * 1024, 'x') +
                             R"("}]})";
    for (const bool fits : {true, false}) {
        CAPTURE(fits);
        second.play("");
        running_proxy proxy(config_of(first, second, ", headers: {set: {authorization: Bearer own}}", by) +
                            (fits ? "" : "    retry: {replay_buffer: 100KiB}\n"));
        auto client = proxy.connect();
        REQUIRE(client.send(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: " +
            std::to_string(body.size()) + "\r\n\r\n"));
        for (std::size_t at = 0; at < body.size(); at += 64 * 1024) {
            if (!client.send(body.substr(at, 64 * 1024))) break;
            std::this_thread::sleep_for(2ms);
        }
        const auto answer = client.read_response("POST");
        CHECK(answer.status == (fits ? 200 : 413));
        CHECK(second.canaries() == 0);
        CHECK(second.requests() == (fits ? 1U : 0U));
        CHECK(proxy.finish());
    }
}

TEST_CASE("E1, E2 over the program's own loading: refused at start and on reload, warned of") {
    vendor first, second;
    const std::string crossing = "upstreams:\n  first: {url: \"" + first.url() + "\"}\n  second: {url: \"" +
                                 second.url() + "\"}\nroutes:\n  - {name: all, upstreams: [first, second]}\n";
    std::string said;
    try {
        running_proxy proxy(crossing);
    } catch (const std::runtime_error& refused) {
        said = refused.what();
    }
    CAPTURE(said);
    CHECK(said.find("evenkeel.yaml:10:36: error: ") != std::string::npos);
    CHECK(said.find("[credential-crosses]") != std::string::npos);
    running_proxy proxy(through(first.url()));
    proxy.write(crossing);
    CHECK_FALSE(proxy->reload());
    auto client = proxy.connect();
    CHECK(client
              .request("POST", "/v1/chat/completions", {{"content-type", "application/json"}},
                       R"({"model":"m","messages":[]})")
              .status == 200); // as before
    CHECK(second.requests() == 0);
    client.close();
    CHECK(proxy.finish());
}

} // namespace evenkeel::test::crossing_test
