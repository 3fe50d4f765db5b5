#include "config/problem_list.hpp"

#include <algorithm>
#include <utility>

namespace evenkeel::config {

namespace {
constexpr const char* override_place = "--set";

// The mark that makes a comment of an override is not what anybody wrote.
template <class Place>
void without_mark(Place& of) {
    constexpr int mark = 2;
    of.column -= mark;
    if (!of.source.starts_with("# ")) return; // cut to a window further on
    of.source.erase(0, mark);
    of.source_column -= mark;
}
} // namespace

void problem_list::add(problem p) {
    if (p.level == severity::error) ++errors_;
    if (full()) {
        ++dropped_;
        return;
    }
    found_.push_back(std::move(p));
}

void problem_list::error(span at, std::string code, std::string message, std::vector<note> notes) {
    add({severity::error, at, std::move(code), std::move(message), std::move(notes)});
}

void problem_list::warning(span at, std::string code, std::string message, std::vector<note> notes) {
    add({severity::warning, at, std::move(code), std::move(message), std::move(notes)});
}

std::vector<diagnostic> problem_list::finish() const {
    std::vector<const problem*> order;
    for (const problem& p : found_) order.push_back(&p);
    std::stable_sort(order.begin(), order.end(),
                     [](const problem* a, const problem* b) { return a->at.begin < b->at.begin; });

    std::vector<diagnostic> out;
    for (const problem* p : order) {
        const place at = source_->where(p->at.begin);
        excerpt shown = source_->show(p->at);
        diagnostic d;
        d.level = p->level;
        d.file = file_;
        d.line = at.line;
        d.column = at.column;
        d.length = source_->characters(p->at);
        d.code = p->code;
        d.message = p->message;
        d.source = std::move(shown.text);
        d.source_column = shown.column;
        d.source_length = shown.length;
        if (source_->beside_file(p->at.begin)) {
            d.file = override_place;
            d.line = source_->line_beside(p->at.begin);
            without_mark(d);
        }
        for (const note& each : p->notes) {
            const place there = source_->where(each.at.begin);
            excerpt line = source_->show(each.at);
            related_place of{there.line, there.column, each.message, std::move(line.text), line.column, line.length};
            const bool beside = source_->beside_file(each.at.begin);
            if (beside) {
                of.line = source_->line_beside(each.at.begin);
                without_mark(of);
            }
            if (beside || source_->beside_file(p->at.begin)) of.file = beside ? override_place : file_;
            d.related.push_back(std::move(of));
        }
        out.push_back(std::move(d));
    }
    if (dropped_ > 0) {
        out.push_back(whole_file(file_, "too-many-problems",
                                 std::to_string(dropped_) + " further problems are not shown; fix these first"));
    }
    return out;
}

diagnostic whole_file(const std::string& file, std::string code, std::string message) {
    diagnostic d;
    d.file = file;
    d.code = std::move(code);
    d.message = std::move(message);
    return d;
}

} // namespace evenkeel::config
