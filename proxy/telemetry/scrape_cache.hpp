#pragma once
// Stands between scrapers and metrics::text(): one scrape at a time, and an answer is good for a moment, so that
// several Prometheus servers, a dashboard and an attacker cost what one scrape costs.

#include "policies/time.hpp"
#include "proxy/telemetry/metrics.hpp"

#include <memory>
#include <mutex>
#include <string>

namespace evenkeel::telemetry {

class scrape_cache {
public:
    static constexpr duration default_lifetime = std::chrono::milliseconds{200};

    explicit scrape_cache(const metrics& source, duration lifetime = default_lifetime)
        : source_(source), lifetime_(lifetime) {}

    [[nodiscard]] std::shared_ptr<const std::string> text(steady_time now) {
        const std::lock_guard lock(mutex_);
        if (!held_ || now - taken_ >= lifetime_) {
            held_.reset(); // two texts of a large configuration are more than need be
            held_ = std::make_shared<const std::string>(source_.text());
            taken_ = now;
        }
        return held_;
    }

private:
    const metrics& source_;
    duration lifetime_;
    std::mutex mutex_;
    steady_time taken_{};
    std::shared_ptr<const std::string> held_;
};

} // namespace evenkeel::telemetry
