// The attempts of a request as they are told: label, JSON, and where the time went.

#include "proxy/events/tries.hpp"

#include "proxy/events/disturbed.hpp"
#include "proxy/events/request_account.hpp"

#include <boost/json/parse.hpp>
#include <doctest/doctest.h>

#include <string>

namespace evenkeel::test::tries_test {

using namespace evenkeel::telemetry;
using namespace std::chrono_literals;

namespace {
constexpr steady_time start{100s};

struct story {
    config::upstream a, b;
    request_account account;
    story() {
        a.name = "a";
        b.name = "2nd";
        b.endpoint.of_several = true;
        b.endpoint.authority = "host.example:443";
    }
    attempt_number launch(duration at, const config::upstream& where, attempt_kind kind, std::string_view why,
                          lane_index key = no_lane) {
        return account.note(start + at, {.upstream = &where}, happened::launched{kind, why, false, 0, key});
    }
    void end(duration at, const config::upstream& where, attempt_number which, happened::ended how) {
        account.note(start + at, {.upstream = &where, .attempt = which}, how);
    }
    void commit(duration at, const config::upstream& where, attempt_number which) {
        account.note(start + at, {.upstream = &where, .attempt = which}, happened::committed{"first_answer"});
    }
};
} // namespace

TEST_CASE("tries: which went where, why, how it ended, and how long it took") {
    story s;
    CHECK(tries_label(s.account.journal, start).empty());
    CHECK(tries_json(s.account.journal, start, start).empty());
    const auto first = s.launch(0s, s.a, attempt_kind::first, "first");
    s.end(2500ms, s.a, first, {attempt_result::server_error, 503, 2500ms});
    const auto second = s.launch(2500ms, s.b, attempt_kind::retry, "failover");
    const auto third = s.launch(3s, s.a, attempt_kind::rescue, "rescue");
    s.commit(4s, s.a, third);
    s.end(4s, s.b, second, {attempt_result::cancelled, 0, 1500ms, "overtaken", 1s});

    CHECK(tries_label(s.account.journal, start + 5s) ==
          "a;kind=first;end=server_error;status=503;s=2.500, "
          "\"2nd\";kind=retry;why=failover;end=cancelled;cause=overtaken;s=1.500, "
          "a;kind=rescue;end=answering;s=2.000");
    const auto told = boost::json::parse(tries_json(s.account.journal, start, start + 5s)).as_array();
    REQUIRE(told.size() == 3);
    CHECK(told.at(0) == boost::json::parse(R"({"upstream":"a","kind":"first","why":"first","end":"server_error",)"
                                           R"("status":503,"at_s":0.0,"duration_s":2.5})"));
    CHECK(told.at(1) == boost::json::parse(R"({"upstream":"2nd","endpoint":"host.example:443","kind":"retry",)"
                                           R"("why":"failover","end":"cancelled","cause":"overtaken","at_s":2.5,)"
                                           R"("duration_s":1.5,"silent_s":1.0})"));
    CHECK(told.at(2).at("end") == "answering");
}

TEST_CASE("tries: which of several keys, by its name") {
    story s;
    s.a.credentials = {{"team", {{"authorization", "Bearer sk-CANARY"}}}, {"spare", {}}};
    s.b.credentials = {{"3rd", {}}};
    s.launch(0s, s.a, attempt_kind::first, "first", 1);
    s.launch(0s, s.b, attempt_kind::first, "first", 0);
    s.launch(0s, s.a, attempt_kind::first, "first");
    CHECK(tries_label(s.account.journal, start) == "a/spare;kind=first;end=under_way;s=0.000, "
                                                   "\"2nd/3rd\";kind=first;end=under_way;s=0.000, "
                                                   "a;kind=first;end=under_way;s=0.000");
    const std::string json = tries_json(s.account.journal, start, start);
    CHECK(boost::json::parse(json).at(0).at("credential") == "spare");
    CHECK(boost::json::parse(json).at(2).as_object().if_contains("credential") == nullptr);
    CHECK(json.find("CANARY") == std::string::npos);
    CHECK(text_of(s.account.journal, start)
              .find("launched first attempt=2 upstream=2nd endpoint=host.example:443 "
                    "credential=3rd") != std::string::npos);
}

TEST_CASE("tries: of very many the first and the last are told, within a bound that holds for the longest names") {
    story s;
    s.b.name = std::string(64, 'x');
    s.b.credentials = {{std::string(64, 'k'), {}}};
    s.b.endpoint.authority = std::string(300, 'h');
    for (int i = 0; i < 11; ++i) {
        const auto which = s.launch(i * 1s, s.b, attempt_kind::stale_retry, "stale_connection", 0);
        s.end(
            i * 1s, s.b, which,
            {attempt_result::connect_failure, 503, duration::max(), "http_response_transfer_coding", duration::max()});
    }
    const std::string json = tries_json(s.account.journal, start, start + 20s);
    CHECK(json.size() <= max_tries_json);
    const auto told = boost::json::parse(json).as_array();
    REQUIRE(told.size() == most_tries_told);
    CHECK(told.at(3).at("at_s") == 3.0);
    CHECK(told.at(4).at("at_s") == 7.0);
    CHECK(told.at(4).at("left_out") == 3);
    const std::string label = tries_label(s.account.journal, start);
    CHECK(label.find(";after_others") != std::string::npos);
    CHECK(label.find(";after_others") == label.rfind(";after_others"));
    CHECK(label.find("hhh") == std::string::npos); // a host is not for clients
}

TEST_CASE("time: our own, waiting, lost") {
    story s;
    s.account.effort.queued = 1s;
    const auto first = s.launch(1s + 2ms, s.a, attempt_kind::first, "first");
    s.end(3s, s.a, first, {attempt_result::timeout, 0, 2s - 2ms});
    s.account.note(start + 4s, {}, happened::held{500ms, true}); // after a pause of half a second
    const auto second = s.launch(4s, s.a, attempt_kind::retry, "retry");
    static_cast<void>(second);
    const auto hedge = s.launch(5s, s.b, attempt_kind::hedge, "hedge");
    static_cast<void>(hedge);
    s.account.split_time(start, start + 5s, start + 6s, start + 6s + 1ms);
    CHECK(s.account.lost == (2s - 2ms) + 1s);
    CHECK(s.account.paused == 500ms);
    CHECK(s.account.overhead == 3ms);
    CHECK(s.account.effort.held == 500ms);

    SUBCASE("where nothing answered, all attempts were in vain") {
        s.account.split_time(start, {}, {}, start + 7s);
        CHECK(s.account.lost == (2s - 2ms) + 3s);
        CHECK(s.account.paused == 500ms);
        CHECK(s.account.overhead == 2ms);
    }
}

TEST_CASE("one attempt costs no look at the journal, and no time is lost") {
    request_account account;
    account.effort = {.attempts = 1, .uploading = 3s};
    account.split_time(start, start + 3s + 40us, start + 5s, start + 5s + 10us);
    CHECK(account.lost + account.paused == duration::zero());
    CHECK(account.overhead == 50us);
}

TEST_CASE("a departure names the attempt that had moved last") {
    story s;
    s.account.outcome = request_outcome::client_cancelled;
    CHECK(s.account.departed() == departure::before_attempt);
    s.account.note_departure();
    CHECK(s.account.upstream == nullptr);
    const auto first = s.launch(0s, s.a, attempt_kind::first, "first");
    const auto second = s.launch(1s, s.b, attempt_kind::rescue, "rescue");
    s.end(9s, s.a, first, {attempt_result::cancelled, 0, 9s, "client_gone", 9s});
    s.end(9s, s.b, second, {attempt_result::cancelled, 0, 8s, "client_gone", 2s});
    s.account.note_departure();
    CHECK(s.account.upstream == &s.b);
    CHECK(s.account.silent == 2s);
    CHECK(s.account.departed() == departure::unanswered);
    s.account.status = 200;
    CHECK(s.account.departed() == departure::answering);
}

TEST_CASE("the words for how a request ended are one list") {
    using out = request_outcome;
    using how = request_service;
    CHECK(to_string(ending_of(out::ok, how::rerouted)) == "rerouted");
    CHECK(to_string(ending_of(out::ok, how::hedged)) == "hedged");
    CHECK(to_string(ending_of(out::truncated, how::retried)) == "truncated");
    CHECK(to_string(ending_of(out::upstream_error, how::error)) == "upstream_error");
    for (int i = 0; i < request_outcome_count; ++i) {
        for (int j = 0; j < request_service_count; ++j)
            CHECK(static_cast<int>(ending_of(static_cast<out>(i), static_cast<how>(j))) < request_ending_count);
    }
}

} // namespace evenkeel::test::tries_test
