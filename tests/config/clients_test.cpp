// `clients`: how keys are read, what has to hold among them, and that nobody is shown one.

#include "config/client_keys.hpp"
#include "support.hpp"

#include <doctest/doctest.h>

namespace evenkeel::test::clients_test {

using namespace evenkeel::config;
using namespace evenkeel::config::test;

namespace {
const std::string team_a = "canary-key-of-team-a-0123";

const std::string own_key = "    headers: {set: {authorization: Bearer of-the-upstream}}\n";
std::string with(const std::string& clients, const std::string& upstream = own_key, const std::string& route = "") {
    return good("clients:\n" + clients, upstream, route);
}
const environment files = world({}, {{"conf/a", team_a + "\n"},
                                     {"conf/two", "# the next one\n" + team_a + "-next\n\n  " + team_a + "-last \r\n"},
                                     {"conf/empty", "# nothing\n\n"},
                                     {"conf/blank", "two words\n"},
                                     {"conf/short", "abc\n"}});
std::vector<std::string> codes_of(const load_result& of) {
    std::vector<std::string> out;
    for (const auto& each : of.diagnostics) out.push_back(each.code);
    return out;
}
std::string hex(const key_digest& of) {
    std::string out;
    for (const unsigned char byte : of) {
        out += "0123456789abcdef"[byte >> 4U];
        out += "0123456789abcdef"[byte & 15U];
    }
    return out;
}
} // namespace

TEST_CASE("a key is kept as its digest, whichever way it is written") {
    CHECK(hex(digest_of("abc")) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"); // FIPS 180-4
    CHECK(read_digest(hex(digest_of(team_a))) == digest_of(team_a));
    CHECK(read_digest("BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD") == digest_of("abc"));
    CHECK_FALSE(read_digest("ba78"));
    CHECK_FALSE(read_digest(std::string(64, 'g')));
    const auto result = load(with("  - {name: a, key_file: a, routes: [chat], max_concurrent: 3}\n"
                                  "  - {name: b, key_file: two, key_sha256: " +
                                  hex(digest_of("of-b-0123456789-0123456789")) + "}\n"),
                             files);
    CAPTURE(printed(result.diagnostics));
    REQUIRE(result.ok());
    CHECK(result.diagnostics.empty());
    const auto& clients = result.settings->clients;
    REQUIRE(clients.size() == 2);
    CHECK(clients[0]->name == "a");
    CHECK(clients[0]->keys == std::vector{digest_of(team_a)});
    CHECK(clients[0]->routes == std::vector<std::string>{"chat"});
    CHECK(clients[0]->max_concurrent == 3);
    CHECK(clients[1]->keys.size() == 3);
    CHECK(clients[1]->routes.empty());
    CHECK(clients[1]->max_concurrent == 0);

    const settings& of = *result.settings;
    CHECK(client_with(of, team_a) == clients[0].get());
    CHECK(client_with(of, team_a + "-next") == clients[1].get());
    CHECK(client_with(of, team_a + "-last") == clients[1].get());
    CHECK(client_with(of, "of-b-0123456789-0123456789") == clients[1].get());
    for (const char* other : {"", "a", "# the next one", "canary-key-of-team-a-012", "Canary-key-of-team-a-0123"}) {
        CAPTURE(other);
        CHECK(client_with(of, other) == nullptr);
    }
}

TEST_CASE("what is wrong among clients is said, without a key") {
    const std::string digest = hex(digest_of(team_a));
    struct row {
        std::string yaml;
        std::vector<std::string> codes;
    };
    for (const row& each : {
             row{with("  - {name: a}\n"), {"missing-key"}},
             row{with("  - {key_file: a}\n"), {"missing-key"}},
             row{with("  - {name: a, key_file: nowhere}\n"), {"unreadable-file"}},
             row{with("  - {name: a, key_file: empty}\n"), {"empty-value"}},
             row{with("  - {name: a, key_file: blank}\n"), {"bad-key"}},
             row{with("  - {name: a, key_file: short}\n"), {"short-key"}},
             row{with("  - {name: a, key_sha256: " + team_a + "}\n"), {"bad-digest"}},
             row{with("  - {name: a, key_sha256: [" + digest + ", " + digest + "]}\n"), {"same-credential"}},
             row{with("  - {name: a, key_file: a}\n  - {name: b, key_sha256: " + digest + "}\n"), {"same-credential"}},
             row{with("  - {name: a, key_file: a}\n  - {name: a, key_file: two}\n"), {"duplicate-name"}},
             row{with("  - {name: a, key_file: a, routes: [chatt]}\n"), {"unknown-route"}},
             row{with("  - {name: a, key_file: a, routes: []}\n"), {"empty-value"}},
             row{with("  - {name: a, key_file: a, max_concurrent: 0}\n"), {"out-of-range"}},
             row{with("  - {name: a, key_file: a}\n", ""), {"client-key-crosses"}},
             row{with("  - {name: a, key_file: a}\n", "    caller_credentials: pass\n"), {"client-key-crosses"}},
             row{with("  - {name: a, key_file: a}\n", "    caller_credentials: drop\n"), {}},
             row{with("  - {name: a, key_file: a}\n", "", "    headers: {set: {authorization: Bearer of-the-route}}\n"),
                 {}},
         }) {
        CAPTURE(each.yaml);
        const auto result = load(each.yaml, files);
        const std::string said = printed(result.diagnostics);
        CAPTURE(said);
        CHECK(codes_of(result) == each.codes);
        CHECK(said.find("canary") == std::string::npos);
    }
    CHECK(codes_of(load(good("clients: []\n"))) == std::vector<std::string>{"empty-value"});
}

TEST_CASE("a listener beyond this machine is open to all no more") {
    const std::string open = "listen: 0.0.0.0:8080\n";
    CHECK(codes_of(load(good(open, own_key), files)) == std::vector<std::string>{"open-to-all"});
    CHECK(codes_of(load(good(open + "clients: [{name: a, key_file: a}]\n", own_key), files)).empty());
}

TEST_CASE("a second authority is no crossing where no caller's credential goes anywhere") {
    const std::string two = "version: 1\nclients: [{name: a, key_file: a}]\nupstreams:\n"
                            "  one: {url: \"https://a.example\", headers: {set: {authorization: Bearer of-one}}}\n"
                            "  two: {url: \"https://b.example\", caller_credentials: drop}\n"
                            "routes: [{name: r, upstreams: [one, two]}]\n";
    CHECK(codes_of(load(two, files)).empty());
}

TEST_CASE("what is shown of a configuration has neither a key nor its digest") {
    const std::string digest = hex(digest_of(team_a + "-of-b"));
    const std::string yaml = with("  - {name: a, key_file: a}\n  - {name: b, key_sha256: " + digest + "}\n");
    const auto shown = show_effective(yaml, "conf/evenkeel.yaml", files, "", stages);
    REQUIRE(shown);
    CHECK(shown->find("name: b") != std::string::npos);
    CHECK(shown->find("canary") == std::string::npos);
    CHECK(shown->find(digest) == std::string::npos);
    const auto wrong = load(with("  - {name: a, key_sha256: " + digest + ", nonsense: 1}\n"), files);
    CHECK_FALSE(wrong.ok());
    CHECK(printed(wrong.diagnostics).find(digest) == std::string::npos);
}

TEST_CASE("another digest is another configuration") {
    const auto hash = [](const std::string& of) {
        return load(with("  - {name: a, key_sha256: " + hex(digest_of(of)) + "}\n"), files).settings->hash;
    };
    CHECK(hash("one") == hash("one"));
    CHECK(hash("one") != hash("two"));
}

} // namespace evenkeel::test::clients_test
