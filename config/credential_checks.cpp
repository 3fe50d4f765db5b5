#include "config/credential_checks.hpp"

#include "config/fan_out_rules.hpp"
#include "config/network.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace evenkeel::config {
namespace {

const std::vector<entry>& children_of(const entry* list) {
    static const std::vector<entry> none;
    return list != nullptr ? list->children : none;
}

std::string route_name(const entry& route) {
    const entry* name = route.find("name");
    return name != nullptr ? name->text() : std::string{};
}

// The names that a block of header edits sets as credentials, and those of an upstream's list of keys.
std::vector<const entry*> secrets_of(const entry& owner, const credential_rules& rules) {
    std::vector<const entry*> out;
    const auto add = [&](const entry* set) {
        for (const entry& each : children_of(set)) {
            if (sets_credential(rules, each.key, each.text())) out.push_back(&each);
        }
    };
    const entry* headers = owner.find("headers");
    add(headers != nullptr ? headers->find("set") : nullptr);
    for (const entry& key : children_of(owner.find("credentials"))) add(key.find("set"));
    return out;
}

bool edits(const entry& owner, std::string_view name) {
    const auto& keys = children_of(owner.find("credentials"));
    const auto sets = [&](const entry& key) {
        const entry* set = key.find("set");
        return set != nullptr && set->find(name) != nullptr;
    };
    if (!keys.empty() && std::all_of(keys.begin(), keys.end(), sets)) return true;
    const entry* headers = owner.find("headers");
    if (headers == nullptr) return false;
    const entry* set = headers->find("set");
    const auto& removed = children_of(headers->find("remove"));
    return (set != nullptr && set->find(name) != nullptr) ||
           std::any_of(removed.begin(), removed.end(), [&](const entry& each) { return each.text() == name; });
}

// Whom one speaks to. Replicas behind one name are one; another port is another, unless both are `urls` of one
// upstream: those are told to be one.
struct authority {
    std::tuple<bool, std::string, std::uint16_t> is;
    std::string shown; // empty: the URL comes from outside the file
};

class checker {
public:
    checker(const entry& root, problem_list& problems)
        : root_(root), problems_(problems), rules_(build_credential_rules(root)) {}

    void run() {
        const entry* routes = root_.find("routes");
        if (root_.find("upstreams") == nullptr || routes == nullptr) return;
        for (const entry& each : root_.find("upstreams")->children) check_word(each);
        const bool known = !children_of(root_.find("clients")).empty();
        for (const entry& each : routes->children) {
            if (known) { // then no caller's credential goes anywhere
                if (!is_fan_out(each)) check_kept(each);
                check_own(each);
            } else if (is_fan_out(each)) {
                check_parts(each);
            } else {
                check_route(each);
            }
        }
        if (!known) check_listeners();
    }

private:
    [[nodiscard]] const entry* upstream(const entry& reference) const {
        const entry* name = reference.find("name");
        return name != nullptr ? root_.find("upstreams")->find(name->text()) : nullptr;
    }
    [[nodiscard]] const entry* route(const std::string& name) const {
        const auto& all = root_.find("routes")->children;
        const auto found =
            std::find_if(all.begin(), all.end(), [&](const entry& each) { return route_name(each) == name; });
        return found == all.end() ? nullptr : &*found;
    }
    [[nodiscard]] static std::vector<authority> authorities_of(const entry* upstream) {
        std::vector<authority> out;
        const entry* url_of = upstream != nullptr ? upstream->find("url") : nullptr;
        const entry* urls = upstream != nullptr ? upstream->find("urls") : nullptr;
        std::vector<const entry*> written;
        for (const entry& each : children_of(urls)) written.push_back(&each);
        if (written.empty() && url_of != nullptr) written.push_back(url_of);
        for (const entry* each : written) {
            auto parsed = read_url(each->text(), true);
            const auto* good = std::get_if<url>(&parsed);
            if (good == nullptr) return {};
            std::string host = good->host;
            for (char& c : host) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
            if (host.ends_with('.')) host.pop_back();
            out.push_back({{good->tls, host, good->port}, each->note.empty() ? good->authority : ""});
        }
        return out;
    }
    [[nodiscard]] bool hides(const entry& by, const entry& to) const {
        const entry* word = to.find("caller_credentials");
        return !secrets_of(to, rules_).empty() || !secrets_of(by, rules_).empty() ||
               (word != nullptr && (word->is_word("drop") || word->is_word("pass"))) ||
               to.was_refused("caller_credentials") || to.was_refused("headers") || to.was_refused("credentials");
    }

    struct home {
        const entry* asked = nullptr; // the route
        const entry* first = nullptr; // the upstream
        std::vector<authority> at;    // at least one
    };
    // Where `to` would be shown what belongs to `of`; nowhere else: nothing.
    [[nodiscard]] static std::optional<authority> beyond(const home& of, const entry* to) {
        for (const authority& each : authorities_of(to)) {
            if (std::none_of(of.at.begin(), of.at.end(), [&](const authority& own) { return own.is == each.is; }))
                return each;
        }
        return std::nullopt;
    }
    [[nodiscard]] std::optional<home> home_of(const entry& asked, const entry& first_route) const {
        const auto& list = children_of(first_route.find("upstreams"));
        const entry* first = list.empty() ? nullptr : upstream(list.front());
        auto at = authorities_of(first);
        return at.empty() ? std::nullopt : std::optional{home{&asked, first, std::move(at)}};
    }

    // All upstreams of a route, against where its caller's credentials belong. `place`: what leads there, if not the
    // reference.
    void check_upstreams(const home& of, const entry& by, const entry* place) {
        for (const entry& reference : children_of(by.find("upstreams"))) {
            const entry* to = upstream(reference);
            const auto at = beyond(of, to);
            if (!at || hides(by, *to)) continue;
            const entry& shown = place != nullptr ? *place : *reference.find("name");
            if (!said_.emplace(shown.at.begin, to->key).second) continue;
            const auto where = [](const authority& one) {
                return one.shown.empty() ? std::string{"another one"} : one.shown;
            };
            const std::string via = place != nullptr ? fmt::format(" by way of route '{}'", route_name(by)) : "";
            problems_.error(
                shown.at, "credential-crosses",
                fmt::format("route '{0}' would show its callers' credentials to a second authority{1}: they belong "
                            "to that of its first upstream, "
                            "'{2}'{3}, and upstream '{4}' is at {5}; give '{4}' a credential of its own (`headers: "
                            "{{set: {{authorization: ...}}}}`), or "
                            "write there `caller_credentials: drop`, or `pass` if it may see them",
                            route_name(*of.asked), via, of.first->key,
                            of.at.front().shown.empty() ? "" : " at " + of.at.front().shown, to->key, where(*at)),
                {{of.first->key_at, "where they belong"}, {to->key_at, "the other upstream"}});
        }
    }
    void check_ladder(const home& of, const entry& by, const entry* place) {
        for (const entry& rung : children_of(by.find("fallback"))) {
            const entry* to = rung.find("route");
            const entry* other = to != nullptr ? route(to->text()) : nullptr;
            if (other != nullptr && !is_fan_out(*other)) check_upstreams(of, *other, place != nullptr ? place : to);
        }
    }

    void check_route(const entry& one) {
        check_own(one);
        const auto of = home_of(one, one);
        if (!of) return;
        check_upstreams(*of, one, nullptr);
        check_ladder(*of, one, nullptr);
    }

    // The first part is a route that is checked by itself.
    void check_parts(const entry& fan_out) {
        const entry* block = fan_out.find("fan_out");
        const auto& parts = children_of(block->find("parts"));
        const entry* first = parts.empty() ? nullptr : route(parts.front().text());
        const auto of = first != nullptr && !is_fan_out(*first) ? home_of(fan_out, *first) : std::nullopt;
        if (!of) return;
        for (std::size_t i = 1; i < parts.size(); ++i) {
            const entry* part = route(parts[i].text());
            if (part == nullptr || is_fan_out(*part)) continue;
            check_upstreams(*of, *part, &parts[i]);
            check_ladder(*of, *part, &parts[i]);
        }
    }

    // What callers show is a key of this proxy.
    void check_kept(const entry& one) {
        for (const entry& reference : children_of(one.find("upstreams"))) {
            const entry* to = upstream(reference);
            if (to == nullptr || !secrets_of(*to, rules_).empty() || !secrets_of(one, rules_).empty()) continue;
            const entry* word = to->find("caller_credentials");
            if (word != nullptr && word->is_word("drop")) continue;
            if (!said_.emplace(to->key_at.begin, to->key).second) continue;
            const bool passes = word != nullptr && word->is_word("pass");
            problems_.error(
                passes ? word->at : to->key_at, "client-key-crosses",
                fmt::format("upstream '{0}' of route '{1}' would be shown its callers' keys, which are this proxy's "
                            "(`clients`, {2}) and go no further; give '{0}' a credential of its own (`headers: {{set: "
                            "{{authorization: ...}}}}`), or write there `caller_credentials: drop` if it wants none",
                            to->key, route_name(one), problems_.line(root_.find("clients")->key_at)),
                {{root_.find("clients")->key_at, "the clients"}});
        }
    }

    // What the route itself sets goes wherever the route does.
    void check_own(const entry& one) {
        const auto own = secrets_of(one, rules_);
        const auto of = own.empty() ? std::nullopt : home_of(one, one);
        if (!of) return;
        for (const entry& reference : children_of(one.find("upstreams"))) {
            const entry* to = upstream(reference);
            if (!beyond(*of, to)) continue;
            for (const entry* each : own) {
                if (edits(*to, each->key) || !said_.emplace(each->key_at.begin, to->key).second) continue;
                problems_.error(
                    each->key_at, "credential-crosses",
                    fmt::format("route '{0}' would show its own '{1}' to a second authority: it belongs to that of "
                                "its first upstream, '{2}', and "
                                "upstream '{3}' is at another; set it in `upstreams.{2}.headers` instead, and one of "
                                "its own, or `remove: [{1}]`, in "
                                "that of '{3}'",
                                route_name(one), each->key, of->first->key, to->key),
                    {{of->first->key_at, "where it belongs"}, {to->key_at, "the other upstream"}});
            }
        }
    }

    void check_word(const entry& one) {
        const entry* word = one.find("caller_credentials");
        const auto own = secrets_of(one, rules_);
        if (word == nullptr || !word->is_word("pass") || own.empty()) return;
        problems_.error(
            word->at, "contradiction",
            fmt::format("upstream '{}' has a credential of its own ('{}', {}), so it never sees a caller's; leave "
                        "out `caller_credentials: pass`",
                        one.key, own.front()->key, problems_.line(own.front()->key_at)),
            {{own.front()->key_at, "its own"}});
    }

    // evenkeel asks its callers for nothing: whoever reaches it spends what it has.
    void check_listeners() {
        const auto owner = [&](const char* list) -> const entry* {
            for (const entry& each : root_.find(list)->children) {
                if (!secrets_of(each, rules_).empty()) return &each;
            }
            return nullptr;
        };
        const entry* spent = owner("upstreams");
        const std::string what = spent != nullptr ? fmt::format("upstream '{}'", spent->key) : "";
        const entry* by_route = spent == nullptr ? owner("routes") : nullptr;
        if (spent == nullptr && by_route == nullptr) return;
        for (const entry& each : children_of(root_.find("listen"))) {
            const entry* address = each.find("address");
            const auto parsed = address != nullptr ? read_address(address->text())
                                                   : std::variant<listener, bad_network_text>{bad_network_text{}};
            const auto* at = std::get_if<listener>(&parsed);
            if (at == nullptr || at->unix || is_loopback(*at)) continue;
            const entry& shown = spent != nullptr ? *spent : *by_route;
            problems_.warning(address->at, "open-to-all",
                              fmt::format("whoever reaches this address spends the credential of {}: evenkeel asks its "
                                          "callers for none; listen on "
                                          "127.0.0.1 or "
                                          "unix:/path, or let only those who may use it come this far (network policy, "
                                          "a proxy that authenticates)",
                                          spent != nullptr ? what : fmt::format("route '{}'", route_name(*by_route))),
                              {{shown.key_at, "whose it is"}});
        }
    }

    const entry& root_;
    problem_list& problems_;
    credential_rules rules_;
    std::set<std::pair<std::size_t, std::string>> said_; // a ladder of `defaults` stands in many routes
};

} // namespace

credential_rules build_credential_rules(const entry& root) {
    const auto list = [&](std::string_view name) {
        std::vector<std::string> out;
        for (const entry& each : children_of(root.find(name))) out.push_back(each.text());
        return out;
    };
    credential_names more{
        .fields = list("credential_fields"), .query = list("credential_query"), .body = list("credential_body")};
    return more == credential_names{} ? credential_rules{} : credential_rules{std::move(more)};
}

void check_credentials(const entry& root, problem_list& problems) { checker(root, problems).run(); }

} // namespace evenkeel::config
