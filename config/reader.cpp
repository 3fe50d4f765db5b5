#include "config/reader.hpp"

#include "config/expand.hpp"
#include "config/grammar.hpp"

#include <fmt/format.h>

#include <optional>
#include <set>

namespace evenkeel::config {
namespace {

class reader {
public:
    reader(source_text& source, problem_list& problems, const environment& env, const std::string& directory)
        : source_(&source), problems_(&problems), env_(&env), directory_(&directory) {}

    entry read_root(const node& n) {
        entry root = make(n, schema_root(), origin::file);
        if (n.kind != node_kind::mapping) {
            wrong_type(n, schema_root(), "the file must be a mapping of keys like `version: 1`");
            return root;
        }
        read_members(n, schema_root(), root, "at the top level");
        return root;
    }

    std::optional<entry> read_only(const node& n, const schema_node& schema) { return read(n, schema, origin::file); }

    std::vector<std::string> secrets;

private:
    static entry make(const node& n, const schema_node& schema, origin from) {
        entry out;
        out.schema = &schema;
        out.key = n.key;
        out.key_at = n.key.empty() ? n.at : n.key_at;
        out.at = n.at;
        out.from = from;
        return out;
    }

    static origin origin_below(const schema_node& schema, origin from) {
        if (schema.row == nullptr) return from;
        if (schema.row->path == "defaults") return origin::defaults;
        if (schema.row->path == "routes") return origin::route;
        if (schema.row->path == "upstreams") return origin::upstream;
        return from;
    }

    // Nothing of a part that is not understood is quoted: a mistyped `headers` holds credentials as the right one does.
    void hide_values(const node& n) {
        if (n.kind == node_kind::scalar) source_->hide(n.extent);
        for (const node& child : n.children) hide_values(child);
    }

    void wrong_type(const node& n, const schema_node& schema, std::string message) {
        if (schema.holds_secrets) hide_values(n);
        if (n.kind == node_kind::scalar && !n.quoted && n.text.find(':') != std::string::npos &&
            schema.kind() == value_kind::block) {
            message += "; is a blank missing after ':'?";
        }
        problems_->error(n.at, "wrong-type", std::move(message));
    }

    std::optional<entry> read(const node& n, const schema_node& schema, origin from) {
        from = origin_below(schema, from);
        if (!schema.available()) {
            refuse_unavailable(n, schema);
            return std::nullopt;
        }
        if (n.kind == node_kind::null) {
            problems_->error(n.key.empty() ? n.at : n.key_at, "null-value",
                             fmt::format("'{}' has no value; write one or remove the key", schema.name));
            return std::nullopt;
        }
        switch (schema.shape()) {
        case value_shape::one: return read_one(n, schema, from);
        case value_shape::map: return read_map(n, schema, from);
        case value_shape::list:
        case value_shape::one_or_list: return read_list(n, schema, from);
        }
        return std::nullopt;
    }

    void refuse_unavailable(const node& n, const schema_node& schema) {
        if (n.kind == node_kind::scalar && n.text == "off" && !n.quoted) return;
        source_->hide_unparsed(n.at.begin, n.extent.end);
        hide_values(n);
        problems_->error(
            n.key.empty() ? n.at : n.key_at, "not-available",
            fmt::format("'{0}' is not available in this version; write `{0}: off` or remove it", schema.name));
    }

    // Checks between routes compare each with each, so their number has to have a bound.
    bool too_many(const node& n, const schema_node& schema) {
        constexpr std::size_t most = 1000; // chosen; also of header names, models and methods
        if (n.children.size() <= most) return false;
        hide_values(n);
        problems_->error(n.children[most].at, "too-many-entries",
                         fmt::format("'{}' has more than {} entries", schema.name, most));
        return true;
    }

    std::optional<entry> read_list(const node& n, const schema_node& schema, origin from) {
        entry out = make(n, schema, from);
        out.single = false;
        // An empty list overrides an inherited one, and says so.
        const bool may_be_off = schema.kind() == value_kind::block && schema.row->words == "off";
        if (may_be_off && ((n.kind == node_kind::scalar && n.text == "off" && !n.quoted) ||
                           (n.kind == node_kind::sequence && n.children.empty()))) {
            out.value = word{"off"};
            return out;
        }
        if (n.kind != node_kind::sequence) {
            if (schema.shape() != value_shape::one_or_list) {
                wrong_type(n, schema, fmt::format("'{}' must be a list, not {}", schema.name, describe(n.kind)));
                return std::nullopt;
            }
            node only = n;
            only.key.clear();
            if (auto element = read_one(only, schema, from)) out.children.push_back(std::move(*element));
            return out;
        }
        if (n.children.empty() && (schema.kind() == value_kind::block || schema.shape() == value_shape::one_or_list)) {
            problems_->error(n.at, "empty-value", fmt::format("'{}' needs at least one entry", schema.name));
        }
        if (too_many(n, schema)) return std::nullopt;
        for (const node& child : n.children) {
            if (child.kind == node_kind::null) {
                problems_->error(child.at, "null-value", fmt::format("an entry of '{}' has no value", schema.name));
                continue;
            }
            if (auto element = read_one(child, schema, from)) out.children.push_back(std::move(*element));
        }
        return out;
    }

    std::optional<entry> read_map(const node& n, const schema_node& schema, origin from) {
        entry out = make(n, schema, from);
        out.single = false;
        if (n.kind != node_kind::mapping) {
            wrong_type(n, schema,
                       fmt::format("'{}' must be a mapping of names to values, not {}", schema.name, describe(n.kind)));
            return std::nullopt;
        }
        if (too_many(n, schema)) return std::nullopt;
        std::set<std::string> seen;
        for (const node& child : n.children) {
            if (!good_map_key(child, schema, seen)) {
                hide_values(child);
                continue;
            }
            if (child.kind == node_kind::null) {
                problems_->error(
                    child.key_at, "null-value",
                    fmt::format("'{}' has no value; write one or remove the key", child.key.substr(0, 64)));
                continue;
            }
            if (auto element = read_one(child, schema, from)) {
                if (schema.row->map_keys == "header_name") element->key = lower_case(element->key);
                out.children.push_back(std::move(*element));
            }
        }
        return out;
    }

    bool good_map_key(const node& child, const schema_node& schema, std::set<std::string>& seen) {
        const std::string_view keys = schema.row->map_keys;
        std::string code = "bad-name";
        std::string wrong;
        if (keys == "header_name") {
            code = "bad-header-name";
            wrong = check_header_name(child.key);
            if (wrong.empty() && schema.kind() == value_kind::header_value) {
                wrong = check_editable_header(lower_case(child.key));
                if (!wrong.empty()) code = "forbidden-header";
            }
            if (wrong.empty() && !seen.insert(lower_case(child.key)).second) {
                code = "duplicate-key";
                wrong = "this header is given twice; names do not depend on upper and lower case";
            }
        } else if (keys == "name") {
            wrong = check_name(child.key);
        } else if (keys == "path") {
            code = "bad-path";
            wrong = check_path(child.key);
        } else {
            wrong = child.key.empty() ? "this name cannot be empty" : check_plain_text(child.key);
        }
        if (wrong.empty()) return true;
        problems_->error(child.key_at, code, wrong);
        return false;
    }

    std::optional<entry> read_one(const node& n, const schema_node& schema, origin from) {
        return schema.kind() == value_kind::block ? read_block(n, schema, from) : read_value(n, schema, from);
    }

    std::optional<entry> read_block(const node& n, const schema_node& schema, origin from) {
        entry out = make(n, schema, from);
        if (n.kind == node_kind::mapping) {
            read_members(n, schema, out, place_of(n, schema));
            return out;
        }
        const key_row& row = *schema.row;
        if (n.kind == node_kind::scalar && n.text == "off" && row.words == "off" && row.shape == value_shape::one) {
            out.value = word{"off"};
            return out;
        }
        if (n.kind == node_kind::scalar && !row.short_form.empty()) {
            for (const std::string_view each : split_words(row.short_form)) {
                node member = n;
                member.key = each;
                member.key_at = n.at;
                auto value = read_value(member, *schema.child(each), from);
                if (!value) return std::nullopt;
                out.children.push_back(std::move(*value));
            }
            return out;
        }
        wrong_type(n, schema,
                   fmt::format("'{}' must be a mapping of keys{}, not {}", schema.name.empty() ? "this" : schema.name,
                               some_keys_of(schema), describe(n.kind)));
        return std::nullopt;
    }

    // " (total, attempt, connect ...)"; none of what has names of the user's own.
    static std::string some_keys_of(const schema_node& schema) {
        constexpr std::size_t enough = 3;
        std::string out;
        for (std::size_t i = 0; i < schema.children.size() && i < enough; ++i)
            out += (out.empty() ? " (" : ", ") + std::string{schema.children[i]->name};
        if (!out.empty()) out += schema.children.size() > enough ? " ...)" : ")";
        return out;
    }

    // How a message names the block that a key stands in: by the user's own name where it has one.
    static std::string place_of(const node& n, const schema_node& schema) {
        if (schema.row != nullptr && schema.row->path == "upstreams")
            return "in upstream '" + n.key.substr(0, 64) + "'";
        if (schema.row != nullptr && schema.row->path == "routes") {
            for (const node& child : n.children) {
                if (child.key == "name" && child.kind == node_kind::scalar && check_name(child.text).empty()) {
                    return "in route '" + child.text + "'";
                }
            }
            return "in this route";
        }
        return "under `" + schema.name + ":`";
    }

    void read_members(const node& n, const schema_node& schema, entry& out, const std::string& where) {
        std::set<std::string> meant; // keys that an unknown one was probably meant to be
        for (const node& child : n.children) {
            if (const schema_node* known = schema.child(child.key)) {
                meant.insert(child.key);
                if (auto value = read(child, *known, out.from)) out.children.push_back(std::move(*value));
                continue;
            }
            // Advice is the expensive part, and nobody will see it.
            const std::string advice = problems_->full() ? std::string{} : suggest_key(schema, child.key);
            constexpr std::string_view opening = " (did you mean '";
            std::string near;
            if (advice.rfind(opening, 0) == 0)
                near = advice.substr(opening.size(), advice.find('\'', opening.size()) - opening.size());
            if (!near.empty()) meant.insert(near);
            if (child.kind != node_kind::scalar || !is_harmless_key(near)) hide_values(child);
            problems_->error(child.key_at, "unknown-key",
                             fmt::format("unknown key '{}' {}{}", printable(child.key), where, advice));
        }
        for (const std::string& name : meant) {
            if (out.find(name) == nullptr) out.refused.push_back(name);
        }
        for (const auto& child : schema.children) {
            // A key that is there but misspelt is reported once, not also as missing.
            if (child->row == nullptr || !child->row->required || !child->available() || meant.count(child->name) > 0)
                continue;
            if (!child->row->instead.empty() && meant.count(std::string(child->row->instead)) > 0) continue;
            problems_->error(n.key.empty() ? n.at : n.key_at, "missing-key",
                             fmt::format("missing key '{}' {}", child->name, where));
        }
    }

    static std::string printable(const std::string& key) {
        std::string out = key.substr(0, 64);
        for (char& c : out) {
            if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = '?';
        }
        return out;
    }

    // What is not known is taken for something that the key can hold.
    static leaf_or_failure anything(const key_row& row, leaf_or_failure otherwise) {
        for (const std::string_view each :
             {row.fallback, std::string_view{"https://assumed.invalid"}, std::string_view{"127.0.0.1:65535"},
              std::string_view{"/assumed"}, row.min, std::string_view{"1"}, std::string_view{"1s"},
              std::string_view{"1MiB"}, std::string_view{"true"}, row.words.substr(0, row.words.find('|'))}) {
            if (each.empty()) continue;
            leaf_or_failure read =
                read_leaf(row, std::string(each), {.quoted = false, .expanded = true, .secret = false});
            if (std::holds_alternative<leaf>(read)) return read;
        }
        return otherwise;
    }

    std::optional<entry> read_value(const node& n, const schema_node& schema, origin from) {
        const key_row& row = *schema.row;
        entry out = make(n, schema, from);
        const std::string label = n.key.empty() ? schema.name : n.key.substr(0, 64);
        out.secret = row.secret || (row.map_keys == "header_name" && carries_credential(lower_case(n.key)));
        if (out.secret) hide_values(n);
        if (n.kind != node_kind::scalar) {
            wrong_type(n, schema, fmt::format("'{}' must be a single value, not {}", label, describe(n.kind)));
            return std::nullopt;
        }
        const auto expanded = expand(n.text, *env_, *directory_);
        if (const auto* wrong = std::get_if<bad_expansion>(&expanded)) {
            problems_->error(n.at, wrong->code, fmt::format("'{}': {}", label, wrong->message));
            return std::nullopt;
        }
        const expansion& value = std::get<expansion>(expanded);
        const bool was_expanded = !value.sources.empty();
        if (value.from_file) out.secret = true;
        if (out.secret) secrets.push_back(value.text);
        if (was_expanded) {
            out.note = "from";
            for (const std::string& each : value.sources) out.note += " " + each;
        }
        leaf_or_failure result = read_leaf(row, value.text, {n.quoted, was_expanded, out.secret});
        if (value.assumed && std::holds_alternative<failure>(result)) result = anything(row, std::move(result));
        if (const auto* wrong = std::get_if<failure>(&result)) {
            std::string code = wrong->code;
            if (code == "bad-url-hidden") {
                hide_values(n);
                code = "bad-url";
            }
            std::string message = fmt::format("'{}': {}", label, wrong->message);
            if (was_expanded) message += " (the value comes " + out.note + ")";
            problems_->error(n.at, std::move(code), std::move(message));
            return std::nullopt;
        }
        out.value = std::move(std::get<leaf>(result));
        if (row.kind == value_kind::header_name) {
            const std::string name = lower_case(out.text());
            if (const std::string wrong = check_editable_header(name); !wrong.empty()) {
                problems_->error(n.at, "forbidden-header", wrong);
                return std::nullopt;
            }
            out.value = name;
        }
        return out;
    }

    source_text* source_;
    problem_list* problems_;
    const environment* env_;
    const std::string* directory_;
};

} // namespace

std::optional<entry> read_part(const node& n, const schema_node& schema, source_text& source, problem_list& problems,
                               const environment& env) {
    const std::string nowhere;
    return reader(source, problems, env, nowhere).read_only(n, schema);
}

read_result read_tree(const node& root, source_text& source, problem_list& problems, const environment& env,
                      const std::string& directory) {
    reader r(source, problems, env, directory);
    read_result out;
    out.root = r.read_root(root);
    out.secrets = std::move(r.secrets);
    return out;
}

} // namespace evenkeel::config
