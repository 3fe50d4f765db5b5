#pragma once
// A validator for the part of JSON Schema draft-07 that our schema uses. It exists so that the schema is put to work in
// every test run, on machines without any JSON Schema tool; an unknown keyword is a failure, not a silent pass.

#include <boost/json.hpp>

#include <regex>
#include <string>
#include <vector>

namespace evenkeel::config::test {

class schema_check {
public:
    explicit schema_check(boost::json::value schema) : root_(std::move(schema)) {}

    [[nodiscard]] std::vector<std::string> errors(const boost::json::value& instance) const {
        std::vector<std::string> out;
        check(root_, instance, "", out);
        return out;
    }

private:
    using value = boost::json::value;

    static bool is_type(const value& v, std::string_view type) {
        if (type == "object") return v.is_object();
        if (type == "array") return v.is_array();
        if (type == "string") return v.is_string();
        if (type == "boolean") return v.is_bool();
        if (type == "integer") return v.is_int64();
        return type == "number" && (v.is_int64() || v.is_double());
    }

    void check(const value& schema, const value& v, const std::string& at, std::vector<std::string>& out) const {
        const auto fail = [&](const std::string& why) { out.push_back((at.empty() ? "/" : at) + ": " + why); };
        if (const auto* flag = schema.if_bool()) {
            if (!*flag) fail("not allowed");
            return;
        }
        for (const auto& [key, rule] : schema.as_object()) {
            if (key == "$schema" || key == "title" || key == "description" || key == "default" || key == "definitions")
                continue;
            if (key == "$ref")
                check(root_.at("definitions").at("expansion"), v, at, out);
            else if (key == "type") {
                if (!is_type(v, std::string(rule.as_string()))) fail("must be " + std::string(rule.as_string()));
            } else if (key == "enum")
                check_enum(rule, v, fail);
            else if (key == "pattern")
                check_pattern(rule, v, fail);
            else if (key == "minLength") {
                if (v.is_string() && v.as_string().size() < rule.to_number<std::size_t>()) fail("too short");
            } else if (key == "minimum") {
                if (v.is_number() && v.to_number<double>() < rule.to_number<double>()) fail("too small");
            } else if (key == "maximum") {
                if (v.is_number() && v.to_number<double>() > rule.to_number<double>()) fail("too large");
            } else if (key == "minItems") {
                if (v.is_array() && v.as_array().size() < rule.to_number<std::size_t>()) fail("too few");
            } else if (key == "maxItems") {
                if (v.is_array() && v.as_array().size() > rule.to_number<std::size_t>()) fail("too many");
            } else if (key == "anyOf")
                check_any(rule, v, at, fail);
            else if (key == "items")
                check_items(rule, v, at, out);
            else if (key == "required")
                check_required(rule, v, fail);
            else if (key == "properties" || key == "additionalProperties" || key == "propertyNames")
                check_members(key, schema, v, at, out);
            else
                fail("the schema uses a keyword that this check does not know: " + std::string(key));
        }
    }

    template <class Fail>
    static void check_enum(const value& rule, const value& v, Fail fail) {
        for (const value& each : rule.as_array()) {
            if (each == v) return;
        }
        fail("none of the words");
    }

    template <class Fail>
    static void check_pattern(const value& rule, const value& v, Fail fail) {
        if (!v.is_string()) return;
        if (!std::regex_search(std::string(v.as_string()), std::regex(std::string(rule.as_string()))))
            fail("does not match " + std::string(rule.as_string()));
    }

    template <class Fail>
    void check_any(const value& rule, const value& v, const std::string& at, Fail fail) const {
        std::string reasons;
        for (const value& each : rule.as_array()) {
            std::vector<std::string> inner;
            check(each, v, at, inner);
            if (inner.empty()) return;
            reasons += " | " + inner.front();
        }
        fail("no alternative fits:" + reasons);
    }

    void check_items(const value& rule, const value& v, const std::string& at, std::vector<std::string>& out) const {
        if (!v.is_array()) return;
        for (std::size_t i = 0; i < v.as_array().size(); ++i)
            check(rule, v.as_array()[i], at + "/" + std::to_string(i), out);
    }

    template <class Fail>
    static void check_required(const value& rule, const value& v, Fail fail) {
        if (!v.is_object()) return;
        for (const value& each : rule.as_array()) {
            if (!v.as_object().contains(each.as_string())) fail("missing " + std::string(each.as_string()));
        }
    }

    void check_members(std::string_view key, const value& schema, const value& v, const std::string& at,
                       std::vector<std::string>& out) const {
        if (!v.is_object()) return;
        const boost::json::object& rules = schema.as_object();
        const value* properties = rules.if_contains("properties");
        for (const auto& [name, member] : v.as_object()) {
            const std::string below = at + "/" + std::string(name);
            const value* known = properties != nullptr ? properties->as_object().if_contains(name) : nullptr;
            if (key == "properties" && known != nullptr) check(*known, member, below, out);
            if (key == "additionalProperties" && known == nullptr)
                check(rules.at("additionalProperties"), member, below, out);
            if (key == "propertyNames") check(rules.at("propertyNames"), value(boost::json::string(name)), below, out);
        }
    }

    boost::json::value root_;
};

} // namespace evenkeel::config::test
