#pragma once
// What a scrape is put together from: families with their series, in the order in which they are added. One family at a
// time is held as prometheus-cpp's values and written when the next begins: all of them together take ten times the
// text. Included by the sources that write metrics only; no header of the room shows prometheus-cpp.

#include "proxy/telemetry/cells.hpp"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <cstddef>
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
    // `expected`: bytes of text, to be found at once: a text that doubles as it grows is three times itself at last.
    explicit family_list(std::size_t expected) { text_.str(with_room_for(expected)); }

    using labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

    // HELP is written unescaped by the serialiser: one line, no backslash.
    void begin(prometheus::MetricType type, std::string_view name, std::string_view help) {
        begin_process(type, std::string("evenkeel_").append(name), help);
    }
    void begin_process(prometheus::MetricType type, std::string_view name, std::string_view help) {
        write();
        auto& family = current_.front();
        family.name = name;
        family.help = help;
        family.type = type;
        family.metric.clear();
    }
    // A series that does not exist from the start is there from its first event on: once it is not zero.
    void value(double number, labels with = {}, bool from_the_start = true) {
        if (!from_the_start && number == 0) return;
        auto& metric = add(with);
        if (current_.front().type == prometheus::MetricType::Counter)
            metric.counter.value = number;
        else
            metric.gauge.value = number;
    }
    void value(std::uint64_t number, labels with = {}, bool from_the_start = true) {
        value(static_cast<double>(number), with, from_the_start);
    }
    // There from its first observation on.
    void histogram(const histogram_view& view, labels with) {
        std::uint64_t below = 0;
        for (std::size_t i = 0; i <= view.size; ++i) below += view.counts[i];
        if (below == 0) return;
        auto& out = add(with).histogram;
        out.sample_count = below;
        out.sample_sum = view.sum;
        out.bucket.reserve(view.size + 1);
        below = 0;
        for (std::size_t i = 0; i <= view.size; ++i) {
            below += view.counts[i];
            out.bucket.push_back({below, i < view.size ? view.bounds[i] : std::numeric_limits<double>::infinity()});
        }
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
