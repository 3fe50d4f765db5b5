#include "proxy/telemetry/kept_tries.hpp"

#include "proxy/telemetry/json_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <numeric>
#include <string_view>
#include <variant>
#include <vector>

namespace evenkeel::telemetry {

namespace {

struct kept_try {
    const kept_request::happening* launched = nullptr;
    const kept_request::happening* ended = nullptr; // null: that was left out, or never told
    bool committed = false;
};

std::vector<kept_try> tries_of(const kept_request& of) {
    std::vector<kept_try> all;
    const auto with = [&](attempt_number number, auto&& function) {
        const auto found = std::find_if(all.rbegin(), all.rend(),
                                        [&](const kept_try& one) { return one.launched->attempt == number; });
        if (found != all.rend()) function(*found);
    };
    for (const auto& one : of.journal) {
        if (std::holds_alternative<happened::launched>(one.what))
            all.push_back({.launched = &one});
        else if (std::holds_alternative<happened::committed>(one.what))
            with(one.attempt, [](kept_try& its) { its.committed = true; });
        else if (std::holds_alternative<happened::ended>(one.what))
            with(one.attempt, [&](kept_try& its) { its.ended = &one; });
    }
    return all;
}

void add_word(std::string& out, std::string_view name, std::string_view word) {
    if (word.empty()) return;
    if (out.back() != '{') out += ',';
    append_quoted(out, name);
    out += ':';
    append_quoted(out, word);
}

void add_ending(std::string& out, const happened::ended& how) {
    const auto to = std::back_inserter(out);
    add_word(out, "end", to_string(how.result));
    add_word(out, "cause", how.why);
    if (how.status != 0) fmt::format_to(to, R"(,"status":{})", how.status);
    if (how.silent > duration::zero()) fmt::format_to(to, R"(,"silent_s":{:.6f})", in_seconds(how.silent));
    if (!how.spent.tokens.any() && how.spent.cost == 0) return;
    const auto& of = how.spent.tokens.of;
    add_word(out, "became", to_string(how.spent.became));
    fmt::format_to(to, R"(,"tokens":{})", std::accumulate(of.begin(), of.end(), std::uint64_t{0}));
    if (how.spent.cost != 0) {
        char digits[most_cost_digits];
        out += R"(,"cost":)";
        out.append(digits, write_cost(digits, how.spent.cost));
    }
}

} // namespace

std::string tries_json(const kept_request& of) {
    std::string out = "[";
    for (const kept_try& one : tries_of(of)) {
        if (out.size() > 1) out += ',';
        out += '{';
        const auto& launched = std::get<happened::launched>(one.launched->what);
        if (one.launched->where >= 0) {
            const auto& where = of.endpoints[static_cast<std::size_t>(one.launched->where)];
            add_word(out, "upstream", where.upstream);
            add_word(out, "endpoint", where.label);
        }
        if (one.launched->key >= 0) add_word(out, "credential", of.keys[static_cast<std::size_t>(one.launched->key)]);
        add_word(out, "kind", to_string(launched.kind));
        add_word(out, "why", launched.why);
        const duration took = one.ended != nullptr ? std::get<happened::ended>(one.ended->what).took
                                                   : std::max(of.total - one.launched->after, duration::zero());
        fmt::format_to(std::back_inserter(out), R"(,"at_s":{:.6f},"duration_s":{:.6f})",
                       in_seconds(one.launched->after), in_seconds(took));
        if (one.ended != nullptr)
            add_ending(out, std::get<happened::ended>(one.ended->what));
        else
            add_word(out, "end", one.committed ? "answering" : "under_way");
        if (one.committed) out += R"(,"committed":true)";
        out += '}';
    }
    return out + ']';
}

} // namespace evenkeel::telemetry
