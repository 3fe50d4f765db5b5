#include "tests/proxy/net/net_bench.hpp"
#include "tests/support/certificates.hpp"

#include "proxy/net/tls_session.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/ssl/error.hpp>
#include <doctest/doctest.h>
#include <openssl/ssl.h>

#include <array>

namespace evenkeel::test::tls_test {

using namespace std::chrono_literals;
using kind = net::transport_error::kind;

namespace {
net::resolved loopback() {
    net::resolved out;
    out.addresses.push_back(boost::asio::ip::make_address("127.0.0.1"));
    return out;
}

// One authority for all: making keys is what these tests spend their time on.
const certificate_authority& authority() {
    static const certificate_authority made;
    return made;
}
certificate good_for(const std::string& name) {
    certificate_request what;
    what.dns = {name};
    return authority().issue(what);
}

// A provider that shows this certificate.
struct tls_provider : simulated_provider {
    explicit tls_provider(const certificate& own, int max_version = 0, const std::string& client_ca = {},
                          const std::string& host = "127.0.0.1")
        : simulated_provider(options(own, max_version, client_ca, host)) {}

private:
    static provider::provider_options options(const certificate& own, int max_version, const std::string& client_ca,
                                              const std::string& host) {
        static const temporary_directory files;
        provider::provider_tls tls{files.write("own.pem", own.pem), files.write("own.key", own.key)};
        if (!client_ca.empty()) tls.client_ca_file = files.write("ca.pem", client_ca);
        tls.max_version = max_version;
        return {.host = host, .tls = tls, .record_body_bytes = 10'000'000};
    }
};

struct tls_bench : net_bench {
    tls_bench() : net_bench([](const std::string&) { return loopback(); }) {}

    std::shared_ptr<config::upstream> upstream(const simulated_provider& server, const std::string& host,
                                               const std::string& trusted = authority().pem()) const {
        auto up = upstream_at(server.port(), host);
        up->address.tls = true;
        up->tls.ca_file = files.write("ca.pem", trusted);
        return up;
    }
    temporary_directory files;
};

// ... which it is once its answer is written.
void drop_idle(simulated_provider& of, bool with_reset = false) {
    REQUIRE(of.wait_for([](const provider::provider_counters& now) { return now.in_flight == 0; }));
    of.drop_idle(with_reset);
}
} // namespace

TEST_CASE("a good certificate is accepted, SNI is sent, bytes come and go, the pool keeps the connection") {
    tls_provider server(good_for("api.example"));
    tls_bench bench;
    const auto up = bench.upstream(server, "api.example");

    auto opened = bench.open(up);
    REQUIRE_MESSAGE(opened.exchange, opened.error.detail);
    CHECK(bench.ask(*opened.exchange) == "abcd");
    opened.exchange->recycle(0s);
    bench.settle(); // session tickets came behind the handshake and are no stray bytes
    CHECK(bench.pool->idle() == 1);

    auto again = bench.open(up);
    CHECK(again.exchange->reused());
    CHECK(bench.ask(*again.exchange) == "abcd");
    CHECK(server.records().back().server_name == "api.example");
    CHECK(server.counters().connections == 1);
}

TEST_CASE("which certificates are good, and what is said about the others") {
    using namespace std::chrono;
    certificate_request named;
    named.dns = {"api.example", "b.example", "c.example", "d.example"};
    certificate_request wildcard;
    wildcard.dns = {"*.api.example"};
    certificate_request address;
    address.addresses = {"127.0.0.1"};
    certificate_request expired = named;
    expired.not_before = -48h;
    expired.not_after = -24h;
    certificate_request early = named;
    early.not_before = 24h;
    early.not_after = 48h;
    certificate_request address_as_name;
    address_as_name.dns = {"127.0.0.1"};

    struct row {
        const char* name;
        certificate own;
        std::string host;
        const char* said; // empty: accepted
    };
    const certificate_authority stranger("somebody else");
    const std::vector<row> rows{
        {"right name", authority().issue(named), "b.example", ""},
        {"root dot", authority().issue(named), "api.example.", ""},
        {"wrong name", authority().issue(named), "evil.example",
         "certificate is for 'api.example', 'b.example', 'c.example' and 1 more, not 'evil.example'"},
        {"wildcard", authority().issue(wildcard), "eu.api.example", ""},
        {"wildcard is one label", authority().issue(wildcard), "a.b.api.example", "certificate is for '*.api.example'"},
        {"wildcard is not the parent", authority().issue(wildcard), "api.example",
         "certificate is for '*.api.example'"},
        {"address", authority().issue(address), "127.0.0.1", ""},
        {"wrong address", authority().issue(address), "127.0.0.2", "certificate is for '127.0.0.1', not '127.0.0.2'"},
        {"address in a name field", authority().issue(address_as_name), "127.0.0.1", "not '127.0.0.1'"},
        {"name against an address", authority().issue(address), "api.example",
         "certificate is for '127.0.0.1', not 'api.example'"},
        {"expired", authority().issue(expired), "api.example", "certificate has expired"},
        {"not yet valid", authority().issue(early), "api.example", "certificate is not yet valid"},
        {"self-signed", self_signed(named), "api.example", "self-signed certificate"},
        {"unknown authority", stranger.issue(named), "api.example", "unable to get local issuer certificate"},
    };
    for (const row& one : rows) {
        CAPTURE(one.name);
        tls_provider server(one.own, 0, {}, one.host == "127.0.0.2" ? "127.0.0.2" : "127.0.0.1");
        tls_bench bench;

        auto opened = bench.open(bench.upstream(server, one.host));

        CAPTURE(opened.error.detail);
        if (one.said[0] == '\0') {
            REQUIRE(opened.exchange);
            CHECK(bench.ask(*opened.exchange) == "abcd");
            continue;
        }
        REQUIRE(!opened.exchange);
        CHECK(opened.error.is == kind::tls);
        CHECK(opened.error.token == "tls_certificate_error");
        CHECK(opened.error.lasting); // C5
        CHECK(opened.error.status == 502);
        CHECK(opened.error.detail.find(one.said) != std::string::npos);
        CHECK(bench.pool->size() == 0);

        // `verify: false` takes all of them.
        auto lax = bench.upstream(server, one.host);
        lax->tls.verify = false;
        auto unverified = bench.open(lax);
        REQUIRE(unverified.exchange);
        CHECK(bench.ask(*unverified.exchange) == "abcd");
    }
}

TEST_CASE("the system's store does not trust a private authority") {
    tls_provider server(good_for("api.example"));
    tls_bench bench;
    auto up = bench.upstream(server, "api.example");
    up->tls.ca_file.clear();
    CHECK(bench.open(up).error.token == "tls_certificate_error");
}

TEST_CASE("server_name is what is verified and sent; an address is not sent") {
    tls_provider server(good_for("inner.example"));
    {
        tls_bench bench;
        auto up = bench.upstream(server, "outer.example");
        up->tls.server_name = "inner.example";
        auto opened = bench.open(up);
        REQUIRE(opened.exchange);
        CHECK(bench.ask(*opened.exchange) == "abcd");
    }
    CHECK(server.records().at(0).server_name == "inner.example");
    {
        tls_bench bench;
        auto up = bench.upstream(server, "127.0.0.1");
        up->tls.verify = false;
        auto opened = bench.open(up);
        REQUIRE(opened.exchange);
        CHECK(bench.ask(*opened.exchange) == "abcd");
    }
    CHECK(server.records().at(1).server_name.empty());
}

TEST_CASE("a client certificate is shown where it is configured, and its absence is noticed") {
    for (const int version : {0, TLS1_2_VERSION}) {
        tls_provider server(good_for("api.example"), version, authority().pem());
        tls_bench bench;

        auto up = bench.upstream(server, "api.example");
        const certificate own = good_for("client.example");
        up->tls.cert_file = bench.files.write("client.pem", own.pem);
        up->tls.key_file = bench.files.write("client.key", own.key);
        auto opened = bench.open(up);
        REQUIRE_MESSAGE(opened.exchange, opened.error.detail);
        CHECK(bench.ask(*opened.exchange) == "abcd");

        auto bare = bench.open(bench.upstream(server, "api.example"));
        if (version == TLS1_2_VERSION) {
            REQUIRE(!bare.exchange);
            CHECK(bare.error.token == "tls_alert_received");
            CAPTURE(bare.error.detail);
            CHECK(bare.error.detail.find("alert") != std::string::npos);
        } else {
            // TLS 1.3: the client has finished when the server refuses. The first read says so.
            REQUIRE(bare.exchange);
            std::string got;
            const auto result = bench.read(*bare.exchange, got);
            CHECK(result.error.category() == boost::asio::error::get_ssl_category());
            CHECK(result.error.message().find("certificate required") != std::string::npos);
        }
    }
}

TEST_CASE("when a certificate expires is that of the first of its chain; without one there is no such time") {
    using namespace std::chrono;
    const temporary_directory files;
    const auto now = floor<seconds>(system_clock::now());
    const auto lasting = [&](seconds length) {
        certificate_request what;
        what.dns = {"localhost"};
        what.not_after = length;
        return authority().issue(what);
    };
    const auto is_about = [](const std::optional<sys_seconds>& found, sys_seconds wanted) {
        REQUIRE(found);
        CHECK(abs(*found - wanted) <= 60s);
    };
    const certificate own = lasting(240h), brief = lasting(48h);
    const std::string cert = files.write("own.pem", own.pem), key = files.write("own.key", own.key);
    is_about(net::tls_server_context({.cert_file = cert, .key_file = key}).certificate_expires(), now + 240h);
    config::client_tls shown;
    shown.cert_file = cert;
    shown.key_file = key;
    is_about(net::tls_client_context(shown).certificate_expires(), now + 240h);
    CHECK(!net::tls_client_context(config::client_tls{}).certificate_expires());

    const std::string chain = files.write("chain.pem", own.pem + brief.pem);
    is_about(net::tls_server_context({.cert_file = chain, .key_file = key}).certificate_expires(), now + 48h);

    // Further away than nanoseconds in 64 bits reach.
    const certificate eternal = lasting(hours{24 * 365 * 400});
    const std::string far = files.write("far.pem", eternal.pem), far_key = files.write("far.key", eternal.key);
    is_about(net::tls_server_context({.cert_file = far, .key_file = far_key}).certificate_expires(),
             now + hours{24 * 365 * 400});
}

TEST_CASE("bad files are reported to the operator by name, to no client, and found once they are there") {
    tls_provider server(good_for("api.example"));
    tls_bench bench;
    auto up = bench.upstream(server, "api.example");
    up->tls.ca_file = bench.files.path("later.pem");
    const auto missing = bench.open(up);
    CHECK(missing.error.is == kind::tls);
    CHECK(missing.error.detail.find("later.pem") == std::string::npos); // goes to clients
    config::settings wanted;
    wanted.upstreams = {up};
    std::string said;
    try {
        static_cast<void>(net::tls_contexts::load(wanted));
    } catch (const std::runtime_error& error) {
        said = error.what();
    }
    CHECK(said.find("later.pem") != std::string::npos);

    bench.files.write("later.pem", authority().pem());
    CHECK(bench.open(up).exchange);

    const certificate one = good_for("one.example"), other = good_for("other.example");
    const config::server_tls mismatch{bench.files.write("one.pem", one.pem), bench.files.write("other.key", other.key)};
    CHECK_THROWS_AS(net::tls_server_context{mismatch}, std::runtime_error);
}

TEST_CASE("a half-written file is refused wherever it breaks off, and what is in use stays") {
    tls_provider server(good_for("api.example"));
    tls_bench bench;
    const certificate_authority other("another CA");
    const std::string whole = "# two of them\n" + authority().pem() + other.pem();
    auto up = bench.upstream(server, "api.example", whole);
    config::settings wanted;
    wanted.upstreams = {up};
    bench.tls.use(net::tls_contexts::load(wanted));

    const std::size_t border = whole.size() - other.pem().size(); // what ends here cannot be told from a shorter list
    for (std::size_t cut = 0; cut < whole.size(); ++cut) {
        if (cut == border || cut == border - 1 || cut + 1 == whole.size()) continue;
        CAPTURE(cut);
        bench.files.write("ca.pem", whole.substr(0, cut));
        CHECK_THROWS_AS(static_cast<void>(net::tls_contexts::load(wanted)), std::runtime_error);
    }
    const certificate own = good_for("own.example");
    for (std::size_t cut = 0; cut + 1 < own.pem.size(); ++cut) {
        CAPTURE(cut);
        const config::server_tls half{bench.files.write("own.pem", own.pem.substr(0, cut)),
                                      bench.files.write("own.key", own.key)};
        CHECK_THROWS_AS(net::tls_server_context{half}, std::runtime_error);
    }
    for (std::size_t cut = 0; cut + 1 < own.key.size(); ++cut) {
        CAPTURE(cut);
        const config::server_tls half{bench.files.write("own.pem", own.pem),
                                      bench.files.write("own.key", own.key.substr(0, cut))};
        CHECK_THROWS_AS(net::tls_server_context{half}, std::runtime_error);
    }

    bench.files.write("ca.pem", "");
    auto opened = bench.open(up, true);
    REQUIRE_MESSAGE(opened.exchange, opened.error.detail);
    CHECK(bench.ask(*opened.exchange) == "abcd");
}

TEST_CASE("TLS 1.1 is refused, 1.2 is spoken") {
    for (const int version : {TLS1_1_VERSION, TLS1_2_VERSION}) {
        tls_provider server(good_for("api.example"), version);
        tls_bench bench;
        auto opened = bench.open(bench.upstream(server, "api.example"));
        CAPTURE(opened.error.detail);
        if (version == TLS1_2_VERSION) {
            REQUIRE(opened.exchange);
            CHECK(bench.ask(*opened.exchange) == "abcd");
        } else {
            CHECK(opened.error.is == kind::tls);
            const bool told = opened.error.token == "tls_protocol_error" || opened.error.token == "tls_alert_received";
            CHECK(told);
        }
    }
}

TEST_CASE("a peer that does not speak TLS, or hangs up, is a protocol error") {
    simulated_provider plain, gone;
    plain.play("accept=garbage; raw=HTTP/1.1 400 Bad Request\\r\\n\\r\\n");
    gone.play("accept=garbage; raw=");
    tls_bench bench;
    const auto first = bench.open(bench.upstream(plain, "api.example"));
    CHECK(first.error.token == "tls_protocol_error");
    CHECK(first.error.detail.find("does not seem to speak TLS") != std::string::npos);
    const auto second = bench.open(bench.upstream(gone, "api.example"));
    CHECK(second.error.token == "tls_protocol_error");
    CHECK(second.error.detail.find("closed the connection") != std::string::npos);
}

TEST_CASE("no handshake outlives the deadline or the caller") {
    simulated_provider silent;
    silent.play("accept=silence");
    tls_bench bench;
    const auto late = bench.begin_open(bench.upstream(silent, "api.example"), false, 2s);
    const auto cancelled = bench.begin_open(bench.upstream(silent, "api.example"), false, 60s);
    CHECK(bench.pump([&] { return silent.counters().connections == 2; }));
    bench.settle();
    bench.advance(2s);
    bench.settle(5ms);
    REQUIRE(late->result);
    CHECK(late->result->error.is == kind::connect_timeout);
    CHECK(late->result->error.token == "connection_timeout");
    CHECK(late->result->error.detail.find("TLS handshake") != std::string::npos);
    cancelled->cancel.request();
    bench.settle(5ms);
    REQUIRE(cancelled->result);
    CHECK(cancelled->result->error.is == kind::cancelled);
    CHECK(bench.pool->size() == 0);
}

TEST_CASE("an end with close_notify is an eof, one without is a truncation, a reset is a reset") {
    tls_provider server(good_for("api.example"));
    server.script({.script = "connection=close", .times = 1});
    server.script({.script = "connection=close; tls_truncate", .times = 1});
    tls_bench bench;
    const auto up = bench.upstream(server, "api.example");
    const net::error_code expected[] = {boost::asio::error::eof, boost::asio::ssl::error::stream_truncated,
                                        boost::asio::error::connection_reset};
    for (int i = 0; i < 3; ++i) {
        CAPTURE(i);
        auto opened = bench.open(up, true);
        REQUIRE(opened.exchange);
        CHECK(bench.ask(*opened.exchange) == "abcd");
        if (i == 2) drop_idle(server, true);
        std::string got;
        CHECK(bench.read(*opened.exchange, got).error == expected[i]);
    }
}

TEST_CASE("our close says goodbye") {
    tls_provider server(good_for("api.example"));
    tls_bench bench;
    auto opened = bench.open(bench.upstream(server, "api.example"));
    REQUIRE(opened.exchange);
    opened.exchange->close();
    CHECK(bench.pump([&] { return server.counters().open_connections == 0; }));
    CHECK(server.counters().goodbyes == 1);
}

TEST_CASE("the second connection resumes the session of the first, unless the settings differ or were reloaded") {
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
        CAPTURE(version);
        tls_provider server(good_for("api.example"), version);
        tls_bench bench;
        const auto up = bench.upstream(server, "api.example");
        const auto resumes = [&](const std::shared_ptr<const config::upstream>& to) {
            auto opened = bench.open(to, true);
            REQUIRE_MESSAGE(opened.exchange, opened.error.detail);
            CHECK(bench.ask(*opened.exchange) == "abcd"); // the ticket comes before the answer
            return server.records().back().resumed;
        };

        CHECK(!resumes(up));
        CHECK(resumes(up));
        CHECK(resumes(up));

        // A lenient neighbour's session must not spare a strict one the verification.
        auto lax = std::make_shared<config::upstream>(*up);
        lax->tls.verify = false;
        CHECK(!resumes(lax));
        config::settings reloaded;
        reloaded.upstreams = {up};
        bench.tls.use(net::tls_contexts::load(reloaded));
        CHECK(!resumes(up));
        CHECK(server.counters().connections == 5);
    }
}

TEST_CASE("large bodies pass in both directions at once, whatever the sizes of the buffers") {
    tls_provider server(good_for("api.example"));
    const std::string big(3'000'000, 'b'), tail(20'000, 't'), sent_body = "head:" + big + "tail" + tail;
    const std::string head =
        "POST /bytes/3000000 HTTP/1.1\r\nhost: up\r\ncontent-length: " + std::to_string(sent_body.size()) +
        "\r\n\r\nhead:";
    tls_bench bench;
    auto opened = bench.open(bench.upstream(server, "api.example"));
    REQUIRE(opened.exchange);
    // Begun as far as the kernel takes it at once; the rest is waited for.
    std::array parts{boost::asio::buffer(head), boost::asio::buffer(big), boost::asio::const_buffer("", 0),
                     boost::asio::const_buffer("tail", 4), boost::asio::buffer(tail)};
    std::span<boost::asio::const_buffer> left = parts;
    const std::size_t at_once = opened.exchange->write_now(left).bytes;
    CHECK(at_once > 0);
    std::size_t later = 0;
    if (!left.empty()) {
        std::vector<std::string> rest;
        for (const auto& part : left) rest.emplace_back(static_cast<const char*>(part.data()), part.size());
        const auto sent = bench.write(*opened.exchange, rest);
        CHECK(sent.ok());
        later = sent.bytes;
    }
    CHECK(at_once + later == head.size() - 5 + sent_body.size());
    const std::string got = bench.answer(*opened.exchange);
    REQUIRE(got.size() == 3'000'000);
    CHECK(std::all_of(got.begin(), got.end(), [n = 0](char c) mutable { return c == 'a' + n++ % 26; }));
    CHECK(server.records().at(0).body == sent_body);
}

TEST_CASE("TLS through an egress proxy verifies the upstream, not the proxy") {
    tls_provider proxy(good_for("api.example"));
    proxy.script({.script = "accept=tunnel"});
    tls_bench bench;
    auto up = bench.upstream(proxy, "api.example");
    up->proxy.emplace();
    up->proxy->host = "127.0.0.1";
    up->proxy->port = proxy.port();
    up->address.port = 443;

    auto opened = bench.open(up);

    REQUIRE_MESSAGE(opened.exchange, opened.error.detail);
    CHECK(bench.ask(*opened.exchange) == "abcd");
    CHECK(proxy.records().at(0).method == "CONNECT");
    CHECK(proxy.records().at(0).target == "api.example:443");
}

TEST_CASE("an idle TLS connection closes at close_notify and at a stray record") {
    for (const bool stray : {false, true}) {
        CAPTURE(stray);
        tls_provider server(good_for("api.example"));
        tls_bench bench;
        auto opened = bench.open(bench.upstream(server, "api.example"));
        REQUIRE(opened.exchange);
        CHECK(bench.ask(*opened.exchange) == "abcd");
        opened.exchange->recycle(0s);
        bench.settle();
        CHECK(bench.pool->idle() == 1);
        if (stray)
            server.say_to_idle("HTTP/1.1 200 OK\r\n");
        else
            drop_idle(server);
        CHECK(bench.pump([&] { return bench.pool->size() == 0; }));
    }
}

} // namespace evenkeel::test::tls_test
