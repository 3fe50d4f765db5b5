// The command as a user types it: exit codes, what it prints and where.

#include <doctest/doctest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

namespace evenkeel::test::command_test {

namespace {

struct printed {
    std::string out;
    int code = -1;
};
printed evenkeel(const std::string& arguments, const std::string& redirect = "2>&1") {
    const std::string line = std::string{EVENKEEL_PROGRAM} + " " + arguments + " " + redirect;
    printed result;
    FILE* const pipe = ::popen(line.c_str(), "r");
    REQUIRE(pipe != nullptr);
    std::array<char, 4096> block;
    for (std::size_t n; (n = std::fread(block.data(), 1, block.size(), pipe)) > 0;) result.out.append(block.data(), n);
    const int status = ::pclose(pipe);
    result.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return result;
}
bool has(const printed& what, const std::string& part) { return what.out.find(part) != std::string::npos; }

std::string file_with(const std::string& name, const std::string& text) {
    const auto path = std::filesystem::temp_directory_path() / (name + std::to_string(::getpid()));
    std::ofstream(path) << text;
    return path.string();
}

} // namespace

TEST_CASE("a model is simulated direct, classic and tuned side by side, the same each time") {
    const auto once = evenkeel("simulate --model errors-30 --seed 1,2 --requests 200");
    CHECK(once.code == 0);
    CHECK(has(once, "direct"));
    CHECK(has(once, "classic"));
    CHECK(has(once, "tuned"));
    CHECK(has(once, "\nerrors-30"));
    CHECK(has(once, "Medians over seeds: 1, 2."));
    CHECK(!has(once, "LEFT OVER"));
    CHECK(evenkeel("simulate --model errors-30 --seed 1,2 --requests 200").out == once.out);
    CHECK(evenkeel("simulate --model errors-30 --seed 3,4 --requests 200").out != once.out);
    CHECK(evenkeel("simulate --model collapse --seed 1 --rate 4").out !=
          evenkeel("simulate --model collapse --seed 1").out);
}

TEST_CASE("explain: a request that is not sent, by a file; wrong usage says what is wanted") {
    const std::string file = file_with("explain.yaml", "version: 1\nlisten: 127.0.0.1:0\nupstreams: {a: {url: "
                                                       "\"http://127.0.0.1:1\"}}\nroutes: [{name: llm, match: "
                                                       "{path_prefix: /v1}, upstreams: [a]}]\n");
    const std::string body = file_with("explain.json", R"({"model":"m","messages":[]})");
    const std::string asked = "explain -c " + file + " --path /v1/chat/completions --body " + body;
    const auto fine = evenkeel(asked);
    CHECK(fine.code == 0);
    CHECK(has(fine, "It takes route 'llm' (path_prefix /v1), the first of 1 that matches."));
    CHECK(has(fine, "Answered with 200 by a."));
    CHECK(evenkeel(asked).out == fine.out);
    const auto bad = evenkeel(asked + " --status 400 --header 'x-a: b'");
    CHECK(bad.code == 0);
    CHECK(has(bad, "The error of a was passed on, with status 400."));
    for (const char* wrong : {" --status 500 --fault silent", " --body-file x", " --retry-after 3", " --header x"})
        CHECK(evenkeel(asked + wrong).code == 2);
    CHECK(evenkeel("explain r-1 --path /v1").code == 2);
    CHECK(evenkeel("explain --path /v1").code == 2);
    CHECK(evenkeel("explain -c " + file + " --path v1").code == 2);
    CHECK(evenkeel("explain -c " + file + " --path /v1 --body /nowhere/at/all").code == 1);
    CHECK(evenkeel("explain -c /nowhere/at/all --path /v1").code == 1);
}

TEST_CASE("JSON for programs") {
    const auto json = evenkeel("simulate --model outage --seed 1,2 --requests 100 --format json", "2>/dev/null");
    CHECK(json.code == 0);
    CHECK(json.out.starts_with("{\"seeds\":[1, 2],\"scenarios\":["));
    for (const char* key : {"\"success\":", "\"within_15s\":", "\"p99_s\":", "\"attempts_per_request\":",
                            "\"recovery_s\":", "\"by_seed\":[", "\"leftovers\":null"}) {
        CAPTURE(key);
        CHECK(has(json, key));
    }
}

TEST_CASE("a user's file is compared with nothing at all") {
    const std::string file =
        file_with("simulate-config-",
                  "version: 1\nupstreams: {a: {url: 'http://a.invalid'}}\nroutes: [{name: llm, upstreams: [a]}]\n");
    const auto run = evenkeel("simulate -c " + file + " --model errors-30 --seed 1 --requests 100");
    CHECK(run.code == 0);
    CHECK(has(run, "direct"));
    CHECK(!has(run, "classic"));
    CHECK(evenkeel("simulate -c " + file + " --route llm --model calm --seed 1 --requests 50").code == 0);
    const auto no_route = evenkeel("simulate -c " + file + " --route other --model calm --seed 1");
    CHECK(no_route.code == 1);
    CHECK(has(no_route, "there is no route 'other'"));
    const std::string bad = file_with("simulate-bad-config-", "version: 1\nroutez: []\n");
    CHECK(evenkeel("simulate -c " + bad + " --model calm").code == 1);
    CHECK(evenkeel("simulate -c /nonexistent.yaml --model calm").code == 1);
    std::filesystem::remove(file);
    std::filesystem::remove(bad);
}

TEST_CASE("a log is replayed, and what could not be read is said") {
    const std::string good =
        R"({"ts":"2026-11-23T10:19:35.000Z","status":200,"outcome":"ok","attempts":1,"stream":true,"duration_s":4.0})";
    const std::string log = file_with("simulate-trace-", good + "\njunk\n" + good + "\n" + good.substr(0, 30));
    const auto run = evenkeel("simulate --trace " + log + " --seed 1");
    CHECK(run.code == 0);
    CHECK(has(run, "4 lines: 2 replayed, 2 junk, 0 left out"));
    CHECK(has(run, "100.0"));
    std::filesystem::remove(log);
    const std::string junk = file_with("simulate-junk-", "junk\n");
    const auto nothing = evenkeel("simulate --trace " + junk);
    CHECK(nothing.code == 1);
    CHECK(has(nothing, "no line of it can be replayed"));
    std::filesystem::remove(junk);
    CHECK(evenkeel("simulate --trace /nonexistent.ndjson").code == 1);
    CHECK(evenkeel("simulate --trace /").code == 1);
}

TEST_CASE("wrong usage says what is right") {
    const auto unknown = evenkeel("simulate --model calmer");
    CHECK(unknown.code == 2);
    CHECK(has(unknown, "there is no model 'calmer'"));
    CHECK(has(unknown, "calm, tail-5"));
    for (const char* seeds : {"x", "1,,2", "1,", "-1", "1,1", "99999999999999999999", "''"}) {
        CAPTURE(seeds);
        const auto bad = evenkeel(std::string{"simulate --model calm --seed="} + seeds);
        CHECK(bad.code == 2);
        CHECK(has(bad, "--seed"));
    }
    CHECK(evenkeel("simulate").code == 2);
    CHECK(evenkeel("simulate --model calm --trace x").code == 2);
    CHECK(evenkeel("simulate --model calm --route r").code == 2);
    CHECK(evenkeel("simulate --model calm --requests 0").code == 2);
    CHECK(evenkeel("simulate --model calm --rate 0").code == 2);
    CHECK(evenkeel("simulate --model calm --format xml").code == 2);
    const auto help = evenkeel("simulate --help");
    CHECK(help.code == 0);
    CHECK(has(help, "one-hanging"));
}

TEST_CASE("a quiet model is a table of its own") {
    const auto once = evenkeel("simulate --model quiet:tells-8s --seed 1");
    CHECK(once.code == 0);
    CHECK(has(once, "payers"));
    CHECK(has(once, "\ntells-8s"));
    CHECK(evenkeel("simulate --model quiet:tells-8s --seed 1").out == once.out);
    const auto json = evenkeel("simulate --model quiet:calm --seed 1,2 --format json");
    CHECK(has(json, R"("success":1.000000)"));
    CHECK(has(json, R"("payers":0)"));
    const std::string file =
        file_with("simulate-quiet-",
                  "version: 1\nupstreams: {a: {url: 'http://a.invalid'}}\nroutes: [{name: llm, upstreams: [a]}]\n");
    CHECK(evenkeel("simulate -c " + file + " --model quiet:calm --seed 1").code == 0);
    CHECK(evenkeel("simulate -c " + file + " --model quiet:calm --route other").code == 1);
    std::filesystem::remove(file);
    const auto unknown = evenkeel("simulate --model quiet:calmer");
    CHECK(unknown.code == 2);
    CHECK(has(unknown, "there is no model 'quiet:calmer'; there are: quiet, quiet:calm,"));
    CHECK(evenkeel("simulate --model quiet --rate 3").code == 2);
}

TEST_CASE("the six demonstrations, or one of them") {
    const auto all = evenkeel("simulate --demonstrate all");
    CHECK(all.code == 0);
    for (const char* title :
         {"1  Normal operation\n", "\n2  Circuit breaker\n", "\n3  Exponential backoff with jitter\n",
          "\n4  Hedged requests\n", "\n5  Adaptive timeout\n", "\n6  Graceful degradation\n"}) {
        CAPTURE(title);
        CHECK(has(all, title));
    }
    const auto one = evenkeel("simulate --demonstrate backoff");
    CHECK(one.code == 0);
    CHECK(one.out.starts_with("3  Exponential backoff"));
    CHECK(all.out.find(one.out) != std::string::npos);
    const auto none = evenkeel("simulate --demonstrate magic");
    CHECK(none.code == 2);
    CHECK(has(
        none,
        "there is no demonstration 'magic'; there are: all, normal, breaker, backoff, hedging, timeout, degradation"));
    CHECK(evenkeel("simulate --demonstrate all --model calm").code == 2);
}

} // namespace evenkeel::test::command_test
