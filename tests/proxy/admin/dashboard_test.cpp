// The dashboard over real sockets: what a browser gets, how it logs in, what its session may do, and the events that it
// listens to.

#include "proxy/admin/admin_server.hpp"
#include "proxy/admin/query.hpp"
#include "tests/proxy/admin/http_client.hpp"
#include "tests/proxy/telemetry/sample_config.hpp"

#include <boost/json.hpp>
#include <doctest/doctest.h>
#include <openssl/evp.h>
#include <openssl/sha.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace evenkeel::test::dashboard_test {

using namespace evenkeel::admin;
using namespace std::chrono_literals;
using namespace std::string_literals;

namespace {

constexpr const char* secret = "sk-CANARY-admin+&=%token";
constexpr const char* secret_in_a_form = "token=sk-CANARY-admin%2B%26%3D%25token";
constexpr const char* as_browser = "Accept: text/html,application/xhtml+xml\r\n";

struct watched {
    explicit watched(std::string token = "", admin_limits limits = {}, std::size_t routes = 1) {
        settings = telemetry::sample_settings({{"phase1", "deepseek"}});
        for (std::size_t more = 1; more < routes; ++more) {
            auto route = std::make_shared<config::route>(*settings->routes[0]);
            route->name = "route-" + std::to_string(more);
            settings->routes.push_back(route);
        }
        settings->journal.on = true;
        metrics.configuration_loaded(settings);
        health.configuration_loaded(settings);
        journal.configuration_loaded(settings);
        config::admin options;
        options.listen = config::listener{.host = "127.0.0.1", .port = 0, .unix = {}, .tls = {}};
        options.metrics_listen = options.listen;
        options.token = std::move(token);
        server = std::make_unique<admin_server>(
            helper, options, admin_sources{metrics, health, heartbeat, log, &journal},
            admin_callbacks{.why_not_ready = [] { return std::string{}; },
                            .reload =
                                [this](admin_callbacks::answer_later answer) {
                                    ++reloads;
                                    answer({true, "reloaded"});
                                },
                            .drain =
                                [] {
                                    return control_result{true, "draining"};
                                },
                            .force_circuit =
                                [this](const circuit_order& wanted) {
                                    orders.push_back(wanted.upstream + '|' + wanted.endpoint);
                                    return control_result{true, "done"};
                                },
                            .configuration_state =
                                [this] {
                                    return admin::configuration_state{.file = "evenkeel.yaml",
                                                                      .hash = settings->hash,
                                                                      .last_reload_taken = false,
                                                                      .problem = "evenkeel.yaml:3:1: error: no",
                                                                      .restart_required = {"listen"}};
                                }},
            limits);
        REQUIRE_FALSE(server->start());
    }
    void disturb(std::string id) {
        telemetry::request_account account{.route = settings->routes[0].get(),
                                           .upstream = settings->upstreams[0].get(),
                                           .method = "POST",
                                           .path = "/v1/chat/completions",
                                           .request_id = id,
                                           .status = 503,
                                           .outcome = telemetry::request_outcome::upstream_error,
                                           .total = 2s,
                                           .at = steady_time{std::chrono::steady_clock::now()}};
        account.note(account.at - 1s, {.upstream = account.upstream},
                     telemetry::happened::launched{telemetry::attempt_kind::first, "first"});
        journal.request_finished(account);
    }
    [[nodiscard]] std::uint16_t port() const { return server->port(); }
    [[nodiscard]] std::string origin() const { return "Origin: http://localhost:" + std::to_string(port()) + "\r\n"; }
    // "Cookie: ...\r\n", of a session.
    [[nodiscard]] std::string logged_in() const {
        const auto answer = ask_admin(port(), "POST", "/-/login", origin() + as_browser, secret_in_a_form);
        REQUIRE(status_of(answer) == 303);
        const auto cookie = field_of(answer, "Set-Cookie");
        return "Cookie: other=1; " + cookie.substr(0, cookie.find(';')) + "\r\n";
    }

    std::shared_ptr<config::settings> settings;
    telemetry::metrics metrics{{.version = "0.1.0"}};
    telemetry::health health;
    telemetry::journal_store journal;
    telemetry::liveness heartbeat{1, steady_time{std::chrono::steady_clock::now()}};
    std::atomic<int> reloads{0};
    std::vector<std::string> orders; // written by the helper thread before it answers
    telemetry::background helper;
    telemetry::app_log log{helper};
    std::unique_ptr<admin_server> server;
};

std::string between(const std::string& text, const std::string& begin, const std::string& end) {
    const auto at = text.find(begin);
    REQUIRE(at != std::string::npos);
    return text.substr(at + begin.size(), text.find(end, at) - at - begin.size());
}
std::string hash_source(const std::string& text) {
    unsigned char digest[SHA256_DIGEST_LENGTH], encoded[64];
    SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest);
    const int length = EVP_EncodeBlock(encoded, digest, sizeof digest);
    return "'sha256-" + std::string(reinterpret_cast<const char*>(encoded), static_cast<std::size_t>(length)) + "'";
}

// The request head of a listener, whose answer is read as it comes.
std::unique_ptr<admin_client> listen(const watched& to, const std::string& fields = "") {
    auto made = std::make_unique<admin_client>(to.port());
    made->send("GET /-/live HTTP/1.1\r\nHost: localhost:" + std::to_string(to.port()) + "\r\n" + fields + "\r\n");
    return made;
}
boost::json::object data_of(const std::string& event) {
    return boost::json::parse(between(event, "data: ", "\n\n")).as_object();
}

} // namespace

TEST_CASE("a browser gets one page, whose policy lets run what stands in it and nothing else; a tool gets a list") {
    watched now;
    const auto answer = ask_admin(now.port(), "GET", "/", as_browser);
    CHECK(status_of(answer) == 200);
    CHECK(field_of(answer, "Content-Type") == "text/html; charset=utf-8");
    CHECK(field_of(answer, "Vary") == "Accept");
    CHECK(field_of(answer, "X-Content-Type-Options") == "nosniff");
    const auto page = body_of(answer), policy = field_of(answer, "Content-Security-Policy");
    CHECK(page.size() < 100 * 1024);
    CHECK(has(policy, "default-src 'none'; script-src " + hash_source(between(page, "<script>", "</script>")) +
                          "; style-src " + hash_source(between(page, "<style>", "</style>"))));
    CHECK(has(policy, "connect-src 'self'"));
    CHECK(has(policy, "frame-ancestors 'none'"));
    CHECK(has(policy, "require-trusted-types-for 'script'"));
    CHECK_FALSE(has(policy, "unsafe"));
    for (const char* outside : {"src=", "@import", "url(", "//cdn", "style=\"", " onclick", "innerHTML"}) {
        CAPTURE(outside);
        CHECK_FALSE(has(page, outside));
    }
    CHECK_FALSE(has(page, "CANARY"));

    for (const char* fields : {"", "Accept: */*\r\n", "Accept: application/json\r\n"}) {
        const auto list = ask_admin(now.port(), "GET", "/", fields);
        CHECK(field_of(list, "Content-Type") == "text/plain; charset=utf-8");
        CHECK(has(list, "POST /-/reload"));
        CHECK(field_of(list, "Content-Security-Policy") == "default-src 'none'; frame-ancestors 'none'");
    }
    CHECK(status_of(ask_admin(now.server->metrics_port(), "GET", "/", as_browser)) == 404);
    CHECK(status_of(ask_admin(now.server->metrics_port(), "GET", "/-/overview")) == 404);
    CHECK(status_of(ask_admin(now.server->metrics_port(), "GET", "/-/live")) == 404);
}

TEST_CASE("the overview has routes and endpoints with their counts, the configuration and its problem, and no secret") {
    watched now;
    const auto parts = std::make_shared<config::route>();
    parts->name = "whole";
    parts->serves = config::route_serves::fan_out;
    now.settings->routes.push_back(parts);
    now.metrics.configuration_loaded(now.settings);
    now.health.configuration_loaded(now.settings);
    now.health.request_finished({.route = parts.get(), .status = 200, .total = 1s});
    const auto& route = *now.settings->routes[0];
    now.metrics.request_started(&route);
    now.metrics.request_finished({.route = &route,
                                  .upstream = now.settings->upstreams[0].get(),
                                  .status = 200,
                                  .total = 3s,
                                  .first_token = 250ms});
    const auto answer = ask_admin(now.port(), "GET", "/-/overview");
    CHECK_FALSE(has(answer, "CANARY"));
    const auto document = boost::json::parse(body_of(answer)).as_object();
    CHECK(document.at("version") == "0.1.0");
    CHECK(document.at("level") == "trouble"); // the reload
    CHECK(has(std::string(document.at("sentence").as_string()), "phase1 serves."));
    const auto& shown = document.at("routes").at(0);
    CHECK(shown.at("name") == "phase1");
    CHECK(shown.at("state") == "serves");
    CHECK(shown.at("in_flight") == 0);
    CHECK(shown.at("total").at("ended").at("ok") == 1);
    CHECK(shown.at("total").at("duration").at(0) == 1);
    CHECK(shown.at("total").at("duration").at(1).to_number<double>() == doctest::Approx(3));
    CHECK(shown.at("total").at("first_token").at(1).to_number<double>() == doctest::Approx(0.25));
    const auto& endpoint = shown.at("endpoints").at(0);
    CHECK(endpoint.at("upstream") == "deepseek");
    CHECK(endpoint.at("url") == "http://deepseek.secret-host.example");
    CHECK(endpoint.at("state") == "up");
    CHECK(endpoint.at("circuit").is_null());
    CHECK(document.at("routes").at(1).at("name") == "whole");
    CHECK(document.at("routes").at(1).at("minute").at("requests") == 1);
    CHECK(document.at("routes").at(1).at("endpoints").as_array().empty());
    CHECK_FALSE(has(ask_admin(now.port(), "GET", "/health"), "whole"));
    const auto& file = document.at("configuration");
    CHECK(file.at("last_reload_ok") == false);
    CHECK(file.at("problem") == "evenkeel.yaml:3:1: error: no");
    CHECK(file.at("restart_required").at(0) == "listen");
}

TEST_CASE("the list of requests has their tries where they are wanted") {
    watched now;
    now.disturb("r-1");
    const auto with = boost::json::parse(body_of(ask_admin(now.port(), "GET", "/-/requests?disturbed&tries")));
    CHECK(with.at("requests").at(0).at("tries").at(0).at("upstream") == "deepseek");
    const auto without = boost::json::parse(body_of(ask_admin(now.port(), "GET", "/-/requests?disturbed")));
    CHECK_FALSE(without.at("requests").at(0).as_object().contains("tries"));
}

TEST_CASE("the list of requests may be of a time") {
    const wall_time now = wall_time{} + 1'000'000s;
    CHECK(admin::moment("15m", now) == now - 15min);
    const wall_time night{std::chrono::sys_days{std::chrono::year{2026} / 11 / 30} + 3h + 10min};
    for (const char* same : {"2026-11-30T03:10", "2026-11-30T03:10Z", "2026-11-30T03:10:00Z", "2026-11-30T03:10:00.25Z",
                             "2026-11-30T05:40+02:30", "2026-11-29T22:10:00-05:00"}) {
        CAPTURE(same);
        CHECK(admin::moment(same, now) == night);
    }
    for (const char* none : {"", "yesterday", "2026-02-30T03:10", "2026-11-30", "2026-11-30T25:00",
                             "2026-11-30T03:10:00Zz", "2026-11-30T03:10+", "15", " 2026- 1- 1T 3: 1"}) {
        CAPTURE(none);
        CHECK_FALSE(admin::moment(none, now));
    }
    CHECK(admin::moment("2026-11-30t03:10:00z", now) == night);
    CHECK(admin::moment("9999-12-31T23:59:59Z", now) == wall_time::max());
    CHECK(admin::moment("0001-01-01T00:00Z", now) == wall_time::min());
    watched on;
    on.disturb("r-1");
    const auto listed = [&](const std::string& query) {
        return boost::json::parse(body_of(ask_admin(on.port(), "GET", "/-/requests?" + query)))
            .at("requests")
            .as_array()
            .size();
    };
    CHECK(listed("until=2026-11-30T03:10%2B02:00&since=1970-01-01T00:00Z") == 1); // it has no time of its own
    CHECK(listed("since=15m") == 0);
    CHECK(status_of(ask_admin(on.port(), "GET", "/-/requests?since=soon")) == 400);
}

TEST_CASE("names in an address may be escaped") {
    watched now;
    CHECK(status_of(ask_admin(now.port(), "POST", "/-/circuits/a%20b?state=open&endpoint=%5B::1%5D%3A443")) == 200);
    CHECK(now.orders == std::vector{"a b|[::1]:443"s});
    CHECK(status_of(ask_admin(now.port(), "POST", "/-/circuits/a%2?state=open")) == 400);
    CHECK(status_of(ask_admin(now.port(), "POST", "/-/rests/a?endpoint=%zz")) == 400);
}

TEST_CASE("a browser that may not look is asked for the token, and then holds a session that says nothing of it") {
    watched now(secret);
    const auto form = ask_admin(now.port(), "GET", "/", as_browser);
    CHECK(status_of(form) == 401);
    CHECK(has(form, "action=\"/-/login\""));
    CHECK(has(field_of(form, "Content-Security-Policy"), "form-action 'self'"));
    CHECK(field_of(form, "Referrer-Policy") == "same-origin"); // with no-referrer a form comes from the origin `null`
    CHECK(field_of(form, "Set-Cookie").empty());
    CHECK(field_of(ask_admin(now.port(), "GET", "/"), "Content-Type") == "application/json");

    const auto wrong = ask_admin(now.port(), "POST", "/-/login", now.origin() + as_browser, "token=guess");
    CHECK(status_of(wrong) == 401);
    CHECK(has(wrong, "That is not the token."));
    CHECK(field_of(wrong, "Set-Cookie").empty());
    for (const char* body : {"", "token", "token=", "token=sk-CANARY-admin%2B%26%3D%25toke", "token=%"})
        CHECK(status_of(ask_admin(now.port(), "POST", "/-/login", now.origin(), body)) == 401);
    CHECK(status_of(ask_admin(now.port(), "POST", "/-/login", "Origin: https://attacker.example\r\n",
                              secret_in_a_form)) == 403);

    const auto in = ask_admin(now.port(), "POST", "/-/login", now.origin() + as_browser, secret_in_a_form);
    CHECK(status_of(in) == 303);
    CHECK(field_of(in, "Location") == "/");
    const auto cookie = field_of(in, "Set-Cookie");
    CHECK(cookie.starts_with("evenkeel_" + std::to_string(now.port()) + '='));
    CHECK(has(cookie, "; Path=/; HttpOnly; SameSite=Strict; Max-Age=43200"));
    CHECK(cookie.substr(cookie.find('=') + 1).find(';') == 64); // 256 random bits
    CHECK_FALSE(has(in, "CANARY"));

    const auto session = now.logged_in();
    CHECK(session != now.logged_in()); // each its own
    const auto page = ask_admin(now.port(), "GET", "/", as_browser + session);
    CHECK(status_of(page) == 200);
    CHECK(has(page, "data-session=\"yes\""));
    for (const char* target : {"/-/overview", "/metrics", "/health", "/-/requests"}) {
        const auto shown = ask_admin(now.port(), "GET", target, session);
        CHECK(status_of(shown) == 200);
        CHECK_FALSE(has(shown, "CANARY"));
    }
    // Nor does it matter what others at this host leave in front of it.
    const std::string planted = "Cookie: evenkeel_" + std::to_string(now.port()) + "=planted; " +
                                session.substr(std::string_view{"Cookie: "}.size());
    CHECK(status_of(ask_admin(now.port(), "GET", "/-/overview", planted)) == 200);
    // What is wrong is not made good by a session.
    CHECK(status_of(ask_admin(now.port(), "GET", "/-/overview", session + "Authorization: Bearer x\r\n")) == 401);
    CHECK(status_of(ask_admin(now.port(), "GET", "/-/overview",
                              "Cookie: evenkeel_" + std::to_string(now.port()) + "=" + std::string(64, '0') +
                                  "\r\n")) == 401);
}

TEST_CASE("with a session control is for pages of our own origin alone") {
    watched now(secret);
    const auto session = now.logged_in();
    const auto reload = [&](const std::string& fields) {
        return status_of(ask_admin(now.port(), "POST", "/-/reload", session + fields));
    };
    CHECK(reload("") == 403); // every browser sends one
    CHECK(reload("Origin: https://attacker.example\r\n") == 403);
    CHECK(reload("Origin: http://localhost:1\r\n") == 403); // of the same site, as cookies see it
    CHECK(reload("Origin: null\r\n") == 403);
    CHECK(reload(now.origin() + now.origin()) == 403);
    CHECK(reload(now.origin() + "Sec-Fetch-Site: same-site\r\n") == 403);
    CHECK(reload(now.origin() + "Sec-Fetch-Site: cross-site\r\n") == 403);
    CHECK(now.reloads == 0);
    CHECK(reload(now.origin()) == 200);
    CHECK(reload(now.origin() + "Sec-Fetch-Site: same-origin\r\n") == 200);
    CHECK(now.reloads == 2);
    // A tool with the token has no Origin.
    CHECK(status_of(ask_admin(now.port(), "POST", "/-/reload", "Authorization: Bearer "s + secret + "\r\n")) == 200);
}

TEST_CASE("a logout ends the session") {
    watched now(secret);
    const auto session = now.logged_in(), other = now.logged_in();
    CHECK(status_of(ask_admin(now.port(), "POST", "/-/logout", session + "Origin: http://x\r\n")) == 403);
    const auto out = ask_admin(now.port(), "POST", "/-/logout", session + now.origin());
    CHECK(status_of(out) == 303);
    CHECK(has(field_of(out, "Set-Cookie"), "Max-Age=0"));
    CHECK(status_of(ask_admin(now.port(), "GET", "/-/overview", session)) == 401);
    CHECK(status_of(ask_admin(now.port(), "GET", "/-/overview", other)) == 200);
}

TEST_CASE("who guesses tokens has to wait, and holds up nobody who has one") {
    watched now(secret);
    const auto session = now.logged_in();
    int refused = 0;
    for (int i = 0; i < 12; ++i) {
        const auto answer = ask_admin(now.port(), "POST", "/-/login", now.origin() + as_browser, "token=guess");
        if (status_of(answer) == 429) {
            ++refused;
            CHECK(std::stoi(field_of(answer, "Retry-After")) >= 1);
            CHECK(has(answer, "Too many wrong tokens."));
        } else {
            CHECK(status_of(answer) == 401);
        }
    }
    CHECK(refused >= 1);
    // Not even looked at.
    CHECK(status_of(ask_admin(now.port(), "POST", "/-/login", now.origin(), secret_in_a_form)) == 429);
    CHECK(status_of(ask_admin(now.port(), "GET", "/-/overview", session)) == 200);
    CHECK(status_of(ask_admin(now.port(), "GET", "/-/overview", "Authorization: Bearer "s + secret + "\r\n")) == 200);
}

TEST_CASE("without a token there is nothing to log in to") {
    watched now;
    const auto answer = ask_admin(now.port(), "POST", "/-/login", now.origin(), "token=any");
    CHECK(status_of(answer) == 303);
    CHECK(field_of(answer, "Set-Cookie").empty());
    CHECK(has(ask_admin(now.port(), "GET", "/", as_browser), "data-session=\"no\""));
}

TEST_CASE("who listens is told the overview again and again, and of requests when there are new ones") {
    watched now("", {.live_interval = 20ms});
    now.disturb("r-first");
    auto one = listen(now);
    const auto head = one->read_to("\r\n\r\n");
    CHECK(status_of(head) == 200);
    CHECK(has(head, "Content-Type: text/event-stream\r\n"));
    CHECK(has(head, "Cache-Control: no-store\r\n"));
    CHECK_FALSE(has(head, "Content-Length"));

    const auto overview = one->read_to("\n\n");
    CHECK(overview.starts_with("event: overview\ndata: {"));
    CHECK(data_of(overview).at("routes").at(0).at("name") == "phase1");
    const auto requests = one->read_to("\n\n");
    CHECK(requests.starts_with("event: requests\n"));
    CHECK(data_of(requests).at("requests").at(0).at("id") == "r-first");
    for (int i = 0; i < 3; ++i) CHECK(one->read_to("\n\n").starts_with("event: overview\n"));
    now.disturb("r-second");
    std::string next;
    do next = one->read_to("\n\n");
    while (next.starts_with("event: overview\n"));
    CHECK(data_of(next).at("requests").at(0).at("id") == "r-second");
    CHECK_FALSE(has(next, "CANARY"));

    CHECK(status_of(ask_admin(now.port(), "HEAD", "/-/live")) == 200); // and ends
}

TEST_CASE("no page of another origin may listen") {
    watched now;
    CHECK(status_of(ask_admin(now.port(), "GET", "/-/live", "Origin: http://localhost:1\r\n")) == 403);
    CHECK(status_of(ask_admin(now.port(), "GET", "/-/live", "Sec-Fetch-Site: cross-site\r\n")) == 403);
}

TEST_CASE("so many may listen; whoever leaves makes room") {
    watched now("", {.max_listeners = 2, .live_interval = 5ms});
    auto one = listen(now), two = listen(now);
    CHECK(status_of(one->read_to("\r\n\r\n")) == 200);
    CHECK(status_of(two->read_to("\r\n\r\n")) == 200);
    const auto refused = ask_admin(now.port(), "GET", "/-/live");
    CHECK(status_of(refused) == 503);
    CHECK(field_of(refused, "Retry-After") == "5");
    one.reset();
    for (int status = 0; status != 200;) {
        auto another = listen(now);
        status = status_of(another->read_to("\r\n\r\n"));
    }
}

TEST_CASE("a listener that does not read is dropped, and its place is free again") {
    watched now("", {.write_timeout = 50ms, .max_listeners = 1, .live_interval = 1ms}, 50);
    admin_client deaf(now.port());
    deaf.socket.set_option(boost::asio::socket_base::receive_buffer_size(4096));
    deaf.send("GET /-/live HTTP/1.1\r\nHost: localhost\r\n\r\n");
    CHECK(status_of(deaf.read_to("\r\n\r\n")) == 200);
    for (int status = 0; status != 200;) { // 503 until then
        auto another = listen(now);
        status = status_of(another->read_to("\r\n\r\n"));
    }
    std::size_t read = 0; // what was on its way ends
    for (char piece[4096];;) {
        boost::system::error_code error;
        const auto bytes = deaf.socket.read_some(boost::asio::buffer(piece), error);
        if (error) break;
        read += bytes;
    }
    CHECK(read < 8U << 20U);
}

TEST_CASE("what is listened to ends with its session, and at once when the server stops") {
    watched now(secret, {.live_interval = 5ms});
    const auto session = now.logged_in();
    auto one = listen(now, session);
    CHECK(status_of(one->read_to("\r\n\r\n")) == 200);
    CHECK(one->read_to("\n\n").starts_with("event: overview\n"));
    CHECK(status_of(ask_admin(now.port(), "POST", "/-/logout", session + now.origin())) == 303);
    while (!one->read_to("\n\n").empty()) {}

    watched slow("", {.live_interval = 1h}); // between two events
    auto two = listen(slow);
    CHECK(two->read_to("\n\n").empty() == false);
    const auto began = std::chrono::steady_clock::now();
    slow.server->stop();
    static_cast<void>(two->read_all());
    slow.server.reset();
    slow.helper.stop();
    CHECK(std::chrono::steady_clock::now() - began < 5s);
}

} // namespace evenkeel::test::dashboard_test
