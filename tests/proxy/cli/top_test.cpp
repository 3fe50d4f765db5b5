// `evenkeel top`: what it makes of a document, and how it treats a terminal.

#include "proxy/cli/top_view.hpp"
#include "proxy/provider/simulated_provider.hpp"
#include "tests/proxy/cli/pane.hpp"
#include "tests/proxy/cli/printed.hpp"
#include "tests/proxy/server/running_proxy.hpp"

#include <doctest/doctest.h>

#include <csignal>
#include <sstream>
#include <string>
#include <vector>

namespace evenkeel::test::top_test {

namespace {
bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

std::string joined(const std::vector<std::string>& lines) {
    std::string out;
    for (const auto& each : lines) out += each + '\n';
    return out;
}

const std::string overview = R"({"version":"0.9.0","at":1000,"started_at":100,"level":"trouble",
"sentence":"deepseek rests for 12 s more; openai takes its traffic.","healthy":true,"open_circuits":1,
"routes":[
 {"name":"embeddings","state":"serves","minute":{"requests":7,"success_rate":1,"avg_s":0.1,"p95_s":0.2},
  "in_flight":0,"holding":0,"endpoints":[{"upstream":"openai","endpoint":"","state":"up","note":"",
   "minute":{"requests":7,"success_rate":1,"avg_s":0.1,"p95_s":0.2},"budget":{"level":9.8,"burst":10}}]},
 {"name":"chat","state":"disturbed","minute":{"requests":120,"success_rate":0.99,"avg_s":0.8,"p95_s":2.1},
  "in_flight":3,"holding":2,"endpoints":[
   {"upstream":"deepseek","endpoint":"","state":"rests","note":"rests (rate_limited) for 12 s more",
    "minute":{"requests":60,"success_rate":null,"avg_s":null,"p95_s":null},
    "last_failure":{"result":"rate_limited","status":429,"ago_s":3.0},"budget":{"level":4.5,"burst":10}},
   {"upstream":"openai","endpoint":"https://10.0.0.1:443","state":"open","note":"probe in 1.5 s","minute":{}},
   {"upstream":"openai","endpoint":"https://10.0.0.2:443","state":"up","note":"","minute":{"requests":60}}]}],
"bill":{"overhead_share":0.031,"cost":{"served":1.5,"failed":0.25,"rescued":0}},
"process":{"resident_bytes":52428800},"something":{"new":[1,2,3]}})";

const std::string health =
    "{\"services\":{\"r\xC3\xA9\\u001b[2J\\n\":{\"requests\":3,\"success_rate\":1.0,\"avg_latency\":1,"
    "\"p95_latency\":2,\"upstreams\":{\"a\\u001b]0;x\\u0007\":{\"circuit_state\":\"open\","
    "\"next_probe\":2.5}}}},\"overall_status\":{\"healthy\":false,\"open_circuits\":1}}";
} // namespace

TEST_CASE("top: a screen and a page of the overview, whatever is in it, within their width") {
    auto document = cli::read_overview(overview);
    document.requests = cli::read_requests(
        R"({"requests":[{"ts":"2026-11-29T10:19:35.123Z","route":"chat","status":200,"outcome":"failed_over",)"
        R"("attempts":2,)"
        R"("duration_s":3.21,"conclusion":"Answered with 200 by openai, which took over."}]})");
    cli::top_choice how{.where = "127.0.0.1:9901"};
    const std::string page = cli::page_of(document, how, 80, false);
    CAPTURE(page);
    for (const char* each :
         {"evenkeel 0.9.0  127.0.0.1:9901  up 15m 00s  50 MiB\n", "\ndeepseek rests for 12 s more; openai takes",
          "budget 4.5 of 10 at least (deepseek); resilience took 3.1 % of the tokens; cost",
          "1.75, of it 0.25 for resilience\n",
          "\nchat                          120   99.0%    0.80s    2.10s  disturbed, 3 now...\n",
          "\n  deepseek                     60       -        -        -  rests\n    (rate_limited) for 12 s "
          "more; last: rate_limited 429, 3.0 s ago\n",
          "\n  openai 10.0.0.1:443           -       -        -        -  open probe in 1.5 s\n",
          "\n10:19:35  chat                  200 failed_over       2 attempts     3.21s\n",
          "  Answered with 200 by openai, which took over.\n"})
        CHECK_MESSAGE(has(page, each), each);
    CHECK(page.find("embeddings") < page.find("chat "));
    for (const std::size_t width : {20, 40, 80, 132})
        for (const std::size_t height : {1, 3, 8, 24, 60}) {
            const auto screen = cli::screen_of(document, how, width, height, false);
            CHECK(screen.size() <= height);
            for (const auto& line : screen) CHECK_MESSAGE(line.size() <= width, line);
        }
    how.order = cli::top_order::requests;
    const std::string busiest = joined(cli::screen_of(document, how, 80, 30, false));
    CHECK(busiest.find("\nchat ") < busiest.find("\nembeddings "));
    how.filter = "embed";
    const std::string only = joined(cli::screen_of(document, how, 80, 30, false));
    CHECK(!has(only, "deepseek   "));
    CHECK(has(only, "s sort: busiest  / filter: embed"));
    how.filter = "nothing has this";
    CHECK(has(joined(cli::screen_of(document, how, 80, 30, false)), "no route or upstream has this in its name"));
    // Of a document that lacks everything, too.
    CHECK(
        has(cli::page_of(cli::read_overview(R"({"routes":[{},{"endpoints":[{},7]},3]})"), {}, 80, false), "evenkeel"));
    CHECK_THROWS(cli::read_overview("{}"));
    CHECK_THROWS(cli::read_health("[]"));
}

TEST_CASE("top: the keys of an upstream below it, each with its state, of either document") {
    const auto page_of = [](const cli::top_document& document) { return cli::page_of(document, {}, 80, false); };
    const std::string page = page_of(cli::read_overview(
        R"({"routes":[{"name":"r","endpoints":[{"upstream":"a","state":"up","credentials":[)"
        R"({"name":"team","state":"dead","in_flight":0,"asked_again_s":899.2,"why":"credential"},)"
        R"({"name":"spare","state":"well","in_flight":3,"asked_again_s":null,"why":""},)"
        R"({"name":"kept","state":"drained","in_flight":1,"asked_again_s":null,"why":"operator"}]}]}]})"));
    CAPTURE(page);
    CHECK(has(page, "\n    key team: dead, credential, 899 s more\n    key spare: well, 3 now\n"
                    "    key kept: drained, operator\n"));
    const std::string other = page_of(cli::read_health(
        R"({"services":{"r":{"upstreams":{"a":{"credentials":{"team":{"state":"resting","in_flight":0,)"
        R"("asked_again":5.2,"why":"rate_limited"}}}}}},"overall_status":{"healthy":true,"open_circuits":0}})"));
    CAPTURE(other);
    CHECK(has(other, "\n    key team: resting, rate_limited, 5.2 s more\n"));
}

TEST_CASE("top: more lines than a screen are scrolled, and never beyond the last") {
    std::string routes;
    for (int i = 0; i < 50; ++i)
        routes += std::string(i == 0 ? "" : ",") + R"({"name":"route-)" + std::to_string(i) +
                  R"(","endpoints":[{"upstream":"a","state":"up"},{"upstream":"b","state":"up"}]})";
    const auto document = cli::read_overview("{\"routes\":[" + routes + "]}");
    cli::top_choice how;
    CHECK(has(joined(cli::screen_of(document, how, 80, 24, false)), "1-19 of 150 lines"));
    how.scrolled = 1000;
    const auto last = cli::screen_of(document, how, 80, 24, false);
    CHECK(has(joined(last), "route-49"));
    CHECK(has(joined(last), "132-150 of 150 lines"));
    CHECK(how.scrolled == 131);
}

TEST_CASE("top: what a name holds does not steer the terminal") {
    const auto document = cli::read_health(health);
    for (const std::string& text : {cli::page_of(document, {}, 80, false), [&] {
                                        cli::top_choice how;
                                        return joined(cli::screen_of(document, how, 80, 24, false));
                                    }()}) {
        CAPTURE(text);
        for (const char c : text) CHECK((c == '\n' || (c >= ' ' && c <= '~')));
        CHECK(has(text, "r???[2J?"));
        CHECK(has(text, "  open probe in 2.5 s"));
    }
}

TEST_CASE("top: without a terminal it prints once; of a proxy that is not there it says so") {
    provider::simulated_provider upstream;
    running_proxy proxy(retrying(upstream.url()), "127.0.0.1:0", "",
                        "admin: {listen: \"127.0.0.1:0\", token: sesame-0123}\n");
    const std::string where = "top --admin http://" + proxy->admin_addresses().front();
    upstream.play("status=503; fail_times=1");
    CHECK(
        proxy.connect().request("POST", "/v1/chat/completions", {{"content-type", "application/json"}}, "{}").status ==
        200);
    for (const std::string& how : {where, where + " --once"}) {
        const auto told = evenkeel(how, "EVENKEEL_ADMIN_TOKEN=sesame-0123");
        CAPTURE(told.out);
        CHECK(told.code == 0);
        CHECK(has(told.out, "\nall "));
        CHECK(has(told.out, "\n  sim "));
        CHECK(has(told.out, " 200 retried "));
        CHECK(!has(told.out, "\x1b"));
        std::istringstream lines(told.out);
        for (std::string line; std::getline(lines, line);) CHECK_MESSAGE(line.size() <= 80, line);
    }
    CHECK(has(evenkeel(where).out, "admin token"));
    CHECK(evenkeel(where).code == 1);
    CHECK(evenkeel("top --admin http://127.0.0.1:1").code == 1);
    CHECK(evenkeel("top --admin what").code == 2);
    CHECK(evenkeel("top --interval 0").code == 2);
    CHECK(proxy.finish());
}

TEST_CASE("top: live, with keys, another size, and a terminal as it was whatever ends it") {
    provider::simulated_provider upstream;
    running_proxy proxy(through(upstream.url()), "127.0.0.1:0", "", "admin: {listen: \"127.0.0.1:0\"}\n");
    const std::string where = "top --interval 0.2 --admin http://" + proxy->admin_addresses().front();
    {
        pane live(where);
        REQUIRE(live.shows("q quit"));
        CHECK(live.in_alternate());
        CHECK(live.shows("\nall "));
        CHECK(has(live.raw(), "\x1b[1mevenkeel"));
        live.type("s");
        CHECK(live.shows("s sort: busiest"));
        live.type("/zzz");
        CHECK(live.shows("filter: zzz_"));
        live.type("\x7f\x7f\x7fsim\r");
        CHECK(live.shows("/ filter: sim"));
        CHECK(live.shows("\n  sim "));
        live.type("\x1b");
        CHECK(live.shows("/ filter  "));
        // Live: what happens meanwhile shows.
        CHECK(proxy.connect()
                  .request("POST", "/v1/chat/completions", {{"content-type", "application/json"}}, "{}")
                  .status == 200);
        CHECK(live.shows("       1  100.0%"));
        live.resize(60, 10);
        CHECK(live.shows("q quit"));
        CHECK_FALSE(live.overflown());
        CHECK(!live.restored());
        live.type("q");
        CHECK(live.end() == 0);
        CHECK(live.restored());
    }
    for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGSEGV, SIGABRT}) {
        CAPTURE(number);
        pane live(where);
        REQUIRE(live.shows("q quit"));
        live.signal(number);
        CHECK(live.end() == 128 + number);
        CHECK(live.restored());
    }
    {
        pane live(where);
        REQUIRE(live.shows("q quit"));
        live.type("\x03"); // Ctrl-C
        CHECK(live.end() == 128 + SIGINT);
        CHECK(live.restored());
    }
    {
        // Stopped, it gives the terminal back, and takes it again when it goes on.
        pane live(where);
        REQUIRE(live.shows("q quit"));
        live.signal(SIGTSTP);
        CHECK(live.becomes([&] { return live.restored(); }));
        live.signal(SIGCONT);
        CHECK(live.becomes([&] { return live.in_alternate(); }));
        CHECK(live.shows("q quit"));
        live.type("q");
        CHECK(live.end() == 0);
        CHECK(live.restored());
    }
    {
        pane plain(where, "NO_COLOR=1");
        REQUIRE(plain.shows("q quit"));
        CHECK(!has(plain.raw(), "\x1b[1m"));
        CHECK(!has(plain.raw(), "\x1b[2m"));
        plain.type("q");
        CHECK(plain.end() == 0);
    }
    {
        pane dumb(where, "TERM=dumb");
        CHECK(dumb.end() == 0);
        CHECK(!has(dumb.raw(), "\x1b"));
        CHECK(has(dumb.screen(), "\nall "));
    }
    {
        // What is shown stays, with a word on why it is old.
        pane live(where);
        REQUIRE(live.shows("\nall "));
        CHECK(proxy.finish());
        CHECK(live.shows("is the proxy running"));
        CHECK(live.shows("\nall "));
        live.type("q");
        CHECK(live.end() == 0);
    }
}

} // namespace evenkeel::test::top_test
