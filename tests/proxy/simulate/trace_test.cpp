#include "proxy/simulate/simulation.hpp"
#include "proxy/simulate/trace.hpp"
#include "proxy/simulate/trace_traffic.hpp"
#include "proxy/telemetry/access_log.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <random>
#include <sstream>
#include <string>

namespace evenkeel::simulate::trace_test {

using namespace model;
using model::verdict;

using end_of = trace_entry::end;

namespace {

trace read(const std::string& text) {
    std::istringstream in(text);
    return read_trace(in);
}
std::string line(const std::string& outcome, const std::string& more = "", int attempts = 1, int status = 200,
                 const std::string& ts = "2026-11-23T10:19:35.000Z", const std::string& duration = "4.000000") {
    return R"({"ts":")" + ts +
           R"(","request_id":"x","route":"llm","method":"POST","path":"/v1/chat/completions","status":)" +
           std::to_string(status) + R"(,"outcome":")" + outcome + R"(","attempts":)" + std::to_string(attempts) + more +
           R"(,"duration_s":)" + duration + "}\n";
}
trace_entry only(const std::string& text) {
    const trace all = read(text);
    REQUIRE(all.entries.size() == 1);
    return all.entries[0];
}

} // namespace

TEST_CASE("each outcome is read as the way its last attempt ended") {
    CHECK(only(line("ok")).how == end_of::answered);
    CHECK(only(line("upstream_error", "", 1, 429)).how == end_of::status);
    CHECK(only(line("upstream_error", "", 1, 429)).status == 429);
    CHECK(only(line("upstream_error", "", 1, 200)).status == 500); // the head had gone ahead
    CHECK(only(line("proxy_error", R"(,"proxy_error":"http_response_timeout")")).how == end_of::silence);
    CHECK(only(line("proxy_error", R"(,"proxy_error":"connection_refused")")).how == end_of::reset);
    CHECK(only(line("truncated", R"(,"stream_end":"idle")")).how == end_of::cut_silence);
    CHECK(only(line("truncated", R"(,"stream_end":"upstream_error")")).how == end_of::cut_error);
    CHECK(only(line("truncated")).how == end_of::cut_reset);
    CHECK(only(line("client_cancelled", "", 1, 0, "2026-11-23T10:19:35.000Z", "30")).how == end_of::silence);
}

TEST_CASE("what says nothing about a provider is left out") {
    const trace all =
        read(line("client_cancelled") +
             line("client_cancelled", R"(,"first_byte_s":1.0)", 1, 200, "2026-11-23T10:19:35.000Z", "30") +
             line("rejected", "", 0, 404) + line("ok", "", 0) + line("ok"));
    CHECK(all.lines == 5);
    CHECK(all.junk == 0);
    CHECK(all.left_out == 4);
    CHECK(all.entries.size() == 1);
    CHECK(describe(all) == "5 lines: 1 replayed, 0 junk, 4 left out");
}

TEST_CASE("times are shared out between the attempts of a request") {
    const trace_entry one = only(line("ok", R"(,"stream":true,"first_token_s":1.5)"));
    CHECK(one.stream);
    CHECK(one.first == doctest::Approx(1.5));
    CHECK(one.whole == doctest::Approx(4));
    const trace_entry third = only(line("ok", R"(,"stream":true,"first_token_s":1.5)", 3));
    CHECK(third.failed_after == doctest::Approx(0.4));
    CHECK(third.whole == doctest::Approx(3.2));
    CHECK(third.first == doctest::Approx(0.7));
    CHECK(only(line("ok", "", 2, 200, "2026-11-23T10:19:35.000Z", "0.4")).failed_after == doctest::Approx(0.1));
    CHECK(only(line("ok")).first == doctest::Approx(1));                                        // a quarter
    CHECK(only(line("ok", R"(,"stream":true,"first_token_s":9)")).first == doctest::Approx(4)); // not behind the end
}

TEST_CASE("arrivals are sorted and counted from the first") {
    const trace all =
        read(line("ok", "", 1, 200, "2026-11-23T10:19:36.250Z") + line("ok", "", 2, 200, "2026-11-23T10:19:35.000Z") +
             line("ok", "", 3, 200, "2026-11-24T10:19:35.000Z"));
    REQUIRE(all.entries.size() == 3);
    CHECK(all.entries[0].attempts == 2);
    CHECK(all.entries[1].due == doctest::Approx(1.25));
    CHECK(all.entries[2].due == doctest::Approx(86400));
}

TEST_CASE("junk is counted and passed over") {
    const std::string good = line("ok");
    const std::vector<std::string> junk{
        "hello\n",
        "{\n",
        "[]\n",
        "null\n",
        "{}\n",
        good.substr(0, good.size() / 2) + "\n",
        std::string(1, '\0') + "\n",
        line("no such outcome"),
        line("ok", "", -1),
        line("ok", "", 1, 99999),
        line("ok", "", 2000),
        line("ok", "", 1, 200, "yesterday"),
        line("ok", "", 1, 200, "2026-13-23T10:19:35.000Z"),
        line("ok", "", 1, 200, "2026-02-30T10:19:35.000Z"),
        line("ok", "", 1, 200, "9999-11-23T10:19:35.000Z"),
        line("ok", "", 1, 200, "2026-11-23T10:19:35.000Z", "-1"),
        line("ok", "", 1, 200, "2026-11-23T10:19:35.000Z", "1e400"),
        line("ok", "", 1, 200, "2026-11-23T10:19:35.000Z", "\"4\""),
        std::string(max_trace_line, ' ') + good,
        std::string(40, '[') + "\n",
        "\xff\xfe\n",
    };
    for (const std::string& each : junk) {
        CAPTURE(each.substr(0, 200));
        const trace all = read(good + each + good);
        CHECK(all.lines == 3);
        CHECK(all.junk == 1);
        CHECK(all.entries.size() == 2);
    }
}

TEST_CASE("an empty log, blank lines and a last line without its end") {
    CHECK(read("").lines == 0);
    CHECK(read("\n\n\n").lines == 0);
    std::string good = line("ok");
    good.pop_back();
    CHECK(read(good).entries.size() == 1);
    CHECK(read(line("ok") + good.substr(0, 100)).junk == 1);
}

TEST_CASE("a line of many megabytes takes no more memory than the longest good one, and what follows is read") {
    const trace all = read(std::string(8 << 20, 'x') + "\n" + line("ok"));
    CHECK(all.lines == 2);
    CHECK(all.junk == 1);
    CHECK(all.entries.size() == 1);
}

TEST_CASE("random damage never does more than junk") {
    std::mt19937 chance(1);
    const std::string good =
        line("ok") + line("truncated", R"(,"stream":true,"first_token_s":1.5)", 2) + line("proxy_error");
    for (int round = 0; round < 3000; ++round) {
        std::string text = good;
        for (auto hits = chance() % 6 + 1; hits > 0; --hits) text[chance() % text.size()] = static_cast<char>(chance());
        const trace all = read(text);
        if (all.entries.size() + all.junk + all.left_out != all.lines) FAIL(text);
    }
}

TEST_CASE("what the access log writes is read back") {
    telemetry::request_account record;
    record.started =
        evenkeel::wall_time{std::chrono::sys_days{std::chrono::year{2026} / 5 / 4}} + std::chrono::milliseconds{1250};
    record.method = "POST";
    record.path = "/v1/chat/completions";
    record.request_id = "\"odd\\";
    record.status = 200;
    record.effort.attempts = 2;
    record.stream = true;
    record.ended = telemetry::stream_end::complete;
    record.total = std::chrono::milliseconds{4400};
    record.first_token = std::chrono::milliseconds{1400};
    std::string text(telemetry::max_access_line, ' ');
    text.resize(static_cast<std::size_t>(telemetry::write_access_line(text.data(), record) - text.data()));

    const trace_entry back = only(text);

    CHECK(back.how == end_of::answered);
    CHECK(back.attempts == 2);
    CHECK(back.stream);
    CHECK(back.whole == doctest::Approx(4));
    CHECK(back.first == doctest::Approx(1));
}

TEST_CASE("a replay meets what was recorded, and beyond it what was usual at that time") {
    std::string text;
    for (int second = 10; second < 60; ++second) {
        const std::string ts = "2026-11-23T10:00:" + std::to_string(second) + ".000Z";
        text += second % 10 == 0 ? line("upstream_error", "", 2, 503, ts, "1.0")
                                 : line("ok", R"(,"stream":true,"first_token_s":1.0)", 1, 200, ts);
    }
    const auto recorded = std::make_shared<const trace>(read(text));
    const trace_traffic traffic(recorded, {}, 1);
    CHECK(traffic.facts().requests == 50);
    CHECK(traffic.facts().end == doctest::Approx(49));
    CHECK(traffic.meet(0, 1, 0, 0).status == 500);
    CHECK(traffic.meet(0, 2, 0, 0).status == 503);
    CHECK(traffic.meet(1, 1, 0, 0).whole == doctest::Approx(4));
    unsigned answered = 0;
    for (unsigned attempt = 3; attempt < 1003; ++attempt)
        answered += traffic.meet(0, attempt, 0, 0).is == fate::kind::answer ? 1U : 0U;
    CHECK(answered / 1000.0 == doctest::Approx(0.9).epsilon(0.05));

    const run_result run = simulate(traffic, nullptr, 1);
    CHECK(run.samples[0].how == verdict::error);
    CHECK(run.samples[1].how == verdict::success);
    CHECK(run.samples[1].seconds == doctest::Approx(4).epsilon(0.001));
    CHECK(run.samples[1].first_token == doctest::Approx(1).epsilon(0.002));
    CHECK(run.left.none());

    const trace_traffic faster(recorded, {.requests = 25, .rate = 10.0}, 1);
    CHECK(faster.facts().requests == 25);
    CHECK(faster.facts().end == doctest::Approx(2.5));
}

} // namespace evenkeel::simulate::trace_test
