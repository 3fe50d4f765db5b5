// Certificates and CAs through reloads: the good ones are taken, the bad ones change nothing.

#include "proxy/provider/blocking_client.hpp"
#include "proxy/provider/simulated_provider.hpp"
#include "tests/proxy/server/running_proxy.hpp"
#include "tests/support/certificates.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

namespace evenkeel::test::reload_tls_test {

using namespace evenkeel::provider;
using namespace std::chrono_literals;

namespace {
const header_list json{{"content-type", "application/json"}};
constexpr std::string_view question = R"({"model":"m","messages":[{"role":"user","content":"nonce:a"}]})";

certificate issued(const certificate_authority& by) {
    certificate_request what;
    what.dns = {"localhost"};
    what.addresses = {"127.0.0.1"};
    return by.issue(what);
}

// TLS on both sides, every file in one directory. New connections all the time: nothing is served by one that was there
// before.
struct tls_proxy {
    explicit tls_proxy(const std::string& idle_timeout = "1ms") {
        files.write("front-ca.pem", front_authority.pem());
        files.write("back-ca.pem", back_authority.pem());
        renew(front_authority);
        const certificate back = issued(back_authority);
        provider_options options;
        options.tls = provider_tls{files.write("back.pem", back.pem), files.write("back.key", back.key)};
        upstream = std::make_unique<simulated_provider>(std::move(options));
        const std::string url = "https://localhost:" + upstream->url().substr(upstream->url().rfind(':') + 1);
        rest = through(url, "    tls: {ca_file: " + files.path("back-ca.pem") +
                                "}\n    connections: {idle_timeout: " + idle_timeout + "}\n");
        proxy = std::make_unique<running_proxy>(rest,
                                                "{address: '127.0.0.1:0', tls: {cert_file: " + files.path("front.pem") +
                                                    ", key_file: " + files.path("front.key") + "}}");
    }
    void renew(const certificate_authority& by) const {
        const certificate front = issued(by);
        files.write("front.pem", front.pem);
        files.write("front.key", front.key);
    }
    [[nodiscard]] int ask(const std::string& trusted = "front-ca.pem") const {
        try {
            const client_tls tls{.ca_file = files.path(trusted), .server_name = "localhost"};
            blocking_client client({.port = proxy->port(), .timeout = 10s, .tls = tls});
            const auto answer = client.request("POST", "/v1/chat/completions", json, question);
            last_body = answer.body;
            return answer.complete() ? answer.status : -1;
        } catch (const client_error&) {
            return -2; // no handshake
        }
    }

    certificate_authority front_authority{"front"}, back_authority{"back"};
    temporary_directory files;
    std::unique_ptr<simulated_provider> upstream;
    std::string rest;
    std::unique_ptr<running_proxy> proxy;
    mutable std::string last_body;
};
} // namespace

TEST_CASE("a reload with a broken file is refused and no request notices") {
    tls_proxy bench;
    REQUIRE(bench.ask() == 200);
    std::atomic<int> good{0}, bad{0};
    std::atomic<bool> over{false};
    std::vector<std::thread> clients;
    for (int i = 0; i < 2; ++i) {
        clients.emplace_back([&] {
            const client_tls tls{.ca_file = bench.files.path("front-ca.pem"), .server_name = "localhost"};
            for (int n = 0; n < 100 || !over; ++n) {
                try {
                    blocking_client client({.port = bench.proxy->port(), .timeout = 10s, .tls = tls});
                    const auto answer = client.request("POST", "/v1/chat/completions", json, question);
                    ++(answer.complete() && answer.status == 200 ? good : bad);
                } catch (const client_error&) {
                    ++bad;
                }
            }
        });
    }
    struct damage {
        const char* file;
        std::string what;
        const char* named;
    };
    const certificate stranger = issued(bench.front_authority);
    const damage damages[] = {{"back-ca.pem", bench.back_authority.pem().substr(0, 200), "back-ca.pem"},
                              {"back-ca.pem", bench.back_authority.pem() + "-----BEGIN CERT", "back-ca.pem"},
                              {"back-ca.pem", "", "back-ca.pem"},
                              {"front.pem", stranger.pem.substr(0, stranger.pem.size() / 2), "front.pem"},
                              {"front.key", stranger.key, "front.key"}};
    for (const damage& one : damages) {
        CAPTURE(one.file);
        bench.files.write("back-ca.pem", bench.back_authority.pem());
        bench.renew(bench.front_authority);
        REQUIRE((*bench.proxy)->reload());
        bench.files.write(one.file, one.what);
        CHECK_FALSE((*bench.proxy)->reload());
        std::this_thread::sleep_for(20ms);
    }
    over = true;
    for (auto& one : clients) one.join();
    CHECK(bad == 0);
    CHECK(good >= 200);
    CHECK(bench.ask() == 200);
    CHECK(bench.last_body.find(".pem") == std::string::npos);
    const auto log = bench.proxy->directory() / "log";
    bench.proxy->operator->()->drain();
    CHECK(bench.proxy->operator->()->wait());
    std::ifstream in(log);
    std::ostringstream text;
    text << in.rdbuf();
    for (const damage& one : damages) CHECK(text.str().find(one.named) != std::string::npos);
}

TEST_CASE("new files under the same names are taken by a reload, for clients and towards upstreams") {
    tls_proxy bench;
    REQUIRE(bench.ask() == 200);
    const certificate_authority next("next");
    bench.files.write("next-ca.pem", next.pem());
    bench.renew(next);
    CHECK(bench.ask("next-ca.pem") == -2); // not before the reload
    REQUIRE((*bench.proxy)->reload());
    CHECK(bench.ask("next-ca.pem") == 200);
    CHECK(bench.ask("front-ca.pem") == -2);

    bench.files.write("back-ca.pem", next.pem()); // which the upstream's certificate is not of
    REQUIRE((*bench.proxy)->reload());
    std::this_thread::sleep_for(20ms); // the pool's connection is idle for longer than it may
    CHECK(bench.ask("next-ca.pem") == 502);
    CHECK(bench.last_body.find(".pem") == std::string::npos);
    bench.files.write("back-ca.pem", bench.back_authority.pem());
    REQUIRE((*bench.proxy)->reload());
    CHECK(bench.ask("next-ca.pem") == 200);
    CHECK(bench.proxy->finish());
}

TEST_CASE("F2: an idle connection that trusted other files serves nobody after a reload, one of the same files does") {
    tls_proxy bench("60s");
    REQUIRE(bench.ask() == 200);
    const auto connections = [&] { return bench.upstream->counters().connections; };
    const auto before = connections();
    REQUIRE((*bench.proxy)->reload());
    CHECK(bench.ask() == 200);
    CHECK(connections() == before); // kept
    const certificate_authority next("next");
    bench.files.write("back-ca.pem", next.pem()); // which the upstream's certificate is not of
    REQUIRE((*bench.proxy)->reload());
    CHECK(bench.ask() == 502);
    bench.files.write("back-ca.pem", bench.back_authority.pem());
    REQUIRE((*bench.proxy)->reload());
    CHECK(bench.ask() == 200);
    CHECK(connections() > before);
    CHECK(bench.proxy->finish());
}

TEST_CASE("other file names for the same socket are taken by a reload as well") {
    tls_proxy bench;
    const certificate_authority next("next");
    bench.files.write("next-ca.pem", next.pem());
    const certificate front = issued(next);
    bench.files.write("renamed.pem", front.pem);
    bench.files.write("renamed.key", front.key);
    std::ifstream in(bench.proxy->file());
    std::ostringstream text;
    text << in.rdbuf();
    std::string file = text.str();
    for (const char* name : {"front.pem", "front.key"}) {
        const std::size_t at = file.find(name);
        REQUIRE(at != std::string::npos);
        file.replace(at, 5, "renamed");
    }
    std::ofstream(bench.proxy->file()) << file;
    REQUIRE((*bench.proxy)->reload());
    CHECK(bench.ask("next-ca.pem") == 200);
    CHECK(bench.proxy->log_text().find("restart") == std::string::npos);
    CHECK(bench.proxy->finish());
}

TEST_CASE("/metrics says when the certificates in force expire, not when those on the disk do") {
    using namespace std::chrono;
    const certificate_authority authority("both");
    const temporary_directory files;
    const auto now = floor<seconds>(system_clock::now());
    // Made for a whole second, which the text has without a fraction.
    const auto write = [&](const std::string& name, hours from_now) {
        certificate_request what;
        what.dns = {"localhost"};
        what.not_after = now + from_now - floor<seconds>(system_clock::now());
        const certificate made = authority.issue(what);
        files.write(name + ".pem", made.pem);
        files.write(name + ".key", made.key);
    };
    const auto expiry = [&](const std::string& labels, hours from_now) {
        return "evenkeel_certificate_expiry_timestamp_seconds{" + labels + "} " +
               std::to_string((now + from_now).time_since_epoch().count());
    };
    const auto pair_of = [&](const std::string& name) {
        return "cert_file: " + files.path(name + ".pem") + ", key_file: " + files.path(name + ".key");
    };
    write("front", 100h);
    write("own", 200h);
    running_proxy proxy(through("https://localhost:1", "    tls: {verify: false, " + pair_of("own") + "}\n"),
                        "{address: '127.0.0.1:0', tls: {" + pair_of("front") + "}}", "",
                        "admin: {listen: \"127.0.0.1:0\"}\n");
    CHECK(proxy.comes_to_show(expiry("side=\"downstream\"", 100h)));
    CHECK(proxy.comes_to_show(expiry("side=\"upstream\",upstream=\"sim\"", 200h)));

    write("front", 300h);
    CHECK(proxy.comes_to_show(expiry("side=\"downstream\"", 100h)));
    REQUIRE(proxy->reload());
    CHECK(proxy.comes_to_show(expiry("side=\"downstream\"", 300h)));
    CHECK(proxy.comes_to_show(expiry("side=\"upstream\",upstream=\"sim\"", 200h)));
    files.write("front.pem", "");
    CHECK_FALSE(proxy->reload());
    CHECK(proxy.comes_to_show(expiry("side=\"downstream\"", 300h)));
    CHECK(proxy.finish());
}

TEST_CASE("draining and reloading at the same time") {
    simulated_provider upstream;
    for (int round = 0; round < 5; ++round) {
        running_proxy proxy(through(upstream.url()));
        std::atomic<bool> over{false};
        std::thread reloading([&] {
            while (!over) static_cast<void>(proxy->reload());
        });
        for (int n = 0; n < 20; ++n) {
            proxy->drain();
            static_cast<void>(proxy->admin_addresses());
            std::this_thread::sleep_for(1ms);
        }
        over = true;
        reloading.join();
        CHECK(proxy.finish());
    }
}

} // namespace evenkeel::test::reload_tls_test
