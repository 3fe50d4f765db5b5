// The exporter over real sockets, against a collector that is well, slow, away, refuses, or asks for patience: what is
// sent, what is dropped and counted, and that whoever tells of a request never waits.

#include "proxy/provider/simulated_provider.hpp"
#include "proxy/telemetry/app_log.hpp"
#include "proxy/telemetry/background.hpp"
#include "proxy/telemetry/trace_exporter.hpp"
#include "tests/proxy/telemetry/sample_config.hpp"

#include <boost/json.hpp>
#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <thread>
#include <vector>

namespace evenkeel::test::trace_exporter_test {

using namespace evenkeel::telemetry;
using namespace evenkeel::provider;
using namespace std::chrono_literals;

namespace {
const std::string canary = "sk-CANARY-collector";

struct exporting {
    // Its /echo answers every request with 200 and a JSON object.
    simulated_provider collector{{.record_body_bytes = 1 << 22}};
    std::shared_ptr<config::settings> settings = sample_settings({{"llm", "a"}});
    background helper{"test-log"};
    app_log log{helper};
    trace_exporter exporter;

    explicit exporting(trace_exporter_options options = {.collect = 5ms, .first_pause = 10ms, .longest_pause = 50ms})
        : exporter(log, std::move(options)) {
        log.configure({.level = config::log_level::error});
        settings->tracing.traces_endpoint = config::url{.tls = false,
                                                        .host = "127.0.0.1",
                                                        .port = collector.port(),
                                                        .authority = "127.0.0.1:" + std::to_string(collector.port()),
                                                        .base_path = "/echo"};
        settings->tracing.headers = {{"api-key", canary}};
        exporter.configuration_loaded(settings);
    }

    // A plain request is one span; a `disturbed` one of an attempt too.
    void tell(bool drawn = true, bool disturbed = false) {
        request_account account;
        account.route = settings->routes[0].get();
        account.method = "POST";
        account.path = "/x";
        account.status = disturbed ? 502 : 200;
        account.outcome = disturbed ? request_outcome::proxy_error : request_outcome::ok;
        account.trace = {
            .trace_high = 1, .trace_low = 2, .span = ++told, .drawn = told, .flags = static_cast<std::uint8_t>(drawn)};
        exporter.request_finished(account);
    }
    std::uint64_t told = 0;

    [[nodiscard]] std::uint64_t at(trace_result what) const { return exporter.summary().at(what); }
    bool wait_for(trace_result what, std::uint64_t spans) const {
        for (int i = 0; i < 2000 && at(what) < spans; ++i) std::this_thread::sleep_for(5ms);
        return at(what) == spans;
    }
    [[nodiscard]] std::size_t received() const {
        std::size_t spans = 0;
        for (const auto& one : collector.records()) {
            const auto read = boost::json::parse(one.body);
            spans += read.at("resourceSpans").at(0).at("scopeSpans").at(0).at("spans").as_array().size();
        }
        return spans;
    }
};
} // namespace

TEST_CASE("exporter: drawn and disturbed requests arrive, others do not; one connection serves for all") {
    exporting it;
    for (int i = 0; i < 10; ++i) it.tell(true);
    for (int i = 0; i < 10; ++i) it.tell(false);
    it.tell(false, true);
    CHECK(it.wait_for(trace_result::exported, 11));
    it.tell(true);
    CHECK(it.wait_for(trace_result::exported, 12));
    CHECK(it.received() == 12);
    CHECK(it.collector.counters().connections == 1);
    const auto records = it.collector.records();
    CHECK(records.front().method == "POST");
    CHECK(records.front().target == "/echo");
    CHECK(records.front().header("content-type") == "application/json");
    CHECK(records.front().header("api-key") == canary);
    for (const auto& one : records) CHECK(one.body.find("CANARY") == std::string::npos);
    it.exporter.finish(1s);
    CHECK(it.at(trace_result::failed) == 0);
}

TEST_CASE("exporter: a kept connection that has ended is replaced, and nothing is lost") {
    exporting it;
    it.tell();
    CHECK(it.wait_for(trace_result::exported, 1));
    it.collector.drop_idle(true);
    it.tell();
    CHECK(it.wait_for(trace_result::exported, 2));
}

TEST_CASE("exporter: 429 and 503 are for later, as late as Retry-After says; another refusal is final") {
    exporting it;
    SUBCASE("later") {
        it.collector.script({.script = "status=429; retry_after=1", .times = 1});
        it.collector.script({.script = "status=503", .times = 2});
        const auto since = std::chrono::steady_clock::now();
        it.tell();
        CHECK(it.wait_for(trace_result::exported, 1));
        CHECK(std::chrono::steady_clock::now() - since >= 1s);
        CHECK(it.collector.records().size() == 4);
    }
    SUBCASE("final") {
        it.collector.script({.script = "status=400", .times = 1});
        it.tell();
        CHECK(it.wait_for(trace_result::rejected, 1));
        it.tell();
        CHECK(it.wait_for(trace_result::exported, 1));
        CHECK(it.collector.records().size() == 2);
    }
    SUBCASE("some of them") {
        // Where the provider's script may say what the body is.
        it.settings->tracing.traces_endpoint->base_path = "/v1/embeddings";
        it.exporter.configuration_loaded(it.settings);
        it.collector.script(
            {.script = R"(status=200; body=text:{"partialSuccess":{"rejectedSpans":"1"}})", .times = 1});
        it.tell();
        it.tell();
        CHECK(it.wait_for(trace_result::exported, 1));
        CHECK(it.at(trace_result::rejected) == 1);
        CHECK(it.collector.records().size() == 1);
    }
}

TEST_CASE("exporter: a collector that never answers costs whoever tells nothing; what does not fit is counted") {
    exporting it({.most_queued = 100, .most_together = 10, .collect = 5ms, .answer_time = 60s});
    it.collector.script({.script = "stall_after=request"});
    it.tell();
    CHECK(it.collector.wait_for([](const provider_counters& now) { return now.in_flight == 1; }));
    auto longest = 0ns;
    for (int i = 0; i < 10'000; ++i) {
        const auto before = std::chrono::steady_clock::now();
        it.tell();
        longest = std::max<std::chrono::nanoseconds>(longest, std::chrono::steady_clock::now() - before);
    }
    CHECK(it.at(trace_result::queue_full) == 10'000 - 100);
    CHECK(longest < 1s); // that of a machine that is busy; a wait for the collector would be 60 s
    const auto before = std::chrono::steady_clock::now();
    it.exporter.finish(100ms);
    CHECK(std::chrono::steady_clock::now() - before < 5s);
    CHECK(it.at(trace_result::failed) == 101);
    CHECK(it.at(trace_result::exported) == 0);
    it.tell(); // too late, and nobody waits
    CHECK(it.at(trace_result::exported) == 0);
}

TEST_CASE("exporter: a collector that is away is asked again, and given up in time") {
    exporting it({.collect = 5ms, .first_pause = 10ms, .longest_pause = 50ms, .give_up = 300ms});
    it.collector.refuse();
    it.tell();
    CHECK(it.wait_for(trace_result::failed, 1));
    it.collector.accept_again();
    it.tell();
    CHECK(it.wait_for(trace_result::exported, 1));
}

TEST_CASE("exporter: what is left at the end is sent within its time") {
    exporting it({.collect = 1h});
    for (int i = 0; i < 20; ++i) it.tell();
    it.exporter.finish(5s);
    CHECK(it.at(trace_result::exported) == 20);
    CHECK(it.received() == 20);
}

TEST_CASE("exporter: a reload sends it elsewhere, off ends it, and it begins again") {
    exporting it;
    it.tell();
    CHECK(it.wait_for(trace_result::exported, 1));
    auto off = std::make_shared<config::settings>(*it.settings);
    off->tracing.on = false;
    it.exporter.configuration_loaded(off);
    it.tell();
    it.exporter.configuration_loaded(it.settings);
    it.tell();
    CHECK(it.wait_for(trace_result::exported, 2));
    CHECK(it.received() == 2);
}

TEST_CASE("exporter: what is loaded counts from the next try on") {
    exporting it({.collect = 5ms, .answer_time = 60s, .first_pause = 10ms, .longest_pause = 50ms});
    auto next = std::make_shared<config::settings>(*it.settings);
    SUBCASE("off is off") {
        it.collector.script({.script = "status=503"});
        it.tell();
        CHECK(it.collector.wait_for([](const provider_counters& now) { return now.requests > 2; }));
        next->tracing.on = false;
        it.exporter.configuration_loaded(next);
        CHECK(it.wait_for(trace_result::failed, 1));
    }
    SUBCASE("another place is asked at once") {
        it.collector.script({.script = "stall_after=request", .path = "/echo"});
        it.tell();
        CHECK(it.collector.wait_for([](const provider_counters& now) { return now.in_flight == 1; }));
        next->tracing.traces_endpoint->base_path = "/v1/embeddings";
        it.exporter.configuration_loaded(next);
        CHECK(it.wait_for(trace_result::exported, 1));
    }
}

TEST_CASE("exporter: a collector that asks for an hour is left alone, also by the next batches") {
    exporting it({.collect = 5ms, .first_pause = 10ms, .longest_pause = 50ms, .give_up = 300ms});
    it.collector.script({.script = "status=429; retry_after=3600", .times = 1});
    it.tell();
    CHECK(it.wait_for(trace_result::failed, 1));
    for (int i = 0; i < 20; ++i) {
        it.tell();
        std::this_thread::sleep_for(10ms);
    }
    CHECK(it.collector.records().size() == 1);
    auto next = std::make_shared<config::settings>(*it.settings);
    next->tracing.traces_endpoint->base_path = "/v1/embeddings"; // another one has asked for nothing
    it.exporter.configuration_loaded(next);
    CHECK(it.wait_for(trace_result::exported, 20));
}

TEST_CASE("exporter: an answer behind others, and one that never comes to its end") {
    exporting it({.collect = 5ms, .answer_time = 60s});
    SUBCASE("1xx") {
        it.collector.script({.script = "informational=100,103"});
        it.tell();
        CHECK(it.wait_for(trace_result::exported, 1));
        CHECK(it.collector.records().size() == 1);
    }
    SUBCASE("the size of a chunk") {
        const std::string endless(100'000, 'e');
        it.collector.script(
            {.script = R"(raw=HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2)" + endless, .times = 1});
        it.collector.script({.script = "raw=HTTP/1.1 200 OK\\r\\nx: " + endless, .times = 1});
        it.tell();
        for (int i = 0; i < 1000 && it.collector.records().empty(); ++i) std::this_thread::sleep_for(5ms);
        it.tell();
        // The first was taken, as its head says; the second is asked again.
        CHECK(it.wait_for(trace_result::exported, 2));
    }
}

TEST_CASE("exporter: from several threads at once, nothing is lost uncounted") {
    exporting it({.most_queued = 500, .collect = 1ms});
    constexpr int each = 2000;
    std::vector<std::thread> workers;
    for (int i = 0; i < 4; ++i) {
        workers.emplace_back([&it, i] {
            request_account account;
            account.method = "GET";
            account.path = "/x";
            account.status = 200;
            for (int j = 0; j < each; ++j) {
                account.trace = {.trace_low = 1, .span = static_cast<std::uint64_t>(i * each + j + 1), .flags = 1};
                it.exporter.request_finished(account);
            }
        });
    }
    for (auto& one : workers) one.join();
    it.exporter.finish(10s);
    CHECK(it.at(trace_result::exported) + it.at(trace_result::queue_full) + it.at(trace_result::failed) == 4 * each);
    CHECK(it.received() == it.at(trace_result::exported));
    CHECK(it.at(trace_result::failed) == 0);
}

} // namespace evenkeel::test::trace_exporter_test
