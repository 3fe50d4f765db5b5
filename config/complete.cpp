#include "config/complete.hpp"

#include "config/fan_out_rules.hpp"
#include "config/grammar.hpp"
#include "config/profiles.hpp"

#include <algorithm>

namespace evenkeel::config {
namespace {

entry built_in(const schema_node& schema, const std::string& key) {
    entry out;
    out.schema = &schema;
    out.key = key;
    out.from = origin::built_in;
    return out;
}

class completer {
public:
    explicit completer(std::string_view profile) : profile_(profile) {}
    void complete_block(entry& block, const entry* inherited) const;

private:
    // What the table or the profile says of a key; empty: nothing.
    struct built_in_text {
        std::string_view text;
        std::string_view profile{}; // set: not the table's
    };
    [[nodiscard]] built_in_text fallback_of(const key_row& row) const {
        if (const auto other = profile_default(profile_, row.path)) return {*other, profile_};
        return {row.fallback};
    }
    [[nodiscard]] entry leaf_of(const schema_node& schema, built_in_text fallback) const {
        entry out = built_in(schema, schema.name);
        // Both tables' own texts, checked by tests, so they can be read.
        out.value = std::get<leaf>(read_leaf(*schema.row, std::string(fallback.text), {}));
        out.profile = fallback.profile;
        return out;
    }
    [[nodiscard]] std::vector<entry> absent(const schema_node& schema) const;
    [[nodiscard]] std::vector<entry> absent_one(const schema_node& schema) const;

    std::string_view profile_;
};

std::vector<entry> completer::absent_one(const schema_node& schema) const {
    const built_in_text fallback = schema.row != nullptr ? fallback_of(*schema.row) : built_in_text{};
    if (schema.kind() == value_kind::block) {
        if (schema.row != nullptr && schema.row->optional_block) return {};
        if (fallback.text == "off") return {leaf_of(schema, fallback)};
        entry out = built_in(schema, schema.name);
        out.profile = fallback.profile;
        complete_block(out, nullptr);
        return {out};
    }
    if (fallback.text.empty()) return {};
    return {leaf_of(schema, fallback)};
}

// What stands in for a key that the file does not have; empty if absence is its meaning.
std::vector<entry> completer::absent(const schema_node& schema) const {
    if (!schema.available()) return {};
    if (schema.shape() == value_shape::one) return absent_one(schema);
    const bool is_block = schema.kind() == value_kind::block;
    if (schema.shape() == value_shape::list && !is_block && !schema.row->fallback.empty()) {
        entry list = built_in(schema, schema.name);
        list.single = false;
        for (const std::string_view each : split_words(schema.row->fallback)) {
            entry element = built_in(schema, "");
            element.value = word{std::string(each)};
            list.children.push_back(std::move(element));
        }
        return {list};
    }
    if (schema.shape() == value_shape::one_or_list && is_block && !schema.row->fallback.empty()) {
        entry list = built_in(schema, schema.name);
        list.single = false;
        entry element = built_in(schema, "");
        entry address = built_in(*schema.child(schema.row->short_form), std::string(schema.row->short_form));
        address.value = std::string(schema.row->fallback);
        element.children.push_back(std::move(address));
        list.children.push_back(std::move(element));
        return {list};
    }
    return {};
}

void completer::complete_block(entry& block, const entry* inherited) const {
    if (block.is_off()) return;
    // A route that calls nobody has no use for policies; inheriting them would only claim otherwise.
    const bool calls_nobody =
        block.schema->row != nullptr && block.schema->row->path == "routes" && block.find("serve") != nullptr;
    // Likewise, an upstream without TLS has no TLS to speak of.
    const bool upstream = block.schema->row != nullptr && block.schema->row->path == "upstreams";
    const entry* urls = upstream ? block.find("urls") : nullptr;
    const entry* url = !upstream                                    ? nullptr
                       : urls != nullptr && !urls->children.empty() ? &urls->children.front()
                                                                    : block.find("url");
    const entry* resolve = upstream ? block.find("resolve") : nullptr;
    const bool without_choice = upstream && urls == nullptr && (resolve == nullptr || !resolve->is_word("each"));
    const bool without_keys = upstream && block.find("credentials") == nullptr;
    const bool without_tls = url != nullptr && lower_case(url->text()).rfind("http:", 0) == 0;
    std::vector<entry> ordered;
    for (const auto& schema : block.schema->children) {
        const entry* parent = inherited != nullptr ? inherited->find(schema->name) : nullptr;
        entry* own = block.find(schema->name);
        if (own == nullptr) {
            if (calls_nobody && schema->row != nullptr &&
                (schema->row->policy || schema->name == "balance" || schema->name == "shuffle_shard"))
                continue;
            if (without_tls && schema->name == "tls") continue;
            // ... and one with a single endpoint nothing to choose from.
            if (without_choice && schema->name == "balance") continue;
            if (upstream && schema->name == (urls != nullptr ? "resolve" : "urls")) continue;
            // ... and one without a list of keys none to choose.
            if (without_keys && (schema->name == "credential_order" || schema->name == "quota_scope")) continue;
            if (parent != nullptr) {
                ordered.push_back(*parent);
            } else {
                for (entry& each : absent(*schema)) ordered.push_back(std::move(each));
            }
            continue;
        }
        if (own->is_block()) {
            complete_block(*own, parent);
        } else if (!own->single && own->schema->kind() == value_kind::block) {
            // `defaults` stands before `routes` in the schema, so it is complete by now.
            const auto done =
                std::find_if(ordered.begin(), ordered.end(), [](const entry& e) { return e.key == "defaults"; });
            const entry* below = schema->row->path == "routes" && done != ordered.end() ? &*done : nullptr;
            for (entry& element : own->children) complete_block(element, below);
        }
        ordered.push_back(std::move(*own));
    }
    block.children = std::move(ordered);
    if (block.schema->row != nullptr && block.schema->row->path == "routes" && is_fan_out(block))
        drop_unused_by_fan_out(block);
}

} // namespace

void complete(entry& root) {
    const entry* profile = root.find("profile");
    // Outlives the tree, which refers to it.
    const std::string_view name = profile != nullptr && profile->is_word("classic") ? "classic" : "tuned";
    completer(name).complete_block(root, nullptr);
}

} // namespace evenkeel::config
