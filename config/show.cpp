// `config show`: the effective configuration as a file that could be loaded again, with the origin of every value and
// the order of each route's policies.

#include "config/effective.hpp"
#include "config/load.hpp"
#include "config/policy_order.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <exception>

namespace evenkeel::config {
namespace {

bool plain(std::string_view text) {
    if (text.empty() || text.front() == '-' || text.back() == ':') return false;
    const bool safe = std::all_of(text.begin(), text.end(), [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
               std::string_view("_./:-").find(c) != std::string_view::npos;
    });
    constexpr std::string_view others[] = {"null", "Null", "NULL", "off", "...", "---"};
    return safe && std::find(std::begin(others), std::end(others), text) == std::end(others);
}

std::string quote(std::string_view text) {
    if (plain(text)) return std::string(text);
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
            out += fmt::format("\\x{:02x}", static_cast<unsigned>(static_cast<unsigned char>(c)));
        } else {
            out += c;
        }
    }
    return out + '"';
}

// A literal dollar sign is doubled, since the file is expanded when it is loaded again.
std::string protect(const std::string& text) {
    std::string out;
    for (const char c : text) {
        out += c;
        if (c == '$') out += '$';
    }
    return out;
}

class printer {
public:
    printer(const source_text& source, std::span<const std::string_view> stages) : source_(&source), stages_(stages) {}

    void members(const entry& block, int indent) {
        for (const entry& each : block.children) member(each, indent);
    }

    void member(const entry& e, int indent) {
        if (e.is_leaf() || e.is_off()) {
            line(indent, quote(e.key) + ": " + value_of(e), e);
            return;
        }
        if (!has_content(e)) return;
        out_ += std::string(static_cast<std::size_t>(indent), ' ') + quote(e.key) + ":\n";
        if (e.single || e.schema->shape() == value_shape::map)
            members(e, indent + 2);
        else
            for (const entry& each : e.children) element(each, indent + 2);
    }

    [[nodiscard]] std::string take() { return std::move(out_); }

private:
    static bool has_content(const entry& e) {
        return e.is_leaf() || e.is_off() || std::any_of(e.children.begin(), e.children.end(), has_content);
    }

    // The members of an element are printed one level further in; then the first one's indentation makes room for the
    // dash.
    void element(const entry& e, int indent) {
        if (e.is_leaf()) {
            line(indent, "- " + value_of(e), e);
            return;
        }
        if (e.schema->row != nullptr && e.schema->row->path == "routes") comment(indent, policy_order(e, stages_));
        const std::size_t dash = out_.size() + static_cast<std::size_t>(indent);
        members(e, indent + 2);
        if (dash < out_.size()) out_[dash] = '-';
    }

    void comment(int indent, const std::vector<std::string>& lines) {
        for (const std::string& each : lines)
            out_ += std::string(static_cast<std::size_t>(indent), ' ') + "# " + each + '\n';
    }

    static std::string value_of(const entry& e) {
        if (e.secret) return "\"***\"";
        if (e.get<std::string>() != nullptr) return quote(protect(e.text()));
        return format_leaf(e.value);
    }

    void line(int indent, const std::string& text, const entry& e) {
        out_ += std::string(static_cast<std::size_t>(indent), ' ') + text + "  # " + origin_of(e) + '\n';
    }

    std::string origin_of(const entry& e) const {
        std::string out;
        const std::string at = ":" + std::to_string(e.from == origin::built_in ? 0 : source_->line_of(e.at.begin));
        switch (e.from) {
        case origin::built_in: out = e.profile.empty() ? "built-in" : "profile " + std::string(e.profile); break;
        case origin::environment: out = "environment"; break;
        case origin::file: out = "file" + at; break;
        case origin::upstream: out = "upstream" + at; break;
        case origin::defaults: out = "defaults" + at; break;
        case origin::route: out = "route" + at; break;
        }
        if (!e.note.empty()) out += ", " + e.note;
        return out;
    }

    const source_text* source_;
    std::span<const std::string_view> stages_;
    std::string out_;
};

// The routes that the ladders of these lead to, and so on, after them.
std::vector<entry> with_fallbacks(const entry& routes, entry first) {
    std::vector<entry> out{std::move(first)};
    const auto name_of = [](const entry& route) {
        return route.find("name") != nullptr ? route.find("name")->text() : std::string{};
    };
    for (std::size_t i = 0; i < out.size(); ++i) {
        const entry* list = out[i].find("fallback");
        std::vector<std::string> wanted;
        for (const entry& rung : list != nullptr ? list->children : std::vector<entry>{})
            if (const entry* to = rung.find("route")) wanted.push_back(to->text());
        for (const entry& route : routes.children) {
            const std::string name = name_of(route);
            const bool here = std::any_of(out.begin(), out.end(), [&](const entry& e) { return name_of(e) == name; });
            if (!here && std::find(wanted.begin(), wanted.end(), name) != wanted.end()) out.push_back(route);
        }
    }
    return out;
}

// Only the route asked for, what takes over from it, and the upstreams they call.
std::optional<entry> narrowed(const entry& root, std::string_view route_name) {
    const entry* routes = root.find("routes");
    if (routes == nullptr) return std::nullopt;
    const auto wanted = std::find_if(routes->children.begin(), routes->children.end(), [&](const entry& e) {
        const entry* name = e.find("name");
        return name != nullptr && name->text() == route_name;
    });
    if (wanted == routes->children.end()) return std::nullopt;

    entry out = root;
    out.children.clear();
    entry some_routes = *routes;
    some_routes.children = with_fallbacks(*routes, *wanted);
    if (const entry* upstreams = root.find("upstreams")) {
        entry some = *upstreams;
        std::erase_if(some.children, [&](const entry& upstream) {
            return std::none_of(some_routes.children.begin(), some_routes.children.end(), [&](const entry& route) {
                const entry* list = route.find("upstreams");
                return list != nullptr &&
                       std::any_of(list->children.begin(), list->children.end(), [&](const entry& reference) {
                           return reference.find("name") != nullptr && reference.find("name")->text() == upstream.key;
                       });
            });
        });
        if (!some.children.empty()) out.children.push_back(std::move(some));
    }
    out.children.push_back(std::move(some_routes));
    return out;
}

} // namespace

std::string show_whole(const effective& read, std::span<const std::string_view> stages) {
    printer out(*read.source, stages);
    out.members(*read.root, 0);
    return out.take();
}

std::optional<std::string> show_effective(std::string_view yaml, const std::string& file_name, const environment& env,
                                          std::string_view route, std::span<const std::string_view> stages) {
    try {
        const auto read = read_effective(yaml, file_name, env);
        if (!read->root) return std::nullopt;
        if (route.empty()) return show_whole(*read, stages);
        const std::optional<entry> shown = narrowed(*read->root, route);
        if (!shown) return std::nullopt;
        printer out(*read->source, stages);
        out.members(*shown, 0);
        return out.take();
    } catch (const std::exception&) {
        return std::nullopt;
    }
}

std::string heading(const settings& of) { return fmt::format("# {}\n# hash {}\n", of.source, of.hash); }

} // namespace evenkeel::config
