// How problems look: for people and editors (file:line:col), and for programs (JSON).

#include "config/load.hpp"

#include <boost/json.hpp>

#include <algorithm>
#include <ostream>

namespace evenkeel::config {
namespace {

// Select Graphic Rendition, as every terminal knows it.
constexpr std::string_view bold = "\x1b[1m", red = "\x1b[1;31m", yellow = "\x1b[1;33m", cyan = "\x1b[1;36m",
                           faint = "\x1b[2m", no_tint = "\x1b[0m";

std::string tinted(std::string_view text, std::string_view tint, print_style style) {
    std::string out;
    if (style.colour) out += tint;
    out += text;
    if (style.colour) out += no_tint;
    return out;
}

bool continues(char c) { return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U; }
std::size_t characters(std::string_view text) {
    return text.size() - static_cast<std::size_t>(std::count_if(text.begin(), text.end(), continues));
}

// Words after `used` columns of a line, in further lines behind four blanks.
std::string wrapped(std::string_view text, std::size_t used, std::size_t width) {
    if (width == 0) return std::string(text);
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = std::min(text.find(' ', at), text.size());
        const std::string_view word = text.substr(at, end - at);
        const bool first = out.empty();
        if (used + characters(word) + (first ? 0 : 1) > width && used > 4) {
            out += "\n    ";
            used = 4;
        } else if (!first) {
            out += ' ';
            ++used;
        }
        out += word;
        used += characters(word);
        at = end + 1;
    }
    return out;
}

struct visible_part {
    std::string text;
    int column = 1;
    int length = 1;
};
// The part of a line around its caret that fits; tabs count as one.
visible_part fitting(const std::string& source, int column, int length, std::size_t width) {
    if (width == 0 || characters(source) <= width) return {source, column, length};
    const auto caret = static_cast<std::size_t>(std::max(1, column)) - 1;
    const std::size_t room = std::max<std::size_t>(width, 20) - 6, from = caret > room / 2 ? caret - room / 2 : 0;
    visible_part out;
    if (from > 0) out.text = "...";
    std::size_t at = 0;
    for (const char c : source) {
        if (!continues(c)) ++at;
        if (at > from && at <= from + room) out.text += c;
    }
    if (from + room < at) out.text += "...";
    out.column = column - static_cast<int>(from) + (from > 0 ? 3 : 0);
    out.length = std::min(length, static_cast<int>(from + room - std::min(caret, from + room)));
    return out;
}

void print_excerpt(std::ostream& out, int line, const std::string& source, int column, int length, print_style style) {
    const std::string number = std::to_string(line);
    const std::string margin(number.size() < 5 ? 5 - number.size() : 0, ' ');
    const std::size_t used = margin.size() + number.size() + 3;
    const visible_part shown = fitting(source, column, length, style.width > used ? style.width - used : style.width);
    out << tinted(margin + number + " | ", faint, style) << shown.text << '\n'
        << tinted(std::string(margin.size() + number.size(), ' ') + " | ", faint, style);
    // Tabs stay tabs in the caret line: a terminal widens both alike.
    int at = 1;
    for (std::size_t i = 0; i < shown.text.size() && at < shown.column; ++i) {
        if (continues(shown.text[i])) continue;
        out << (shown.text[i] == '\t' ? '\t' : ' ');
        ++at;
    }
    out << tinted('^' + std::string(static_cast<std::size_t>(std::max(0, shown.length - 1)), '~'), cyan, style) << '\n';
}

void print_sentence(std::ostream& out, const std::string& where, std::string_view kind, std::string_view tint,
                    std::string_view message, print_style style) {
    out << tinted(where + ": ", bold, style) << tinted(kind, tint, style) << ' '
        << wrapped(message, characters(where) + 2 + kind.size() + 1, style.width) << '\n';
}

std::string plural(std::size_t n, const char* word) { return std::to_string(n) + " " + word + (n == 1 ? "" : "s"); }

std::string place_of(const std::string& file, int line, int column) {
    return line > 0 ? file + ':' + std::to_string(line) + ':' + std::to_string(column) : file;
}

} // namespace

problem_count count_problems(const std::vector<diagnostic>& diagnostics) noexcept {
    problem_count out;
    for (const diagnostic& d : diagnostics) ++(d.level == severity::error ? out.errors : out.warnings);
    return out;
}

void print_text(std::ostream& out, const std::vector<diagnostic>& diagnostics, print_style style) {
    for (const diagnostic& d : diagnostics) {
        const bool error = d.level == severity::error;
        print_sentence(out, place_of(d.file, d.line, d.column), error ? "error:" : "warning:", error ? red : yellow,
                       d.message + " [" + d.code + "]", style);
        if (d.line > 0) print_excerpt(out, d.line, d.source, d.source_column, d.source_length, style);
        for (const related_place& r : d.related) {
            print_sentence(out, place_of(r.file.empty() ? d.file : r.file, r.line, r.column), "note:", cyan, r.message,
                           style);
            print_excerpt(out, r.line, r.source, r.source_column, r.source_length, style);
        }
    }
    if (diagnostics.empty()) return;
    const problem_count n = count_problems(diagnostics);
    out << tinted(plural(n.errors + n.warnings, "problem") + " (" + plural(n.errors, "error") + ", " +
                      plural(n.warnings, "warning") + ')',
                  n.errors > 0 ? red : yellow, style)
        << '\n';
}

void print_json(std::ostream& out, const std::vector<diagnostic>& diagnostics, std::string_view hash,
                const std::set<std::string>& assumed) {
    boost::json::array list;
    for (const diagnostic& d : diagnostics) {
        boost::json::object one{{"file", d.file},
                                {"line", d.line},
                                {"column", d.column},
                                {"length", d.length},
                                {"severity", d.level == severity::error ? "error" : "warning"},
                                {"code", d.code},
                                {"message", d.message},
                                {"source", d.source}};
        boost::json::array related;
        for (const related_place& r : d.related) {
            related.push_back(boost::json::object{
                {"line", r.line}, {"column", r.column}, {"message", r.message}, {"source", r.source}});
        }
        one["related"] = std::move(related);
        list.push_back(std::move(one));
    }
    const problem_count n = count_problems(diagnostics);
    boost::json::object all{{"diagnostics", std::move(list)}, {"errors", n.errors}, {"warnings", n.warnings}};
    if (!hash.empty()) all["hash"] = hash;
    if (!assumed.empty()) all["assumed"] = boost::json::array(assumed.begin(), assumed.end());
    out << boost::json::serialize(all) << '\n';
}

} // namespace evenkeel::config
