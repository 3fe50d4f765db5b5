// How problems look: for people and editors (file:line:col), and for programs (JSON).

#include "config/load.hpp"

#include <boost/json.hpp>

#include <algorithm>
#include <ostream>

namespace evenkeel::config {
namespace {

void print_excerpt(std::ostream& out, int line, const std::string& source, int column, int length) {
    const std::string number = std::to_string(line);
    const std::string margin(number.size() < 5 ? 5 - number.size() : 0, ' ');
    out << margin << number << " | " << source << '\n' << std::string(margin.size() + number.size(), ' ') << " | ";
    // Tabs stay tabs in the caret line: a terminal widens both alike.
    int at = 1;
    for (std::size_t i = 0; i < source.size() && at < column; ++i) {
        if ((static_cast<unsigned char>(source[i]) & 0xC0U) == 0x80U) continue;
        out << (source[i] == '\t' ? '\t' : ' ');
        ++at;
    }
    out << '^' << std::string(static_cast<std::size_t>(std::max(0, length - 1)), '~') << '\n';
}

std::string plural(std::size_t n, const char* word) { return std::to_string(n) + " " + word + (n == 1 ? "" : "s"); }

} // namespace

problem_count count_problems(const std::vector<diagnostic>& diagnostics) noexcept {
    problem_count out;
    for (const diagnostic& d : diagnostics) ++(d.level == severity::error ? out.errors : out.warnings);
    return out;
}

void print_text(std::ostream& out, const std::vector<diagnostic>& diagnostics) {
    for (const diagnostic& d : diagnostics) {
        out << d.file;
        if (d.line > 0) out << ':' << d.line << ':' << d.column;
        out << (d.level == severity::error ? ": error: " : ": warning: ") << d.message << " [" << d.code << "]\n";
        if (d.line > 0) print_excerpt(out, d.line, d.source, d.source_column, d.source_length);
        for (const related_place& r : d.related) {
            out << d.file << ':' << r.line << ':' << r.column << ": note: " << r.message << '\n';
            print_excerpt(out, r.line, r.source, r.source_column, r.source_length);
        }
    }
    if (diagnostics.empty()) return;
    const problem_count n = count_problems(diagnostics);
    out << plural(n.errors + n.warnings, "problem") << " (" << plural(n.errors, "error") << ", "
        << plural(n.warnings, "warning") << ")\n";
}

void print_json(std::ostream& out, const std::vector<diagnostic>& diagnostics, std::string_view hash) {
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
    out << boost::json::serialize(all) << '\n';
}

} // namespace evenkeel::config
