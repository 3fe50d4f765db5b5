#pragma once
// From an upstream as it is written to its endpoints: one for each of its `urls`, or for each address that its name
// stands for just now. A change of DNS is a change of settings like a reload, with other endpoints: whoever works with
// settings need not know which of the two it was.

#include "config/settings.hpp"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace evenkeel::config {

// One for each of `urls`, or the one that there is. With `resolve: each`: the name, until its addresses are known.
[[nodiscard]] std::vector<std::shared_ptr<const upstream>> endpoints_of(const upstream& written);

// By upstream: the literal addresses that its name stands for. Whom it does not list, or lists with none, stays as
// written.
using address_book = std::map<std::string, std::vector<std::string>>;

// `written` with an endpoint for each address, of each upstream as many as its routes have room for, the lowest first.
// What is as it was in `before` is the very same object.
[[nodiscard]] snapshot with_addresses(const settings& written, const address_book& known, const settings& before);

} // namespace evenkeel::config
