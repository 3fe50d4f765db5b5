#include "proxy/fallback/last_good_store.hpp"

#include <future>
#include <utility>

namespace evenkeel::request {

last_good_store::last_good_store(std::uint64_t max_bytes) : key_(hash_key::draw()), limit_(max_bytes) {
    ready_.store(true, std::memory_order_release);
}

void last_good_store::open_file(const std::string& path, telemetry::app_log& log, duration wait,
                                const last_good_file_options& options) {
    ready_.store(false, std::memory_order_release);
    auto over = std::make_shared<std::promise<void>>();
    auto taken = over->get_future();
    file_ = std::make_unique<last_good_file>(path, log, options);
    file_->set_limit(limit_);
    file_->open([this, over](last_good_file::content found) {
        take_over(std::move(found));
        over->set_value();
    });
    taken.wait_for(wait);
}

void last_good_store::take_over(last_good_file::content found) {
    if (found.key) {
        key_ = *found.key;
        const std::lock_guard lock(mutex_);
        for (auto& row : found.rows) insert(row.key, std::move(row.answer), false); // newest first
        evict();
    }
    ready_.store(true, std::memory_order_release);
}

void last_good_store::set_limit(std::uint64_t max_bytes) {
    limit_.store(max_bytes, std::memory_order_relaxed);
    if (file_) file_->set_limit(max_bytes);
    const std::lock_guard lock(mutex_);
    evict();
}

std::shared_ptr<const stored_answer> last_good_store::find(const last_good_key& key) {
    const std::lock_guard lock(mutex_);
    const auto found = places_.find(key);
    if (found == places_.end()) return nullptr;
    used_.splice(used_.begin(), used_, found->second);
    return found->second->answer;
}

void last_good_store::insert(const last_good_key& key, std::shared_ptr<const stored_answer> answer, bool in_front) {
    if (const auto found = places_.find(key); found != places_.end()) {
        bytes_ -= found->second->answer->size();
        used_.erase(found->second);
        places_.erase(found);
    }
    bytes_ += answer->size();
    const auto at = used_.insert(in_front ? used_.begin() : used_.end(), kept{key, std::move(answer)});
    places_.emplace(key, at);
}

void last_good_store::evict() {
    while (bytes_ > limit_.load(std::memory_order_relaxed) && !used_.empty()) {
        bytes_ -= used_.back().answer->size();
        places_.erase(used_.back().key);
        used_.pop_back();
        evicted_.fetch_add(1, std::memory_order_relaxed);
    }
}

void last_good_store::put(const last_good_key& key, std::shared_ptr<const stored_answer> answer) {
    if (answer->size() > max_entry()) return count_not_kept(telemetry::not_kept::too_large);
    stored_.fetch_add(1, std::memory_order_relaxed);
    if (file_) file_->put({key, answer});
    const std::lock_guard lock(mutex_);
    insert(key, std::move(answer), true);
    evict();
}

telemetry::last_good_report last_good_store::report() const {
    telemetry::last_good_report out;
    out.max_bytes = limit_.load(std::memory_order_relaxed);
    out.hits = hits_.load(std::memory_order_relaxed);
    out.misses = misses_.load(std::memory_order_relaxed);
    out.kept = stored_.load(std::memory_order_relaxed);
    out.evicted = evicted_.load(std::memory_order_relaxed);
    for (std::size_t i = 0; i < not_kept_.size(); ++i) out.not_kept[i] = not_kept_[i].load(std::memory_order_relaxed);
    if (file_) {
        out.has_file = true;
        out.file_works = file_->works();
        out.file_dropped = file_->dropped();
        out.file_errors = file_->errors();
    }
    const std::lock_guard lock(mutex_);
    out.entries = places_.size();
    out.bytes = bytes_;
    return out;
}

} // namespace evenkeel::request
