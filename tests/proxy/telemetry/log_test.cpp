#include "proxy/telemetry/access_log.hpp"
#include "proxy/telemetry/access_text.hpp"
#include "proxy/telemetry/app_log.hpp"
#include "proxy/telemetry/background.hpp"
#include "proxy/telemetry/line_writer.hpp"
#include "proxy/telemetry/observer_group.hpp"
#include "tests/proxy/telemetry/sample_config.hpp"

#include <boost/json.hpp>
#include <doctest/doctest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace evenkeel::test::log_test {

using namespace evenkeel::telemetry;
using namespace std::chrono_literals;

namespace {

// A folder of its own, gone at the end.
struct scratch {
    scratch() {
        std::string name = std::filesystem::temp_directory_path() / "evenkeel_log_XXXXXX";
        path = ::mkdtemp(name.data());
    }
    ~scratch() { std::filesystem::remove_all(path); }
    [[nodiscard]] std::string file(const char* name) const { return path / name; }
    std::filesystem::path path;
};

std::vector<std::string> lines_in(const std::string& file) {
    std::vector<std::string> lines;
    std::ifstream in(file);
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
}

std::string line_of(const request_account& record) {
    std::string out(max_access_line, '\0');
    out.resize(static_cast<std::size_t>(write_access_line(out.data(), record) - out.data()));
    return out;
}

boost::json::object parsed(const std::string& line) {
    REQUIRE(line.ends_with("\n"));
    REQUIRE(line.find('\n') == line.size() - 1);
    return boost::json::parse(line).as_object();
}

// True as soon as `holds` does; real time with a generous bound.
bool soon(auto&& holds) {
    for (const auto end = std::chrono::steady_clock::now() + 10s; std::chrono::steady_clock::now() < end;) {
        if (holds()) return true;
        std::this_thread::sleep_for(2ms);
    }
    return false;
}

} // namespace

TEST_CASE("the line of a fan-out says how each part went, and its parts have no line of their own") {
    const std::string parts = R"({"phase1":{"status":200,"attempts":1}})";
    const auto line = parsed(line_of({.status = 200, .service = request_service::degraded, .parts = parts}));
    CHECK(line.at("outcome") == "degraded");
    CHECK(line.at("parts").at("phase1").at("status") == 200);
    const std::string long_one = "{\"a\":\"" + std::string(9000, 'x') + "\"}";
    CHECK_FALSE(parsed(line_of({.status = 200, .parts = long_one})).contains("parts"));

    const scratch folder;
    {
        background on("test");
        app_log problems(on);
        access_log log(on, problems);
        auto settings = std::make_shared<config::settings>(*sample_settings({{"phase1", "deepseek"}}));
        settings->access_log = {.path = folder.file("a"), .sample_ok = 0};
        log.configuration_loaded(settings);
        log.request_finished({.route = settings->routes[0].get(), .status = 200, .part_of = settings->routes[0].get()});
        log.request_finished(
            {.status = 500, .outcome = request_outcome::proxy_error, .part_of = settings->routes[0].get()});
        log.request_finished({.status = 200, .service = request_service::degraded});
        log.request_finished({.status = 200});
        CHECK(soon([&] { return !lines_in(folder.file("a")).empty(); }));
    }
    const auto lines = lines_in(folder.file("a"));
    REQUIRE(lines.size() == 1);
    CHECK(lines[0].find("\"degraded\"") != std::string::npos);
}

TEST_CASE("the access log has the listed fields, in seconds and UTC, and nothing else") {
    const auto settings = sample_settings({{"phase1", "deepseek"}});
    const auto line =
        parsed(line_of({.route = settings->routes[0].get(),
                        .upstream = settings->upstreams[0].get(),
                        .started = wall_time{1'790'159'975s + 123ms},
                        .method = "POST",
                        .path = "/v1/chat/completions",
                        .request_id = "r-1",
                        .upstream_request_id = "u-1",
                        .model = "deepseek-chat",
                        .proxy_error = "connection_terminated",
                        .status = 502,
                        .effort = {.attempts = 2,
                                   .hedges = 1,
                                   .resumed = 1,
                                   .held = 250ms,
                                   .queued = 125ms,
                                   .served = {.tokens = {10, 20, 30, 40, 50}, .cost = 1'234'000},
                                   .lost = {.tokens = {7, 0, 0, 1, 0}, .cost = 2'000'000'000, .estimated = true}},
                        .outcome = request_outcome::proxy_error,
                        .service = request_service::failed_over,
                        .denied = denied_reason::budget,
                        .ended = stream_end::idle,
                        .upstream_model = "gpt-4o-mini",
                        .stream = true,
                        .coalesced = coalesce_role::follower,
                        .upcast = true,
                        .total = 1250ms,
                        .first_byte = 310ms,
                        .first_token = 420ms,
                        .probe = true,
                        .overhead = 45us,
                        .bytes_in = 700,
                        .bytes_out = 2000}));
    const boost::json::object expected{{"ts", "2026-09-23T10:39:35.123Z"},
                                       {"request_id", "r-1"},
                                       {"upstream_request_id", "u-1"},
                                       {"route", "phase1"},
                                       {"upstream", "deepseek"},
                                       {"method", "POST"},
                                       {"path", "/v1/chat/completions"},
                                       {"status", 502},
                                       {"outcome", "proxy_error"},
                                       {"proxy_error", "connection_terminated"},
                                       {"coalesced", "follower"},
                                       {"attempts", 2},
                                       {"hedges", 1},
                                       {"probe", true},
                                       {"denied", "budget"},
                                       {"model", "deepseek-chat"},
                                       {"upstream_model", "gpt-4o-mini"},
                                       {"stream", true},
                                       {"stream_end", "idle"},
                                       {"upcast", true},
                                       {"resumed", 1},
                                       {"duration_s", 1.25},
                                       {"first_byte_s", 0.31},
                                       {"first_token_s", 0.42},
                                       {"held_s", 0.25},
                                       {"queue_s", 0.125},
                                       {"overhead_s", 0.000045},
                                       {"bytes_in", 700},
                                       {"bytes_out", 2000},
                                       {"tokens_in", 60},
                                       {"tokens_out", 90},
                                       {"tokens_cached_read", 20},
                                       {"tokens_cached_write", 30},
                                       {"tokens_reasoning", 50},
                                       {"tokens_lost", 8},
                                       {"tokens_estimated", true},
                                       {"cost", 0.001234},
                                       {"cost_lost", 2}};
    CHECK(line == expected);

    const auto least = parsed(line_of({.reason = "no_route", .status = 404, .outcome = request_outcome::rejected}));
    CHECK(least.at("route") == "none");
    CHECK(least.at("reason") == "no_route");
    CHECK_FALSE(least.contains("upstream"));
    CHECK_FALSE(least.contains("first_byte_s"));
    for (const char* absent :
         {"denied", "stream_end", "upstream_model", "first_token_s", "hedges", "probe", "held_s", "queue_s", "resumed",
          "coalesced", "upcast", "tokens_in", "tokens_out", "tokens_lost", "tokens_estimated", "cost", "cost_lost"})
        CHECK_FALSE(least.contains(absent));
}

TEST_CASE("the line of a disturbed request has its tries, of one that its client left how; it names whose it was") {
    struct witness final : request_witness {
        std::optional<std::uint64_t> credential() const override { return 0x0123456789abcdefULL; }
        std::string_view trace_id() const override { return "0af7651916cd43dd8448eb211c80319c"; }
    };
    const witness whose;
    const auto settings = sample_settings({{"phase1", "deepseek"}});
    const config::upstream& upstream = *settings->upstreams[0];
    request_account account{.route = settings->routes[0].get(),
                            .client = "10.0.0.7",
                            .request_id = "r-1",
                            .effort = {.uploading = 2s},
                            .outcome = request_outcome::client_cancelled,
                            .total = 5s,
                            .at = steady_time{105s},
                            .lost = 1s,
                            .paused = 500ms,
                            .silent = 3s,
                            .witness = &whose};
    const auto which =
        account.note(steady_time{101s}, {.upstream = &upstream}, happened::launched{attempt_kind::first, "first"});
    account.note(steady_time{105s}, {.upstream = &upstream, .attempt = which},
                 happened::ended{attempt_result::cancelled, 0, 4s, "client_gone", 3s});
    const auto line = parsed(line_of(account));
    CHECK(line.at("client") == "10.0.0.7");
    CHECK(line.at("credential") == "0123456789abcdef");
    CHECK(line.at("trace_id") == "0af7651916cd43dd8448eb211c80319c");
    CHECK(line.at("left") == "unanswered");
    CHECK(line.at("silent_s") == 3.0);
    CHECK(line.at("lost_s") == 1.0);
    CHECK(line.at("pause_s") == 0.5);
    CHECK(line.at("upload_s") == 2.0);
    REQUIRE(line.at("tries").as_array().size() == 1);
    CHECK(line.at("tries").at(0).at("cause") == "client_gone");
    CHECK(line.at("tries").at(0).at("at_s") == 1.0);
    // Of one attempt that went well there is nothing to tell.
    account.outcome = request_outcome::ok;
    CHECK_FALSE(parsed(line_of(account)).contains("tries"));
    CHECK_FALSE(parsed(line_of(account)).contains("left"));
}

TEST_CASE("nothing a client sends breaks out of its line or its field") {
    for (const std::string_view attack :
         {"/v1\r\n{\"ts\":\"forged\"}", "/v1\x1b[31m", "/\xff\xfe\x80", "/\",\"outcome\":\"ok", "/a\\", "/\xe2\x80"}) {
        const auto line = line_of({.method = attack,
                                   .path = attack,
                                   .request_id = attack,
                                   .upstream_request_id = attack,
                                   .model = std::string{attack},
                                   .reason = attack,
                                   .proxy_error = attack,
                                   .outcome = request_outcome::rejected});
        const auto read = parsed(line);
        CHECK(read.at("outcome") == "rejected");
        CHECK(line.find('\x1b') == std::string::npos);
        CHECK(line.find('\r') == std::string::npos);
    }
}

TEST_CASE("a query never reaches the log") {
    const auto line = line_of({.path = "/v1beta/models/x:generateContent?key=sk-CANARY", .status = 200});
    CHECK(line.find("CANARY") == std::string::npos);
    CHECK(parsed(line).at("path") == "/v1beta/models/x:generateContent");
}

TEST_CASE("long fields are cut between characters and the worst line fits its buffer") {
    const std::string worst(100'000, '\x01');
    const auto settings = sample_settings({{worst, worst}});
    const auto line = line_of({.route = settings->routes[0].get(),
                               .upstream = settings->upstreams[0].get(),
                               .method = worst,
                               .path = worst,
                               .request_id = worst,
                               .upstream_request_id = worst,
                               .model = worst,
                               .reason = worst,
                               .proxy_error = worst,
                               .status = -2'000'000'000,
                               .effort = {.attempts = -2'000'000'000,
                                          .served = {.tokens = {1, UINT64_MAX / 2, 3, 4, UINT64_MAX / 2},
                                                     .cost = UINT64_MAX,
                                                     .estimated = true},
                                          .lost = {.tokens = {UINT64_MAX}, .cost = UINT64_MAX}},
                               .total = duration::max(),
                               .first_byte = duration::max(),
                               .overhead = duration::max(),
                               .bytes_in = UINT64_MAX,
                               .bytes_out = UINT64_MAX});
    CHECK(line.size() < max_access_line);
    CHECK(parsed(line).at("path").as_string().size() == 2048);

    std::string euros;
    for (int i = 0; i < 1000; ++i) euros += "\xe2\x82\xac";
    const auto cut = line_of({.path = "/" + euros});
    CHECK(cut.find("\\ufffd") == std::string::npos);
    CHECK(parsed(cut).at("path").as_string().ends_with("\xe2\x82\xac..."));
}

TEST_CASE("every request is logged by default; with sampling the disturbed ones still are") {
    const scratch folder;
    background helper;
    app_log problems(helper);
    access_log to(helper, problems);
    const auto settings = sample_settings({{"phase1", "deepseek"}});
    settings->access_log = {.path = folder.file("access.log"), .sample_ok = 0.25};
    to.configuration_loaded(settings);

    constexpr int each = 4000;
    for (int i = 0; i < each; ++i) {
        to.request_finished({.path = "/ok", .status = 200, .effort = {.attempts = 1}});
        to.request_finished({.path = "/retried", .status = 200, .effort = {.attempts = 2}});
        to.request_finished({.path = "/failed", .status = 502, .outcome = request_outcome::proxy_error});
    }
    to.flush();

    int ok = 0, retried = 0, failed = 0;
    for (const auto& line : lines_in(folder.file("access.log"))) {
        ok += line.find("/ok") != std::string::npos;
        retried += line.find("/retried") != std::string::npos;
        failed += line.find("/failed") != std::string::npos;
    }
    CHECK(retried == each);
    CHECK(failed == each);
    CHECK(ok > 850); // 1000 expected, deviation 27
    CHECK(ok < 1150);
    CHECK(to.dropped() == 0);

    auto more = sample_settings({{"phase1", "deepseek"}});
    more->access_log = {.path = "off", .sample_ok = 1.0};
    to.configuration_loaded(more);
    to.request_finished({.path = "/unseen"});
    more = sample_settings({{"phase1", "deepseek"}});
    more->access_log = {.path = folder.file("access.log"), .sample_ok = 0.0};
    to.configuration_loaded(more);
    to.request_finished({.path = "/unseen", .effort = {.attempts = 1}});
    more = sample_settings({{"phase1", "deepseek"}});
    more->access_log = {.path = folder.file("access.log"), .sample_ok = 1.0};
    to.configuration_loaded(more);
    to.request_finished({.path = "/seen", .effort = {.attempts = 1}});
    more = sample_settings({{"phase1", "deepseek"}});
    more->access_log = {.path = folder.file("access.log"), .sample_ok = 0.0};
    to.configuration_loaded(more);
    to.request_finished({.path = "/seen-held", .effort = {.attempts = 1, .held = 1ms}}); // waiting is a disturbance
    // So is this.
    to.request_finished({.path = "/seen-degraded", .service = request_service::degraded, .degraded = {.is = true}});
    to.flush();
    CHECK(lines_in(folder.file("access.log")).back().find("/seen-degraded") != std::string::npos);
    CHECK(lines_in(folder.file("access.log")).at(lines_in(folder.file("access.log")).size() - 2).find("/seen-held") !=
          std::string::npos);
    for (const auto& line : lines_in(folder.file("access.log"))) CHECK(line.find("/unseen") == std::string::npos);
}

TEST_CASE("lines reach the file on their own, and a reload follows a rotated file") {
    const scratch folder;
    background helper;
    app_log problems(helper);
    access_log to(helper, problems, {.delay = 5ms});
    const auto settings = sample_settings({{"phase1", "deepseek"}});
    settings->access_log.path = folder.file("access.log");
    to.configuration_loaded(settings);

    to.request_finished({.path = "/one"});
    CHECK(soon([&] { return lines_in(folder.file("access.log")).size() == 1; }));
    struct stat is {};
    REQUIRE(::stat(folder.file("access.log").c_str(), &is) == 0);
    CHECK((is.st_mode & 0007U) == 0);

    std::filesystem::rename(folder.file("access.log"), folder.file("access.log.1"));
    to.request_finished({.path = "/two"});
    to.configuration_loaded(settings);
    to.request_finished({.path = "/three"});
    to.flush();
    CHECK(lines_in(folder.file("access.log.1")).size() == 2);
    CHECK(lines_in(folder.file("access.log")).size() == 1);
}

TEST_CASE("a log file that cannot be opened is reported and changes nothing") {
    const scratch folder;
    background helper;
    app_log problems(helper);
    problems.configure({.path = folder.file("app.log")});
    access_log to(helper, problems);
    auto settings = sample_settings({{"phase1", "deepseek"}});
    settings->access_log.path = folder.file("access.log");
    to.configuration_loaded(settings);
    settings = sample_settings({{"phase1", "deepseek"}});
    settings->access_log.path = folder.file("missing/access.log");
    to.configuration_loaded(settings);

    to.request_finished({.path = "/still"});
    to.flush();
    problems.flush();
    CHECK(lines_in(folder.file("access.log")).size() == 1);
    REQUIRE(lines_in(folder.file("app.log")).size() == 1);
    CHECK(lines_in(folder.file("app.log"))[0].find("missing/access.log") != std::string::npos);
}

TEST_CASE("a reader that stalls costs lines, which are counted, and neither time nor memory") {
    const scratch folder;
    const auto fifo = folder.file("fifo");
    REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
    const int reader = ::open(fifo.c_str(), O_RDONLY | O_NONBLOCK);
    REQUIRE(reader >= 0);
    background helper;
    std::uint64_t taken = 0, dropped = 0;
    std::string seen;
    {
        line_writer to(helper, {.capacity_bytes = 16 * 1024, .delay = 1ms, .last_flush = 50ms});
        REQUIRE_FALSE(to.open(fifo));
        const std::string line = std::string(99, 'x') + '\n';
        for (int i = 0; i < 20'000; ++i) {
            if (to.push(line))
                ++taken;
            else
                ++dropped;
            if (i % 1000 == 0) std::this_thread::sleep_for(1ms);
        }
        CHECK(dropped > 10'000); // the pipe holds 64 KiB, the queue and the buffer behind it 32 KiB
        CHECK(to.dropped() == dropped);

        // The reader wakes up: everything that was taken arrives, whole.
        char buffer[4096];
        CHECK(soon([&] {
            for (ssize_t got = 0; (got = ::read(reader, buffer, sizeof buffer)) > 0;)
                seen.append(buffer, static_cast<std::size_t>(got));
            return seen.size() == taken * line.size();
        }));

        // A stall at the end costs at most `last_flush`.
        while (to.push(line)) {}
        const auto start = std::chrono::steady_clock::now();
        to.flush();
        CHECK(std::chrono::steady_clock::now() - start < 5s);
    }
    ::close(reader);
}

TEST_CASE("a FIFO opens without a reader; what was written waits for one, and one that left may come again") {
    const scratch folder;
    const auto fifo = folder.file("fifo");
    REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
    background helper;
    line_writer to(helper, {.delay = 1ms});
    REQUIRE_FALSE(to.open(fifo));
    const auto read_until = [&](const std::string& wanted) {
        const int reader = ::open(fifo.c_str(), O_RDONLY | O_NONBLOCK);
        REQUIRE(reader >= 0);
        std::string seen;
        char buffer[4096];
        const bool all = soon([&] {
            for (ssize_t got = 0; (got = ::read(reader, buffer, sizeof buffer)) > 0;)
                seen.append(buffer, static_cast<std::size_t>(got));
            return seen.size() >= wanted.size();
        });
        ::close(reader);
        CHECK(all);
        CHECK(seen == wanted);
    };
    CHECK(to.push("one\n"));
    read_until("one\n");
    CHECK(to.push("two\n"));
    CHECK(to.push("three\n"));
    read_until("two\nthree\n");
    CHECK(to.dropped() == 0);

    // Nobody comes: the queue fills, lines are dropped and counted, and the end of the process waits `last_flush` at
    // most.
    const std::string line = std::string(999, 'x') + '\n';
    while (to.push(line)) {}
    CHECK(to.dropped() > 0);
    const auto start = std::chrono::steady_clock::now();
    to.flush();
    CHECK(std::chrono::steady_clock::now() - start < 5s);
}

TEST_CASE(
    "an access log that is a FIFO without a reader holds up neither its opening nor a reload, nor the other log") {
    const scratch folder;
    const auto fifo = folder.file("fifo");
    REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
    background helper, other;
    app_log problems(other);
    problems.configure({.path = folder.file("app.log")});
    access_log to(helper, problems, {.capacity_bytes = 64 * 1024, .delay = 1ms, .last_flush = 20ms});
    const auto settings = sample_settings({{"phase1", "deepseek"}});
    settings->access_log.path = fifo;
    const auto start = std::chrono::steady_clock::now();
    for (int reload = 0; reload < 3; ++reload) to.configuration_loaded(settings);
    for (int i = 0; i < 2000; ++i) to.request_finished({.path = "/one"});
    CHECK(std::chrono::steady_clock::now() - start < 5s);
    CHECK(to.dropped() > 0);
    problems.error("still here");
    CHECK(soon([&] { return lines_in(folder.file("app.log")).size() == 1; }));
}

TEST_CASE("many threads write whole lines") {
    const scratch folder;
    background helper;
    constexpr int each = 2000;
    {
        line_writer to(helper, {.delay = 1ms});
        REQUIRE_FALSE(to.open(folder.file("lines")));
        std::vector<std::jthread> threads;
        for (int thread = 0; thread < 4; ++thread)
            threads.emplace_back([&to, thread] {
                const std::string line = std::string(50, static_cast<char>('a' + thread)) + '\n';
                for (int i = 0; i < each; ++i) to.push(line);
            });
    }
    const auto lines = lines_in(folder.file("lines"));
    CHECK(lines.size() == 4 * each);
    for (const auto& line : lines) CHECK(line == std::string(50, line[0]));
}

TEST_CASE("the application log's two formats") {
    const wall_time when{1'790'159'975s + 123ms};
    using config::log_level;
    CHECK(format_log_line(when, log_level::info, false, false, "listening",
                          {{"address", "127.0.0.1:8080"}, {"workers", "2"}}) ==
          "2026-09-23T10:39:35.123Z info: listening address=127.0.0.1:8080 workers=2\n");
    CHECK(format_log_line(when, log_level::error, false, true, "bad\nline",
                          {{"why", "two words"}, {"empty", ""}, {"esc", "\x1b["}}) ==
          "<3>2026-09-23T10:39:35.123Z error: bad\\u000aline why=\"two words\" empty=\"\" esc=\"\\u001b[\"\n");
    CHECK(format_log_line(when, log_level::warning, true, false, "a \"b\"", {{"why", "x\r\ny"}}) ==
          "{\"ts\":\"2026-09-23T10:39:35.123Z\",\"level\":\"warning\",\"msg\":\"a "
          "\\\"b\\\"\",\"why\":\"x\\u000d\\u000ay\"}\n");
}

TEST_CASE("the application log obeys its level and changes with a reload") {
    const scratch folder;
    background helper;
    app_log to(helper, [] { return wall_time{}; });
    to.configure({.level = config::log_level::warning, .path = folder.file("app.log")});

    to.info("unseen");
    to.warning("seen");
    to.configure({.level = config::log_level::debug, .json = true, .path = folder.file("app.log")});
    to.debug("detail");
    to.flush();

    const auto lines = lines_in(folder.file("app.log"));
    REQUIRE(lines.size() == 2);
    CHECK(lines[0] == "1970-01-01T00:00:00.000Z warning: seen");
    CHECK(lines[1] == R"({"ts":"1970-01-01T00:00:00.000Z","level":"debug","msg":"detail"})");
}

TEST_CASE("an error is written without delay") {
    const scratch folder;
    background helper;
    line_writer to(helper, {.delay = 1h});
    REQUIRE_FALSE(to.open(folder.file("lines")));
    to.push("later\n");
    to.push("now\n", true);
    CHECK(soon([&] { return lines_in(folder.file("lines")).size() == 2; }));
}

TEST_CASE("under systemd stderr is the journal, a file is not") {
    const scratch folder;
    background helper;
    struct stat is {};
    REQUIRE(::fstat(STDERR_FILENO, &is) == 0);
    ::setenv("JOURNAL_STREAM", (std::to_string(is.st_dev) + ':' + std::to_string(is.st_ino)).c_str(), 1);
    line_writer to(helper);
    REQUIRE_FALSE(to.open("stderr"));
    CHECK(to.is_journal());
    REQUIRE_FALSE(to.open(folder.file("lines")));
    CHECK_FALSE(to.is_journal());
    ::setenv("JOURNAL_STREAM", "1:2", 1);
    REQUIRE_FALSE(to.open("stderr"));
    CHECK_FALSE(to.is_journal());
    ::unsetenv("JOURNAL_STREAM");
}

TEST_CASE("the helper runs what was posted before it stops") {
    int ran = 0;
    {
        background helper;
        for (int i = 0; i < 100; ++i) helper.post([&] { ++ran; });
    }
    CHECK(ran == 100);
}

namespace {
struct tally final : observer {
    std::vector<std::string> heard;
    void request_started(const config::route*) noexcept override { heard.emplace_back("started"); }
    void request_finished(const request_account&) noexcept override { heard.emplace_back("finished"); }
    void request_event(const event_origin& of, const any_happening& what) noexcept override {
        heard.push_back(std::string(of.request_id).append(" ").append(words_of(what).name));
    }
    void attempt_finished(const attempt_record&) noexcept override { heard.emplace_back("attempt"); }
    void endpoint_changed(const event_origin& of, const any_endpoint_change& what) noexcept override {
        heard.push_back(std::string(of.request_id).append(std::get<overload_changed>(what).active ? "+" : "-"));
    }
    void connection_changed(const connection_event& what) noexcept override {
        heard.push_back("idle " + std::to_string(what.by));
    }
    void connection_refused(std::string_view reason) noexcept override { heard.emplace_back(reason); }
    void internal_error(std::string_view what) noexcept override { heard.emplace_back(what); }
    void configuration_loaded(const config::snapshot& now) noexcept override { heard.push_back(now->hash); }
    void endpoints_changed(const config::snapshot& now) noexcept override { heard.push_back("at " + now->hash); }
    void configuration_failed() noexcept override { heard.emplace_back("failed"); }
};
} // namespace

TEST_CASE("every listener of a fan-out hears every call once") {
    const auto settings = sample_settings({{"phase1", "deepseek"}});
    const auto& route = *settings->routes[0];
    const event_origin of{&route, route.upstreams[0].get(), "r-1", 2};
    tally first, second;
    observer_group to({&first, &second});

    to.request_started(&route);
    to.request_finished({});
    to.request_event(of, happened::launched{attempt_kind::first, "first"});
    to.attempt_finished({});
    to.endpoint_changed(of, overload_changed{true});
    to.connection_changed({connection_event::kind::idle, nullptr, -3});
    to.connection_refused("no_fds");
    to.internal_error("ours");
    to.configuration_loaded(settings);
    to.endpoints_changed(settings);
    to.configuration_failed();

    const std::vector<std::string> all{"started", "finished", "r-1 launched", "attempt",     "r-1+",  "idle -3",
                                       "no_fds",  "ours",     "0123abcd",     "at 0123abcd", "failed"};
    CHECK(first.heard == all);
    CHECK(second.heard == all);
}

TEST_CASE("the log tells of circuits, cooldowns and overload, a line each, at the level they deserve") {
    const scratch folder;
    background helper;
    app_log to(helper, [] { return wall_time{1'790'000'000s}; });
    to.configure({.level = config::log_level::info, .json = true, .path = folder.file("app.log")});
    const auto settings = sample_settings({{"phase1", "deepseek"}});
    const auto& route = *settings->routes[0];
    const event_origin caused{&route, route.upstreams[0].get(), "r-1 \"\n", 2};

    to.endpoint_changed(caused, circuit_transition{circuit_state::closed, circuit_state::open, "consecutive_failures"});
    to.endpoint_changed(caused, circuit_transition{circuit_state::open, circuit_state::half_open, "recovery_time"});
    to.endpoint_changed(caused, circuit_transition{circuit_state::half_open, circuit_state::closed, "probe_succeeded"});
    to.endpoint_changed(caused, rest_began{outcome_kind::rate_limited, 1500ms});
    to.endpoint_changed(caused, rest_began{outcome_kind::quota, 15min});
    to.endpoint_changed(caused, overload_changed{true});
    to.endpoint_changed(caused, overload_changed{false});
    to.endpoint_changed(caused, upcast_excluded{upcast_result::unknown_field, "x_\n\"groq"});
    to.flush();

    const auto lines = lines_in(folder.file("app.log"));
    REQUIRE(lines.size() == 8);
    CHECK(boost::json::parse(lines[7]).at("why") == "unknown_field");
    CHECK(boost::json::parse(lines[7]).at("what") == "x_\n\"groq");
    const char* levels[] = {"warning", "info", "info", "info", "warning", "warning", "info", "info"};
    for (std::size_t i = 0; i < lines.size(); ++i) {
        CAPTURE(lines[i]);
        const auto line = boost::json::parse(lines[i]).as_object();
        CHECK(line.at("level") == levels[i]);
        CHECK(line.at("route") == "phase1");
        CHECK(line.at("upstream") == "deepseek");
        CHECK(line.at("request") == "r-1 \"\n");
        CHECK(line.at("attempt") == "2");
        CHECK(lines[i].find("secret-host") == std::string::npos);
        CHECK(lines[i].find("CANARY") == std::string::npos);
    }
    CHECK(boost::json::parse(lines[0]).at("why") == "consecutive_failures");
    CHECK(boost::json::parse(lines[3]).at("seconds") == "1.5");
}

TEST_CASE("the log names the model whose own circuit or doubt it is, and takes it for none of the endpoint's") {
    const scratch folder;
    background helper;
    app_log to(helper, [] { return wall_time{1'790'000'000s}; });
    to.configure({.level = config::log_level::info, .json = true, .path = folder.file("app.log")});
    const auto settings = sample_settings({{"phase1", "deepseek"}});
    const event_origin caused{settings->routes[0].get(), settings->upstreams[0].get(), "r-1", 2};
    using enum circuit_state;
    to.endpoint_changed(caused, model_circuit_changed{{closed, open, "consecutive_failures"}, "b\"ig"});
    to.endpoint_changed(caused, model_circuit_changed{{open, half_open, "recovery_time"}, "b\"ig"});
    to.endpoint_changed(caused, model_circuit_changed{{half_open, closed, "probe_succeeded"}, "b\"ig"});
    to.endpoint_changed(caused, doubt_changed{.doubted = true, .model = "b\"ig"});
    to.endpoint_changed(caused, doubt_changed{.doubted = false, .model = "b\"ig"});
    to.endpoint_changed(caused, doubt_changed{.doubted = false, .lapsed = true, .model = "b\"ig"});
    to.flush();
    const auto lines = lines_in(folder.file("app.log"));
    REQUIRE(lines.size() == 6);
    for (std::size_t i = 0; i < lines.size(); ++i) {
        CAPTURE(lines[i]);
        const auto line = boost::json::parse(lines[i]).as_object();
        CHECK(line.at("level") == (i == 0 || i == 3 ? "warning" : "info"));
        CHECK(line.at("model") == "b\"ig");
        CHECK(line.at("upstream") == "deepseek");
        CHECK(line.at("request") == "r-1");
        CHECK(lines[i].find("model") < lines[i].find("\"model\"")); // in its sentence
    }
    CHECK(boost::json::parse(lines[0]).at("from") == "closed");
    CHECK(boost::json::parse(lines[0]).at("why") == "consecutive_failures");
}

TEST_CASE("the log says nothing of a request where none was the cause, and nothing of probes of pre-warming") {
    const scratch folder;
    background helper;
    app_log to(helper, [] { return wall_time{1'790'000'000s}; });
    to.configure({.level = config::log_level::debug, .json = true, .path = folder.file("app.log")});
    const auto settings = sample_settings({{"phase1", "deepseek"}});
    const auto* upstream = settings->upstreams[0].get();

    to.endpoint_changed({nullptr, upstream}, probe_result::failed);
    to.endpoint_changed({nullptr, upstream}, circuit_transition{circuit_state::closed, circuit_state::open, "forced"});
    to.flush();

    const auto lines = lines_in(folder.file("app.log"));
    REQUIRE(lines.size() == 1);
    const auto line = boost::json::parse(lines[0]).as_object();
    CHECK(line.at("upstream") == "deepseek");
    for (const char* absent : {"route", "request", "attempt", "lines_left_out"}) CHECK_FALSE(line.contains(absent));
}

TEST_CASE("at level debug the log tells the journal of each request that was disturbed, and of no other") {
    const scratch folder;
    background helper;
    app_log to(helper, [] { return wall_time{1'790'000'000s}; });
    to.configure({.level = config::log_level::info, .json = true, .path = folder.file("app.log")});
    const auto settings = sample_settings({{"phase1", "deepseek"}});
    const event_origin of{settings->routes[0].get(), settings->upstreams[0].get()};

    request_account account{
        .route = of.route, .request_id = "r-1", .status = 200, .total = 3s, .at = steady_time{103s}};
    account.note(steady_time{100s}, of, happened::launched{attempt_kind::first, "first"});
    account.note(steady_time{102s + 500ms}, {of.route, of.upstream, {}, 1},
                 happened::ended{attempt_result::server_error, 500});
    to.request_finished(account); // at level info nobody asks
    to.configure({.level = config::log_level::debug, .json = true, .path = folder.file("app.log")});
    to.request_finished(account); // one attempt, and a good end
    account.note(steady_time{102s + 750ms}, of, happened::launched{attempt_kind::retry, "failover"});
    account.service = request_service::failed_over;
    to.request_finished(account);
    to.request_finished({.request_id = "r-2", .status = 404, .outcome = request_outcome::rejected});
    to.flush();

    const auto lines = lines_in(folder.file("app.log"));
    REQUIRE(lines.size() == 2);
    const auto line = boost::json::parse(lines[0]).as_object();
    CHECK(line.at("level") == "debug");
    CHECK(line.at("msg") == "a request was disturbed");
    CHECK(line.at("request") == "r-1");
    CHECK(line.at("route") == "phase1");
    CHECK(line.at("outcome") == "failed_over");
    CHECK(line.at("journal") == boost::json::value(text_of(account.journal, steady_time{100s})));
    CHECK(line.at("journal").as_string().starts_with("+0.000s launched first attempt=1 upstream=deepseek; +2.500s "));
    CHECK(boost::json::parse(lines[1]).at("route") == "none");
    CHECK(boost::json::parse(lines[1]).at("journal") == "");
}

TEST_CASE("at level debug each attempt has a line at its end; the level is an operator's until a reload") {
    const scratch folder;
    background helper;
    app_log to(helper, [] { return wall_time{1'790'000'000s}; });
    const config::log_options options{.level = config::log_level::info, .json = true, .path = folder.file("app.log")};
    to.configure(options);
    const auto settings = sample_settings({{"phase1", "deepseek"}});
    const attempt_record record{.route = settings->routes[0].get(),
                                .upstream = settings->upstreams[0].get(),
                                .request_id = "r-1 \"\n",
                                .attempt = 2,
                                .kind = attempt_kind::retry,
                                .why = "failover",
                                .result = attempt_result::server_error,
                                .status = 503,
                                .total = 1500ms};
    to.attempt_finished(record); // nobody asks
    to.set_level(config::log_level::debug);
    to.attempt_finished(record);
    to.attempt_finished({.kind = attempt_kind::probe,
                         .result = attempt_result::connect_failure,
                         .error = "connection_refused",
                         .total = 2ms});
    to.configure(options);
    CHECK(to.level() == config::log_level::info);
    to.attempt_finished(record);
    to.flush();

    const auto lines = lines_in(folder.file("app.log"));
    REQUIRE(lines.size() == 2);
    auto first = boost::json::parse(lines[0]).as_object();
    first.erase("endpoint");
    CHECK(first.erase("ts") == 1);
    const boost::json::object wanted{{"level", "debug"},  {"msg", "an attempt ended"}, {"request", "r-1 \"\n"},
                                     {"attempt", "2"},    {"upstream", "deepseek"},    {"kind", "retry"},
                                     {"why", "failover"}, {"result", "server_error"},  {"status", "503"},
                                     {"seconds", "1.500"}};
    CHECK(first == wanted);
    const auto probe = boost::json::parse(lines[1]).as_object();
    CHECK(probe.at("upstream") == "none");
    CHECK(probe.at("error") == "connection_refused");
    for (const char* absent : {"request", "attempt", "why", "status"}) CHECK_FALSE(probe.contains(absent));
    for (const auto& word : {"debug", "info", "warning", "error"}) CHECK(to_string(*log_level_named(word)) == word);
    CHECK_FALSE(log_level_named("Debug"));
}

TEST_CASE("the access log for people: a line a request, and of a disturbed one a second with its tries and its id") {
    const auto settings = sample_settings({{"phase1", "deepseek"}});
    const config::upstream& upstream = *settings->upstreams[0];
    request_account account{.route = settings->routes[0].get(),
                            .upstream = &upstream,
                            .started = wall_time{1'790'159'975s + 123ms},
                            .method = "POST",
                            .path = "/v1/chat/completions?key=CANARY",
                            .request_id = "r-1",
                            .status = 200,
                            .total = 3s,
                            .at = steady_time{103s}};
    CHECK(access_text(account, false) ==
          "10:39:35 200 ok            3.000s POST /v1/chat/completions  phase1 > deepseek\n");
    account.first_token = 250ms;
    account.effort.served.tokens = {410, 0, 0, 57, 0};
    account.effort.attempts = 1;
    const std::string whole = access_text(account, false);
    CHECK(whole.ends_with("  phase1 > deepseek  first 0.250s  410+57 tokens\n"));
    CHECK(access_text(account, true) == "10:39:35 \x1b[32m200 ok         \x1b[0m" + whole.substr(24));

    const auto first =
        account.note(steady_time{100s}, {.upstream = &upstream}, happened::launched{attempt_kind::first, "first"});
    account.note(steady_time{102s}, {.upstream = &upstream, .attempt = first},
                 happened::ended{attempt_result::server_error, 503, 2s});
    account.note(steady_time{102s + 500ms}, {.upstream = &upstream},
                 happened::launched{attempt_kind::retry, "failover"});
    account.service = request_service::failed_over;
    const std::string two = access_text(account, false);
    CHECK(two.find(" 200 failed_over ") != std::string::npos);
    CHECK(two.substr(two.find('\n') + 1) ==
          "         deepseek server_error 503 2.000s, deepseek (failover) under_way 0.500s id=r-1\n");
    CHECK(access_text(account, true).find("\x1b[33m200") != std::string::npos);

    // Whatever a client sends, and however many tries there are: within the width, and no control character.
    const std::string hostile = "/\x1b[2J\r\n\xe2\x82\xac" + std::string(5000, 'x');
    account.path = account.request_id = hostile;
    account.method = "PROPPATCHES\n";
    account.status = 0;
    account.outcome = request_outcome::client_cancelled;
    account.reason = hostile;
    account.total = 100'000s;
    for (int i = 0; i < 30; ++i)
        account.note(steady_time{103s}, {.upstream = &upstream}, happened::launched{attempt_kind::retry, "failover"});
    const std::string worst = access_text(account, false);
    std::istringstream lines(worst);
    int count = 0;
    for (std::string line; std::getline(lines, line); ++count) {
        CAPTURE(line);
        CHECK(line.size() <= access_text_width);
        for (const char c : line) CHECK((c >= ' ' && c < 0x7f));
    }
    CHECK(count == 2);
    CHECK(worst.find(" more id=") != std::string::npos);
    CHECK((whole + two + worst).find("CANARY") == std::string::npos);
}

TEST_CASE("on a terminal the access log is text, in a file JSON; the file says otherwise where it does") {
    const scratch folder;
    const int terminal = ::posix_openpt(O_RDWR | O_NOCTTY);
    REQUIRE(terminal >= 0);
    REQUIRE(::grantpt(terminal) == 0);
    REQUIRE(::unlockpt(terminal) == 0);
    const std::string name = ::ptsname(terminal);
    background helper;
    app_log problems(helper);
    access_log to(helper, problems);
    const auto log = [&](const std::string& path, config::access_log_format format) {
        const auto settings = sample_settings({{"phase1", "deepseek"}});
        settings->access_log = {.path = path, .format = format};
        to.configuration_loaded(settings);
        to.request_finished({.path = "/seen", .status = 200});
        to.flush();
    };
    const auto on_terminal = [&] {
        char buffer[4096];
        const auto got = ::read(terminal, buffer, sizeof buffer);
        return std::string(buffer, got > 0 ? static_cast<std::size_t>(got) : 0);
    };
    using enum config::access_log_format;
    log(name, automatic);
    const std::string seen = on_terminal();
    CHECK(seen.find("/seen  none") != std::string::npos);
    CHECK(seen.find('{') == std::string::npos);
    log(name, json);
    CHECK(on_terminal().starts_with("{\"ts\""));
    log(folder.file("auto"), automatic);
    CHECK(parsed(lines_in(folder.file("auto")).at(0) + '\n').at("path") == "/seen");
    log(folder.file("text"), text);
    CHECK(lines_in(folder.file("text")).at(0) == "00:00:00 200 ok            0.000s  /seen  none");
    ::close(terminal);
}

TEST_CASE("a flapping circuit does not flood the log, and the next line says how many were left out") {
    const scratch folder;
    background helper;
    wall_time now{1'790'000'000s};
    app_log to(helper, [&] { return now; });
    to.configure({.level = config::log_level::info, .json = true, .path = folder.file("app.log")});
    const auto settings = sample_settings({{"phase1", "deepseek"}});
    const auto& route = *settings->routes[0];
    const event_origin caused{&route, route.upstreams[0].get(), "r-1"};
    const circuit_transition opened{circuit_state::closed, circuit_state::open, "consecutive_failures"};

    for (int i = 0; i < 1000; ++i) to.endpoint_changed(caused, opened);
    to.endpoint_changed(caused, rest_began{outcome_kind::overloaded, 1s}); // has a limit of its own
    now += 1s;
    for (int i = 0; i < 10; ++i) to.endpoint_changed(caused, opened);
    to.flush();

    const auto lines = lines_in(folder.file("app.log"));
    REQUIRE(lines.size() == 22);
    CHECK_FALSE(boost::json::parse(lines[19]).as_object().contains("lines_left_out"));
    CHECK(boost::json::parse(lines[20]).at("seconds") == "1");
    CHECK(boost::json::parse(lines[21]).at("lines_left_out") == "980");
}

TEST_CASE("a limit survives a wall clock that is set back") {
    line_limit limit;
    for (int i = 0; i < 20; ++i) CHECK(limit.allow(wall_time{1000s}));
    CHECK_FALSE(limit.allow(wall_time{1000s}));
    CHECK_FALSE(limit.allow(wall_time{10s}));
    CHECK_FALSE(limit.allow(wall_time{1000s + 999ms}));
    CHECK(limit.allow(wall_time{1001s}).value_or(0) == 3);
}

} // namespace evenkeel::test::log_test
