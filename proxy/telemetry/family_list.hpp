#pragma once
// What a scrape is put together from: families with their series, in the order in which they are added. One family at a
// time is held as prometheus-cpp's values and written when the next begins: all of them together take ten times the
// text. Included by the sources that write metrics only; no header of the room shows prometheus-cpp.

#include "proxy/telemetry/cells.hpp"
#include "proxy/telemetry/metric_rows.hpp"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace evenkeel::telemetry {

// The labels of a series stay in order of their addition.
class family_list {
public:
    // `expected`: bytes of text, to be found at once: a text that doubles as it grows is three times itself at last.
    explicit family_list(std::size_t expected) { text_.str(with_room_for(expected)); }

    using labels = std::span<const std::pair<std::string_view, std::string_view>>;

    void begin(metric_type type, std::string name, std::string_view help) {
        write();
        auto& family = current_.front();
        family.name = std::move(name);
        family.help = help; // written unescaped by the serialiser
        family.type = type == metric_type::counter ? prometheus::MetricType::Counter
                      : type == metric_type::gauge ? prometheus::MetricType::Gauge
                                                   : prometheus::MetricType::Histogram;
        family.metric.clear();
    }
    void value(double number, labels with) {
        auto& metric = add(with);
        if (current_.front().type == prometheus::MetricType::Counter)
            metric.counter.value = number;
        else
            metric.gauge.value = number;
    }
    void histogram(const histogram_view& view, labels with) {
        auto& out = add(with).histogram;
        out.sample_sum = view.sum;
        out.bucket.reserve(view.size + 1);
        std::uint64_t below = 0;
        for (std::size_t i = 0; i <= view.size; ++i) {
            below += view.counts[i];
            out.bucket.push_back({below, i < view.size ? view.bounds[i] : std::numeric_limits<double>::infinity()});
        }
        out.sample_count = below;
    }
    // Everything; once.
    [[nodiscard]] std::string take_text() {
        write();
        return std::move(text_).str();
    }

private:
    [[nodiscard]] static std::string with_room_for(std::size_t bytes) {
        std::string empty;
        empty.reserve(bytes);
        return empty;
    }
    // A family without a series is not named.
    void write() {
        if (current_.front().metric.empty()) return;
        prometheus::TextSerializer{}.Serialize(text_, current_);
        current_.front().metric.clear();
    }
    prometheus::ClientMetric& add(labels with) {
        auto& metric = current_.front().metric.emplace_back();
        metric.label.reserve(with.size());
        for (const auto& [name, word] : with) metric.label.push_back({std::string(name), std::string(word)});
        return metric;
    }

    std::vector<prometheus::MetricFamily> current_{1}; // exactly one: the serialiser takes a vector
    std::ostringstream text_;
};

} // namespace evenkeel::telemetry
