#pragma once
// Several clients of one proxy in virtual time, on a route that coalesces, and what each of them was sent.

#include "proxy/coalesce/shared_flights.hpp"
#include "tests/proxy/request/flow_fixture.hpp"

#include <charconv>
#include <deque>
#include <string>
#include <string_view>

namespace evenkeel::test {

// A response as it came, taken apart; `whole`: its framing says so.
struct read_answer {
    int status = 0;
    std::string head, body;
    bool whole = false;
};
inline read_answer read_response(std::string_view bytes) {
    read_answer out;
    const std::size_t end = bytes.find("\r\n\r\n");
    if (end == std::string_view::npos) return out;
    out.head = bytes.substr(0, end + 2);
    out.status = std::stoi(out.head.substr(9, 3));
    bytes.remove_prefix(end + 4);
    if (out.head.find("transfer-encoding: chunked") == std::string::npos) {
        const std::size_t at =
            out.head.find("ontent-") != std::string::npos ? out.head.find("ength: ") : std::string::npos;
        out.body = bytes;
        out.whole = at != std::string::npos && std::stoul(out.head.substr(at + 7)) == bytes.size();
        return out;
    }
    for (;;) {
        const std::size_t line = bytes.find("\r\n");
        if (line == std::string_view::npos) return out;
        std::size_t size = 0;
        std::from_chars(bytes.data(), bytes.data() + line, size, 16);
        if (size == 0) {
            out.whole = bytes.substr(line) == "\r\n\r\n";
            return out;
        }
        out.body += bytes.substr(line + 2, size);
        if (bytes.size() < line + 4 + size) return out;
        bytes.remove_prefix(line + 4 + size);
    }
}

struct coalescing_listener final : telemetry::observer {
    explicit coalescing_listener(listener& to) : seen(to) {}
    listener& seen;
    int leaders = 0, followers = 0, ended = 0;
    std::vector<telemetry::coalesce_detachment> detached;
    std::vector<telemetry::coalesce_role> roles; // as recorded
    void request_event(const telemetry::event_origin& of, const telemetry::any_happening& what) noexcept override {
        if (const auto* joined = std::get_if<telemetry::happened::joined>(&what))
            ++(joined->role == telemetry::coalesce_role::leader ? leaders : followers);
        if (const auto* lost = std::get_if<telemetry::happened::detached>(&what)) detached.push_back(lost->why);
        ended += std::holds_alternative<telemetry::happened::shared_flight_ended>(what);
        seen.request_event(of, what);
    }
    void request_started(const config::route* route) noexcept override { seen.request_started(route); }
    void attempt_finished(const telemetry::attempt_record& record) noexcept override { seen.attempt_finished(record); }
    void request_finished(const telemetry::request_account& record) noexcept override {
        roles.push_back(record.coalesced);
        seen.request_finished(record);
    }
};

struct crowd : fixture {
    request::shared_flights flights;
    coalescing_listener counted{seen};
    request::worker_services shared_services{loop, upstream, counted, memory, [] { return std::string{"{}"}; }};
    request::connection_context shared_context{
        .services = shared_services, .settings = {}, .policies = {}, .id_seed = 1};
    std::deque<scripted_client> clients;
    request::virtual_end shared_end{shared_services};

    crowd() {
        shared_services.flights = &flights;
        route->coalesce = coalesce_mode::always;
    }
    void prepare() { shared_context.use(settings, registry.prepare(*settings)); }
    // One more client, which sends this at once.
    scripted_client& join(const std::string& request, bool watched = true) {
        if (!shared_context.settings) prepare();
        scripted_client& one = clients.emplace_back(loop, watched);
        loop.nursery().spawn(request::client_connection::run(
            std::make_unique<request::client_connection>(shared_context, one.connect())));
        one.send(request);
        loop.run_virtual(loop.now());
        return one;
    }
    void expect_nothing_shared_left() {
        for (auto& one : clients) one.leave();
        pass(everything_over);
        CHECK(flights.size() == 0);
        CHECK(shared_services.flight_nursery.size() == 0);
        CHECK(counted.leaders == counted.ended);
        CHECK(shared_context.open.empty());
        expect_nothing_left();
    }
};

} // namespace evenkeel::test
