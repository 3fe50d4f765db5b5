#pragma once
// A proxy in virtual time whose bill is kept: what each attempt took, and what the accounts of its requests say of it.

#include "tests/proxy/request/flow_fixture.hpp"

#include <array>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace evenkeel::test {

using telemetry::spent_on;
using telemetry::token_count;
using telemetry::token_kind;

struct bill_listener final : telemetry::observer {
    explicit bill_listener(listener& to) : seen(to) {}
    listener& seen;
    std::vector<telemetry::spending> attempts;
    std::vector<telemetry::request_effort> requests;
    void request_event(const telemetry::event_origin& of, const telemetry::any_happening& what) noexcept override {
        seen.request_event(of, what);
    }
    void request_started(const config::route* route) noexcept override { seen.request_started(route); }
    void attempt_finished(const telemetry::attempt_record& record) noexcept override {
        attempts.push_back(record.spent);
        seen.attempt_finished(record);
    }
    void request_finished(const telemetry::request_account& record) noexcept override {
        requests.push_back(record.effort);
        seen.request_finished(record);
    }
};

struct billed : retrying {
    bill_listener bill{seen};
    request::worker_services billed_services{loop, upstream, bill, memory, [] { return std::string{"{}"}; }};
    request::connection_context billed_context{
        .services = billed_services, .settings = {}, .policies = {}, .id_seed = 1};
    std::vector<std::unique_ptr<scripted_client>> clients;
    request::virtual_end billed_end{billed_services};

    explicit billed(bool two = false) : retrying(two) { route->timeout.rescue.on = false; }
    // One more client, which sends this at once.
    scripted_client& ask(const std::string& bytes, bool watched = true) {
        if (!billed_context.settings) billed_context.use(settings, registry.prepare(*settings));
        scripted_client& one = *clients.emplace_back(std::make_unique<scripted_client>(loop, watched));
        loop.nursery().spawn(request::client_connection::run(
            std::make_unique<request::client_connection>(billed_context, one.connect())));
        one.send(bytes);
        loop.run_virtual(loop.now());
        return one;
    }
    [[nodiscard]] const exchange_log& exchange(std::size_t n) const { return *upstream.exchanges().at(n); }
    void expect_nothing_billed_left() {
        for (auto& one : clients) one->leave();
        pass(everything_over);
        CHECK(billed_context.open.empty());
        expect_nothing_left();
    }
};

inline std::string post_of(const std::string& body, const std::string& fields = "",
                           const std::string& path = "/v1/chat/completions") {
    return "POST " + path + " HTTP/1.1\r\nHost: h\r\n" + fields + "Content-Length: " + std::to_string(body.size()) +
           "\r\n\r\n" + body;
}

} // namespace evenkeel::test
