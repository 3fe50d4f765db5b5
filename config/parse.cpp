#include "config/parse.hpp"

#include "config/prescan.hpp"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <sstream>
#include <tuple>
#include <unordered_map>

namespace evenkeel::config {
namespace {

struct stop_parsing {}; // thrown through the parser once a problem makes the rest meaningless

// Receives the parser's events. Events are used instead of yaml-cpp's nodes because only they show what was written:
// both of two equal keys, aliases before they are resolved, quotes, and every mark.
class tree_builder final : public YAML::EventHandler {
public:
    tree_builder(source_text& source, problem_list& problems) : source_(&source), problems_(&problems) {}

    void OnDocumentStart(const YAML::Mark& mark) override {
        if (++documents_ > 1) {
            problems_->error(at(mark, 3), "multiple-documents", "a second YAML document; the file holds exactly one");
            throw stop_parsing{};
        }
    }
    void OnDocumentEnd() override {}

    void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
        refuse_anchor(mark, anchor);
        node n;
        n.at = at(mark, 0);
        accept(std::move(n));
    }
    void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override { refuse_alias(mark); }
    void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  const std::string& value) override {
        refuse_anchor(mark, anchor);
        refuse_tag(mark, tag);
        node n;
        n.kind = node_kind::scalar;
        n.text = value;
        n.quoted = tag == "!";
        std::tie(n.at, n.exact) = scalar_span(mark, value, n.quoted);
        accept(std::move(n));
    }
    void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                         YAML::EmitterStyle::value style) override {
        open(node_kind::sequence, mark, tag, anchor, style == YAML::EmitterStyle::Flow);
    }
    void OnSequenceEnd() override { close(); }
    void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                    YAML::EmitterStyle::value style) override {
        open(node_kind::mapping, mark, tag, anchor, style == YAML::EmitterStyle::Flow);
    }
    void OnMapEnd() override { close(); }

    // A scalar whose end is not known ends where the next event begins: too much, which is what hiding a secret wants.
    [[nodiscard]] std::optional<node> take() {
        std::sort(events_.begin(), events_.end());
        if (root_) set_extents(*root_);
        for (auto& [key_at, value] : discarded_) {
            set_extents(value);
            source_->hide_unparsed(key_at.begin, last_end(value));
        }
        return std::move(root_);
    }
    [[nodiscard]] std::optional<span> innermost_bracket() const {
        for (auto it = open_.rbegin(); it != open_.rend(); ++it) {
            if (it->flow) return it->value.at;
        }
        return std::nullopt;
    }

private:
    struct level {
        node value;
        bool flow = false;
        bool has_key = false; // of a mapping: the key has been read, its value comes next
        std::string key;
        span key_at;
        bool skip = false; // the coming value belongs to a refused key
        std::unordered_map<std::string, span> seen;
    };

    [[nodiscard]] span at(const YAML::Mark& mark, std::size_t length) {
        const std::size_t size = source_->text().size();
        const std::size_t begin = mark.pos < 0 ? 0 : std::min(static_cast<std::size_t>(mark.pos), size);
        events_.push_back(begin);
        return {begin, std::min(size, begin + length)};
    }

    // With whether the span is the whole scalar.
    [[nodiscard]] std::pair<span, bool> scalar_span(const YAML::Mark& mark, const std::string& value, bool quoted) {
        const std::string_view text = source_->text();
        span out = at(mark, 1);
        if (!quoted) {
            const bool verbatim = text.substr(out.begin, value.size()) == value;
            if (verbatim) out.end = out.begin + value.size();
            return {out, verbatim};
        }
        const char quote = out.begin < text.size() ? text[out.begin] : '\0';
        if (quote != '"' && quote != '\'') return {out, false}; // a block scalar: its indicator
        std::size_t i = out.begin + 1;
        for (; i < text.size(); ++i) {
            if (quote == '"' && text[i] == '\\')
                ++i;
            else if (text[i] == quote) {
                if (quote == '\'' && i + 1 < text.size() && text[i + 1] == '\'')
                    ++i;
                else
                    break;
            }
        }
        out.end = std::min(text.size(), i + 1);
        return {out, true};
    }

    void set_extents(node& n) const {
        const auto next = std::upper_bound(events_.begin(), events_.end(), n.at.begin);
        n.extent = {n.at.begin, next == events_.end() ? source_->text().size() : *next};
        if (n.exact) n.extent.end = n.at.end;
        const std::string_view text = source_->text();
        while (n.extent.end > n.at.end && (text[n.extent.end - 1] == ' ' || text[n.extent.end - 1] == '\n'))
            --n.extent.end;
        n.extent.end = std::max(n.extent.end, n.at.end);
        for (node& child : n.children) set_extents(child);
    }
    static std::size_t last_end(const node& n) { return n.children.empty() ? n.at.end : last_end(n.children.back()); }

    void refuse_anchor(const YAML::Mark& mark, YAML::anchor_t anchor) {
        if (anchor == 0) return;
        problems_->error(at(mark, 1), "anchor", "anchors are not supported; write shared values under `defaults:`");
    }
    void refuse_alias(const YAML::Mark& mark) {
        problems_->error(at(mark, 1), "anchor", "aliases are not supported; write shared values under `defaults:`");
        throw stop_parsing{};
    }
    void refuse_tag(const YAML::Mark& mark, const std::string& tag) {
        if (tag.empty() || tag == "?" || tag == "!") return;
        problems_->error(at(mark, 1), "tag", "tags are not supported; write the plain value");
    }

    void open(node_kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, bool flow) {
        refuse_anchor(mark, anchor);
        refuse_tag(mark, tag);
        if (open_.size() >= static_cast<std::size_t>(max_depth)) {
            problems_->error(at(mark, 1), "too-deep", "nested more than " + std::to_string(max_depth) + " levels deep");
            throw stop_parsing{};
        }
        if (!open_.empty()) refuse_collection_as_key(mark);
        level l;
        l.value.kind = kind;
        l.value.at = at(mark, 1);
        l.flow = flow;
        open_.push_back(std::move(l));
    }

    void refuse_collection_as_key(const YAML::Mark& mark) {
        const level& top = open_.back();
        if (top.value.kind != node_kind::mapping || top.has_key) return;
        problems_->error(at(mark, 1), "bad-key", "a key must be a word, not a list or a mapping");
        throw stop_parsing{};
    }

    void close() {
        node done = std::move(open_.back().value);
        open_.pop_back();
        accept(std::move(done));
    }

    void accept(node n) {
        if (open_.empty()) {
            root_ = std::move(n);
            return;
        }
        level& top = open_.back();
        if (top.value.kind == node_kind::sequence) {
            top.value.children.push_back(std::move(n));
            return;
        }
        if (!top.has_key) {
            take_key(top, n);
            return;
        }
        top.has_key = false;
        if (top.skip) {
            top.skip = false;
            discarded_.emplace_back(top.key_at, std::move(n));
            return;
        }
        n.key = std::move(top.key);
        n.key_at = top.key_at;
        top.value.children.push_back(std::move(n));
    }

    void take_key(level& top, node& n) {
        top.has_key = true;
        top.key_at = n.at;
        if (n.kind != node_kind::scalar) {
            problems_->error(n.at, "bad-key", "a key is missing before the ':'");
            top.skip = true;
            return;
        }
        if (n.text == "<<" && !n.quoted) {
            problems_->error(n.at, "merge-key",
                             "merge keys (`<<`) are not supported; write shared values under `defaults:`");
            top.skip = true;
            return;
        }
        const auto [before, fresh] = top.seen.try_emplace(n.text, n.at);
        if (!fresh) {
            problems_->error(n.at, "duplicate-key",
                             "'" + n.text.substr(0, 64) + "' is given twice; first at " +
                                 problems_->line(before->second),
                             {{before->second, "first given here"}});
            top.skip = true;
            return;
        }
        top.key = std::move(n.text);
    }

    source_text* source_;
    problem_list* problems_;
    std::vector<level> open_;
    std::optional<node> root_;
    std::vector<std::size_t> events_;              // where each began
    std::vector<std::pair<span, node>> discarded_; // values of refused keys, with the key
    int documents_ = 0;
};

// yaml-cpp's words for the frequent mistakes, in ours. Its message is never passed on: some quote the file.
std::string explain(const std::string& message) {
    const auto begins = [&](const char* with) { return message.rfind(with, 0) == 0; };
    namespace words = YAML::ErrorMsg;
    if (begins(words::END_OF_MAP_FLOW) || begins(words::END_OF_SEQ_FLOW))
        return "a ',' or a closing bracket is missing";
    if (begins(words::END_OF_MAP)) return "this line does not fit: check its indentation and the ':' after the key";
    if (begins(words::END_OF_SEQ))
        return "this line does not fit into the list: check its indentation and the leading '- '";
    if (begins(words::FLOW_END)) return "a closing bracket without an opening one";
    if (begins(words::MAP_VALUE))
        return "a ':' where none can be: check the indentation, or quote a value that contains ': '";
    if (begins(words::MAP_KEY)) return "a key where none can be: check the indentation";
    if (begins(words::BLOCK_ENTRY)) return "a '- ' where no list can be: check the indentation";
    if (begins(words::TAB_IN_INDENTATION)) return "a tab in the indentation; YAML indents with spaces only";
    if (begins(words::EOF_IN_SCALAR)) return "a quotation mark is not closed before the end of the file";
    if (begins(words::DOC_IN_SCALAR)) return "a quotation mark is not closed before the end of the document";
    if (begins(words::INVALID_ESCAPE) || begins(words::INVALID_HEX) || begins(words::INVALID_UNICODE)) {
        return "unknown escape after '\\'; inside single quotes a backslash stands for itself";
    }
    if (begins(words::UNKNOWN_ANCHOR) || begins(words::ALIAS_NOT_FOUND) || begins(words::CHAR_IN_ALIAS)) {
        return "a value that starts with '*' must be quoted";
    }
    if (begins(words::ANCHOR_NOT_FOUND) || begins(words::CHAR_IN_ANCHOR))
        return "a value that starts with '&' must be quoted";
    if (begins(words::UNKNOWN_TOKEN)) return "a value cannot start with this character; quote it";
    if (begins("bad file")) return "the file cannot be read";
    return "this is not valid YAML here";
}

// A key without its colon is joined with the next line, and only the colon of that one is noticed.
std::string missing_colon_above(const source_text& source, std::size_t at) {
    const std::string_view text = source.text();
    std::size_t line_start = text.rfind('\n', at > 0 ? at - 1 : 0);
    while (line_start != std::string_view::npos && line_start > 0) {
        const std::size_t before = text.rfind('\n', line_start - 1);
        const std::size_t begin = before == std::string_view::npos ? 0 : before + 1;
        const std::string_view line = text.substr(begin, line_start - begin);
        const std::size_t first = line.find_first_not_of(" \r");
        if (first != std::string_view::npos && line[first] != '#') {
            const bool suspicious =
                line.find(':') == std::string_view::npos && line.find_first_of("[{-\"'") == std::string_view::npos;
            return suspicious ? "; is a ':' missing in line " + std::to_string(source.line_of(begin)) + "?" : "";
        }
        line_start = before;
    }
    return "";
}

void report_syntax(source_text& source, problem_list& problems, const YAML::Exception& e, std::optional<span> bracket) {
    const std::string_view text = source.text();
    std::size_t at = e.mark.pos < 0 ? 0 : std::min(static_cast<std::size_t>(e.mark.pos), text.size());
    // An error at the end of the file is shown on the last line that holds something.
    if (at >= text.size()) {
        const std::size_t last = text.find_last_not_of(" \r\n");
        at = last == std::string_view::npos ? 0 : last + 1;
    }
    const bool unfinished = e.msg.rfind(YAML::ErrorMsg::END_OF_MAP_FLOW, 0) == 0 ||
                            e.msg.rfind(YAML::ErrorMsg::END_OF_SEQ_FLOW, 0) == 0 ||
                            e.msg.rfind(YAML::ErrorMsg::EOF_IN_SCALAR, 0) == 0;
    std::string advice;
    if (bracket) {
        const std::size_t line_end = std::min(text.find('\n', bracket->begin), text.size());
        const std::string_view rest = text.substr(bracket->begin, line_end - bracket->begin);
        if (rest.find("${") != std::string_view::npos) advice = "; inside { } and [ ] write \"${...}\" in quotes";
    }
    if (e.msg.rfind(YAML::ErrorMsg::MAP_VALUE, 0) == 0) advice += missing_colon_above(source, at);
    if (bracket && unfinished) {
        const std::string open(1, text[bracket->begin]);
        problems.error(*bracket, "unclosed-bracket",
                       "the '" + open + "' opened here is not closed; noticed at " + problems.line({at, at}) + advice,
                       {{{at, at}, "noticed here"}});
        return;
    }
    std::vector<note> notes;
    if (bracket) notes.push_back({*bracket, "inside the bracket opened here"});
    problems.error({at, at}, "syntax", explain(e.msg) + advice, std::move(notes));
}

} // namespace

std::optional<node> parse(source_text& source, problem_list& problems) {
    if (!prescan(source, problems)) {
        source.hide_unparsed(0, source.text().size());
        return std::nullopt;
    }
    tree_builder builder(source, problems);
    try {
        std::istringstream in{std::string(source.text())};
        YAML::Parser parser(in);
        while (parser.HandleNextDocument(builder)) {}
    } catch (const stop_parsing&) {
        source.hide_unparsed(0, source.text().size());
        return std::nullopt;
    } catch (const YAML::Exception& e) {
        source.hide_unparsed(0, source.text().size());
        report_syntax(source, problems, e, builder.innermost_bracket());
        return std::nullopt;
    }
    std::optional<node> root = builder.take();
    if (!root || root->kind == node_kind::null) {
        problems.error({0, 0}, "empty",
                       "the file holds no configuration; it needs at least `version: 1` and `routes:`");
        return std::nullopt;
    }
    return root;
}

} // namespace evenkeel::config
