// What the journal of a request says of it, on the whole path in virtual time: the plan's actions with their reasons,
// how attempts ended, what was waited for. (That events, accounts and journals agree is checked in every flow test by
// the fixture's listener.)

#include "tests/proxy/request/flow_fixture.hpp"

#include "proxy/coalesce/shared_flights.hpp"

#include <algorithm>
#include <string>

namespace evenkeel::test::journal_flow_test {

namespace {
struct told : retrying {
    explicit told(bool two = false) : retrying(two) { route->retry.max_retries = 2; }
    // The journal of one request, `within` after it came.
    std::string ask(const std::string& bytes, duration within = 0s) {
        connect();
        send(bytes);
        pass(within);
        return seen.journal;
    }
};
} // namespace

TEST_CASE("journal: a request that meets nothing") {
    told f;
    f.upstream.next(answering(ok_json));
    CHECK(f.ask(post) == "+0.000s launched first attempt=1 upstream=provider; "
                         "+0.000s committed first_answer attempt=1 upstream=provider; "
                         "+0.000s success attempt=1 upstream=provider status=200");
    f.expect_nothing_left();
}

TEST_CASE("journal: why another attempt was made, where, and why no more were") {
    told f(true);
    f.upstream.next(answering(status_answer(500)));
    f.upstream.next({.steps = {play::request{2}, play::reset{}}});
    f.upstream.next(answering(status_answer(503)));
    const std::string journal = f.ask(post, 2s);
    CAPTURE(journal);
    CHECK(has(journal, "+0.000s server_error attempt=1 upstream=provider status=500"));
    CHECK(has(journal, "+0.000s launched failover attempt=2 upstream=backup"));
    CHECK(has(journal, "+0.000s reset connection_terminated attempt=2 upstream=backup"));
    CHECK(has(journal, "+1.000s launched retry attempt=3"));
    CHECK(has(journal, "committed last_answer attempt=3"));
    CHECK(journal.ends_with("gave_up server_error"));
    f.expect_nothing_left();
}

TEST_CASE("journal: a hedge that won, and who lost to it") {
    told f(true);
    f.route->hedge.on = true;
    f.route->hedge.delay = hedge_options::delay_kind::fixed;
    f.route->hedge.fixed = 1s;
    f.upstream.next({.steps = {play::request{2}, play::silence{}}});
    f.upstream.next(answering(ok_json));
    const std::string journal = f.ask(post, 1s);
    CAPTURE(journal);
    CHECK(has(journal, "+1.000s launched hedge attempt=2 upstream=backup"));
    CHECK(has(journal, "cancelled overtaken attempt=1 upstream=provider"));
    CHECK(has(journal, "committed first_answer attempt=2 upstream=backup"));
    f.expect_nothing_left();
}

TEST_CASE("journal: a hedge that is not launched says why, once") {
    told f(true);
    f.route->timeout.total = 1s + 30ms; // no attempt answers in 30 ms
    f.route->timeout.rescue.on = false;
    f.route->hedge.on = true;
    f.route->hedge.delay = hedge_options::delay_kind::fixed;
    f.route->hedge.fixed = 1s;
    f.upstream.next({.steps = {play::request{2}, play::pause{20s}, play::send{ok_json}}});
    const std::string journal = f.ask(post, 21s);
    CAPTURE(journal);
    CHECK(has(journal, "not_hedged deadline upstream=backup"));
    CHECK(journal.find("not_hedged") == journal.rfind("not_hedged"));
    f.expect_nothing_left();
}

TEST_CASE("journal: a stale connection, and what a client that leaves leaves behind") {
    told f;
    exchange_script stale{.steps = {play::request{2}, play::reset{}}};
    stale.reused = true;
    f.upstream.next(stale);
    f.upstream.next({.steps = {play::request{2}, play::silence{}}});
    f.connect();
    f.send(post);
    f.pass(3s);
    f.client.leave();
    f.pass(1s);
    CAPTURE(f.seen.journal);
    CHECK(has(f.seen.journal, "+0.000s launched stale_connection attempt=2 upstream=provider"));
    CHECK(has(f.seen.journal, "+3.000s cancelled client_gone attempt=2 upstream=provider"));
    f.expect_nothing_left();
}

TEST_CASE("journal: a circuit that is open is waited for, and what was waited for is said") {
    told f;
    f.route->retry.max_retries = 0;
    f.route->circuit_breaker.on = true;
    f.route->circuit_breaker.failure_ratio = 0;
    f.route->circuit_breaker.min_calls = 3;
    f.route->circuit_breaker.success_threshold = 1;
    f.route->circuit_breaker.ramp = 0s;
    for (int i = 0; i < 3; ++i) f.upstream.next(answering(status_answer(500)));
    f.upstream.always(answering(ok_json));
    f.connect();
    for (int i = 0; i < 3; ++i) f.send(post);
    f.client.forget_received();

    f.send(post);
    f.pass(2min);

    CHECK(has(f.client.received(), "200 OK"));
    const std::string& journal = f.seen.journal;
    CAPTURE(journal);
    CHECK(has(journal, "+0.000s passed_over circuit_open upstream=provider"));
    CHECK(has(journal, "+0.000s holding circuit_open"));
    CHECK(has(journal, "held went_on; "));
    CHECK(has(journal, "launched first attempt=1 upstream=provider"));
    CHECK(journal.find("passed_over") == journal.rfind("passed_over")); // asked again and again: one entry
    f.expect_nothing_left();
}

TEST_CASE("journal: the steps of a ladder, those that were passed over too") {
    told f;
    f.route->retry.max_retries = 0;
    config::fallback_step kept{.is = fallback_kind::last_good};
    config::fallback_step canned{.is = fallback_kind::respond};
    canned.respond = {200, "application/json", std::make_shared<const std::string>("{}")};
    f.route->fallback = {kept, canned};
    f.upstream.next(answering(status_answer(500)));
    const std::string journal = f.ask(post);
    CAPTURE(journal);
    CHECK(has(journal, "gave_up"));
    CHECK(has(journal, "fallback_skipped no_entry; "));
    CHECK(journal.ends_with("fallback respond"));
    f.expect_nothing_left();
}

TEST_CASE("journal: the leader of a shared flight has all of it, whoever follows has that he followed") {
    told f;
    request::shared_flights flights;
    f.services.flights = &flights;
    f.route->coalesce = coalesce_mode::always;
    f.upstream.next(answering(status_answer(500)));
    f.upstream.next(answering(ok_json));
    const std::string journal = f.ask(post, 1s);
    CAPTURE(journal);
    CHECK(journal.starts_with("+0.000s joined leader; "));
    CHECK(has(journal, "server_error attempt=1 upstream=provider status=500"));
    CHECK(has(journal, "+1.000s launched retry attempt=2 upstream=provider"));
    CHECK(has(journal, "committed first_answer attempt=2 upstream=provider"));

    f.upstream.next({.steps = {play::request{2}, play::pause{1s}, play::send{ok_json}}});
    scripted_client second(f.loop);
    f.send(post);
    f.loop.nursery().spawn(
        request::client_connection::run(std::make_unique<request::client_connection>(f.context, second.connect())));
    second.send(post);
    f.pass(0s);
    f.pass(1s);
    CHECK(has(second.received(), "200 OK"));
    second.leave();
    f.expect_nothing_left();
}

} // namespace evenkeel::test::journal_flow_test
