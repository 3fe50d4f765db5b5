#pragma once
// Keeps the last good answers in an SQLite file (mode 0600), so that a restart in the middle of an outage does not lose
// them.
//
// One thread of its own does all the work with the file: a disk that is slow, full or gone holds up no worker. What is
// to be written waits in a bounded queue; what does not fit is dropped and counted. The file is in write-ahead mode, so
// that a process may be killed at any moment; each row carries a keyed checksum over all of it, so that what is read
// back is whole and under the key it was kept under, whatever happened to the disk meanwhile. A file that is damaged is
// moved aside (PATH.corrupt) and begun anew; one that cannot be used is left alone. Either is logged once.
//
// It holds bodies of answers, under keyed hashes, and the key of these hashes; nothing of any request.

#include "proxy/fallback/last_good_key.hpp"
#include "proxy/message/stored_answer.hpp"
#include "proxy/telemetry/app_log.hpp"
#include "proxy/telemetry/background.hpp"

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

struct sqlite3;

namespace evenkeel::request {

struct last_good_file_options {
    std::size_t max_queued = 1024; // rows
    std::uint64_t max_queued_bytes = 16 * 1024 * 1024;
    duration retry_pause = std::chrono::seconds{30}; // after a write has failed; rows are dropped meanwhile
    std::function<steady_time()> now = [] { return steady_time{std::chrono::steady_clock::now()}; };
    std::function<wall_time()> wall_now = [] { return wall_time{std::chrono::system_clock::now()}; };
};

class last_good_file {
public:
    struct row {
        last_good_key key;
        std::shared_ptr<const stored_answer> answer;
    };
    struct content {
        std::optional<hash_key> key; // empty: the file cannot be used
        std::vector<row> rows;       // newest first, no more than the limit
    };

    last_good_file(std::string path, telemetry::app_log& log, last_good_file_options options); // log outlives this
    ~last_good_file();                                                                         // writes what is queued
    last_good_file(const last_good_file&) = delete;
    last_good_file& operator=(const last_good_file&) = delete;

    // Once. `done` is called from the file's thread.
    void open(std::function<void(content)> done);
    void set_limit(std::uint64_t max_bytes) noexcept { limit_.store(max_bytes, std::memory_order_relaxed); }
    // From any thread; never waits for the disk.
    void put(row kept);

    // Another process wants the file: what waits is written, and the file closed. Waits for that, no longer than told;
    // rows are dropped from then on, until it is taken back. From any thread, once open.
    void lend(duration wait);
    void take_back();

    // The last use went well.
    [[nodiscard]] bool works() const noexcept { return works_.load(std::memory_order_relaxed); }
    [[nodiscard]] std::uint64_t dropped() const noexcept { return dropped_.load(std::memory_order_relaxed); }
    [[nodiscard]] std::uint64_t errors() const noexcept { return errors_.load(std::memory_order_relaxed); }

private:
    enum class state : unsigned char { good, damaged, unusable }; // damaged: it may be moved aside
    struct statement;

    // All on the thread.
    [[nodiscard]] content open_now();
    [[nodiscard]] state prepare(std::string& why);
    [[nodiscard]] state load(content& out, std::string& why);
    [[nodiscard]] state set_up();
    void move_aside();
    void close() noexcept;
    void write_queued();
    [[nodiscard]] bool write(const std::vector<row>& rows);
    [[nodiscard]] bool write_one(const row& one);
    [[nodiscard]] bool keep_within_limit();
    void write_failed();
    [[nodiscard]] bool run(const char* sql);
    [[nodiscard]] bool is_damage() const noexcept;
    [[nodiscard]] std::string last_error() const;
    void failed(std::string_view what, std::string_view why);

    std::string path_;
    telemetry::app_log& log_;
    last_good_file_options options_;
    std::atomic<std::uint64_t> limit_{UINT64_MAX};
    std::atomic<std::uint64_t> dropped_{0}, errors_{0};
    std::atomic<bool> works_{false};

    std::mutex mutex_; // the queue
    std::vector<row> queue_;
    std::uint64_t queued_bytes_ = 0;
    bool scheduled_ = false, closed_ = false; // closed_: nothing is taken any more
    bool lent_ = false;                       // on the thread

    sqlite3* db_ = nullptr;
    std::optional<hash_key> key_;
    std::uint64_t bytes_ = 0; // of all rows
    steady_time paused_until_{};
    bool complained_ = false;                        // about writes that fail
    telemetry::background thread_{"evenkeel-store"}; // last: its work uses all above
};

} // namespace evenkeel::request
