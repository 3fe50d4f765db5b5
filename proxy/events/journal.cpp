#include "proxy/events/journal.hpp"

#include <fmt/format.h>

#include <iterator>
#include <limits>
#include <new>
#include <optional>
#include <tuple>

namespace evenkeel::telemetry {

namespace {
constexpr std::size_t kept_of_the_beginning = journal::most_entries / 2;

// What may come again and again in the same words while nothing else happens.
struct repetition {
    std::size_t kind;
    const config::upstream* upstream;
    int wanted;
    int why;
    bool operator==(const repetition&) const noexcept = default;
};
std::optional<repetition> repetition_of(const config::upstream* upstream, const any_happening& what) noexcept {
    if (const auto* passed = std::get_if<happened::passed_over>(&what))
        return repetition{what.index(), upstream, static_cast<int>(passed->wanted), static_cast<int>(passed->why)};
    if (const auto* alone = std::get_if<happened::not_hedged>(&what))
        return repetition{what.index(), upstream, 0, static_cast<int>(alone->why)};
    if (std::holds_alternative<happened::overdue>(what)) return repetition{what.index(), upstream, 0, 0};
    return std::nullopt;
}
} // namespace

void journal::add(steady_time at, const config::upstream* upstream, attempt_number attempt,
                  const any_happening& what) noexcept {
    if (const auto again = repetition_of(upstream, what)) {
        for (auto before = entries_.rbegin(); before != entries_.rend(); ++before) {
            const auto said = repetition_of(before->upstream, before->what);
            if (!said) break; // something else has happened since
            if (said != again || before->attempt != attempt) continue;
            if (before->times < std::numeric_limits<std::uint16_t>::max()) ++before->times;
            return;
        }
    }
    push({at, upstream, attempt, 1, what});
}

void journal::push(const entry& one) noexcept {
    if (entries_.size() == most_entries) {
        entries_.erase(entries_.begin() + static_cast<std::ptrdiff_t>(kept_of_the_beginning));
        ++left_out_;
    }
    try {
        entries_.push_back(one);
    } catch (const std::bad_alloc&) {
        ++left_out_;
    }
}

void journal::append(const journal& of, std::size_t known, attempt_number before) noexcept {
    // What is left out lies between the halves.
    std::size_t number = 0;
    for (const entry& one : of) {
        if (number == kept_of_the_beginning) number += of.left_out_;
        if (number++ < known) continue;
        entry mine = one;
        if (mine.attempt != 0) mine.attempt = static_cast<attempt_number>(mine.attempt + before);
        push(mine);
    }
}

std::string text_of(const journal& of, steady_time began) {
    std::string out;
    std::size_t place = 0;
    for (const journal::entry& one : of) {
        if (place++ == kept_of_the_beginning && of.left_out() > 0)
            fmt::format_to(std::back_inserter(out), "; ({} left out)", of.left_out());
        if (!out.empty()) out += "; ";
        const happening_words words = words_of(one.what);
        fmt::format_to(std::back_inserter(out), "+{:.3f}s {}", in_seconds(one.at - began), words.name);
        if (!words.why.empty()) fmt::format_to(std::back_inserter(out), " {}", words.why);
        if (one.attempt != 0) fmt::format_to(std::back_inserter(out), " attempt={}", one.attempt);
        if (one.upstream != nullptr) fmt::format_to(std::back_inserter(out), " upstream={}", one.upstream->name);
        if (one.upstream != nullptr && !one.upstream->endpoint.label().empty())
            fmt::format_to(std::back_inserter(out), " endpoint={}", one.upstream->endpoint.label());
        if (const auto* as = std::get_if<happened::launched>(&one.what);
            as != nullptr && one.upstream != nullptr && as->credential < one.upstream->credentials.size())
            fmt::format_to(std::back_inserter(out), " credential={}", one.upstream->credentials[as->credential].name);
        if (const auto* over = std::get_if<happened::ended>(&one.what); over != nullptr && over->status != 0)
            fmt::format_to(std::back_inserter(out), " status={}", over->status);
        if (one.times > 1) fmt::format_to(std::back_inserter(out), " times={}", one.times);
    }
    return out;
}

} // namespace evenkeel::telemetry
