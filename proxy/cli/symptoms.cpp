#include "proxy/cli/symptoms.hpp"

#include "proxy/cli/terminal.hpp"
#include "proxy/wire/refusal.hpp"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <string>

namespace evenkeel::cli {

namespace {
// The cells of a row of a Markdown table; empty: it is none of three.
std::array<std::string_view, 3> cells_of(std::string_view line) {
    std::array<std::string_view, 3> cells;
    if (!line.starts_with("| ") || !line.ends_with(" |")) return {};
    line = line.substr(2, line.size() - 4);
    for (std::size_t cell = 0; cell < cells.size(); ++cell) {
        const std::size_t end = cell + 1 < cells.size() ? line.find(" | ") : line.size();
        if (end == std::string_view::npos) return {};
        cells[cell] = line.substr(0, end);
        line.remove_prefix(std::min(line.size(), end + 3));
    }
    return cells;
}

// Whether it is the status in front, or a whole word in code.
bool names(std::string_view cell, std::string_view word) {
    if (cell.starts_with(word) && (cell.size() == word.size() || cell[word.size()] == ' ')) return true;
    const auto is_of_word = [](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-';
    };
    bool code = false;
    for (std::size_t at = 0; at < cell.size(); ++at) {
        if (cell[at] == '`') code = !code;
        if (!code || !cell.substr(at).starts_with(word)) continue;
        const bool begins = at == 0 || !is_of_word(cell[at - 1]);
        const std::size_t end = at + word.size();
        if (begins && (end == cell.size() || !is_of_word(cell[end]))) return true;
    }
    return false;
}

// Without the marks of Markdown: of a link its words.
std::string plain(std::string_view cell) {
    std::string out;
    for (std::size_t at = 0; at < cell.size(); ++at) {
        if (cell[at] == '`' || cell[at] == '[') continue;
        if (cell[at] == ']' && cell.substr(at).starts_with("](")) {
            at = std::min(cell.find(')', at), cell.size() - 1);
            continue;
        }
        out += cell[at];
    }
    return out;
}
} // namespace

namespace {
std::string rows_of(std::string_view word, bool anywhere) {
    std::string out;
    std::string_view page = operating_page;
    page.remove_prefix(std::min(page.find("\n## Symptoms\n"), page.size()));
    page = page.substr(0, page.find("\n## ", 1));
    while (!page.empty()) {
        const std::size_t end = std::min(page.find('\n'), page.size());
        const auto [seen, why, what] = cells_of(page.substr(0, end));
        page.remove_prefix(std::min(page.size(), end + 1));
        if (!names(seen, word) && !(anywhere && (names(why, word) || names(what, word)))) continue;
        if (!out.empty()) out += '\n';
        out += plain(seen) + '\n';
        if (!why.empty()) out += "    why: " + plain(why) + '\n';
        if (!what.empty()) out += "    do: " + plain(what) + '\n';
    }
    return in_columns(out, 80);
}
// A request that is not strict HTTP/1.1: the rule it broke.
std::string rule_of(std::string_view word) {
    for (int at = 1; at <= static_cast<int>(wire::refusal::unexpected_bytes); ++at) {
        const auto why = static_cast<wire::refusal>(at);
        if (wire::to_string(why) == word)
            return in_columns(fmt::format("{} {}\n    why: {}\n", wire::status_of(why), word, wire::explain(why)), 80);
    }
    return {};
}
// A metric: what it says.
std::string metric_of(std::string_view word) {
    constexpr std::string_view ours = "evenkeel_";
    std::string_view page = operating_page;
    for (const std::string_view name : {word, word.starts_with(ours) ? word.substr(ours.size()) : word}) {
        const std::size_t at = page.find(fmt::format("\n| `{}` | ", name));
        if (at == std::string_view::npos) continue;
        const std::string_view row = page.substr(at + 1, page.find('\n', at + 1) - at - 1);
        const std::size_t help = row.rfind(" | ", row.size() - 3);
        if (help == std::string_view::npos || !row.ends_with(" |")) continue;
        return in_columns(fmt::format("{}\n    {}\n", word, plain(row.substr(help + 3, row.size() - help - 5))), 80);
    }
    return {};
}
// An annotation without the marks of Prometheus' templates: what they stand for as a word in capitals.
std::string without_templates(std::string_view text) {
    std::string out, in_question; // what a `with` is about
    for (std::size_t open; (open = text.find("{{")) != std::string_view::npos;) {
        out += text.substr(0, open);
        const std::size_t close = std::min(text.find("}}", open), text.size() - 2);
        std::string_view mark = text.substr(open + 2, close - open - 2);
        text.remove_prefix(close + 2);
        mark.remove_prefix(std::min(mark.find_first_not_of(" -"), mark.size()));
        const std::string_view first = mark.substr(0, mark.find(' '));
        std::string name{in_question};
        if (const std::size_t label = mark.find("$labels."); label != std::string_view::npos) {
            name.clear();
            for (std::size_t at = label + 8; at < mark.size() && std::isalpha(static_cast<unsigned char>(mark[at]));
                 ++at)
                name += static_cast<char>(std::toupper(static_cast<unsigned char>(mark[at])));
        } else if (mark.find("$value") != std::string_view::npos) {
            name = "N";
        }
        if (first == "with") {
            in_question = name;
        } else if (first == "else") {
            out += " or ";
        } else if (first == "end") {
            in_question.clear();
        } else if (first != "if") {
            out += name;
        }
    }
    return out.append(text);
}

std::string alert_of(std::string_view word) {
    constexpr std::string_view ours = "Evenkeel";
    if (word.empty() || !std::isupper(static_cast<unsigned char>(word.front()))) return {};
    for (const YAML::Node& group : YAML::Load(std::string{alert_rules})["groups"]) {
        for (const YAML::Node& rule : group["rules"]) {
            const auto name = rule["alert"].as<std::string>("");
            if (name.empty() || (name != word && name.substr(ours.size()) != word)) continue;
            const auto told = [&](const char* what) {
                std::string text = without_templates(rule["annotations"][what].as<std::string>(""));
                std::erase(text, '`');
                return text;
            };
            return in_columns(fmt::format("{} ({}): {}\n    why: {}\n    do: {}\n", name,
                                          rule["labels"]["severity"].as<std::string>(""), told("summary"),
                                          told("description"), told("runbook")),
                              80);
        }
    }
    return {};
}
} // namespace

std::string symptoms_of(std::string_view word) {
    if (word.empty()) return {};
    if (std::string alert = alert_of(word); !alert.empty()) return alert;
    std::string seen = rows_of(word, false);
    if (seen.empty()) seen = rule_of(word);
    // A key or a metric is named where it is what to look at.
    if (seen.empty() && word.find('_') != std::string_view::npos) seen = metric_of(word) + rows_of(word, true);
    return seen;
}

} // namespace evenkeel::cli
