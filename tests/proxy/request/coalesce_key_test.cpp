// What makes two requests identical: everything but what is known to change no answer.

#include "tests/proxy/request/coalesce_fixture.hpp"

#include "proxy/message/owned_request.hpp"
#include "proxy/wire/gate.hpp"

#include <array>
#include <random>
#include <type_traits>

namespace evenkeel::test::coalesce_key_test {

// No key without a principal.
static_assert(!std::is_default_constructible_v<request::coalesce_key>);
static_assert(!std::is_constructible_v<request::coalesce_key, std::string_view, const request::hash_key&>);
static_assert(!std::is_default_constructible_v<request::principal>);

namespace {
using fields = std::vector<std::pair<std::string, std::string>>;
struct asked {
    std::string method = "POST", target = "/v1/chat/completions?x=1", body = R"({"seed":7})";
    fields with{{"authorization", "Bearer a"},
                {"accept", "application/json"},
                {"accept-encoding", "gzip"},
                {"content-type", "application/json"},
                {"user-agent", "sdk/1"},
                {"openai-beta", "assistants=v2"},
                {"x-other", "1"}};

    [[nodiscard]] std::string text() const {
        std::string out = method + " " + target + " HTTP/1.1\r\nHost: h\r\n";
        for (const auto& [name, value] : with) out += name + ": " + value + "\r\n";
        return out + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
    }
};

struct keys {
    crowd f;
    request::hash_key secret{{}};
    std::optional<request::coalesce_key> of(const asked& what, std::string_view address = "192.0.2.7") {
        const std::string text = what.text();
        wire::request_head head;
        std::size_t scanned = 0;
        const auto read = wire::read_request_head(text, {.max_head_bytes = text.size()}, scanned, head);
        REQUIRE(read.is == wire::head_result::state::complete);
        request::client_request request({.settings = f.settings, .head = &head, .client_address = address}, f.loop,
                                        f.services.buffers);
        request.route = f.route;
        request.body.begin_whole(
            head.body, request::copy_to_block(f.services.buffers, std::string_view{text}.substr(read.consumed)));
        return request::coalesce_key_of(request, {.asked = f.route}, secret);
    }
};
} // namespace

TEST_CASE("any single difference in credential, target, body or field is another request") {
    keys made;
    const asked base;
    const auto key = made.of(base);
    REQUIRE(key);
    CHECK(made.of(base) == key);

    std::mt19937 random(20261125);
    const auto draw = [&](std::size_t below) { return static_cast<std::size_t>(random() % below); };
    for (int i = 0; i < 20000; ++i) {
        asked other = base;
        std::string what;
        switch (draw(9)) {
        case 0: { // a byte of the body
            const std::size_t at = draw(other.body.size());
            other.body[at] = static_cast<char>(other.body[at] ^ (1 << draw(5)));
            what = "body byte";
            break;
        }
        case 1: other.body += std::string(1 + draw(3), ' '), what = "body longer"; break;
        case 2: { // a character of a value
            auto& [name, value] = other.with[draw(other.with.size())];
            const std::size_t at = draw(value.size());
            value[at] = value[at] == 'q' ? 'z' : 'q';
            what = "value of " + name;
            break;
        }
        case 3:
            what = "without " + other.with.back().first,
            other.with.erase(other.with.begin() + static_cast<std::ptrdiff_t>(draw(other.with.size())));
            break;
        case 4: other.with.emplace_back("x-new-" + std::to_string(draw(100)), "v"), what = "one more field"; break;
        case 5: other.with.push_back(other.with[draw(other.with.size())]), what = "a field twice"; break;
        case 6: { // two fields change places
            const std::size_t a = draw(other.with.size() - 1);
            std::swap(other.with[a], other.with[a + 1]);
            what = "order";
            break;
        }
        case 7: other.target += std::to_string(draw(10)), what = "query"; break;
        default: { // a credential in any place
            static constexpr std::array<const char*, 8> places{
                "x-api-key",           "x-goog-api-key",           "api-key",
                "openai-organization", "openai-project",           "cookie",
                "x-goog-user-project", "anthropic-organization-id"};
            const std::size_t place = draw(places.size() + 1);
            if (place == places.size()) {
                other.target += "&key=secret";
            } else {
                other.with.emplace_back(places[place], "other");
            }
            what = "credential";
        }
        }
        CAPTURE(what);
        const auto its = made.of(other);
        if (its == key) FAIL_CHECK("shared although different: ", other.text());
    }

    asked get = base;
    get.method = "GET";
    CHECK(made.of(get) != key);
    asked path = base;
    path.target = "/v1/completions?x=1";
    CHECK(made.of(path) != key);
}

TEST_CASE(
    "parts are told apart: what is moved from a name to a value, or from one field to the next, is another request") {
    keys made;
    asked one, two, three;
    one.with = {{"x-a", "b"}, {"x-c", "d"}};
    two.with = {{"x-a", "bx-c"}, {"x-d", ""}};
    three.with = {{"x-a", "b, d"}};
    CHECK(made.of(one) != made.of(two));
    CHECK(made.of(one) != made.of(three));
}

TEST_CASE("ids of tracing, the spelling of names and the client's own timeout make no difference") {
    keys made;
    const asked base;
    for (const char* name : {"x-request-id", "x-client-request-id", "x-correlation-id", "traceparent", "tracestate",
                             "b3", "X-B3-TraceId", "x-amzn-trace-id", "x-cloud-trace-context", "sentry-trace",
                             "x-datadog-trace-id", "x-evenkeel-timeout", "connection"}) {
        CAPTURE(name);
        asked other = base;
        other.with.insert(other.with.begin() + 2, {name, std::string{name} == "connection" ? "close" : "1"});
        CHECK(made.of(other) == made.of(base));
    }
    asked spelled = base;
    spelled.with[0].first = "Authorization";
    CHECK(made.of(spelled) == made.of(base));
    asked partial = base;
    partial.with.emplace_back("x-evenkeel-partial-key", "k"); // another answer is kept for it
    CHECK(made.of(partial) != made.of(base));
}

TEST_CASE("the client's address counts where it is sent upstream") {
    keys made;
    CHECK(made.of({}, "192.0.2.1") == made.of({}, "192.0.2.2"));
    made.f.provider->forwarded = true;
    CHECK(made.of({}, "192.0.2.1") != made.of({}, "192.0.2.2"));
}

TEST_CASE("replay decides: what may not be sent twice is not sent for two") {
    keys made;
    CHECK(made.of({}));
    made.f.route->retry.replay = replay_mode::never;
    CHECK_FALSE(made.of({}));
    made.f.route->retry.replay = replay_mode::always;
    asked upload;
    upload.target = "/v1/files";
    CHECK(made.of(upload));
    made.f.route->retry.replay = replay_mode::automatic;
    CHECK_FALSE(made.of(upload));
}

TEST_CASE("another secret is another key: keys tell nothing between processes") {
    keys one, two;
    two.secret = request::hash_key::draw();
    CHECK(one.of({}) != two.of({}));
}

} // namespace evenkeel::test::coalesce_key_test
