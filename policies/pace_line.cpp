#include "policies/pace_line.hpp"

#include <algorithm>
#include <cmath>

namespace evenkeel {

bool pace_line::join(ticket& one) {
    if (waiting_ >= most_waiting) return false;
    lane& in = lane_of(one.priority);
    one.number = next_++;
    tenant& whose = in.all[one.tenant];
    if (whose.waiting.empty()) whose.given = std::max(whose.given, in.now);
    const waiter made{one.deadline, one.number, one.cost};
    whose.waiting.insert(std::upper_bound(whose.waiting.begin(), whose.waiting.end(), made), made);
    ++in.waiting;
    ++waiting_;
    return true;
}

void pace_line::leave(const ticket& one) noexcept {
    lane& in = lane_of(one.priority);
    const auto whose = in.all.find(one.tenant);
    if (whose == in.all.end()) return;
    auto& all = whose->second.waiting;
    const auto found = std::lower_bound(all.begin(), all.end(), waiter{one.deadline, one.number, one.cost});
    if (found == all.end() || found->number != one.number) return;
    all.erase(found);
    --in.waiting;
    --waiting_;
    const bool even = whose->second.given <= in.now || in.all.size() > most_tenants;
    if (all.empty() && (even || in.waiting == 0)) in.all.erase(whose);
    if (in.waiting == 0) { // nobody has anything before anybody else
        in.all.clear();
        in.now = 0;
    }
}

void pace_line::served(const ticket& one) noexcept {
    lane& in = lane_of(one.priority);
    const auto whose = in.all.find(one.tenant);
    if (whose == in.all.end()) return;
    in.now = std::max(in.now, whose->second.given);
    whose->second.given += one.cost;
}

std::size_t pace_line::ahead_of(const ticket& one) const noexcept {
    const lane& in = lane_of(one.priority);
    std::size_t before = one.priority == pace_priority::batch ? lane_of(pace_priority::interactive).waiting : 0;
    if (in.waiting == 0) return before;
    const auto own = in.all.find(one.tenant);
    double given = in.now;
    std::size_t of_its_own = 0;
    if (own != in.all.end()) {
        const auto& all = own->second.waiting;
        given = all.empty() ? std::max(given, own->second.given) : own->second.given;
        // Who is about to join stands behind its equals.
        const waiter as{one.deadline, one.number != 0 ? one.number : next_, one.cost};
        of_its_own = static_cast<std::size_t>(std::lower_bound(all.begin(), all.end(), as) - all.begin());
    }
    const double cost = std::max(one.cost, 1e-9);
    given += static_cast<double>(of_its_own) * cost; // by when it is its turn
    before += of_its_own;
    for (const auto& [whose, each] : in.all) {
        if (whose == one.tenant || each.waiting.empty()) continue;
        const double its_cost = std::max(each.waiting.front().cost, 1e-9);
        const double first = (given - each.given) / its_cost; // that many of it are not behind
        const bool even = each.given == given;
        std::size_t in_front = first < 0 ? 0 : static_cast<std::size_t>(std::floor(first)) + (even ? 0 : 1);
        if (even && whose < one.tenant) in_front = 1;
        before += std::min(in_front, each.waiting.size());
    }
    return before;
}

} // namespace evenkeel
