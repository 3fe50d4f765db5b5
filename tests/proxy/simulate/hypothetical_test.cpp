// What `evenkeel explain -c FILE` says of a request that was never sent.

#include "proxy/simulate/hypothetical.hpp"

#include "proxy/simulate/stage.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <sstream>
#include <stdexcept>
#include <string>

namespace evenkeel::test::hypothetical_test {

using simulate::hypothesis;

namespace {
constexpr const char* two = R"(version: 1
listen: 127.0.0.1:0
upstreams:
  first: {url: "http://127.0.0.1:1"}
  second: {url: "http://127.0.0.1:2", caller_credentials: drop}
routes:
  - {name: admin, match: {path_prefix: /admin}, upstreams: [second]}
  - {name: llm, match: {path_prefix: /v1}, upstreams: [first, second]}
  - {name: alone, match: {path_prefix: /alone}, rewrite: {path_prefix: /}, upstreams: [first], retry: off}
)";
const std::string chat = R"({"model":"m","messages":[{"role":"user","content":"canary-content"}]})";
const std::string streamed = R"({"model":"m","stream":true,"messages":[]})";

std::string explained(hypothesis what, const char* file = two) {
    if (what.path.empty()) what.path = "/v1/chat/completions";
    if (what.body.empty()) what.body = chat;
    const std::string text = simulate::explain(simulate::settings_of_text(file), what);
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) CHECK(line.size() <= 80);
    CHECK(text.find("canary-content") == std::string::npos);
    return text;
}
// Without line ends, so that where a line ends does not matter.
std::string flat(std::string text) {
    std::string out;
    for (const char c : text) {
        const char it = c == '\n' ? ' ' : c;
        if (it != ' ' || out.empty() || out.back() != ' ') out += it;
    }
    return out;
}
} // namespace

TEST_CASE("explain, of what was not sent: the route, and what each supposition comes to") {
    struct row {
        const char* name;
        hypothesis what;
        std::vector<const char*> says;
    };
    const row rows[] = {
        {"all is well",
         {},
         {"It takes route 'llm' (path_prefix /v1), the first of 3 that matches. Not 'admin' (path_prefix /admin).",
          "every upstream answers well", "Answered with 200 by first.", "0.000 s first was asked.",
          "The answer of first became the request's."}},
        {"a stream", {.body = streamed}, {"Answered with 200 by first."}},
        {"a server error",
         {.status = 500},
         {"Supposed: first answers 500, each time; any other answers well, after a second.",
          "Answered with 200 by second, which took over from the one asked first.",
          "first failed with status 500 after 0.200 s: an error of its own.", "0.200 s second was asked instead.",
          "0.200 s in attempts that did not answer it"}},
        {"a rate limit",
         {.status = 429, .retry_after = "3"},
         {"first answered with status 429 after 0.200 s: too many requests for now.", "second was asked instead."}},
        {"no money",
         {.status = 429,
          .answer = R"({"error":{"message":"m","type":"insufficient_quota","code":"insufficient_quota"}})"},
         {"the quota or the money is used up.", "second was asked instead."}},
        {"overload", {.status = 529}, {"first answered with status 529 after 0.200 s: it is overloaded."}},
        {"the caller's fault",
         {.status = 400},
         {"The error of first was passed on, with status 400", "the request itself was at fault.",
          "another attempt would meet the same"}},
        {"an error inside a 200",
         {.status = 200, .answer = R"({"error":{"message":"m","type":"server_error"}})"},
         {"second was asked instead."}},
        {"nothing said", {.status = 200, .answer = "not JSON"}, {"second was asked instead."}},
        {"silence",
         {.does = hypothesis::fault::silent},
         {"first takes the request and says nothing", "as a rescue", "Answered with 200 by second"}},
        {"a reset",
         {.does = hypothesis::fault::reset},
         {"first broke off before its answer was whole", "second was asked instead."}},
        {"no connection",
         {.does = hypothesis::fault::unreachable},
         {"first cannot be reached", "Answered with 200 by second"}},
        {"nothing works",
         {.status = 503, .everywhere = true},
         {"Supposed: every upstream answers 503, each time.", "The error of", "with status 503",
          "No further attempt was made:"}},
        {"nothing is tried again",
         {.path = "/alone/v1/chat/completions", .status = 500},
         {"The error of first was passed on, with status 500", "with `retry: off`"}},
        {"no route", {.path = "/elsewhere"}, {"None of the file's 3 routes matches.", "Refused with 404 (no_route)"}},
        {"no body", {.method = "GET", .path = "/v1/models"}, {"Answered with 200 by first."}},
    };
    for (const row& one : rows) {
        CAPTURE(one.name);
        const std::string text = explained(one.what);
        CAPTURE(text);
        for (const char* part : one.says) CHECK(flat(text).find(part) != std::string::npos);
    }
}

TEST_CASE("explain, of what was not sent: what is no request is said so") {
    for (const hypothesis& what :
         {hypothesis{.path = "v1"}, hypothesis{.path = "/v1 x"}, hypothesis{.method = "", .path = "/"},
          hypothesis{.path = "/", .fields = {"no colon"}}, hypothesis{.path = "/", .fields = {"a: b\r\nc: d"}},
          hypothesis{.method = "TRACE", .path = "/"}}) {
        CHECK_THROWS_AS(static_cast<void>(simulate::explain(simulate::settings_of_text(two), what)),
                        std::invalid_argument);
    }
}

} // namespace evenkeel::test::hypothetical_test
