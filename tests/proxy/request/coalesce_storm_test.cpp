// Property (P10.1 to P10.3): whatever clients of a shared flight do, the leader included, every one that stays gets
// what the upstream said, byte for byte, whole where that was whole and broken where it was broken; and when all is
// over nothing remains: no flight in the map, no task, timer, exchange, permit or byte of memory.
//
// A case is a seed: a few clients with identical requests at drawn times, some of which leave, stop reading, or give
// little time; one script for the upstream. EVENKEEL_STORM=1 runs 10^5 cases.

#include "tests/proxy/request/coalesce_fixture.hpp"
#include "tests/support/storm_scale.hpp"

#include <memory>
#include <random>

namespace evenkeel::test::coalesce_storm_test {

namespace {
std::string event_of(int i) {
    return "data: {\"choices\":[{\"delta\":{\"content\":\"" + std::to_string(i) + "\"},\"finish_reason\":null}]}\n\n";
}

struct tally {
    int cases = 0, whole = 0, broken = 0, refused = 0, late = 0, left = 0, detached = 0, exchanges = 0, clients = 0,
        followers = 0;
};

class storm_case {
public:
    explicit storm_case(std::uint32_t seed) : random_(seed) {
        f_.route->bulkhead = {.on = true, .max_concurrent = 2, .max_queue = 8, .queue_timeout = 1h};
        f_.route->timeout.total = 1h;
        f_.route->stream.hold_buffer = one_in(3) ? 1024 : 1024 * 1024;
        small_ = f_.route->stream.hold_buffer == 1024;
        stream_ = !one_in(4);
        body_ = stream_ ? R"({"seed":1,"stream":true})" : R"({"seed":1})";
        draw_script();
    }

    void run(tally& sum) {
        const int clients = 2 + static_cast<int>(below(4));
        for (int i = 0; i < clients; ++i) {
            visitor& one = *visitors_.emplace_back(std::make_unique<visitor>(f_.loop));
            std::string fields = "Authorization: Bearer x\r\n";
            if (one_in(8)) {
                one.patience = std::chrono::milliseconds{10 + below(100)};
                fields += "x-evenkeel-timeout: " + std::to_string(std::chrono::duration<double>(one.patience).count()) +
                          "\r\n";
            }
            one.came = f_.loop.now();
            one.client = &f_.join("POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\n" + fields +
                                  "Content-Length: " + std::to_string(body_.size()) + "\r\n\r\n" + body_);
            if (one_in(2)) f_.loop.timers().arm(one, f_.loop.now() + grid() + grid()); // leaves by itself
            if (one_in(12)) {
                one.client->stop_reading();
                one.stalled = true;
            }
            f_.pass(grid());
        }
        f_.pass(200ms);
        for (auto& one : visitors_)
            if (one->stalled && !one->left) one->client->read_again();
        f_.pass(10s);
        for (const auto& one : visitors_) check(*one, sum);
        sum.exchanges += static_cast<int>(f_.upstream.exchanges().size());
        sum.clients += clients;
        sum.followers += f_.counted.followers;
        sum.detached += static_cast<int>(f_.counted.detached.size());
        ++sum.cases;
        for (auto& one : visitors_) one->client->leave();
        f_.pass(1s);
        REQUIRE(f_.flights.size() == 0);
        REQUIRE(f_.shared_services.flight_nursery.size() == 0);
        // Unwatched clients.
        REQUIRE(f_.memory.used() <= f_.shared_context.open.size() * request::buffer_pool::block_bytes);
        REQUIRE(f_.upstream.open_now() == 0);
        f_.pass(everything_over);
        REQUIRE(f_.memory.used() == 0);
        REQUIRE(f_.loop.nursery().size() == 0);
        REQUIRE(f_.loop.timers().armed() == 0);
        REQUIRE(f_.counted.leaders == f_.counted.ended);
        REQUIRE(f_.upstream.exchanges().size() <= static_cast<std::size_t>(clients));
        const auto report = f_.registry.report(*f_.settings, f_.loop.now());
        REQUIRE(report.routes.front().bulkhead->in_use + report.routes.front().bulkhead->queued == 0);
        REQUIRE(f_.seen.attempts_started == static_cast<int>(f_.seen.attempts.size()));
        REQUIRE(f_.seen.started == static_cast<int>(f_.seen.requests.size()));
    }

private:
    struct visitor final : net::timer_entry {
        explicit visitor(net::loop&) {}
        void on_timer() override {
            left = true;
            client->leave();
        }
        scripted_client* client = nullptr;
        bool left = false, stalled = false;
        duration patience{};
        steady_time came{};
    };

    std::uint32_t below(std::uint32_t n) { return static_cast<std::uint32_t>(random_() % n); }
    bool one_in(std::uint32_t n) { return below(n) == 0; }
    duration grid() {
        static constexpr int steps[] = {0, 0, 1, 5, 5, 10, 10, 20, 40};
        return std::chrono::milliseconds{steps[below(std::size(steps))]};
    }

    void draw_script() {
        exchange_script script{.connect_after = grid()};
        script.steps.push_back(play::request{body_.size()});
        script.steps.push_back(play::pause{grid()});
        if (one_in(8)) {
            status_ = 500;
            text_ = R"({"error":{"message":"m"}})";
            script.steps.push_back(play::send{status_answer(500)});
        } else if (!stream_) {
            const std::size_t size = one_in(2) ? 10 : 3000;
            text_ = "{\"a\":\"" + std::string(size, 'x') + "\"}";
            const std::string head =
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(text_.size()) +
                "\r\n\r\n";
            const std::size_t cut = below(static_cast<std::uint32_t>(text_.size()));
            script.steps.push_back(play::send{head + text_.substr(0, cut)});
            script.steps.push_back(play::pause{grid()});
            if (small_ && size == 3000 && one_in(4)) { // it passes as it comes, and breaks
                whole_ = false;
                text_.resize(cut);
                script.steps.push_back(play::end{});
            } else {
                script.steps.push_back(play::send{text_.substr(cut)});
            }
        } else {
            const int events = 1 + static_cast<int>(below(30));
            whole_ = !one_in(4);
            script.steps.push_back(play::send{stream_head});
            for (int i = 0; i < events; ++i) {
                text_ += event_of(i);
                script.steps.push_back(play::send{chunk(event_of(i))});
                if (one_in(2)) script.steps.push_back(play::pause{grid()});
            }
            if (whole_) {
                text_ += stop + done;
                script.steps.push_back(play::send{chunk(stop) + chunk(done) + "0\r\n\r\n"});
            } else {
                script.steps.push_back(play::end{});
            }
        }
        f_.upstream.always(script);
    }

    void check(const visitor& one, tally& sum) {
        if (one.left) {
            ++sum.left;
            return;
        }
        const read_answer got = read_response(one.client->received());
        if (one.patience > duration::zero() && got.status == 504) {
            REQUIRE(got.whole);
            ++sum.late;
            return;
        }
        if (one.patience > duration::zero() && !stream_ && !got.whole) { // its time ended while the body came
            REQUIRE(text_.starts_with(got.body));
            ++sum.late;
            return;
        }
        if (one.stalled && has(got.body, "stream_reader_detached")) {
            REQUIRE(!got.whole);
            REQUIRE(text_.starts_with(got.body.substr(0, got.body.find("event: error"))));
            ++sum.broken;
            return;
        }
        if (one.stalled && small_ && !got.whole && !stream_) { // detached, where no word can be said
            REQUIRE(text_.starts_with(got.body));
            ++sum.broken;
            return;
        }
        if (whole_) {
            REQUIRE(got.status == status_);
            REQUIRE(got.whole);
            REQUIRE(got.body == text_);
            ++(status_ == 200 ? sum.whole : sum.refused);
        } else if (got.status == 502) { // it broke before anything of it was passed on
            REQUIRE(got.whole);
            ++sum.refused;
        } else {
            CAPTURE(one.client->received());
            CAPTURE(text_);
            REQUIRE(!got.whole);
            REQUIRE(got.body.starts_with(text_));
            if (stream_) REQUIRE(has(got.body, "stream_truncated"));
            ++sum.broken;
        }
    }

    std::mt19937 random_;
    crowd f_;
    bool stream_ = false, small_ = false, whole_ = true;
    int status_ = 200;
    std::string body_, text_;
    std::vector<std::unique_ptr<visitor>> visitors_;
};
} // namespace

TEST_CASE("P10.1 P10.2 P10.3: clients of shared flights come, leave and stall at random: who stays gets all of it, and "
          "nothing remains") {
    tally sum;
    const int cases = scaled(100'000, 0.05);
    for (int i = 1; i <= cases; ++i) {
        CAPTURE(i);
        storm_case one(static_cast<std::uint32_t>(i));
        one.run(sum);
    }
    MESSAGE(sum.cases, " cases, ", sum.clients, " clients, ", sum.followers, " followers, ", sum.exchanges,
            " upstream; whole ", sum.whole, ", broken ", sum.broken, ", refused ", sum.refused, ", too late ", sum.late,
            ", left ", sum.left, ", detached ", sum.detached);
    CHECK(sum.whole > sum.cases / 2);
    CHECK(sum.followers > sum.cases / 2);
    CHECK(sum.left > sum.cases / 2);
    CHECK(sum.broken > sum.cases / 20);
    CHECK(sum.late > 0);
}

} // namespace evenkeel::test::coalesce_storm_test
