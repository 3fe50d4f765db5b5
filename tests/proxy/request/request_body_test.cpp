#include "proxy/message/request_body.hpp"

#include "proxy/message/client_request.hpp"
#include "tests/support/scripted_client.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <random>
#include <string>
#include <vector>

namespace evenkeel::test::request_body_test {

using namespace evenkeel::request;
using namespace std::chrono_literals;

namespace {
const steady_time start{1000s};

// Every byte tells where it stands.
std::string pattern(std::size_t size) {
    std::string out;
    while (out.size() < size) out += std::to_string(out.size()) + ' ';
    out.resize(size);
    return out;
}
std::string chunked(const std::string& body, std::mt19937& random) {
    std::string out;
    for (std::size_t at = 0; at < body.size();) {
        const std::size_t size =
            std::min<std::size_t>(body.size() - at, 1 + random() % (random() % 4 == 0 ? 9000 : 200));
        char head[16];
        std::snprintf(head, sizeof head, "%zx\r\n", size);
        out += head + body.substr(at, size) + "\r\n";
        at += size;
    }
    return out + "0\r\n\r\n";
}

struct arriving {
    net::loop loop{start};
    memory_bound memory;
    buffer_pool pool{memory};
    test::scripted_client client{loop, false};
    std::unique_ptr<net::client_stream> stream = client.connect();
    io_buffer input{pool};
    std::optional<request_body> body;

    void begin(const wire::body_framing& framing, std::uint64_t held, std::string_view first = {},
               std::uint64_t most = 1 << 30) {
        if (!first.empty()) {
            const auto room = input.space(first.size(), first.size() + (16 << 10));
            std::memcpy(room.data(), first.data(), first.size());
            input.commit(first.size());
        }
        body.emplace(loop, *stream, input, pool);
        body->begin(framing, {.max_body = most, .max_held = held, .silence = 10s}, false);
    }
    void pass() { loop.run_virtual(loop.now()); }
};

// One attempt: takes what it is told to, when it is told to, and holds on to each piece until the next.
struct taker {
    explicit taker(arriving& body) : of(body), reader(*body.body), go(body.loop.executor()) {}
    arriving& of;
    request_body::reader reader;
    net::event go;
    std::string got;
    bool ended = false, failed = false;
    int may = 0;

    static net::task<void> run(taker& me) {
        for (;;) {
            while (me.may == 0) co_await me.go.wait();
            --me.may;
            const auto step = co_await me.reader.next();
            if (step.is == request_body::step::kind::data) {
                // As a slow write would: the bytes are looked at again when much else has happened.
                const std::string at_once{step.data.view()};
                while (me.may == 0) co_await me.go.wait();
                REQUIRE(step.data.view() == at_once);
                me.got += at_once;
                continue;
            }
            me.ended = step.is == request_body::step::kind::end;
            me.failed = step.is == request_body::step::kind::failed;
            break;
        }
    }
    void let(int times) {
        may += times;
        go.set();
        of.pass();
    }
};
} // namespace

TEST_CASE("what came with the head is shared, not copied, and outlives the request and the connection's buffer") {
    arriving f;
    f.begin({wire::body_kind::length, 5}, 100, "hello");
    CHECK(f.body->whole());
    const shared_bytes text = f.body->text();
    CHECK(f.input.empty());
    CHECK(f.memory.used() == buffer_pool::block_bytes); // the connection's

    f.body.reset();
    f.input.clear();
    const auto room = f.input.space(5, 16 << 10);
    std::memcpy(room.data(), "#####", 5);
    CHECK(text.view() == "hello");
}

TEST_CASE("of a crowd of uploads that must be seen whole as many become whole as there is room for") {
    memory_bound memory;
    memory.set_limit(2'000'000);
    net::loop loop{start};
    buffer_pool pool{memory};
    struct upload {
        upload(net::loop& on, buffer_pool& from)
            : client(on, false), stream(client.connect()), input(from), body(on, *stream, input, from) {}
        test::scripted_client client;
        std::unique_ptr<net::client_stream> stream;
        io_buffer input;
        request_body body;
    };
    std::deque<upload> all;
    for (int i = 0; i < 20; ++i) {
        upload& one = all.emplace_back(loop, pool);
        one.body.begin({wire::body_kind::length, 200'000}, {.max_body = 1 << 20, .max_held = 1 << 20, .silence = 10s},
                       false);
        loop.nursery().spawn([](request_body& body) -> net::task<void> {
            static_cast<void>(co_await body.read_whole(1 << 20));
        }(one.body));
    }
    const std::string content = pattern(200'000);
    for (std::size_t at = 0; at < content.size(); at += 5'000) { // all at the same pace
        for (upload& one : all) one.client.send(content.substr(at, 5'000));
        loop.run_virtual(loop.now() + 1ms);
    }
    const auto whole = std::count_if(all.begin(), all.end(), [](const upload& one) { return one.body.whole(); });
    CHECK(whole >= 8);
    for (upload& one : all) {
        if (one.body.whole())
            CHECK(one.body.text().view() == content);
        else
            CHECK(one.body.lacked_memory());
    }
    CHECK(memory.used() <= 2'000'000);
    for (upload& one : all) one.body.abandon();
    loop.run_virtual(loop.now() + 1s);
    all.clear();
    CHECK(memory.used() == 0);
}

TEST_CASE("memory is counted by capacity and comes back with the last who holds a piece") {
    arriving f;
    f.begin({wire::body_kind::length, 100'000}, 1 << 20);
    f.loop.nursery().spawn(
        [](request_body& body) -> net::task<void> { static_cast<void>(co_await body.read_whole(1 << 20)); }(*f.body));
    f.client.send(pattern(50'000));
    f.pass();
    CHECK(f.memory.used() >= 50'000);
    CHECK(f.memory.used() <= 100'000 + 64 * 1024); // its length is known, and all of it has a block
    f.client.send(pattern(100'000).substr(50'000));
    f.pass();
    REQUIRE(f.body->whole());
    CHECK(f.body->text().view() == pattern(100'000));

    shared_bytes kept = f.body->text();
    f.body.reset();
    CHECK(f.memory.used() > 0);
    kept = {};
    CHECK(f.memory.used() == 0);
}

TEST_CASE("bytes behind a chunked body are the next request's, wherever they came") {
    for (const bool with_head : {true, false}) {
        arriving f;
        const std::string sent = "5\r\nhello\r\n0\r\n\r\nPOST /next";
        f.begin({wire::body_kind::chunked, 0}, 1 << 20, with_head ? std::string_view{sent} : std::string_view{});
        if (!with_head) {
            f.loop.nursery().spawn([](request_body& body) -> net::task<void> {
                static_cast<void>(co_await body.read_whole(100));
            }(*f.body));
            f.client.send(sent);
            f.pass();
        }
        REQUIRE(f.body->whole());
        CHECK(f.body->text().view() == "hello");
        const io_buffer excess = f.body->take_excess();
        CHECK(std::string{f.input.unread()} + std::string{excess.unread()} == "POST /next");
    }
}

TEST_CASE("a reader that stands in the way of a body that may not all be held is given up, and no other") {
    arriving f;
    f.begin({wire::body_kind::length, 1'000'000}, 100'000);
    taker quick(f), slow(f);
    f.loop.nursery().spawn(taker::run(quick));
    f.loop.nursery().spawn(taker::run(slow));
    f.client.send(pattern(1'000'000));
    slow.let(1);
    quick.let(1'000);
    CHECK(quick.got == pattern(1'000'000));
    CHECK(quick.ended);
    CHECK_FALSE(f.body->replayable());
    CHECK(f.body->text().empty());

    slow.let(1'000);
    CHECK(slow.failed);
    CHECK(slow.reader.outrun());
    CHECK_FALSE(quick.reader.outrun());
    CHECK(pattern(1'000'000).starts_with(slow.got));
}

TEST_CASE("a body that comes faster than it is read is read in larger pieces, one that drips in usual blocks") {
    const std::string body = pattern(300 * 1024);
    const auto pieces = [&](std::size_t at_once) {
        arriving in;
        const std::size_t first = buffer_pool::block_bytes;
        in.begin({wire::body_kind::length, body.size()}, 1 << 20, std::string_view{body}.substr(0, first));
        taker all(in);
        in.loop.nursery().spawn(taker::run(all));
        int taken = 0;
        for (std::size_t at = first; at < body.size(); at += at_once) {
            in.client.send(std::string_view{body}.substr(at, at_once));
            for (std::size_t before = 0; all.got.size() < std::min(at + at_once, body.size()); ++taken) {
                before = all.got.size();
                all.let(2);
                REQUIRE(all.got.size() > before);
            }
        }
        all.let(1);
        CHECK(all.ended);
        CHECK(all.got == body);
        in.body->let_go();
        return taken;
    };
    CHECK(pieces(body.size()) == 4); // turns, of which each takes a piece or two; 5 with usual blocks at first
    CHECK(pieces(1000) >= 290);
}

TEST_CASE("a larger block is not taken where there is no room for it, nor beyond what may be held") {
    const std::string body = pattern(100 * 1024);
    const auto used = [&](std::uint64_t limit, std::uint64_t held) {
        arriving in;
        in.memory.set_limit(limit);
        const std::size_t first = buffer_pool::block_bytes;
        in.begin({wire::body_kind::length, body.size()}, held, std::string_view{body}.substr(0, first));
        in.client.send(std::string_view{body}.substr(first, 1));
        taker all(in);
        in.loop.nursery().spawn(taker::run(all));
        for (int i = 0; i < 4; ++i) all.let(1);
        CHECK(all.got.size() >= first);
        const std::uint64_t most = in.memory.used();
        in.body->abandon();
        in.pass();
        for (int i = 0; i < 4; ++i) all.let(1);
        return most;
    };
    CHECK(used(1 << 20, 1 << 20) == buffer_pool::block_bytes + 64 * 1024);
    CHECK(used(3 * buffer_pool::block_bytes, 1 << 20) == 2 * buffer_pool::block_bytes);
    CHECK(used(1 << 20, buffer_pool::block_bytes) == 2 * buffer_pool::block_bytes);
}

TEST_CASE("P13.1: whatever the sizes, the framing, the bounds and the order, each reader gets the body's own bytes") {
    int outrun = 0, whole = 0, failed = 0;
    for (unsigned seed = 1; seed <= 400; ++seed) {
        CAPTURE(seed);
        std::mt19937 random(seed);
        const auto draw = [&](std::size_t below) { return static_cast<std::size_t>(random() % below); };
        arriving f;
        const std::size_t size = draw(3) == 0 ? draw(200'000) : draw(40'000);
        const std::string content = pattern(size);
        const bool is_chunked = draw(2) == 0;
        const std::string sent = is_chunked ? chunked(content, random) : content;
        if (draw(4) == 0) f.memory.set_limit(16 * 1024 * (1 + draw(6)));
        std::size_t at = std::min(draw(3) == 0 ? draw(12'000) : 0, sent.size());
        f.begin(is_chunked ? wire::body_framing{wire::body_kind::chunked, 0}
                           : wire::body_framing{wire::body_kind::length, size},
                draw(3) == 0 ? draw(100'000) : 1 << 20, std::string_view{sent}.substr(0, at));
        const std::size_t count = 1 + draw(3);
        std::vector<std::unique_ptr<taker>> takers;
        const bool leaves = draw(8) == 0;
        for (int steps = 0; steps < 2'000; ++steps) {
            const std::size_t what = draw(4);
            if (what == 0 && at < sent.size()) {
                if (leaves && at > sent.size() / 2) {
                    f.client.leave();
                    f.pass();
                    continue;
                }
                const std::size_t piece = std::min(sent.size() - at, 1 + draw(draw(3) == 0 ? 50'000 : 3'000));
                f.client.send(sent.substr(at, piece));
                at += piece;
                f.pass();
            } else if (what == 1 && takers.size() < count && f.body->replayable()) {
                takers.push_back(std::make_unique<taker>(f));
                f.loop.nursery().spawn(taker::run(*takers.back()));
            } else if (!takers.empty()) {
                takers[draw(takers.size())]->let(1);
            }
            if (draw(10) == 0) CHECK(content.starts_with(f.body->text().view()));
        }
        if (at < sent.size() && !leaves) f.client.send(sent.substr(at));
        f.pass();
        f.body->abandon();
        for (auto& one : takers) one->let(3'000);
        for (auto& one : takers) {
            CHECK(content.starts_with(one->got));
            if (one->ended) CHECK(one->got == content);
            whole += one->ended;
            failed += one->failed;
            outrun += one->reader.outrun();
            CHECK((one->ended || one->failed));
        }
        CHECK(f.loop.nursery().size() == 0);
        CHECK_FALSE(f.body->in_use());
        takers.clear();
        f.body.reset();
        f.input.release();
        CHECK(f.memory.used() == 0);
        CHECK(f.loop.timers().armed() == 0);
    }
    CHECK(whole > 300);
    CHECK(failed > 20);
    CHECK(outrun > 5);
}

} // namespace evenkeel::test::request_body_test
