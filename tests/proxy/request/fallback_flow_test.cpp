// The fallback ladder on the whole path of a request, in virtual time.

#include "proxy/fallback/last_good_store.hpp"
#include "tests/proxy/request/flow_fixture.hpp"

namespace evenkeel::test::fallback_flow_test {

using telemetry::request_service;

namespace {

config::fallback_step canned(std::string body, int status = 200, std::string type = "application/json") {
    config::fallback_step step;
    step.respond = {status, std::move(type), std::make_shared<const std::string>(std::move(body))};
    return step;
}
config::fallback_step last_good(config::last_good_key_kind key = config::last_good_key_kind::request,
                                duration max_age = 1h) {
    return {.is = fallback_kind::last_good, .key = key, .max_age = max_age};
}
config::fallback_step to_route(std::size_t place) { return {.is = fallback_kind::route, .route = place}; }

// What the observer is told of ladders.
struct ladder_listener final : telemetry::observer {
    telemetry::observer& beside;
    std::vector<std::pair<fallback_kind, fallback_skip>> skipped;
    std::vector<telemetry::request_account> finished; // views do not outlive the call
    std::vector<std::string> reasons;
    int exhausted = 0;
    explicit ladder_listener(telemetry::observer& other) : beside(other) {}
    void request_started(const config::route* route) noexcept override { beside.request_started(route); }
    void request_event(const telemetry::event_origin& of, const telemetry::any_happening& what) noexcept override {
        if (const auto* step = std::get_if<telemetry::happened::step_skipped>(&what))
            skipped.emplace_back(step->step, step->why);
        exhausted += std::holds_alternative<telemetry::happened::ladder_exhausted>(what);
        beside.request_event(of, what);
    }
    void attempt_finished(const telemetry::attempt_record& record) noexcept override {
        beside.attempt_finished(record);
    }
    void request_finished(const telemetry::request_account& record) noexcept override {
        beside.request_finished(record);
        finished.push_back(record);
        reasons.emplace_back(record.reason);
    }
};

struct laddered : fixture {
    ladder_listener heard{seen};
    request::last_good_store store{64 * 1024 * 1024};
    request::worker_services own_services{loop, upstream, heard, memory, [] { return std::string{"{}"}; }};
    request::connection_context own{.services = own_services, .settings = {}, .policies = {}, .id_seed = 2};
    std::shared_ptr<config::upstream> other = std::make_shared<config::upstream>();
    std::shared_ptr<config::route> cheap = std::make_shared<config::route>();
    request::virtual_end own_end{own_services};

    explicit laddered(std::vector<config::fallback_step> steps) {
        own_services.last_good = &store;
        other->name = "other";
        other->address.authority = "other.example";
        cheap->name = "cheap";
        cheap->match.path = "/nobody";
        cheap->upstreams = {other};
        cheap->retry.max_retries = 0;
        settings->routes.push_back(cheap);
        settings->upstreams.push_back(other);
        route->fallback = std::move(steps);
    }
    void start_client(scripted_client& whose) {
        own.use(settings, registry.prepare(*settings));
        loop.nursery().spawn(
            request::client_connection::run(std::make_unique<request::client_connection>(own, whose.connect())));
    }
    // One request on a connection of its own; what came back.
    std::string ask(const std::string& bytes, duration within = 1ms) {
        scripted_client fresh(loop);
        start_client(fresh);
        fresh.send(bytes);
        pass(within);
        std::string out = fresh.received();
        fresh.leave();
        pass(1ms);
        return out;
    }
    void expect_nothing_left() {
        pass(everything_over);
        CHECK(loop.nursery().size() == 0);
        CHECK(loop.timers().armed() == 0);
        CHECK(upstream.open_now() == 0);
        CHECK(memory.used() == 0);
        CHECK(own.open.empty());
        expect_no_policy_holds();
        CHECK(seen.started == static_cast<int>(seen.requests.size()));
        CHECK(seen.attempts_started == static_cast<int>(seen.attempts.size()));
    }
};

std::string post_as(const std::string& credential, const std::string& body = "{}", const std::string& fields = "") {
    return "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer " + credential + "\r\n" + fields +
           "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}
std::string body_of(const std::string& answer) { return answer.substr(answer.find("\r\n\r\n") + 4); }
// The data of a chunked answer, and whether it came to its end.
std::string dechunked(std::string text) {
    std::string out;
    for (text = body_of(text); !text.empty();) {
        const auto size = std::stoul(text, nullptr, 16);
        const auto at = text.find("\r\n") + 2;
        if (size == 0) return out;
        out += text.substr(at, size);
        text.erase(0, at + size + 2);
    }
    return out + "<cut>";
}
const std::string chat = R"({"id":"c1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,)"
                         R"("message":{"role":"assistant","content":"sorry"},"finish_reason":"stop"}]})";
std::string json_answer(const std::string& body, const std::string& fields = "") {
    return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + fields +
           "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}
} // namespace

TEST_CASE("a canned answer stands in for every kind of failure, labelled, and for nothing else") {
    net::transport_error refused;
    refused.is = net::transport_error::kind::refused;
    refused.token = "connection_refused";
    refused.status = 502;
    struct row {
        const char* name;
        exchange_script script;
        bool degraded;
        std::string reason;
    };
    for (const bool retries : {false, true}) {
        for (const row& r :
             {row{"500", answering(status_answer(500)), true, "upstream_error"},
              row{"429", answering(status_answer(429)), true, "upstream_error"},
              row{"402", answering(status_answer(402)), true, "upstream_error"},
              row{"reset", {.steps = {play::request{2}, play::reset{}}}, true, "upstream_connection_lost"},
              row{"cut",
                  {.steps =
                       {play::request{2},
                        play::send{
                            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{\"a\":"},
                        play::reset{}}},
                  true,
                  "upstream_connection_lost"},
              row{"no connection", {.connect_failure = refused}, true, "connection_refused"},
              row{"not HTTP", answering("SMTP\r\n\r\n"), true, "upstream_protocol_error"},
              row{"400", answering(status_answer(400)), false, ""},
              row{"401 of the client's credential", answering(status_answer(401)), false, ""},
              row{"404", answering(status_answer(404)), false, ""}, row{"200", answering(ok_json), false, ""}}) {
            CAPTURE(r.name);
            CAPTURE(retries);
            laddered f({canned(R"({"say":"later"})")});
            if (retries) {
                f.route->retry.max_retries = 1;
                f.route->retry.backoff = {.initial = 1ms, .max = 1ms, .base = 1, .jitter = jitter::none};
            }
            f.upstream.always(r.script);
            const std::string answer = f.ask(post, 100ms);
            CHECK(has(answer, "x-evenkeel-degraded: respond\r\n") == r.degraded);
            CHECK(has(answer, "x-evenkeel-outcome: degraded\r\n") == r.degraded);
            if (r.degraded) {
                CHECK(has(answer, "HTTP/1.1 200 OK\r\n"));
                CHECK(has(answer, "x-evenkeel-route: all\r\n"));
                CHECK(body_of(answer) == R"({"say":"later"})");
                CHECK(f.heard.reasons.at(0) == r.reason);
                CHECK(f.seen.requests.at(0).outcome == request_outcome::ok);
                CHECK(has(answer, retries && f.seen.requests.at(0).attempts == 2 ? "x-evenkeel-attempts: 2\r\n"
                                                                                 : "x-evenkeel-attempts: 1\r\n"));
            }
            f.expect_nothing_left();
        }
    }
}

TEST_CASE("a silent upstream: the ladder answers at the attempt timeout or at the deadline, and not before") {
    for (const bool attempt : {true, false}) {
        laddered f({to_route(1), canned("{}")});
        f.route->timeout.total = 30s;
        if (attempt) f.route->timeout.attempt = 10s;
        f.upstream.next({.steps = {play::silence{}}});
        f.upstream.always(answering(ok_json));
        scripted_client fresh(f.loop);
        f.start_client(fresh);
        fresh.send(post);
        f.pass(attempt ? 10s - 1ms : 30s - 1ms);
        CHECK(fresh.received().empty());
        f.pass(2ms);
        // No time is left at the deadline for another route, but a canned answer needs none.
        CHECK(has(fresh.received(),
                  attempt ? "x-evenkeel-degraded: route; name=cheap\r\n" : "x-evenkeel-degraded: respond\r\n"));
        CHECK(f.heard.skipped == (attempt ? decltype(f.heard.skipped){}
                                          : decltype(f.heard.skipped){{fallback_kind::route, fallback_skip::no_time}}));
        fresh.leave();
        f.expect_nothing_left();
    }
}

TEST_CASE("a learned timeout fires where a fallback exists") {
    laddered f({canned("{}")});
    f.route->timeout.learn_attempt = true;
    f.route->timeout.adaptive.initial = {.stream = 5s, .buffered = 5s};
    f.upstream.always({.steps = {play::silence{}}});
    scripted_client fresh(f.loop);
    f.start_client(fresh);
    fresh.send(post);
    f.pass(4s);
    CHECK(fresh.received().empty());
    f.pass(2s);
    CHECK(has(fresh.received(), "x-evenkeel-degraded: respond\r\n"));
    CHECK(f.heard.reasons == std::vector<std::string>{"attempt_timeout"});
    fresh.leave();
    f.expect_nothing_left();
}

TEST_CASE("open circuits: the ladder answers at once with reject, after at most two seconds with hold") {
    for (const auto when_open : {when_open::reject, when_open::hold}) {
        laddered f({canned("{}")});
        f.route->circuit_breaker.on = true;
        f.route->circuit_breaker.min_calls = 3;
        f.route->circuit_breaker.failure_ratio = 0;
        f.route->circuit_breaker.recovery_timeout = 60s;
        f.route->circuit_breaker.when_open = when_open;
        f.route->circuit_breaker.hold_max.reset();
        f.upstream.always(answering(status_answer(500)));
        for (int i = 0; i < 3; ++i) CHECK(has(f.ask(post), "x-evenkeel-degraded: respond\r\n"));
        const auto before = f.upstream.exchanges().size();
        const bool hold = when_open == when_open::hold;
        std::string answer = f.ask(post, hold ? 2500ms : 1ms);
        CHECK(has(answer, "x-evenkeel-degraded: respond\r\n"));
        CHECK(!has(answer, "x-evenkeel-attempts"));
        CHECK(f.upstream.exchanges().size() == before);
        answer = f.ask(post); // the outage is older than hold_max by now, or nobody waits
        CHECK(has(answer, "x-evenkeel-degraded: respond\r\n"));
        CHECK(f.seen.requests.back().outcome == request_outcome::ok);
        f.expect_nothing_left();
    }
}

TEST_CASE("another route: its upstream, its policies, both counted; the first answer where that fails too") {
    laddered f({to_route(1)});
    f.other->own_credential = true;
    f.other->headers.set = {{"authorization", "Bearer theirs"}};
    f.cheap->fallback = {canned("{\"never\":1}")}; // a ladder is climbed once
    f.upstream.next(answering(status_answer(503)));
    f.upstream.next(answering(ok_json));
    std::string answer = f.ask(post_as("mine"));
    CHECK(has(answer, "HTTP/1.1 200 OK\r\n"));
    CHECK(has(answer, "x-evenkeel-degraded: route; name=cheap\r\n"));
    CHECK(has(answer, "x-evenkeel-outcome: degraded\r\n"));
    CHECK(has(answer, "x-evenkeel-route: all\r\n"));
    CHECK(has(answer, "x-evenkeel-upstream: other\r\n"));
    CHECK(has(answer, "x-evenkeel-attempts: 2\r\n"));
    REQUIRE(f.upstream.exchanges().size() == 2);
    CHECK(f.upstream.exchanges()[1]->upstream == "other");
    CHECK(has(f.upstream.exchanges()[1]->written, "Bearer theirs"));
    CHECK(!has(f.upstream.exchanges()[1]->written, "Bearer mine"));
    CHECK(f.upstream.exchanges()[1]->written.ends_with("{}"));
    CHECK(f.heard.finished.at(0).degraded.by == fallback_kind::route);

    f.upstream.next(answering(status_answer(503, "", R"({"error":{"message":"the first"}})")));
    f.upstream.next(answering(status_answer(500, "", R"({"error":{"message":"the second"}})")));
    answer = f.ask(post_as("mine"));
    CHECK(has(answer, "HTTP/1.1 503 No\r\n"));
    CHECK(has(answer, "the first"));
    CHECK(has(answer, "x-evenkeel-attempts: 2\r\n"));
    CHECK(!has(answer, "degraded"));
    CHECK(f.heard.skipped == decltype(f.heard.skipped){{fallback_kind::route, fallback_skip::failed}});
    CHECK(f.heard.exhausted == 1);
    f.expect_nothing_left();
}

TEST_CASE("another route gets what may have had an effect only if nobody has seen it") {
    const std::string files = "POST /v1/files HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}";
    {
        laddered f({to_route(1)});
        f.upstream.next({.steps = {play::request{2}, play::reset{}}});
        f.upstream.always(answering(ok_json));
        CHECK(has(f.ask(files), "HTTP/1.1 502"));
        CHECK(f.heard.skipped == decltype(f.heard.skipped){{fallback_kind::route, fallback_skip::not_replayable}});
        f.expect_nothing_left();
    }
    {
        laddered f({to_route(1)});
        net::transport_error refused;
        refused.is = net::transport_error::kind::refused;
        refused.token = "connection_refused";
        refused.status = 502;
        f.upstream.next({.connect_failure = refused});
        f.upstream.always(answering(ok_json));
        CHECK(has(f.ask(files), "x-evenkeel-degraded: route; name=cheap\r\n"));
        f.expect_nothing_left();
    }
}

TEST_CASE("another route lives within the first one's total, and within its own") {
    laddered f({to_route(1)});
    f.route->timeout.total = 30s;
    f.route->timeout.attempt = 20s;
    f.cheap->timeout.total = 15s;
    f.upstream.always({.steps = {play::silence{}}});
    scripted_client fresh(f.loop);
    f.start_client(fresh);
    fresh.send(post);
    f.pass(30s - 1ms);
    CHECK(fresh.received().empty());
    f.pass(2ms);
    CHECK(has(fresh.received(), "HTTP/1.1 504"));
    fresh.leave();
    f.expect_nothing_left();

    laddered g({to_route(1)});
    g.route->timeout.total = 60s;
    g.route->timeout.attempt = 20s;
    g.cheap->timeout.total = 15s;
    g.upstream.always({.steps = {play::silence{}}});
    scripted_client second(g.loop);
    g.start_client(second);
    second.send(post);
    g.pass(35s - 1ms);
    CHECK(second.received().empty());
    g.pass(2ms);
    CHECK(has(second.received(), "HTTP/1.1 504"));
    second.leave();
    g.expect_nothing_left();
}

TEST_CASE("the last good answer: the same request of the same principal, whole, with its age") {
    laddered f({last_good()});
    f.upstream.next(answering(json_answer(chat, "set-cookie: a=b\r\nx-request-id: up-1\r\ncontent-language: en\r\n")));
    CHECK(body_of(f.ask(post_as("a"))) == chat);
    f.pass(35s);
    f.upstream.always(answering(status_answer(500)));
    const std::string answer = f.ask(post_as("a"));
    CHECK(has(answer, "HTTP/1.1 200 OK\r\n"));
    CHECK(has(answer, "x-evenkeel-degraded: last_good; age=35\r\n"));
    CHECK(has(answer, "x-evenkeel-outcome: degraded\r\n"));
    CHECK(has(answer, "age: 35\r\n"));
    CHECK(has(answer, "cache-status: evenkeel; hit; ttl=-35; detail=last_good\r\n"));
    CHECK(has(answer, "content-type: application/json\r\n"));
    CHECK(has(answer, "content-language: en\r\n"));
    CHECK(has(answer, "cache-control: no-store\r\n"));
    CHECK(!has(answer, "set-cookie"));
    CHECK(!has(answer, "up-1"));
    CHECK(body_of(answer) == chat);

    CHECK(has(f.ask(post_as("b")), "HTTP/1.1 500"));       // another principal
    CHECK(has(f.ask(post_as("a", "[]")), "HTTP/1.1 500")); // another question
    CHECK(has(f.ask(post_as("a", "{}", "Accept: text/csv\r\n")), "HTTP/1.1 500"));
    CHECK(has(f.ask(post_as("a", "{}", "Cache-Control: no-store\r\n")), "HTTP/1.1 500"));
    CHECK(
        has(f.ask("POST /v1/completions HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer a\r\nContent-Length: 2\r\n\r\n{}"),
            "HTTP/1.1 500"));
    CHECK(has(
        f.ask("PUT /v1/chat/completions HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer a\r\nContent-Length: 2\r\n\r\n{}"),
        "HTTP/1.1 500"));
    f.pass(1h);
    CHECK(has(f.ask(post_as("a")), "HTTP/1.1 500")); // too old by now
    CHECK(f.heard.skipped.back() == std::pair{fallback_kind::last_good, fallback_skip::too_old});
    CHECK(f.store.report().hits == 1);
    CHECK(f.store.report().misses == 7);
    CHECK(f.store.report().entries == 1);
    f.expect_nothing_left();
}

TEST_CASE("a hundred credentials never share a last good answer") {
    laddered f({last_good()});
    const auto answer_to = [](int who) { return R"({"for":")" + std::to_string(who) + "\"}"; };
    for (int who = 0; who < 100; ++who) {
        f.upstream.next(answering(json_answer(answer_to(who))));
        REQUIRE(body_of(f.ask(post_as("sk-" + std::to_string(who)))) == answer_to(who));
    }
    f.upstream.always(answering(status_answer(500)));
    for (int who = 0; who < 100; ++who) {
        const std::string answer = f.ask(post_as("sk-" + std::to_string(who)));
        REQUIRE(has(answer, "x-evenkeel-degraded: last_good"));
        REQUIRE(body_of(answer) == answer_to(who));
    }
    CHECK(has(f.ask(post_as("sk-100")), "HTTP/1.1 500"));
    CHECK(has(f.ask(post), "HTTP/1.1 500")); // none at all is a principal of its own
    CHECK(f.store.report().entries == 100);
    f.expect_nothing_left();
}

TEST_CASE("every place a credential may stand in tells principals apart") {
    const std::vector<std::string> fields{"Authorization: x",
                                          "X-Api-Key: x",
                                          "x-goog-api-key: x",
                                          "api-key: x",
                                          "OpenAI-Organization: x",
                                          "openai-project: x",
                                          "anthropic-organization-id: x",
                                          "x-goog-user-project: x",
                                          "Cookie: x"};
    laddered f({last_good()});
    const auto with = [](const std::string& field, const std::string& query = "") {
        return "POST /v1/chat/completions" + query + " HTTP/1.1\r\nHost: h\r\n" +
               (field.empty() ? "" : field + "\r\n") + "Content-Length: 2\r\n\r\n{}";
    };
    std::vector<std::string> requests{with(""), with("", "?key=x"), with("", "?key=y")};
    for (const auto& field : fields) requests.push_back(with(field)), requests.push_back(with(field + "y"));
    for (const auto& request : requests) {
        f.upstream.next(answering(status_answer(500)));
        CAPTURE(request);
        CHECK(has(f.ask(request), "HTTP/1.1 500")); // nobody before it had the same
        f.upstream.next(answering(ok_json));
        CHECK(has(f.ask(request), "HTTP/1.1 200"));
    }
    CHECK(f.store.report().entries == requests.size());
    f.expect_nothing_left();
}

TEST_CASE("partial_key: what the client calls the same is the same, for this client") {
    using enum config::last_good_key_kind;
    laddered f({last_good(partial_key)});
    const auto keyed = [](const std::string& who, const std::string& key, const std::string& body) {
        return post_as(who, body, key.empty() ? "" : "X-Evenkeel-Partial-Key: " + key + "\r\n");
    };
    f.upstream.next(answering(json_answer(chat), 5));
    CHECK(has(f.ask(keyed("a", "dash", "[1,2]")), "HTTP/1.1 200"));
    CHECK(!has(f.upstream.exchanges()[0]->written, "dash")); // ours alone
    f.upstream.always(answering(status_answer(500), 5));
    CHECK(body_of(f.ask(keyed("a", "dash", "[3,4]"))) == chat);
    CHECK(has(f.ask(keyed("b", "dash", "[3,4]")), "HTTP/1.1 500"));
    CHECK(has(f.ask(keyed("a", "dish", "[3,4]")), "HTTP/1.1 500"));
    CHECK(has(f.ask(keyed("a", "", "[1,2]")), "HTTP/1.1 500"));
    CHECK(f.heard.skipped.back() == std::pair{fallback_kind::last_good, fallback_skip::no_key});

    // A client that now wants a stream gets the whole answer as one.
    f.upstream.always(answering(status_answer(500), stream_body));
    const std::string answer = f.ask(keyed("a", "dash", R"({"stream":true})"));
    CHECK(has(answer, "content-type: text/event-stream\r\n"));
    CHECK(has(answer, "transfer-encoding: chunked\r\n"));
    CHECK(has(dechunked(answer), R"("delta":{"role":"assistant","content":"sorry"})"));
    CHECK(dechunked(answer).ends_with("data: [DONE]\n\n"));
    f.expect_nothing_left();
}

TEST_CASE("what is not a complete good answer is not kept") {
    struct row {
        const char* name;
        std::string answer;
        bool kept;
    };
    const std::string gzip = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n";
    for (const row& r :
         {row{"good", json_answer(chat), true},
          row{"chunked",
              "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: "
              "chunked\r\n\r\n7\r\n{\"a\":1}\r\n0\r\n\r\n",
              true},
          row{"compressed", gzip + "Content-Type: application/json\r\nContent-Length: 3\r\n\r\nxyz", true},
          row{"compressed stream",
              gzip + "Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nxyz\r\n0\r\n\r\n",
              false},
          row{"ended by the connection", "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"a\":1}", false},
          row{"no-store", json_answer(chat, "Cache-Control: private, No-Store\r\n"), false},
          row{"vary *", json_answer(chat, "Vary: *\r\n"), false},
          row{"vary", json_answer(chat, "Vary: Accept-Encoding\r\n"), true},
          row{"206", "HTTP/1.1 206 P\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}", false},
          row{"204", "HTTP/1.1 204 N\r\n\r\n", false},
          row{"302", "HTTP/1.1 302 F\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", false},
          row{"400", status_answer(400), false}}) {
        CAPTURE(r.name);
        laddered f({last_good()});
        auto script = answering(r.answer);
        script.steps.push_back(play::end{});
        f.upstream.next(script);
        static_cast<void>(f.ask(post));
        CHECK(f.store.report().entries == (r.kept ? 1 : 0));
        f.upstream.always(answering(status_answer(500)));
        CHECK(has(f.ask(post), "x-evenkeel-degraded") == r.kept);
        f.expect_nothing_left();
    }
}

TEST_CASE("streams: kept with their terminal marker, given again as they were, byte for byte") {
    const std::string events = hello + word + stop + done;
    struct row {
        const char* name;
        std::string sent;
        bool kept;
    };
    for (const row& r :
         {row{"whole", chunk(hello) + chunk(word) + chunk(stop) + chunk(done) + "0\r\n\r\n", true},
          row{"in one piece", chunk(events) + "0\r\n\r\n", true},
          row{"no marker", chunk(hello) + chunk(word) + "0\r\n\r\n", false},
          row{"no last chunk", chunk(hello) + chunk(word), false},
          row{"an error at its end", chunk(hello) + chunk(word) + chunk(error_event) + "0\r\n\r\n", false}}) {
        CAPTURE(r.name);
        laddered f({last_good()});
        f.upstream.next(streaming({play::send{stream_head + r.sent}, play::pause{1s}, play::reset{}}));
        static_cast<void>(f.ask(post_stream(), 2s));
        CHECK(f.store.report().entries == (r.kept ? 1 : 0));
        f.upstream.always(answering(status_answer(500), stream_body));
        const std::string answer = f.ask(post_stream());
        CHECK(has(answer, "x-evenkeel-degraded: last_good") == r.kept);
        if (r.kept) {
            CHECK(has(answer, "content-type: text/event-stream\r\n"));
            CHECK(dechunked(answer) == events);
            CHECK(f.heard.finished.back().ended == telemetry::stream_end::complete);
            CHECK(f.heard.finished.back().stream);
        }
        CHECK(has(f.ask(post_as("", R"({"strean":true})")), "HTTP/1.1 500")); // who does not want a stream gets none
        f.expect_nothing_left();
    }
}

TEST_CASE("a client that leaves in mid-answer leaves nothing in the store, nor in memory") {
    laddered f({last_good()});
    f.upstream.next(streaming({play::send{stream_head + chunk(hello) + chunk(word)}, play::pause{5s},
                               play::send{chunk(stop) + chunk(done) + "0\r\n\r\n"}}));
    static_cast<void>(f.ask(post_stream(), 1s));
    f.pass(10s);
    CHECK(f.store.report().entries == 0);
    CHECK(f.store.report().not_kept[static_cast<std::size_t>(telemetry::not_kept::not_whole)] == 1);
    f.expect_nothing_left();
}

TEST_CASE("an answer larger than an eighth of the store, or than limits.memory has room for, passes and is not kept") {
    laddered f({last_good()});
    f.store.set_limit(64 * 1024);
    const std::string large = "{\"a\":\"" + std::string(10000, 'x') + "\"}";
    f.upstream.always(answering(json_answer(large)));
    CHECK(body_of(f.ask(post)) == large);
    CHECK(f.store.report().not_kept[static_cast<std::size_t>(telemetry::not_kept::too_large)] == 1);
    f.store.set_limit(64 * 1024 * 1024);
    f.memory.set_limit(5000);
    CHECK(body_of(f.ask(post)) == large);
    CHECK(f.store.report().not_kept[static_cast<std::size_t>(telemetry::not_kept::no_memory)] == 1);
    CHECK(f.store.report().entries == 0);
    f.expect_nothing_left();
}

TEST_CASE("where the store has nothing, nothing is held back for it") {
    laddered f({last_good()});
    f.upstream.next(streaming({play::send{stream_head + chunk(hello)}, play::pause{5s},
                               play::send{chunk(word) + chunk(stop) + chunk(done) + "0\r\n\r\n"}}));
    scripted_client fresh(f.loop);
    f.start_client(fresh);
    fresh.send(post_stream());
    f.pass(1s);
    // retry: off, and no fallback that could answer: the preamble passes at once.
    CHECK(has(fresh.received(), "assistant"));
    f.pass(5s);
    f.upstream.next(streaming({play::send{stream_head + chunk(hello)}, play::pause{5s}, play::reset{}}));
    fresh.forget_received();
    fresh.send(post_stream());
    f.pass(1s);
    CHECK(fresh.received().empty()); // now there is one
    f.pass(5s);
    CHECK(has(fresh.received(), "x-evenkeel-degraded: last_good; age=1"));
    CHECK(dechunked(fresh.received()) == hello + word + stop + done);
    fresh.leave();
    f.expect_nothing_left();
}

TEST_CASE("streams that fail before their first meaningful event go to the ladder, later ones never") {
    laddered f({canned(chat)});
    f.upstream.next(streaming({play::send{stream_head + chunk(hello) + chunk(error_event)}, play::end{}}));
    std::string answer = f.ask(post_stream());
    CHECK(has(answer, "x-evenkeel-degraded: respond\r\n"));
    CHECK(!has(answer, "busy"));
    CHECK(has(dechunked(answer), "sorry"));
    f.upstream.next(
        streaming({play::send{stream_head + chunk(hello) + chunk(word) + chunk(error_event)}, play::end{}}));
    answer = f.ask(post_stream());
    CHECK(!has(answer, "degraded"));
    CHECK(has(answer, "busy"));
    f.expect_nothing_left();
}

TEST_CASE("canned answers in the form that was asked for") {
    const std::string message =
        R"({"id":"m","type":"message","role":"assistant","model":"c","content":[{"type":"text","text":"sorry"}],)"
        R"("stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1}})";
    const auto messages = [](const std::string& body) {
        return "POST /v1/messages HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
               body;
    };
    {
        laddered f({canned(chat)});
        f.upstream.always(answering(status_answer(500), stream_body));
        const std::string answer = f.ask(post_stream());
        CHECK(has(answer, "content-type: text/event-stream\r\n"));
        CHECK(has(dechunked(answer), R"("object":"chat.completion.chunk")"));
        CHECK(dechunked(answer).ends_with("data: [DONE]\n\n"));
        CHECK(f.heard.finished.at(0).ended == telemetry::stream_end::complete);
    }
    {
        laddered f({canned(message)});
        f.upstream.always(answering(status_answer(500), 15));
        CHECK(dechunked(f.ask(messages(R"({"stream":true})")))
                  .ends_with("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"));
        CHECK(body_of(f.ask(messages(R"({"stream":none})"))) == message);
    }
    { // a stream the operator wrote
        laddered f({canned(word + stop + done, 200, "text/event-stream")});
        f.upstream.always(answering(status_answer(500), stream_body));
        CHECK(dechunked(f.ask(post_stream())) == word + stop + done);
    }
    { // an error stays one
        laddered f({canned(R"({"error":{"message":"closed"}})", 503)});
        f.upstream.always(answering(status_answer(500, "retry-after: 7\r\n"), stream_body));
        const std::string answer = f.ask(post_stream());
        CHECK(has(answer, "HTTP/1.1 503"));
        CHECK(has(answer, "x-evenkeel-degraded: respond\r\n"));
        CHECK(has(answer, "retry-after: 7\r\n"));
        CHECK(body_of(answer) == R"({"error":{"message":"closed"}})");
        CHECK(f.seen.requests.at(0).outcome == request_outcome::proxy_error);
    }
    { // no JSON, no stream
        laddered f({canned("sorry", 200, "text/plain")});
        f.upstream.always(answering(status_answer(500), stream_body));
        CHECK(body_of(f.ask(post_stream())) == "sorry");
    }
}

TEST_CASE("behind a head that was given ahead only events follow, and a comment says what they are") {
    for (const int kind : {0, 1, 2}) {
        CAPTURE(kind);
        laddered f({kind == 0 ? canned(chat) : kind == 1 ? last_good() : to_route(1)});
        if (kind == 1) {
            f.upstream.next(streaming({play::send{good_stream}}));
            static_cast<void>(f.ask(post_stream()));
        }
        f.route->stream.head_hold = 2s;
        f.route->stream.heartbeat = 2s;
        f.upstream.next(streaming({play::pause{5s}, play::reset{}}));
        f.upstream.next(streaming({play::send{good_stream}}));
        const std::string answer = f.ask(post_stream(), 10s);
        CHECK(has(answer, "HTTP/1.1 200 OK\r\n"));
        CHECK(!has(answer, "x-evenkeel-outcome"));
        CHECK(answer.find("HTTP/1.1", 1) == std::string::npos);
        const std::string stream = dechunked(answer);
        CHECK(stream.starts_with(":\n"));
        CHECK(has(stream, kind == 0   ? ": x-evenkeel-degraded: respond\n\n"
                          : kind == 1 ? ": x-evenkeel-degraded: last_good; age=5\n\n"
                                      : ": x-evenkeel-degraded: route; name=cheap\n\n"));
        CHECK(stream.ends_with("data: [DONE]\n\n"));
        CHECK(has(stream, kind == 0 ? "sorry" : "hi"));
        f.expect_nothing_left();
    }
}

TEST_CASE("a part of a fan-out has the ladder of its own route, and says what it got there") {
    laddered f({last_good()});
    auto both = std::make_shared<config::route>();
    both->name = "both";
    both->match.path = "/v1/both";
    both->serves = config::route_serves::fan_out;
    both->fan_out.parts = {"all", "cheap"};
    f.cheap->fallback = {canned(R"({"say":"later"})")};
    f.settings->routes.insert(f.settings->routes.begin(), both);
    const std::string question = "POST /v1/both HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}";
    f.upstream.always(answering(json_answer(chat)));
    CHECK(has(f.ask(question), R"("status":"complete")"));
    f.upstream.always(answering(status_answer(500)));
    f.pass(20s);
    const std::string answer = f.ask(question);
    CHECK(has(answer, "HTTP/1.1 200 OK\r\n"));
    CHECK(has(answer, "x-evenkeel-outcome: degraded\r\n"));
    CHECK(has(answer, "x-evenkeel-degraded: "));
    CHECK(has(answer, R"("source":"last_good","body":)" + chat));
    CHECK(has(answer, R"("source":"fallback","body":{"say":"later"})"));
    f.expect_nothing_left();
}

TEST_CASE("a client that leaves while its ladder is climbed gets nothing, and leaves nothing") {
    laddered f({to_route(1), canned("{}")});
    f.upstream.next(answering(status_answer(500)));
    f.upstream.always({.steps = {play::silence{}}});
    scripted_client fresh(f.loop);
    f.start_client(fresh);
    fresh.send(post);
    f.pass(1s);
    CHECK(f.upstream.exchanges().size() == 2);
    fresh.leave();
    f.pass(1s);
    CHECK(fresh.received().empty());
    CHECK(f.seen.requests.at(0).outcome == request_outcome::client_cancelled);
    CHECK(!f.heard.finished.at(0).degraded.is);
    f.expect_nothing_left();
}

TEST_CASE("a request whose own body fails gets no fallback") {
    laddered f({canned("{}")});
    f.settings->limits.body_timeout = 5s;
    const std::string answer =
        f.ask("POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n{", 6s);
    CHECK(has(answer, "HTTP/1.1 408"));
    CHECK(!has(answer, "degraded"));
    f.expect_nothing_left();
}

TEST_CASE("a route without a ladder is refused as before") {
    laddered f({});
    f.upstream.always(answering(status_answer(500)));
    CHECK(has(f.ask(post), "HTTP/1.1 500"));
    CHECK(f.heard.exhausted == 0);
    CHECK(f.heard.skipped.empty());
    f.expect_nothing_left();
}

} // namespace evenkeel::test::fallback_flow_test
