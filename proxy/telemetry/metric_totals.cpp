#include "proxy/telemetry/metric_totals.hpp"

namespace evenkeel::telemetry {

namespace {

time_total time_of(const histogram_view& seen) {
    time_total all{.seconds = seen.sum};
    for (const std::uint64_t count : seen.counts) all.count += count;
    return all;
}

enum class attempt_group : unsigned char { good, failed, cancelled };
attempt_group group_of(attempt_result result) noexcept {
    switch (result) {
    case attempt_result::success:
    case attempt_result::caller_error: return attempt_group::good;
    case attempt_result::cancelled: return attempt_group::cancelled;
    default: return attempt_group::failed;
    }
}

} // namespace

route_total total_of(const counted::route& of) {
    route_total all;
    for (std::size_t ending = 0; ending < all.ended.size(); ++ending)
        for (std::size_t code = 0; code < code_classes.size(); ++code)
            all.ended[ending] +=
                of.usual.sum([&](const route_cells& cells) -> const cell& { return cells.finished[ending][code]; });
    all.duration = time_of(of.usual.histogram([](const route_cells& cells) -> auto& { return cells.duration; }));
    all.lost = of.rare.histogram([](const rare_route_cells& cells) -> auto& { return cells.lost; }).sum;
    all.paused = of.rare.histogram([](const rare_route_cells& cells) -> auto& { return cells.paused; }).sum;
    all.in_flight = static_cast<std::int64_t>(
        of.usual.sum([](const route_cells& cells) -> const cell& { return cells.in_flight; }));
    return all;
}

pair_total total_of(const counted::pair& of) {
    pair_total all;
    const auto sum = [&](auto&& cell_of) { return of.usual.sum(cell_of); };
    for (std::size_t kind = 0; kind < all.attempts.size(); ++kind) {
        for (std::size_t result = 0; result < attempt_result_count; ++result) {
            const std::uint64_t count =
                sum([&](const pair_cells& cells) -> const cell& { return cells.attempts[kind][result]; });
            all.attempts[kind] += count;
            const attempt_group group = group_of(static_cast<attempt_result>(result));
            if (group == attempt_group::failed) all.failed += count;
            if (group == attempt_group::cancelled) all.cancelled += count;
        }
    }
    all.first_token = time_of(of.usual.histogram([](const pair_cells& cells) -> auto& { return cells.first_token; }));
    for (std::size_t became = 0; became < all.tokens.size(); ++became) {
        for (std::size_t kind = 0; kind < token_kind_count; ++kind) {
            for (const std::size_t guessed : {0U, 1U}) {
                const std::uint64_t tokens = sum(
                    [&](const pair_cells& cells) -> const cell& { return cells.tokens[became][2 * kind + guessed]; });
                all.tokens[became] += tokens;
                all.estimated += guessed * tokens;
            }
        }
        for (const std::size_t guessed : {0U, 1U})
            all.cost[became] +=
                sum([&](const pair_cells& cells) -> const cell& { return cells.cost[became][guessed]; });
    }
    return all;
}

} // namespace evenkeel::telemetry
