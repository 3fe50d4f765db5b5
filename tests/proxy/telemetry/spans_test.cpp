// A request that is over as spans, and as what a collector is sent of them: for every shape a request can have.

#include "proxy/telemetry/otlp_json.hpp"
#include "proxy/telemetry/request_story.hpp"
#include "proxy/telemetry/spans.hpp"
#include "tests/proxy/telemetry/sample_config.hpp"

#include <boost/json.hpp>
#include <doctest/doctest.h>

#include <algorithm>
#include <deque>
#include <set>
#include <string>
#include <vector>

namespace evenkeel::test::spans_test {

using namespace evenkeel::telemetry;
using namespace std::chrono_literals;
using config::genai_conventions;

namespace {
constexpr steady_time start{1000s};
const wall_time began{std::chrono::sys_days{std::chrono::year{2026} / 11 / 29}};
const std::int64_t began_ns = began.time_since_epoch().count();

trace_context sampled() {
    return {.trace_high = 0x0af7651916cd43ddU,
            .trace_low = 0x8448eb211c80319cU,
            .parent = 0xb7ad6b7169203331U,
            .span = 0x1111,
            .drawn = 7,
            .flags = 1,
            .parent_remote = true};
}

// What happens to a request, told as the path tells it.
struct request {
    std::shared_ptr<config::settings> settings = sample_settings({{"llm", "a"}, {"other", "b"}});
    request_account account{};
    request() {
        account.route = settings->routes[0].get();
        account.started = began;
        account.method = "POST";
        account.path = "/v1/chat/completions";
        account.client = "10.0.0.7";
        account.request_id = "r-1";
        account.model = "gpt-x";
        account.status = 200;
        account.trace = sampled();
    }
    const config::upstream* at(int which) const { return settings->upstreams[static_cast<std::size_t>(which)].get(); }
    attempt_number launch(duration after, int where, attempt_kind kind, std::string_view why) {
        return account.note(start + after, {.upstream = at(where)},
                            happened::launched{kind, why, false, account.trace.next_span()});
    }
    void note(duration after, attempt_number attempt, const any_happening& what, int where = 0) {
        account.note(start + after, {.upstream = at(where), .attempt = attempt}, what);
    }
    std::vector<span> spans(duration total, genai_conventions names = genai_conventions::both) {
        account.total = total;
        account.at = start + total;
        told.push_back({keep(account), account.trace});
        return spans_of(told.back(), names);
    }
    std::deque<traced_request> told; // outlives the spans
};

const attribute* find(const attributes& in, std::string_view name) {
    const auto found = std::find_if(in.begin(), in.end(), [&](const attribute& one) { return one.name == name; });
    return found == in.end() ? nullptr : &*found;
}
std::string text(const attributes& in, std::string_view name) {
    const attribute* const one = find(in, name);
    if (one == nullptr) return "absent";
    if (const auto* it = std::get_if<std::string_view>(&one->value)) return std::string{*it};
    if (const auto* it = std::get_if<std::string>(&one->value)) return *it;
    if (const auto* it = std::get_if<std::int64_t>(&one->value)) return std::to_string(*it);
    if (const auto* it = std::get_if<bool>(&one->value)) return *it ? "true" : "false";
    return "number";
}
std::vector<std::string> names_of(const std::vector<span_event>& events) {
    std::vector<std::string> out;
    for (const span_event& one : events) out.push_back(one.name);
    return out;
}
using words = std::vector<std::string>;
} // namespace

TEST_CASE("spans: which of several keys an attempt showed, by its name, which outlives the list") {
    request it;
    auto keyed = std::make_shared<config::upstream>(*it.settings->upstreams[0]);
    keyed->credentials = {{"team", {{"authorization", "Bearer sk-CANARY-team"}}},
                          {"spare", {{"authorization", "Bearer sk-CANARY-spare"}}}};
    it.settings->upstreams[0] = keyed;
    const auto ask = [&](duration after, attempt_kind kind, std::string_view why, lane_index key) {
        return it.account.note(start + after, {.upstream = keyed.get()},
                               happened::launched{kind, why, false, it.account.trace.next_span(), key});
    };
    const auto first = ask(1ms, attempt_kind::first, "first", 0);
    it.note(2ms, first, happened::ended{attempt_result::rate_limited, 429, 1ms, {}, {}, {}});
    const auto second = ask(2ms, attempt_kind::retry, "next_credential", 1);
    it.note(3ms, second, happened::committed{"first_answer"});
    auto all = it.spans(10ms);
    keyed->credentials.clear();
    REQUIRE(all.size() == 4);
    CHECK(text(all[2].with, "evenkeel.credential") == "team");
    CHECK(text(all[3].with, "evenkeel.credential") == "spare");
    CHECK(text(all[3].with, "evenkeel.attempt.why") == "next_credential");
    CHECK(text(all[0].with, "evenkeel.credential") == "absent");
    const std::string story = story_text(it.told.back().kept);
    CHECK(story.find("a, with credential 'team', was asked.") != std::string::npos);
    CHECK(story.find("a, with credential 'spare', was asked instead.") != std::string::npos);
    const std::string json = story_json(it.told.back().kept);
    CHECK(json.find(R"("credential":"spare")") != std::string::npos);
    CHECK((story + json).find("CANARY") == std::string::npos);
}

TEST_CASE("spans: a plain request is three, one within the other") {
    request it;
    it.account.upstream = it.at(0);
    it.account.effort.attempts = 0;
    const auto first = it.launch(1ms, 0, attempt_kind::first, "first");
    it.note(400ms, first, happened::committed{"complete"});
    spending spent{.became = spent_on::served};
    spent.tokens.at(token_kind::input) = 10;
    spent.tokens.at(token_kind::cached_read) = 4;
    spent.tokens.at(token_kind::cached_write) = 3;
    spent.tokens.at(token_kind::output) = 20;
    spent.tokens.at(token_kind::reasoning) = 5;
    spent.cost = 1'500'000;
    it.note(500ms, first, happened::ended{attempt_result::success, 200, 499ms, {}, {}, spent});
    it.account.first_token = 300ms;
    it.account.stream = true;
    const auto all = it.spans(510ms);
    REQUIRE(all.size() == 3);
    CHECK(count_spans(it.account) == 3);

    CHECK(all[0].id == 0x1111);
    CHECK(all[0].parent == 0xb7ad6b7169203331U);
    CHECK(all[0].parent_remote);
    CHECK(all[0].name == "POST llm");
    CHECK(all[0].is == span::kind::server);
    CHECK(all[0].ended == span::status::unset);
    CHECK(all[0].begin == began_ns);
    CHECK(all[0].end == began_ns + 510'000'000);
    CHECK(text(all[0].with, "http.response.status_code") == "200");
    CHECK(text(all[0].with, "url.path") == "/v1/chat/completions");
    CHECK(text(all[0].with, "evenkeel.outcome") == "ok");
    CHECK(text(all[0].with, "evenkeel.sampled_late") == "absent");

    CHECK(all[1].parent == all[0].id);
    CHECK_FALSE(all[1].parent_remote);
    CHECK(all[1].name == "chat gpt-x");
    CHECK(all[1].is == span::kind::client);
    CHECK(all[1].begin == began_ns + 1'000'000);
    CHECK(all[1].end == began_ns + 500'000'000);
    CHECK(text(all[1].with, "gen_ai.operation.name") == "chat");
    CHECK(text(all[1].with, "gen_ai.provider.name") == "openai");
    CHECK(text(all[1].with, "gen_ai.request.model") == "gpt-x");
    CHECK(text(all[1].with, "gen_ai.usage.input_tokens") == "17");
    CHECK(text(all[1].with, "gen_ai.usage.output_tokens") == "25");
    CHECK(text(all[1].with, "gen_ai.usage.cache_read.input_tokens") == "4");
    CHECK(text(all[1].with, "gen_ai.usage.cache_write.input_tokens") == "3");
    CHECK(text(all[1].with, "gen_ai.usage.cache_creation.input_tokens") == "3");
    CHECK(text(all[1].with, "gen_ai.usage.reasoning.output_tokens") == "5");
    CHECK(text(all[1].with, "evenkeel.cost") == "number");
    CHECK(names_of(all[1].events) == words{"evenkeel.first_token"});

    CHECK(all[2].parent == all[1].id);
    CHECK(all[2].is == span::kind::client);
    CHECK(text(all[2].with, "server.address") == "a.secret-host.example");
    CHECK(text(all[2].with, "http.request.resend_count") == "absent");
    CHECK(text(all[2].with, "evenkeel.attempt.result") == "success");
    CHECK(text(all[2].with, "evenkeel.usage.outcome") == "served");
    CHECK(all[2].links.empty());

    SUBCASE("by the names of 0.1") {
        const auto with = it.spans(510ms, genai_conventions::v0_1)[1].with;
        CHECK(text(with, "gen_ai.usage.cache_write.input_tokens") == "3");
        CHECK(text(with, "gen_ai.usage.cache_creation.input_tokens") == "absent");
        CHECK(text(with, "gen_ai.request.stream") == "true");
    }
    SUBCASE("by the names up to 1.41") {
        const auto with = it.spans(510ms, genai_conventions::v1_41)[1].with;
        CHECK(text(with, "gen_ai.usage.cache_write.input_tokens") == "absent");
        CHECK(text(with, "gen_ai.usage.cache_creation.input_tokens") == "3");
        CHECK(text(with, "gen_ai.usage.reasoning.output_tokens") == "absent");
        CHECK(text(with, "gen_ai.request.stream") == "absent");
    }
}

TEST_CASE("spans: a retry, a rescue and a hedge that won are siblings, with links to what they were beside") {
    request it;
    const auto first = it.launch(0ms, 0, attempt_kind::first, "first");
    it.note(100ms, first, happened::ended{attempt_result::server_error, 500, 100ms});
    const auto retry = it.launch(150ms, 0, attempt_kind::retry, "retry");
    const auto rescue = it.launch(1150ms, 1, attempt_kind::rescue, "rescue");
    const auto hedge = it.launch(1400ms, 1, attempt_kind::hedge, "hedge");
    it.note(1500ms, hedge, happened::committed{"first_meaningful"}, 1);
    it.note(1500ms, retry, happened::ended{attempt_result::cancelled, 0, 1350ms, "lost", 1350ms});
    it.note(1500ms, rescue, happened::ended{attempt_result::cancelled, 0, 350ms, "lost"}, 1);
    it.note(1800ms, hedge, happened::ended{attempt_result::success, 200, 400ms}, 1);
    it.account.service = request_service::hedged;
    const auto all = it.spans(1800ms);
    REQUIRE(all.size() == 6);
    CHECK(count_spans(it.account) == 6);
    for (std::size_t i = 2; i < all.size(); ++i) {
        CHECK(all[i].parent == all[1].id);
        CHECK(all[i].id != 0);
        CHECK(text(all[i].with, "evenkeel.attempt.number") == std::to_string(i - 1));
        CHECK(text(all[i].with, "http.request.resend_count") == (i == 2 ? "absent" : std::to_string(i - 2)));
    }
    CHECK(all[2].ended == span::status::error);
    CHECK(text(all[2].with, "error.type") == "500");
    CHECK(all[2].links.empty());
    CHECK(all[3].links.empty()); // the first was over
    REQUIRE(all[4].links.size() == 1);
    CHECK(all[4].links[0].to == trace_link{it.account.trace.trace_high, it.account.trace.trace_low, all[3].id});
    REQUIRE(all[5].links.size() == 2);
    CHECK(all[5].links[0].to.span == all[3].id);
    CHECK(all[5].links[1].to.span == all[4].id);
    // Who lost is no error.
    CHECK(all[3].ended == span::status::unset);
    CHECK(all[4].ended == span::status::unset);
    CHECK(text(all[3].with, "evenkeel.attempt.cause") == "lost");
    CHECK(text(all[5].with, "evenkeel.attempt.committed") == "true");
    CHECK(all[1].ended == span::status::unset);
    CHECK(text(all[1].with, "server.address") == "b.secret-host.example");
    std::set<std::uint64_t> ids;
    for (const span& one : all) ids.insert(one.id);
    CHECK(ids.size() == all.size());
}

TEST_CASE("spans: how a request ended") {
    request it;
    SUBCASE("an error of ours") {
        it.account.status = 504;
        it.account.outcome = request_outcome::proxy_error;
        it.account.proxy_error = "http_response_timeout";
        const auto one = it.launch(0ms, 0, attempt_kind::first, "first");
        it.note(2s, one, happened::ended{attempt_result::timeout, 0, 2s, "attempt_timeout"});
        const auto all = it.spans(2s);
        CHECK(all[0].ended == span::status::error);
        CHECK(text(all[0].with, "error.type") == "http_response_timeout");
        CHECK(all[1].ended == span::status::error);
        CHECK(text(all[2].with, "error.type") == "attempt_timeout");
    }
    SUBCASE("the caller's error: the proxy has served it, the inference has failed") {
        it.account.status = 400;
        it.account.outcome = request_outcome::upstream_error;
        const auto one = it.launch(0ms, 0, attempt_kind::first, "first");
        it.note(1s, one, happened::ended{attempt_result::caller_error, 400, 1s});
        const auto all = it.spans(1s);
        CHECK(all[0].ended == span::status::unset);
        CHECK(all[1].ended == span::status::error);
        CHECK(text(all[1].with, "error.type") == "400");
    }
    SUBCASE("cut in the middle") {
        it.account.outcome = request_outcome::truncated;
        const auto all = it.spans(1s);
        REQUIRE(all.size() == 1);
        CHECK(all[0].ended == span::status::error);
        CHECK(text(all[0].with, "error.type") == "truncated");
    }
    SUBCASE("its client left: nobody's error; what goes on is under way") {
        it.account.status = 0;
        it.account.outcome = request_outcome::client_cancelled;
        static_cast<void>(it.launch(0ms, 0, attempt_kind::first, "first"));
        const auto all = it.spans(1s);
        CHECK(all[0].ended == span::status::unset);
        CHECK(text(all[0].with, "evenkeel.departure") == "unanswered");
        CHECK(text(all[0].with, "http.response.status_code") == "absent");
        CHECK(text(all[2].with, "evenkeel.attempt.result") == "under_way");
        CHECK(all[2].end == all[0].end);
    }
    SUBCASE("refused before anything was sent") {
        it.account.status = 404;
        it.account.route = nullptr;
        it.account.reason = "no_route";
        it.account.outcome = request_outcome::rejected;
        it.account.method = "BREW";
        const auto all = it.spans(1ms);
        REQUIRE(all.size() == 1);
        CHECK(all[0].name == "_OTHER");
        CHECK(text(all[0].with, "evenkeel.reason") == "no_route");
    }
}

TEST_CASE("spans: waits and refusals are events, of the request or of the attempt that they are about") {
    request it;
    it.note(200ms, 0, happened::queued{200ms, true, true});
    const auto first = it.launch(200ms, 0, attempt_kind::first, "first");
    it.note(900ms, first, happened::overdue{});
    it.note(1s, first, happened::ended{attempt_result::reset, 0, 800ms, "connection_terminated"});
    it.note(1s, 0, happened::holding{retry_denial::circuit_open});
    it.note(3s, 0, happened::held{2s, true});
    const auto all = it.spans(4s);
    CHECK(names_of(all[0].events) == words{"evenkeel.admitted", "evenkeel.holding", "evenkeel.held"});
    CHECK(text(all[0].events[2].with, "evenkeel.waited_seconds") == "number");
    CHECK(all[0].events[2].at == began_ns + 3'000'000'000);
    CHECK(names_of(all[2].events) == words{"evenkeel.overdue"});
    CHECK(text(all[0].with, "evenkeel.held_seconds") == "number");
}

TEST_CASE("spans: what is no inference has no span of it; parts and followers say where they belong") {
    request it;
    SUBCASE("a list of models") {
        it.account.method = "GET";
        it.account.path = "/v1/models";
        it.account.model.clear();
        static_cast<void>(it.launch(0ms, 0, attempt_kind::first, "first"));
        const auto all = it.spans(1s);
        REQUIRE(all.size() == 2);
        CHECK(count_spans(it.account) == 2);
        CHECK(all[1].parent == all[0].id);
    }
    SUBCASE("embeddings") {
        it.account.path = "/v1/embeddings";
        static_cast<void>(it.launch(0ms, 0, attempt_kind::first, "first"));
        CHECK(it.spans(1s)[1].name == "embeddings gpt-x");
    }
    SUBCASE("Google's") {
        it.account.path = "/v1beta/models/gemini-x:generateContent";
        static_cast<void>(it.launch(0ms, 0, attempt_kind::first, "first"));
        const auto all = it.spans(1s);
        CHECK(all[1].name == "generate_content gpt-x");
        CHECK(text(all[1].with, "gen_ai.provider.name") == "gcp.gemini");
    }
    SUBCASE("a part of a fan-out") {
        const trace_context whole = sampled();
        it.account.trace = whole.child();
        it.account.part_of = it.settings->routes[1].get();
        const auto all = it.spans(1s);
        CHECK(all[0].is == span::kind::internal);
        CHECK(all[0].parent == whole.span);
        CHECK_FALSE(all[0].parent_remote);
        CHECK(all[0].id != whole.span);
        CHECK(text(all[0].with, "evenkeel.part_of") == "other");
    }
    SUBCASE("a follower") {
        it.account.coalesced = coalesce_role::follower;
        it.note(0ms, 0, happened::joined{coalesce_role::follower, {1, 2, 3}});
        const auto all = it.spans(1s);
        REQUIRE(all[0].links.size() == 1);
        CHECK(all[0].links[0].to == trace_link{1, 2, 3});
    }
    SUBCASE("one that was not drawn") {
        it.account.trace.flags = 0;
        CHECK(text(it.spans(1s)[0].with, "evenkeel.sampled_late") == "true");
    }
}

TEST_CASE("spans: as a collector is sent them") {
    request it;
    const auto first = it.launch(0ms, 0, attempt_kind::first, "first");
    it.note(100ms, first, happened::ended{attempt_result::server_error, 500, 100ms});
    static_cast<void>(it.launch(50ms, 1, attempt_kind::hedge, "hedge"));
    it.account.model = "a\"\\\n\xff\x01";
    static_cast<void>(it.spans(1s));
    config::tracing_options how;
    how.service_name = "gate";
    how.resource = {{"service.name", "no"}, {"host.name", "h"}};
    otlp_batch batch(how, "1.2", "i-1");
    batch.add({keep(it.account), it.account.trace});
    CHECK(batch.spans() == 4);
    const auto read = boost::json::parse(std::move(batch).finish());
    const auto& resource = read.at("resourceSpans").at(0).at("resource").at("attributes").as_array();
    REQUIRE(resource.size() == 4);
    CHECK(resource[0].at("key") == "service.name");
    CHECK(resource[0].at("value").at("stringValue") == "gate");
    CHECK(resource[1].at("key") == "host.name");
    CHECK(resource[3].at("value").at("stringValue") == "i-1");
    const auto& scope = read.at("resourceSpans").at(0).at("scopeSpans").at(0);
    CHECK(scope.at("scope").at("name") == "evenkeel");
    const auto& spans = scope.at("spans").as_array();
    REQUIRE(spans.size() == 4);
    const auto& server = spans[0].as_object();
    CHECK(server.at("traceId") == "0af7651916cd43dd8448eb211c80319c");
    CHECK(server.at("spanId") == "0000000000001111");
    CHECK(server.at("parentSpanId") == "b7ad6b7169203331");
    CHECK(server.at("kind") == 2);
    CHECK(server.at("flags") == 0x301);
    CHECK(server.at("startTimeUnixNano").as_string() == std::to_string(began_ns));
    CHECK(spans[1].at("flags") == 0x101);
    CHECK(spans[2].at("status").at("code") == 2);
    CHECK(spans[3].as_object().if_contains("status") == nullptr);
    CHECK(spans[3].at("links").at(0).at("traceId") == "0af7651916cd43dd8448eb211c80319c");
    CHECK(spans[3].at("links").at(0).at("spanId") == spans[2].at("spanId"));
    for (const auto& one : server.at("attributes").as_array()) {
        if (one.at("key") == "http.response.status_code") CHECK(one.at("value").at("intValue") == "200");
    }
}

TEST_CASE("spans: what a collector answers") {
    CHECK(rejected_spans("{}") == 0);
    CHECK(rejected_spans("") == 0);
    CHECK(rejected_spans("<html>") == 0);
    CHECK(rejected_spans(R"({"partialSuccess":{}})") == 0);
    CHECK(rejected_spans(R"({"partialSuccess":{"rejectedSpans":"7","errorMessage":"x"}})") == 7);
    CHECK(rejected_spans(R"({"partialSuccess":{"rejectedSpans":7}})") == 7);
    CHECK(rejected_spans(R"({"partialSuccess":{"rejectedSpans":-7}})") == 0);
    CHECK(rejected_spans(R"({"partialSuccess":{"rejectedSpans":"many"}})") == 0);
}

} // namespace evenkeel::test::spans_test
