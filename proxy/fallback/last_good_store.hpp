#pragma once
// The last good answers, to be given again when nothing better can be had. In memory, bounded in bytes, the least
// recently used go first; one store for all routes and workers. With a file (last_good_file.hpp) it outlives the
// process.
//
// Thread-safe: one mutex, held for a look-up or a change of pointers; what is kept is immutable and shared.

#include "policies/time.hpp"
#include "proxy/events/last_good_report.hpp"
#include "proxy/fallback/last_good_file.hpp"
#include "proxy/fallback/last_good_key.hpp"
#include "proxy/message/stored_answer.hpp"

#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

namespace evenkeel::request {

class last_good_store {
public:
    explicit last_good_store(std::uint64_t max_bytes);
    last_good_store(const last_good_store&) = delete;
    last_good_store& operator=(const last_good_store&) = delete;

    // Before the first request, at most once: takes over what the file holds, and keeps it up to date. Waits for at
    // most `wait`; a file that takes longer is read meanwhile, and until then nothing is found or kept. Whatever is
    // wrong with the file is logged and costs the file, never the store.
    void open_file(const std::string& path, telemetry::app_log& log, duration wait,
                   const last_good_file_options& options = {});

    void set_limit(std::uint64_t max_bytes);

    // To another process that takes over from this one, and back if that fails: what is kept here stays known.
    void lend_file(duration wait) {
        if (file_) file_->lend(wait);
    }
    void take_file_back() {
        if (file_) file_->take_back();
    }

    // The key of all hashes; empty until the file has been read.
    [[nodiscard]] const hash_key* key() const noexcept {
        return ready_.load(std::memory_order_acquire) ? &*key_ : nullptr;
    }
    // bytes.
    [[nodiscard]] std::uint64_t max_entry() const noexcept { return limit_.load(std::memory_order_relaxed) / 8; }

    [[nodiscard]] std::shared_ptr<const stored_answer> find(const last_good_key& key); // null: nothing is kept
    void put(const last_good_key& key, std::shared_ptr<const stored_answer> answer);

    // For the metrics: what became of look-ups and of answers that might have been kept.
    void count_lookup(bool hit) noexcept { (hit ? hits_ : misses_).fetch_add(1, std::memory_order_relaxed); }
    void count_not_kept(telemetry::not_kept why) noexcept {
        not_kept_[static_cast<std::size_t>(why)].fetch_add(1, std::memory_order_relaxed);
    }
    [[nodiscard]] telemetry::last_good_report report() const;

private:
    struct kept {
        last_good_key key;
        std::shared_ptr<const stored_answer> answer;
    };
    void take_over(last_good_file::content found);
    void insert(const last_good_key& key, std::shared_ptr<const stored_answer> answer, bool in_front);
    void evict();

    std::optional<hash_key> key_; // set once, before ready_
    std::atomic<bool> ready_{false};
    std::atomic<std::uint64_t> limit_;
    std::atomic<std::uint64_t> hits_{0}, misses_{0}, stored_{0}, evicted_{0};
    std::array<std::atomic<std::uint64_t>, telemetry::not_kept_count> not_kept_{};
    mutable std::mutex mutex_; // all below but file_
    std::list<kept> used_;     // most recently used in front
    std::unordered_map<last_good_key, std::list<kept>::iterator, last_good_key::hash> places_;
    std::uint64_t bytes_ = 0;
    std::unique_ptr<last_good_file> file_; // last: its thread calls back
};

} // namespace evenkeel::request
