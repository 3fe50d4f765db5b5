#include "proxy/provider/blocking_client.hpp"
#include "proxy/provider/script.hpp"
#include "proxy/provider/simulated_provider.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

namespace evenkeel::provider::provider_test {

using namespace std::chrono_literals;

namespace {

const std::string chat_stream = R"({"model":"m","stream":true,"messages":[{"role":"user","content":"nonce:N1"}]})";
const std::string chat_plain = R"({"model":"m","messages":[{"role":"user","content":"nonce:N1"}]})";

client_response ask(blocking_client& client, const std::string& script, const std::string& body = chat_stream,
                    const std::string& target = "/v1/chat/completions") {
    return client.request("POST", target, {{"x-sim", script}, {"content-type", "application/json"}}, body);
}
client_response ask(const simulated_provider& upstream, const std::string& script,
                    const std::string& body = chat_stream, const std::string& target = "/v1/chat/completions") {
    blocking_client client({.port = upstream.port()});
    return ask(client, script, body, target);
}
int pieces(const std::string& body) { // of the text, in order
    int count = 0;
    while (body.find("[N1:" + std::to_string(count) + "] ") != std::string::npos) ++count;
    return count;
}
attempt_record last_record(const simulated_provider& upstream) {
    const auto serial = upstream.counters().requests;
    const auto found = upstream.wait_for_record([&](const attempt_record& r) { return r.serial == serial; });
    REQUIRE(found.has_value());
    return *found;
}

struct certificates {
    std::filesystem::path directory =
        std::filesystem::temp_directory_path() / ("evenkeel-certificates-" + std::to_string(monotonic_ns()));
    certificates() {
        const std::string command = std::string{EVENKEEL_MAKE_CERTIFICATES} + " " + directory.string();
        REQUIRE(std::system(command.c_str()) ==
                0); // NOLINT(concurrency-mt-unsafe): before any other thread of this test
    }
    ~certificates() { std::filesystem::remove_all(directory); }
    certificates(const certificates&) = delete;
    certificates& operator=(const certificates&) = delete;
};

} // namespace

TEST_CASE("a stream has a role-only first delta, its pieces in order, a finish reason and [DONE]") {
    simulated_provider upstream;

    const auto answer = ask(upstream, "events=3;stamp");

    REQUIRE(answer.complete());
    CHECK(answer.header("content-type") == "text/event-stream; charset=utf-8");
    CHECK(!answer.header("x-request-id").empty());
    const auto events = split_events(answer.body);
    REQUIRE(events.size() == 6);
    CHECK(events[0].data.find(R"("delta":{"role":"assistant","content":"")") != std::string::npos);
    CHECK(events[1].data.find("[N1:0] ") != std::string::npos);
    CHECK(events[3].data.find("[N1:2] ") != std::string::npos);
    CHECK(events[4].data.find(R"("finish_reason":"stop")") != std::string::npos);
    CHECK(events[4].data.find(R"("seq":4)") != std::string::npos);
    CHECK(events[5].data == "[DONE]");
}

TEST_CASE("equal requests get equal answers, other requests other ones") {
    simulated_provider upstream;

    const auto one = ask(upstream, "events=5");
    const auto same = ask(upstream, "events=5");
    const auto other = ask(upstream, "events=5", R"({"stream":true,"messages":[{"content":"nonce:N2"}]})");

    CHECK(one.body == same.body);
    CHECK(one.header("x-request-id") == same.header("x-request-id"));
    CHECK(one.header("x-sim-attempt") != same.header("x-sim-attempt"));
    CHECK(other.body != one.body);
}

TEST_CASE("anthropic streams name their events") {
    simulated_provider upstream;

    const auto answer = ask(upstream, "events=2", chat_stream, "/v1/messages");

    std::vector<std::string> names;
    for (const auto& event : split_events(answer.body)) names.push_back(event.event);
    CHECK(names == std::vector<std::string>{"message_start", "content_block_start", "ping", "content_block_delta",
                                            "content_block_delta", "content_block_stop", "message_delta",
                                            "message_stop"});
}

TEST_CASE("what breaks a stream off is seen for what it is") {
    struct row {
        const char* script;
        int status;
        message_end end;
        int pieces;
        bool done; // [DONE] came
    };
    const row rows[] = {
        {"", 200, message_end::complete, 12, true},
        {"reset_after=request", 0, message_end::reset, 0, false},
        {"close_after=request", 0, message_end::truncated, 0, false},
        {"close_after=status_line", 0, message_end::truncated, 0, false},
        {"close_after=head", 200, message_end::truncated, 0, false},
        {"close_after=4", 200, message_end::truncated, 4, false},
        {"reset_after=4;gap=20ms", 200, message_end::reset, 3, false}, // a reset may overtake the last piece
        {"end_after=4", 200, message_end::complete, 4, false},
        {"stall_after=4", 200, message_end::timeout, 4, false},
        {"stall_after=4;stall=10ms", 200, message_end::complete, 12, true},
        {"stall_after=request", 0, message_end::timeout, 0, false},
        {"close_after=100b", 200, message_end::truncated, 0, false},
        {"end_after=100b", 200, message_end::complete, 0, false},
        {"terminal=none", 200, message_end::complete, 12, false},
        {"terminal=finish", 200, message_end::complete, 12, false},
        {"terminal=done", 200, message_end::complete, 12, true},
        {"error_after=3", 200, message_end::complete, 3, false},
        {"error_after=3;error_then=done", 200, message_end::complete, 3, true},
        {"error_after=3;error_then=close", 200, message_end::truncated, 3, false},
        {"error_after=3;error_then=continue", 200, message_end::complete, 12, true},
        {"malformed_after=3", 200, message_end::complete, 12, true},
        {"bad_chunk_after=3", 200, message_end::malformed, 3, false},
        {"framing=close", 200, message_end::complete, 12, true},
        {"http=1.0", 200, message_end::complete, 12, true},
        {"framing=length;content_length=+7", 200, message_end::truncated, 12, true},
        {"conflict", 200, message_end::malformed, 0, false},
        {"unicode;split=1ms;events=4", 200, message_end::complete, 4, true},
        {"drip=0us/7;events=2", 200, message_end::complete, 2, true},
        {"merge", 200, message_end::complete, 12, true},
        {"preamble=late;first=5ms", 200, message_end::complete, 12, true},
        {"informational=100,103", 200, message_end::complete, 12, true},
        {"switch", 101, message_end::complete, 0, false},
        {"keepalive=2@5ms", 200, message_end::complete, 12, true},
        {"bogus=1", 400, message_end::complete, 0, false},
    };
    simulated_provider upstream;

    for (const auto& row : rows) {
        CAPTURE(std::string{row.script});
        blocking_client client({.port = upstream.port(), .timeout = row.end == message_end::timeout ? 250ms : 10000ms});
        const auto answer = ask(client, row.script);

        CHECK(answer.status == row.status);
        CHECK(to_string(answer.end) == to_string(row.end));
        if (row.end == message_end::reset)
            CHECK(pieces(answer.body) >= row.pieces);
        else
            CHECK(pieces(answer.body) == row.pieces);
        CHECK((answer.body.find("data: [DONE]") != std::string::npos) == row.done);
    }
}

TEST_CASE("buffered answers break off by parts and bytes") {
    struct row {
        const char* script;
        int status;
        message_end end;
    };
    const row rows[] = {
        {"", 200, message_end::complete},
        {"close_after=6", 200, message_end::truncated},
        {"reset_after=100b;drip=1us/50", 200, message_end::reset},
        {"end_after=6", 200, message_end::complete},
        {"stall_after=6", 200, message_end::timeout},
        {"content_length=+3", 200, message_end::truncated},
        {"content_length=-3;connection=close", 200, message_end::complete},
        {"framing=chunked", 200, message_end::complete},
        {"framing=chunked;close_after=6", 200, message_end::truncated},
        {"framing=close", 200, message_end::complete},
        {"keepalive=3@2ms", 200, message_end::complete},
        {"status=502;body=html", 502, message_end::complete},
        {"body=empty", 200, message_end::complete},
        {"size=2MiB", 200, message_end::complete},
    };
    simulated_provider upstream;

    for (const auto& row : rows) {
        CAPTURE(std::string{row.script});
        blocking_client client({.port = upstream.port(), .timeout = row.end == message_end::timeout ? 250ms : 10000ms});
        const auto answer = ask(client, row.script, chat_plain);

        CHECK(answer.status == row.status);
        CHECK(to_string(answer.end) == to_string(row.end));
    }
    CHECK(ask(upstream, "size=2MiB", chat_plain).body.size() > 2 * 1024 * 1024);
    CHECK(ask(upstream, "body=empty", chat_plain).body.empty());
}

TEST_CASE("errors have the status, body and hints of their dialect") {
    struct row {
        const char* script;
        const char* target;
        int status;
        const char* text;
    };
    const row rows[] = {
        {"error=rate;retry_after=2", "/v1/chat/completions", 429, "rate_limit_exceeded"},
        {"error=quota", "/v1/chat/completions", 429, "insufficient_quota"},
        {"error=overload", "/v1/chat/completions", 503, "server_is_overloaded"},
        {"error=overload;status=429", "/v1/chat/completions", 429, "slow_down"},
        {"error=context_length", "/v1/chat/completions", 400, "context_length_exceeded"},
        {"error=content_filter", "/v1/chat/completions", 400, "content_filter"},
        {"status=500", "/v1/chat/completions", 500, "server_error"},
        {"error=overload", "/v1/messages", 529, "overloaded_error"},
        {"error=quota", "/v1/messages", 429, "enforced_spend_limit_reached"},
        {"status=504", "/v1/messages", 504, "timeout_error"},
        {"", "/v1/nothing", 404, "model_not_found"},
    };
    simulated_provider upstream;

    for (const auto& row : rows) {
        CAPTURE(std::string{row.script});
        CAPTURE(std::string{row.target});
        const auto answer = ask(upstream, row.script, chat_plain, row.target);

        CHECK(answer.status == row.status);
        CHECK(answer.complete());
        CHECK(answer.body.find(row.text) != std::string::npos);
    }
    CHECK(ask(upstream, "error=rate;retry_after=2").header("retry-after") == "2");
    CHECK(ask(upstream, "error=rate;retry_after=date:9").header("retry-after").ends_with("GMT"));
    CHECK(ask(upstream, "error=rate;retry_after_ms=250").header("retry-after-ms") == "250");
}

TEST_CASE("a connection carries many requests, and stray bytes are told from the next answer") {
    simulated_provider upstream;
    blocking_client client({.port = upstream.port()});

    for (int i = 0; i < 20; ++i) CHECK(ask(client, i % 2 == 0 ? "" : "framing=chunked", chat_plain).complete());
    CHECK(ask(client, "extra=5", chat_plain).complete());
    client.wait_closed(50ms);

    CHECK(client.stray() == "xxxxx");
    CHECK(upstream.counters().connections == 1);
    CHECK(last_record(upstream).on_connection == 21);
}

TEST_CASE("a client that gives all of it so long, and an answer so much, is not held by drops or drowned") {
    simulated_provider upstream;
    const auto began = std::chrono::steady_clock::now();
    blocking_client patient({.port = upstream.port(), .timeout = 10s, .whole = 300ms});
    CHECK(ask(patient, "drip=20ms", chat_plain).end == message_end::timeout);
    CHECK(std::chrono::steady_clock::now() - began < 5s);
    blocking_client modest({.port = upstream.port(), .most_body = 1000});
    const auto large = ask(modest, "size=100KiB", chat_plain);
    CHECK(large.end == message_end::malformed);
    CHECK(large.body.size() < 100'000);
}

TEST_CASE("an early answer comes before the body, and then closes, drains or resets") {
    simulated_provider upstream;
    for (const char* how : {"status=413;early", "status=413;early=drain"}) {
        CAPTURE(std::string{how});
        blocking_client client({.port = upstream.port()});

        client.send("POST /upload HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\nx-sim: " + std::string{how} +
                    "\r\n\r\n");
        const auto answer = client.read_response("POST");
        CHECK(answer.status == 413);
        CHECK(answer.complete());

        client.send(std::string(100000, 'b'));
        const bool stays = std::string{how}.ends_with("drain");
        CHECK(client.wait_closed(stays ? 50ms : 5000ms) == (stays ? message_end::timeout : message_end::complete));
    }
}

TEST_CASE("expect: 100-continue is honoured, chunked bodies are decoded") {
    simulated_provider upstream;
    blocking_client client({.port = upstream.port()});

    client.send("POST /upload HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ntransfer-encoding: chunked\r\n\r\n");
    std::this_thread::sleep_for(20ms); // the interim answer has to come without the body
    client.send("3\r\nabc\r\n2;x=y\r\nde\r\n0\r\ntrailer: t\r\n\r\n");
    const auto answer = client.read_response("POST");

    CHECK(answer.informational == std::vector<int>{100});
    CHECK(answer.body == R"({"bytes":5,"sha256":"36bbe50ed96841d10443bcb670d6554f0a34b761be67ec9c4a8ad2c0c44ca42c"})");
}

TEST_CASE("chunks are read slowly as well, however they lie in the pieces that are read") {
    simulated_provider upstream;
    for (const char* slowly : {"reads=1b@1us", "reads=3b@1us", "reads=7b@1us"}) {
        CAPTURE(std::string{slowly});
        blocking_client client({.port = upstream.port()});

        client.send("POST /upload HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\nx-sim: " + std::string{slowly} +
                    "\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\ntrailer: t\r\n\r\n");
        const auto answer = client.read_response("POST");

        CHECK(answer.body.starts_with(R"({"bytes":5,"sha256":"36bbe50e)"));
    }
}

TEST_CASE("what is no strict HTTP is refused, blank lines before a request are not") {
    simulated_provider upstream;
    for (const std::string lines :
         {"a: b\r\n c", "a : b", "content-length: 1\r\ncontent-length: 2", "content-length: x",
          "transfer-encoding: gzip", "content-length: 0\r\ntransfer-encoding: chunked"}) {
        CAPTURE(lines);
        blocking_client client({.port = upstream.port()});
        client.send("POST /echo HTTP/1.1\r\nhost: x\r\n" + lines + "\r\n\r\n");
        CHECK(client.read_response("POST").status == 400);
    }
    blocking_client client({.port = upstream.port()});
    for (const char* piece : {"\r", "\n\r", "\nGET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n"}) client.send(piece);
    CHECK(client.read_response().status == 200);
}

TEST_CASE("the plain endpoints tell what they received") {
    simulated_provider upstream;
    blocking_client client({.port = upstream.port()});

    const auto echo = client.request("PUT", "/echo?a=1", {{"X-One", "1"}, {"x-one", "2"}}, "abcde");
    const auto bytes = client.request("GET", "/bytes/100000");
    const auto head = client.request("HEAD", "/bytes/10");

    CHECK(echo.body.find(R"("method":"PUT","target":"/echo?a=1")") != std::string::npos);
    CHECK(echo.body.find(R"(["X-One","1"],["x-one","2"])") != std::string::npos);
    CHECK(echo.body.find(R"("body_bytes":5,"body_sha256":"36bbe50e)") != std::string::npos);
    CHECK(bytes.body.size() == 100000);
    CHECK(bytes.body.substr(0, 4) == "abcd");
    CHECK(head.complete());
    CHECK(head.header("content-length") == "10");
}

TEST_CASE("a quota lets so many requests through in each window, and says when the next one begins") {
    simulated_provider upstream;
    const std::string script = "quota=2/30s; key=a";
    CHECK(ask(upstream, script).status == 200);
    CHECK(ask(upstream, script).status == 200);
    const auto refused = ask(upstream, script);
    CHECK(refused.status == 429);
    const int left = std::stoi(refused.header("retry-after-ms"));
    CHECK(left > 0);
    CHECK(left <= 30000);
    CHECK(ask(upstream, "quota=2/30s; key=b").status == 200);
    const std::string quick = "quota=1/50ms; key=c";
    CHECK(ask(upstream, quick).status == 200);
    std::this_thread::sleep_for(std::chrono::milliseconds{60});
    CHECK(ask(upstream, quick).status == 200);
}

TEST_CASE("rules serve the next n requests, by path and field, and fail_times counts by nonce") {
    simulated_provider upstream;

    upstream.script({.script = "status=503", .times = 2, .path = "/backup"});
    upstream.script({.script = "status=500", .times = 1, .header = "authorization", .value = "other"});
    CHECK(ask(upstream, "", chat_plain, "/backup/v1/chat/completions").status == 503);
    CHECK(ask(upstream, "", chat_plain).status == 200);
    CHECK(ask(upstream, "", chat_plain, "/backup/v1/chat/completions").status == 503);
    CHECK(ask(upstream, "", chat_plain, "/backup/v1/chat/completions").status == 200);

    CHECK(ask(upstream, "fail_times=2;status=500").status == 500);
    CHECK(ask(upstream, "fail_times=2;status=500").status == 500);
    CHECK(ask(upstream, "fail_times=2;status=500").status == 200);
    CHECK(ask(upstream, "fail_times=2;status=500", R"({"x":"nonce:N9"})").status == 500);
}

TEST_CASE("luck depends on the seed, the request and its attempt, not on the order of arrival") {
    const auto outcomes = [](std::uint64_t seed, bool backwards) {
        simulated_provider upstream({.seed = seed, .script = "0.5: status=500"});
        std::string out(40, '?');
        for (std::size_t k = 0; k < out.size(); ++k) {
            const auto i = backwards ? out.size() - 1 - k : k;
            out[i] = ask(upstream, "", R"({"x":"nonce:L)" + std::to_string(i) + "\"}").status == 200 ? '.' : 'x';
        }
        return out;
    };

    const auto one = outcomes(7, false);

    CHECK(one == outcomes(7, true));
    CHECK(one != outcomes(8, false));
    CHECK(std::count(one.begin(), one.end(), 'x') > 8);
    CHECK(std::count(one.begin(), one.end(), '.') > 8);
}

TEST_CASE("a leaving client is seen at once, in every phase") {
    simulated_provider upstream;
    for (const char* script : {"stall_after=request", "delay=20s", "stall_after=head", "first=20s", "gap=20s",
                               "drip=20s", "keepalive=3@20s", "stall_after=3"}) {
        for (const bool hard : {false, true}) {
            CAPTURE(std::string{script});
            CAPTURE(hard);
            blocking_client client({.port = upstream.port()});
            const auto serial = upstream.counters().requests + 1;
            client.send_request("POST", "/v1/chat/completions", {{"x-sim", script}}, chat_stream);
            REQUIRE(upstream.wait_for([&](const provider_counters& c) { return c.requests == serial; }));
            std::this_thread::sleep_for(5ms); // into the phase

            const auto left = monotonic_ns();
            if (hard)
                client.reset();
            else
                client.close();

            const auto record = upstream.wait_for_record([&](const attempt_record& r) { return r.serial == serial; });
            REQUIRE(record.has_value());
            CHECK(record->cancelled);
            CHECK(!record->complete);
            if (hard) CHECK(record->peer_reset); // a close with unread bytes is a reset too
            CHECK(record->peer_closed_ns - left < 500'000'000);
        }
    }
    CHECK(upstream.counters().in_flight == 0);
}

TEST_CASE("a record tells the times in order and what was sent and received") {
    simulated_provider upstream;

    ask(upstream, "events=3;delay=5ms");

    const auto r = last_record(upstream);
    CHECK(r.accepted_ns <= r.head_ns);
    CHECK(r.head_ns <= r.body_ns);
    CHECK(r.body_ns + 5'000'000 <= r.first_byte_ns);
    CHECK(r.first_byte_ns <= r.finished_ns);
    CHECK(r.nonce == "N1");
    CHECK(r.header("Content-Type") == "application/json");
    CHECK(r.body_bytes == chat_stream.size());
    CHECK(r.events_out == 3);
    CHECK(r.complete);
    CHECK(!r.cancelled);
    blocking_client control({.port = upstream.control_port()});
    CHECK(control.request("GET", "/__sim/records").body.find(R"("nonce":"N1")") != std::string::npos);
}

TEST_CASE("the control API scripts, resets, refuses and drops") {
    simulated_provider upstream;
    blocking_client control({.port = upstream.control_port()});

    CHECK(control.request("POST", "/__sim/script", {}, R"({"script":"status=503","times":1})").status == 200);
    CHECK(control.request("POST", "/__sim/script", {}, R"({"script":"bogus"})").status == 400);
    CHECK(ask(upstream, "", chat_plain).status == 503);
    CHECK(control.request("GET", "/__sim/counters").body.find(R"("requests":1)") != std::string::npos);
    CHECK(control.request("POST", "/__sim/reset").status == 200);
    CHECK(upstream.records().empty());
    CHECK(upstream.counters().requests == 0);

    blocking_client idle({.port = upstream.port()});
    CHECK(ask(idle, "", chat_plain).complete());
    CHECK(control.request("POST", "/__sim/drop", {}, R"({"how":"reset"})").status == 200);
    CHECK(idle.wait_closed(5s) == message_end::reset);
}

TEST_CASE("a refused port comes back, and accepted connections misbehave by rule") {
    simulated_provider upstream;

    upstream.refuse();
    CHECK_THROWS_AS(blocking_client({.port = upstream.port()}), client_error);
    upstream.accept_again();
    CHECK(ask(upstream, "", chat_plain).complete());

    upstream.script({.script = "accept=reset", .times = 1});
    const auto reset = [&] { // connecting is over or it is not when the RST comes: the machine decides
        try {
            return ask(upstream, "", chat_plain).end == message_end::reset;
        } catch (const client_error& error) {
            return error.error_number == ECONNRESET;
        }
    };
    CHECK(reset());
    upstream.script({.script = "accept=close", .times = 1});
    CHECK(!ask(upstream, "", chat_plain).complete());
    upstream.script({.script = "accept=silence", .times = 1});
    {
        blocking_client client({.port = upstream.port(), .timeout = 100ms});
        CHECK(ask(client, "", chat_plain).end == message_end::timeout);
    }
    upstream.script({.script = "accept=garbage", .times = 1});
    CHECK(ask(upstream, "", chat_plain).status == 0);
    upstream.script({.script = R"(accept=garbage; raw=SSH\x2d2.0\r\n)", .times = 1});
    blocking_client other({.port = upstream.port()});
    CHECK(other.wait_closed(5s) == message_end::complete);
    CHECK(other.stray() == "SSH-2.0\r\n");
    CHECK(ask(upstream, "", chat_plain).complete());
}

TEST_CASE("play() is for every request from now on, and forgets what was") {
    simulated_provider upstream;
    upstream.script({.script = "status=503"});
    CHECK(ask(upstream, "", chat_plain).status == 503);
    upstream.play("status=404");
    CHECK(upstream.counters().requests == 0);
    CHECK(ask(upstream, "", chat_plain).status == 404);
    CHECK(ask(upstream, "", chat_plain).status == 404);
    CHECK_THROWS_AS(upstream.play("bogus"), script_error);
    CHECK(ask(upstream, "", chat_plain).status == 404);
    upstream.play("");
    CHECK(ask(upstream, "", chat_plain).complete());
}

TEST_CASE(
    "raw bytes instead of an answer leave the connection as it is, and idle ones may hear what they did not ask") {
    simulated_provider upstream;
    blocking_client client({.port = upstream.port()});
    const auto raw = ask(client, R"(raw=HTTP/1.1 207 So\r\ncontent-length: 2\r\n\r\n\\o)");
    CHECK(raw.status == 207);
    CHECK(raw.body == "\\o");
    CHECK(ask(client, "", chat_plain).complete());
    REQUIRE(upstream.wait_for([](const provider_counters& c) { return c.in_flight == 0; }));
    upstream.say_to_idle("HTTP/1.1 200 OK\r\n");
    CHECK(client.wait_closed(100ms) == message_end::timeout);
    CHECK(client.stray() == "HTTP/1.1 200 OK\r\n");
    CHECK(upstream.counters().connections == 1);
    CHECK(ask(upstream, "raw=; connection=close").status == 0);
}

TEST_CASE("an egress proxy grants one tunnel, to itself") {
    simulated_provider proxy;
    proxy.script({.script = "accept=tunnel", .times = 1});
    blocking_client client({.port = proxy.port()});
    CHECK(client.send("CONNECT api.example:443 HTTP/1.1\r\nhost: api.example:443\r\n\r\n"));
    CHECK(client.read_head("CONNECT").status == 200);
    CHECK(ask(client, "", chat_plain).complete());
    CHECK(last_record(proxy).on_connection == 1);
    CHECK(proxy.records().front().target == "api.example:443");
    CHECK(ask(proxy, "", chat_plain).complete());
}

TEST_CASE("idle connections are closed when their time is over") {
    simulated_provider upstream({.idle_timeout = 50ms});
    blocking_client client({.port = upstream.port()});

    CHECK(ask(client, "keep_alive=5", chat_plain).header("keep-alive") == "timeout=5");
    CHECK(client.wait_closed(5s) == message_end::complete);
    blocking_client own({.port = upstream.port()});
    CHECK(ask(own, "connection=announce;idle_close=400ms", chat_plain).header("connection") == "close");
    CHECK(own.wait_closed(150ms) == message_end::timeout);
    CHECK(own.wait_closed(5s) == message_end::complete);
}

TEST_CASE("a thousand streams at once") {
    simulated_provider upstream;
    std::vector<blocking_client> clients;
    clients.reserve(1000);

    for (int i = 0; i < 1000; ++i) {
        clients.emplace_back(client_options{.port = upstream.port(), .timeout = 30s});
        clients.back().send_request("POST", "/v1/chat/completions", {{"x-sim", "events=5;first=200ms;gap=10ms"}},
                                    R"({"stream":true,"x":"nonce:T)" + std::to_string(i) + "\"}");
    }
    int good = 0;
    for (int i = 0; i < 1000; ++i) {
        const auto answer = clients[static_cast<std::size_t>(i)].read_response("POST");
        good += answer.complete() && answer.body.find("[T" + std::to_string(i) + ":4]") != std::string::npos ? 1 : 0;
    }

    CHECK(good == 1000);
    // Counted after the last byte.
    CHECK(upstream.wait_for([](const provider_counters& c) { return c.completed == 1000; }));
}

TEST_CASE("tls: certificates, client certificates and truncation") {
    static const certificates made; // once for all subcases
    const auto file = [](const std::string& name) { return (made.directory / name).string(); };
    const auto serving = [&](const std::string& name) {
        return provider_options{.tls = provider_tls{file(name + ".pem"), file(name + ".key"), ""}};
    };
    const auto connecting = [&](const simulated_provider& to, const std::string& name) {
        return client_options{
            .port = to.port(), .timeout = 30s, .tls = client_tls{.ca_file = file("ca.pem"), .server_name = name}};
    };

    SUBCASE("a good certificate, by name and by address, whole streams and broken ones") {
        simulated_provider upstream(serving("good"));
        for (const char* name : {"localhost", "127.0.0.1"}) {
            blocking_client client(connecting(upstream, name));
            CHECK(ask(client, "").complete());
            CHECK(ask(client, "size=2MiB", chat_plain).complete());
        }
        struct row {
            const char* script;
            message_end end;
        };
        for (const auto& row :
             {row{"framing=close", message_end::complete}, row{"framing=close;tls_truncate", message_end::truncated},
              row{"close_after=3", message_end::truncated}, row{"close_after=3;tls_truncate", message_end::truncated},
              row{"reset_after=3;gap=20ms", message_end::reset}}) {
            CAPTURE(std::string{row.script});
            blocking_client client(connecting(upstream, "localhost"));
            CHECK(to_string(ask(client, row.script).end) == to_string(row.end));
        }
        blocking_client client(connecting(upstream, "localhost"));
        client.send_request("POST", "/v1/chat/completions", {{"x-sim", "stall_after=request"}}, chat_stream);
        REQUIRE(upstream.wait_for([](const provider_counters& c) { return c.in_flight == 1; }));
        client.close();
        CHECK(upstream.wait_for([](const provider_counters& c) { return c.cancelled == 1; }));
    }
    SUBCASE("a dropped connection says goodbye, and so does a client") {
        simulated_provider upstream(serving("good"));
        blocking_client dropped(connecting(upstream, "localhost")), leaving(connecting(upstream, "localhost"));
        for (auto* each : {&dropped, &leaving}) CHECK(ask(*each, "", chat_plain).complete());
        CHECK(last_record(upstream).server_name == "localhost");
        leaving.close();
        CHECK(upstream.wait_for([](const provider_counters& c) { return c.goodbyes == 1 && c.open_connections == 1; }));
        upstream.drop_idle();
        CHECK(dropped.wait_closed(5s) == message_end::complete);
    }
    SUBCASE("bad certificates are refused by a client that verifies") {
        for (const char* name : {"wrong_host", "expired", "not_yet", "self_signed", "unknown_ca", "wildcard"}) {
            CAPTURE(std::string{name});
            simulated_provider upstream(serving(name));
            CHECK_THROWS_AS(blocking_client(connecting(upstream, "localhost")), client_error);
            CHECK(upstream.wait_for([](const provider_counters& c) { return c.handshake_failures == 1; }));
        }
        simulated_provider wildcard(serving("wildcard"));
        CHECK_NOTHROW(blocking_client(connecting(wildcard, "a.example.test")));
        CHECK_THROWS_AS(blocking_client(connecting(wildcard, "a.b.example.test")), client_error);
        simulated_provider address(serving("ip_only"));
        CHECK_NOTHROW(blocking_client(connecting(address, "127.0.0.1")));
        CHECK_THROWS_AS(blocking_client(connecting(address, "localhost")), client_error);
    }
    SUBCASE("a client certificate is demanded where its authority is given") {
        auto options = serving("good");
        options.tls->client_ca_file = file("ca.pem");
        simulated_provider upstream(options);
        const auto with = [&](const std::string& name) {
            auto out = connecting(upstream, "localhost");
            if (!name.empty()) {
                out.tls->cert_file = file(name + ".pem");
                out.tls->key_file = file(name + ".key");
            }
            blocking_client client(out);
            return ask(client, "", chat_plain).status;
        };
        CHECK(with("client") == 200);
        CHECK(with("") == 0);
        CHECK(with("unknown_client") == 0);
    }
}

TEST_CASE("an owner scripts each attempt by its nonce; a request's own script goes before it, a rule after it") {
    std::atomic<int> asked = 0; // on the provider's thread
    simulated_provider upstream({.script = "status=500", .script_for = [&](const attempt_record& record) {
                                     ++asked;
                                     return record.nonce == "mine" ? std::optional<std::string>{"status=418"}
                                                                   : std::nullopt;
                                 }});
    const auto status = [&](const std::string& nonce, const header_list& headers) {
        blocking_client client({.port = upstream.port()});
        return client.request("POST", "/v1/embeddings", headers, R"({"input":"nonce:)" + nonce + R"("})").status;
    };

    CHECK(status("mine", {}) == 418);
    CHECK(status("other", {}) == 500);
    CHECK(status("mine", {{"x-sim", "status=404"}}) == 404);

    CHECK(asked == 2);
    CHECK(upstream.records().front().script == "status=418");
}

} // namespace evenkeel::provider::provider_test
