// What `evenkeel explain -c FILE` says of a request that is not sent, and what becomes of it when it is: the same,
// event by event, over random configurations, requests and failures. The one runs on a virtual clock without a socket,
// the other is the running proxy with the simulated provider behind it.
//
// EVENKEEL_CASES is how many (default 1000, a tenth with a sanitizer), EVENKEEL_SEED which.

#include "proxy/provider/simulated_provider.hpp"
#include "proxy/simulate/hypothetical.hpp"
#include "proxy/simulate/stage.hpp"
#include "proxy/telemetry/request_story.hpp"
#include "tests/proxy/server/running_proxy.hpp"

#include <boost/json.hpp>
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace evenkeel::test::agreement_test {

using namespace provider;
using namespace std::chrono_literals;
using simulate::hypothesis;

namespace {
constexpr int at_a_time = sanitized ? 4 : 16; // most wait

int number_of(const char* variable, int otherwise) {
    const char* const said = std::getenv(variable);
    return said == nullptr ? otherwise : std::atoi(said);
}

class dice {
public:
    explicit dice(std::uint64_t seed) : generator_(seed) {}
    int below(int limit) { return static_cast<int>(generator_() % static_cast<std::uint64_t>(limit)); }
    bool one_in(int times) { return below(times) == 0; }
    template <class... Texts>
    std::string one_of(const Texts&... texts) {
        const char* const all[] = {texts...};
        return all[below(sizeof...(texts))];
    }

private:
    std::mt19937_64 generator_;
};

struct tried {
    std::string file; // `{}` where the provider's URL goes
    hypothesis what;
    bool stream = false;
};

// A supposed answer takes a second and an error 0.2 s, those of the simulated provider no time: whatever a policy
// counts in seconds is longer than all of that, so that it says the same of both. Pauses are short: a thousand are to
// wait.
std::string policies_of(dice& any) {
    std::string out = "  timeout: {total: 7700ms, attempt: 3s, rescue: " + any.one_of("1300ms", "off") + "}\n";
    if (any.one_in(5)) {
        out += "  retry: off\n";
    } else {
        out += "  retry: {max_retries: " + std::to_string(1 + any.below(4)) +
               ", backoff: {initial: 50ms, max: 100ms, jitter: none}, replay: " +
               any.one_of("auto", "auto", "always", "never") +
               ", budget: " + any.one_of("{burst: 1000}", "off", "{burst: 1, extra_work: off, min_per_second: off}") +
               any.one_of("", "", ", on: [connect_failure, reset]", ", on: [rate_limited, overloaded]",
                          ", on: [server_error, timeout, empty]") +
               "}\n";
    }
    out += "  circuit_breaker: " +
           any.one_of("off", "{failure_threshold: 2}", "{failure_threshold: 1, failure_ratio: 0, when_open: reject}",
                      "{when_open: reject}") +
           "\n";
    out += "  cooldown: " + any.one_of("off", "off", "{initial: 1500ms, max: 3s, overload: 1500ms}", "{}") + "\n";
    out += "  overload: " + any.one_of("off", "{}") + "\n";
    return out;
}

tried draw(dice& any) {
    tried out;
    const int upstreams = 1 + any.below(3);
    const std::string rename = any.one_in(4) ? ", models: {m: renamed}" : "";
    out.file = "upstreams:\n  a: {url: \"{}/a\"" + rename + "}\n";
    std::string names = "a";
    for (int i = 1; i < upstreams; ++i) {
        const std::string name(1, static_cast<char>('a' + i));
        out.file += "  " + name + ": {url: \"{}/" + name + "\", caller_credentials: drop}\n";
        names += ", " + name;
    }
    out.file += "defaults:\n" + policies_of(any);
    out.file += "routes:\n  - {name: other, match: {path: /other}, upstreams: [a]}\n";
    out.file += "  - name: llm\n    match: {path_prefix: /v1}\n    upstreams: [" + names + "]\n";
    if (any.one_in(3)) out.file += "    fallback: [{respond: {status: 200, body: \"{\\\"instead\\\":true}\"}}]\n";

    const int asked = any.below(10);
    out.what.path = "/v1/chat/completions";
    out.what.body = R"({"model":"m","messages":[{"role":"user","content":"nonce:x"}]})";
    out.what.fields = {"content-type: application/json", "authorization: Bearer mine"};
    if (asked < 3) {
        out.what.body = R"({"model":"m","stream":true,"messages":[{"role":"user","content":"nonce:x"}]})";
    } else if (asked == 3) {
        out.what.path = "/v1/embeddings";
        out.what.body = R"({"model":"m","input":"nonce:x"})";
    } else if (asked == 4) {
        out.what.path = "/v1/messages";
        out.what.body = R"({"model":"m","max_tokens":9,"messages":[{"role":"user","content":"nonce:x"}]})";
    } else if (asked == 5) {
        out.what.path = "/v1/models";
        out.what.method = "GET";
        out.what.body.clear();
    } else if (asked == 6) {
        out.what.path = any.one_of("/v1/files", "/v1/batches", "/nowhere");
        out.what.body = R"({"a":1})";
    }

    out.what.everywhere = any.one_in(3) || asked == 6; // of what is not repeatable the simulated provider has no answer
    const int wrong = any.below(12);
    if (wrong == 0 && asked != 6) return out;
    if (wrong == 1) {
        out.what.does = hypothesis::fault::reset;
        return out;
    }
    if (wrong == 2) {
        out.what.does = hypothesis::fault::silent;
        return out;
    }
    constexpr int statuses[] = {200, 400, 401, 403, 404, 408, 409, 413, 422, 429, 429, 500, 500, 502, 503, 504, 529};
    out.what.status = statuses[any.below(std::size(statuses))];
    switch (any.below(6)) {
    case 0:
        out.what.answer = R"({"error":{"message":"m","type":"insufficient_quota","code":"insufficient_quota"}})";
        break;
    case 1: out.what.answer = R"({"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}})"; break;
    case 2:
        out.what.answer =
            R"({"error":{"message":"m","type":"invalid_request_error","code":"context_length_exceeded"}})";
        break;
    case 3: out.what.answer = "<html>no JSON</html>"; break;
    default: break;
    }
    if (*out.what.status == 200 && out.what.answer.empty())
        out.what.answer = any.one_of(R"({"choices":[]})", R"({"error":{"message":"m","type":"server_error"}})", "{}");
    if (asked == 6 && *out.what.status == 200) out.what.status = 500; // the simulated provider has no such place
    if (any.one_in(4)) out.what.retry_after = any.one_of("0", "1", "3600");
    return out;
}

std::string script_of(const hypothesis& what) {
    const std::string late = "delay=200ms; "; // as is supposed: of several rests it decides which ends first
    if (what.does == hypothesis::fault::reset) return late + "reset_after=request";
    if (what.does == hypothesis::fault::silent) return "stall_after=request";
    std::string out = late + "status=" + std::to_string(*what.status);
    if (!what.answer.empty()) out += "; body=text:" + what.answer + "; type=application/json";
    if (!what.retry_after.empty()) out += "; retry_after=" + what.retry_after;
    return out;
}

// The story without what takes its time: an event a line.
std::string events_of(const boost::json::value& story) {
    const auto& all = story.as_object();
    const auto word = [](const boost::json::object& of, const char* name) {
        const auto* const found = of.if_contains(name);
        return found == nullptr ? std::string{} : fmt::format(" {}={}", name, boost::json::serialize(*found));
    };
    std::string out;
    for (const char* name : {"route", "status", "outcome", "upstream", "reason", "proxy_error", "denied", "degraded",
                             "attempts", "model", "upstream_model", "stream"})
        out += word(all, name);
    out += '\n';
    std::string passed_over;
    for (const auto& each : all.at("journal").as_array()) {
        std::string line;
        for (const char* name : {"event", "why", "attempt", "upstream", "kind", "status"})
            line += word(each.as_object(), name);
        line += '\n';
        const std::string_view event = each.at("event").as_string();
        if (event == "passed_over") {
            passed_over += line;
            continue;
        }
        // Which are looked at before one is found whose rest is over is up to the jitter of rests.
        if (event != "launched") out += passed_over;
        passed_over.clear();
        out += line;
    }
    return out;
}

std::string text_of(const tried& one) {
    return fmt::format("{}{} {}\n{}\nstatus {} answer {} retry-after {} does {}{}\n", one.file, one.what.method,
                       one.what.path, one.what.body, one.what.status.value_or(0), one.what.answer, one.what.retry_after,
                       static_cast<int>(one.what.does), one.what.everywhere ? " everywhere" : "");
}

// Events of the request as the running proxy has kept it.
std::string happened_to(const tried& one, const simulated_provider& upstream) {
    std::string file = one.file;
    for (std::size_t at; (at = file.find("{}/")) != std::string::npos;) file.replace(at, 2, upstream.url());
    server::server_options options;
    options.seed = simulate::hypothesis::draws; // of two rests the one that ends first is up to what is drawn
    running_proxy proxy(file, "127.0.0.1:0", "workers: 1\n", "admin: {listen: \"127.0.0.1:0\"}\n", std::move(options));
    header_list fields{{"x-request-id", "asked"}};
    for (const std::string& field : one.what.fields) {
        const auto colon = field.find(": ");
        fields.emplace_back(field.substr(0, colon), field.substr(colon + 2));
    }
    auto client = proxy.connect();
    static_cast<void>(client.request(one.what.method, one.what.path, fields, one.what.body));
    const std::string address = proxy->admin_addresses().front();
    const auto port = static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
    std::string out = "nothing kept";
    for (int i = 0; i < 500; ++i) { // what is kept is there a moment after its client has the answer
        blocking_client admin({.port = port});
        const auto answer = admin.request("GET", "/-/requests/asked", {{"connection", "close"}});
        if (answer.status == 200) {
            out = events_of(boost::json::parse(answer.body).at("requests").at(0));
            break;
        }
        std::this_thread::sleep_for(5ms);
    }
    return proxy.finish() ? out : "not ended cleanly";
}

std::string supposed_of(const tried& one) {
    std::string file = "version: 1\nlisten: 127.0.0.1:0\n" + one.file;
    for (std::size_t at; (at = file.find("{}/")) != std::string::npos;) file.replace(at, 2, "http://127.0.0.1:9");
    const auto kept = simulate::suppose(simulate::settings_of_text(file), one.what);
    return events_of(boost::json::parse(telemetry::story_json(kept)));
}
} // namespace

TEST_CASE("explain of what is not sent, and what happens when it is, agree") {
    const int cases = number_of("EVENKEEL_CASES", sanitized ? 100 : 1000);
    const auto seed = static_cast<std::uint64_t>(number_of("EVENKEEL_SEED", 1));
    std::atomic<int> next{0};
    std::mutex telling;
    std::vector<std::string> differ;
    const auto work = [&] {
        simulated_provider upstream;
        for (int number; (number = next++) < cases;) {
            dice any(seed * 1'000'000 + static_cast<std::uint64_t>(number));
            const tried one = draw(any);
            upstream.clear_scripts();
            const bool wrong = one.what.status || one.what.does != hypothesis::fault::none;
            if (wrong) upstream.script({.script = script_of(one.what), .path = one.what.everywhere ? "" : "/a"});
            std::string told;
            try {
                const std::string said = supposed_of(one), seen = happened_to(one, upstream);
                if (said == seen) continue;
                told = fmt::format("case {}\n{}\nexplain says\n{}\nand it was\n{}", number, text_of(one), said, seen);
            } catch (const std::exception& error) {
                told = fmt::format("case {}\n{}\n{}", number, text_of(one), error.what());
            }
            const std::lock_guard lock{telling};
            differ.push_back(told);
        }
    };
    std::vector<std::thread> all;
    for (int i = 0; i < at_a_time; ++i) all.emplace_back(work);
    for (std::thread& one : all) one.join();
    for (std::size_t i = 0; i < std::min<std::size_t>(differ.size(), 5); ++i) MESSAGE(differ[i]);
    CHECK(differ.size() == 0);
}

} // namespace evenkeel::test::agreement_test
