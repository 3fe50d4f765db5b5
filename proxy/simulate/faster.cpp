#include "proxy/simulate/faster.hpp"

#include "config/effective.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <stdexcept>

namespace evenkeel::simulate {

namespace {

using config::entry;
using config::value_kind;

// `stream.head_hold: auto` is a duration that no file says (client_hints).
constexpr duration untold_head_hold = std::chrono::seconds{25};

class writer {
public:
    explicit writer(double speed) : speed_(speed) {}

    void members(const entry& block, int indent) {
        for (const entry& each : block.children) {
            if (each.schema->row != nullptr && each.schema->row->policy) member(each, indent);
        }
    }
    [[nodiscard]] std::string take() { return std::move(out_); }

private:
    void member(const entry& each, int indent) {
        if (each.is_off()) {
            if (each.from != config::origin::built_in) line(indent, each.key, "off", {});
        } else if (each.is_block()) {
            const std::size_t before = out_.size();
            out_ += fmt::format("{:{}}{}:\n", "", indent, each.key);
            const std::size_t empty = out_.size();
            for (const entry& below : each.children) member(below, indent + 2);
            if (out_.size() == empty) out_.resize(before);
        } else if (each.is_leaf()) {
            leaf(each, indent);
        }
    }

    void leaf(const entry& each, int indent) {
        const config::key_row& row = *each.schema->row;
        if (const auto* length = each.get<duration>()) {
            line(indent, each.key, config::format_duration(divided(*length, row)), config::format_duration(*length));
        } else if (row.path == "stream.head_hold" && each.is_word("auto")) {
            line(indent, each.key, config::format_duration(divided(untold_head_hold, row)),
                 config::format_duration(untold_head_hold));
        } else if (row.path == "retry.budget.min_per_second") {
            const double usual = *each.get<double>();
            line(indent, each.key, fmt::format("{:g}", std::min(usual * speed_, 100.0)), fmt::format("{:g}", usual));
        } else if (each.from != config::origin::built_in) {
            line(indent, each.key, config::format_leaf(each.value), {});
        }
    }

    [[nodiscard]] duration divided(duration length, const config::key_row& row) const {
        using micro = std::chrono::microseconds;
        const micro exact{std::llround(std::chrono::duration<double, std::micro>(length).count() / speed_)};
        const auto bound = [](std::string_view text, duration otherwise) {
            if (text.empty()) return otherwise;
            const auto read = config::read_duration(text);
            return std::get<duration>(read);
        };
        return std::clamp<duration>(exact, bound(row.min, duration::zero()), bound(row.max, duration::max()));
    }

    void line(int indent, std::string_view key, std::string_view value, std::string_view usual) {
        const std::string text = fmt::format("{:{}}{}: {}", "", indent, key, value);
        out_ += usual.empty() || usual == value ? text + '\n' : fmt::format("{:<34}  # {}\n", text, usual);
    }

    double speed_;
    std::string out_;
};

} // namespace

std::string faster(const profile& which, double speed) {
    const auto read = config::read_effective(which.yaml, std::string{which.name} + ".yaml", {});
    if (!read->root) throw std::logic_error("not a valid profile: " + std::string{which.name});
    const entry& route = read->root->find("routes")->children.front();
    writer out(speed);
    out.members(route, 2);
    return fmt::format("profile: {}\ndefaults:\n{}", which.name, out.take());
}

} // namespace evenkeel::simulate
