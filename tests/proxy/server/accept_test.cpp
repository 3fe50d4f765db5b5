// What is served, refused and told as anybody would expect who did not know that there is a proxy: over real sockets.

#include "proxy/provider/blocking_client.hpp"
#include "proxy/provider/simulated_provider.hpp"
#include "tests/proxy/server/running_proxy.hpp"

#include <boost/json.hpp>
#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <vector>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace evenkeel::test::accept_test {

using namespace evenkeel::provider;
using namespace std::chrono_literals;

namespace {
const std::string body = R"({"model":"m","messages":[]})";
header_list with(const std::string& script) { return {{"content-type", "application/json"}, {"x-sim", script}}; }

// A file that says nothing of any policy.
std::string plain(const std::string& url) {
    return "upstreams: {sim: {url: \"" + url + "\"}}\nroutes: [{name: all, upstreams: [sim]}]\n";
}
constexpr const char* with_admin = "admin: {listen: \"127.0.0.1:0\"}\n";

blocking_client operators_of(running_proxy& proxy) {
    const std::string address = proxy->admin_addresses().front();
    return blocking_client({.port = static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)))});
}
boost::json::value reload_by_post(running_proxy& proxy, int status) {
    blocking_client operators = operators_of(proxy);
    const auto answer = operators.request("POST", "/-/reload", {{"content-length", "0"}});
    CHECK(answer.status == status);
    return boost::json::parse(answer.body);
}
// As the dashboard shows it.
boost::json::value file_shown(running_proxy& proxy) {
    return boost::json::parse(operators_of(proxy).request("GET", "/-/overview").body).at("configuration");
}
std::string text_of(const boost::json::value& from, const char* name) {
    const auto* found = from.as_object().if_contains(name);
    return found != nullptr && found->is_string() ? std::string{found->as_string()} : "";
}

// That nobody has, for the moment.
std::uint16_t free_port() {
    const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    REQUIRE(::bind(fd, reinterpret_cast<sockaddr*>(&at), size) == 0);
    REQUIRE(::getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size) == 0);
    ::close(fd);
    return ntohs(at.sin_port);
}
} // namespace

TEST_CASE("D5: 400 requests of 4 s at once are all served by what is built in, and wait for nobody") {
    simulated_provider upstream;
    running_proxy proxy(plain(upstream.url()));
    std::vector<blocking_client> clients;
    for (int i = 0; i < 400; ++i) {
        clients.push_back(proxy.connect(60s));
        REQUIRE(clients.back().send_request("POST", "/v1/chat/completions", with("delay=4s"), body));
    }
    REQUIRE(upstream.wait_for([](const provider_counters& now) { return now.requests >= 400; }, 3s));
    int served = 0;
    for (auto& one : clients) served += one.read_response("POST").status == 200 ? 1 : 0;
    CHECK(served == 400);
    CHECK(upstream.counters().requests == 400);
    CHECK(proxy.finish());
}

TEST_CASE("F7: a proxy that is its own upstream says so at once, after one connection and no request to itself") {
    const std::uint16_t port = free_port();
    const std::string number = std::to_string(port);
    for (const std::string host : {"127.0.0.1", "localhost"}) {
        CAPTURE(host);
        running_proxy proxy(plain("http://" + host + ":" + number), "127.0.0.1:" + number);
        const auto began = std::chrono::steady_clock::now();
        const auto answer = proxy.connect().request("POST", "/v1/chat/completions", with(""), body);
        CHECK(answer.status == 502);
        CHECK(answer.body.find("is this proxy itself") != std::string::npos);
        CHECK(answer.body.find("proxy_loop_detected") != std::string::npos);
        CHECK(answer.header("x-evenkeel-attempts") == "1");
        CHECK(std::chrono::steady_clock::now() - began < 2s);
        CHECK(proxy.finish());
        std::ifstream log(proxy.access_log());
        std::string line;
        int requests = 0;
        while (std::getline(log, line)) ++requests;
        CHECK(requests == 1);
    }
}

TEST_CASE("F6: a reload by POST that fails answers with its diagnostics, one that needs a restart says of what") {
    simulated_provider upstream;
    running_proxy proxy(plain(upstream.url()), "127.0.0.1:0", "", with_admin);
    CHECK_FALSE(file_shown(proxy).as_object().contains("tried_at"));
    CHECK(text_of(reload_by_post(proxy, 200), "message") == "the configuration was reloaded");
    const auto first = file_shown(proxy);
    CHECK(first.at("last_reload_ok") == true);
    CHECK(first.at("restart_required").as_array().empty());

    proxy.write("upstreams: {sim: {url: \"" + upstream.url() +
                "\", timeuot: 1s}}\nroutes: [{name: all, upstreams: "
                "[sim]}]\n");
    const auto refused = reload_by_post(proxy, 422);
    CHECK(text_of(refused, "error").find("the old one stays in force") != std::string::npos);
    const std::string said = text_of(refused, "diagnostics");
    CAPTURE(said);
    CHECK(said.find(proxy.file()) != std::string::npos);
    CHECK(said.find("timeuot") != std::string::npos);
    CHECK(file_shown(proxy).at("last_reload_ok") == false);
    CHECK(text_of(file_shown(proxy), "problem") == said);
    CHECK(text_of(file_shown(proxy), "hash") == text_of(first, "hash")); // of what is in force
    CHECK(proxy.connect().request("POST", "/v1/chat/completions", with(""), body).status == 200);
    CHECK(proxy.comes_to_show("evenkeel_config_last_reload_successful 0"));
    CHECK(proxy.comes_to_show("evenkeel_config_restart_required 0"));

    {
        std::ofstream file(proxy.file());
        file << "version: 1\nlisten: 127.0.0.1:" << free_port() << "\nworkers: 2\n"
             << with_admin << "access_log: {path: " << proxy.access_log()
             << "}\nlog: {path: " << (proxy.directory() / "log").string() << "}\n"
             << plain(upstream.url());
    }
    const auto taken = reload_by_post(proxy, 200);
    const auto* const keys = taken.as_object().if_contains("restart_required");
    REQUIRE(keys != nullptr);
    CHECK(*keys == boost::json::array{"listen", "workers"});
    CHECK(file_shown(proxy).at("last_reload_ok") == true);
    CHECK(file_shown(proxy).at("restart_required") == *keys);
    CHECK(text_of(file_shown(proxy), "problem").empty());
    CHECK(proxy.comes_to_show("evenkeel_config_restart_required 1"));
    proxy.write(plain(upstream.url()));
    CHECK(text_of(reload_by_post(proxy, 200), "message") == "the configuration was reloaded");
    CHECK(proxy.comes_to_show("evenkeel_config_restart_required 0")); // the file says again what is in force
    CHECK(proxy.connect().request("POST", "/v1/chat/completions", with(""), body).status == 200);
    CHECK(proxy.finish());
}

} // namespace evenkeel::test::accept_test
