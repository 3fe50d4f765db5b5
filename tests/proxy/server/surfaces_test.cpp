// The surfaces of a running proxy: pages in a browser, clients that half-close, files that are FIFOs.

#include "proxy/provider/simulated_provider.hpp"
#include "tests/proxy/server/running_proxy.hpp"
#include "tests/proxy/server/what_came.hpp"
#include "tests/support/certificates.hpp"

#include <boost/json.hpp>
#include <doctest/doctest.h>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <string>
#include <thread>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace evenkeel::test::surfaces_test {

using namespace evenkeel::provider;
using namespace std::chrono_literals;

namespace {

header_list asking(const header_list& more) {
    header_list out{{"content-type", "text/plain"}}; // what a page may send without asking for leave
    out.insert(out.end(), more.begin(), more.end());
    return out;
}

std::uint16_t admin_port(running_proxy& proxy) {
    const std::string address = proxy->admin_addresses().front();
    return static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
}

client_response get(std::uint16_t port, const std::string& target) {
    blocking_client client({.port = port});
    return client.request("GET", target, {{"connection", "close"}});
}

std::string text_of(const std::filesystem::path& file) {
    std::ifstream in(file);
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
}

// A client of bytes over a unix socket, with a deadline.
class unix_client {
public:
    explicit unix_client(const std::string& path) : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_un to{};
        to.sun_family = AF_UNIX;
        path.copy(to.sun_path, sizeof to.sun_path - 1);
        REQUIRE(::connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0);
    }
    ~unix_client() { close(); }
    unix_client(const unix_client&) = delete;
    unix_client& operator=(const unix_client&) = delete;
    void send(const std::string& bytes) {
        REQUIRE(::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size()));
    }
    void half_close() { ::shutdown(fd_, SHUT_WR); }
    void close() {
        if (fd_ >= 0) ::close(std::exchange(fd_, -1));
    }
    std::string read_all() {
        std::string out;
        char buffer[4096];
        for (;;) {
            pollfd one{fd_, POLLIN, 0};
            if (::poll(&one, 1, 20'000) <= 0) return out + "<timeout>";
            const ssize_t got = ::recv(fd_, buffer, sizeof buffer, 0);
            if (got <= 0) return out;
            out.append(buffer, static_cast<std::size_t>(got));
        }
    }

private:
    int fd_;
};

} // namespace

TEST_CASE(
    "an operator's word on an upstream that the file no longer names is refused, and does not come back with it") {
    simulated_provider upstream;
    running_proxy proxy(through(upstream.url()), "127.0.0.1:0", "", "admin: {listen: \"127.0.0.1:0\"}\n");
    const std::string address = proxy->admin_addresses().front();
    const auto port = static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
    const auto hold = [&] {
        blocking_client admin({.port = port});
        return admin.request("POST", "/-/circuits/sim?state=open").status;
    };
    std::string other = through(upstream.url());
    for (std::size_t at = 0; (at = other.find("sim", at)) != std::string::npos; at += 5) other.replace(at, 3, "other");
    proxy.write(other);
    REQUIRE(proxy->reload());
    CHECK(hold() == 422);
    proxy.write(through(upstream.url()));
    REQUIRE(proxy->reload());
    CHECK(proxy.connect().request("GET", "/v1/models").status == 200);
    CHECK(hold() == 200);
    CHECK(proxy.finish());
}

TEST_CASE("a page in a browser cannot spend the credential of a sidecar") {
    simulated_provider upstream;
    running_proxy proxy(through(upstream.url()), "127.0.0.1:0", "", "admin: {listen: \"127.0.0.1:0\"}\n");
    auto client = proxy.connect();
    const struct {
        const char* name;
        const char* method;
        header_list fields;
        const char* reason;
    } refused[] = {
        {"fetch", "POST", {{"origin", "https://evil.example"}}, "foreign_origin"},
        {"no-cors",
         "POST",
         {{"origin", "https://evil.example"}, {"sec-fetch-site", "cross-site"}, {"sec-fetch-mode", "no-cors"}},
         "foreign_origin"},
        {"a sandboxed frame", "POST", {{"origin", "null"}}, "foreign_origin"},
        {"a preflight",
         "OPTIONS",
         {{"origin", "https://evil.example"}, {"access-control-request-method", "POST"}},
         "foreign_origin"},
        {"an image", "GET", {{"sec-fetch-site", "cross-site"}, {"sec-fetch-mode", "no-cors"}}, "foreign_origin"},
        {"rebound", "POST", {{"host", "evil.example:8080"}, {"origin", "http://evil.example:8080"}}, "foreign_host"},
        {"rebound, reading", "GET", {{"host", "evil.example:8080"}}, "foreign_host"},
    };
    std::size_t count = 0;
    for (const auto& row : refused) {
        CAPTURE(row.name);
        const auto answer = client.request(row.method, "/v1/chat/completions", asking(row.fields),
                                           row.method == std::string("POST") ? chat("n", false) : "");
        REQUIRE(answer.complete());
        CHECK(answer.status == 403);
        CHECK(answer.header("proxy-status").find("error=http_request_denied") != std::string::npos);
        CHECK(boost::json::parse(answer.body).at("error").at("code") == row.reason);
        CHECK(answer.header("access-control-allow-origin").empty());
        ++count;
    }
    CHECK(upstream.counters().requests == 0);

    // In the dialect of the route, and before a body of any size has come.
    const auto anthropic = client.request("POST", "/v1/messages", asking({{"origin", "https://evil.example"}}), "{}");
    CHECK(boost::json::parse(anthropic.body).at("type") == "error");
    ++count;
    auto uploading = proxy.connect();
    uploading.send("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nOrigin: "
                   "https://evil.example\r\nContent-Length: 1000000\r\n\r\n{");
    CHECK(uploading.read_response().status == 403);
    ++count;

    for (const auto& fields : {header_list{}, header_list{{"origin", "http://localhost:3000"}},
                               header_list{{"origin", "vscode-webview://0a"}, {"sec-fetch-site", "cross-site"}},
                               header_list{{"host", "evenkeel"}}, header_list{{"sec-fetch-mode", "cors"}}}) {
        CHECK(proxy.connect().request("POST", "/v1/chat/completions", asking(fields), chat("n", false)).status == 200);
    }
    CHECK(upstream.counters().requests == 5);

    const std::string metrics = get(admin_port(proxy), "/metrics").body;
    CHECK(metrics.find("evenkeel_requests_refused_total{reason=\"foreign_origin\"} " + std::to_string(count - 2) +
                       "\n") != std::string::npos);
    CHECK(metrics.find("evenkeel_requests_refused_total{reason=\"foreign_host\"} 2\n") != std::string::npos);
    CHECK(proxy.finish());
    CHECK(text_of(proxy.access_log()).find("\"reason\":\"foreign_origin\"") != std::string::npos);
}

TEST_CASE("allowed_hosts and allowed_origins let pages in, and a reload takes them out") {
    simulated_provider upstream;
    const std::string rest = through(upstream.url());
    running_proxy proxy("allowed_hosts: [llm.example.com]\nallowed_origins: [\"https://app.example.com\"]\n" + rest);
    const auto status = [&](const header_list& fields) {
        return proxy.connect().request("POST", "/v1/chat/completions", asking(fields), chat("n", false)).status;
    };
    CHECK(status({{"host", "llm.example.com"}}) == 200);
    CHECK(status({{"origin", "https://app.example.com"}, {"sec-fetch-site", "cross-site"}}) == 200);
    CHECK(status({{"origin", "https://evil.example"}}) == 403);
    proxy.write(rest);
    REQUIRE(proxy->reload());
    CHECK(status({{"host", "llm.example.com"}}) == 403);
    CHECK(status({{"origin", "https://app.example.com"}}) == 403);
    CHECK(proxy.finish());
}

TEST_CASE("a client that half-closes after its request gets its whole answer, and nothing else") {
    certificate_authority ca;
    temporary_directory files;
    const auto server = ca.issue({.dns = {}, .addresses = {"127.0.0.1"}});
    const std::string tls = "{address: \"127.0.0.1:0\", tls: {cert_file: " + files.write("cert.pem", server.pem) +
                            ", key_file: " + files.write("key.pem", server.key) + "}}";
    for (const bool encrypted : {false, true}) {
        simulated_provider upstream;
        running_proxy proxy(through(upstream.url()), encrypted ? tls : "127.0.0.1:0");
        const struct {
            const char* name;
            const char* script;
            bool stream;
            int status;
        } rows[] = {
            {"buffered", "", false, 200},
            {"buffered, slow to begin", "delay=300ms", false, 200},
            {"buffered, slow inside", "stall_after=100b; stall=300ms", false, 200},
            {"a stream", "gap=20ms", true, 200},
            {"a stream that is slow to begin", "delay=1500ms", true, 200},
            {"an error of the provider", "status=400; delay=100ms", false, 400},
        };
        int serial = 0;
        for (const auto& row : rows) {
            CAPTURE(encrypted);
            CAPTURE(row.name);
            upstream.play(row.script);
            const std::string nonce = "half" + std::to_string(++serial);
            blocking_client client(
                {.port = proxy.port(), .tls = encrypted ? std::optional<client_tls>(client_tls{}) : std::nullopt});
            client.send_request("POST", "/v1/chat/completions", {{"content-type", "application/json"}},
                                chat(nonce, row.stream));
            client.half_close();
            const auto answer = client.read_response();
            CHECK(answer.complete());
            CHECK(answer.status == row.status);
            CHECK(answer.informational.empty());
            if (row.status == 200) CHECK(got(answer, nonce, row.stream) == "ok");
            CHECK(client.wait_closed(5s) == message_end::complete);
        }
        {
            upstream.play("");
            blocking_client client(
                {.port = proxy.port(), .tls = encrypted ? std::optional<client_tls>(client_tls{}) : std::nullopt});
            // Arrives after its FIN was seen.
            client.send_request("POST", "/v1/chat/completions", {{"content-type", "application/json"}},
                                R"({"model":"m","pad":")" + std::string(4 * 1024 * 1024, 'x') +
                                    R"(","messages":[{"role":"user","content":"nonce:big"}]})");
            client.half_close();
            CHECK(client.read_response().status == 200);
        }
        {
            blocking_client client(
                {.port = proxy.port(), .tls = encrypted ? std::optional<client_tls>(client_tls{}) : std::nullopt});
            client.send(
                "GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\nGET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n");
            client.half_close(); // two are under way: both are answered
            CHECK(client.read_response().complete());
            CHECK(client.read_response().complete());
            CHECK(client.wait_closed(5s) == message_end::complete);
        }
        CHECK(proxy.finish());
    }
}

TEST_CASE("a client of a unix socket that half-closes gets its answer, and one that closes cancels its work") {
    simulated_provider upstream;
    temporary_directory files;
    const std::string path = files.path("data.sock");
    running_proxy proxy(through(upstream.url()), "unix:" + path);
    struct stat file {};
    REQUIRE(::stat(path.c_str(), &file) == 0);
    CHECK((file.st_mode & 0777) == 0660);
    const auto request = [](const std::string& script, const std::string& body) {
        return "POST /v1/chat/completions HTTP/1.1\r\nHost: anything.example\r\nContent-Type: "
               "application/json\r\nx-sim: " +
               script + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
    };
    for (const bool stream : {false, true}) {
        unix_client client(path);
        client.send(request("delay=200ms", chat("u", stream)));
        client.half_close();
        const std::string all = client.read_all();
        CHECK(all.starts_with("HTTP/1.1 200 OK\r\n"));
        CHECK(all.find(stream ? "[DONE]" : "[u:11]") != std::string::npos);
        CHECK(all.find("<timeout>") == std::string::npos);
    }
    for (const bool half_first : {false, true}) {
        const std::string nonce = half_first ? "late" : "once";
        unix_client client(path);
        client.send(request("stall_after=request", chat(nonce, false)));
        if (half_first) client.half_close();
        REQUIRE(upstream.wait_for([](const provider_counters& now) { return now.in_flight == 1; }));
        std::this_thread::sleep_for(20ms);
        const std::int64_t left = monotonic_ns();
        client.close();
        const auto record = upstream.wait_for_record(
            [&](const attempt_record& one) { return one.nonce == nonce && one.peer_closed_ns != 0; }, 3s);
        REQUIRE(record);
        CHECK(record->peer_closed_ns - left < 100'000'000);
    }
    CHECK(proxy.finish());
}

TEST_CASE("a client that half-closes and leaves later is noticed within a second or two") {
    simulated_provider upstream;
    running_proxy proxy(through(upstream.url()));
    for (const bool stream : {false, true}) {
        const std::string nonce = stream ? "stream" : "buffered";
        auto client = proxy.connect();
        client.send_request(
            "POST", "/v1/chat/completions",
            {{"content-type", "application/json"}, {"x-sim", stream ? "stall_after=3" : "stall_after=request"}},
            chat(nonce, stream));
        client.half_close();
        if (stream) REQUIRE(client.read_head().status == 200);
        std::this_thread::sleep_for(200ms);
        CHECK(upstream.counters().in_flight == 1);
        const std::int64_t left = monotonic_ns();
        client.close();
        const auto record = upstream.wait_for_record(
            [&](const attempt_record& one) { return one.nonce == nonce && one.peer_closed_ns != 0; }, 5s);
        REQUIRE(record);
        CHECK(record->peer_closed_ns - left < 2'000'000'000);
    }
    CHECK(proxy.finish());
}

TEST_CASE("an access log that is a FIFO without a reader stops neither the start nor requests nor a reload") {
    simulated_provider upstream;
    temporary_directory files;
    const std::string fifo = files.path("fifo");
    REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
    const std::string rest = through(upstream.url());
    running_proxy proxy(rest);
    const auto logging_to = [&](const std::string& path) {
        std::string text = text_of(proxy.file());
        const std::string before = "access_log: {path: ";
        const auto at = text.find(before) + before.size();
        std::ofstream(proxy.file()) << text.replace(at, text.find('}', at) - at, path);
    };
    logging_to(fifo);
    const auto start = std::chrono::steady_clock::now();
    REQUIRE(proxy->reload());
    REQUIRE(proxy->reload());
    for (int i = 0; i < 20; ++i)
        CHECK(proxy.connect()
                  .request("POST", "/v1/chat/completions", {{"content-type", "application/json"}}, chat("n", false))
                  .status == 200);
    CHECK(std::chrono::steady_clock::now() - start < 10s);

    const int reader = ::open(fifo.c_str(), O_RDONLY | O_NONBLOCK);
    REQUIRE(reader >= 0);
    std::string lines;
    for (int tries = 0; tries < 500 && std::count(lines.begin(), lines.end(), '\n') < 20; ++tries) {
        char buffer[4096];
        const ssize_t got = ::read(reader, buffer, sizeof buffer);
        if (got > 0)
            lines.append(buffer, static_cast<std::size_t>(got));
        else
            std::this_thread::sleep_for(10ms);
    }
    ::close(reader);
    CHECK(std::count(lines.begin(), lines.end(), '\n') == 20);
    CHECK(proxy.finish());
}

TEST_CASE("a store of last good answers that is a FIFO is said, and answers are kept in memory") {
    simulated_provider upstream;
    temporary_directory files;
    const std::string fifo = files.path("store");
    REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
    const auto start = std::chrono::steady_clock::now();
    running_proxy proxy(through(upstream.url(), "", "    fallback: [{last_good: {max_age: 1h}}]\n"), "127.0.0.1:0",
                        "last_good: {path: " + fifo + "}\n");
    CHECK(proxy.connect()
              .request("POST", "/v1/chat/completions", {{"content-type", "application/json"}}, chat("n", false))
              .status == 200);
    CHECK(std::chrono::steady_clock::now() - start < 5s);
    CHECK(proxy.finish());
    CHECK(text_of(proxy.directory() / "log").find("not a regular file") != std::string::npos);
}

TEST_CASE(
    "F3: with drain.delay everything is served while /readyz already says no and why; nothing is refused or cut") {
    simulated_provider upstream;
    running_proxy proxy(through(upstream.url()), "127.0.0.1:0", "drain: {delay: 1s, timeout: 10s}\nworkers: 2\n",
                        "admin: {listen: \"127.0.0.1:0\"}\n");
    const auto port = admin_port(proxy);
    const auto now = [] { return std::chrono::steady_clock::now(); };
    std::atomic<std::int64_t> drained_at{0};
    std::atomic<int> good{0}, cut{0}, refused_early{0}, kept_open{0};
    std::vector<std::thread> clients;
    for (int i = 0; i < 4; ++i) {
        clients.emplace_back([&, i] {
            std::unique_ptr<blocking_client> client;
            for (int n = 0;; ++n) {
                try {
                    if (!client) client = std::make_unique<blocking_client>(client_options{.port = proxy.port()});
                } catch (const client_error&) {
                    const std::int64_t since = drained_at;
                    if (since == 0 || now().time_since_epoch() < std::chrono::nanoseconds{since} + 950ms)
                        ++refused_early;
                    return;
                }
                const bool draining = drained_at != 0;
                const std::string nonce = "d" + std::to_string(i) + "n" + std::to_string(n);
                const auto answer = client->request(
                    "POST", "/v1/chat/completions",
                    {{"content-type", "application/json"}, {"x-sim", "delay=20ms; events=3"}}, chat(nonce, n % 2 == 0));
                const bool whole = answer.complete() && answer.status == 200;
                ++(whole ? good : cut);
                const bool closes = answer.header("connection") == "close";
                if (whole && draining && !closes) ++kept_open;
                if (!whole || closes) client.reset();
            }
        });
    }
    std::this_thread::sleep_for(200ms);
    CHECK(get(port, "/readyz").status == 200);
    proxy->drain();
    drained_at = std::chrono::nanoseconds{now().time_since_epoch()}.count();
    std::this_thread::sleep_for(100ms);
    const auto ready = get(port, "/readyz");
    CHECK(ready.status == 503);
    CHECK(ready.body.find("not ready: draining; requests are served for another 0.") == 0);
    CHECK(get(port, "/livez").status == 200);
    proxy->drain(); // asked again: the time that was given holds
    for (auto& each : clients) each.join();
    CHECK(now().time_since_epoch() > std::chrono::nanoseconds{drained_at} + 950ms);
    CHECK(get(port, "/readyz").body == "not ready: draining\n");
    CHECK(refused_early == 0);
    CHECK(cut == 0);
    CHECK(kept_open <= 4); // answers that were under way
    CHECK(good > 20);
    CHECK(proxy.finish());
}

TEST_CASE("F3: while drain.delay lasts whoever says nothing yet is waited for as before, and for no longer") {
    simulated_provider upstream;
    running_proxy proxy(through(upstream.url()), "127.0.0.1:0", "drain: {delay: 2s, timeout: 20s}\n");
    const auto ask = [](blocking_client& by, const std::string& nonce) {
        return by.request("POST", "/v1/chat/completions", {{"content-type", "application/json"}}, chat(nonce, false));
    };
    auto kept = proxy.connect();
    REQUIRE(ask(kept, "k1").status == 200);
    const auto start = std::chrono::steady_clock::now();
    proxy->drain();
    auto fresh = proxy.connect(), silent = proxy.connect();
    std::this_thread::sleep_for(500ms); // longer than it takes to be parked
    for (auto* one : {&kept, &fresh}) {
        const auto answer = ask(*one, "k2");
        CHECK(answer.status == 200);
        CHECK(answer.complete());
        CHECK(answer.header("connection") == "close");
    }
    CHECK(proxy->wait()); // the silent one holds nothing up
    const auto took = std::chrono::steady_clock::now() - start;
    CHECK(took > 1900ms);
    CHECK(took < 10s);
    CHECK(proxy.finish());
}

TEST_CASE("F3: who ends at once waits for no delay") {
    simulated_provider upstream;
    running_proxy proxy(through(upstream.url()), "127.0.0.1:0", "drain: {delay: 1h}\n");
    proxy->drain();
    std::this_thread::sleep_for(20ms);
    const auto start = std::chrono::steady_clock::now();
    proxy->stop_now();
    CHECK(proxy->wait());
    CHECK(std::chrono::steady_clock::now() - start < 2s);
}

TEST_CASE("F5: log files that were moved away are opened anew, and no line is lost") {
    simulated_provider upstream;
    running_proxy proxy(through(upstream.url()));
    const auto ask = [&](const std::string& nonce) {
        return proxy.connect()
            .request("POST", "/v1/chat/completions", {{"content-type", "application/json"}, {"x-request-id", nonce}},
                     chat(nonce, false))
            .status;
    };
    const auto soon = [](const auto& done) {
        for (int tries = 0; tries < 2000; ++tries) {
            if (done()) return true;
            std::this_thread::sleep_for(5ms);
        }
        return false;
    };
    const auto access = std::filesystem::path(proxy.access_log()), log = proxy.directory() / "log";
    CHECK(ask("one") == 200);
    std::filesystem::rename(access, access.string() + ".1");
    std::filesystem::rename(log, log.string() + ".1");
    CHECK(ask("two") == 200); // still to the old one
    for (int i = 0; i < 50; ++i) proxy->reopen_logs();
    CHECK(soon([&] { return text_of(log).find("the log files were opened anew") != std::string::npos; }));
    CHECK(soon([&] { return std::filesystem::exists(access); }));
    CHECK(ask("three") == 200);
    CHECK(soon([&] { return text_of(access).find("three") != std::string::npos; }));
    const std::string all = text_of(access.string() + ".1") + text_of(access);
    for (const char* each : {"one", "two", "three"}) CHECK(all.find(each) != std::string::npos);
    CHECK(text_of(access.string() + ".1").find("three") == std::string::npos);
    CHECK(proxy.finish());
}

TEST_CASE("while a reload waits for a file, probes are answered, requests are served and the process drains") {
    simulated_provider upstream;
    running_proxy proxy(through(upstream.url()), "127.0.0.1:0", "", "admin: {listen: \"127.0.0.1:0\"}\n");
    const auto port = admin_port(proxy);
    std::filesystem::remove(proxy.file());
    REQUIRE(::mkfifo(proxy.file().c_str(), 0600) == 0);
    std::atomic<int> told{-1};
    proxy->request_reload([&](const server::server::reloaded& found) { told = found.taken ? 1 : 0; });
    blocking_client operators({.port = port});
    operators.send("POST /-/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
    std::this_thread::sleep_for(50ms);
    const auto start = std::chrono::steady_clock::now();
    for (const char* target : {"/livez", "/readyz", "/metrics", "/health"}) CHECK(get(port, target).status == 200);
    CHECK(proxy.connect()
              .request("POST", "/v1/chat/completions", {{"content-type", "application/json"}}, chat("n", false))
              .status == 200);
    proxy->drain();
    CHECK(proxy->wait());
    CHECK(std::chrono::steady_clock::now() - start < 5s);
    CHECK(told == -1);
    // Two reloads wait for a writer, one after the other; it writes nothing, which is no configuration.
    for (int reload = 0; reload < 2; ++reload) {
        int writer = -1;
        for (int tries = 0; writer < 0 && tries < 1000; ++tries) {
            writer = ::open(proxy.file().c_str(), O_WRONLY | O_NONBLOCK);
            if (writer < 0) std::this_thread::sleep_for(5ms);
        }
        REQUIRE(writer >= 0);
        ::close(writer);
        if (reload == 0)
            for (int tries = 0; told < 0 && tries < 1000; ++tries) std::this_thread::sleep_for(5ms);
    }
    CHECK(told == 0);
}

} // namespace evenkeel::test::surfaces_test
