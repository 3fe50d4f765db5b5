#include "config/entry.hpp"

#include <algorithm>
#include <utility>

namespace evenkeel::config {

const entry* entry::find(std::string_view name) const noexcept {
    for (const entry& each : children) {
        if (each.key == name) return &each;
    }
    return nullptr;
}

entry* entry::find(std::string_view name) noexcept { return const_cast<entry*>(std::as_const(*this).find(name)); }

bool entry::is_word(std::string_view text) const noexcept {
    const auto* w = get<word>();
    return w != nullptr && w->text == text;
}

bool entry::was_refused(std::string_view name) const noexcept {
    return std::find(refused.begin(), refused.end(), name) != refused.end();
}

bool entry::is_off() const noexcept { return is_word("off"); }

std::string entry::text() const {
    const auto* s = get<std::string>();
    return s != nullptr ? *s : std::string{};
}

} // namespace evenkeel::config
