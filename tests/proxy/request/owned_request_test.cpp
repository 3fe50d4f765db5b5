// A request without a client connection goes the way of any other.

#include "proxy/message/owned_request.hpp"
#include "proxy/serve/order.hpp"
#include "proxy/wire/gate.hpp"
#include "tests/proxy/request/flow_fixture.hpp"

#include <algorithm>
#include <memory>
#include <optional>

namespace evenkeel::test::owned_request_test {

namespace {

const std::string head =
    "POST /v1/chat/completions?key=k HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer sk-a\r\nX-Own:  blanks \r\n"
    "Accept-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n";

struct asking : fixture {
    std::unique_ptr<request::owned_request> owned;
    std::optional<request::answer> given;
    std::string body;
    bool over = false;

    // The request it is copied from is gone when this returns.
    void copy(const std::string& text, const std::string& content) {
        std::string bytes = text;
        request::io_buffer input(services.buffers);
        wire::request_head parsed;
        std::size_t scanned = 0;
        REQUIRE(wire::read_request_head(bytes, {}, scanned, parsed).is == wire::head_result::state::complete);
        scripted_client nobody{loop};
        const auto stream = nobody.connect();
        const request::client_request of({.settings = settings,
                                          .policies = registry.prepare(*settings),
                                          .head = &parsed,
                                          .client_address = "192.0.2.7",
                                          .id = "an-id",
                                          .received = loop.now()},
                                         loop, *stream, input, services.buffers);
        owned = std::make_unique<request::owned_request>(services.loop, services.buffers, of,
                                                         request::copy_to_block(services.buffers, content));
        std::fill(bytes.begin(), bytes.end(), '#');
    }
    // As a part of a fan-out goes, whose route is chosen.
    static request::next_stage below_in_parts() {
        const auto all = request::stages();
        const auto found = std::find_if(all.begin(), all.end(), [](const auto& one) { return one.name == "in_parts"; });
        return request::next_stage{&*found + 1};
    }
    request::errand chosen{};
    static net::task<void> ask(asking& me) {
        if (me.chosen.asked) {
            me.given = co_await below_in_parts()(me.services, me.owned->get(), std::move(me.chosen));
        } else {
            me.given = co_await request::serve(me.services, me.owned->get());
        }
        while (me.given->body) {
            auto step = me.given->body->ready();
            if (!step) step = co_await me.given->body->next();
            if (step->is != request::body_step::kind::data) break;
            me.body += step->data;
        }
        me.over = true;
    }
    void begin() {
        loop.nursery().spawn(ask(*this));
        loop.run_virtual(loop.now());
    }
    void expect_clean() {
        given.reset();
        owned.reset();
        loop.run_virtual();
        CHECK(loop.nursery().size() == 0);
        CHECK(loop.timers().armed() == 0);
        CHECK(upstream.open_now() == 0);
        CHECK(memory.used() == 0);
        expect_no_policy_holds();
    }
};

} // namespace

TEST_CASE("a copy of a request that was changed since its head came has the changes") {
    asking f;
    f.copy(head, "{}");
    f.owned->set_path("/v1/embeddings");
    f.owned->set_field("accept-encoding", "identity");
    f.owned->drop_field(wire::field_id::authorization);
    auto second = std::make_unique<request::owned_request>(f.services.loop, f.services.buffers, f.owned->get(),
                                                           request::copy_to_block(f.services.buffers, "{}"));
    f.owned = nullptr;

    const wire::request_head& got = *second->get().came.head;
    CHECK(got.target == "/v1/embeddings?key=k");
    CHECK(got.path == "/v1/embeddings");
    CHECK(got.query == "key=k");
    CHECK(got.find(wire::field_id::authorization) == nullptr);
    REQUIRE(got.find(wire::field_id::accept_encoding) != nullptr);
    CHECK(got.find(wire::field_id::accept_encoding)->value == "identity");
    CHECK(got.find(std::string_view{"x-own"})->value == "blanks");
    second = nullptr;
    f.expect_clean();
}

TEST_CASE_FIXTURE(asking, "a request that is owned outlives the one it is copied from, and is sent with all it had") {
    upstream.next(answering(ok_json, 7));
    copy(head, "{\"b\":1}");
    begin();

    REQUIRE(over);
    CHECK(given->head->status == 200);
    CHECK(body == "{\"a\":1}");
    const std::string& written = upstream.exchanges().at(0)->written;
    CHECK(written.starts_with("POST /v1/chat/completions?key=k HTTP/1.1\r\nhost: api.example\r\n"));
    CHECK(has(written, "Authorization: Bearer sk-a\r\n"));
    CHECK(has(written, "content-length: 7\r\n"));
    CHECK_FALSE(has(written, "#"));
    CHECK(written.ends_with("\r\n\r\n{\"b\":1}"));
    CHECK(owned->get().came.id == "an-id");
    CHECK(owned->get().came.client_address == "192.0.2.7");
    expect_clean();
}

TEST_CASE_FIXTURE(asking, "the head of an owned request may be changed before it is served") {
    upstream.next(answering(ok_json, 0));
    copy("GET /somewhere?key=k HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\nX-A: 1\r\nX-Request-Id: r\r\n\r\n", "");
    owned->set_path("/v1/models");
    owned->set_field("accept-encoding", "identity");
    owned->set_field("x-absent", "no");
    owned->drop_field(wire::field_id::x_request_id);
    CHECK(owned->get().came.head->query == "key=k");
    begin();

    REQUIRE(over);
    const std::string& written = upstream.exchanges().at(0)->written;
    CHECK(written ==
          "GET /v1/models?key=k HTTP/1.1\r\nhost: api.example\r\nAccept-Encoding: identity\r\nX-A: 1\r\n\r\n");
    expect_clean();
}

TEST_CASE_FIXTURE(asking, "an owned request is served on the route that is chosen for it, without a match") {
    auto other = std::make_shared<config::route>(*route);
    other->name = "other";
    other->match.path_prefix = "/nobody";
    settings->routes = {route, other};
    upstream.next(answering(ok_json, 2));
    copy(head, "{}");
    owned->get().route = chosen.asked = other;
    begin();

    REQUIRE(over);
    CHECK(given->head->status == 200);
    CHECK(owned->get().route->name == "other");
    expect_clean();
}

TEST_CASE_FIXTURE(asking, "P9.2: a deadline told by the sender only shortens the route's own") {
    struct row {
        duration told, expected;
    };
    for (const row& each : {row{3s, 3s}, row{30s, 10s}}) {
        CAPTURE(each.told.count());
        given.reset();
        over = false;
        auto slow = std::make_shared<config::route>(*route);
        slow->timeout.total = 10s;
        settings->routes = {slow};
        upstream.next({.steps = {play::request{2}, play::silence{}}});
        copy(head, "{}");
        chosen = {};
        owned->get().route = chosen.asked = slow;
        chosen.bound = loop.now() + each.told;
        begin();

        pass(each.expected - 1ms);
        CHECK_FALSE(over);
        pass(2ms);
        REQUIRE(over);
        CHECK(given->head->status == 504);
        expect_clean();
    }
}

TEST_CASE_FIXTURE(asking, "an owned request is cancelled through its own source") {
    upstream.next({.steps = {play::request{2}, play::silence{}}});
    copy(head, "{}");
    begin();
    CHECK_FALSE(over);

    owned->get().gone.request();
    loop.run_virtual(loop.now());

    REQUIRE(over);
    CHECK(given->body == nullptr);
    CHECK(upstream.exchanges().at(0)->closed);
    expect_clean();
}

} // namespace evenkeel::test::owned_request_test
