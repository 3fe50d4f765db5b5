#include "config/file_text.hpp"
#include "support.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <thread>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace evenkeel::test::file_text_test {

using namespace evenkeel::config;
using namespace evenkeel::config::test;
using namespace std::chrono_literals;

namespace {

struct folder {
    folder() : path(std::filesystem::temp_directory_path() / ("evenkeel_files_" + std::to_string(::getpid()))) {
        std::filesystem::create_directories(path);
    }
    ~folder() { std::filesystem::remove_all(path); }
    [[nodiscard]] std::string fifo(const std::string& name) const {
        const std::string file = (path / name).string();
        REQUIRE(::mkfifo(file.c_str(), 0600) == 0);
        return file;
    }
    [[nodiscard]] std::string file(const std::string& name, const std::string& text) const {
        std::ofstream(path / name) << text;
        return (path / name).string();
    }
    std::filesystem::path path;
};

template <class Work>
std::chrono::steady_clock::duration time_of(Work work) {
    const auto start = std::chrono::steady_clock::now();
    work();
    return std::chrono::steady_clock::now() - start;
}

} // namespace

TEST_CASE("a regular file is read, by a link too; what could block or never ends is not opened for reading") {
    const folder at;
    const std::string plain = at.file("plain", "text");
    std::filesystem::create_symlink(plain, at.path / "link");
    CHECK(read_regular_file(plain, 100) == "text");
    CHECK(read_regular_file((at.path / "link").string(), 100) == "text");
    CHECK(read_regular_file(plain, 2)->size() == 3); // one more shows that it is larger
    const std::string fifo = at.fifo("fifo");
    CHECK(time_of([&] {
              for (const std::string& other : {fifo, at.path.string(), std::string("/dev/zero"),
                                               std::string("/dev/tty"), (at.path / "none").string()})
                  CHECK_FALSE(read_regular_file(other, 100));
          }) < 1s);
}

TEST_CASE("a FIFO where a secret, a certificate or a canned body should be is an error at once, not a wait") {
    const folder at;
    const std::string fifo = at.fifo("fifo");
    const environment env = process_environment();
    const std::string url = "upstreams:\n  a:\n    url: https://a.example\n";
    const std::string route = "routes:\n  - name: r\n    upstreams: [a]\n";
    struct row {
        const char* name;
        std::string text;
    };
    for (const auto& [name, text] : {
             row{"${file:}", "version: 1\n" + url + "    headers: {set: {authorization: \"Bearer ${file:" + fifo +
                                 "}\"}}\n" + route},
             row{"${file:} of a device",
                 "version: 1\n" + url + "    headers: {set: {authorization: \"Bearer ${file:/dev/zero}\"}}\n" + route},
             row{"ca_file", "version: 1\n" + url + "    tls: {ca_file: " + fifo + "}\n" + route},
             row{"cert_file", "version: 1\nlisten: {address: \"127.0.0.1:1\", tls: {cert_file: " + fifo +
                                  ", key_file: " + fifo + "}}\n" + url + route},
             row{"body_file", "version: 1\n" + url + route + "    fallback: [{respond: {body_file: " + fifo + "}}]\n"},
         }) {
        CAPTURE(name);
        load_result loaded;
        CHECK(time_of([&] { loaded = load_text(text, "evenkeel.yaml", env); }) < 1s);
        CHECK_FALSE(loaded.ok());
        CHECK(printed(loaded.diagnostics).find("cannot be read") != std::string::npos);
    }
}

TEST_CASE("the configuration may come through a pipe whose writer takes its time; a device or a directory is refused") {
    const folder at;
    const environment env = process_environment();
    const std::string fifo = at.fifo("conf");
    std::jthread writer([&] {
        const int to = ::open(fifo.c_str(), O_WRONLY);
        const std::string text = good();
        std::this_thread::sleep_for(50ms);
        static_cast<void>(::write(to, text.data(), 10));
        std::this_thread::sleep_for(50ms);
        static_cast<void>(::write(to, text.data() + 10, text.size() - 10));
        ::close(to);
    });
    std::string text;
    CHECK(load_file(fifo, env, &text).ok());
    CHECK(text == good());

    CHECK(printed(load_file(at.path.string(), env).diagnostics).find("this is a directory") != std::string::npos);
    CHECK(printed(load_file("/dev/zero", env).diagnostics).find("neither a file nor a pipe") != std::string::npos);
    CHECK(printed(load_file((at.path / "none").string(), env).diagnostics).find("cannot be read") != std::string::npos);
}

} // namespace evenkeel::test::file_text_test
