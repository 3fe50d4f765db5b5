#pragma once
// What a scrape is put together from: families with their series, in the order in which they are added. Included by the
// sources that write metrics only; no header of the room shows prometheus-cpp.

#include "proxy/telemetry/cells.hpp"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace evenkeel::telemetry {

inline constexpr auto counter = prometheus::MetricType::Counter;
inline constexpr auto gauge = prometheus::MetricType::Gauge;
inline constexpr auto histogram = prometheus::MetricType::Histogram;

// The labels of a series stay in order of their addition.
class family_list {
public:
    using labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

    // HELP is written unescaped by the serialiser: one line, no backslash.
    void begin(prometheus::MetricType type, std::string_view name, std::string_view help) {
        auto& family = families_.emplace_back();
        family.name = std::string("evenkeel_").append(name);
        family.help = help;
        family.type = type;
    }
    void begin_process(prometheus::MetricType type, std::string_view name, std::string_view help) {
        begin(type, name, help);
        families_.back().name = name;
    }
    void value(double number, labels with = {}) {
        auto& metric = add(with);
        if (families_.back().type == prometheus::MetricType::Counter)
            metric.counter.value = number;
        else
            metric.gauge.value = number;
    }
    void value(std::uint64_t number, labels with = {}) { value(static_cast<double>(number), with); }
    void histogram(const histogram_view& view, labels with) {
        auto& out = add(with).histogram;
        std::uint64_t below = 0;
        out.bucket.reserve(view.size + 1);
        for (std::size_t i = 0; i <= view.size; ++i) {
            below += view.counts[i];
            out.bucket.push_back({below, i < view.size ? view.bounds[i] : std::numeric_limits<double>::infinity()});
        }
        out.sample_count = below;
        out.sample_sum = view.sum;
    }
    [[nodiscard]] std::string text() const {
        std::ostringstream out;
        prometheus::TextSerializer{}.Serialize(out, families_);
        return std::move(out).str();
    }

private:
    prometheus::ClientMetric& add(labels with) {
        auto& metric = families_.back().metric.emplace_back();
        metric.label.reserve(with.size());
        for (const auto& [name, word] : with) metric.label.push_back({std::string(name), std::string(word)});
        return metric;
    }

    std::vector<prometheus::MetricFamily> families_;
};

} // namespace evenkeel::telemetry
