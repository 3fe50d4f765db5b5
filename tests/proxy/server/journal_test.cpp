// What the journal of a running proxy says of requests, over real sockets: for each misbehaviour of a provider the true
// reason, of a client that left, across a reload; and nothing of a secret anywhere.

#include "proxy/provider/simulated_provider.hpp"
#include "tests/proxy/server/running_proxy.hpp"
#include "tests/proxy/server/what_came.hpp"

#include <boost/json.hpp>
#include <doctest/doctest.h>

#include <fmt/format.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>

#include <sys/wait.h>

namespace evenkeel::test::journal_test {

using namespace provider;
using namespace std::chrono_literals;

namespace {
const std::string admin_page = "admin: {listen: \"127.0.0.1:0\"}\n";

std::uint16_t admin_port(running_proxy& proxy) {
    const std::string address = proxy->admin_addresses().front();
    return static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
}
client_response get(running_proxy& proxy, const std::string& target) {
    blocking_client client({.port = admin_port(proxy)});
    return client.request("GET", target, {{"connection", "close"}});
}
// What is kept is there a moment after its client has the answer.
std::string told(running_proxy& proxy, const std::string& id, const std::string& query = "?format=text") {
    for (int i = 0; i < 500; ++i) {
        if (const auto answer = get(proxy, "/-/requests/" + id + query); answer.status == 200) return answer.body;
        std::this_thread::sleep_for(10ms);
    }
    return {};
}
std::string flat(const std::string& text) {
    std::string out;
    for (const char c : text) {
        const char it = c == '\n' ? ' ' : c;
        if (it != ' ' || out.empty() || out.back() != ' ') out += it;
    }
    return out;
}
header_list asking(const std::string& id) { return {{"content-type", "application/json"}, {"x-request-id", id}}; }

// As much as is remembered of others is off, so that each row meets the same proxy.
std::string one_more_try(const std::string& url) {
    return "upstreams:\n  sim:\n    url: " + url +
           "\n    connections: {retry_stale: false}\n"
           "defaults:\n"
           "  timeout: {total: 6s, attempt: 700ms, stream_idle: 500ms}\n"
           "  retry: {max_retries: 1, backoff: {initial: 2ms, max: 10ms}, budget: {burst: 1000}}\n"
           "  circuit_breaker: off\n  cooldown: off\n  overload: off\n"
           "routes:\n  - {name: all, match: {path_prefix: /}, upstreams: [sim]}\n";
}

struct printed {
    std::string out;
    int code = -1;
};
printed evenkeel(const std::string& arguments, const std::string& environment = "") {
    const std::string line = environment + std::string{EVENKEEL_PROGRAM} + " " + arguments + " 2>&1";
    printed result;
    FILE* const pipe = ::popen(line.c_str(), "r");
    REQUIRE(pipe != nullptr);
    std::array<char, 4096> block;
    for (std::size_t n; (n = std::fread(block.data(), 1, block.size(), pipe)) > 0;) result.out.append(block.data(), n);
    const int status = ::pclose(pipe);
    result.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return result;
}
} // namespace

TEST_CASE("journal: from a 503 to its reason in one command") {
    simulated_provider upstream;
    running_proxy proxy(one_more_try(upstream.url()), "127.0.0.1:0", "",
                        "admin: {listen: \"127.0.0.1:0\", token: sesame}\n");
    upstream.play("status=503");
    auto client = proxy.connect();
    const auto answer = client.request("POST", "/v1/chat/completions", asking("r/1 x"), chat("n", false));
    CHECK(answer.status == 503);
    const std::string id = answer.header("x-request-id"); // what it sent is none that may be kept
    const std::string where = " --admin http://127.0.0.1:" + std::to_string(admin_port(proxy));
    const std::string token = "EVENKEEL_ADMIN_TOKEN=sesame ";
    printed told;
    for (int i = 0; i < 200 && told.code != 0; ++i) {
        told = evenkeel("explain " + id + where, token);
        std::this_thread::sleep_for(10ms);
    }
    CHECK(told.code == 0);
    CAPTURE(told.out);
    CHECK(flat(told.out).find("sim answered with status 503") != std::string::npos);
    CHECK(flat(told.out).find("as many attempts as max_retries allows were made") != std::string::npos);
    std::istringstream lines(told.out);
    for (std::string line; std::getline(lines, line);) CHECK(line.size() <= 80);
    const auto nobody = evenkeel("explain nobody" + where, token);
    CHECK(nobody.code == 1);
    CHECK(nobody.out.find("nothing is kept of a request 'nobody'") != std::string::npos);
    const auto refused = evenkeel("explain " + id + where);
    CHECK(refused.code == 1);
    CHECK(refused.out.find("admin token") != std::string::npos);
    CHECK(evenkeel("explain " + id + " --admin http://127.0.0.1:1").code == 1);
    CHECK(evenkeel("explain").code == 2);
    CHECK(proxy.finish());
}

TEST_CASE("journal: of each misbehaviour of a provider it names the true reason") {
    struct row {
        const char* fault;
        bool stream;
        const char* says;      // of an attempt
        const char* concludes; // of the request
    };
    const row rows[] = {
        {"status=500", false, "sim failed with status 500", "The error of sim was passed on, with status 500"},
        {"status=502; body=html", true, "sim failed with status 502", "with status 502"},
        {"status=529", false, "it is overloaded.", "with status 529"},
        {"status=403", false, "it did not accept the caller's credential.", "with status 403"},
        {"status=422", false, "the request itself was at fault.", "with status 422"},
        {"error=rate", false, "too many requests for now.", "with status 429"},
        {"error=quota", false, "the quota or the money is used up.", "with status 429"},
        {"error=billing", true, "the quota or the money is used up.", "with status 402"},
        {"error=auth", false, "it did not accept the caller's credential.", "with status 401"},
        {"error=context_length", false, "the request itself was at fault.", "with status 400"},
        {"status=200; body=html", false, "sim sent what is no valid answer", "an error of the proxy's own"},
        {"status=200; body=empty", false, "sim sent what is no valid answer", "an error of the proxy's own"},
        {"reset_after=request", false, "sim broke off before its answer was whole", "an error of the proxy's own"},
        {"close_after=request", true, "sim broke off before its answer was whole", "an error of the proxy's own"},
        {"reset_after=status_line", false, "sim broke off before its answer was whole", "an error of the proxy's own"},
        {"close_after=5", true, "sim ended its answer before it was whole", "began with 200 and broke off"},
        {"stall_after=request", true, "it was silent for too long", "an error of the proxy's own"},
        {"stall_after=5", true, "it was silent for too long; nothing had come for", "began with 200 and broke off"},
        {"error_after=0", true, "sim told of an error inside its stream",
         "broke off: the upstream told of an error inside it"},
        {"error_after=5", true, "sim told of an error inside its stream",
         "broke off: the upstream told of an error inside it"},
        {"conflict", false, "sim sent what is no valid answer", "an error of the proxy's own"},
        {"terminal=none", true, "sim ended its answer before it was whole", "began with 200 and broke off"},
        {"status=500; should_retry=false", false, "the upstream said x-should-retry: false", "with status 500"},
        {"error=rate; retry_after=100", false, "too many requests for now.", "with status 429"},
        {"", false, "sim answered with status 200, whole", "Answered with 200 by sim."},
    };
    simulated_provider upstream;
    running_proxy proxy(one_more_try(upstream.url()), "127.0.0.1:0", "", admin_page);
    std::string table = "\n";
    int number = 0;
    for (const row& one : rows) {
        const std::string id = "m" + std::to_string(++number);
        upstream.play(one.fault);
        auto client = proxy.connect();
        static_cast<void>(client.request("POST", "/v1/chat/completions", asking(id), chat(id, one.stream)));
        const std::string text = flat(told(proxy, id));
        table += fmt::format("{:34} {}\n", one.fault, text.substr(0, 600));
        CAPTURE(one.fault);
        CAPTURE(text);
        CHECK(text.find(one.says) != std::string::npos);
        CHECK(text.find(one.concludes) != std::string::npos);
    }
    MESSAGE(table);
    CHECK(proxy.finish());
}

TEST_CASE("journal: nobody there, a client that left, and no route at all") {
    simulated_provider upstream;
    running_proxy proxy("upstreams:\n  sim: {url: \"" + upstream.url() +
                            "\"}\n  dead: {url: \"http://127.0.0.1:1\"}\nroutes:\n"
                            "  - {name: dead, match: {path_prefix: /dead}, upstreams: [dead], retry: off}\n"
                            "  - {name: all, match: {path_prefix: /v1}, upstreams: [sim]}\n",
                        "127.0.0.1:0", "", admin_page);
    {
        auto client = proxy.connect();
        CHECK(client.request("POST", "/dead/v1/chat/completions", asking("gone"), chat("n", false)).status == 502);
        CHECK(client.request("POST", "/nowhere", asking("lost"), chat("n", false)).status == 404);
    }
    CHECK(flat(told(proxy, "gone")).find("dead could not be reached: the connection was refused") != std::string::npos);
    CHECK(flat(told(proxy, "lost")).find("Refused with 404 (no_route): nothing was sent upstream.") !=
          std::string::npos);

    upstream.play("stall_after=request");
    {
        auto client = proxy.connect();
        CHECK(client.send_request("POST", "/v1/chat/completions", asking("left"), chat("n", true)));
        std::this_thread::sleep_for(300ms);
    }
    const std::string text = flat(told(proxy, "left"));
    CAPTURE(text);
    CHECK(text.find("The client left after 0.") != std::string::npos);
    CHECK(text.find("while no answer had come; sim had been silent for 0.") != std::string::npos);
    const auto metrics = get(proxy, "/metrics").body;
    CHECK(metrics.find("evenkeel_client_departures_total{route=\"all\",when=\"unanswered\"} 1\n") != std::string::npos);
    CHECK(boost::json::parse(get(proxy, "/health").body).at("services").at("all").at("departures") == 1);
    CHECK(proxy.finish());
}

TEST_CASE("journal: the list, its filters, and what is not there; it survives a reload") {
    simulated_provider upstream;
    const std::string file = one_more_try(upstream.url());
    running_proxy proxy(file, "127.0.0.1:0", "", admin_page);
    for (int i = 0; i < 3; ++i) {
        upstream.play("status=500");
        auto client = proxy.connect();
        const std::string id = "bad-" + std::to_string(i);
        static_cast<void>(client.request("POST", "/v1/chat/completions", asking(id), chat("n", false)));
        CHECK_FALSE(told(proxy, id).empty());
    }
    proxy.write(file + "  - {name: more, match: {path: /more}, upstreams: [sim]}\n");
    CHECK(proxy->reload());

    auto list = boost::json::parse(get(proxy, "/-/requests").body);
    CHECK(list.at("requests").as_array().size() == 3);
    CHECK(list.at("requests").at(0).at("id") == "bad-2");
    CHECK(list.at("requests").at(0).at("outcome") == "upstream_error");
    CHECK(list.at("requests").at(0).at("attempts") == 2);
    CHECK(list.at("kept") == 3);
    const auto count = [&](const std::string& query) {
        return boost::json::parse(get(proxy, "/-/requests?" + query).body).at("requests").as_array().size();
    };
    CHECK(count("limit=2") == 2);
    CHECK(count("route=all&outcome=upstream_error&upstream=sim&model=m") == 3);
    CHECK(count("outcome=ok") == 0);
    CHECK(count("route=more") == 0);
    CHECK(get(proxy, "/-/requests?outcome=good").status == 400);
    CHECK(get(proxy, "/-/requests?limit=0").status == 400);
    for (const char* broken : {"/-/requests/%zz", "/-/requests?route=%zz", "/-/requests?outcome=%"})
        CHECK(get(proxy, broken).status == 400);
    CHECK(get(proxy, "/-/requests/nobody").status == 404);
    const auto one = boost::json::parse(told(proxy, "bad%2D1", ""));
    CHECK(one.at("requests").at(0).at("id") == "bad-1");
    CHECK(one.at("requests").at(0).at("story").as_array().size() >= 5);
    CHECK(proxy.finish());
}

TEST_CASE("journal: nothing of a secret, wherever it stands") {
    const std::string canary = "sk-CANARY";
    simulated_provider upstream;
    const std::string url = upstream.url();
    running_proxy proxy(
        "upstreams:\n  sim:\n    url: " + url + "\n    headers: {set: {x-api-key: " + canary +
            "-set, authorization: Bearer " + canary +
            "-own}}\nroutes:\n  - name: all\n    match: {path_prefix: /}\n    upstreams: [sim]\n    retry: "
            "{max_retries: 1, backoff: {initial: 2ms, max: 4ms}}\n",
        "127.0.0.1:0", "", admin_page);
    const header_list fields{{"content-type", "application/json"},
                             {"x-request-id", "s1"},
                             {"authorization", "Bearer " + canary + "-bearer"},
                             {"api-key", canary + "-api"},
                             {"cookie", "session=" + canary},
                             {"x-goog-api-key", canary + "-goog"},
                             {"openai-organization", canary + "-org"},
                             {"baggage", "k=" + canary},
                             {"traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
                             {"tracestate", "v=" + canary},
                             {"user-agent", canary}};
    const std::string body = R"({"model":"m","user":")" + canary + R"(","messages":[{"role":"user","content":")" +
                             canary + R"( nonce:n"}],"tools":[{"model":")" + canary + R"("}]})";
    for (const char* fault : {"status=500", "status=429; body=text:sk-CANARY", "reset_after=request", ""}) {
        upstream.play(fault);
        auto client = proxy.connect();
        const auto answer =
            client.request("POST", "/v1/chat/completions?key=" + canary + "&api_key=" + canary, fields, body);
        CHECK(answer.header("x-evenkeel-tries").find(canary) == std::string::npos);
    }
    REQUIRE_FALSE(told(proxy, "s1").empty());
    const auto all = boost::json::parse(told(proxy, "s1", ""));
    CHECK(all.at("requests").at(0).at("trace_id") == "0af7651916cd43dd8448eb211c80319c");
    CHECK(all.at("requests").at(0).at("credential").as_string().size() == 16);
    for (const char* page : {"/-/requests", "/-/requests?tries", "/-/requests/s1", "/-/requests/s1?format=text",
                             "/-/overview", "/metrics", "/health"}) {
        CAPTURE(page);
        CHECK(get(proxy, page).body.find("CANARY") == std::string::npos);
    }
    const std::string access = proxy.access_log();
    const std::string log = proxy.log_text();
    CHECK(proxy->reload());
    std::ifstream in(access);
    std::ostringstream lines;
    lines << in.rdbuf();
    CHECK(lines.str().find("CANARY") == std::string::npos);
    CHECK(lines.str().find("\"tries\":[{") != std::string::npos);
    CHECK(log.find("CANARY") == std::string::npos);
    CHECK(proxy.finish());
}

TEST_CASE("journal: off keeps nothing; the token is asked for") {
    simulated_provider upstream;
    running_proxy proxy(one_more_try(upstream.url()), "127.0.0.1:0", "journal: off\n",
                        "admin: {listen: \"127.0.0.1:0\", token: sesame}\n");
    upstream.play("status=500");
    auto client = proxy.connect();
    static_cast<void>(client.request("POST", "/v1/chat/completions", asking("x"), chat("n", false)));
    CHECK(get(proxy, "/-/requests").status == 401);
    CHECK(get(proxy, "/-/requests/x").status == 401);
    blocking_client admin({.port = admin_port(proxy)});
    const auto list = admin.request("GET", "/-/requests", {{"authorization", "Bearer sesame"}});
    CHECK(list.status == 200);
    CHECK(boost::json::parse(list.body).at("requests").as_array().empty());
    CHECK(proxy.finish());
}

} // namespace evenkeel::test::journal_test
