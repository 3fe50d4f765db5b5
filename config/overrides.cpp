#include "config/overrides.hpp"

#include "config/parse.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

namespace evenkeel::config {
namespace {

// Of PATH: "a name" in quotes may hold a dot or an equals sign.
std::size_t end_of_path(std::string_view text) {
    bool quoted = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '"') quoted = !quoted;
        if (text[i] == '=' && !quoted) return i;
    }
    return text.size();
}

struct step {
    std::string name;
    config::span at;
};
// Empty: not a path.
std::vector<step> steps_of(std::string_view path, std::size_t offset) {
    std::vector<step> out;
    for (std::size_t at = 0; at <= path.size();) {
        const bool quoted = at < path.size() && path[at] == '"';
        const std::size_t begin = at + (quoted ? 1 : 0);
        const std::size_t end = std::min(path.find(quoted ? '"' : '.', begin), path.size());
        const std::size_t next = end + (quoted ? 1 : 0);
        if (end == begin || next > path.size() || (next < path.size() && path[next] != '.')) return {};
        out.push_back({std::string(path.substr(begin, end - begin)), {offset + begin, offset + end}});
        at = next + 1;
    }
    return out;
}

void shift(node& n, std::size_t by) {
    for (config::span* each : {&n.at, &n.extent, &n.key_at}) {
        each->begin += by;
        each->end += by;
    }
    for (node& child : n.children) shift(child, by);
}

// Of VALUE; nothing stands for nothing, which the reader complains of.
std::optional<node> value_of(const said_override& one, source_text& source, problem_list& problems) {
    const std::string text(source.text().substr(one.value.begin, one.value.end - one.value.begin));
    node nothing;
    nothing.at = nothing.extent = {one.value.end, one.value.end};
    if (text.find_first_not_of(' ') == std::string::npos) return nothing;
    source_text alone(text);
    problem_list found(alone, "");
    auto read = parse(alone, found);
    if (!read || found.has_errors()) {
        const auto told = found.finish();
        source.hide(one.value);
        problems.error(one.path, "bad-override",
                       "the value is no YAML" + (told.empty() ? std::string{} : ": " + told.front().message));
        return std::nullopt;
    }
    shift(*read, one.value.begin);
    return read;
}

bool goes_by(const node& element, std::string_view name) {
    if (element.kind == node_kind::scalar) return element.text == name;
    return std::any_of(element.children.begin(), element.children.end(), [&](const node& child) {
        return child.key == "name" && child.kind == node_kind::scalar && child.text == name;
    });
}

node* element_of(node& list, const std::string& name) {
    std::size_t number = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
    if (error == std::errc{} && end == name.data() + name.size())
        return number < list.children.size() ? &list.children[number] : nullptr;
    const auto found = std::find_if(list.children.begin(), list.children.end(),
                                    [&](const node& element) { return goes_by(element, name); });
    return found == list.children.end() ? nullptr : &*found;
}

node* member_of(node& at, const step& to) {
    const auto found =
        std::find_if(at.children.begin(), at.children.end(), [&](const node& child) { return child.key == to.name; });
    if (found != at.children.end()) return &*found;
    node made;
    made.key = to.name;
    made.key_at = made.at = made.extent = to.at;
    return &at.children.emplace_back(std::move(made));
}

} // namespace

std::vector<said_override> append_overrides(std::string& text, std::span<const std::string> overrides) {
    std::vector<said_override> out;
    if (!overrides.empty() && !text.empty() && text.back() != '\n') text += '\n';
    for (std::string each : overrides) {
        // A line is a line.
        std::replace_if(
            each.begin(), each.end(), [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 0x7F; }, ' ');
        text += override_mark;
        const std::size_t begin = text.size(), equals = end_of_path(each);
        text += each;
        out.push_back({{begin, begin + equals}, {std::min(begin + equals + 1, text.size()), text.size()}});
        text += '\n';
    }
    return out;
}

void apply_override(const said_override& one, node& root, source_text& source, problem_list& problems) {
    const std::string path(source.text().substr(one.path.begin, one.path.end - one.path.begin));
    const auto refuse = [&](config::span at, std::string why) {
        source.hide(one.value); // it may be of a key that holds secrets
        problems.error(at, "bad-override", std::move(why));
    };
    const bool has_value = one.path.end < source.text().size() && source.text()[one.path.end] == '=';
    const std::vector<step> steps = steps_of(path, one.path.begin);
    if (!has_value || steps.empty())
        return refuse(one.path, "write --set KEY.KEY=VALUE; a name that has dots in it stands in double quotes");
    node* at = &root;
    for (const step& to : steps) {
        if (at->kind == node_kind::null || (at->kind == node_kind::scalar && at->text == "off" && !at->quoted)) {
            at->kind = node_kind::mapping;
            at->text.clear();
        }
        if (at->kind == node_kind::scalar)
            return refuse(to.at, "what is above '" + to.name + "' is a single value in the file, and has no keys");
        node* const next = at->kind == node_kind::sequence ? element_of(*at, to.name) : member_of(*at, to);
        if (next == nullptr)
            return refuse(to.at, "the list has no '" + to.name + "': its members go by name, or by number from 0");
        at = next;
    }
    auto value = value_of(one, source, problems);
    if (!value) return;
    value->key = at->key;
    value->key_at = at->key.empty() ? value->key_at : steps.back().at;
    *at = std::move(*value);
}

} // namespace evenkeel::config
