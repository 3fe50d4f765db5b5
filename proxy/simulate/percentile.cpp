#include "proxy/simulate/percentile.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace evenkeel::simulate {

double percentile(std::vector<double> values, double q) {
    if (values.empty()) return 0;
    const auto rank = static_cast<std::size_t>(std::ceil(q * static_cast<double>(values.size())));
    const auto at = values.begin() + static_cast<std::ptrdiff_t>(std::clamp<std::size_t>(rank, 1, values.size()) - 1);
    std::ranges::nth_element(values, at);
    return *at;
}

} // namespace evenkeel::simulate
