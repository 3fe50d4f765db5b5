#include "config/complete.hpp"

#include "config/grammar.hpp"

#include <fmt/format.h>

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

leaf default_of(const key_row& row) {
    // The table's own text, checked by a test, so it can be read.
    return std::get<leaf>(read_leaf(row, std::string(row.fallback), {}));
}

void complete_block(entry& block, const entry* inherited);

// What stands in for a key that the file does not have; empty if absence is its meaning.
std::vector<entry> absent(const schema_node& schema) {
    if (!schema.available()) return {};
    const bool is_block = schema.kind() == value_kind::block;
    if (schema.shape() == value_shape::one) {
        if (is_block && (schema.row == nullptr || !schema.row->optional_block)) {
            entry out = built_in(schema, schema.name);
            complete_block(out, nullptr);
            return {out};
        }
        if (!is_block && !schema.row->fallback.empty()) {
            entry out = built_in(schema, schema.name);
            out.value = default_of(*schema.row);
            return {out};
        }
        return {};
    }
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

void complete_block(entry& block, const entry* inherited) {
    if (block.is_off()) return;
    // A route that calls nobody has no use for policies; inheriting them would only claim otherwise.
    const bool calls_nobody =
        block.schema->row != nullptr && block.schema->row->path == "routes" && block.find("serve") != nullptr;
    // Likewise, an upstream without TLS has no TLS to speak of.
    const entry* url =
        block.schema->row != nullptr && block.schema->row->path == "upstreams" ? block.find("url") : nullptr;
    const bool without_tls = url != nullptr && lower_case(url->text()).rfind("http:", 0) == 0;
    std::vector<entry> ordered;
    for (const auto& schema : block.schema->children) {
        const entry* parent = inherited != nullptr ? inherited->find(schema->name) : nullptr;
        entry* own = block.find(schema->name);
        if (own == nullptr) {
            if (calls_nobody && schema->row != nullptr && (schema->row->policy || schema->name == "balance")) continue;
            if (without_tls && schema->name == "tls") continue;
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
}

// Two quantities of which the first must not exceed the second.
struct relation {
    std::string_view inner;
    std::string_view outer;
};

// `of_route`: the block belongs to a route, which may have inherited both.
template <class T>
void settle_pair(entry* inner, const std::string& inner_path, entry* outer, const std::string& outer_path, bool of_route,
                 report& problems) {
    if (inner == nullptr || outer == nullptr) return;
    const T* small = inner->get<T>();
    const T* large = outer->get<T>();
    if (small == nullptr || large == nullptr || *small <= *large) return;

    if (inner->from == origin::built_in) {
        inner->note = fmt::format("clamped by {}", outer_path);
        if (outer->from != origin::built_in) inner->note += " (" + problems.line(outer->at) + ")";
        inner->value = outer->value;
        return;
    }
    const std::string statement = fmt::format("'{}' ({}) exceeds '{}' ({}", inner_path, format_leaf(inner->value),
                                              outer_path, format_leaf(outer->value));
    if (outer->from == origin::built_in) {
        problems.warning(inner->at, "never-reached",
                         statement + ", built-in), so it is never reached; raise the latter as well");
        return;
    }
    // Said once, under `defaults`, and not again by every route that inherits both.
    if (of_route && inner->from == origin::defaults && outer->from != origin::route) return;
    problems.error(inner->from == origin::defaults && outer->from == origin::route ? outer->at : inner->at,
                   "contradiction", statement + ", " + problems.line(outer->at) + ")",
                   {inner->from == origin::defaults && outer->from == origin::route
                        ? note{inner->at, "'" + inner_path + "' is set here"}
                        : note{outer->at, "'" + outer_path + "' is set here"}});
}

template <class T>
void settle(entry& block, const std::string& block_name, relation r, report& problems) {
    const auto path = [&](std::string_view key) { return fmt::format("{}.{}", block_name, key); };
    settle_pair<T>(block.find(r.inner), path(r.inner), block.find(r.outer), path(r.outer), block.from == origin::route, problems);
}

// A block of a route says so even where all of it is inherited.
entry* block_of(entry* holder, std::string_view name) {
    entry* block = holder != nullptr ? holder->find(name) : nullptr;
    if (block != nullptr && holder->from == origin::route) block->from = origin::route;
    return block;
}

void settle_policy_blocks(entry* holder, entry* limits, report& problems) {
    if (entry* timeout = block_of(holder, "timeout")) {
        settle<duration>(*timeout, "timeout", {"attempt", "total"}, problems);
        settle<duration>(*timeout, "timeout", {"connect", "total"}, problems);
        settle<duration>(*timeout, "timeout", {"connect", "attempt"}, problems);
        settle<duration>(*timeout, "timeout", {"stream_idle", "total"}, problems);
        settle<duration>(*timeout, "timeout", {"stream_idle", "content_idle"}, problems);
    }
    entry* retry = block_of(holder, "retry");
    if (retry == nullptr) return;
    if (limits != nullptr) {
        settle_pair<bytes>(retry->find("replay_buffer"), "retry.replay_buffer", limits->find("memory"), "limits.memory",
                           retry->from == origin::route, problems);
    }
    if (entry* backoff = block_of(retry, "backoff")) settle<duration>(*backoff, "retry.backoff", {"initial", "max"}, problems);
}

} // namespace

void complete(entry& root) {
    complete_block(root, nullptr);
}

void settle_policies(entry& root, report& problems) {
    entry* limits = root.find("limits");
    settle_policy_blocks(root.find("defaults"), limits, problems);
    if (entry* routes = root.find("routes")) {
        for (entry& route : routes->children) settle_policy_blocks(&route, limits, problems);
    }
}

void settle_connections(entry& root, report& problems) {
    entry* upstreams = root.find("upstreams");
    if (upstreams == nullptr) return;
    for (entry& each : upstreams->children) {
        if (entry* pool = each.find("connections")) {
            settle<duration>(*pool, "connections", {"idle_timeout", "max_age"}, problems);
        }
    }
}

} // namespace evenkeel::config
