#include "config/schema.hpp"

#include "config/suggest.hpp"

#include <algorithm>
#include <set>
#include <unordered_set>

namespace evenkeel::config {
namespace {

schema_node& descend(schema_node& from, const std::string& name) {
    for (auto& child : from.children) {
        if (child->name == name) return *child;
    }
    auto fresh = std::make_unique<schema_node>();
    fresh->name = name;
    fresh->display = from.display;
    if (from.shape() == value_shape::list || from.shape() == value_shape::one_or_list) fresh->display += "[]";
    if (from.shape() == value_shape::map) fresh->display += ".NAME";
    if (!fresh->display.empty()) fresh->display += '.';
    fresh->display += name;
    from.children.push_back(std::move(fresh));
    return *from.children.back();
}

void put_row(schema_node& root, const key_row& row) {
    schema_node* at = &root;
    std::vector<schema_node*> way{at};
    std::string_view rest = row.path;
    while (!rest.empty()) {
        const std::size_t dot = std::min(rest.find('.'), rest.size());
        at = &descend(*at, std::string(rest.substr(0, dot)));
        way.push_back(at);
        rest.remove_prefix(std::min(rest.size(), dot + 1));
    }
    at->row = &row;
    if (row.secret) {
        for (schema_node* each : way) each->holds_secrets = true;
    }
}

std::unique_ptr<schema_node> grow() {
    auto root = std::make_unique<schema_node>();
    for (const key_row& row : key_table()) {
        if (row.policy) {
            put_row(descend(*root, "defaults"), row);
            put_row(descend(*root, "routes"), row);
        } else {
            put_row(*root, row);
        }
    }
    return root;
}

void collect_places(const schema_node& at, std::string_view key, std::set<std::string>& out) {
    for (const auto& child : at.children) {
        if (child->name == key && !at.name.empty()) out.insert(at.name);
        collect_places(*child, key, out);
    }
}

} // namespace

const schema_node* schema_node::child(std::string_view key) const noexcept {
    for (const auto& each : children) {
        if (each->name == key) return each.get();
    }
    return nullptr;
}

const schema_node& schema_root() {
    static const std::unique_ptr<schema_node> root = grow();
    return *root;
}

std::vector<std::string_view> split_words(std::string_view words) {
    std::vector<std::string_view> out;
    while (!words.empty()) {
        const std::size_t bar = std::min(words.find('|'), words.size());
        out.push_back(words.substr(0, bar));
        words.remove_prefix(std::min(words.size(), bar + 1));
    }
    return out;
}

bool is_harmless_key(std::string_view key) {
    // A URL may carry credentials, and a header's value may sit under any key, so only leaves with a narrow grammar
    // count.
    static const auto harmless = [] {
        std::unordered_set<std::string_view> out;
        std::unordered_set<std::string_view> not_so;
        for (const key_row& row : key_table()) {
            const std::size_t dot = row.path.rfind('.');
            const std::string_view name = dot == std::string_view::npos ? row.path : row.path.substr(dot + 1);
            const bool narrow = row.kind != value_kind::block && row.kind != value_kind::url &&
                                row.kind != value_kind::text && row.shape != value_shape::map && !row.secret;
            (narrow ? out : not_so).insert(name);
        }
        for (const std::string_view name : not_so) out.erase(name);
        return out;
    }();
    return harmless.count(key) > 0;
}

bool is_schema_word(std::string_view word) {
    static const auto known = [] {
        std::unordered_set<std::string_view> out{"true", "false", "off", "defaults"};
        for (const key_row& row : key_table()) {
            for (std::string_view rest = row.path; !rest.empty();) {
                const std::size_t dot = std::min(rest.find('.'), rest.size());
                out.insert(rest.substr(0, dot));
                rest.remove_prefix(std::min(rest.size(), dot + 1));
            }
            for (const std::string_view each : split_words(row.words)) out.insert(each);
        }
        return out;
    }();
    return known.count(word) > 0;
}

std::string suggest_key(const schema_node& at, std::string_view key) {
    std::vector<std::string_view> here;
    for (const auto& child : at.children) here.push_back(child->name);
    if (const auto near = nearest(key, here)) return " (did you mean '" + std::string(*near) + "'?)";

    std::set<std::string> places;
    collect_places(schema_root(), key, places);
    if (!places.empty()) {
        std::string out = "; it is valid under ";
        std::size_t n = 0;
        for (const std::string& place : places) {
            if (n == 3) break;
            out += std::string(n++ == 0 ? "" : ", ") + "`" + place + ":`";
        }
        return out;
    }
    if (schema_root().child(key) != nullptr) return "; it is valid at the top level";
    return "";
}

} // namespace evenkeel::config
