#pragma once
// Nearest rank: the smallest value that at least the share `q` of all is not above; 0 if there are none.

#include <vector>

namespace evenkeel::simulate {

[[nodiscard]] double percentile(std::vector<double> values, double q);

} // namespace evenkeel::simulate
