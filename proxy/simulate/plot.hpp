#pragma once
// A comparison as a picture: an SVG with three panels for each scenario (answered well over time, how long answers
// took, attempts per request over time) and a line for each policy. Told apart in black and white: each line has a dash
// pattern of its own and its name at its end. No script, no colour, no font that has to be there. Pure.

#include "proxy/simulate/comparison.hpp"

#include <string>

namespace evenkeel::simulate {

// Of a comparison whose samples were kept. Other rows are left out.
[[nodiscard]] std::string plot_of(const comparison& what);

} // namespace evenkeel::simulate
