#include "tests/proxy/net/loopback.hpp"
#include "tests/proxy/net/tls_peer.hpp"

#include "proxy/net/tls_session.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/ssl/error.hpp>
#include <doctest/doctest.h>
#include <openssl/ssl.h>

#include <sys/socket.h>

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

struct tls_bench : net_bench {
    tls_bench() : net_bench([](const std::string&) { return loopback(); }) {}

    std::shared_ptr<config::upstream> upstream(const loopback_server& server, const std::string& host,
                                               const std::string& trusted = authority().pem()) const {
        auto up = upstream_at(server.port(), host);
        up->address.tls = true;
        up->tls.ca_file = files.write("ca.pem", trusted);
        return up;
    }
    temporary_directory files;
};

// Serves lines until the client says goodbye.
void echo_tls(const tls_peer_context& context, int fd) {
    const auto peer = context.accept(fd);
    if (!peer) {
        read_until_end(fd);
        return;
    }
    for (std::string line = peer->read_line(); !line.empty(); line = peer->read_line()) peer->write(line);
}
} // namespace

TEST_CASE("a good certificate is accepted, SNI is sent, bytes come and go, the pool keeps the connection") {
    const tls_peer_context context(good_for("api.example"));
    std::string sni;
    loopback_server server([&](int fd, int) {
        const auto peer = context.accept(fd);
        if (!peer) return;
        sni = peer->server_name();
        for (std::string line = peer->read_line(); !line.empty(); line = peer->read_line()) peer->write(line);
    });
    tls_bench bench;
    const auto up = bench.upstream(server, "api.example");

    auto opened = bench.open(up);
    REQUIRE_MESSAGE(opened.exchange, opened.error.detail);
    CHECK(bench.ping(*opened.exchange) == "ping\n");
    opened.exchange->recycle(0s);
    bench.settle(); // session tickets came behind the handshake and are no stray bytes
    CHECK(bench.pool->idle() == 1);

    auto again = bench.open(up);
    CHECK(again.exchange->reused());
    CHECK(bench.ping(*again.exchange) == "ping\n");
    CHECK(sni == "api.example");
    CHECK(server.accepted() == 1);
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
        const tls_peer_context context(one.own);
        loopback_server server([&](int fd, int) { echo_tls(context, fd); },
                               one.host == "127.0.0.2" ? "127.0.0.2" : "127.0.0.1");
        tls_bench bench;

        auto opened = bench.open(bench.upstream(server, one.host));

        CAPTURE(opened.error.detail);
        if (one.said[0] == '\0') {
            REQUIRE(opened.exchange);
            CHECK(bench.ping(*opened.exchange) == "ping\n");
            continue;
        }
        REQUIRE(!opened.exchange);
        CHECK(opened.error.is == kind::tls);
        CHECK(opened.error.token == "tls_certificate_error");
        CHECK(opened.error.status == 502);
        CHECK(opened.error.detail.find(one.said) != std::string::npos);
        CHECK(bench.pool->size() == 0);

        // `verify: false` takes all of them.
        auto lax = bench.upstream(server, one.host);
        lax->tls.verify = false;
        auto unverified = bench.open(lax);
        REQUIRE(unverified.exchange);
        CHECK(bench.ping(*unverified.exchange) == "ping\n");
    }
}

TEST_CASE("the system's store does not trust a private authority") {
    const tls_peer_context context(good_for("api.example"));
    loopback_server server([&](int fd, int) { echo_tls(context, fd); });
    tls_bench bench;
    auto up = bench.upstream(server, "api.example");
    up->tls.ca_file.clear();
    CHECK(bench.open(up).error.token == "tls_certificate_error");
}

TEST_CASE("server_name is what is verified and sent; an address is not sent") {
    std::string sni = "unset";
    const tls_peer_context context(good_for("inner.example"));
    loopback_server server([&](int fd, int) {
        const auto peer = context.accept(fd);
        if (peer) sni = peer->server_name();
        if (peer) peer->read_line();
    });
    {
        tls_bench bench;
        auto up = bench.upstream(server, "outer.example");
        up->tls.server_name = "inner.example";
        auto opened = bench.open(up);
        REQUIRE(opened.exchange);
        opened.exchange.reset();
        bench.settle();
    }
    CHECK(sni == "inner.example");
    {
        tls_bench bench;
        auto up = bench.upstream(server, "127.0.0.1");
        up->tls.verify = false;
        auto opened = bench.open(up);
        REQUIRE(opened.exchange);
        opened.exchange.reset();
        bench.settle();
    }
    CHECK(sni.empty());
}

TEST_CASE("a client certificate is shown where it is configured, and its absence is noticed") {
    tls_peer_options options;
    options.client_ca = authority().pem();
    const tls_peer_context newest(good_for("api.example"), options);
    options.max_version = TLS1_2_VERSION;
    const tls_peer_context older(good_for("api.example"), options);
    for (const tls_peer_context* context : {&newest, &older}) {
        loopback_server server([&](int fd, int) { echo_tls(*context, fd); });
        tls_bench bench;

        auto up = bench.upstream(server, "api.example");
        const certificate own = good_for("client.example");
        up->tls.cert_file = bench.files.write("client.pem", own.pem);
        up->tls.key_file = bench.files.write("client.key", own.key);
        auto opened = bench.open(up);
        REQUIRE_MESSAGE(opened.exchange, opened.error.detail);
        CHECK(bench.ping(*opened.exchange) == "ping\n");

        auto bare = bench.open(bench.upstream(server, "api.example"));
        if (context == &older) {
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

TEST_CASE("bad files are reported to the operator by name, to no client, and found once they are there") {
    const tls_peer_context context(good_for("api.example"));
    loopback_server server([&](int fd, int) { echo_tls(context, fd); });
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
    const tls_peer_context context(good_for("api.example"));
    loopback_server server([&](int fd, int) { echo_tls(context, fd); });
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
    CHECK(bench.ping(*opened.exchange) == "ping\n");
}

TEST_CASE("TLS 1.1 is refused, 1.2 is spoken") {
    for (const int version : {TLS1_1_VERSION, TLS1_2_VERSION}) {
        tls_peer_options options;
        options.max_version = version;
        const tls_peer_context context(good_for("api.example"), options);
        loopback_server server([&](int fd, int) { echo_tls(context, fd); });
        tls_bench bench;
        auto opened = bench.open(bench.upstream(server, "api.example"));
        CAPTURE(opened.error.detail);
        if (version == TLS1_2_VERSION) {
            REQUIRE(opened.exchange);
            CHECK(bench.ping(*opened.exchange) == "ping\n");
        } else {
            CHECK(opened.error.is == kind::tls);
            const bool told = opened.error.token == "tls_protocol_error" || opened.error.token == "tls_alert_received";
            CHECK(told);
        }
    }
}

TEST_CASE("a peer that does not speak TLS, or hangs up, is a protocol error") {
    loopback_server plain([](int fd, int) {
        write_text(fd, "HTTP/1.1 400 Bad Request\r\n\r\n");
        read_until_end(fd);
    });
    loopback_server gone([](int fd, int) {
        char byte = 0;
        ::recv(fd, &byte, 1, MSG_PEEK);
        ::shutdown(fd, SHUT_WR);
        read_until_end(fd);
    });
    tls_bench bench;
    const auto first = bench.open(bench.upstream(plain, "api.example"));
    CHECK(first.error.token == "tls_protocol_error");
    CHECK(first.error.detail.find("does not seem to speak TLS") != std::string::npos);
    const auto second = bench.open(bench.upstream(gone, "api.example"));
    CHECK(second.error.token == "tls_protocol_error");
    CHECK(second.error.detail.find("closed the connection") != std::string::npos);
}

TEST_CASE("no handshake outlives the deadline or the caller") {
    loopback_server silent([](int fd, int) { read_until_end(fd); });
    tls_bench bench;
    const auto late = bench.begin_open(bench.upstream(silent, "api.example"), false, 2s);
    const auto cancelled = bench.begin_open(bench.upstream(silent, "api.example"), false, 60s);
    CHECK(bench.pump([&] { return silent.accepted() == 2; }));
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
    const tls_peer_context context(good_for("api.example"));
    loopback_server server([&](int fd, int number) {
        const auto peer = context.accept(fd);
        if (!peer) return;
        peer->write("half an ans");
        if (number == 0) peer->close_notify();
        if (number == 2) {
            peer->read_line(); // so that the reset does not overtake the data
            reset_connection(fd);
            return;
        }
        ::shutdown(fd, SHUT_WR);
        read_until_end(fd);
    });
    tls_bench bench;
    const auto up = bench.upstream(server, "api.example");
    const net::error_code expected[] = {boost::asio::error::eof, boost::asio::ssl::error::stream_truncated,
                                        boost::asio::error::connection_reset};
    for (int i = 0; i < 3; ++i) {
        CAPTURE(i);
        auto opened = bench.open(up, true);
        REQUIRE(opened.exchange);
        std::string got;
        CHECK(bench.read(*opened.exchange, got).ok());
        CHECK(got == "half an ans");
        if (i == 2) bench.write(*opened.exchange, {"go on\n"});
        CHECK(bench.read(*opened.exchange, got).error == expected[i]);
    }
}

TEST_CASE("our close says goodbye") {
    const tls_peer_context context(good_for("api.example"));
    std::atomic<int> ending{-1};
    loopback_server server([&](int fd, int) {
        const auto peer = context.accept(fd);
        if (!peer) return;
        peer->read_line();
        ending = peer->last_error();
    });
    tls_bench bench;
    auto opened = bench.open(bench.upstream(server, "api.example"));
    REQUIRE(opened.exchange);
    opened.exchange->close();
    CHECK(bench.pump([&] { return ending != -1; }));
    CHECK(ending == SSL_ERROR_ZERO_RETURN);
}

TEST_CASE("the second connection resumes the session of the first, unless the settings differ or were reloaded") {
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
        CAPTURE(version);
        std::atomic<int> resumed{0}, connections{0};
        tls_peer_options options;
        options.max_version = version;
        const tls_peer_context context(good_for("api.example"), options);
        loopback_server server([&](int fd, int) {
            const auto peer = context.accept(fd);
            if (!peer) return;
            if (peer->resumed()) ++resumed;
            ++connections;
            for (std::string line = peer->read_line(); !line.empty(); line = peer->read_line()) peer->write(line);
        });
        tls_bench bench;
        const auto up = bench.upstream(server, "api.example");
        const auto visit = [&](const std::shared_ptr<const config::upstream>& to) {
            auto opened = bench.open(to, true);
            REQUIRE_MESSAGE(opened.exchange, opened.error.detail);
            CHECK(bench.ping(*opened.exchange) == "ping\n"); // the ticket comes before the answer
        };

        visit(up);
        CHECK(resumed == 0);
        visit(up);
        CHECK(resumed == 1);
        visit(up);
        CHECK(resumed == 2);

        // A lenient neighbour's session must not spare a strict one the verification.
        auto lax = std::make_shared<config::upstream>(*up);
        lax->tls.verify = false;
        visit(lax);
        CHECK(resumed == 2);
        config::settings reloaded;
        reloaded.upstreams = {up};
        bench.tls.use(net::tls_contexts::load(reloaded));
        visit(up);
        CHECK(resumed == 2);
        CHECK(connections == 5);
    }
}

TEST_CASE("large bodies pass in both directions at once, whatever the sizes of the buffers") {
    const tls_peer_context context(good_for("api.example"));
    const std::string big(3'000'000, 'b');
    loopback_server server([&](int fd, int) {
        const auto peer = context.accept(fd);
        if (!peer) return;
        std::string line = peer->read_line();
        peer->write(line);
        peer->read_line();
    });
    tls_bench bench;
    auto opened = bench.open(bench.upstream(server, "api.example"));
    REQUIRE(opened.exchange);
    // Begun as far as the kernel takes it at once; the rest is waited for.
    const std::string tail(20'000, 't');
    std::array parts{
        boost::asio::const_buffer("head:", 5), boost::asio::buffer(big),  boost::asio::const_buffer("", 0),
        boost::asio::const_buffer("tail", 4),  boost::asio::buffer(tail), boost::asio::const_buffer("\n", 1)};
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
    const std::size_t whole = 5 + big.size() + 4 + 20'000 + 1;
    CHECK(at_once + later == whole);
    std::string all, part;
    while (all.size() < whole && bench.read(*opened.exchange, part, 100'000).ok()) all += part;
    CHECK(all == "head:" + big + "tail" + std::string(20'000, 't') + "\n");
}

TEST_CASE("TLS through an egress proxy verifies the upstream, not the proxy") {
    const tls_peer_context context(good_for("api.example"));
    std::string head;
    loopback_server proxy([&](int fd, int) {
        while (!head.ends_with("\r\n\r\n")) head += read_line(fd);
        write_text(fd, "HTTP/1.1 200 OK\r\n\r\n");
        echo_tls(context, fd);
    });
    tls_bench bench;
    auto up = bench.upstream(proxy, "api.example");
    up->proxy.emplace();
    up->proxy->host = "127.0.0.1";
    up->proxy->port = proxy.port();
    up->address.port = 443;

    auto opened = bench.open(up);

    REQUIRE_MESSAGE(opened.exchange, opened.error.detail);
    CHECK(bench.ping(*opened.exchange) == "ping\n");
    CHECK(head.starts_with("CONNECT api.example:443 HTTP/1.1\r\n"));
}

TEST_CASE("an idle TLS connection closes at close_notify and at a stray record") {
    for (const bool stray : {false, true}) {
        CAPTURE(stray);
        std::atomic<bool> go{false};
        const tls_peer_context context(good_for("api.example"));
        loopback_server server([&](int fd, int) {
            const auto peer = context.accept(fd);
            if (!peer) return;
            peer->write(peer->read_line());
            while (!go) ::usleep(1000);
            if (stray) {
                peer->write("HTTP/1.1 200 OK\r\n");
            } else {
                peer->close_notify();
            }
            read_until_end(fd);
        });
        tls_bench bench;
        auto opened = bench.open(bench.upstream(server, "api.example"));
        REQUIRE(opened.exchange);
        CHECK(bench.ping(*opened.exchange) == "ping\n");
        opened.exchange->recycle(0s);
        bench.settle();
        CHECK(bench.pool->idle() == 1);
        go = true;
        CHECK(bench.pump([&] { return bench.pool->size() == 0; }));
    }
}

} // namespace evenkeel::test::tls_test
