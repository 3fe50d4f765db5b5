// What a running proxy says in its logs and of its configuration, over real sockets and by the program.

#include "proxy/provider/simulated_provider.hpp"
#include "tests/proxy/cli/printed.hpp"
#include "tests/proxy/server/running_proxy.hpp"
#include "tests/proxy/server/what_came.hpp"

#include <boost/json.hpp>
#include <doctest/doctest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <unistd.h>

namespace evenkeel::test::logs_test {

using namespace provider;
using namespace std::chrono_literals;

namespace {
constexpr const char* canary = "sk-CANARY-0123456789";

std::uint16_t admin_port(running_proxy& proxy) {
    const std::string address = proxy->admin_addresses().front();
    return static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
}
client_response operate(running_proxy& proxy, const std::string& method, const std::string& target) {
    blocking_client client({.port = admin_port(proxy)});
    return client.request(method, target,
                          {{"connection", "close"}, {"authorization", "Bearer " + std::string{canary}}});
}
std::vector<std::string> lines_with(const std::string& text, const std::string& part) {
    std::vector<std::string> found;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);)
        if (line.find(part) != std::string::npos) found.push_back(line);
    return found;
}
bool soon(const auto& done) {
    for (int tries = 0; tries < 2000; ++tries) {
        if (done()) return true;
        std::this_thread::sleep_for(5ms);
    }
    return false;
}
std::string after(const std::string& text, const std::string& word, std::size_t length) {
    const auto at = text.find(word);
    return at == std::string::npos ? "" : text.substr(at + word.size(), length);
}
const std::string admin_page = "admin: {listen: \"127.0.0.1:0\", token: " + std::string{canary} + "}\n";
} // namespace

TEST_CASE("logs: at level debug each attempt has its line, and no credential or body is in any") {
    simulated_provider upstream;
    running_proxy proxy(retrying(upstream.url()), "127.0.0.1:0", "", admin_page);
    const auto ask = [&](const std::string& id) {
        return proxy.connect()
            .request("POST", "/v1/chat/completions",
                     {{"content-type", "application/json"},
                      {"x-request-id", id},
                      {"authorization", std::string{"Bearer "} + canary}},
                     chat(canary, false))
            .status;
    };
    upstream.play("status=503; fail_times=1");
    CHECK(ask("r-1") == 200);
    CHECK(soon([&] { return lines_with(proxy.log_text(), "an attempt ended").size() == 2; }));
    const auto lines = lines_with(proxy.log_text(), "an attempt ended");
    REQUIRE(lines.size() == 2);
    for (const char* part : {" debug: ", " request=r-1 ", " attempt=1 ", " upstream=sim ", " kind=first ",
                             " why=first ", " status=503 ", " seconds=0."})
        CHECK(lines[0].find(part) != std::string::npos);
    for (const char* part : {" request=r-1 ", " attempt=2 ", " kind=retry ", " result=success ", " status=200 "})
        CHECK(lines[1].find(part) != std::string::npos);

    // An operator's level holds until a reload.
    CHECK(operate(proxy, "POST", "/-/log?level=warning").status == 200);
    CHECK(ask("r-2") == 200);
    REQUIRE(proxy->reload());
    CHECK(ask("r-3") == 200);
    CHECK(soon([&] { return !lines_with(proxy.log_text(), "request=r-3").empty(); }));
    CHECK(lines_with(proxy.log_text(), "request=r-2").empty());
    CHECK(boost::json::parse(operate(proxy, "GET", "/-/log").body).at("level") == "debug");
    CHECK(proxy.log_text().find("CANARY") == std::string::npos);
    CHECK(proxy.finish());
}

TEST_CASE("logs: one hash, in check, config show, the admin pages and the metrics; it follows a reload") {
    simulated_provider upstream;
    running_proxy proxy(through(upstream.url()), "127.0.0.1:0", "", admin_page);
    const auto everywhere = [&] {
        const auto checked = evenkeel("check -c " + proxy.file());
        CHECK(checked.code == 0);
        const std::string hash = after(checked.out, "hash ", 64);
        CHECK(hash.size() == 64);
        CHECK(hash.find_first_not_of("0123456789abcdef") == std::string::npos);
        const auto as_json = boost::json::parse(evenkeel("check --format json -c " + proxy.file()).out);
        CHECK(as_json.at("hash") == boost::json::value(hash));
        const auto shown = evenkeel("config show -c " + proxy.file());
        CHECK(after(shown.out, "# hash ", 64) == hash);
        const auto page = operate(proxy, "GET", "/-/config");
        CHECK(page.status == 200);
        CHECK(after(page.body, "# hash ", 64) == hash);
        CHECK(page.body.find("token: \"***\"") != std::string::npos);
        CHECK(page.body.find("CANARY") == std::string::npos);
        // Both say the same, but for the order of the policies, which the program alone knows.
        for (const auto& line : lines_with(page.body, ":"))
            CHECK_MESSAGE(shown.out.find(line) != std::string::npos, line);
        // A scrape may be a moment old.
        CHECK(soon(
            [&] { return after(operate(proxy, "GET", "/metrics").body, "evenkeel_config_info{hash=\"", 64) == hash; }));
        return hash;
    };
    const std::string before = everywhere();
    proxy.write(through(upstream.url()) + "drain: {timeout: 7s}\n");
    REQUIRE(proxy->reload());
    CHECK(everywhere() != before);
    CHECK(operate(proxy, "GET", "/-/config").body.find("timeout: 7s  # file:") != std::string::npos);

    proxy.write(through(upstream.url()) + "workers: 3\n");
    REQUIRE(proxy->reload());
    CHECK(operate(proxy, "GET", "/-/config").body.find("\n# not in force before a restart: workers\n") !=
          std::string::npos);
    CHECK(proxy.finish());
}

TEST_CASE("logs: one that cannot be opened stops the start, and says which") {
    const auto folder = std::filesystem::temp_directory_path() / ("evenkeel-logs-" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder);
    const std::string file = (folder / "evenkeel.yaml").string(), missing = (folder / "none/there.log").string();
    for (const std::string key : {"log", "access_log"}) {
        std::ofstream(file)
            << "version: 1\nlisten: 127.0.0.1:0\nadmin: off\nupstreams: {a: {url: 'http://127.0.0.1:1'}}\n"
               "routes: [{name: all, match: {path_prefix: /}, upstreams: [a]}]\n"
            << key << ": {path: " << missing << "}\n";
        const auto ended = evenkeel("run -c " + file);
        CAPTURE(ended.out);
        CHECK(ended.code == 1);
        CHECK(ended.out.find(file + ": " + key + ".path: '" + missing +
                             "' cannot be opened: No such file or directory") != std::string::npos);
    }
    std::filesystem::remove_all(folder);
}

} // namespace evenkeel::test::logs_test
