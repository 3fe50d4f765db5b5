#include "config/fill.hpp"

#include "config/expand.hpp"
#include "config/network.hpp"

#include <algorithm>

namespace evenkeel::config {

void fill(const entry& from, const destination& into) {
    if (const key_row* row = from.schema->row; row != nullptr && row->fills != nullptr) row->fills(from, into);
    if (!from.is_block()) return;
    for (const entry& each : from.children) fill(each, into);
}

int place_of_word(const entry& from) noexcept {
    const auto* written = from.get<word>();
    if (written == nullptr) return -1;
    const auto words = split_words(from.schema->row->words);
    const auto found = std::find(words.begin(), words.end(), written->text);
    return found != words.end() ? static_cast<int>(found - words.begin()) : -1;
}

void put(const entry& from, bool& to, std::string_view) {
    const bool* written = from.get<bool>();
    to = written != nullptr ? *written : place_of_word(from) != 0;
}

void put(const entry& from, double& to, std::string_view) {
    if (const double* written = from.get<double>()) to = *written;
    if (const auto* written = from.get<per_minute>()) to = static_cast<double>(written->count);
    if (from.is_off()) to = 0;
}

void put(const entry& from, duration& to, std::string_view) {
    if (const duration* written = from.get<duration>()) to = *written;
    if (from.is_off()) to = duration::zero();
}

void put(const entry& from, std::uint64_t& to, std::string_view) {
    if (const auto* written = from.get<std::int64_t>()) to = static_cast<std::uint64_t>(*written);
    if (const auto* written = from.get<bytes>()) to = written->count;
    if (from.is_off()) to = 0;
}

void put(const entry& from, std::string& to, std::string_view directory) {
    const value_kind kind = from.schema->kind();
    const bool word_is_value = kind == value_kind::word || kind == value_kind::log_file;
    to = word_is_value ? format_leaf(from.value) : from.text();
    if (kind == value_kind::file && !to.empty()) to = resolve_path(std::string(directory), to);
}

// What follows is checked by now.
void put(const entry& from, url& to, std::string_view) {
    if (auto read = read_url(from.text(), true); auto* good = std::get_if<url>(&read)) to = std::move(*good);
}

void put(const entry& from, listener& to, std::string_view) {
    if (auto read = read_address(from.text()); auto* good = std::get_if<listener>(&read)) to = std::move(*good);
}

} // namespace evenkeel::config
