// From nothing to a proxy that serves: init, run --to, check, and what is shown of a configuration.

#include "proxy/cli/providers.hpp"
#include "proxy/cli/starter_file.hpp"
#include "proxy/provider/simulated_provider.hpp"
#include "tests/proxy/cli/pane.hpp"
#include "tests/proxy/cli/printed.hpp"

#include "config/load.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <string>

#include <unistd.h>

namespace evenkeel::test::start_test {

namespace {
bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

struct folder {
    folder() : path(std::filesystem::temp_directory_path() / ("evenkeel-start-" + std::to_string(::getpid()))) {
        std::filesystem::create_directories(path);
    }
    ~folder() { std::filesystem::remove_all(path); }
    folder(const folder&) = delete;
    folder& operator=(const folder&) = delete;
    std::string operator/(const std::string& name) const { return (path / name).string(); }
    std::filesystem::path path;
};

// Loads without a word of warning, where all keys are there.
std::string problems_of(const std::string& text) {
    std::set<std::string> assumed;
    config::environment nothing;
    nothing.variable = [](const std::string&) { return std::nullopt; };
    const auto loaded = config::load_text(text, "evenkeel.yaml", config::assuming(nothing, assumed));
    std::ostringstream out;
    config::print_text(out, loaded.diagnostics);
    return out.str();
}

std::string contents(const std::string& file) {
    std::ifstream in(file);
    return {std::istreambuf_iterator<char>(in), {}};
}
} // namespace

TEST_CASE("init: what it writes for each provider and each ordered pair passes the check without a warning") {
    for (const auto& first : cli::providers()) {
        CAPTURE(first.name);
        CHECK_MESSAGE(problems_of(cli::starter_file({&first})).empty(), problems_of(cli::starter_file({&first})));
        for (const auto& second : cli::providers()) {
            if (&first == &second) continue;
            CAPTURE(second.name);
            const std::string text = cli::starter_file({&first, &second});
            CHECK_MESSAGE(problems_of(text).empty(), problems_of(text), text);
            // The second never sees what belongs to the first.
            CHECK((has(text, "\n    headers: {set: {") || has(text, "\n    caller_credentials: drop")));
            std::istringstream lines(text);
            for (std::string line; std::getline(lines, line);) CHECK(line.size() <= 120);
        }
    }
    std::vector<const cli::provider_facts*> all;
    for (const auto& each : cli::providers()) all.push_back(&each);
    CHECK(problems_of(cli::starter_file(all)).empty());
}

TEST_CASE("init: writes a file, and never over one that is there unless told so") {
    const folder at;
    const std::string file = at / "evenkeel.yaml";
    const auto written = evenkeel("init openai deepseek -o " + file);
    CAPTURE(written.out);
    CHECK(written.code == 0);
    const std::string text = contents(file);
    CHECK(has(text, "upstreams: [openai, deepseek]"));
    CHECK(has(text, "headers: {set: {authorization: \"Bearer ${env:DEEPSEEK_API_KEY}\"}}"));
    const auto checked = evenkeel("check --strict --assume-env " + file, "env -u DEEPSEEK_API_KEY");
    CHECK(checked.code == 0);
    CHECK(has(checked.out, "not set here, and assumed to be: DEEPSEEK_API_KEY\n"));
    CHECK(evenkeel("check " + file, "env -u DEEPSEEK_API_KEY").code == 1);
    CHECK(evenkeel("check " + file, "DEEPSEEK_API_KEY=x").code == 0);

    const auto again = evenkeel("init groq -o " + file);
    CHECK(again.code == 1);
    CHECK(has(again.out, file + ": is there already"));
    CHECK(contents(file) == text);
    CHECK(evenkeel("init groq --force -o " + file).code == 0);
    CHECK(contents(file) != text);
    CHECK(evenkeel("init openai -o " + (at / "none/there.yaml")).code == 1);

    const auto printed = evenkeel("init openai deepseek -");
    CHECK(printed.code == 0);
    CHECK(printed.out == text);
    CHECK(evenkeel("init openai deepseek -o -").out == text);
    CHECK(evenkeel("init").code == 2);
    CHECK(has(evenkeel("init opnai").out, "did you mean 'openai'?"));
    CHECK(evenkeel("init openai openai -").code == 2);
}

TEST_CASE("run --to: serves without a file, says which file it means, and a reload finds the same") {
    provider::simulated_provider upstream;
    const std::string to = "run --to " + upstream.url() + " --then https://api.anthropic.com=SECOND_KEY";
    const auto meant = evenkeel(to + " --print");
    CHECK(meant.code == 0);
    CHECK(meant.out == cli::file_of({.to = {.url = upstream.url()},
                                     .then = {{.url = "https://api.anthropic.com", .key = "SECOND_KEY"}}}));
    CHECK(has(meant.out, "x-api-key: \"${env:SECOND_KEY}\""));
    CHECK(problems_of(meant.out).empty());
    CHECK(evenkeel(to, "env -u SECOND_KEY").code == 1);
    CHECK(has(evenkeel(to, "env -u SECOND_KEY").out, "environment variable SECOND_KEY is not set"));

    pane running(to + " --listen 127.0.0.1:0 --admin off", "SECOND_KEY=sk-CANARY-0123456789");
    REQUIRE(running.shows("listening address=127.0.0.1:"));
    const auto at = running.raw().find("address=127.0.0.1:") + std::string_view("address=127.0.0.1:").size();
    provider::blocking_client client({.port = static_cast<std::uint16_t>(std::stoi(running.raw().substr(at)))});
    CHECK(client
              .request("POST", "/v1/chat/completions", {{"content-type", "application/json"}},
                       R"({"model":"m","messages":[]})")
              .status == 200);
    running.signal(SIGHUP);
    CHECK(running.shows("configuration reloaded"));
    CHECK(!has(running.raw(), "CANARY"));
    client.close();
    running.signal(SIGTERM);
    CHECK(running.end() == 0);

    CHECK(evenkeel("run").code == 2);
    CHECK(evenkeel("run x.yaml --to http://a").code == 2);
    CHECK(evenkeel("run x.yaml --print").code == 2);
    const auto key = evenkeel("run --to http://a --then http://b=sk-CANARY-0123456789");
    CHECK(key.code == 2);
    CHECK(!has(key.out, "CANARY"));
    CHECK(evenkeel("run --to what --print").code == 1); // is printed as it is, ...
    CHECK(evenkeel("run --to what").code == 1);         // ... and refused with the usual words
    CHECK(evenkeel("reference > /dev/full").code == 1);
}

TEST_CASE("check, config show: colours and a width where somebody looks; none with NO_COLOR, TERM=dumb or a pipe") {
    const folder at;
    const std::string file = at / "wrong.yaml";
    std::ofstream(file) << "version: 1\nupstreams: {a: {url: x}}\ndefaults: {timeout: {total: 600s, connect: 10s, "
                           "stream_idle: 60s, content_idle: 300s, atempt: 3s}}\nroutes: []\n";
    pane coloured("check " + file);
    CHECK(coloured.end() == 1);
    CHECK(has(coloured.raw(), "\x1b[1;31merror:"));
    CHECK_FALSE(coloured.overflown());
    for (const char* environment : {"NO_COLOR=1", "TERM=dumb", "TERM="}) {
        pane plain("check " + file, environment);
        CHECK(plain.end() == 1);
        CHECK(!has(plain.raw(), "\x1b"));
        CHECK_FALSE(plain.overflown());
    }
    const auto piped = evenkeel("check " + file, "NO_COLOR= TERM=xterm");
    CHECK(!has(piped.out, "\x1b"));
    CHECK(has(piped.out, "did you mean 'attempt'?) [unknown-key]\n")); // in one line, for editors

    CHECK(evenkeel("config show " + file).code == 1);
    const std::string good = at / "good.yaml";
    CHECK(evenkeel("init openai -o " + good).code == 0);
    CHECK(has(evenkeel("config show --set routes.openai.timeout.total=5s " + good).out, "      total: 5s  # --set\n"));
    CHECK(has(evenkeel("config show --format json " + good).out, "\"settings\":{\"version\":1,"));
    CHECK(has(evenkeel("config show --set routes.openai.timeout.total=5 " + good).out, "--set:1:29: error: "));
    CHECK(evenkeel("config show --format json " + (at / "none.yaml")).code == 1);
    pane shown("config show --route openai " + good, "", 80, 400);
    CHECK(shown.end() == 0);
    CHECK_FALSE(shown.overflown());
    CHECK(has(shown.screen(), "\n  # each attempt: balance"));
    CHECK(has(evenkeel("config show " + good).out, " -> timeout.attempt (adaptive)\n")); // in one line for programs
    CHECK(evenkeel("check " + good).out == evenkeel("check -c " + good).out);
    CHECK(evenkeel("check").code == 2);
    for (const char* each : {"check", "try", "config show"})
        CHECK(evenkeel(each).out == "evenkeel: say which configuration file: FILE, or -c FILE\n");
}

TEST_CASE("help: of every command within 80 columns") {
    for (const char* command : {"", "run", "init", "check", "try", "config show", "health", "explain", "simulate",
                                "demo", "schema", "metrics", "reference", "version"}) {
        const auto help = evenkeel(std::string(command) + " --help");
        CAPTURE(command);
        CHECK(help.code == 0);
        std::istringstream lines(help.out);
        for (std::string line; std::getline(lines, line);) CHECK_MESSAGE(line.size() <= 80, line);
    }
}

} // namespace evenkeel::test::start_test
