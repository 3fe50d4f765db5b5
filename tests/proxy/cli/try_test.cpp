// `evenkeel try` against providers that answer, refuse, are not there, or are something else.

#include "proxy/provider/simulated_provider.hpp"
#include "tests/proxy/cli/printed.hpp"
#include "tests/support/certificates.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include <unistd.h>

namespace evenkeel::test::try_test {

namespace {
bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }
bool fits(const std::string& text) {
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);)
        if (line.size() > 80) return false;
    return true;
}

class written_file {
public:
    explicit written_file(const std::string& upstreams, const std::string& routes) {
        static int count = 0;
        path_ = std::filesystem::temp_directory_path() /
                ("evenkeel-try-" + std::to_string(::getpid()) + "-" + std::to_string(++count) + ".yaml");
        std::ofstream(path_) << "version: 1\nadmin: off\nupstreams:\n" << upstreams << "routes:\n" << routes;
    }
    ~written_file() { std::filesystem::remove(path_); }
    written_file(const written_file&) = delete;
    written_file& operator=(const written_file&) = delete;
    [[nodiscard]] std::string name() const { return path_.string(); }

private:
    std::filesystem::path path_;
};

constexpr const char* canary = "sk-CANARY-0123456789";
const std::string everything = "  - {name: chat, match: {path_prefix: /v1}, upstreams: [a]}\n";
} // namespace

TEST_CASE("try: a call per upstream and route, with the time, the status and the model map") {
    provider::simulated_provider first({.record_body_bytes = 4096}), second({.record_body_bytes = 4096});
    const written_file file(
        "  a: {url: \"" + first.url() + "\"}\n  b: {url: \"" + second.url() +
            "/backup\", headers: {set: {authorization: \"Bearer " + canary + "\"}}, models: {\"*\": other}}\n",
        "  - {name: embed, match: {path: /v1/embeddings}, upstreams: [a]}\n"
        "  - {name: talk, match: {path: /v1/messages}, upstreams: [a]}\n"
        "  - {name: mine, match: {path: /api/mine}, rewrite: {path: /v1/chat/completions}, upstreams: [a, b]}\n"
        "  - {name: files, match: {path: /v1/files}, upstreams: [a]}\n"
        "  - {name: health, match: {path: /h}, serve: health}\n");
    const auto told =
        evenkeel("try --model gpt-x --header 'authorization: Bearer " + std::string{canary} + "' -c " + file.name());
    CAPTURE(told.out);
    CHECK(told.code == 0);
    CHECK(fits(told.out));
    CHECK(!has(told.out, "CANARY"));
    CHECK(has(told.out, "route mine\n  a                      gpt-x "));
    CHECK(has(told.out, "\n  b                      gpt-x -> other                       200 "));
    CHECK(has(told.out, "not asked\n    no call that costs next to nothing is known"));
    CHECK(!has(told.out, "route health"));
    CHECK(told.out.ends_with("4 of 4 calls were answered well\n"));
    const auto asked = first.records();
    REQUIRE(asked.size() == 3);
    CHECK(asked[0].target == "/v1/embeddings");
    CHECK(asked[1].target == "/v1/messages");
    CHECK(has(asked[1].body, "\"max_tokens\":1"));
    CHECK(asked[2].target == "/v1/chat/completions");
    const auto other = second.records();
    REQUIRE(other.size() == 1);
    CHECK(other[0].target == "/backup/v1/chat/completions");
    CHECK(has(other[0].body, "\"model\":\"other\""));

    CHECK(evenkeel("try --route none " + file.name()).code == 2);
    CHECK(evenkeel("try --route health " + file.name()).code == 1);
    CHECK(evenkeel("try --header nonsense " + file.name()).code == 2);
    CHECK(first.records().size() == 3);
}

TEST_CASE("try: the model of a server of one's own is the first that it lists") {
    provider::simulated_provider upstream;
    const written_file file("  a: {url: \"" + upstream.url() + "\"}\n", everything);
    const auto told = evenkeel("try " + file.name());
    CAPTURE(told.out);
    CHECK(told.code == 0);
    REQUIRE(upstream.records().size() == 2);
    CHECK(upstream.records()[0].target == "/v1/models");
}

TEST_CASE("try: what the proxy reads is read: 1xx in front of an answer, one that is compressed unasked") {
    for (const char* script : {"informational=100,103", "encoding=gzip"}) {
        CAPTURE(script);
        provider::simulated_provider upstream({.script = script});
        const written_file file("  a: {url: \"" + upstream.url() + "\"}\n", everything);
        const auto told = evenkeel("try --model m " + file.name());
        CAPTURE(told.out);
        CHECK(told.code == 0);
    }
}

TEST_CASE("try: says plainly what is wrong, and never a credential that a provider repeats") {
    struct row {
        const char* script;
        const char* says;
    };
    for (const row& each : {
             row{"status=401", "no key goes along"},
             row{"status=403", "no key goes along"},
             row{"status=404; body=html", "wrong path: there is no POST /v1/chat/completions"},
             row{"status=429", "its quota or rate is used up"},
             row{"status=402", "out of money"},
             row{"status=503", "fails at its side"},
             row{"status=302", "redirect"},
         }) {
        CAPTURE(each.script);
        provider::simulated_provider upstream({.script = each.script});
        const written_file file("  a: {url: \"" + upstream.url() + "\"}\n", everything);
        const auto told = evenkeel("try --model m " + file.name());
        CHECK(told.code == 1);
        CHECK_MESSAGE(has(told.out, each.says), told.out);
        CHECK(fits(told.out));
        CHECK(told.out.ends_with("0 of 1 calls were answered well\n"));
    }
    provider::simulated_provider upstream;
    const written_file file("  a: {url: \"" + upstream.url() + "\"}\n", everything);
    const auto unknown = evenkeel("try --model no-such-model " + file.name());
    CHECK_MESSAGE(has(unknown.out, "model 'no-such-model' is unknown there"), unknown.out);

    provider::simulated_provider refuses({.script = "status=401"});
    const written_file own("  a: {url: \"" + refuses.url() + "\", headers: {set: {x-api-key: " + canary + "}}}\n",
                           everything);
    const auto refused = evenkeel("try --model m " + own.name());
    CHECK_MESSAGE(has(refused.out, "the key (its own) is refused"), refused.out);
    CHECK(!has(refused.out, "CANARY"));
}

TEST_CASE("try: nobody there, no such name, no TLS, no HTTP, silence: each told apart, in time") {
    provider::simulated_provider upstream;
    const std::string secure = "https" + upstream.url().substr(4);
    struct row {
        std::string url;
        const char* says;
    };
    for (const row& each : {
             row{"http://127.0.0.1:1", "cannot be reached: Connection refused"},
             row{"http://nowhere.invalid", "DNS: "},
             row{secure, "TLS: "},
         }) {
        CAPTURE(each.url);
        const written_file file("  a: {url: \"" + each.url + "\"}\n", everything);
        const auto told = evenkeel("try --timeout 5 --model m " + file.name());
        CHECK(told.code == 1);
        CHECK_MESSAGE(has(told.out, each.says), told.out);
        CHECK(fits(told.out));
    }
    for (const char* script : {"stall_after=request", "reset_after=request"}) {
        CAPTURE(script);
        provider::simulated_provider silent({.script = script});
        const written_file file("  a: {url: \"" + silent.url() + "\"}\n", everything);
        const auto began = std::chrono::steady_clock::now();
        const auto told = evenkeel("try --timeout 0.5 --model m " + file.name());
        CHECK(std::chrono::steady_clock::now() - began < std::chrono::seconds{5});
        CHECK(told.code == 1);
        CHECK_MESSAGE(has(told.out, "no"), told.out);
    }
}

TEST_CASE("try: over TLS as the configuration has it; an unknown issuer and another name are told apart") {
    const certificate_authority authority;
    const temporary_directory files;
    const std::string ca = files.write("ca.pem", authority.pem());
    const auto serving = [&](const certificate& own, const std::string& name) {
        return provider::provider_options{
            .tls = provider::provider_tls{files.write(name + ".pem", own.pem), files.write(name + ".key", own.key)}};
    };
    provider::simulated_provider good(serving(authority.issue({.dns = {}, .addresses = {"127.0.0.1"}}), "good"));
    provider::simulated_provider other(
        serving(authority.issue({.dns = {"elsewhere.invalid"}, .addresses = {}}), "other"));
    struct row {
        const std::string& url;
        const char* tls;
        bool trusted;
        const char* says;
    };
    for (const row& each : {
             row{good.url(), "", true, "1 of 1 calls were answered well"},
             row{good.url(), "", false, "TLS: certificate of '127.0.0.1': "},
             row{other.url(), "", true, "TLS: certificate of '127.0.0.1': IP address mismatch"},
             row{other.url(), ", server_name: elsewhere.invalid", true, "1 of 1 calls were answered well"},
             row{other.url(), ", verify: false", true, "1 of 1 calls were answered well"},
         }) {
        CAPTURE(each.says);
        const std::string trust = each.trusted ? ca : std::string{"system"};
        const written_file file("  a: {url: \"" + each.url + "\", tls: {ca_file: " + trust + each.tls + "}}\n",
                                everything);
        const auto told = evenkeel("try --model m " + file.name());
        CHECK_MESSAGE(has(told.out, each.says), told.out);
        CHECK(fits(told.out));
    }
}

TEST_CASE("try: through an egress proxy") {
    const certificate_authority authority;
    const temporary_directory files;
    const certificate own = authority.issue({.dns = {"elsewhere.invalid"}, .addresses = {}});
    provider::simulated_provider egress(provider::provider_options{
        .tls = provider::provider_tls{files.write("own.pem", own.pem), files.write("own.key", own.key)}});
    egress.script({.script = "accept=tunnel"});
    const written_file file(
        "  a: {url: \"https://elsewhere.invalid\", proxy: \"http://127.0.0.1:" + std::to_string(egress.port()) +
            "\", tls: {ca_file: " + files.write("ca.pem", authority.pem()) + "}}\n",
        everything);
    const auto told = evenkeel("try --model m " + file.name());
    CHECK_MESSAGE(told.code == 0, told.out);

    provider::simulated_provider refuses;
    const written_file other("  a: {url: \"https://elsewhere.invalid\", proxy: \"" + refuses.url() + "\"}\n",
                             everything);
    const auto refused = evenkeel("try --timeout 5 --model m " + other.name());
    CHECK(refused.code == 1);
    CHECK_MESSAGE(has(refused.out, "egress proxy: "), refused.out);
}

TEST_CASE("try --dry-run: says what would be sent, without keys and without sending it") {
    provider::simulated_provider upstream;
    const written_file file("  a: {url: \"" + upstream.url() +
                                "\", headers: {set: {authorization: \"Bearer ${env:NOBODY_SETS_THIS}\"}}}\n",
                            everything);
    const auto told = evenkeel("try --dry-run --model m " + file.name());
    CAPTURE(told.out);
    CHECK(told.code == 0);
    CHECK(has(told.out, "    POST /v1/chat/completions HTTP/1.1\n"));
    CHECK(has(told.out, "    authorization: ***\n"));
    CHECK(has(told.out, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"1\"}],\"max_tokens\":1}"));
    CHECK(upstream.records().empty());
    CHECK(evenkeel("try --model m " + file.name()).code == 1); // the variable is not set
}

} // namespace evenkeel::test::try_test
