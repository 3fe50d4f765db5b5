#include "proxy/admin/admin_server.hpp"

#include "proxy/telemetry/scrape_cache.hpp"
#include "tests/proxy/telemetry/sample_config.hpp"

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <boost/json.hpp>
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace evenkeel::test::admin_server_test {

using namespace evenkeel::admin;
using namespace std::chrono_literals;
namespace asio = boost::asio;
using tcp = asio::ip::tcp;
using namespace std::string_literals;

namespace {

constexpr const char* secret = "sk-CANARY-admin";

struct running {
    explicit running(std::string token = "", admin_limits limits = {}) {
        metrics.configuration_loaded(settings);
        health.configuration_loaded(settings);
        config::admin options;
        options.listen = config::listener{.host = "127.0.0.1", .port = 0, .unix = {}, .tls = {}};
        options.metrics_listen = options.listen;
        options.token = std::move(token);
        server = std::make_unique<admin_server>(
            helper, options, admin_sources{metrics, health, heartbeat, log},
            admin_callbacks{
                .why_not_ready = [this] { return ready ? std::string{} : std::string("draining"); },
                .reload =
                    [this](admin_callbacks::answer_later answer) {
                        ++reloads;
                        elsewhere.post([this, answer = std::move(answer)] {
                            while (reload_hangs) std::this_thread::sleep_for(1ms);
                            answer(reload_works ? control_result{true, "generation 2"}
                                                : control_result{false, "line 3: unknown key \"liste\""});
                        });
                    },
                .drain =
                    [this] {
                        ready = false;
                        return control_result{true, "draining"};
                    },
                .force_circuit =
                    [this](const circuit_order& wanted) {
                        if (wanted.upstream != "deepseek") return control_result{false, "there is no such upstream"};
                        orders.push_back(
                            wanted.route +
                            (wanted.state ? *wanted.state == circuit_state::open ? ":open" : ":closed" : ":auto"));
                        return control_result{true, "done"};
                    },
                .end_rests =
                    [this](const rest_order& wanted) {
                        if (wanted.upstream != "deepseek") return control_result{false, "there is no such upstream"};
                        orders.push_back("rests:" + wanted.endpoint);
                        return control_result{true, "1 rest was ended"};
                    },
                .set_credential =
                    [this](const credential_word& wanted) {
                        if (wanted.upstream != "deepseek") return control_result{false, "there is no such upstream"};
                        using state = credential_word::state;
                        orders.push_back(wanted.name +
                                         (wanted.wanted == state::drained ? ":drained"
                                          : wanted.wanted == state::resting
                                              ? ":resting:" + std::to_string(wanted.length / std::chrono::seconds{1})
                                              : ":well"));
                        return control_result{true, "done"};
                    },
                .configuration = [this] { return settings; }},
            limits);
        const auto failed = server->start();
        REQUIRE_FALSE(failed);
    }

    std::shared_ptr<config::settings> settings = telemetry::sample_settings({{"phase1", "deepseek"}});
    telemetry::metrics metrics{{.version = "0.1.0"}};
    telemetry::health health;
    telemetry::liveness heartbeat{1, steady_time{std::chrono::steady_clock::now()}};
    std::atomic<bool> ready{true}, reload_works{true}, reload_hangs{false};
    std::atomic<int> reloads{0};
    std::vector<std::string> orders; // written by the helper thread before it answers
    telemetry::background helper;
    telemetry::app_log log{helper};
    telemetry::background elsewhere; // its last answer is posted before the helper goes
    std::unique_ptr<admin_server> server;
};

struct client {
    explicit client(std::uint16_t port) : socket(context) {
        socket.connect({asio::ip::make_address("127.0.0.1"), port});
    }
    void send(const std::string& bytes) { asio::write(socket, asio::buffer(bytes)); }
    // Until the server closes.
    std::string read_all() {
        std::string got;
        boost::system::error_code error;
        asio::read(socket, asio::dynamic_buffer(got), error);
        return got;
    }
    // One answer with a Content-Length; nothing is awaited beyond its head if there is no body.
    std::string read_one(bool with_body = true) {
        std::string got;
        const auto head = asio::read_until(socket, asio::dynamic_buffer(got), "\r\n\r\n");
        const auto at = got.find("Content-Length: ");
        REQUIRE(at != std::string::npos);
        const auto length = std::stoul(got.substr(at + 16));
        if (with_body && got.size() < head + length)
            asio::read(socket, asio::dynamic_buffer(got), asio::transfer_exactly(head + length - got.size()));
        return got;
    }
    asio::io_context context;
    tcp::socket socket;
};

std::string ask(std::uint16_t port, const std::string& method, const std::string& target,
                const std::string& fields = "") {
    client to(port);
    to.send(method + ' ' + target + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + fields + "\r\n");
    return to.read_all();
}
int status_of(const std::string& answer) { return answer.size() < 12 ? 0 : std::stoi(answer.substr(9, 3)); }
std::string body_of(const std::string& answer) { return answer.substr(answer.find("\r\n\r\n") + 4); }
bool has(const std::string& answer, std::string_view text) { return answer.find(text) != std::string::npos; }

} // namespace

TEST_CASE("the admin listener serves metrics, health, probes and a list of them") {
    running now;
    const auto port = now.server->port();

    const auto metrics = ask(port, "GET", "/metrics");
    CHECK(status_of(metrics) == 200);
    CHECK(has(metrics, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    CHECK(has(metrics, "evenkeel_requests_total{route=\"phase1\",outcome=\"ok\",code_class=\"2xx\"} 0\n"));

    const auto health = ask(port, "GET", "/health");
    CHECK(has(health, "Content-Type: application/json\r\n"));
    const auto document = boost::json::parse(body_of(health)).as_object();
    CHECK(document.at("services").at("phase1").at("upstreams").at("deepseek").at("url") ==
          "http://deepseek.secret-host.example");

    CHECK(body_of(ask(port, "GET", "/livez")) == "ok\n");
    CHECK(body_of(ask(port, "GET", "/readyz")) == "ok\n");
    const auto index = ask(port, "GET", "/");
    CHECK(has(index, "Content-Security-Policy: default-src 'none'"));
    CHECK(has(index, "POST /-/reload"));
    CHECK(has(index, "Cache-Control: no-store"));
    CHECK(has(index, "X-Content-Type-Options: nosniff"));
    CHECK(status_of(ask(port, "GET", "/nothing")) == 404);
}

TEST_CASE("metrics_listen names no host and controls nothing") {
    running now;
    const auto port = now.server->metrics_port();
    CHECK(port != now.server->port());

    const auto health = ask(port, "GET", "/health");
    CHECK(status_of(health) == 200);
    CHECK_FALSE(has(health, "secret-host"));
    CHECK_FALSE(has(ask(port, "GET", "/metrics"), "secret-host"));
    for (const auto where : {port, now.server->port()})
        for (const char* target : {"/metrics", "/health", "/"}) CHECK_FALSE(has(ask(where, "GET", target), "CANARY"));
    CHECK(status_of(ask(port, "POST", "/-/drain")) == 404);
    CHECK(now.ready);
}

TEST_CASE("HEAD tells the length and sends no body, and the connection goes on") {
    running now;
    client to(now.server->port());
    to.send("HEAD /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    const auto head = to.read_one(false);
    CHECK(status_of(head) == 200);
    CHECK(has(head, "Content-Length: 3\r\n"));
    CHECK(body_of(head).empty());

    // Two at once: both are answered, in order.
    to.send("GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: "
            "close\r\n\r\n");
    const auto rest = to.read_all();
    CHECK(status_of(rest) == 200);
    CHECK(has(rest, "HTTP/1.1 404 "));
}

TEST_CASE("readiness follows draining, liveness the loops") {
    running now;
    const auto port = now.server->port();
    CHECK(status_of(ask(port, "POST", "/-/drain")) == 200);
    const auto answer = ask(port, "GET", "/readyz");
    CHECK(status_of(answer) == 503);
    CHECK(body_of(answer) == "not ready: draining\n");
    CHECK(status_of(ask(port, "GET", "/livez")) == 200);

    now.heartbeat.beat(0, steady_time{std::chrono::steady_clock::now()} - 11s);
    CHECK(status_of(ask(port, "GET", "/livez")) == 503);
}

TEST_CASE("strict health is 503 only where nothing can be served") {
    running now;
    const auto port = now.server->port();
    const auto& route = *now.settings->routes[0];
    CHECK(status_of(ask(port, "GET", "/health?strict=1")) == 200);
    now.health.attempt_finished(
        {.route = &route, .upstream = route.upstreams[0].get(), .result = telemetry::attempt_result::timeout});
    CHECK(status_of(ask(port, "GET", "/health?x=2&strict=1")) == 503);
    CHECK(status_of(ask(port, "GET", "/health")) == 200);
    CHECK(status_of(ask(port, "GET", "/health?strict=0")) == 200);
    CHECK(has(ask(port, "GET", "/health"), "\"healthy\":false"));
}

TEST_CASE("a reload is asked for by POST and answers with its outcome") {
    running now;
    const auto port = now.server->port();
    const auto refused = ask(port, "GET", "/-/reload");
    CHECK(status_of(refused) == 405);
    CHECK(has(refused, "Allow: POST\r\n"));
    CHECK(now.reloads == 0);
    CHECK(status_of(ask(port, "POST", "/-/reload", "Origin: https://attacker.example\r\n")) == 403);
    CHECK(now.reloads == 0);

    CHECK(body_of(ask(port, "POST", "/-/reload", "Content-Length: 2\r\n\r\n{")) == "{\"message\":\"generation 2\"}\n");
    now.reload_works = false;
    const auto failed = ask(port, "POST", "/-/reload", "Origin: http://localhost\r\n");
    CHECK(status_of(failed) == 422);
    CHECK(boost::json::parse(body_of(failed)).at("error") == "line 3: unknown key \"liste\"");
    CHECK(now.reloads == 2);
}

TEST_CASE("the level of the log is shown, and set by POST in the query or the body; what is no level is refused") {
    running now;
    const auto port = now.server->port();
    const auto post = [&](const std::string& target, const std::string& body = "", const std::string& fields = "") {
        return ask(port, "POST", target, fields + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
    };
    CHECK(body_of(ask(port, "GET", "/-/log")) == "{\"level\":\"info\"}\n");
    const auto set = post("/-/log?level=debug");
    CHECK(status_of(set) == 200);
    CHECK(has(set, "the log is at level debug until the next reload or restart"));
    CHECK(now.log.level() == config::log_level::debug);
    CHECK(body_of(ask(port, "GET", "/-/log")) == "{\"level\":\"debug\"}\n");
    CHECK(status_of(post("/-/log", "level=error")) == 200);
    CHECK(status_of(post("/-/log", "warning\n")) == 200);
    CHECK(now.log.level() == config::log_level::warning);

    for (const char* wrong : {"/-/log", "/-/log?level=", "/-/log?level=loud", "/-/log?level=DEBUG"}) {
        const auto refused = post(wrong);
        CHECK(status_of(refused) == 400);
        CHECK(has(refused, "Say level=debug, level=info, level=warning or level=error."));
    }
    CHECK(status_of(post("/-/log?level=debug", "", "Origin: https://attacker.example\r\n")) == 403);
    CHECK(status_of(ask(now.server->metrics_port(), "POST", "/-/log?level=debug")) == 404);
    CHECK(now.log.level() == config::log_level::warning);
}

TEST_CASE("the configuration in force is shown with its hash, to whoever has the token, and not on metrics_listen") {
    running now(secret);
    const auto port = now.server->port();
    const std::string bearer = "Authorization: Bearer "s + secret + "\r\n";
    CHECK(status_of(ask(port, "GET", "/-/config")) == 401);
    CHECK(status_of(ask(now.server->metrics_port(), "GET", "/-/config")) == 404);
    CHECK(status_of(ask(port, "GET", "/-/config", bearer)) == 501); // of a configuration from no file
    now.settings->source = "evenkeel.yaml";
    now.settings->hash = "0123abcd";
    now.settings->shown = std::make_shared<const std::string>("workers: 1  # built-in\n");
    CHECK(body_of(ask(port, "GET", "/-/config", bearer)) ==
          "# evenkeel.yaml\n# hash 0123abcd\nworkers: 1  # built-in\n");
}

TEST_CASE("a circuit is forced and released by POST, in the query or the body") {
    running now;
    const auto port = now.server->port();
    const auto post = [&](const std::string& target, const std::string& body = "", const std::string& fields = "") {
        return ask(port, "POST", target, fields + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
    };
    CHECK(status_of(post("/-/circuits/deepseek?state=open")) == 200);
    CHECK(status_of(post("/-/circuits/deepseek", "closed\n")) == 200);
    CHECK(status_of(post("/-/circuits/deepseek", "state=auto&route=phase1")) == 200);
    CHECK(now.orders == std::vector<std::string>{":open", ":closed", "phase1:auto"});

    CHECK(status_of(post("/-/circuits/deepseek")) == 400);
    CHECK(status_of(post("/-/circuits/deepseek", "half_open")) == 400);
    const auto unknown = post("/-/circuits/nobody?state=open");
    CHECK(status_of(unknown) == 422);
    CHECK(boost::json::parse(body_of(unknown)).at("error") == "there is no such upstream");
    CHECK(status_of(ask(port, "GET", "/-/circuits/deepseek?state=open")) == 405);
    CHECK(status_of(post("/-/circuits/deepseek?state=open", "", "Origin: https://attacker.example\r\n")) == 403);
    CHECK(status_of(ask(now.server->metrics_port(), "POST", "/-/circuits/deepseek?state=open")) == 404);
    CHECK(now.orders.size() == 3);
}

TEST_CASE("rests are ended by POST, all of an upstream or those of one endpoint") {
    running now;
    const auto port = now.server->port();
    CHECK(body_of(ask(port, "POST", "/-/rests/deepseek", "Content-Length: 0\r\n")) ==
          "{\"message\":\"1 rest was ended\"}\n");
    CHECK(status_of(ask(port, "POST", "/-/rests/deepseek?endpoint=a:1")) == 200);
    CHECK(status_of(ask(port, "POST", "/-/rests/deepseek", "Content-Length: 12\r\n\r\nendpoint=b:2")) == 200);
    CHECK(now.orders == std::vector<std::string>{"rests:", "rests:a:1", "rests:b:2"});
    CHECK(status_of(ask(port, "POST", "/-/rests/nobody")) == 422);
    CHECK(status_of(ask(port, "GET", "/-/rests/deepseek")) == 405);
    CHECK(status_of(ask(port, "POST", "/-/rests/deepseek", "Origin: https://attacker.example\r\n")) == 403);
    CHECK(status_of(ask(now.server->metrics_port(), "POST", "/-/rests/deepseek")) == 404);
    CHECK(now.orders.size() == 3);
}

TEST_CASE("a credential is drained, rested and revived by POST, by its name or all of an upstream") {
    running now;
    const auto port = now.server->port();
    const auto post = [&](const std::string& target, const std::string& body = "") {
        return ask(port, "POST", target, "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
    };
    CHECK(body_of(post("/-/credentials/deepseek?name=team&state=drained")) == "{\"message\":\"done\"}\n");
    CHECK(status_of(post("/-/credentials/deepseek", "name=te%61m&state=resting&for=10m")) == 200);
    CHECK(status_of(post("/-/credentials/deepseek?name=team&state=resting")) == 200);
    CHECK(status_of(post("/-/credentials/deepseek?state=well")) == 200);
    CHECK(now.orders == std::vector<std::string>{"team:drained", "team:resting:600", "team:resting:3600", ":well"});

    for (const char* wrong : {"?name=team", "?name=team&state=dead", "?state=resting&for=10", "?state=resting&for=0s",
                              "?state=resting&for=25h", "?name=%zz&state=well"}) {
        CAPTURE(wrong);
        CHECK(status_of(post(std::string("/-/credentials/deepseek") + wrong)) == 400);
    }
    CHECK(status_of(post("/-/credentials/nobody?state=well")) == 422);
    CHECK(status_of(ask(port, "GET", "/-/credentials/deepseek?state=well")) == 405);
    CHECK(status_of(ask(port, "POST", "/-/credentials/deepseek?state=well", "Origin: https://attacker.example\r\n")) ==
          403);
    CHECK(status_of(ask(now.server->metrics_port(), "POST", "/-/credentials/deepseek?state=well")) == 404);
    CHECK(now.orders.size() == 4);
}

TEST_CASE("open circuits show in /health and flip ?strict=1 only where nothing can be served, and never /readyz") {
    running now;
    const auto port = now.server->port();
    std::atomic<bool> open{true};
    now.health.report_from([&] {
        telemetry::endpoint_report endpoint{"deepseek", circuit_breaker::summary{}, {}, {}, {}, 0, 0};
        endpoint.circuit->state = open ? circuit_state::open : circuit_state::half_open;
        return telemetry::policy_report{steady_time{std::chrono::steady_clock::now()},
                                        {{"phase1", std::nullopt, 0, {endpoint}}}};
    });
    const auto document = boost::json::parse(body_of(ask(port, "GET", "/health")));
    CHECK(document.at("overall_status").at("open_circuits") == 1);
    CHECK(document.at("services").at("phase1").at("circuit_state") == "open");
    CHECK(status_of(ask(port, "GET", "/health")) == 200);
    CHECK(status_of(ask(port, "GET", "/health?strict=1")) == 503);
    CHECK(status_of(ask(port, "GET", "/readyz")) == 200);
    open = false;
    CHECK(status_of(ask(port, "GET", "/health?strict=1")) == 200);
}

TEST_CASE("a foreign Host is refused on the admin listener and welcome on metrics_listen") {
    running now;
    const std::string rebound = "GET /metrics HTTP/1.1\r\nHost: attacker.example\r\nConnection: close\r\n\r\n";
    client admin(now.server->port());
    admin.send(rebound);
    CHECK(status_of(admin.read_all()) == 403);
    client scrape(now.server->metrics_port());
    scrape.send(rebound);
    CHECK(status_of(scrape.read_all()) == 200);
}

TEST_CASE("the token opens, is never told, and probes need none") {
    running now(secret);
    const auto port = now.server->port();
    const auto closed = ask(port, "GET", "/health");
    CHECK(status_of(closed) == 401);
    CHECK(has(closed, "WWW-Authenticate: Bearer"));
    CHECK_FALSE(has(closed, "CANARY"));
    CHECK(status_of(ask(port, "GET", "/health", "Authorization: Bearer wrong\r\n")) == 401);
    CHECK(status_of(ask(port, "GET", "/livez")) == 200);
    for (const char* target : {"/", "/metrics", "/health", "/livez", "/readyz", "/nothing"}) {
        const auto open = ask(port, "GET", target, "Authorization: Bearer " + std::string(secret) + "\r\n");
        CHECK(status_of(open) == (std::string_view(target) == "/nothing" ? 404 : 200));
        CHECK_FALSE(has(open, "CANARY"));
    }
}

TEST_CASE("what is not HTTP, too long or too large gets its status and the connection closes") {
    running now;
    struct row {
        const char* name;
        std::string bytes;
        int status;
    };
    const std::string host = "Host: localhost\r\n";
    for (const auto& [name, bytes, status] : {
             row{"garbage", "\x16\x03\x01garbage\r\n\r\n", 400},
             row{"long head", "GET / HTTP/1.1\r\n" + host + "x: " + std::string(40'000, 'x') + "\r\n\r\n", 431},
             row{"large body", "POST /-/reload HTTP/1.1\r\n" + host + "Content-Length: 100000\r\n\r\n", 413},
             row{"two lengths",
                 "POST /-/reload HTTP/1.1\r\n" + host + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 400},
             row{"no Host", "GET / HTTP/1.1\r\nConnection: close\r\n\r\n", 400},
             row{"two Hosts", "GET / HTTP/1.1\r\n" + host + host + "Connection: close\r\n\r\n", 400},
             row{"a method with CR LF to log", "GET\x1b[31m / HTTP/1.1\r\n" + host + "\r\n", 400},
         }) {
        client to(now.server->port());
        to.send(bytes);
        CAPTURE(name);
        CHECK(status_of(to.read_all()) == status);
    }
    CHECK(now.reloads == 0);
    CHECK(status_of(ask(now.server->port(), "GET", "/readyz")) == 200);
}

TEST_CASE("a head that drips and a connection that idles are cut") {
    running now("", {.request_timeout = 100ms, .idle_timeout = 200ms});
    const auto start = std::chrono::steady_clock::now();

    client silent(now.server->port());
    CHECK(silent.read_all().empty());
    client dripping(now.server->port());
    dripping.send("GET / HT");
    CHECK(dripping.read_all().empty());
    client idle(now.server->port());
    idle.send("GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    CHECK(status_of(idle.read_all()) == 200);

    CHECK(std::chrono::steady_clock::now() - start < 10s);
}

TEST_CASE("at the limit the connection silent longest makes room") {
    running now("", {.max_connections = 3});
    const std::string request = "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    std::vector<std::unique_ptr<client>> open;
    for (int i = 0; i < 3; ++i) {
        open.push_back(std::make_unique<client>(now.server->port()));
        open.back()->send(request);
        CHECK(status_of(open.back()->read_one()) == 200);
    }
    open[0]->send(request); // a sign of life: the second is the one now
    CHECK(status_of(open[0]->read_one()) == 200);

    CHECK(status_of(ask(now.server->port(), "GET", "/livez")) == 200);
    CHECK(open[1]->read_all().empty());
    for (const int i : {0, 2}) {
        open[i]->send(request);
        CHECK(status_of(open[i]->read_one()) == 200);
    }
}

TEST_CASE("a thousand silent connections and half-sent heads shut no probe out") {
    running now;
    std::vector<int> held;
    const auto hold = [&](std::uint16_t port, const char* bytes) {
        const int one = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        REQUIRE(one >= 0);
        sockaddr_in to{};
        to.sin_family = AF_INET;
        to.sin_port = htons(port);
        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        REQUIRE(::connect(one, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0);
        // It may be closed already.
        if (bytes != nullptr) static_cast<void>(::send(one, bytes, std::strlen(bytes), MSG_NOSIGNAL));
        held.push_back(one);
    };
    const std::string deep = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for (int i = 0; i < 1000; ++i) {
        const auto port = i % 2 == 0 ? now.server->port() : now.server->metrics_port();
        // Idle, half a head, an answer nobody reads.
        hold(port, i % 4 < 2 ? nullptr : i % 4 == 2 ? "GET /livez HT" : deep.c_str());
        if (i % 100 != 99) continue;
        for (const auto where : {now.server->port(), now.server->metrics_port()})
            for (const char* target : {"/livez", "/readyz", "/metrics"}) {
                const auto start = std::chrono::steady_clock::now();
                CHECK(status_of(ask(where, "GET", target)) == 200);
                CHECK(std::chrono::steady_clock::now() - start < 2s);
            }
    }
    for (const int one : held) ::close(one);
}

TEST_CASE("a reload that hangs holds up nobody but who asked for it") {
    running now;
    const auto port = now.server->port();
    now.reload_hangs = true;
    client operators(port);
    operators.send("POST /-/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    while (now.reloads == 0) std::this_thread::sleep_for(1ms);
    for (const char* target : {"/livez", "/readyz", "/metrics", "/health"})
        CHECK(status_of(ask(port, "GET", target)) == 200);
    now.reload_hangs = false;
    CHECK(status_of(operators.read_all()) == 200);

    now.reload_hangs = true; // and a server that stops does not wait for it
    client other(port);
    other.send("POST /-/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
    while (now.reloads == 1) std::this_thread::sleep_for(1ms);
    now.server->stop();
    CHECK(other.read_all().empty());
    now.reload_hangs = false;
}

TEST_CASE("scrapes go on while workers count") {
    running now;
    const auto& route = *now.settings->routes[0];
    std::atomic<bool> done{false};
    {
        std::vector<std::jthread> workers;
        for (int i = 0; i < 2; ++i)
            workers.emplace_back([&] {
                while (!done) {
                    now.metrics.request_started(&route);
                    now.metrics.request_finished({.route = &route, .status = 200, .total = 10ms});
                    now.health.request_finished({.route = &route, .status = 200, .total = 10ms});
                }
            });
        for (int i = 0; i < 10; ++i) {
            CHECK(status_of(ask(now.server->port(), "GET", "/metrics")) == 200);
            CHECK(status_of(ask(now.server->metrics_port(), "GET", "/health")) == 200);
        }
        done = true;
    }
}

TEST_CASE("a port in use is reported with its address and nothing stays open") {
    running now;
    config::admin options;
    options.metrics_listen = config::listener{.host = "127.0.0.1", .port = now.server->port(), .unix = {}, .tls = {}};
    admin_server second(now.helper, options, {now.metrics, now.health, now.heartbeat, now.log}, {});
    const auto failed = second.start();
    REQUIRE(failed);
    CHECK(failed->error == asio::error::address_in_use);
    CHECK(failed->address == "127.0.0.1:" + std::to_string(now.server->port()));
}

TEST_CASE("a listener that asks for TLS is refused rather than served in plain text") {
    running now;
    config::admin options;
    options.listen = config::listener{.host = "127.0.0.1", .port = 0, .unix = {}, .tls = config::server_tls{}};
    admin_server other(now.helper, options, {now.metrics, now.health, now.heartbeat, now.log}, {});
    CHECK(other.start());
}

TEST_CASE("a unix socket works, a left-over file is replaced, a living one is not, and it is gone at the end") {
    running now;
    const auto path =
        (std::filesystem::temp_directory_path() / ("evenkeel_admin_" + std::to_string(::getpid()))).string();
    std::filesystem::remove(path);
    {
        asio::io_context context;
        asio::local::stream_protocol::acceptor left_over(context, asio::local::stream_protocol::endpoint(path));
    }
    config::admin options;
    options.listen = config::listener{.host = "", .port = 0, .unix = config::unix_path{path}, .tls = {}};
    {
        admin_server local(now.helper, options, {now.metrics, now.health, now.heartbeat, now.log}, {});
        CHECK_FALSE(local.start());
        struct stat file {};
        REQUIRE(::stat(path.c_str(), &file) == 0);
        CHECK((file.st_mode & 0777) == 0600); // whoever may write to it may stop the process
        admin_server other(now.helper, options, {now.metrics, now.health, now.heartbeat, now.log}, {});
        CHECK(other.start());

        asio::io_context context;
        asio::local::stream_protocol::socket to(context);
        to.connect(asio::local::stream_protocol::endpoint(path));
        const std::string request = "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        asio::write(to, asio::buffer(request));
        std::string got;
        boost::system::error_code error;
        asio::read(to, asio::dynamic_buffer(got), error);
        CHECK(status_of(got) == 200);
    }
    CHECK_FALSE(std::filesystem::exists(path));
}

TEST_CASE("stopping cuts open connections, and stopping twice or after the helper is harmless") {
    running now;
    client open(now.server->port());
    open.send("GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    CHECK(status_of(open.read_one()) == 200);
    now.server->stop();
    CHECK(open.read_all().empty());
    now.server->stop();
    now.helper.stop();
    now.server.reset();
}

} // namespace evenkeel::test::admin_server_test
