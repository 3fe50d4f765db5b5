// The store of last good answers: its bound, its principals, and its file through everything that may happen to one.

#include "proxy/fallback/last_good_store.hpp"
#include "tests/proxy/request/stored_requests.hpp"

#include <doctest/doctest.h>
#include <sqlite3.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <thread>

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

namespace evenkeel::test::last_good_store_test {

using namespace evenkeel::request;
using namespace std::chrono_literals;

namespace {

struct folder {
    std::filesystem::path path =
        std::filesystem::temp_directory_path() / ("evenkeel-store-" + std::to_string(::getpid()));
    folder() {
        std::filesystem::remove_all(path);
        std::filesystem::create_directories(path);
    }
    ~folder() { std::filesystem::remove_all(path); }
    [[nodiscard]] std::string file() const { return (path / "last_good.db").string(); }
    [[nodiscard]] std::string log() const { return (path / "log").string(); }
    [[nodiscard]] std::string read_log() const {
        std::ifstream in(log());
        std::ostringstream text;
        text << in.rdbuf();
        return text.str();
    }
};

// A store on a file, with the log it writes to.
struct opened {
    explicit opened(const folder& where, std::uint64_t limit = 64 * 1024 * 1024,
                    const last_good_file_options& options = {})
        : log(helper), store(std::make_unique<last_good_store>(limit)) {
        config::log_options to;
        to.path = where.log();
        log.configure(to);
        store->open_file(where.file(), log, 10s, options);
    }
    void close() {
        store.reset();
        log.flush();
    }
    ~opened() { close(); }
    telemetry::background helper;
    telemetry::app_log log;
    std::unique_ptr<last_good_store> store;
};

void wait_for(const std::function<bool()>& what) {
    for (int i = 0; i < 2000 && !what(); ++i) std::this_thread::sleep_for(5ms);
    CHECK(what());
}

std::shared_ptr<const stored_answer> answer(std::string body,
                                            wall_time at = wall_time{std::chrono::system_clock::now()}) {
    auto out = std::make_shared<stored_answer>();
    out->fields = {{"content-type", "application/json"}};
    out->body = std::move(body);
    out->kept = steady_time{std::chrono::steady_clock::now()};
    out->kept_at = at;
    return out;
}

int run_sql(const std::string& file, const std::string& sql) {
    sqlite3* db = nullptr;
    sqlite3_open(file.c_str(), &db);
    const int done = sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr);
    sqlite3_close(db);
    return done;
}
} // namespace

TEST_CASE("the store is bounded in bytes, and the least recently used go first") {
    last_good_store store(64 * 1024);
    const std::string body(4096 - 300, 'x');
    const auto key = [&](int n) { return key_for(store, "one", std::to_string(n)); };
    for (int n = 0; n < 16; ++n) {
        store.put(key(n), answer(body));
        REQUIRE(store.find(key(0)) != nullptr); // keeps it young
    }
    store.put(key(16), answer(body));
    store.put(key(17), answer(body));
    CHECK(store.find(key(0)) != nullptr);
    CHECK(store.find(key(1)) == nullptr);
    CHECK(store.find(key(17)) != nullptr);
    auto seen = store.report();
    CHECK(seen.bytes <= 64 * 1024);
    CHECK(seen.entries + seen.evicted == 18);
    store.put(key(17), answer("{}")); // the newest of a kind replaces the one before
    CHECK(store.find(key(17))->body == "{}");
    CHECK(store.report().entries == seen.entries);
    store.put(key(18), answer(std::string(9000, 'x')));
    CHECK(store.find(key(18)) == nullptr);
    store.set_limit(8 * 1024);
    CHECK(store.report().bytes <= 8 * 1024);
}

TEST_CASE("no two of ten thousand requests share a key, and none of two principals") {
    last_good_store store(1024 * 1024);
    std::set<hash_key::bytes> keys;
    for (int who = 0; who < 100; ++who)
        for (int what = 0; what < 100; ++what)
            keys.insert(key_for(store, "sk-" + std::to_string(who), std::to_string(what)).value());
    CHECK(keys.size() == 10000);
    CHECK(key_for(store, "sk-1", "1") == key_for(store, "sk-1", "1"));
    last_good_store other(1024 * 1024);
    CHECK(!(key_for(other, "sk-1", "1") == key_for(store, "sk-1", "1"))); // under another secret
}

TEST_CASE("a file keeps the store: whole, for the same principals only, readable by its owner only") {
    const folder where;
    {
        opened first(where);
        for (int who = 0; who < 100; ++who)
            first.store->put(key_for(*first.store, "sk-" + std::to_string(who), "q"),
                             answer("for " + std::to_string(who)));
        auto stream = std::make_shared<stored_answer>(*answer("data: [DONE]\n\n"));
        stream->stream = true;
        stream->status = 201;
        stream->fields = {{"content-type", "text/event-stream"}, {"content-language", "en"}};
        first.store->put(key_for(*first.store, "sk-s", "q"), stream);
    }
    struct stat about {};
    REQUIRE(::stat(where.file().c_str(), &about) == 0);
    CHECK((about.st_mode & 0777) == 0600);
    opened second(where);
    for (int who = 0; who < 100; ++who) {
        const auto found = second.store->find(key_for(*second.store, "sk-" + std::to_string(who), "q"));
        REQUIRE(found);
        CHECK(found->body == "for " + std::to_string(who));
    }
    const auto stream = second.store->find(key_for(*second.store, "sk-s", "q"));
    REQUIRE(stream);
    CHECK(stream->stream);
    CHECK(stream->status == 201);
    CHECK(stream->fields ==
          decltype(stream->fields){{"content-type", "text/event-stream"}, {"content-language", "en"}});
    CHECK(second.store->find(key_for(*second.store, "sk-100", "q")) == nullptr);
    CHECK(second.store->report().file_works);
    CHECK(second.store->report().file_errors == 0);
}

TEST_CASE("ages go on across a restart; what seems to come from the future is dropped") {
    const folder where;
    const wall_time now{std::chrono::system_clock::now()};
    {
        opened first(where);
        first.store->put(key_for(*first.store, "a", "old"), answer("old", now - 2h));
        first.store->put(key_for(*first.store, "a", "ahead"), answer("ahead", now + 30s));
        first.store->put(key_for(*first.store, "a", "future"), answer("future", now + 2h));
    }
    opened second(where);
    const auto age = [&](const std::string& what) {
        const auto found = second.store->find(key_for(*second.store, "a", what));
        return found ? std::optional<duration>(steady_time{std::chrono::steady_clock::now()} - found->kept)
                     : std::nullopt;
    };
    REQUIRE(age("old"));
    CHECK(*age("old") > 2h - 1s);
    CHECK(*age("old") < 2h + 1min);
    REQUIRE(age("ahead"));
    CHECK(*age("ahead") < 1min);
    CHECK(!age("future"));
}

TEST_CASE("the file keeps within the limit, the oldest go first, and a lower limit shrinks it") {
    const folder where;
    const wall_time now{std::chrono::system_clock::now()};
    {
        opened first(where, 64 * 1024);
        for (int n = 0; n < 40; ++n) {
            first.store->put(key_for(*first.store, "a", std::to_string(n)),
                             answer(std::string(4000, 'x'), now - 1h + n * 1s));
            wait_for([&] { return first.store->report().file_dropped == 0; });
        }
    }
    {
        opened second(where, 64 * 1024);
        CHECK(second.store->report().entries <= 15);
        CHECK(second.store->report().entries >= 10);
        CHECK(second.store->find(key_for(*second.store, "a", "39")) != nullptr);
        CHECK(second.store->find(key_for(*second.store, "a", "0")) == nullptr);
    }
    opened third(where, 16 * 1024);
    CHECK(third.store->report().bytes <= 16 * 1024);
    CHECK(third.store->find(key_for(*third.store, "a", "39")) != nullptr);
}

TEST_CASE("a damaged file is moved aside and begun anew; the store works on") {
    const folder where;
    for (const int kind : {0, 1, 2, 3}) {
        CAPTURE(kind);
        std::filesystem::remove_all(where.path);
        std::filesystem::create_directories(where.path);
        {
            opened first(where);
            for (int n = 0; n < 200; ++n)
                first.store->put(key_for(*first.store, "a", std::to_string(n)), answer(std::string(1000, 'x')));
        }
        if (kind == 0) { // garbage from its first byte
            std::ofstream(where.file(), std::ios::trunc) << std::string(10000, '?');
        } else if (kind == 1) { // a hole in the middle of its pages
            std::fstream out(where.file(), std::ios::in | std::ios::out | std::ios::binary);
            out.seekp(4096);
            out << std::string(100000, '\xff');
        } else if (kind == 2) { // its key is gone
            REQUIRE(run_sql(where.file(), "DELETE FROM secret") == SQLITE_OK);
        } else { // from another time
            REQUIRE(run_sql(where.file(), "PRAGMA user_version = 7") == SQLITE_OK);
        }
        opened second(where);
        CHECK(second.store->key() != nullptr);
        CHECK(second.store->report().entries == 0);
        CHECK(second.store->report().file_works);
        CHECK(second.store->report().file_errors == 1);
        second.store->put(key_for(*second.store, "a", "new"), answer("new"));
        second.close();
        CHECK(where.read_log().find("moved aside") != std::string::npos);
        CHECK(std::filesystem::exists(where.file() + ".corrupt"));
        opened third(where);
        CHECK(third.store->find(key_for(*third.store, "a", "new")) != nullptr);
    }
}

TEST_CASE("rows that do not match their checksum are dropped, whichever part was changed; the others stay") {
    const folder where;
    for (const char* change : {"body = 'other'", "fields = X'610062'", "status = 500", "stream = 1",
                               "kept_at = kept_at - 1", "checksum = X'00'", "key = X'00'"}) {
        CAPTURE(change);
        std::filesystem::remove(where.file());
        {
            opened first(where);
            first.store->put(key_for(*first.store, "a", "1"), answer("one"));
            first.store->put(key_for(*first.store, "b", "1"), answer("two"));
        }
        REQUIRE(run_sql(where.file(), std::string("UPDATE answers SET ") + change + " WHERE id = 1") == SQLITE_OK);
        opened second(where);
        CHECK(second.store->report().entries == 1);
        CHECK(second.store->report().file_errors == 1);
        CHECK(second.store->find(key_for(*second.store, "a", "1")) == nullptr);
        CHECK(second.store->find(key_for(*second.store, "b", "1"))->body == "two");
    }
    // Two rows that change places.
    std::filesystem::remove(where.file());
    {
        opened first(where);
        first.store->put(key_for(*first.store, "a", "1"), answer("for a"));
        first.store->put(key_for(*first.store, "b", "1"), answer("for b"));
    }
    REQUIRE(run_sql(where.file(), "CREATE TEMP TABLE t AS SELECT id, key FROM answers; UPDATE answers SET key = X'00' "
                                  "|| id; UPDATE answers SET key = "
                                  "(SELECT key FROM t WHERE t.id = 3 - answers.id)") == SQLITE_OK);
    opened second(where);
    CHECK(second.store->report().entries == 0);
    CHECK(second.store->report().file_errors == 2);
}

TEST_CASE("a file that cannot be used is left alone, and the store is kept in memory") {
    const folder where;
    const auto in_memory_only = [&] {
        opened one(where);
        REQUIRE(one.store->key() != nullptr);
        CHECK(!one.store->report().file_works);
        CHECK(one.store->report().file_errors == 1);
        const auto key = key_for(*one.store, "a", "1");
        one.store->put(key, answer("kept"));
        CHECK(one.store->find(key)->body == "kept");
        wait_for([&] { return one.store->report().file_dropped == 1; });
        one.close();
        CHECK(where.read_log().find("cannot be used") != std::string::npos);
    };
    SUBCASE("another program's database") {
        REQUIRE(run_sql(where.file(), "CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)") == SQLITE_OK);
        in_memory_only();
        CHECK(run_sql(where.file(), "SELECT x FROM theirs") == SQLITE_OK);
        CHECK(!std::filesystem::exists(where.file() + ".corrupt"));
    }
    SUBCASE("a folder") {
        std::filesystem::create_directories(where.file());
        in_memory_only();
    }
    SUBCASE("no such folder") {
        const folder inside;
        telemetry::background helper;
        telemetry::app_log log(helper);
        last_good_store store(1024 * 1024);
        config::log_options to;
        to.path = where.log();
        log.configure(to);
        store.open_file((where.path / "nowhere" / "x.db").string(), log, 10s);
        CHECK(store.key() != nullptr);
        CHECK(!store.report().file_works);
    }
    SUBCASE("in use by another process") {
        opened other(where);
        in_memory_only();
        CHECK(other.store->report().file_works);
    }
}

TEST_CASE("a full disk costs the file for a while, never the store, and is said once") {
    const folder where;
    last_good_file_options options;
    options.retry_pause = 0s;
    opened one(where, 64 * 1024 * 1024, options);
    std::signal(SIGXFSZ, SIG_IGN); // the limit is an error to be returned
    rlimit before{};
    REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
    rlimit full = before;
    full.rlim_cur = 64 * 1024;
    const auto key = [&](int n) { return key_for(*one.store, "a", std::to_string(n)); };
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &full) == 0);
    for (int n = 0; n < 4; ++n) {
        one.store->put(key(n), answer(std::string(100'000, 'x')));
        wait_for([&] { return one.store->report().file_errors >= static_cast<std::uint64_t>(n + 1); });
    }
    const auto seen = one.store->report();
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
    CHECK(!seen.file_works);
    CHECK(seen.entries == 4);
    CHECK(seen.file_dropped == 4);
    one.store->put(key(4), answer("fits"));
    wait_for([&] { return one.store->report().file_works; });
    const auto hold = key(4);
    one.close();
    const std::string log = where.read_log();
    CHECK(log.find("cannot be written") != std::string::npos);
    CHECK(log.find("cannot be written") == log.rfind("cannot be written"));
    CHECK(log.find("written to their file again") != std::string::npos);
    opened second(where);
    CHECK(second.store->find(hold)->body == "fits");
    CHECK(second.store->report().entries == 1);
}

TEST_CASE("a disk that is slower than the answers come loses some of them, and holds nobody up") {
    const folder where;
    last_good_file_options options;
    options.max_queued = 8;
    opened one(where, 64 * 1024 * 1024, options);
    const auto key = key_for(*one.store, "a", "1");
    const auto value = answer(std::string(2000, 'x'));
    const auto begun = std::chrono::steady_clock::now();
    for (int n = 0; n < 20000; ++n) one.store->put(key, value);
    CHECK(std::chrono::steady_clock::now() - begun < 5s);
    CHECK(one.store->report().file_dropped > 0);
    CHECK(one.store->find(key) != nullptr);
}

} // namespace evenkeel::test::last_good_store_test
