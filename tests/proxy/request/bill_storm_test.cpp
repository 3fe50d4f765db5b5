// The bill is the provider's ledger. Requests meet everything a provider does to them: answers that tell what they took
// and that do not, streams and pieces, errors, cuts, resets and silences; and everything the proxy does about it:
// retries, hedges, rescues, resumptions, upcasts, shared flights, usage asked for unasked; and clients that leave. The
// provider keeps a ledger of what it generated, and its tokens differ from what bytes say.
//
// What was told is equal, token by token and kind by kind. What was not is an estimate, and marked: over all requests
// within a tenth of the ledger, since the provider's tokens are drawn around four bytes by as much as a fifth either
// way (and half of one is lost or won for each piece of text that is rounded).
//
// 10^4 requests; EVENKEEL_BILL=100000 runs so many.

#include "tests/proxy/request/bill_fixture.hpp"
#include "tests/proxy/request/coalesce_fixture.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace evenkeel::test::bill_storm_test {

namespace {

struct dice {
    std::mt19937 random;
    explicit dice(std::uint32_t seed) : random(seed) {}
    [[nodiscard]] std::uint32_t below(std::uint32_t n) { return static_cast<std::uint32_t>(random() % n); }
    [[nodiscard]] bool one_in(std::uint32_t n) { return below(n) == 0; }
    [[nodiscard]] duration time(int milliseconds) {
        return std::chrono::nanoseconds{1 +
                                        static_cast<std::int64_t>(random() % 1'000'000'007ULL) * milliseconds / 1000};
    }
    [[nodiscard]] std::uint64_t around(std::uint64_t bytes) { // a fifth about four bytes a token
        return std::max<std::uint64_t>(1, (bytes * (80 + below(41)) / 100 + 2) / 4);
    }
};

using kinds = std::array<std::uint64_t, telemetry::token_kind_count>;
void add_to(kinds& sum, const kinds& other) {
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += other[i];
}

// What one exchange has cost its provider, as far as it went.
struct ledger_entry {
    kinds took{};                                 // generated or read by now
    kinds will_tell{};                            // of all of it
    bool broken = false;                          // by the provider, before it said anything: nobody pays
    bool told_input = false, told_output = false; // in a way that was read
    std::uint64_t input = 0;                      // tokens of the request
    steady_time told_at{};
    const exchange_log* exchange = nullptr; // lives as long as the transport
};

struct sums {
    kinds told{}, guessed{};
    std::uint64_t cost = 0;
    std::array<std::uint64_t, telemetry::spent_on_count> became{};
};

struct summing final : telemetry::observer {
    explicit summing(listener& to) : seen(to) {}
    listener& seen;
    sums all;
    std::uint64_t of_requests = 0;
    int hedges = 0, rescues = 0, resumed = 0, upcast = 0, followers = 0;
    std::string lines;
    void request_event(const telemetry::event_origin& of, const telemetry::any_happening& what) noexcept override {
        if (const auto* launched = std::get_if<telemetry::happened::launched>(&what)) {
            hedges += launched->kind == telemetry::attempt_kind::hedge;
            rescues += launched->kind == telemetry::attempt_kind::rescue;
        }
        if (const auto* how = std::get_if<telemetry::happened::resumed>(&what))
            resumed += how->how == telemetry::stream_resumption::resumed;
        if (const auto* how = std::get_if<telemetry::happened::upcast>(&what))
            upcast += how->how == telemetry::upcast_result::assembled;
        if (const auto* shared = std::get_if<telemetry::happened::joined>(&what))
            followers += shared->role == telemetry::coalesce_role::follower;
        seen.request_event(of, what);
    }
    void request_started(const config::route* route) noexcept override { seen.request_started(route); }
    void attempt_finished(const telemetry::attempt_record& record) noexcept override {
        for (int i = 0; i < telemetry::token_kind_count; ++i) {
            const auto kind = static_cast<token_kind>(i);
            const auto tokens = record.spent.tokens.at(kind);
            (record.spent.tokens.is_estimated(kind) ? all.guessed : all.told)[static_cast<std::size_t>(i)] += tokens;
            all.became[static_cast<std::size_t>(record.spent.became)] += tokens;
        }
        lines += std::string{to_string(record.kind)} + ' ' + std::string{to_string(record.result)} + ' ' +
                 std::string{to_string(record.spent.became)};
        for (const auto tokens : record.spent.tokens.of) lines += ' ' + std::to_string(tokens);
        lines += record.spent.tokens.input_estimated ? " in?" : " in!";
        lines += record.spent.tokens.output_estimated ? " out?\n" : " out!\n";
        all.cost += record.spent.cost;
        seen.attempt_finished(record);
    }
    void request_finished(const telemetry::request_account& record) noexcept override {
        of_requests += record.effort.served.all() + record.effort.lost.all();
        seen.request_finished(record);
    }
};

class faulted_case {
public:
    static constexpr int clients = 10;

    explicit faulted_case(std::uint32_t seed) : dice_(seed) {
        configure();
        f_.upstream.choose([this](const config::upstream&, std::size_t place) { return draw_script(place); });
        services_.chance.seed(seed);
        services_.flights = &flights_;
        context_.use(f_.settings, f_.registry.prepare(*f_.settings));
    }

    void run() {
        for (int i = 0; i < clients; ++i) {
            auto& one = *visitors_.emplace_back(std::make_unique<visitor>(f_.loop));
            f_.loop.nursery().spawn(request::client_connection::run(
                std::make_unique<request::client_connection>(context_, one.client.connect())));
            one.client.send(draw_request());
            if (dice_.one_in(5)) f_.loop.timers().arm(one, f_.loop.now() + dice_.time(300));
            f_.pass(dice_.time(dice_.one_in(2) ? 1 : 100));
        }
        f_.pass(5min);
        for (auto& one : visitors_) one->client.leave();
        f_.pass(5min);
        REQUIRE(context_.open.empty());
        REQUIRE(f_.upstream.open_now() == 0);
        for (auto& one : entries_) settle(*one);
    }

    summing seen{f_.seen};
    sums ledger;
    std::string lines;
    [[nodiscard]] bool coalesces() const { return f_.route->coalesce != coalesce_mode::off; }
    bool ties = false; // somebody was left in the very moment in which it told: nobody knows what was read

private:
    struct visitor final : net::timer_entry {
        explicit visitor(net::loop& loop) : client(loop, true) {}
        void on_timer() override { client.leave(); }
        scripted_client client;
    };

    void configure() {
        auto& route = *f_.route;
        route.retry.max_retries = static_cast<int>(dice_.below(4));
        route.retry.backoff = {.initial = 5ms, .max = 20ms, .base = 2, .jitter = jitter::full};
        route.retry.budget.burst = 1000;
        route.retry.max_retry_after = 100ms;
        route.circuit_breaker.on = dice_.one_in(4);
        route.cooldown.on = false;
        route.overload.on = false;
        route.hedge.on = dice_.one_in(2);
        route.hedge.delay = hedge_options::delay_kind::fixed;
        route.hedge.fixed = 20ms;
        route.hedge.min_delay = 1ms;
        route.hedge.guard = 0;
        route.timeout.total = 2s;
        route.timeout.stream_idle = 200ms;
        route.timeout.rescue = {.on = dice_.one_in(2), .after = 60ms};
        if (dice_.one_in(4)) route.timeout.attempt = 150ms;
        if (dice_.one_in(4)) route.stream.hold_buffer = 1024; // much is passed on as it comes
        route.stream.asks_usage = dice_.one_in(3);
        route.stream.upcast = route.retry.max_retries > 0 && dice_.one_in(3);
        if (route.retry.max_retries > 0 && dice_.one_in(2))
            route.stream.resume =
                dice_.one_in(3) ? config::stream_resume::buffer : config::stream_resume::verified_replay;
        if (dice_.one_in(3)) route.coalesce = coalesce_mode::always;
        f_.provider->prices = {{"*", {.input = 3, .output = 15, .cached_read = 0.25, .cached_write = 3.75}}};
        f_.backup->prices = f_.provider->prices;
    }

    std::string draw_request() {
        const bool messages = dice_.one_in(4), stream = dice_.one_in(2);
        std::string body = R"({"model":"m","max_tokens":100,"temperature":0,"stream":)";
        body += stream ? "true" : "false";
        if (stream && !messages && dice_.one_in(3)) body += R"(,"stream_options":{"include_usage":true})";
        // Some are alike, for flights to be shared.
        const std::size_t size = dice_.one_in(2) ? 400 : 100 + dice_.below(2000);
        body += R"(,"messages":[{"role":"user","content":")" + std::string(size, 'q') + R"("}]})";
        return post_of(body, "", messages ? "/v1/messages" : "/v1/chat/completions");
    }

    // Of one that ran its course, or was left.
    void settle(const ledger_entry& one) {
        for (const auto tokens : one.took) lines += std::to_string(tokens) + ' ';
        lines += std::to_string(one.input) + (one.broken ? " broken" : "") + (one.told_input ? " in!" : " in?") +
                 (one.told_output ? " out!\n" : " out?\n");
        if (one.broken) return;
        const exchange_log& exchange = *one.exchange;
        ties = ties || (one.told_at == exchange.closed_at && !exchange.recycled);
        kinds due = one.took;
        // It worked on it, and was left before it had said anything.
        if (std::all_of(due.begin(), due.end(), [](auto tokens) { return tokens == 0; })) due[0] = one.input;
        for (std::size_t i = 0; i < due.size(); ++i) {
            const bool of_input = telemetry::is_of_input(static_cast<token_kind>(i));
            ((of_input ? one.told_input : one.told_output) ? ledger.told : ledger.guessed)[i] += due[i];
        }
    }

    // What a request is answered with, whose body is drawn upon once it is here: serve() sees it.
    exchange_script draw_script(std::size_t) {
        exchange_script script;
        if (dice_.one_in(5)) script.connect_after = dice_.time(20);
        if (dice_.one_in(20)) {
            script.connect_failure =
                net::transport_error{net::transport_error::kind::refused, "connection_refused", 502, {}, "refused"};
            return script;
        }
        script.serve = [this, served = false](const exchange_log& log) mutable {
            if (std::exchange(served, true)) return std::vector<play_step>{play::end{}};
            return answer(log);
        };
        return script;
    }

    std::vector<play_step> answer(const exchange_log& exchange) {
        const read_message& asked = exchange.requests.messages().front();
        auto entry = entries_.emplace_back(std::make_shared<ledger_entry>());
        entry->exchange = &exchange;
        entry->input = dice_.around(asked.body.size());
        std::vector<play_step> steps;
        if (exchange.closed) return steps; // left at once
        const auto note = [&](auto what) { steps.push_back(play::call{[entry, what] { what(*entry); }}); };
        if (!dice_.one_in(4)) steps.push_back(play::pause{dice_.time(dice_.one_in(4) ? 400 : 40)});
        switch (dice_.below(12)) {
        case 0: { // an error: of the provider's, or of the request's
            static constexpr int statuses[] = {400, 429, 500, 503, 529};
            note([](ledger_entry& of) { of.broken = true; });
            steps.push_back(play::send{status_answer(statuses[dice_.below(std::size(statuses))])});
            return steps;
        }
        case 1:
            note([](ledger_entry& of) { of.broken = true; });
            steps.push_back(play::reset{});
            return steps;
        case 2: steps.push_back(play::silence{}); return steps;
        default: break;
        }
        const bool messages = asked.head.starts_with("POST /v1/messages");
        const bool stream = has(asked.body, R"("stream":true)");
        kinds& due = entry->will_tell;
        const std::uint64_t cached = dice_.one_in(3) ? entry->input / 3 : 0;
        const std::uint64_t written = messages && dice_.one_in(3) ? entry->input / 4 : 0;
        due = {entry->input - cached - written, cached, written, 0, 0};
        std::vector<std::string> pieces;
        std::vector<std::uint64_t> tokens;
        for (std::uint32_t i = 1 + dice_.below(12); i > 0; --i) {
            pieces.push_back(std::string(8 + dice_.below(60), 'a'));
            tokens.push_back(dice_.around(pieces.back().size()));
            due[3] += tokens.back();
        }
        if (stream) {
            messages ? stream_of_messages(*entry, pieces, tokens, steps, entry)
                     : stream_of_chat(has(asked.body, R"("include_usage":true)"), pieces, tokens, steps, entry);
            return steps;
        }
        std::string text;
        for (const auto& piece : pieces) text += piece;
        const bool tells = !dice_.one_in(4);
        std::string body =
            messages
                ? R"({"type":"message","content":[{"type":"text","text":")" + text + R"("}],"stop_reason":"end_turn")"
                : R"({"choices":[{"message":{"content":")" + text + R"("},"finish_reason":"stop"}])";
        if (tells) body += ",\"usage\":" + (messages ? anthropic_usage(due) : openai_usage(due));
        body += "}";
        note([this, tells](ledger_entry& of) {
            of.took = of.will_tell;
            if (tells) tell(of, true);
        });
        steps.push_back(play::send{status_answer(200, "", body)});
        return steps;
    }

    void tell(ledger_entry& of, bool output) {
        of.told_input = true;
        of.told_output = output;
        of.told_at = f_.loop.now();
    }

    static std::string openai_usage(const kinds& due) {
        const auto input = due[0] + due[1] + due[2];
        return R"({"prompt_tokens":)" + std::to_string(input) + R"(,"completion_tokens":)" + std::to_string(due[3]) +
               R"(,"total_tokens":)" + std::to_string(input + due[3]) +
               R"(,"prompt_tokens_details":{"cached_tokens":)" + std::to_string(due[1]) +
               R"(},"completion_tokens_details":{"reasoning_tokens":0}})";
    }
    static std::string anthropic_usage(const kinds& due) {
        return R"({"input_tokens":)" + std::to_string(due[0]) + R"(,"cache_read_input_tokens":)" +
               std::to_string(due[1]) + R"(,"cache_creation_input_tokens":)" + std::to_string(due[2]) +
               R"(,"output_tokens":)" + std::to_string(due[3]) + "}";
    }

    // Whether the stream breaks here, and how.
    bool breaks(std::vector<play_step>& steps, const std::shared_ptr<ledger_entry>& entry) {
        if (!dice_.one_in(40)) return false;
        steps.push_back(play::call{[entry] {
            const bool said = std::any_of(entry->took.begin(), entry->took.end(), [](auto n) { return n > 0; });
            entry->broken = !said;
        }});
        switch (dice_.below(4)) {
        case 0: steps.push_back(play::reset{}); break;
        case 1: steps.push_back(play::end{}); break;
        case 2: steps.push_back(play::send{"0\r\n\r\n"}); break;
        default:
            steps.pop_back(); // silence: it goes on, and is left
            steps.push_back(play::silence{});
        }
        return true;
    }
    // A piece of text: its tokens are generated when it is sent. The first makes the input due.
    void say(std::vector<play_step>& steps, const std::shared_ptr<ledger_entry>& entry, const std::string& event,
             std::uint64_t tokens) {
        steps.push_back(play::call{[entry, tokens] {
            for (std::size_t i = 0; i < 3; ++i) entry->took[i] = entry->will_tell[i];
            entry->took[3] += tokens;
        }});
        steps.push_back(play::send{chunk(event)});
        steps.push_back(play::pause{dice_.time(dice_.one_in(20) ? 100 : 3)});
    }

    void stream_of_chat(bool tells, const std::vector<std::string>& pieces, const std::vector<std::uint64_t>& tokens,
                        std::vector<play_step>& steps, const std::shared_ptr<ledger_entry>& entry) {
        const std::string null_usage = tells ? R"(,"usage":null})" : "}";
        const auto event = [&](const std::string& delta, const std::string& reason) {
            return R"(data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[)" +
                   (R"({"index":0,"delta":)" + delta) + R"(,"finish_reason":)" + reason + "}]" + null_usage + "\n\n";
        };
        steps.push_back(play::send{stream_head + chunk(event(R"({"role":"assistant","content":""})", "null"))});
        for (std::size_t i = 0; i < pieces.size(); ++i) {
            if (breaks(steps, entry)) return;
            say(steps, entry, event(R"({"content":")" + pieces[i] + "\"}", "null"), tokens[i]);
        }
        if (breaks(steps, entry)) return;
        std::string last = event("{}", "\"stop\"");
        if (tells) {
            last +=
                R"(data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":)" +
                openai_usage(entry->will_tell) + "}\n\n";
            steps.push_back(play::call{[this, entry] { tell(*entry, true); }});
        }
        steps.push_back(play::send{chunk(last + "data: [DONE]\n\n") + "0\r\n\r\n"});
    }

    void stream_of_messages(const ledger_entry&, const std::vector<std::string>& pieces,
                            const std::vector<std::uint64_t>& tokens, std::vector<play_step>& steps,
                            const std::shared_ptr<ledger_entry>& entry) {
        const auto event = [](const std::string& name, const std::string& rest) {
            return "event: " + name + "\ndata: {\"type\":\"" + name + "\"," + rest + "}\n\n";
        };
        kinds begun = entry->will_tell;
        begun[3] = 1;
        steps.push_back(play::call{[this, entry] {
            for (std::size_t i = 0; i < 3; ++i) entry->took[i] = entry->will_tell[i];
            tell(*entry, false);
        }});
        steps.push_back(play::send{
            stream_head +
            chunk(event("message_start",
                        R"("message":{"id":"m","type":"message","role":"assistant","model":"m","content":[],)"
                        R"("stop_reason":null,"stop_sequence":null,"usage":)" +
                            anthropic_usage(begun) + "}") +
                  event("content_block_start", R"("index":0,"content_block":{"type":"text","text":""})"))});
        for (std::size_t i = 0; i < pieces.size(); ++i) {
            if (breaks(steps, entry)) return;
            say(steps, entry,
                event("content_block_delta", R"("index":0,"delta":{"type":"text_delta","text":")" + pieces[i] + "\"}"),
                tokens[i]);
        }
        if (breaks(steps, entry)) return;
        steps.push_back(play::call{[this, entry] { tell(*entry, true); }});
        steps.push_back(play::send{
            chunk(event("content_block_stop", "\"index\":0") +
                  event("message_delta", R"("delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":)"
                                         R"({"output_tokens":)" +
                                             std::to_string(entry->will_tell[3]) + "}") +
                  "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n") +
            "0\r\n\r\n"});
    }

    dice dice_;
    retrying f_{true};
    request::shared_flights flights_;
    request::worker_services services_{f_.loop, f_.upstream, seen, f_.memory, [] { return std::string{"{}"}; }};
    request::connection_context context_{.services = services_, .settings = {}, .policies = {}, .id_seed = 1};
    std::vector<std::unique_ptr<visitor>> visitors_;
    std::vector<std::shared_ptr<ledger_entry>> entries_;
    request::virtual_end end_{services_};
};

int requests_to_run() {
    const char* const asked = std::getenv("EVENKEEL_BILL");
    return asked != nullptr ? std::max(100, std::atoi(asked)) : 10'000;
}

std::string text_of(const kinds& of) {
    std::string out;
    for (const auto tokens : of) out += (out.empty() ? "" : " ") + std::to_string(tokens);
    return out;
}

bool near(std::uint64_t found, std::uint64_t due) {
    return std::abs(static_cast<double>(found) - static_cast<double>(due)) <= 0.1 * static_cast<double>(due);
}

} // namespace

TEST_CASE("what attempts took, whatever became of them, is what the provider's ledger says") {
    sums billed, ledger;
    int hedges = 0, rescues = 0, resumed = 0, upcast = 0, followers = 0;
    int ties = 0;
    const int cases = requests_to_run() / faulted_case::clients;
    for (int i = 0; i < cases; ++i) {
        CAPTURE(i);
        faulted_case one(static_cast<std::uint32_t>(i));
        one.run();
        const sums& found = one.seen.all;
        const std::string found_text = text_of(found.told), ledger_text = text_of(one.ledger.told);
        CAPTURE(found_text);
        CAPTURE(ledger_text);
        CAPTURE(one.seen.lines);
        CAPTURE(one.lines);
        ties += one.ties;
        if (one.ties) continue;
        REQUIRE(found.told == one.ledger.told);
        add_to(billed.told, found.told);
        add_to(billed.guessed, found.guessed);
        add_to(ledger.told, one.ledger.told);
        add_to(ledger.guessed, one.ledger.guessed);
        billed.cost += found.cost;
        if (!one.coalesces()) {
            const auto probed = found.became[static_cast<std::size_t>(spent_on::probed)];
            const auto all = std::accumulate(found.became.begin(), found.became.end(), std::uint64_t{0});
            REQUIRE(one.seen.of_requests == all - probed); // a probe is no request's
        }
        for (std::size_t k = 0; k < found.became.size(); ++k) billed.became[k] += found.became[k];
        hedges += one.seen.hedges;
        rescues += one.seen.rescues;
        resumed += one.seen.resumed;
        upcast += one.seen.upcast;
        followers += one.seen.followers;
    }
    const auto input = [](const kinds& of) { return of[0] + of[1] + of[2]; };
    MESSAGE((cases * faulted_case::clients), " requests: told ", input(ledger.told), " + ", ledger.told[3],
            " tokens, untold ", input(ledger.guessed), " + ", ledger.guessed[3], ", estimated ", input(billed.guessed),
            " + ", billed.guessed[3], "; ", ties, " cases left out");
    MESSAGE("served ", billed.became[0], ", lost_hedge ", billed.became[1], ", rescued ", billed.became[2], ", failed ",
            billed.became[3], ", cancelled ", billed.became[4], ", probed ", billed.became[5], "; hedges ", hedges,
            ", rescues ", rescues, ", resumed ", resumed, ", upcast ", upcast, ", followers ", followers);
    CHECK(billed.told == ledger.told);
    CHECK(near(input(billed.guessed), input(ledger.guessed)));
    CHECK(near(billed.guessed[3], ledger.guessed[3]));
    CHECK(ties < cases / 20);
    kinds all = billed.told;
    add_to(all, billed.guessed);
    CHECK(billed.cost == all[0] * 3000 + all[1] * 250 + all[2] * 3750 + all[3] * 15000);
    // The storm has had everything in it.
    for (std::size_t k = 0; k < 5; ++k) CHECK(billed.became[k] > 0);
    for (const int seen : {hedges, rescues, resumed, upcast, followers}) CHECK(seen > 0);
}

} // namespace evenkeel::test::bill_storm_test
