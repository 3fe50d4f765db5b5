// `config show`: the effective configuration as a file that could be loaded again, with the origin of every value and
// the order of each route's policies.

#include "config/show.hpp"

#include "config/effective.hpp"
#include "config/load.hpp"
#include "config/policy_order.hpp"

#include <boost/json.hpp>
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

std::string note_of(const entry& e) { return e.note.empty() ? std::string{} : ", " + e.note; }

std::string origin_of(const entry& e, const source_text& source) {
    const bool in_text = e.from != origin::built_in && e.from != origin::environment;
    if (in_text && source.beside_file(e.at.begin)) return "--set" + note_of(e);
    const std::string at = ":" + std::to_string(in_text ? source.line_of(e.at.begin) : 0);
    switch (e.from) {
    case origin::built_in: return (e.profile.empty() ? "built-in" : "profile " + std::string(e.profile)) + note_of(e);
    case origin::environment: return "environment" + note_of(e);
    case origin::file: return "file" + at + note_of(e);
    case origin::upstream: return "upstream" + at + note_of(e);
    case origin::defaults: return "defaults" + at + note_of(e);
    case origin::route: return "route" + at + note_of(e);
    }
    return {};
}

std::string heading(std::string_view file, std::string_view hash) {
    return fmt::format("# {}\n# hash {}\n", file, hash);
}

class printer {
public:
    // `upstreams`: of the whole file.
    printer(const source_text& source, std::span<const std::string_view> stages, const entry* upstreams)
        : source_(&source), stages_(stages), upstreams_(upstreams) {}

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
        if (e.schema->row != nullptr && e.schema->row->path == "routes")
            comment(indent, policy_order(e, stages_, upstreams_));
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
        out_ += std::string(static_cast<std::size_t>(indent), ' ') + text + "  # " + origin_of(e, *source_) + '\n';
    }

    const source_text* source_;
    std::span<const std::string_view> stages_;
    const entry* upstreams_;
    std::string out_;
};

std::string json_string(std::string_view text) { return boost::json::serialize(boost::json::string(text)); }

// The same for programs: `settings`, which could be loaded again, and where each of its values comes from by its path.
// Numbers as the file has them: 0.95, and not 9.5E-1.
class json_printer {
public:
    explicit json_printer(const source_text& source) : source_(&source) {}

    [[nodiscard]] std::string members(const entry& block, const std::string& path) {
        std::string out;
        for (const entry& each : block.children)
            if (const std::string value = value_of(each, path.empty() ? each.key : path + '.' + each.key);
                !value.empty())
                out += (out.empty() ? "" : ",") + json_string(each.key) + ':' + value;
        return '{' + out + '}';
    }
    [[nodiscard]] std::string origins() const { return '{' + origins_ + '}'; }

private:
    // Empty: there is nothing to be said of it.
    std::string value_of(const entry& e, const std::string& path) {
        if (e.is_leaf() || e.is_off()) {
            origins_ += (origins_.empty() ? "" : ",") + json_string(path) + ':' + json_string(origin_of(e, *source_));
            if (e.secret) return "\"***\"";
            if (e.get<std::string>() != nullptr) return json_string(protect(e.text()));
            const bool bare =
                e.get<std::int64_t>() != nullptr || e.get<double>() != nullptr || e.get<bool>() != nullptr;
            return bare ? format_leaf(e.value) : json_string(format_leaf(e.value));
        }
        if (e.single || e.schema->shape() == value_shape::map) {
            const std::string block = members(e, path);
            return block == "{}" ? std::string{} : block;
        }
        std::string list;
        for (std::size_t i = 0; i < e.children.size(); ++i)
            if (const std::string value = value_of(e.children[i], path + '.' + std::to_string(i)); !value.empty())
                list += (list.empty() ? "" : ",") + value;
        return list.empty() ? std::string{} : '[' + list + ']';
    }

    const source_text* source_;
    std::string origins_;
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
    printer out(*read.source, stages, read.root->find("upstreams"));
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
        printer out(*read->source, stages, read->root->find("upstreams"));
        out.members(*shown, 0);
        return out.take();
    } catch (const std::exception&) {
        return std::nullopt;
    }
}

show_result show(std::string_view yaml, const std::string& file_name, const environment& env,
                 std::span<const std::string_view> stages, const show_choice& choice) {
    show_result out;
    const auto read = read_effective(yaml, file_name, env, choice.overrides);
    out.diagnostics = std::move(read->diagnostics);
    if (!read->root) return out;
    const std::optional<entry> narrow = choice.route.empty() ? read->root : narrowed(*read->root, choice.route);
    if (!narrow) return out;
    const std::string hash = hash_of(*read->root);
    if (choice.json) {
        json_printer printed(*read->source);
        const std::string all = printed.members(*narrow, "");
        out.text = fmt::format("{{\"file\":{},\"hash\":{},\"settings\":{},\"origins\":{}}}\n", json_string(file_name),
                               json_string(hash), all, printed.origins());
    } else {
        printer printed(*read->source, stages, read->root->find("upstreams"));
        printed.members(*narrow, 0);
        out.text = heading(file_name, hash) + printed.take();
    }
    return out;
}

std::string heading(const settings& of) { return heading(of.source, of.hash); }

} // namespace evenkeel::config
