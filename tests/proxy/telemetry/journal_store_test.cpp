// What is kept of requests that are over, within which bounds, and what is told of them.

#include "proxy/telemetry/journal_store.hpp"

#include "proxy/telemetry/request_story.hpp"
#include "tests/proxy/telemetry/sample_config.hpp"

#include <boost/json.hpp>
#include <doctest/doctest.h>

#include <string>
#include <thread>
#include <vector>

namespace evenkeel::test::journal_store_test {

using namespace evenkeel::telemetry;
using namespace std::chrono_literals;

namespace {
constexpr steady_time start{1000s};

std::shared_ptr<config::settings> with(config::journal_options options) {
    auto settings = sample_settings({{"phase1", "deepseek"}, {"phase2", "backup"}});
    settings->journal = options;
    return settings;
}

// A request as disturbed as they come: its journal is full.
request_account troubled(const config::settings& of, std::string_view id, steady_time now, int entries = 20) {
    request_account account{.route = of.routes[0].get(),
                            .upstream = of.upstreams[0].get(),
                            .method = "POST",
                            .path = "/v1/chat/completions",
                            .client = "127.0.0.1",
                            .request_id = id,
                            .model = "deepseek-chat-with-a-long-name",
                            .status = 503,
                            .outcome = request_outcome::upstream_error,
                            .service = request_service::error,
                            .total = 5s,
                            .at = now};
    for (int i = 0; i < entries; ++i) {
        const auto& where = *of.upstreams[static_cast<std::size_t>(i % 2)];
        const auto which =
            account.note(now - 5s, {.upstream = &where}, happened::launched{attempt_kind::retry, "retry"});
        account.note(now - 4s, {.upstream = &where, .attempt = which},
                     happened::ended{attempt_result::server_error, 503, 1s});
    }
    return account;
}
request_account calm(const config::settings& of, std::string_view id, steady_time now) {
    return {.route = of.routes[1].get(),
            .upstream = of.upstreams[1].get(),
            .method = "POST",
            .path = "/v1/x",
            .request_id = id,
            .status = 200,
            .effort = {.attempts = 1},
            .total = 1s,
            .at = now};
}
} // namespace

TEST_CASE("journal store: memory and number stay within their bounds, however many disturbed requests there were") {
#ifdef __OPTIMIZE__
    constexpr int requests = 1'000'000;
#else
    constexpr int requests = 100'000;
#endif
    journal_store store;
    const auto settings = with({.keep = 1000, .max_bytes = 1 << 20});
    store.configuration_loaded(settings);
    std::size_t most = 0;
    steady_time now = start;
    for (int i = 0; i < requests; ++i) {
        now += 10ms;
        const std::string id = "request-with-a-long-name-" + std::to_string(i);
        store.request_finished(troubled(*settings, id, now, i % 24));
        store.request_finished(calm(*settings, id, now));
        most = std::max(most, store.summary().bytes);
        if (i % 1000 == 0) CHECK(store.summary().requests <= 1000);
    }
    CHECK(most <= 1 << 20);
    const auto kept = store.summary();
    CHECK(kept.requests > 100);
    CHECK(kept.evicted > requests - 1000);
    CHECK(store.list({.limit = 1000}).size() == kept.requests);
    CHECK(store.list({}).front()->id == "request-with-a-long-name-" + std::to_string(requests - 1));
}

TEST_CASE("journal store: what is counted as memory is what it takes") {
    const auto settings = with({});
    const kept_request kept = keep(troubled(*settings, "r", start, 20));
    std::size_t apart = kept.journal.capacity() * sizeof(kept_request::happening);
    CHECK(kept.journal.size() == 40);
    CHECK(kept.bytes() >= sizeof kept + apart + kept.model.size() + kept.path.size());
    CHECK(kept.bytes() < sizeof kept + apart + 1000);
}

TEST_CASE("journal store: of the undisturbed one a second, in a quarter of the room; they push out none that failed") {
    journal_store store;
    const auto settings = with({.keep = 100});
    store.configuration_loaded(settings);
    for (int i = 0; i < 50; ++i) store.request_finished(troubled(*settings, "bad" + std::to_string(i), start, 1));
    steady_time now = start;
    for (int i = 0; i < 10'000; ++i) store.request_finished(calm(*settings, "good" + std::to_string(i), now += 100ms));
    CHECK(store.list({.disturbed_only = true, .limit = 1000}).size() == 50);
    CHECK(store.list({.limit = 1000}).size() == 75);
    CHECK(store.find("good9990").size() + store.find("good9991").size() == 1);

    // One a second and fewer are all there.
    journal_store quiet;
    quiet.configuration_loaded(settings);
    for (int i = 0; i < 20; ++i) quiet.request_finished(calm(*settings, "q" + std::to_string(i), start + i * 1s));
    CHECK(quiet.list({}).size() == 20);
}

TEST_CASE("journal store: filters, newest first; a smaller bound takes effect at once, off forgets") {
    journal_store store;
    store.request_finished(calm(*with({}), "before any configuration", start));
    CHECK(store.list({}).empty());
    auto settings = with({});
    store.configuration_loaded(settings);
    for (int i = 0; i < 10; ++i) {
        store.request_finished(troubled(*settings, "bad" + std::to_string(i), start + i * 2s, 1));
        store.request_finished(calm(*settings, "good" + std::to_string(i), start + i * 2s));
    }
    CHECK(store.list({.limit = 3}).at(0)->id == "good9");
    CHECK(store.list({.limit = 3}).at(1)->id == "bad9");
    CHECK(store.list({.limit = 3}).size() == 3);
    CHECK(store.list({.route = "phase2"}).size() == 10);
    CHECK(store.list({.upstream = "deepseek"}).size() == 10);
    CHECK(store.list({.model = "deepseek-chat-with-a-long-name"}).size() == 10);
    CHECK(store.list({.outcome = request_ending::upstream_error}).size() == 10);
    CHECK(store.list({.outcome = request_ending::truncated}).empty());
    CHECK(store.find("bad3").size() == 1);
    CHECK(store.find("nobody").empty());

    // The configuration of the requests that are kept goes; what is kept of them stays.
    settings.reset();
    store.configuration_loaded(with({.keep = 4}));
    CHECK(store.list({}).size() == 4);
    CHECK(store.list({}).at(1)->upstream == "deepseek");
    CHECK(story_text(*store.find("bad9").at(0)).find("deepseek") != std::string::npos);
    store.configuration_loaded(with({.on = false}));
    CHECK(store.list({}).empty());
    CHECK(store.summary().bytes == 0);
}

TEST_CASE("journal store: of a time") {
    journal_store store;
    const auto settings = with({});
    store.configuration_loaded(settings);
    request_account dated = troubled(*settings, "dated", start, 1);
    dated.started = wall_time{} + 100s;
    store.request_finished(dated);
    CHECK(store.list({.since = wall_time{} + 100s}).size() == 1);
    CHECK(store.list({.since = wall_time{} + 101s}).empty());
    CHECK(store.list({.since = wall_time{} + 1s, .until = wall_time{} + 101s}).size() == 1);
    CHECK(store.list({.since = wall_time{} + 1s, .until = wall_time{} + 100s}).empty());
}

TEST_CASE("journal store: workers write while somebody reads") {
    journal_store store;
    const auto settings = with({.keep = 50});
    store.configuration_loaded(settings);
    std::vector<std::thread> writers;
    for (int w = 0; w < 4; ++w)
        writers.emplace_back([&, w] {
            for (int i = 0; i < 2000; ++i)
                store.request_finished(troubled(*settings, std::to_string(w * 2000 + i), start + i * 1ms, 3));
        });
    for (int i = 0; i < 200; ++i) {
        for (const auto& each : store.list({})) CHECK(each->effort.attempts == 3);
        CHECK(store.summary().requests <= 50);
    }
    for (auto& each : writers) each.join();
    CHECK(store.summary().requests == 50);
    CHECK(store.summary().evicted == 8000 - 50);
}

TEST_CASE("stories: every event has a sentence, within 80 columns and in plain characters") {
    const auto settings = with({});
    const config::upstream& a = *settings->upstreams[0];
    std::vector<any_happening> all{happened::queued{1s, true, true, bulkhead_refusal::none, true},
                                   happened::queued{1s, true, false, bulkhead_refusal::none, false},
                                   happened::joined{coalesce_role::leader},
                                   happened::joined{coalesce_role::follower},
                                   happened::overdue{},
                                   happened::committed{"first_answer"},
                                   happened::committed{"last_answer"},
                                   happened::holding{retry_denial::circuit_open},
                                   happened::holding{retry_denial::overload},
                                   happened::held{2s, true},
                                   happened::held{2s, false},
                                   happened::gave_up{"server_error", retry_denial::budget},
                                   happened::gave_up{"deadline", retry_denial::none},
                                   happened::gave_up{"client_gone", retry_denial::none},
                                   happened::unread{},
                                   happened::ladder_exhausted{}};
    for (int i = 1; i < bulkhead_refusal_count; ++i)
        all.push_back(happened::queued{1s, i == 3, false, static_cast<bulkhead_refusal>(i), false});
    for (int i = 0; i < coalesce_detachment_count; ++i)
        all.push_back(happened::detached{static_cast<coalesce_detachment>(i)});
    for (int i = 0; i < attempt_kind_count; ++i)
        all.push_back(happened::launched{static_cast<attempt_kind>(i), "first", i % 2 == 0});
    for (int i = 0; i < retry_denial_count; ++i) {
        all.push_back(happened::passed_over{attempt_purpose::first, static_cast<retry_denial>(i)});
        all.push_back(happened::not_followed{static_cast<retry_denial>(i)});
    }
    for (int i = 0; i < hedge_refusal_count; ++i) all.push_back(happened::not_hedged{static_cast<hedge_refusal>(i)});
    for (int i = 0; i < rescue_refusal_count; ++i) all.push_back(happened::not_rescued{static_cast<rescue_refusal>(i)});
    for (int i = 0; i < attempt_result_count; ++i) {
        for (const char* why : {"", "client_gone", "lost", "attempt_timeout", "deadline", "connection_refused", "odd"})
            all.push_back(happened::ended{static_cast<attempt_result>(i), 200, 1s, why, 3s});
    }
    for (int i = 0; i < chaos_fault_count; ++i) all.push_back(happened::faulted{static_cast<chaos_fault>(i)});
    for (int i = 0; i < upcast_result_count; ++i) all.push_back(happened::upcast{static_cast<upcast_result>(i)});
    for (int i = 0; i < stream_resumption_count; ++i)
        all.push_back(happened::resumed{static_cast<stream_resumption>(i)});
    for (int i = 0; i < fallback_skip_count; ++i)
        all.push_back(happened::step_skipped{fallback_kind::route, static_cast<fallback_skip>(i)});
    for (int i = 0; i < fallback_kind_count; ++i) all.push_back(happened::step_taken{static_cast<fallback_kind>(i)});
    for (const any_happening& one : all) {
        request_account account = calm(*settings, "r\x1b[31m", start);
        account.path = "/v1/\n\xff";
        account.journal.add(start, &a, 1, one);
        const kept_request kept = keep(account);
        const auto told = story_of(kept);
        const auto words = words_of(one);
        CAPTURE(words.name);
        CAPTURE(words.why);
        REQUIRE(told.size() == 1);
        CHECK(told[0].sentence.ends_with("."));
        CHECK(told[0].sentence.find(" .") == std::string::npos);
        CHECK(told[0].sentence.find(": .") == std::string::npos);
        const std::string text = story_text(kept);
        std::size_t begin = 0;
        for (std::size_t end = text.find('\n'); end != std::string::npos; begin = end + 1, end = text.find('\n', begin))
            CHECK(end - begin <= 80);
        for (const char c : text) CHECK((c == '\n' || (c >= ' ' && c <= '~')));
        CHECK(boost::json::parse(story_json(kept)).at("journal").as_array().size() == 1);
        CHECK(boost::json::parse(summary_json(kept)).at("id") == "r\x1b[31m");
    }
}

TEST_CASE("stories: times do not go back, though an attempt is timed a moment before what made it end") {
    const auto settings = with({});
    const config::upstream& a = *settings->upstreams[0];
    request_account account = calm(*settings, "r", start);
    account.journal.add(start + 3ms, &a, 1, happened::committed{"good_answer"});
    account.journal.add(start + 2ms, &a, 1, happened::ended{attempt_result::success, 200, 2ms, "", {}});
    const auto told = story_of(keep(account));
    REQUIRE(told.size() == 2);
    CHECK(told[0].after == 1003ms); // it came a second before its end
    CHECK(told[1].after == 1003ms);
}

TEST_CASE("stories: every end of a request has a conclusion") {
    const auto settings = with({});
    for (int i = 0; i < request_outcome_count; ++i) {
        for (int j = 0; j < request_service_count; ++j) {
            request_account account = calm(*settings, "r", start);
            account.outcome = static_cast<request_outcome>(i);
            account.service = static_cast<request_service>(j);
            account.silent = 2s;
            const std::string said = conclusion_of(keep(account));
            CHECK(said.ends_with("."));
            CHECK(said.find("  ") == std::string::npos);
        }
    }
}

TEST_CASE("tries: each of a kept request with where, when, how it ended, and what it took") {
    const auto settings = with({});
    request_account account = calm(*settings, "r", start);
    account.total = 3s;
    const auto &a = *settings->upstreams[0], &b = *settings->upstreams[1];
    const auto first = account.note(start - 3s, {.upstream = &a}, happened::launched{attempt_kind::first, "first"});
    happened::ended lost{attempt_result::timeout, 0, 2s, "attempt_timeout", 1500ms};
    account.note(start - 1s, {.upstream = &a, .attempt = first}, lost);
    const auto second = account.note(start - 1s, {.upstream = &b}, happened::launched{attempt_kind::retry, "failover"});
    account.note(start - 500ms, {.upstream = &b, .attempt = second}, happened::committed{"good"});
    happened::ended good{attempt_result::success, 200, 900ms};
    good.spent.tokens.at(token_kind::input) = 100;
    good.spent.tokens.at(token_kind::output) = 20;
    good.spent.became = spent_on::served;
    good.spent.cost = 1'500'000;
    account.note(start - 100ms, {.upstream = &b, .attempt = second}, good);
    account.note(start - 50ms, {.upstream = &a}, happened::launched{attempt_kind::hedge, "hedge"}); // no end is told

    const kept_request kept = keep(account);
    for (const std::string& text : {summary_json(kept, true), story_json(kept)}) {
        const auto tries = boost::json::parse(text).at("tries");
        REQUIRE(tries.as_array().size() == 3);
        CHECK(tries.at(0).at("upstream") == "deepseek");
        CHECK(tries.at(0).at("at_s").to_number<double>() == doctest::Approx(0));
        CHECK(tries.at(0).at("duration_s").to_number<double>() == doctest::Approx(2));
        CHECK(tries.at(0).at("end") == "timeout");
        CHECK(tries.at(0).at("cause") == "attempt_timeout");
        CHECK(tries.at(0).at("silent_s").to_number<double>() == doctest::Approx(1.5));
        CHECK_FALSE(tries.at(0).as_object().contains("committed"));
        CHECK(tries.at(1).at("why") == "failover");
        CHECK(tries.at(1).at("status") == 200);
        CHECK(tries.at(1).at("committed") == true);
        CHECK(tries.at(1).at("became") == "served");
        CHECK(tries.at(1).at("tokens") == 120);
        CHECK(tries.at(1).at("cost").to_number<double>() == doctest::Approx(0.0015));
        CHECK(tries.at(2).at("end") == "under_way");
        CHECK(tries.at(2).at("duration_s").to_number<double>() == doctest::Approx(0.05));
    }
    CHECK(summary_json(kept).find("tries") == std::string::npos);
    CHECK(boost::json::parse(summary_json(keep(calm(*settings, "r", start)), true)).at("tries").as_array().empty());
}

} // namespace evenkeel::test::journal_store_test
