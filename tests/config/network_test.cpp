#include "config/grammar.hpp"
#include "config/network.hpp"

#include <doctest/doctest.h>

namespace evenkeel::test::network_test {

using namespace evenkeel::config;

TEST_CASE("a listen address is literal") {
    struct row {
        const char* text;
        const char* host;
        int port;
        bool loopback;
    };
    for (const row& r :
         {row{"127.0.0.1:8080", "127.0.0.1", 8080, true}, row{"0.0.0.0:0", "0.0.0.0", 0, false},
          row{"[::1]:65535", "::1", 65535, true}, row{"[0:0:0:0:0:0:0:1]:1", "::1", 1, true},
          row{"127.255.0.9:1", "127.255.0.9", 1, true}, row{"[::]:80", "::", 80, false},
          row{"[::ffff:127.0.0.1]:80", "::ffff:127.0.0.1", 80, true}, row{"10.1.2.3:80", "10.1.2.3", 80, false}}) {
        CAPTURE(r.text);
        const auto read = read_address(r.text);
        REQUIRE(std::holds_alternative<listener>(read));
        CHECK(std::get<listener>(read).host == r.host);
        CHECK(std::get<listener>(read).port == r.port);
        CHECK(is_loopback(std::get<listener>(read)) == r.loopback);
    }
    const auto socket = read_address("unix:/run/evenkeel.sock");
    REQUIRE(std::holds_alternative<listener>(socket));
    CHECK(std::get<listener>(socket).unix->path == "/run/evenkeel.sock");
    CHECK(is_loopback(std::get<listener>(socket)));

    for (const char* text : {"",
                             "8080",
                             ":8080",
                             "*:8080",
                             "localhost:8080",
                             "127.0.0.1",
                             "127.0.0.1:",
                             "127.0.0.1:65536",
                             "127.0.0.1:-1",
                             "127.0.0.1:8o80",
                             "127.0.0.256:80",
                             "127.1:80",
                             "::1:8080",
                             "[::1]",
                             "[::g]:1",
                             "[]:1",
                             "http://127.0.0.1:80",
                             "unix:",
                             "unix:relative",
                             "127.0.0.1:080808",
                             "[fe80::1%eth0]:80"}) {
        CAPTURE(text);
        CHECK(std::holds_alternative<bad_network_text>(read_address(text)));
    }
    CHECK(std::holds_alternative<bad_network_text>(read_address("unix:/" + std::string(107, 'x'))));
}

TEST_CASE("two listeners collide where one socket would take the other's traffic") {
    const auto at = [](const char* text) { return std::get<listener>(read_address(text)); };
    CHECK(collide(at("127.0.0.1:80"), at("127.0.0.1:80")));
    CHECK(collide(at("0.0.0.0:80"), at("127.0.0.1:80")));
    CHECK(collide(at("[::1]:80"), at("[0::1]:80")));
    CHECK(collide(at("unix:/a"), at("unix:/a")));
    CHECK_FALSE(collide(at("127.0.0.1:0"), at("127.0.0.1:0")));
    CHECK_FALSE(collide(at("127.0.0.1:80"), at("127.0.0.2:80")));
    CHECK_FALSE(collide(at("127.0.0.1:80"), at("127.0.0.1:81")));
    CHECK_FALSE(collide(at("[::]:80"), at("127.0.0.1:80")));
    CHECK_FALSE(collide(at("unix:/a"), at("127.0.0.1:80")));
}

TEST_CASE("a URL is taken apart once") {
    struct row {
        const char* text;
        url expected;
    };
    for (const row& r : {row{"https://api.openai.com", {true, "api.openai.com", 443, "api.openai.com", ""}},
                         row{"https://api.openai.com/", {true, "api.openai.com", 443, "api.openai.com", ""}},
                         row{"HTTPS://API.OpenAI.com:443/v1/", {true, "api.openai.com", 443, "api.openai.com", "/v1"}},
                         row{"http://localhost:11434/a/b", {false, "localhost", 11434, "localhost:11434", "/a/b"}},
                         row{"http://[::1]:8000/%7Euser", {false, "::1", 8000, "[::1]:8000", "/%7Euser"}},
                         row{"http://my_service", {false, "my_service", 80, "my_service", ""}},
                         row{"https://10.0.0.1:8443", {true, "10.0.0.1", 8443, "10.0.0.1:8443", ""}}}) {
        CAPTURE(r.text);
        const auto read = read_url(r.text, true);
        REQUIRE(std::holds_alternative<url>(read));
        CHECK(std::get<url>(read) == r.expected);
    }
}

TEST_CASE("a URL that cannot be called is refused, and one that may hold a secret says so") {
    struct row {
        const char* text;
        bool secret;
    };
    for (const row& r :
         {row{"", false}, row{"api.openai.com", false}, row{"ftp://x", false}, row{"http://", false},
          row{"http:///v1", false}, row{"http://user:pass@x", true}, row{"http://x?key=1", true},
          row{"http://x#f", true}, row{"http://x:0", false}, row{"http://x:65536", false}, row{"http://x y", false},
          row{"http://x/a/../b", false}, row{"http://x/./b", false}, row{"http://ex%41mple.com", false},
          row{"http://[v1.a]/", false}, row{"http://a..b", false}, row{"http://x\n", false}}) {
        CAPTURE(r.text);
        const auto read = read_url(r.text, true);
        REQUIRE(std::holds_alternative<bad_network_text>(read));
        CHECK(std::get<bad_network_text>(read).may_hold_secret == r.secret);
    }
    CHECK(std::holds_alternative<bad_network_text>(read_url("http://proxy:3128/path", false)));
    CHECK(std::holds_alternative<url>(read_url("http://proxy:3128", false)));
}

TEST_CASE("paths, header names and values have grammars") {
    for (const char* text : {"/", "/v1", "/v1/", "/a%20b", "/a:b@c!$&'()*+,;=~"})
        CHECK_MESSAGE(check_path(text).empty(), text);
    for (const char* text :
         {"", "v1", "/a?b", "/a#b", "/a b", "/%2", "/%zz", "/a/../b", "/..", "/.", "/a\"b", "/\x7f", "/\xc3\xa4"}) {
        CHECK_MESSAGE(!check_path(text).empty(), text);
    }
    for (const char* text : {"x-a", "X_Y", "!#$%&'*+-.^_`|~09"}) CHECK_MESSAGE(check_header_name(text).empty(), text);
    for (const char* text : {"", "a b", "a:", "a\n", "(a)", "\xc3\xa4"})
        CHECK_MESSAGE(!check_header_name(text).empty(), text);
    for (const char* text : {"", "a b", "Bearer x\ty", "\"q\""}) CHECK_MESSAGE(check_header_value(text).empty(), text);
    for (const char* text : {" a", "a ", "a\r", "a\nb", "a\x01", "a\x7f", "\xc3\xa4", "Bearer "})
        CHECK_MESSAGE(!check_header_value(text).empty(), text);
    for (const char* text :
         {"host", "content-length", "content_length", "transfer-encoding", "connection", "te", "trailer", "upgrade",
          "keep-alive", "proxy-connection", "expect", "x-evenkeel-timeout", "x_evenkeel_anything"}) {
        CHECK_MESSAGE(!check_editable_header(text).empty(), text);
    }
    for (const char* text : {"authorization", "x-api-key", "accept", "x-evenkeel"})
        CHECK_MESSAGE(check_editable_header(text).empty(), text);
}

} // namespace evenkeel::test::network_test
