// What is served because it would have been served without us, and what may be asked again because nothing was done.

#include "flow_fixture.hpp"

#include <algorithm>
#include <optional>

namespace evenkeel::test::accept_flow_test {

namespace {
std::string get(const std::string& target) { return "GET " + target + " HTTP/1.1\r\nHost: h\r\n\r\n"; }
std::string post_to(const std::string& target, const std::string& body, const std::string& fields = "") {
    return "POST " + target + " HTTP/1.1\r\nHost: h\r\n" + fields + "Content-Length: " + std::to_string(body.size()) +
           "\r\n\r\n" + body;
}
const std::string line_end = " HTTP/1.1\r\n";

const std::string form_type = "Content-Type: multipart/form-data; boundary=b0\r\n";
std::string form(const std::string& model) {
    return "--b0\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\nRIFF\r\n"
           "--b0\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n" +
           model + "\r\n--b0--\r\n";
}

exchange_script fails_to_connect(net::transport_error::kind is, std::string_view token, bool lasting) {
    exchange_script script;
    script.connect_failure = net::transport_error{is, token, 502, {}, "of the test", lasting};
    return script;
}
} // namespace

TEST_CASE("D1: a target goes upstream as it came; an escaped slash is data and separates nothing") {
    for (const std::string target :
         {"/v1/models/meta-llama%2FLlama-3.1-8B-Instruct", "/v1/models/a%5Cb", "/v1/%7Euser/x?y=%2F", "/v1/m%6Fdels"}) {
        CAPTURE(target);
        fixture f;
        f.upstream.next(answering(ok_json, 0));
        f.connect();
        f.send(get(target));
        CHECK(has(f.client.received(), "HTTP/1.1 200 "));
        CHECK(f.upstream.exchanges().at(0)->written.starts_with("GET " + target + line_end));
        f.expect_nothing_left();
    }
    // Routes match raw bytes: this is no path below /v1.
    fixture f;
    f.connect();
    f.send(get("/v1%2Fmodels"));
    CHECK(has(f.client.received(), "HTTP/1.1 404 "));
    CHECK(f.upstream.exchanges().empty());
    f.expect_nothing_left();
}

TEST_CASE("D6: slashes in a row are merged, matched and sent merged") {
    fixture f;
    f.route->match.path_prefix = "/v1/chat";
    f.upstream.next(answering(ok_json));
    f.connect();
    f.send("POST //v1///chat/completions?x=a//b HTTP/1.1\r\nHost: h\r\nContent-Length: \t 2 \t\r\n\r\n{}");
    CHECK(has(f.client.received(), "HTTP/1.1 200 "));
    CHECK(f.upstream.exchanges().at(0)->written.starts_with("POST /v1/chat/completions?x=a//b" + line_end));
    f.expect_nothing_left();
}

TEST_CASE("D3: an upgrade to h2c is ignored, with what belongs to it") {
    fixture f;
    f.upstream.next(answering(ok_json));
    f.connect();
    f.send(post_to("/v1/chat/completions", "{}",
                   "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\n"));
    CHECK(has(f.client.received(), "HTTP/1.1 200 "));
    CHECK(!f.client.closed_by_proxy());
    const std::string& sent = f.upstream.exchanges().at(0)->written;
    CHECK(!has(sent, "pgrade"));
    CHECK(!has(sent, "HTTP2"));
    f.expect_nothing_left();
}

TEST_CASE("D4: who asks for a WebSocket is told at once that HTTP/1.1 is spoken here") {
    fixture f;
    f.connect();
    f.send("GET /v1/responses HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
           "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    f.pass(3s);
    CHECK(f.client.received().starts_with("HTTP/1.1 426 Upgrade Required\r\n"));
    CHECK(has(f.client.received(), "upgrade: HTTP/1.1\r\n"));
    CHECK(has(f.client.received(), "connection: close, upgrade\r\n"));
    CHECK(f.upstream.exchanges().empty());
    f.expect_nothing_left();
}

TEST_CASE("D8: a route by model sees one that a form or the path names, and a rename changes it there") {
    const auto bench = [](fixture& f) {
        f.route->match.models = {"whisper-*", "gemini-*", "gpt-4o"};
        f.provider->models = {{"whisper-1", "large/v3"}, {"gemini-*", "flash"}, {"gemini-2*", "flash-2"}};
    };
    {
        fixture f;
        bench(f);
        f.upstream.next(answering(ok_json, form("large/v3").size()));
        f.connect();
        f.send(post_to("/v1/audio/transcriptions", form("whisper-1"), form_type));
        CHECK(has(f.client.received(), "HTTP/1.1 200 "));
        const std::string& sent = f.upstream.exchanges().at(0)->written;
        CHECK(sent.ends_with(form("large/v3")));
        CHECK(has(sent, "content-length: " + std::to_string(form("large/v3").size()) + "\r\n"));
        f.expect_nothing_left();
    }
    const struct {
        const char* asked;
        const char* sent;
    } rows[] = {
        {"/v1/models/gemini-2.0:generateContent?alt=sse", "/v1/models/flash-2:generateContent?alt=sse"},
        {"/v1/models/gemini-1.5:generateContent", "/v1/models/flash:generateContent"},
        {"/v1/deployments/whisper-1/audio/translations", "/v1/deployments/large%2Fv3/audio/translations"},
        {"/v1/deployments/gpt-4o/chat/completions", "/v1/deployments/gpt-4o/chat/completions"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.asked);
        fixture f;
        bench(f);
        f.upstream.next(answering(ok_json));
        f.connect();
        f.send(post_to(row.asked, "{}"));
        CHECK(has(f.client.received(), "HTTP/1.1 200 "));
        CHECK(f.upstream.exchanges().at(0)->written.starts_with("POST " + std::string{row.sent} + line_end));
        f.expect_nothing_left();
    }
    for (const std::string target : {"/v1/models/other:generateContent", "/v1/audio/transcriptions"}) {
        CAPTURE(target);
        fixture f;
        bench(f);
        f.connect();
        f.send(post_to(target, form("other"), form_type));
        CHECK(has(f.client.received(), "HTTP/1.1 404 "));
        f.expect_nothing_left();
    }
}

TEST_CASE("C1: where a member decides it is that member, not a parameter of a tool that is called so") {
    const std::string tool =
        R"({"tools":[{"parameters":{"properties":{"store":{"type":"string"},"background":{}}}}],"store":false})";
    const struct {
        std::string body;
        bool again;
    } rows[] = {{R"({"input":"x","store":false})", true},
                {tool, true},
                {R"({"input":"x"})", true},
                {R"({"store":true})", false},
                {R"({"background":true})", false},
                {R"({"conversation":"c1"})", false}};
    for (const auto& row : rows) {
        CAPTURE(row.body);
        retrying f(true);
        f.upstream.next(answering(status_answer(500), row.body.size()));
        f.upstream.next(answering(ok_json, row.body.size()));
        f.connect();
        f.send(post_to("/v1/responses", row.body));
        CHECK(has(f.client.received(), row.again ? "HTTP/1.1 200 " : "HTTP/1.1 500 "));
        CHECK(f.upstream.exchanges().size() == (row.again ? 2 : 1));
        f.expect_nothing_left();
    }
}

TEST_CASE("C3: what counts tokens computes, like every other call that leaves nothing behind") {
    for (const std::string target :
         {"/v1/messages/count_tokens", "/v1/models/g:countTokens", "/v1/audio/transcriptions", "/v1/audio/translations",
          "/v1/audio/speech", "/v1/images/generations", "/v1/images/edits", "/v1/moderations", "/v1/rerank",
          "/v1/score", "/v1/models/g:batchEmbedContents", "/v1/projects/p/publishers/anthropic/models/c:rawPredict",
          "/v1/completions", "/v1/embeddings", "/v1/messages"}) {
        CAPTURE(target);
        for (const int status : {529, 503, 500}) {
            CAPTURE(status);
            retrying f(true);
            f.upstream.next(answering(status_answer(status)));
            f.upstream.next(answering(ok_json));
            f.connect();
            f.send(post_to(target, "{}"));
            CHECK(has(f.client.received(), "HTTP/1.1 200 "));
            f.expect_nothing_left();
        }
    }
    for (const std::string target :
         {"/v1/files", "/v1/batches", "/v1/messages/batches", "/v1/fine_tuning/jobs", "/v1/threads/t/messages",
          "/v1/conversations/c/items", "/v1/models/g:batchGenerateContent"}) {
        CAPTURE(target);
        retrying f(true);
        f.upstream.next(answering(status_answer(500)));
        f.connect();
        f.send(post_to(target, "{}"));
        CHECK(has(f.client.received(), "HTTP/1.1 500 "));
        CHECK(f.upstream.exchanges().size() == 1);
        f.expect_nothing_left();
    }
}

TEST_CASE("C2: a refusal had no effect: whatever is held whole is asked elsewhere, repeatable or not") {
    const struct {
        int status;
        const char* fields;
        bool again;
    } rows[] = {{429, "", true},  {429, "Retry-After: 1\r\n", true},
                {529, "", true},  {503, "Retry-After: 1\r\n", true},
                {498, "", true},  {503, "", false},
                {500, "", false}, {502, "", false},
                {408, "", false}, {413, "", false},
                {400, "", false}};
    for (const auto& row : rows) {
        CAPTURE(row.status);
        CAPTURE(row.fields);
        retrying f(true);
        f.upstream.next(answering(status_answer(row.status, row.fields)));
        f.upstream.next(answering(ok_json));
        f.connect();
        f.send(post_to("/v1/batches", "{}"));
        const std::string expected = row.again ? "200" : std::to_string(row.status);
        CHECK(has(f.client.received(), "HTTP/1.1 " + expected + " "));
        CHECK(f.upstream.opened_to("backup") == (row.again ? 1 : 0));
        f.expect_nothing_left();
    }
    SUBCASE("replay: never is obeyed all the same") {
        retrying f(true);
        f.route->retry.replay = replay_mode::never;
        f.upstream.next(answering(status_answer(429)));
        f.connect();
        f.send(post_to("/v1/batches", "{}"));
        CHECK(has(f.client.received(), "HTTP/1.1 429 "));
        CHECK(f.upstream.exchanges().size() == 1);
        f.expect_nothing_left();
    }
    SUBCASE("a fallback route takes over, too, but for what is not replayed") {
        for (const bool never : {false, true}) {
            retrying f;
            f.route->retry.max_retries = 0;
            if (never) f.route->retry.replay = replay_mode::never;
            const auto other = std::make_shared<config::route>(*f.route);
            other->name = "other";
            other->match.path_prefix = "/other";
            other->upstreams = {f.backup};
            f.settings->routes.push_back(other);
            f.settings->upstreams.push_back(f.backup);
            f.route->fallback = {{.is = fallback_kind::route, .route = 1}};
            f.upstream.next(answering(status_answer(429)));
            f.upstream.next(answering(ok_json));
            f.connect();
            f.send(post_to("/v1/batches", "{}"));
            CHECK(has(f.client.received(), never ? "HTTP/1.1 429 " : "HTTP/1.1 200 "));
            CHECK(f.upstream.opened_to("backup") == (never ? 0 : 1));
            f.expect_nothing_left();
        }
    }
    SUBCASE("a refusal in front does not make the effect of what came behind it harmless") {
        retrying f(true);
        f.upstream.next(answering(status_answer(429)));
        f.upstream.next(answering(status_answer(500)));
        f.connect();
        f.send(post_to("/v1/batches", "{}"));
        CHECK(has(f.client.received(), "HTTP/1.1 500 "));
        CHECK(f.upstream.exchanges().size() == 2);
        f.expect_nothing_left();
    }
    SUBCASE("a form of more than the usual size goes on, too") {
        const std::string body = std::string(300 * 1024, 'x');
        retrying f(true);
        f.upstream.next(answering(status_answer(429), body.size()));
        f.upstream.next(answering(ok_json, body.size()));
        f.connect();
        f.send(post_to("/v1/files", body, form_type));
        f.pass(1s);
        CHECK(has(f.client.received(), "HTTP/1.1 200 "));
        CHECK(f.upstream.exchanges().at(1)->written.ends_with(body));
        f.expect_nothing_left();
    }
}

TEST_CASE("C4: a page of a CDN in front of a provider is no word of the provider's: another one is asked") {
    const auto page = [](int status) {
        const std::string body = "<!DOCTYPE html><title>Just a moment...</title>";
        return "HTTP/1.1 " + std::to_string(status) + " No\r\nContent-Type: text/html; charset=UTF-8\r\n" +
               "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
    };
    {
        retrying f(true);
        f.upstream.next(answering(page(403)));
        f.upstream.next(answering(ok_json));
        f.connect();
        f.send(post);
        CHECK(has(f.client.received(), "HTTP/1.1 200 "));
        CHECK(f.upstream.opened_to("backup") == 1);
        CHECK(f.seen.attempts.at(0) == attempt_result::server_error);
        f.expect_nothing_left();
    }
    for (const std::string& own : {status_answer(403), page(404)}) { // the provider's own word, or of what is asked for
        retrying f(true);
        f.upstream.next(answering(own));
        f.connect();
        f.send(post);
        CHECK(f.upstream.exchanges().size() == 1);
        CHECK(f.seen.attempts.at(0) == attempt_result::caller_error);
        f.expect_nothing_left();
    }
    retrying f(true);
    f.upstream.next(answering(status_answer(498)));
    f.upstream.next(answering(ok_json));
    f.connect();
    f.send(post);
    CHECK(has(f.client.received(), "HTTP/1.1 200 "));
    CHECK(f.seen.attempts.at(0) == attempt_result::overloaded);
    f.expect_nothing_left();
}

TEST_CASE("C5, C6: what would end the same again is told at once, and not tried again there") {
    using kind = net::transport_error::kind;
    const struct {
        kind is;
        const char* token;
        attempt_result seen;
    } rows[] = {{kind::tls, "tls_certificate_error", attempt_result::tls_failure},
                {kind::dns, "dns_error", attempt_result::connect_failure}};
    for (const auto& row : rows) {
        CAPTURE(row.token);
        {
            retrying f;
            f.upstream.next(fails_to_connect(row.is, row.token, true));
            f.connect();
            f.send(post);
            CHECK(has(f.client.received(), "HTTP/1.1 502 ")); // no time has passed
            CHECK(has(f.client.received(), row.token));
            CHECK(f.seen.attempts == std::vector<attempt_result>{row.seen});
            f.expect_nothing_left();
        }
        {
            retrying f(true); // another one may be well
            f.upstream.next(fails_to_connect(row.is, row.token, true));
            f.upstream.next(answering(ok_json));
            f.connect();
            f.send(post);
            CHECK(has(f.client.received(), "HTTP/1.1 200 "));
            f.expect_nothing_left();
        }
        {
            retrying f; // a name server that cannot be asked, a handshake that broke: that passes
            f.upstream.next(fails_to_connect(row.is, row.token, false));
            f.upstream.next(answering(ok_json));
            f.connect();
            f.send(post);
            f.pass(2s);
            CHECK(has(f.client.received(), "HTTP/1.1 200 "));
            f.expect_nothing_left();
        }
    }
}

} // namespace evenkeel::test::accept_flow_test
