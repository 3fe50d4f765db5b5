#include "proxy/telemetry/metric_rows.hpp"

#include <algorithm>
#include <string>
#include <vector>

namespace evenkeel::telemetry {

namespace {

constexpr std::size_t most_words = 24; // of a label; a longer list is a table of its own elsewhere

std::string quoted(std::string_view word) { return std::string("`").append(word).append("`"); }

// A label with the words that it takes, where they are a closed list.
std::string text_of(const label& one) {
    std::string out = quoted(one.name);
    if (one.end - one.first > most_words || one.end == 0) return out;
    std::vector<std::string_view> words;
    for (std::size_t i = one.first; i < one.end; ++i) {
        const std::string_view word = one.word({}, i);
        if (std::find(words.begin(), words.end(), word) == words.end()) words.push_back(word);
    }
    for (const std::string_view word : words) out.append(word == words.front() ? " (" : ", ").append(quoted(word));
    return out + ")";
}

std::string labels_of_row(const metric_row& row) {
    std::string out;
    for (const auto* labels : {&labels_of(row.of), &row.labels})
        for (const label& one : *labels) out.append(out.empty() ? "" : ", ").append(text_of(one));
    return out;
}

// Of a route that has it all on: which places of its labels are there before anything happened.
std::string places_of(const metric_row& row) {
    config::route full;
    full.circuit_breaker.on = true;
    const subject of{.configured_route = &full};
    std::string out;
    for_each_place(row, [&](const series_place& at) {
        if (!row.exists.from_the_start(of, at)) return;
        std::string words;
        for_each_word(row, of, at, [&](const label& one, std::string_view word) {
            if (one.end != 0) words.append(words.empty() ? "" : " ").append(word);
        });
        out.append(out.empty() ? ": " : ", ").append(quoted(words));
    });
    return out;
}

} // namespace

std::string metrics_reference() {
    std::string out = "| metric | type | labels | there | what it says |\n|---|---|---|---|---|\n";
    for (const metric_row& row : metric_rows()) {
        out.append("| ").append(quoted(row.name)).append(" | ").append(to_string(row.type));
        out.append(" | ").append(labels_of_row(row)).append(" | ").append(row.exists.when);
        if (row.exists.some) out += places_of(row);
        out.append(" | ").append(row.help);
        if (!row.more.empty()) out.append(" ").append(row.more);
        out += " |\n";
    }
    return out;
}

} // namespace evenkeel::telemetry
