#include "config/otel_variables.hpp"

#include "config/grammar.hpp"

#include <fmt/format.h>

#include <optional>
#include <string_view>
#include <utility>

namespace evenkeel::config {
namespace {

using pairs = std::vector<std::pair<std::string, std::string>>;

std::string_view trimmed(std::string_view text) {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
    return text;
}

std::optional<std::string> percent_decoded(std::string_view text) {
    const auto digit = [](char c) {
        if (c >= '0' && c <= '9') return c - '0';
        if (c >= 'a' && c <= 'f') return c - 'a' + 10;
        if (c >= 'A' && c <= 'F') return c - 'A' + 10;
        return -1;
    };
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            out += text[i];
            continue;
        }
        if (i + 2 >= text.size() || digit(text[i + 1]) < 0 || digit(text[i + 2]) < 0) return std::nullopt;
        out += static_cast<char>(digit(text[i + 1]) * 16 + digit(text[i + 2]));
        i += 2;
    }
    return out;
}

// name=value,name=value
std::optional<pairs> pairs_of(std::string_view text) {
    pairs out;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find(','), text.size());
        const std::string_view one = trimmed(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
        if (one.empty()) continue;
        const std::size_t equals = one.find('=');
        if (equals == std::string_view::npos || trimmed(one.substr(0, equals)).empty()) return std::nullopt;
        auto value = percent_decoded(trimmed(one.substr(equals + 1)));
        if (!value) return std::nullopt;
        out.emplace_back(std::string(trimmed(one.substr(0, equals))), std::move(*value));
    }
    return out;
}

class variables {
public:
    variables(entry& root, const environment& env, std::vector<std::string>& secrets)
        : root_(&root), env_(&env), secrets_(&secrets), schema_(schema_root().child("tracing")) {}

    void add() {
        entry* const written = root_->find("tracing");
        if (written != nullptr && (written->is_off() || !written->is_block())) return;
        made_ = made(*schema_);
        tracing_ = written != nullptr ? written : &made_;
        if (!has("otlp_endpoint") && !has("traces_endpoint") && !endpoint()) return;
        headers();
        resource();
        sampler();
        const auto opted = variable("OTEL_SEMCONV_STABILITY_OPT_IN");
        if (opted && opted->find("gen_ai_latest_experimental") != std::string::npos)
            put("semconv", "0.1", "OTEL_SEMCONV_STABILITY_OPT_IN");
        if (written == nullptr) root_->children.push_back(std::move(made_));
    }
    std::vector<std::string> ignored;

private:
    // One that is set and empty is as one that is not set.
    [[nodiscard]] std::optional<std::string> variable(const char* name) const {
        auto value = env_->variable ? env_->variable(name) : std::nullopt;
        if (!value || trimmed(*value).empty()) return std::nullopt;
        return std::string(trimmed(*value));
    }
    [[nodiscard]] bool has(std::string_view key) const {
        return tracing_->find(key) != nullptr || tracing_->was_refused(key);
    }
    static entry made(const schema_node& schema) {
        entry out;
        out.schema = &schema;
        out.key = schema.name;
        out.from = origin::environment;
        return out;
    }
    std::optional<entry> leaf_of(const schema_node& schema, const std::string& value, std::string_view name) {
        entry out = made(schema);
        out.secret = schema.row->secret;
        out.note = fmt::format("from {}", name);
        leaf_or_failure read = read_leaf(*schema.row, value, {.quoted = false, .expanded = true, .secret = true});
        if (const auto* wrong = std::get_if<failure>(&read)) {
            ignored.push_back(fmt::format("{} is ignored: {}", name, wrong->message));
            return std::nullopt;
        }
        out.value = std::move(std::get<leaf>(read));
        return out;
    }
    bool put(std::string_view key, const std::string& value, std::string_view name) {
        if (has(key)) return false;
        auto one = leaf_of(*schema_->child(key), value, name);
        if (!one) return false;
        tracing_->children.push_back(std::move(*one));
        return true;
    }

    bool endpoint() {
        const auto disabled = variable("OTEL_SDK_DISABLED");
        if (disabled && lower_case(*disabled) == "true") return false;
        if (variable("OTEL_TRACES_EXPORTER") == "none") return false;
        if (const auto whole = variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"))
            return put("traces_endpoint", *whole, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
        const auto base = variable("OTEL_EXPORTER_OTLP_ENDPOINT");
        return base && put("otlp_endpoint", *base, "OTEL_EXPORTER_OTLP_ENDPOINT");
    }

    // Of a name that is there twice the last one counts.
    void put_pairs(std::string_view key, const pairs& all, std::string_view name) {
        if (has(key) || all.empty()) return;
        const schema_node& schema = *schema_->child(key);
        entry list = made(schema);
        list.single = false;
        for (const auto& pair : all) {
            auto one = leaf_of(schema, pair.second, name);
            if (!one) continue;
            one->key = pair.first;
            std::erase_if(list.children, [&](const entry& before) { return before.key == pair.first; });
            list.children.push_back(std::move(*one));
        }
        if (!list.children.empty()) tracing_->children.push_back(std::move(list));
    }

    void headers() {
        if (has("headers")) return;
        const char* const name = variable("OTEL_EXPORTER_OTLP_TRACES_HEADERS") ? "OTEL_EXPORTER_OTLP_TRACES_HEADERS"
                                                                               : "OTEL_EXPORTER_OTLP_HEADERS";
        const auto text = variable(name);
        if (!text) return;
        auto all = pairs_of(*text);
        bool good = all.has_value();
        if (!all) all.emplace();
        for (auto& [member, value] : *all) {
            member = lower_case(member);
            good = good && check_header_name(member).empty() && check_editable_header(member).empty();
            secrets_->push_back(value);
        }
        if (!good) {
            ignored.push_back(fmt::format("{} is ignored: it is no list of name=value", name));
            return;
        }
        put_pairs("headers", *all, name);
    }

    void resource() {
        const auto text = variable("OTEL_RESOURCE_ATTRIBUTES");
        auto all = text ? pairs_of(*text) : pairs{};
        if (!all) {
            ignored.push_back("OTEL_RESOURCE_ATTRIBUTES is ignored: it is no list of name=value");
            all.emplace();
        }
        const auto service = variable("OTEL_SERVICE_NAME");
        if (service) put("service_name", *service, "OTEL_SERVICE_NAME");
        for (auto one = all->begin(); one != all->end();) {
            if (one->first != "service.name") {
                ++one;
                continue;
            }
            if (!one->second.empty()) put("service_name", one->second, "OTEL_RESOURCE_ATTRIBUTES");
            one = all->erase(one);
        }
        put_pairs("resource", *all, "OTEL_RESOURCE_ATTRIBUTES");
    }

    void sampler() {
        auto wanted = variable("OTEL_TRACES_SAMPLER");
        if (!wanted) return;
        constexpr std::string_view by_parent = "parentbased_";
        const bool follows = wanted->starts_with(by_parent);
        const std::string rest = follows ? wanted->substr(by_parent.size()) : *wanted;
        if (rest != "always_on" && rest != "always_off" && rest != "traceidratio") {
            ignored.push_back("OTEL_TRACES_SAMPLER is ignored: it names no sampler that is known here");
            return;
        }
        put("parent", follows ? "follow" : "ignore", "OTEL_TRACES_SAMPLER");
        if (rest == "traceidratio")
            put("sample", variable("OTEL_TRACES_SAMPLER_ARG").value_or("1"), "OTEL_TRACES_SAMPLER_ARG");
        else
            put("sample", rest == "always_on" ? "1" : "0", "OTEL_TRACES_SAMPLER");
    }

    entry* root_;
    const environment* env_;
    std::vector<std::string>* secrets_;
    const schema_node* schema_;
    entry made_;
    entry* tracing_ = nullptr;
};

} // namespace

std::vector<std::string> add_otel_variables(entry& root, const environment& env, std::vector<std::string>& secrets) {
    variables all(root, env, secrets);
    all.add();
    return std::move(all.ignored);
}

} // namespace evenkeel::config
