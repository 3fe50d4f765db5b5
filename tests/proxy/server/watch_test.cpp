// `watch: on` over real files and sockets: every way in which a file comes to say something else, what does not count,
// and reloads without end, good and bad, while requests are under way.

#include "proxy/provider/blocking_client.hpp"
#include "proxy/provider/simulated_provider.hpp"
#include "proxy/server/file_watch.hpp"
#include "tests/proxy/server/running_proxy.hpp"
#include "tests/support/storm_scale.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <unistd.h>

namespace evenkeel::test::watch_test {

using namespace evenkeel::provider;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {
const server::file_watch_options quick{.quiet = 10ms, .longest = 200ms, .anyway = 1h};
server::server_options watching() {
    server::server_options options;
    options.watching = quick;
    return options;
}
const std::string admin_on = "admin: {listen: 127.0.0.1:0}\n";

// A file whose requests say which of its versions they were served by, twice: by the route and by the upstream.
std::string version(const std::string& url, const std::string& number, const std::string& more = "watch: on\n") {
    return more + "upstreams:\n  sim: {url: " + url + ", headers: {set: {x-upstream-version: \"" + number +
           "\"}}}\nroutes:\n  - {name: all, match: {path_prefix: /}, upstreams: [sim], headers: {set: "
           "{x-route-version: \"" +
           number + "\"}}}\n";
}

// What the provider was shown last.
class versions {
public:
    versions()
        : provider_({.record = false, .script_for = [this](const attempt_record& of) {
                         note(of);
                         return std::optional<std::string>{};
                     }}) {}
    [[nodiscard]] std::string url() const { return provider_.url(); }
    [[nodiscard]] std::string last() const {
        const std::scoped_lock lock(mutex_);
        return last_;
    }
    [[nodiscard]] int mixed() const { return mixed_; }
    [[nodiscard]] int seen() const { return seen_; }

private:
    void note(const attempt_record& of) {
        const std::scoped_lock lock(mutex_);
        last_ = of.header("x-upstream-version");
        mixed_ += last_ != of.header("x-route-version");
        ++seen_;
    }
    mutable std::mutex mutex_;
    std::string last_;
    std::atomic<int> mixed_{0}, seen_{0};
    simulated_provider provider_;
};

int ask(running_proxy& proxy) {
    return proxy.connect().request("POST", "/v1/chat/completions", {{"content-type", "application/json"}}, "{}").status;
}
// Whether that version comes to be the one in force.
bool comes_to(running_proxy& proxy, versions& upstream, const std::string& number) {
    for (const auto until = std::chrono::steady_clock::now() + 20s; std::chrono::steady_clock::now() < until;) {
        if (ask(proxy) != 200) return false;
        if (upstream.last() == number) return true;
        std::this_thread::sleep_for(5ms);
    }
    return false;
}
void rename_over(const fs::path& file, const std::string& text) {
    std::ofstream(file.string() + ".new") << text;
    fs::rename(file.string() + ".new", file);
}
std::size_t count(const std::string& text, const std::string& part) {
    std::size_t found = 0;
    for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
    return found;
}

// A folder as the kubelet writes one: names are links into ..data, which is a link to a folder that is never changed.
class mounted {
public:
    explicit mounted(fs::path at) : at_(std::move(at)) { fs::create_directories(at_); }
    void update(const std::map<std::string, std::string>& files) {
        const std::string now = "..2026_11_30_" + std::to_string(++number_);
        for (const auto& [name, text] : files) {
            fs::create_directories((at_ / now / name).parent_path());
            std::ofstream(at_ / now / name) << text;
        }
        fs::create_symlink(now, at_ / "..data_tmp");
        fs::rename(at_ / "..data_tmp", at_ / "..data");
        for (const auto& [name, text] : files) {
            const std::string top = name.substr(0, name.find('/'));
            if (fs::is_symlink(fs::symlink_status(at_ / top))) continue;
            fs::create_symlink(fs::path("..data") / top, at_ / (top + ".tmp"));
            fs::rename(at_ / (top + ".tmp"), at_ / top);
        }
        if (!before_.empty()) fs::remove_all(at_ / before_);
        before_ = now;
    }

private:
    fs::path at_;
    std::string before_;
    int number_ = 0;
};

fs::path new_folder(const std::string& name) {
    const fs::path at = fs::temp_directory_path() / ("evenkeel-watch-" + name + "-" + std::to_string(::getpid()));
    fs::remove_all(at);
    fs::create_directories(at);
    return at;
}
} // namespace

TEST_CASE("the folders on the way to a file are those in which a name may come to mean another") {
    const fs::path at = new_folder("way");
    mounted mount(at / "mount");
    mount.update({{"evenkeel.yaml", "x"}, {"keys/openai", "k"}});
    const auto way = [&](const std::string& name) {
        auto found = server::folders_on_the_way_to((at / name).string());
        for (std::string& each : found) each = fs::path(each).lexically_relative(at).string();
        std::sort(found.begin(), found.end());
        return found;
    };
    using names = std::vector<std::string>;
    CHECK(way("mount/evenkeel.yaml") == names{"mount", "mount/..2026_11_30_1"});
    CHECK(way("mount/keys/openai") == names{"mount", "mount/..2026_11_30_1/keys"});
    std::ofstream(at / "plain") << "x";
    CHECK(way("plain") == names{"."});
    CHECK(way("mount/../plain") == names{"."});
    CHECK(way("not-there") == names{"."});
    CHECK(way("not/there") == names{"."});
    fs::create_symlink(at / "mount", at / "link");
    CHECK(way("link/evenkeel.yaml") == names{".", "mount", "mount/..2026_11_30_1"});
    fs::create_symlink("loop", at / "loop");
    CHECK(way("loop") == names{"."});
    fs::remove_all(at);
}

TEST_CASE("a burst of changes is told once it is over; what is not watched any more is not told") {
    const fs::path at = new_folder("burst");
    std::atomic<int> told{0};
    {
        server::file_watch watch(
            {.quiet = 50ms, .longest = 5s, .anyway = 1h}, [&] { ++told; },
            [](const std::string& why) { FAIL_CHECK(why); });
        watch.use({(at / "file").string()});
        const auto comes = [&](int many) {
            for (int i = 0; i < 1000 && told < many; ++i) std::this_thread::sleep_for(5ms);
            return told == many;
        };
        CHECK(comes(1)); // of what happened before it was watched
        for (int i = 0; i < 10; ++i) {
            std::ofstream(at / "file") << i;
            std::this_thread::sleep_for(5ms);
        }
        CHECK(comes(2));
        watch.use({});
        std::this_thread::sleep_for(100ms);
        const int before = told;
        std::ofstream(at / "file") << "again";
        std::this_thread::sleep_for(200ms);
        CHECK(told == before);
    }
    fs::remove_all(at);
}

TEST_CASE("a change is taken however it is made: in place, renamed over, swapped as Kubernetes does") {
    versions upstream;
    running_proxy proxy(version(upstream.url(), "1"), "127.0.0.1:0", "", admin_on, watching());
    CHECK(comes_to(proxy, upstream, "1"));
    proxy.write(version(upstream.url(), "2"));
    CHECK(comes_to(proxy, upstream, "2"));
    rename_over(proxy.file(), proxy.text(version(upstream.url(), "3")));
    CHECK(comes_to(proxy, upstream, "3"));
    rename_over(proxy.file(), proxy.text(version(upstream.url(), "4")));
    CHECK(comes_to(proxy, upstream, "4"));

    // From now on it lies behind a link, and its secret beside it behind two.
    mounted mount(proxy.directory() / "mount");
    const auto swap = [&](const std::string& number, const std::string& secret) {
        mount.update({{"evenkeel.yaml", proxy.text(version(upstream.url(), number))}, {"keys/version", secret}});
    };
    swap("5", "secret-1\n");
    fs::remove(proxy.file());
    fs::create_symlink("mount/evenkeel.yaml", proxy.file());
    CHECK(comes_to(proxy, upstream, "5"));
    for (const char* number : {"6", "7", "8"}) {
        swap(number, "secret-1\n");
        CHECK(comes_to(proxy, upstream, number));
    }
    const std::string by_file = "${file:mount/keys/version}";
    swap(by_file, "secret-2\n");
    CHECK(comes_to(proxy, upstream, "secret-2"));
    swap(by_file, "secret-3\n");
    CHECK(comes_to(proxy, upstream, "secret-3"));
    CHECK(upstream.mixed() == 0);
    // Whatever else happens in the folder is nothing to it.
    const auto reloads = [&] { return count(proxy.log_text(), "configuration reloaded"); };
    std::size_t before = 0;
    for (std::size_t now = reloads(); now != before; now = reloads()) { // the last line is on its way
        before = now;
        std::this_thread::sleep_for(500ms);
    }
    for (int i = 0; i < 20; ++i) std::ofstream(proxy.directory() / "something-else") << i;
    swap(by_file, "secret-3\n"); // the same
    std::this_thread::sleep_for(200ms);
    CHECK(reloads() == before);
    CHECK(proxy.log_text().find("secret-") == std::string::npos);
    CHECK(proxy.finish());
}

TEST_CASE("a file that is not valid changes nothing and is told once; the next good one is taken") {
    versions upstream;
    running_proxy proxy(version(upstream.url(), "1"), "127.0.0.1:0", "", admin_on, watching());
    const auto complaints = [&] { return count(proxy.log_text(), "the configuration was not taken"); };
    const auto comes_to_complain = [&](std::size_t times) {
        for (int i = 0; i < 1000 && complaints() < times; ++i) std::this_thread::sleep_for(5ms);
        return complaints() == times;
    };
    CHECK(comes_to(proxy, upstream, "1"));
    rename_over(proxy.file(), "version: 1\nupstreams: {");
    CHECK(comes_to_complain(1));
    for (int i = 0; i < 20; ++i) std::ofstream(proxy.directory() / "something-else") << i;
    std::this_thread::sleep_for(200ms);
    CHECK(complaints() == 1);
    CHECK(comes_to(proxy, upstream, "1"));
    fs::remove(proxy.file());
    CHECK(comes_to_complain(2));
    CHECK(comes_to(proxy, upstream, "1"));
    rename_over(proxy.file(), proxy.text(version(upstream.url(), "2")));
    CHECK(comes_to(proxy, upstream, "2"));
    // A secret that goes, and comes back as another.
    const fs::path secret = proxy.directory() / "secret";
    std::ofstream(secret) << "of-a-file-1\n";
    rename_over(proxy.file(), proxy.text(version(upstream.url(), "${file:secret}")));
    CHECK(comes_to(proxy, upstream, "of-a-file-1"));
    fs::remove(secret);
    CHECK(comes_to_complain(3));
    std::ofstream(secret) << "of-a-file-2\n";
    CHECK(comes_to(proxy, upstream, "of-a-file-2"));
    CHECK(proxy.finish());
}

TEST_CASE("off is off; a reload turns it on, and off again") {
    versions upstream;
    running_proxy proxy(version(upstream.url(), "1", ""), "127.0.0.1:0", "", admin_on, watching());
    rename_over(proxy.file(), proxy.text(version(upstream.url(), "2")));
    std::this_thread::sleep_for(200ms);
    CHECK(ask(proxy) == 200);
    CHECK(upstream.last() == "1");
    CHECK(proxy->reload());
    CHECK(comes_to(proxy, upstream, "2"));
    rename_over(proxy.file(), proxy.text(version(upstream.url(), "3")));
    CHECK(comes_to(proxy, upstream, "3"));
    rename_over(proxy.file(), proxy.text(version(upstream.url(), "4", "")));
    CHECK(comes_to(proxy, upstream, "4"));
    rename_over(proxy.file(), proxy.text(version(upstream.url(), "5")));
    std::this_thread::sleep_for(200ms);
    CHECK(ask(proxy) == 200);
    CHECK(upstream.last() == "4");
    CHECK(proxy.finish());
}

namespace {
double resident_mebibytes() {
    std::ifstream in("/proc/self/statm");
    double size = 0, resident = 0;
    in >> size >> resident;
    return resident * static_cast<double>(::sysconf(_SC_PAGESIZE)) / (1024 * 1024);
}

// `times` reloads while four clients ask: of each two one by a change of the file, the others by a signal and by POST;
// a third of them not valid.
void reload_without_end(int times) {
    versions upstream;
    running_proxy proxy(version(upstream.url(), "0"), "127.0.0.1:0", "workers: 2\n", admin_on, watching());
    const std::string at = proxy->admin_addresses().front();
    blocking_client admin({.port = static_cast<std::uint16_t>(std::stoi(at.substr(at.rfind(':') + 1)))});
    mounted mount(proxy.directory() / "mount");
    std::atomic<bool> over{false};
    std::atomic<int> good{0}, bad{0};
    std::vector<std::thread> clients;
    for (int i = 0; i < 4; ++i)
        clients.emplace_back([&] {
            auto client = proxy.connect();
            while (!over) {
                const auto got = client.request("POST", "/v1/chat/completions", {{"content-type", "application/json"}},
                                                R"({"stream":true})");
                ++(got.status == 200 && got.complete() ? good : bad);
                if (!got.complete() || got.header("connection") == "close") client = proxy.connect();
                std::this_thread::sleep_for(1ms);
            }
        });
    const auto broken = [](int n) {
        return n % 2 == 0 ? std::string{"version: 1\nupstreams: {"} : std::string{"version: 1\nroutes: []\n"};
    };
    mount.update({{"evenkeel.yaml", proxy.text(version(upstream.url(), "0"))}});
    fs::remove(proxy.file());
    fs::create_symlink("mount/evenkeel.yaml", proxy.file());
    std::string in_force = "0";
    double settled = 0;
    int not_taken = 0;
    for (int n = 1; n <= times; ++n) {
        const bool valid = n % 3 != 0;
        const std::string number = std::to_string(n);
        const std::string text = valid ? proxy.text(version(upstream.url(), number)) : broken(n);
        mount.update({{"evenkeel.yaml", text}}); // which is a reload already
        if (n % 4 == 1) proxy->request_reload(); // as the signal does
        if (n % 4 == 3) CHECK(admin.request("POST", "/-/reload").status == (valid ? 200 : 422));
        if (valid) in_force = number;
        not_taken += !valid;
        const auto until = std::chrono::steady_clock::now() + 20s;
        while (valid && upstream.last() != number && std::chrono::steady_clock::now() < until)
            std::this_thread::sleep_for(1ms);
        if (!valid) std::this_thread::sleep_for(20ms);
        if (upstream.last() != in_force) {
            FAIL_CHECK("version ", in_force, " was to be in force, and ", upstream.last(), " was at ", n);
            break;
        }
        if (n == times / 2) settled = resident_mebibytes();
    }
    const double at_last = resident_mebibytes();
    over = true;
    for (auto& each : clients) each.join();
    MESSAGE(times, " reloads, ", not_taken, " of them not valid, and ", good.load(), " requests; resident ", settled,
            " MiB after half of them, ", at_last, " at last");
    CHECK(good > times);
    CHECK(bad == 0);
    CHECK(upstream.mixed() == 0);
    if (!sanitized) CHECK(at_last <= settled * 1.02);
    CHECK(proxy.finish());
}
} // namespace

TEST_CASE("reloads under load, good and bad, by signal, POST and watch: no request fails, none is served by two files, "
          "and no memory stays") {
    reload_without_end(scaled(150));
}

} // namespace evenkeel::test::watch_test
