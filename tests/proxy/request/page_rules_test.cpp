#include "proxy/reading/page_rules.hpp"

#include "proxy/wire/gate.hpp"
#include "proxy/wire/limits.hpp"

#include <doctest/doctest.h>

#include <string>

namespace evenkeel::test::page_rules_test {

using namespace evenkeel::request;

namespace {

constexpr auto welcome = page_verdict::welcome;
constexpr auto foreign_host = page_verdict::foreign_host;
constexpr auto foreign_origin = page_verdict::foreign_origin;

struct row {
    const char* name;
    std::string host;
    std::string fields; // without the last line break
    page_verdict verdict;
};

page_verdict judge(const config::page_options& allowed, arrival via, const row& asked,
                   const std::string& method = "POST") {
    const std::string text = method + " /v1/chat/completions HTTP/1.1\r\nHost: " + asked.host + "\r\n" + asked.fields +
                             (asked.fields.empty() ? "" : "\r\n") + "Accept: */*\r\n\r\n";
    wire::request_head head;
    std::size_t scanned = 0;
    REQUIRE(wire::read_request_head(text, {}, scanned, head).is == wire::head_result::state::complete);
    return check_page(allowed, via, head);
}

void check(const config::page_options& allowed, arrival via, std::initializer_list<row> rows) {
    for (const auto& asked : rows) {
        CAPTURE(asked.name);
        CHECK(to_string(judge(allowed, via, asked)) == to_string(asked.verdict));
        // A preflight is judged as what it asks leave for.
        CHECK(judge(allowed, via, asked, "OPTIONS") == asked.verdict);
    }
}

const std::string evil = "Origin: https://evil.example";

} // namespace

TEST_CASE("on loopback, programs and this machine's own pages are welcome, pages of other origins are not") {
    check({}, arrival::loopback,
          {
              {"curl", "127.0.0.1:8080", "", welcome},
              {"an SDK", "localhost:8080", "", welcome},
              {"Node's fetch", "localhost:8080", "Sec-Fetch-Mode: cors", welcome},
              {"IPv6", "[::1]:8080", "", welcome},

              {"a page", "127.0.0.1:8080", evil, foreign_origin},
              {"a page, without CORS", "127.0.0.1:8080",
               evil + "\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors", foreign_origin},
              {"a page over http", "localhost", "Origin: http://evil.example", foreign_origin},
              {"a page in a form post from a sandbox", "localhost", "Origin: null", foreign_origin},
              {"an extension", "localhost", "Origin: chrome-extension://abcdefgh", foreign_origin},
              {"another extension", "localhost", "Origin: moz-extension://abcdefgh", foreign_origin},
              {"an image", "localhost",
               "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: image", foreign_origin},
              {"a link", "localhost", "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate", foreign_origin},
              {"another port's image", "localhost", "Sec-Fetch-Site: same-site", foreign_origin},
              {"a word of tomorrow", "localhost", "Sec-Fetch-Site: galaxy", foreign_origin},
              {"typed into the browser", "localhost", "Sec-Fetch-Site: none", welcome},
              {"a page of ours", "localhost:8080", "Sec-Fetch-Site: same-origin", welcome},
              {"a page of ours posting", "localhost:8080",
               "Origin: http://localhost:8080\r\nSec-Fetch-Site: same-origin", welcome},

              {"a developer's page", "127.0.0.1:8080", "Origin: http://localhost:3000\r\nSec-Fetch-Site: cross-site",
               welcome},
              {"one by address", "localhost:8080", "Origin: http://127.0.0.1:5173", welcome},
              {"one by IPv6 address", "localhost:8080", "Origin: http://[::1]:5173", welcome},
              {"one by a name", "localhost:8080", "Origin: https://app.localhost:5173", welcome},
              {"like localhost", "localhost:8080", "Origin: http://localhost.evil.example", foreign_origin},
              {"like an address", "localhost:8080", "Origin: http://127.0.0.1.evil.example", foreign_origin},
              {"with user info", "localhost:8080", "Origin: http://localhost@evil.example", foreign_origin},

              {"an editor", "127.0.0.1:8080", "Origin: vscode-webview://0abc\r\nSec-Fetch-Site: cross-site", welcome},
              {"Electron", "127.0.0.1:8080", "Origin: file://", welcome},
              {"Tauri", "127.0.0.1:8080", "Origin: tauri://localhost", welcome},
              {"Capacitor", "127.0.0.1:8080", "Origin: capacitor://localhost", welcome},
              {"a scheme in capitals", "127.0.0.1:8080", "Origin: HTTPS://evil.example", foreign_origin},
              {"no scheme", "127.0.0.1:8080", "Origin: evil.example", foreign_origin},
              {"nothing", "127.0.0.1:8080", "Origin:", foreign_origin},
              {"two, the second foreign", "127.0.0.1:8080", "Origin: http://localhost\r\n" + evil, foreign_origin},
              {"two fields, the browser's second", "127.0.0.1:8080", "Sec-Fetch-Site: cross-site\r\n" + evil,
               foreign_origin},
          });
}

TEST_CASE("on loopback, a Host that may have been rebound is foreign") {
    check(
        {}, arrival::loopback,
        {
            {"rebinding", "evil.example:8080", "", foreign_host},
            {"rebinding, same-origin to the browser", "evil.example:8080", "Origin: http://evil.example:8080",
             foreign_host},
            {"rebinding, with a dot at the end", "evil.example.", "", foreign_host},
            {"like localhost", "evillocalhost.example", "", foreign_host},
            {"like an address", "127.0.0.1.evil.example", "", foreign_host},
            {"no address at all", "300.1.2.3", "", foreign_host},
            {"a subdomain of localhost", "llm.localhost", "", welcome},
            {"capitals and a dot", "LocalHost.:8080", "", welcome},
            {"another port: forwarded", "localhost:15000", "", welcome},
            {"all of 127/8", "127.9.9.9", "", welcome},
            {"an address, through a forwarder", "192.168.1.7:8080", "", welcome},
            {"the unspecified one", "0.0.0.0:8080", "", welcome},
            {"IPv6, through a forwarder", "[fd00::7]:8080", "", welcome},
            {"a name without a dot", "evenkeel:8080", "", welcome},
            {"... which a page may not call its own", "evenkeel:8080", "Origin: http://evenkeel:8080", foreign_origin},
            {"this machine, from a container", "host.docker.internal:8080", "", welcome},
            {"from another kind", "HOST.containers.internal", "", welcome},
            {"only like it", "host.docker.internal.evil.example", "", foreign_host},
            {"nor this", "evil.internal", "", foreign_host},
        });
}

TEST_CASE("allowed_hosts and allowed_origins add to both") {
    const config::page_options allowed{
        .hosts = {"llm.example.com", "*.corp.example"},
        .origins = {"https://app.example.com", "https://*.preview.example", "null", "chrome-extension://abc"}};
    check(
        allowed, arrival::loopback,
        {
            {"a host", "llm.example.com", "", welcome},
            {"in capitals, with a port", "LLM.example.com:8443", "", welcome},
            {"by pattern", "a.b.corp.example", "", welcome},
            {"not the name itself", "corp.example", "", foreign_host},
            {"another", "evil.example", "", foreign_host},
            {"still", "localhost", "", welcome},
            {"its own page", "llm.example.com", "Origin: https://llm.example.com", welcome},
            {"its page on another port", "llm.example.com", "Origin: https://llm.example.com:1", foreign_origin},
            {"an origin", "localhost", "Origin: https://app.example.com\r\nSec-Fetch-Site: cross-site", welcome},
            {"in capitals", "localhost", "Origin: https://App.Example.com", welcome},
            {"another port", "localhost", "Origin: https://app.example.com:444", foreign_origin},
            {"another scheme", "localhost", "Origin: http://app.example.com", foreign_origin},
            {"by pattern", "localhost", "Origin: https://pr-7.preview.example", welcome},
            {"null", "localhost", "Origin: null", welcome},
            {"the extension", "localhost", "Origin: chrome-extension://abc", welcome},
            {"another extension", "localhost", "Origin: chrome-extension://abd", foreign_origin},
            {"a page", "localhost", evil, foreign_origin},
            {"what ends like a pattern", "localhost", "Origin: https://evil.example/.preview.example", foreign_origin},
            {"likewise", "localhost", "Origin: https://evil.example#.preview.example", foreign_origin},
            {"likewise", "localhost", "Origin: https://evil.example?.preview.example", foreign_origin},
            {"with a name in front", "localhost", "Origin: https://evil@x.preview.example", foreign_origin},
            {"told twice", "localhost", "Sec-Fetch-Site: none\r\nSec-Fetch-Site: cross-site", foreign_origin},
        });
    check({.hosts = {"*"}, .origins = {"*"}}, arrival::loopback,
          {{"anybody", "evil.example", evil + "\r\nSec-Fetch-Site: cross-site", welcome},
           {"an image has no origin to allow", "localhost", "Sec-Fetch-Site: cross-site", foreign_origin}});
}

TEST_CASE("elsewhere Host is free until allowed_hosts is written, and a page is foreign all the same") {
    check({}, arrival::network,
          {
              {"any name of ours", "evenkeel.prod.svc:8080", "", welcome},
              {"a page", "evenkeel.prod.svc:8080", evil, foreign_origin},
              {"a rebound page", "evil.example:8080", "Origin: http://evil.example:8080", foreign_origin},
              {"our own page by address", "10.0.0.5:8080", "Origin: http://10.0.0.5:8080", welcome},
              {"our own page over https, says the browser", "llm.example.com",
               "Origin: https://llm.example.com\r\nSec-Fetch-Site: same-origin", welcome},
              {"over https, and the browser does not say so", "llm.example.com", "Origin: https://llm.example.com",
               foreign_origin},
              {"a developer's page", "llm.example.com", "Origin: http://localhost:3000", welcome},
          });
    check({.hosts = {"llm.example.com"}, .origins = {}}, arrival::network,
          {
              {"that name", "llm.example.com", "", welcome},
              {"its own page", "llm.example.com", "Origin: http://llm.example.com", welcome},
              {"another", "evenkeel.prod.svc:8080", "", foreign_host},
              {"a probe by address", "10.0.0.5:8080", "", welcome},
          });
    check({.hosts = {"llm.example.com"}, .origins = {}}, arrival::unix_socket,
          {
              {"no browser gets here", "anything.example", "", welcome},
              {"but what it says may", "anything.example", evil, foreign_origin},
          });
}

TEST_CASE("a name or an origin of any length is judged") {
    const config::page_options allowed{.hosts = {"*x"}, .origins = {"https://*x"}};
    CHECK(judge(allowed, arrival::loopback, {"", "a." + std::string(600, 'x'), "", {}}) == foreign_host);
    CHECK(judge(allowed, arrival::loopback, {"", "a." + std::string(60, 'x'), "", {}}) == welcome);
    CHECK(judge(allowed, arrival::loopback, {"", "localhost", "Origin: https://" + std::string(600, 'x'), {}}) ==
          foreign_origin);
}

} // namespace evenkeel::test::page_rules_test
