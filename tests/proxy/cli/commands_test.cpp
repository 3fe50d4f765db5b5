// The small commands, and what becomes of a command line that is wrong.

#include "proxy/cli/commands.hpp"
#include "proxy/cli/symptoms.hpp"
#include "proxy/cli/version.hpp"
#include "proxy/provider/simulated_provider.hpp"
#include "proxy/telemetry/metric_cells.hpp"
#include "tests/proxy/cli/pane.hpp"
#include "tests/proxy/cli/printed.hpp"
#include "tests/proxy/server/running_proxy.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

#include <unistd.h>

namespace evenkeel::test::commands_test {

namespace {
bool fits(const std::string& text, std::size_t width = 80) {
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);)
        if (line.size() > width) return false;
    return true;
}
bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }
} // namespace

TEST_CASE("commands: alone it says what there is, and that is no error; its version either way") {
    const auto alone = evenkeel("");
    CHECK(alone.code == 0);
    CHECK(fits(alone.out));
    for (const char* each : {"demo", "check FILE", "run -c FILE", "health", "explain ID", "reference"})
        CHECK(has(alone.out, std::string{"evenkeel "} + each));
    const auto version = evenkeel("--version");
    CHECK(version.code == 0);
    CHECK(version.out.starts_with("evenkeel " + std::string{program_version} + " ("));
    CHECK(evenkeel("version").out == version.out);
    CHECK(evenkeel("-V").out == version.out);
}

TEST_CASE("commands: a word that means nothing is an error of usage, with what it was meant to be") {
    struct row {
        const char* arguments;
        const char* says;
    };
    for (const row& each : {
             row{"rn -c x", "there is no command 'rn'; did you mean 'run'?"},
             row{"chekc -c x", "there is no command 'chekc'; did you mean 'check'?"},
             row{"config shwo", "there is no command 'shwo'; did you mean 'show'?"},
             row{"frobnicate", "there is no command 'frobnicate'\n"},
             row{"run --cnfig x", "there is no option '--cnfig'; did you mean '--config'?"},
             row{"check -c x --stric", "there is no option '--stric'; did you mean '--strict'?"},
             row{"check --fromat=json -c x", "there is no option '--fromat'; did you mean '--format'?"},
             row{"--verison", "there is no option '--verison'; did you mean '--version'?"},
         }) {
        CAPTURE(each.arguments);
        const auto told = evenkeel(each.arguments);
        CHECK(told.code == 2);
        CHECK(has(told.out, each.says));
        CHECK(fits(told.out));
    }
    for (const char* good : {"--help", "check --help", "config show --help", "--help-all", "explain --help"})
        CHECK(evenkeel(good).code == 0);
    CHECK(evenkeel("run").code == 2);
    CHECK(evenkeel("config").code == 2);
}

TEST_CASE("commands: the reference is the file, and checks clean") {
    std::ifstream in(std::string{EVENKEEL_CONFIG_FOLDER} + "/reference.yaml");
    const std::string file{std::istreambuf_iterator<char>(in), {}};
    const auto told = evenkeel("reference");
    CHECK(told.code == 0);
    CHECK(told.out == file);
}

TEST_CASE("commands: health, as a table of at most 80 columns") {
    const std::string table = cli::health_table(
        R"({"services":{"a-route-with-a-name-that-is-far-too-long":{"requests":12345,"success_rate":0.9994,)"
        R"("avg_latency":1.5,"p95_latency":12.25,"circuit_state":"closed","held":3,"degraded":true,"upstreams":{)"
        R"("a":{"requests":3,"success_rate":null,"avg_latency":null,"p95_latency":null,"circuit_state":"open",)"
        R"("next_probe":2.5,"forced":false,"cooldown":null,"overload":"normal","doubted":null},)"
        R"("b":{"requests":0,"circuit_state":"closed","cooldown":7,"overload":"normal","endpoints":{)"
        R"("10.0.0.1:80":{"requests":0,"circuit_state":"closed","overload":"overloaded"}}},)"
        R"("c":{"requests":0,"circuit_state":"closed","forced":true},)"
        R"("d":{"requests":0,"circuit_state":"half_open","doubted":1.5},)"
        R"("e":{"requests":0,"circuit_state":"half_open"}}}},)"
        R"("overall_status":{"healthy":false,"open_circuits":1,"chaos_rules":2}})");
    CAPTURE(table);
    CHECK(fits(table));
    CHECK(table.starts_with("the last minute          requests success  average      p95\n"
                            "a-route-with-a-name-t...    12345   99.9%   1.500s  12.250s  degraded, 3 held\n"
                            "  a                             3       -        -        -  open, probe in 2.5s\n"));
    for (const char* each : {"  rests for 7.0s\n", "\n    10.0.0.1:80 ", "  overloaded\n", "  closed by operator\n",
                             "  asked second\n", "  half-open\n"})
        CHECK_MESSAGE(has(table, each), each);
    CHECK(table.ends_with("\nunhealthy: nothing can be served; 1 circuit is open; chaos is on (2 rules)\n"));
}

TEST_CASE("commands: health of a running proxy; of one that can serve nothing, or is not there, 1") {
    provider::simulated_provider upstream;
    running_proxy proxy(through(upstream.url()), "127.0.0.1:0", "",
                        "admin: {listen: \"127.0.0.1:0\", token: sesame-0123}\n");
    const std::string where = "health --admin http://" + proxy->admin_addresses().front();
    const auto well = evenkeel(where, "EVENKEEL_ADMIN_TOKEN=sesame-0123");
    CAPTURE(well.out);
    CHECK(well.code == 0);
    CHECK(has(well.out, "\nall "));
    CHECK(has(well.out, "\n  sim "));
    CHECK(well.out.ends_with("\nhealthy; no circuit is open\n"));
    CHECK(fits(well.out));

    const auto unknown = evenkeel(where);
    CHECK(unknown.code == 1);
    CHECK(has(unknown.out, "admin token"));
    CHECK(evenkeel("health --admin http://127.0.0.1:1").code == 1);
    CHECK(evenkeel("health --admin what").code == 2);

    upstream.refuse();
    for (int i = 0; i < 3; ++i)
        CHECK(proxy.connect()
                  .request("POST", "/v1/chat/completions", {{"content-type", "application/json"}}, "{}")
                  .status == 502);
    const auto ill = evenkeel(where, "EVENKEEL_ADMIN_TOKEN=sesame-0123");
    CAPTURE(ill.out);
    CHECK(ill.code == 1);
    CHECK(has(ill.out, "unhealthy: every attempt of the last minute failed; no circuit is open"));
    CHECK(proxy.finish());
}

TEST_CASE("simulate: a bar for what takes long, on a terminal; a picture where one is asked for; 80 columns") {
    {
        pane live("simulate --model all --seed 1,2,3,4,5,6,7,8,9");
        CHECK(live.shows(" %  2 s"));
        CHECK_FALSE(live.overflown());
    }
    const auto file =
        (std::filesystem::temp_directory_path() / ("evenkeel-plot-" + std::to_string(::getpid()) + ".svg")).string();
    const auto drawn = evenkeel("simulate --model intermittent-20 --seed 1 --plot " + file);
    CHECK(drawn.code == 0);
    CHECK(!has(drawn.out, "\r"));
    std::ifstream in(file);
    const std::string svg{std::istreambuf_iterator<char>(in), {}};
    CHECK(svg.starts_with("<?xml"));
    CHECK(svg.ends_with("</svg>\n"));
    std::filesystem::remove(file);
    CHECK(evenkeel("simulate --model intermittent-20 --seed 1 --plot /none/there.svg").code == 1);
    CHECK(evenkeel("simulate --model quiet --plot " + file).code == 2);
    CHECK(evenkeel("simulate --demonstrate all --plot " + file).code == 2);
    CHECK(fits(drawn.out));
    CHECK(fits(evenkeel("simulate --model quiet:calm --seed 1").out));
    CHECK(fits(evenkeel("simulate --demonstrate all").out));
}

TEST_CASE("explain WORD: what deploy/README.md says of a status, a word or a metric, without a proxy that runs") {
    const auto open = evenkeel("explain circuit_open");
    CHECK(open.code == 0);
    CHECK(fits(open.out));
    CHECK(open.out.starts_with("503 circuit_open with Retry-After\n"));
    CHECK(has(open.out, "    why: no upstream of the route can be asked"));
    CHECK(has(open.out, "    do: the provider is down"));
    CHECK(!has(open.out, "`"));
    const auto status = evenkeel("explain 504");
    CHECK(has(status.out, "504 connection_timeout, attempt_timeout, deadline_exceeded\n"));
    CHECK(has(evenkeel("explain evenkeel_config_restart_required").out, "POST /-/reload"));
    CHECK(has(evenkeel("explain stream_idle_timeout").out, "an SDK exception in mid-stream"));
    CHECK(has(evenkeel("explain evenkeel_hedges_refused_total").out, "hedges that are not launched\n")); // to look at
    CHECK(evenkeel("explain evenkeel_build_info").out == "evenkeel_build_info\n    The program that runs.\n");
    CHECK(has(evenkeel("explain frobnicate").out, "'frobnicate' is no word that is known here"));
    CHECK(has(evenkeel("explain obs_fold").out,
              "400 obs_fold\n    why: A field value may not continue")); // a rule of HTTP
    for (std::size_t at = 0; at < telemetry::refusal_count; ++at) {      // whatever the proxy refuses with is told of
        const std::string_view word = telemetry::refusal_word(at);
        if (word == "other" || word == "draining") continue;
        CAPTURE(word);
        CHECK(evenkeel(fmt::format("explain {}", word)).code == 0);
    }
    const auto alert = evenkeel("explain EvenkeelCircuitOpen");
    CHECK(alert.code == 0);
    CHECK(fits(alert.out));
    CHECK(alert.out.starts_with("EvenkeelCircuitOpen (warning): The circuit of upstream UPSTREAM stays open\n"));
    CHECK(has(alert.out, "    why: Upstream UPSTREAM at ENDPOINT has been left alone for five"));
    CHECK(has(alert.out, "    do: sum by (result)"));
    CHECK(has(alert.out, "{upstream=\"UPSTREAM\"}[15m]))"));
    CHECK(evenkeel("explain CircuitOpen").out == alert.out);
    CHECK(has(evenkeel("explain CertificateExpires").out,
              "INSTANCE shows to its clients or to upstream\n    UPSTREAM expires"));
    int alerts = 0;
    for (std::size_t at = 0; (at = cli::alert_rules.find("- alert: ", at)) != std::string_view::npos; ++alerts) {
        at += std::string_view{"- alert: "}.size();
        const std::string name{cli::alert_rules.substr(at, cli::alert_rules.find('\n', at) - at)};
        CAPTURE(name);
        const std::string text = evenkeel("explain " + name).out;
        CHECK(text.starts_with(name));
        for (const char* part : {"): ", "    why: ", "    do: "}) CHECK(has(text, part));
        for (const char* part : {"{{", "}}", "`", "why: \n", "do: \n"}) CHECK(!has(text, part));
    }
    CHECK(alerts == 27);
    // A part of a word is none: that is an id, and so is any word where somebody is to be asked.
    for (const char* id : {"circuit", "header", "50", "drain"}) CHECK(evenkeel(std::string{"explain "} + id).code == 1);
    CHECK(evenkeel("explain circuit_open --admin http://127.0.0.1:1").code == 1);
}

} // namespace evenkeel::test::commands_test
