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
    explicit printer(const source_text& source) : source_(&source) {}

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
        if (e.schema->row != nullptr && e.schema->row->path == "routes") comment(indent, policy_order(e));
        const std::size_t dash = out_.size() + static_cast<std::size_t>(indent);
        members(e, indent + 2);
        if (dash < out_.size()) out_[dash] = '-';
    }

    void comment(int indent, const std::vector<std::string>& lines) {
        for (const std::string& each : lines) out_ += std::string(static_cast<std::size_t>(indent), ' ') + "# " + each + '\n';
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
        case origin::built_in:
            out = e.profile.empty() ? "built-in" : "profile " + std::string(e.profile);
            break;
        case origin::file:
            out = "file" + at;
            break;
        case origin::upstream:
            out = "upstream" + at;
            break;
        case origin::defaults:
            out = "defaults" + at;
            break;
        case origin::route:
            out = "route" + at;
            break;
        }
        if (!e.note.empty()) out += ", " + e.note;
        return out;
    }

    const source_text* source_;
    std::string out_;
};

// Only the route asked for and the upstream it calls.
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
    if (const entry* upstreams = root.find("upstreams"); upstreams != nullptr && wanted->find("upstreams") != nullptr) {
        entry some = *upstreams;
        some.children.clear();
        for (const entry& reference : wanted->find("upstreams")->children) {
            const entry* name = reference.find("name");
            const entry* target = name != nullptr ? upstreams->find(name->text()) : nullptr;
            if (target != nullptr) some.children.push_back(*target);
        }
        out.children.push_back(std::move(some));
    }
    entry one = *routes;
    one.children = {*wanted};
    out.children.push_back(std::move(one));
    return out;
}

} // namespace

std::optional<std::string> show_effective(std::string_view yaml, const std::string& file_name, const environment& env,
                                          std::string_view route) {
    try {
        const auto read = read_effective(yaml, file_name, env);
        if (!read->root) return std::nullopt;
        const std::optional<entry> shown = route.empty() ? read->root : narrowed(*read->root, route);
        if (!shown) return std::nullopt;
        printer out(*read->source);
        out.members(*shown, 0);
        return out.take();
    } catch (const std::exception&) {
        return std::nullopt;
    }
}

} // namespace evenkeel::config
