// What attempts took, what became of it and what it cost, on the whole path of a request in virtual time.

#include "tests/proxy/request/bill_fixture.hpp"
#include "tests/proxy/request/coalesce_fixture.hpp"

#include <string>
#include <vector>

namespace evenkeel::test::bill_flow_test {

namespace {

const std::string question = R"({"model":"m","messages":[{"role":"user","content":"hello"}]})";
const std::string stream_question = R"({"model":"m","stream":true,"messages":[{"role":"user","content":"hello"}]})";

std::string json_answer(const std::string& body) {
    return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) +
           "\r\n\r\n" + body;
}
const std::string counts = R"("usage":{"prompt_tokens":19,"completion_tokens":10,"total_tokens":29,)"
                           R"("prompt_tokens_details":{"cached_tokens":8}})";
const std::string told =
    json_answer(R"({"choices":[{"message":{"content":"hello you"},"finish_reason":"stop"}],)" + counts + "}");
const std::string untold = json_answer(R"({"choices":[{"message":{"content":"hello you"},"finish_reason":"stop"}]})");
const std::string usage_event = R"(data: {"choices":[],)" + counts + "}\n\n";
const token_count all_told{.of = {11, 8, 0, 10, 0}};

std::uint32_t tokens_of(const std::string& body) { return static_cast<std::uint32_t>((body.size() + 3) / 4); }
token_count guessed(const std::string& body, std::uint32_t output) {
    return {.of = {tokens_of(body), 0, 0, output, 0}, .input_estimated = true, .output_estimated = true};
}
exchange_script plays(std::vector<play_step> steps) {
    exchange_script script{.steps = {play::whole{}}};
    for (auto& step : steps) script.steps.push_back(std::move(step));
    return script;
}
exchange_script gives(std::string bytes, duration after = 0s) {
    return plays({play::pause{after}, play::send{std::move(bytes)}});
}
std::string stream_of(const std::string& events) { return stream_head + chunk(events) + "0\r\n\r\n"; }

void check(const telemetry::spending& found, spent_on became, const token_count& tokens) {
    CHECK(to_string(found.became) == to_string(became));
    CHECK(found.tokens == tokens);
}
std::string body_of(const scripted_client& client) { return read_response(client.received()).body; }

} // namespace

TEST_CASE("an answer tells what it took, whether it is held or passed on, in one piece or in many") {
    for (const int retries : {0, 3}) {
        for (const bool pieces : {false, true}) {
            for (const std::uint64_t buffer : {std::uint64_t{100}, std::uint64_t{1} << 20}) {
                CAPTURE(retries);
                CAPTURE(pieces);
                CAPTURE(buffer);
                billed f;
                f.route->retry.max_retries = retries;
                f.route->stream.hold_buffer = buffer;
                std::vector<play_step> steps;
                for (std::size_t at = 0; at < told.size(); at += pieces ? 40 : told.size()) {
                    steps.push_back(play::send{told.substr(at, pieces ? 40 : told.size())});
                    steps.push_back(play::pause{1ms});
                }
                f.upstream.next(plays(steps));
                const auto& client = f.ask(post_of(question));
                f.pass(1s);
                CHECK(has(client.received(), "200 OK"));
                REQUIRE(f.bill.attempts.size() == 1);
                check(f.bill.attempts[0], spent_on::served, all_told);
                REQUIRE(f.bill.requests.size() == 1);
                CHECK(f.bill.requests[0].served.all() == 29);
                CHECK(f.bill.requests[0].lost.all() == 0);
                CHECK(!f.bill.requests[0].served.estimated);
                f.expect_nothing_billed_left();
            }
        }
    }
}

TEST_CASE("an answer that tells nothing is estimated by its text and the request's bytes") {
    billed f;
    f.upstream.next(gives(untold));
    f.ask(post_of(question));
    REQUIRE(f.bill.attempts.size() == 1);
    check(f.bill.attempts[0], spent_on::served, guessed(question, 3)); // "hello you"
    CHECK(f.bill.requests[0].served.estimated);
    // A call that has no tokens takes none; embeddings have no output.
    f.upstream.next(gives(json_answer(R"({"input_tokens":14})")));
    f.ask(post_of(question, "", "/v1/messages/count_tokens"));
    f.upstream.next(gives(json_answer(R"({"data":[{"embedding":[0.5]}]})")));
    f.ask(post_of(question, "", "/v1/embeddings"));
    REQUIRE(f.bill.attempts.size() == 3);
    CHECK(f.bill.attempts[1].tokens == token_count{});
    CHECK(f.bill.attempts[2].tokens == token_count{.of = {tokens_of(question)}, .input_estimated = true});
    f.expect_nothing_billed_left();
}

TEST_CASE("what is looked up, and text that looks like it, is on nobody's bill") {
    billed f;
    const std::string get = "GET /v1/chat/completions/abc HTTP/1.1\r\nHost: h\r\n\r\n";
    const std::string stored =
        json_answer(R"({"choices":[],"usage":{"prompt_tokens":19,"completion_tokens":10,"total_tokens":29}})");
    f.upstream.next({.steps = {play::request{0}, play::send{stored}}});
    f.ask(get);
    const std::string text = R"(Hi } "usage":{"prompt_tokens":999999999})";
    f.upstream.next(gives("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: " +
                          std::to_string(text.size()) + "\r\n\r\n" + text));
    f.ask(post_of(question, "", "/v1/audio/transcriptions"));
    REQUIRE(f.bill.attempts.size() == 2);
    for (const auto& each : f.bill.attempts) CHECK(each.tokens == token_count{});
    f.expect_nothing_billed_left();
}

TEST_CASE("a stream tells it in an event of its own; else its text is counted, as far as it came") {
    billed f;
    f.upstream.next(gives(stream_of(hello + word + word + stop + usage_event + done)));
    f.ask(post_of(stream_question));
    f.upstream.next(gives(stream_of(hello + word + word + word + stop + done)));
    f.ask(post_of(stream_question));
    REQUIRE(f.bill.attempts.size() == 2);
    check(f.bill.attempts[0], spent_on::served, all_told);
    check(f.bill.attempts[1], spent_on::served, guessed(stream_question, 2)); // six bytes

    f.upstream.next(plays({play::send{stream_head + chunk(hello + word)}, play::pause{1s}, play::reset{}}));
    f.ask(post_of(stream_question));
    f.pass(2s);
    REQUIRE(f.bill.attempts.size() == 3);
    check(f.bill.attempts[2], spent_on::failed, guessed(stream_question, 1));
    CHECK(f.bill.requests[2].lost.all() == tokens_of(stream_question) + 1);
    f.expect_nothing_billed_left();
}

TEST_CASE("who leaves has what was generated till then cancelled") {
    billed f;
    f.upstream.next(plays({play::send{stream_head + chunk(hello + word + word)}, play::silence{}}));
    auto& client = f.ask(post_of(stream_question));
    f.pass(1s);
    client.leave();
    f.pass(1s);
    f.upstream.next(plays({play::silence{}})); // ... or what it began to work on
    auto& other = f.ask(post_of(question));
    f.pass(1s);
    other.leave();
    f.pass(1s);
    REQUIRE(f.bill.attempts.size() == 2);
    check(f.bill.attempts[0], spent_on::cancelled, guessed(stream_question, 1));
    check(f.bill.attempts[1], spent_on::cancelled, guessed(question, 0));
    f.expect_nothing_billed_left();
}

TEST_CASE("for errors and for what broke unanswered nobody pays; an empty answer is paid for, and lost") {
    billed f;
    f.route->retry.backoff.initial = 10ms;
    f.upstream.next(gives(status_answer(500)));
    f.upstream.next(plays({play::reset{}}));
    f.upstream.next(gives(json_answer(R"({"choices":[],)" + counts + "}")));
    f.upstream.next(gives(told));
    const auto& client = f.ask(post_of(question, "x-evenkeel-cost: on\r\n"));
    f.pass(1s);
    REQUIRE(f.bill.attempts.size() == 4);
    check(f.bill.attempts[0], spent_on::failed, {});
    check(f.bill.attempts[1], spent_on::failed, {});
    check(f.bill.attempts[2], spent_on::failed, all_told);
    check(f.bill.attempts[3], spent_on::served, all_told);
    CAPTURE(client.received());
    CHECK(has(client.received(), "\r\nx-evenkeel-cost: input=19; output=10; cached_read=8; lost=29\r\n"));
    CHECK(!has(f.exchange(0).written, "x-evenkeel"));
    f.expect_nothing_billed_left();
}

TEST_CASE("the loser of a hedge and the one that was rescued are told apart, whoever it is") {
    for (const bool rescue : {false, true}) {
        for (const bool late_one_wins : {false, true}) {
            CAPTURE(rescue);
            CAPTURE(late_one_wins);
            billed f(true);
            if (rescue) {
                f.route->timeout.rescue = {.on = true, .after = 1s};
            } else {
                f.route->hedge.on = true;
                f.route->hedge.delay = hedge_options::delay_kind::fixed;
                f.route->hedge.fixed = 1s;
            }
            f.upstream.next(gives(told, late_one_wins ? 60s : 2s));
            f.upstream.next(gives(told, late_one_wins ? 1s : 60s));
            f.ask(post_of(question));
            f.pass(5s);
            REQUIRE(f.bill.attempts.size() == 2);
            check(f.bill.attempts[0], rescue ? spent_on::rescued : spent_on::lost_hedge, guessed(question, 0));
            check(f.bill.attempts[1], spent_on::served, all_told);
            CHECK(f.bill.requests[0].lost.all() == tokens_of(question));
            f.expect_nothing_billed_left();
        }
    }
}

TEST_CASE("what attempts cost is by the price of the model that is asked for, by name, by glob, and behind a rename") {
    billed f(true);
    f.route->retry.backoff.initial = 10ms;
    f.provider->models = {{"m", "large-1"}};
    f.provider->prices = {{"large-*", {.input = 2, .output = 10, .cached_read = 1, .cached_write = {}}},
                          {"m", {.input = 1000, .output = 1000, .cached_read = {}, .cached_write = {}}}};
    f.backup->prices = {{"*", {.input = 20, .output = 100, .cached_read = {}, .cached_write = {}}}};
    const std::string empty = json_answer(R"({"choices":[],)" + counts + "}");
    f.upstream.choose(
        [&](const config::upstream& to, std::size_t) { return gives(to.name == "provider" ? empty : told); });
    const auto& client = f.ask(post_of(question, "x-evenkeel-cost: 1\r\n"));
    f.pass(2s);
    REQUIRE(f.bill.attempts.size() == 2);
    CHECK(f.bill.attempts[0].cost == (11 * 2 + 8 * 1 + 10 * 10) * 1000);
    CHECK(f.bill.attempts[1].cost == (19 * 20 + 10 * 100) * 1000);
    CHECK(has(client.received(), "\r\nx-evenkeel-cost: input=19; output=10; cached_read=8; lost=29; cost=0.00138; "
                                 "cost_lost=0.00013\r\n"));
    // Without the field nothing is said.
    CHECK(!has(f.ask(post_of(question)).received(), "x-evenkeel-cost"));
    f.expect_nothing_billed_left();
}

TEST_CASE("a stream is asked for its usage in its client's place, who sees nothing of it") {
    struct row {
        std::string name, asked, sent;
        bool withheld;
    };
    const std::string asking = R"("stream_options":{"include_usage":true})";
    const std::vector<row> rows{
        {"not asked for", R"({"stream":true,"n":1})", R"({"stream":true,"n":1,)" + asking + "}", true},
        {"refused", R"({"stream_options":{"include_usage":false},"stream":true})", "{" + asking + R"(,"stream":true})",
         true},
        {"asked for", R"({"stream":true,)" + asking + "}", R"({"stream":true,)" + asking + "}", false},
        {"no stream", R"({"stream":false})", R"({"stream":false})", false},
    };
    const std::string events = hello + word + stop + usage_event + done;
    for (const row& one : rows) {
        for (const std::size_t piece : {std::size_t{1}, std::size_t{37}, events.size()}) {
            CAPTURE(one.name);
            CAPTURE(piece);
            billed f;
            f.route->stream.asks_usage = true;
            std::vector<play_step> steps{play::send{stream_head}};
            for (std::size_t at = 0; at < events.size(); at += piece) {
                steps.push_back(play::send{chunk(events.substr(at, piece))});
                steps.push_back(play::pause{1ms});
            }
            steps.push_back(play::send{"0\r\n\r\n"});
            f.upstream.next(plays(steps));
            const auto& client = f.ask(post_of(one.asked));
            f.pass(10s);
            CHECK(f.exchange(0).requests.messages().at(0).body == one.sent);
            CHECK(body_of(client) == (one.withheld ? hello + word + stop + done : events));
            REQUIRE(f.bill.attempts.size() == 1);
            if (one.name != "no stream") check(f.bill.attempts[0], spent_on::served, all_told);
            f.expect_nothing_billed_left();
        }
    }
}

TEST_CASE("... with a renamed model, an announced length, and a stream that breaks") {
    billed f;
    f.route->stream.asks_usage = true;
    f.provider->models = {{"m", "larger"}};
    const std::string events = hello + word + stop + usage_event + done;
    f.upstream.next(gives("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: " +
                          std::to_string(events.size()) + "\r\n\r\n" + events));
    const auto& client = f.ask(post_of(R"({"model":"m","stream":true})"));
    CHECK(f.exchange(0).requests.messages().at(0).body ==
          R"({"model":"larger","stream":true,"stream_options":{"include_usage":true}})");
    const read_answer whole = read_response(client.received());
    CHECK(whole.body == hello + word + stop + done);
    CHECK(whole.whole);
    f.upstream.next(
        plays({play::send{stream_head + chunk(hello + word + "data: {\"cho")}, play::pause{1s}, play::reset{}}));
    const auto& other = f.ask(post_of(R"({"model":"m","stream":true})"));
    f.pass(2s);
    const read_answer broken = read_response(other.received());
    CHECK(broken.body == hello + word + "data: {\"cho");
    CHECK(!broken.whole);
    f.expect_nothing_billed_left();
}

TEST_CASE("the bill of a request lies in its journal, attempt by attempt") {
    billed f;
    f.route->retry.backoff.initial = 10ms;
    struct last_journal final : telemetry::observer {
        std::vector<telemetry::spending> spent;
        void request_finished(const telemetry::request_account& record) noexcept override {
            for (const auto& one : record.journal)
                if (const auto* end = std::get_if<telemetry::happened::ended>(&one.what)) spent.push_back(end->spent);
        }
    } journal;
    request::worker_services services{f.loop, f.upstream, journal, f.memory, [] { return std::string{"{}"}; }};
    request::connection_context context{.services = services, .settings = {}, .policies = {}, .id_seed = 1};
    const request::virtual_end end{services};
    context.use(f.settings, f.registry.prepare(*f.settings));
    f.upstream.next(gives(json_answer(R"({"choices":[],)" + counts + "}")));
    f.upstream.next(gives(untold));
    scripted_client client(f.loop);
    f.loop.nursery().spawn(
        request::client_connection::run(std::make_unique<request::client_connection>(context, client.connect())));
    client.send(post_of(question));
    f.pass(2s);
    REQUIRE(journal.spent.size() == 2);
    check(journal.spent[0], spent_on::failed, all_told);
    check(journal.spent[1], spent_on::served, guessed(question, 3));
    client.leave();
    f.pass(3min);
}

TEST_CASE("what several clients share is paid for once") {
    struct summing final : telemetry::observer {
        explicit summing(telemetry::observer& to) : next(to) {}
        telemetry::observer& next;
        std::uint64_t of_attempts = 0, of_requests = 0;
        void request_event(const telemetry::event_origin& of, const telemetry::any_happening& what) noexcept override {
            next.request_event(of, what);
        }
        void request_started(const config::route* route) noexcept override { next.request_started(route); }
        void attempt_finished(const telemetry::attempt_record& record) noexcept override {
            for (const auto tokens : record.spent.tokens.of) of_attempts += tokens;
            next.attempt_finished(record);
        }
        void request_finished(const telemetry::request_account& record) noexcept override {
            of_requests += record.effort.served.all() + record.effort.lost.all();
            next.request_finished(record);
        }
    };
    crowd f;
    summing sums(f.counted);
    request::worker_services services{f.loop, f.upstream, sums, f.memory, [] { return std::string{"{}"}; }};
    services.flights = &f.flights;
    request::connection_context context{.services = services, .settings = {}, .policies = {}, .id_seed = 1};
    const request::virtual_end end{services};
    context.use(f.settings, f.registry.prepare(*f.settings));
    f.upstream.next(gives(told, 1s));
    std::vector<std::unique_ptr<scripted_client>> clients;
    for (int i = 0; i < 3; ++i) {
        auto& one = *clients.emplace_back(std::make_unique<scripted_client>(f.loop));
        f.loop.nursery().spawn(
            request::client_connection::run(std::make_unique<request::client_connection>(context, one.connect())));
        one.send(post_of(question));
        f.pass(10ms);
    }
    f.pass(5s);
    for (const auto& one : clients) CHECK(has(one->received(), "200 OK"));
    CHECK(f.upstream.exchanges().size() == 1);
    CHECK(sums.of_attempts == 29);
    CHECK(sums.of_requests == 29);
    for (auto& one : clients) one->leave();
    f.pass(3min);
    CHECK(f.flights.size() == 0);
}

} // namespace evenkeel::test::bill_flow_test
