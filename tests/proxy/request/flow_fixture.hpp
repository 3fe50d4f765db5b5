#pragma once
// The whole path of a request, from client_connection to attempt, over a scripted client and scripted upstreams, in
// virtual time: no socket, no sleep.

#include "proxy/client/client_connection.hpp"
#include "proxy/events/tries.hpp"
#include "proxy/state/policy_registry.hpp"
#include "tests/support/scripted_client.hpp"
#include "tests/support/scripted_transport.hpp"

#include <doctest/doctest.h>

#include <cstdio>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace evenkeel::test {

using namespace std::chrono_literals;
using telemetry::attempt_result;
using telemetry::request_outcome;

inline const steady_time start{1000s};

struct listener final : telemetry::observer {
    struct seen_request {
        int status;
        request_outcome outcome;
        std::string reason;
        int attempts;
        std::string route{};
        telemetry::request_service service = telemetry::request_service::ok;
        bool part = false; // of a fan-out
        std::string parts{};
    };
    std::vector<attempt_result> attempts;
    std::vector<seen_request> requests;
    int started = 0, attempts_started = 0, hedges = 0, hedges_won = 0;
    std::vector<steady_time> extra; // when each retry and hedge began
    void request_started(const config::route*) noexcept override { ++started; }
    // Whom each event is about: of which request every one says, and each attempt ends once, under its own number.
    using attempt_of = std::pair<std::string, telemetry::attempt_number>;
    std::multiset<attempt_of> under_way;
    std::string journal; // of the last request
    // ... and what its account says of it, for whoever tells.
    struct told_account {
        std::string outcome{}, upstream{}, model{}, client{}, trace_id{}, tries{};
        std::optional<std::uint64_t> credential{};
        telemetry::departure left{};
        telemetry::request_effort effort{};
        duration total{}, overhead{}, lost{}, paused{}, silent{};
    };
    told_account last{};
    void request_event(const telemetry::event_origin& of, const telemetry::any_happening& what) noexcept override {
        CHECK(of.route != nullptr);
        CHECK(!of.request_id.empty());
        if (!std::holds_alternative<telemetry::happened::launched>(what)) return;
        CHECK(of.upstream != nullptr);
        CHECK(of.attempt > 0);
        under_way.emplace(of.request_id, of.attempt);
        ++attempts_started;
    }
    void endpoint_changed(const telemetry::event_origin& of,
                          const telemetry::any_endpoint_change& what) noexcept override {
        CHECK(of.upstream != nullptr);
        const bool probe = std::holds_alternative<telemetry::probe_result>(what);
        CHECK(of.request_id.empty() == probe);
        const auto told = [&](std::string_view model, std::string_view became) {
            changes.push_back(of.upstream->name + (model.empty() ? "" : "/") + std::string{model} + ' ' +
                              std::string{became});
        };
        if (const auto* whole = std::get_if<circuit_transition>(&what)) told("", to_string(whole->to));
        if (const auto* own = std::get_if<telemetry::model_circuit_changed>(&what))
            told(own->model, to_string(own->change.to));
        if (const auto* doubt = std::get_if<telemetry::doubt_changed>(&what))
            told(doubt->model, doubt->doubted ? "second" : "first");
    }
    std::vector<std::string> changes; // of circuits and doubts: "provider open", "provider/big open"
    void attempt_finished(const telemetry::attempt_record& record) noexcept override {
        const auto begun = under_way.find({std::string{record.request_id}, record.attempt});
        CHECK(begun != under_way.end());
        if (begun != under_way.end()) under_way.erase(begun);
        attempts.push_back(record.result);
        if (record.kind == telemetry::attempt_kind::retry || record.kind == telemetry::attempt_kind::hedge)
            extra.push_back(record.at - record.total);
        if (record.kind != telemetry::attempt_kind::hedge) return;
        ++hedges;
        if (record.committed) ++hedges_won;
    }
    // What the account counts is what the journal tells; every attempt of a request that is over has ended.
    void expect_whole(const telemetry::request_account& account) {
        int launched = 0, ended = 0;
        for (const auto& one : account.journal) {
            launched += std::holds_alternative<telemetry::happened::launched>(one.what);
            ended += std::holds_alternative<telemetry::happened::ended>(one.what);
        }
        const bool others = account.coalesced == telemetry::coalesce_role::follower || !account.parts.empty();
        const bool left_it =
            account.coalesced == telemetry::coalesce_role::leader && account.outcome != request_outcome::ok;
        if (others || left_it || account.journal.left_out() > 0) return;
        CHECK(launched == account.effort.attempts);
        CHECK(ended == launched);
    }
    void request_finished(const telemetry::request_account& record) noexcept override {
        expect_whole(record);
        const auto began = record.journal.size() > 0 ? record.journal.begin()->at : steady_time{};
        journal = telemetry::text_of(record.journal, began);
        last = {.outcome = std::string{to_string(record.ending())},
                .upstream = record.upstream != nullptr ? record.upstream->name : "",
                .model = record.model,
                .client = std::string{record.client},
                .tries = telemetry::tries_json(record.journal, record.at - record.total, record.at),
                .left = record.departed(),
                .effort = record.effort,
                .total = record.total,
                .overhead = record.overhead,
                .lost = record.lost,
                .paused = record.paused,
                .silent = record.silent};
        if (record.witness != nullptr) {
            last.trace_id = record.witness->trace_id();
            last.credential = record.witness->credential();
        }
        requests.push_back({record.status, record.outcome, std::string{record.reason}, record.effort.attempts,
                            record.route != nullptr ? record.route->name : "", record.service,
                            record.part_of != nullptr, std::string{record.parts}});
    }
};

// Whoever is beside the requests is gone by then, too: who opens connections to an endpoint that is away goes on
// longest.
inline constexpr std::chrono::minutes everything_over{16};

struct fixture {
    net::loop loop{start};
    scripted_transport upstream{loop};
    listener seen;
    request::memory_bound memory;
    request::worker_services services{loop, upstream, seen, memory, [] { return std::string{"{}"}; }};
    request::policy_registry registry;
    request::connection_context context{.services = services, .settings = {}, .policies = {}, .id_seed = 1};
    scripted_client client{loop};
    std::shared_ptr<config::upstream> provider = std::make_shared<config::upstream>();
    std::shared_ptr<config::route> route = std::make_shared<config::route>();
    std::shared_ptr<config::settings> settings = std::make_shared<config::settings>();
    request::virtual_end winds_down{services};

    fixture() {
        provider->name = "provider";
        provider->address.authority = "api.example";
        route->name = "all";
        route->match.path_prefix = "/v1";
        route->upstreams = {provider};
        route->retry.max_retries = 0;
        settings->routes = {route};
        settings->upstreams = {provider};
        context.settings = settings;
    }
    void connect() {
        context.use(settings, registry.prepare(*settings)); // with what the test has changed
        loop.nursery().spawn(
            request::client_connection::run(std::make_unique<request::client_connection>(context, client.connect())));
    }
    void send(const std::string& bytes) {
        client.send(bytes);
        loop.run_virtual(loop.now());
    }
    // Runs `length` of virtual time.
    void pass(duration length) { loop.run_virtual(loop.now() + length); }
    // No place in line, no probe and no place in service is kept by a request that is over.
    void expect_no_policy_holds() {
        for (const auto& shown : registry.report(*settings, loop.now()).routes) {
            CHECK(shown.holding == 0);
            CHECK((!shown.bulkhead || shown.bulkhead->in_use + shown.bulkhead->queued == 0));
            for (const auto& at : shown.endpoints) {
                CHECK((!at.circuit || at.circuit->probes == 0));
                for (const auto& one : at.models) CHECK((!one.circuit || one.circuit->probes == 0));
                CHECK((!at.overload || at.overload->in_service == 0));
            }
        }
    }
    // Everything the proxy holds must be gone once the client is.
    void expect_nothing_left() {
        client.leave();
        pass(everything_over);
        CHECK(loop.nursery().size() == 0);
        CHECK(loop.timers().armed() == 0);
        CHECK(upstream.open_now() == 0);
        CHECK(memory.used() == 0);
        CHECK(context.open.empty());
        expect_no_policy_holds();
        CHECK(seen.started == static_cast<int>(seen.requests.size()));
        CHECK(seen.attempts_started == static_cast<int>(seen.attempts.size()));
        CHECK(seen.under_way.empty());
    }
};

// Tries again after pauses that are known, and at a second upstream where there are `two`.
struct retrying : fixture {
    std::shared_ptr<config::upstream> backup = std::make_shared<config::upstream>();
    explicit retrying(bool two = false) {
        route->retry.max_retries = 3;
        route->retry.backoff = {.initial = 1s, .max = 4s, .base = 2, .jitter = jitter::none};
        backup->name = "backup";
        backup->address.authority = "backup.example";
        if (!two) return;
        route->upstreams.push_back(backup);
        settings->upstreams.push_back(backup);
    }
};

inline const std::string post = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}";
inline const std::string ok_json =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n{\"a\":1}";

inline exchange_script answering(std::string bytes, std::size_t body = 2) {
    return {.steps = {play::request{body}, play::send{std::move(bytes)}}};
}
inline bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

inline std::string body_of(const std::string& answer) {
    const auto head = answer.find("\r\n\r\n");
    return head == std::string::npos ? std::string{} : answer.substr(head + 4);
}

// Answers and streams an upstream may be scripted to give.
inline std::string status_answer(int status, const std::string& fields = "",
                                 const std::string& body = R"({"error":{"message":"m"}})") {
    return "HTTP/1.1 " + std::to_string(status) + " No\r\nContent-Type: application/json\r\n" + fields +
           "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}
inline const std::string stream_head =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
inline std::string chunk(const std::string& data) {
    char size[16];
    std::snprintf(size, sizeof size, "%zx\r\n", data.size());
    return size + data + "\r\n";
}
inline const std::string hello = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n";
inline const std::string word = "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"},\"finish_reason\":null}]}\n\n";
inline const std::string stop = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
inline const std::string done = "data: [DONE]\n\n";
inline const std::string error_event = "data: {\"error\":{\"type\":\"overloaded_error\",\"message\":\"busy\"}}\n\n";
inline const std::string good_stream =
    stream_head + chunk(hello) + chunk(word) + chunk(stop) + chunk(done) + "0\r\n\r\n";

inline std::string post_stream(const std::string& fields = "") {
    const std::string body = R"({"stream":true})";
    return "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\n" + fields +
           "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}
inline constexpr std::size_t stream_body = 15;

inline exchange_script streaming(std::vector<play_step> steps) {
    exchange_script script{.steps = {play::request{stream_body}}};
    for (auto& step : steps) script.steps.push_back(std::move(step));
    return script;
}

} // namespace evenkeel::test
