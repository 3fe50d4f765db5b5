// JSON Schema (draft-07, what yaml-language-server understands best), made from the key table.

#include "config/load.hpp"
#include "config/settings.hpp"
#include "config/value.hpp"

#include <boost/json.hpp>

#include <fmt/format.h>

namespace evenkeel::config {
namespace {

namespace json = boost::json;

constexpr const char* duration_pattern = R"(^([0-9]+(\.[0-9]{1,9})?(us|ms|s|m|h))+$)";
constexpr const char* delay_pattern = R"(^(p[5-9][0-9]|p99\.9|([0-9]+(\.[0-9]{1,9})?(us|ms|s|m|h))+)$)";
constexpr const char* size_pattern = "^[0-9]+(B|KiB|MiB|GiB|TiB)$";

// Whole numbers without the exponent that the serializer gives to doubles.
json::value plain_number(double d) {
    if (d == static_cast<double>(static_cast<std::int64_t>(d))) return static_cast<std::int64_t>(d);
    return d;
}

json::array word_list(std::string_view words) {
    json::array out;
    for (const std::string_view each : split_words(words)) out.emplace_back(json::string(each));
    return out;
}

json::value default_value(const key_row& row) {
    if (row.shape == value_shape::list) return word_list(row.fallback);
    auto parsed = read_leaf(row, std::string(row.fallback), {});
    const leaf* value = std::get_if<leaf>(&parsed);
    if (value == nullptr) return json::string(row.fallback);
    if (const auto* b = std::get_if<bool>(value)) return *b;
    if (const auto* n = std::get_if<std::int64_t>(value)) return *n;
    if (const auto* d = std::get_if<double>(value)) return plain_number(*d);
    return json::string(row.fallback);
}

json::object number_range(const key_row& row, const char* type) {
    json::object out{{"type", type}};
    const auto bound = [&](const char* name, std::string_view text) {
        if (text.empty()) return;
        if (row.kind == value_kind::integer)
            out[name] = std::get<std::int64_t>(read_integer(text));
        else
            out[name] = plain_number(std::get<double>(read_number(text)));
    };
    bound("minimum", row.min);
    bound("maximum", row.max);
    return out;
}

json::object text_with(const char* pattern) { return {{"type", "string"}, {"pattern", pattern}}; }

// What one value may be when it is written out; empty for a word, which only has its list.
json::object written_out(const key_row& row) {
    switch (row.kind) {
    case value_kind::boolean: return {{"type", "boolean"}};
    case value_kind::integer: return number_range(row, "integer");
    case value_kind::ratio: return number_range(row, "number");
    case value_kind::duration: return text_with(duration_pattern);
    case value_kind::delay: return text_with(delay_pattern);
    case value_kind::size: return text_with(size_pattern);
    case value_kind::rate: return text_with("^[0-9]+/min$");
    case value_kind::name: return text_with("^[A-Za-z0-9._-]{1,64}$");
    case value_kind::address: return text_with(R"(^(unix:/.+|[0-9.]+:[0-9]{1,5}|\[[0-9A-Fa-f:.]+\]:[0-9]{1,5})$)");
    case value_kind::url: return text_with("^https?://[^@?#]+$");
    case value_kind::path: return text_with("^/[^?#]*$");
    case value_kind::header_name: return text_with("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$");
    case value_kind::credential: return text_with("^!?[!-~]{1,128}$");
    case value_kind::tenant: return text_with("^header:[!#$%&'*+.^_`|~0-9A-Za-z-]+$");
    case value_kind::word:
    case value_kind::block: return {};
    default: break;
    }
    json::object out{{"type", "string"}};
    if (!row.can_be_empty) out["minLength"] = 1;
    return out;
}

json::object leaf_schema(const key_row& row) {
    json::array any;
    if (json::object own = written_out(row); !own.empty()) any.emplace_back(std::move(own));
    if (!row.words.empty()) any.emplace_back(json::object{{"enum", word_list(row.words)}});
    any.emplace_back(json::object{{"$ref", "#/definitions/expansion"}});
    return {{"anyOf", std::move(any)}};
}

json::object node_schema(const schema_node& node);

json::object block_schema(const schema_node& node) {
    json::object properties;
    json::array required, either;
    for (const auto& child : node.children) {
        properties[child->name] = node_schema(*child);
        if (child->row == nullptr || !child->available() || !child->row->required) continue;
        if (child->row->instead.empty()) {
            required.emplace_back(child->name);
        } else {
            either = {json::object{{"required", json::array{json::string(child->name)}}},
                      json::object{{"required", json::array{json::string(child->row->instead)}}}};
        }
    }
    json::object out{{"type", "object"}, {"additionalProperties", false}, {"properties", std::move(properties)}};
    if (!required.empty()) out["required"] = std::move(required);
    if (!either.empty()) out["anyOf"] = std::move(either);
    return out;
}

// One element: of the key itself, or of its list or map.
json::object element_schema(const schema_node& node) {
    if (node.kind() != value_kind::block) return leaf_schema(*node.row);
    json::object block = block_schema(node);
    // `off` stands for a whole list, not for one of its elements.
    const bool own_words = node.row != nullptr && !node.row->words.empty() && node.shape() == value_shape::one;
    if (node.row == nullptr || (node.row->short_form.empty() && !own_words)) return block;
    json::array any;
    if (!node.row->short_form.empty())
        any.emplace_back(leaf_schema(*node.child(split_words(node.row->short_form).front())->row));
    if (own_words) any.emplace_back(json::object{{"enum", word_list(node.row->words)}});
    any.emplace_back(std::move(block));
    return {{"anyOf", std::move(any)}};
}

json::object node_schema(const schema_node& node) {
    if (!node.available()) {
        return {{"enum", json::array{"off"}},
                {"description", fmt::format("{} Not available in this version.", node.row->documentation)}};
    }
    json::object out;
    switch (node.shape()) {
    case value_shape::one: out = element_schema(node); break;
    case value_shape::map: {
        out = {{"type", "object"}, {"additionalProperties", element_schema(node)}};
        if (node.row->map_keys == "header_name") out["propertyNames"] = text_with("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$");
        if (node.row->map_keys == "path") out["propertyNames"] = text_with("^/[^?#]*$");
        if (node.row->map_keys == "name") out["propertyNames"] = text_with("^[A-Za-z0-9._-]{1,64}$");
        break;
    }
    case value_shape::list:
    case value_shape::one_or_list: {
        json::object element = element_schema(node);
        json::object list{{"type", "array"}, {"items", element}};
        const bool may_be_off = node.kind() == value_kind::block && !node.row->words.empty();
        if (may_be_off) {
            out = {{"anyOf", json::array{json::object{{"enum", word_list(node.row->words)}}, std::move(list)}}};
            break;
        }
        if (node.kind() == value_kind::block || node.shape() == value_shape::one_or_list ||
            !node.row->fallback.empty()) {
            list["minItems"] = 1;
        }
        if (node.row->path == "upstreams.urls") {
            list["minItems"] = 1;
            list["maxItems"] = max_endpoints_per_route;
        }
        if (node.row->path == "routes.upstreams") list["maxItems"] = max_upstreams_per_route;
        if (node.row->path == "routes.fan_out.parts") {
            list["minItems"] = 1;
            list["maxItems"] = max_fan_out_parts;
        }
        if (node.shape() == value_shape::list)
            out = std::move(list);
        else
            out = {{"anyOf", json::array{std::move(element), std::move(list)}}};
        break;
    }
    }
    if (node.row == nullptr) return out;
    out["description"] =
        fmt::format("{}{}{}", node.row->documentation, node.row->price.empty() ? "" : " Price: ", node.row->price);
    if (!node.row->fallback.empty()) out["default"] = default_value(*node.row);
    return out;
}

void print(const json::value& value, int indent, std::string& out) {
    const std::string margin(static_cast<std::size_t>(indent) * 2, ' ');
    if (const auto* object = value.if_object(); object != nullptr && !object->empty()) {
        out += "{\n";
        bool first = true;
        for (const auto& [key, member] : *object) {
            if (!first) out += ",\n";
            first = false;
            out += margin + "  " + json::serialize(json::string(key)) + ": ";
            print(member, indent + 1, out);
        }
        out += "\n" + margin + "}";
        return;
    }
    out += json::serialize(value);
}

} // namespace

std::string json_schema() {
    json::object root = block_schema(schema_root());
    json::object out{
        {"$schema", "http://json-schema.org/draft-07/schema#"},
        {"title", "evenkeel configuration"},
        {"definitions",
         json::object{{"expansion", json::object{{"type", "string"},
                                                 {"pattern", R"(\$\{(env|file):[^}]+\})"},
                                                 {"description", "A value from the environment or from a file."}}}}}};
    for (auto& [key, value] : root) out[key] = value;
    std::string text;
    print(out, 0, text);
    return text + "\n";
}

} // namespace evenkeel::config
