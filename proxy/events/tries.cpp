#include "proxy/events/tries.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace evenkeel::telemetry {

namespace {
constexpr std::size_t max_name = 64;   // as the configuration allows
constexpr std::size_t max_label = 272; // a host's name and a port

// `tell` is called with each that is told, and whether some were left out in front of it.
template <class Function>
void for_each_told(const all_tries& all, Function tell) {
    const bool too_many = all.size() > most_tries_told;
    for (std::size_t place = 0; place < all.size(); ++place) {
        const bool resumes = too_many && place == most_tries_told / 2;
        if (resumes) place = all.size() - most_tries_told / 2;
        tell(all[place], resumes);
    }
}

duration time_of(const tried& one, steady_time now) noexcept {
    return one.over ? one.how.took : std::max(now - one.began, duration::zero());
}

// Which of its upstream's keys it had, by name; empty: there is no choice.
std::string_view key_of(const tried& one) noexcept {
    if (one.upstream == nullptr || one.as.credential >= one.upstream->credentials.size()) return {};
    return std::string_view{one.upstream->credentials[one.as.credential].name}.substr(0, max_name);
}
} // namespace

all_tries tries_of(const journal& of) {
    all_tries all;
    const auto find = [&](attempt_number number) -> tried* {
        const auto found =
            std::find_if(all.rbegin(), all.rend(), [&](const tried& one) { return one.number == number; });
        return found == all.rend() ? nullptr : &*found;
    };
    for (const journal::entry& one : of) {
        if (const auto* launched = std::get_if<happened::launched>(&one.what)) {
            all.push_back({.number = one.attempt, .upstream = one.upstream, .as = *launched, .began = one.at});
        } else if (std::holds_alternative<happened::committed>(one.what)) {
            if (tried* const its = find(one.attempt)) its->committed = true;
        } else if (const auto* over = std::get_if<happened::ended>(&one.what)) {
            if (tried* const its = find(one.attempt)) {
                its->over = true;
                its->how = *over;
            }
        }
    }
    return all;
}

std::string_view ending_of(const tried& one) noexcept {
    if (one.over) return to_string(one.how.result);
    return one.committed ? "answering" : "under_way";
}

std::string tries_label(const journal& of, steady_time now) {
    std::string out;
    for_each_told(tries_of(of), [&](const tried& one, bool resumes) {
        if (!out.empty()) out += ", ";
        const std::string_view name =
            one.upstream != nullptr ? std::string_view{one.upstream->name}.substr(0, max_name) : "none";
        const bool token = (name.front() >= 'a' && name.front() <= 'z') || (name.front() >= 'A' && name.front() <= 'Z');
        const auto to = std::back_inserter(out);
        const std::string_view quote = token ? "" : "\"";
        const std::string_view key = key_of(one);
        fmt::format_to(to, "{}{}{}{}{}", quote, name, key.empty() ? "" : "/", key, quote);
        const std::string_view kind = to_string(one.as.kind);
        fmt::format_to(to, ";kind={}", kind);
        if (one.as.why != kind) fmt::format_to(to, ";why={}", one.as.why);
        fmt::format_to(to, ";end={}", ending_of(one));
        if (one.over && !one.how.why.empty()) fmt::format_to(to, ";cause={}", one.how.why);
        if (one.over && one.how.status != 0) fmt::format_to(to, ";status={}", one.how.status);
        fmt::format_to(to, ";s={:.3f}", in_seconds(time_of(one, now)));
        if (resumes) out += ";after_others";
    });
    return out;
}

std::string tries_json(const journal& of, steady_time began, steady_time now) {
    const all_tries all = tries_of(of);
    if (all.empty()) return {};
    std::string out = "[";
    for_each_told(all, [&](const tried& one, bool resumes) {
        const auto to = std::back_inserter(out);
        if (out.size() > 1) out += ',';
        out += '{';
        if (resumes) fmt::format_to(to, R"("left_out":{},)", all.size() - most_tries_told);
        if (one.upstream != nullptr) {
            fmt::format_to(to, R"("upstream":"{}",)", std::string_view{one.upstream->name}.substr(0, max_name));
            const std::string_view label = one.upstream->endpoint.label();
            if (!label.empty()) fmt::format_to(to, R"("endpoint":"{}",)", label.substr(0, max_label));
            if (const std::string_view key = key_of(one); !key.empty())
                fmt::format_to(to, R"("credential":"{}",)", key);
        }
        fmt::format_to(to, R"("kind":"{}","why":"{}")", to_string(one.as.kind), one.as.why);
        if (one.as.probe) out += R"(,"probe":true)";
        fmt::format_to(to, R"(,"end":"{}")", ending_of(one));
        if (one.over && !one.how.why.empty()) fmt::format_to(to, R"(,"cause":"{}")", one.how.why);
        if (one.over && one.how.status != 0) fmt::format_to(to, R"(,"status":{})", one.how.status);
        fmt::format_to(to, R"(,"at_s":{:.6f},"duration_s":{:.6f})",
                       in_seconds(std::max(one.began - began, duration::zero())), in_seconds(time_of(one, now)));
        if (one.over && one.how.silent > duration::zero())
            fmt::format_to(to, R"(,"silent_s":{:.6f})", in_seconds(one.how.silent));
        out += '}';
    });
    return out += ']';
}

} // namespace evenkeel::telemetry
