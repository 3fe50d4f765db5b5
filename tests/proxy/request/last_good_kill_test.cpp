// The file of last good answers through kill -9: it opens each time, and what it gives back is whole and its
// principal's.

#include "proxy/fallback/last_good_store.hpp"
#include "tests/proxy/request/stored_requests.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <random>
#include <string>
#include <thread>

#include <csignal>
#include <sys/wait.h>
#include <unistd.h>

namespace evenkeel::test::last_good_kill_test {

using namespace evenkeel::request;

namespace {
// A writer under way; killed at the end of its scope at the latest.
class writer {
public:
    writer(const std::string& file, int seed, int principals) {
        int ends[2];
        REQUIRE(::pipe(ends) == 0);
        const std::string number = std::to_string(seed), whose = std::to_string(principals);
        child_ = ::fork();
        REQUIRE(child_ >= 0);
        if (child_ == 0) {
            ::dup2(ends[1], 1);
            ::execl(EVENKEEL_LAST_GOOD_WRITER, EVENKEEL_LAST_GOOD_WRITER, file.c_str(), number.c_str(), whose.c_str(),
                    nullptr);
            ::_exit(9);
        }
        ::close(ends[1]);
        char word[8];
        ready_ = ::read(ends[0], word, sizeof word) > 0;
        ::close(ends[0]);
    }
    ~writer() { static_cast<void>(kill()); }
    writer(const writer&) = delete;
    writer& operator=(const writer&) = delete;
    [[nodiscard]] bool ready() const noexcept { return ready_; }
    // True: it was alive until then.
    bool kill() {
        if (child_ < 0) return false;
        ::kill(child_, SIGKILL);
        int status = 0;
        ::waitpid(std::exchange(child_, -1), &status, 0);
        return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    }

private:
    pid_t child_ = -1;
    bool ready_ = false;
};

// "sk-3;12;sk-3;12;...end": one word, repeated, to its end.
bool is_whole_and_of(const std::string& body, const std::string& who) {
    const auto first = body.find(';');
    const auto second = first == std::string::npos ? first : body.find(';', first + 1);
    if (second == std::string::npos || body.substr(0, first) != who || !body.ends_with("end")) return false;
    const std::string word = body.substr(0, second + 1);
    const std::size_t length = body.size() - 3;
    if (length % word.size() != 0) return false;
    for (std::size_t at = 0; at < length; at += word.size())
        if (body.compare(at, word.size(), word) != 0) return false;
    return true;
}
} // namespace

TEST_CASE("a hundred kills at random moments: the file opens, every answer is whole and of the right principal") {
    const auto folder = std::filesystem::temp_directory_path() / ("evenkeel-kill-" + std::to_string(::getpid()));
    std::filesystem::remove_all(folder);
    std::filesystem::create_directories(folder);
    const std::string file = (folder / "last_good.db").string();
    constexpr int principals = 40;
    std::mt19937 random(20261125);
    std::uint64_t found_in_all = 0;
    int full_rounds = 0;
    telemetry::background helper;
    telemetry::app_log log(helper);
    for (int round = 0; round < 100; ++round) {
        CAPTURE(round);
        {
            writer one(file, round, principals);
            REQUIRE(one.ready());
            std::this_thread::sleep_for(std::chrono::microseconds{random() % 60'000});
            REQUIRE(one.kill());
        }
        last_good_store store(4 * 1024 * 1024);
        store.open_file(file, log, std::chrono::seconds{20});
        const auto seen = store.report();
        REQUIRE(seen.file_works);
        REQUIRE(seen.file_errors == 0); // neither moved aside nor a row that was not whole
        std::uint64_t found = 0;
        for (int who = 0; who < principals; ++who) {
            const std::string name = "sk-" + std::to_string(who);
            const auto kept = store.find(key_for(store, name, "question"));
            if (!kept) continue;
            ++found;
            REQUIRE(is_whole_and_of(kept->body, name));
        }
        REQUIRE(found == seen.entries);
        found_in_all += found;
        full_rounds += found > principals / 2 ? 1 : 0;
    }
    MESSAGE("answers read back in 100 rounds: " << found_in_all);
    CHECK(full_rounds > 50);
    CHECK(!std::filesystem::exists(file + ".corrupt"));
    std::filesystem::remove_all(folder);
}

} // namespace evenkeel::test::last_good_kill_test
