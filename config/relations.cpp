#include "config/relations.hpp"

#include "config/chaos_rules.hpp"
#include "config/client_checks.hpp"
#include "config/credential_checks.hpp"
#include "config/expand.hpp"
#include "config/grammar.hpp"
#include "config/network.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace evenkeel::config {
namespace {

struct place_to_listen {
    const entry* at;
    listener parsed;
    std::string name;
};

void add_place(std::vector<place_to_listen>& places, const entry* e, std::string name) {
    if (e == nullptr || !e->is_leaf()) return;
    auto parsed = read_address(e->text());
    if (auto* good = std::get_if<listener>(&parsed)) places.push_back({e, std::move(*good), std::move(name)});
}

void check_file(const entry* e, problem_list& problems, const environment& env, const std::string& directory) {
    if (e == nullptr || e->text().empty()) return;
    if (env.file && env.file(resolve_path(directory, e->text()))) return;
    const std::string shown = e->note.empty() && !e->secret ? " '" + e->text() + "'" : "";
    problems.error(e->at, "unreadable-file", fmt::format("'{}': file{} cannot be read", e->key, shown));
}

void check_pages(const entry& root, problem_list& problems) {
    const auto each_of = [&root](std::string_view key, const auto& check) {
        if (const entry* list = root.find(key)) {
            for (const entry& each : list->children) check(each, each.text());
        }
    };
    each_of("allowed_hosts", [&](const entry& each, const std::string& text) {
        if (text.find_first_of(":/@[") == std::string::npos) return;
        problems.error(each.at, "bad-host-pattern",
                       "a name without scheme, port and path, like llm.example.com or *.example.com (literal addresses "
                       "need no entry)");
    });
    each_of("allowed_origins", [&](const entry& each, const std::string& text) {
        if (text == "*" || text == "null") return;
        const std::size_t mark = text.find("://");
        if (mark != std::string::npos && mark > 0 && text.size() > mark + 3 &&
            text.find_first_of("/@?#", mark + 3) == std::string::npos)
            return;
        if (mark != std::string::npos && mark > 0 && text.size() == mark + 3) return; // file://
        problems.error(each.at, "bad-origin",
                       "an origin is scheme://host[:port] without a path, like https://app.example.com; or null; or *");
    });
}

void check_edits(const entry& owner, problem_list& problems) {
    const entry* headers = owner.find("headers");
    const entry* set = headers != nullptr ? headers->find("set") : nullptr;
    const entry* remove = headers != nullptr ? headers->find("remove") : nullptr;
    if (set == nullptr || remove == nullptr) return;
    for (const entry& each : remove->children) {
        const entry* both = set->find(each.text());
        if (both == nullptr) continue;
        problems.error(each.at, "contradiction",
                       fmt::format("'{}' is both set ({}) and removed; setting alone replaces every field of that name",
                                   each.text(), problems.line(both->key_at)),
                       {{both->key_at, "set here"}});
    }
}

void check_prewarm(const entry& root, const entry& upstream, problem_list& problems) {
    const entry* prewarm = upstream.find("prewarm");
    const entry* pool = upstream.find("connections");
    if (prewarm == nullptr || prewarm->is_off() || pool == nullptr) return;
    const entry* probe = prewarm->find("probe");
    const entry* headers = upstream.find("headers");
    const entry* set = headers != nullptr ? headers->find("set") : nullptr;
    const entry* keys = upstream.find("credentials");
    const bool has_own = (set != nullptr && !set->children.empty()) || (keys != nullptr && !keys->children.empty());
    if (probe != nullptr && !probe->is_off() && !has_own) {
        problems.error(probe->key_at, "has-no-effect",
                       fmt::format("'prewarm.probe' needs a credential of upstream '{}' itself (headers.set, or "
                                   "credentials): those of the applications are not sent for it",
                                   upstream.key));
    }
    const entry* idle = pool->find("idle_timeout");
    if (idle != nullptr && idle->get<duration>() != nullptr && *idle->get<duration>() == duration::zero()) {
        problems.error(prewarm->key_at, "has-no-effect",
                       fmt::format("'prewarm' has no effect: connections of upstream '{}' are never kept idle "
                                   "(connections.idle_timeout is 0s)",
                                   upstream.key),
                       {{idle->at, "set here"}});
        return;
    }
    const auto number = [](const entry* e) {
        return e != nullptr && e->get<std::int64_t>() != nullptr ? *e->get<std::int64_t>() : 0;
    };
    const std::int64_t workers = std::max<std::int64_t>(number(root.find("workers")), 1);
    const entry* least = prewarm->find("min_idle");
    const entry* most = pool->find("max");
    if (number(most) == 0 || (number(least) + workers - 1) / workers <= number(most)) return;
    problems.error(least->at, "contradiction",
                   fmt::format("'prewarm.min_idle' is {} and upstream '{}' may have {} connections per worker",
                               number(least), upstream.key, number(most)),
                   {{most->at, "connections.max"}});
}

// What one may be shown they all may, and what is learned of a name is kept by it: so they are one kind, and each once.
void check_urls(const entry& upstream, const entry& urls, problem_list& problems) {
    std::vector<std::pair<url, const entry*>> seen;
    for (const entry& each : urls.children) {
        auto parsed = read_url(each.text(), true);
        auto* const good = std::get_if<url>(&parsed);
        if (good == nullptr) continue;
        if (!seen.empty() && seen.front().first.tls != good->tls)
            problems.error(each.at, "contradiction",
                           fmt::format("the urls of upstream '{}' are all https or all http: what goes to one of them "
                                       "goes to any, and would go in the clear",
                                       upstream.key),
                           {{seen.front().second->at, "the first one"}});
        const auto same = std::find_if(seen.begin(), seen.end(), [&](const auto& other) {
            return other.first.host == good->host && other.first.port == good->port;
        });
        if (same != seen.end())
            problems.error(each.at, "duplicate-url",
                           fmt::format("upstream '{}' has two urls at one host and port ({}): to whoever asks they are "
                                       "one endpoint",
                                       upstream.key, problems.line(same->second->at)),
                           {{same->second->at, "first named here"}});
        seen.emplace_back(std::move(*good), &each);
    }
}

void check_endpoints(const entry& upstream, problem_list& problems) {
    const entry* one = upstream.find("url");
    const entry* urls = upstream.find("urls");
    const entry* resolve = upstream.find("resolve");
    const entry* balance = upstream.find("balance");
    const bool each = resolve != nullptr && resolve->is_word("each");
    if (one != nullptr && urls != nullptr)
        problems.error(urls->key_at, "contradiction",
                       fmt::format("'url' ({}) and 'urls' exclude each other; keep one", problems.line(one->key_at)),
                       {{one->key_at, "'url' is set here"}});
    if (urls != nullptr && urls->children.empty())
        problems.error(urls->at, "empty-value", "'urls' names no endpoint; write `url` if there is one");
    if (urls != nullptr) check_urls(upstream, *urls, problems);
    if (urls != nullptr && each)
        problems.error(resolve->at, "contradiction",
                       "'resolve: each' makes endpoints of the addresses of one `url`; 'urls' has named them already",
                       {{urls->key_at, "'urls' is set here"}});
    if (balance != nullptr && balance->from != origin::built_in && urls == nullptr && !each &&
        !upstream.was_refused("urls") && !upstream.was_refused("resolve"))
        problems.error(balance->key_at, "has-no-effect",
                       fmt::format("'balance' has no effect: upstream '{}' has one endpoint; `urls` or `resolve: each` "
                                   "give it several, and among upstreams the route's `balance` chooses",
                                   upstream.key));
    if (!each || one == nullptr || urls != nullptr) return;
    const auto parsed = read_url(one->text(), true);
    const auto* good = std::get_if<url>(&parsed);
    if (good == nullptr) return;
    if (is_literal(good->host))
        problems.error(resolve->at, "contradiction",
                       fmt::format("'resolve: each' needs a name to look up, and the url of upstream '{}' has an "
                                   "address; list several under `urls`",
                                   upstream.key),
                       {{one->at, "'url' is set here"}});
    if (const entry* proxy = upstream.find("proxy"); proxy != nullptr && !proxy->text().empty())
        problems.error(resolve->at, "contradiction",
                       fmt::format("'resolve: each' has no effect behind an egress proxy, which looks names up itself "
                                   "(upstream '{}'); leave it out",
                                   upstream.key),
                       {{proxy->at, "'proxy' is set here"}});
}

// Told where it is plain to see; by another name it is found out when it is asked (proxy/net/own_addresses.hpp).
void check_not_ourselves(const entry& root, const std::vector<place_to_listen>& places, problem_list& problems) {
    const entry* upstreams = root.find("upstreams");
    if (upstreams == nullptr) return;
    const auto leads_to = [](const url& from, const listener& to) {
        if (to.unix || to.port == 0 || to.port != from.port) return false;
        listener there;
        there.host = from.host;
        const bool here = from.host == "localhost" || is_loopback(there);
        const bool everywhere = to.host == "0.0.0.0" || to.host == "::";
        return from.host == to.host || (here && (everywhere || (from.host == "localhost" && is_loopback(to))));
    };
    for (const entry& each : upstreams->children) {
        std::vector<const entry*> written;
        if (const entry* urls = each.find("urls")) {
            for (const entry& one : urls->children) written.push_back(&one);
        } else if (const entry* one = each.find("url")) {
            written.push_back(one);
        }
        for (const entry* one : written) {
            const auto parsed = read_url(one->text(), true);
            const auto* at = std::get_if<url>(&parsed);
            if (at == nullptr) continue;
            const auto ours = std::find_if(places.begin(), places.end(), [&](const place_to_listen& place) {
                return place.name == "listen" && leads_to(*at, place.parsed);
            });
            if (ours == places.end()) continue;
            problems.warning(one->at, "own-address",
                             fmt::format("upstream '{}' is this proxy itself: what it is sent comes back as a request, "
                                         "and is refused",
                                         each.key),
                             {{ours->at->at, "where it listens"}});
        }
    }
}

} // namespace

void check_listeners(const entry& root, problem_list& problems) {
    std::vector<place_to_listen> places;
    if (const entry* listen = root.find("listen")) {
        for (const entry& each : listen->children) {
            add_place(places, each.find("address"), "listen");
            const entry* mode = each.find("mode");
            if (mode == nullptr || places.empty() || places.back().parsed.unix) continue;
            problems.error(mode->at, "has-no-effect", "'mode' is of a unix socket's file, and this address has none");
        }
    }
    const entry* admin = root.find("admin");
    const entry* admin_listen = admin != nullptr ? admin->find("listen") : nullptr;
    add_place(places, admin_listen, "admin.listen");
    add_place(places, admin != nullptr ? admin->find("metrics_listen") : nullptr, "admin.metrics_listen");

    for (std::size_t i = 0; i < places.size(); ++i) {
        for (std::size_t j = 0; j < i; ++j) {
            if (!collide(places[i].parsed, places[j].parsed)) continue;
            const bool second_in_file = places[i].at->from != origin::built_in;
            const place_to_listen& shown = second_in_file ? places[i] : places[j];
            const place_to_listen& other = second_in_file ? places[j] : places[i];
            const bool written = other.at->from != origin::built_in;
            problems.error(shown.at->at, "duplicate-listener",
                           fmt::format("'{}' takes the address of '{}' ({})", shown.name, other.name,
                                       written ? problems.line(other.at->at) : "built-in"),
                           written ? std::vector<note>{{other.at->at, "taken here"}} : std::vector<note>{});
            break;
        }
    }

    check_not_ourselves(root, places, problems);
    if (admin_listen == nullptr) return;
    const auto parsed = read_address(admin_listen->text());
    const auto* at = std::get_if<listener>(&parsed);
    const entry* token = admin->find("token");
    if (at != nullptr && !is_loopback(*at) && (token == nullptr || token->text().empty()) &&
        !admin->was_refused("token")) {
        problems.error(token != nullptr ? token->at : admin_listen->at, "token-required",
                       "admin.listen is reachable from other machines, so admin.token must not be empty; "
                       "or listen on 127.0.0.1 and serve metrics with admin.metrics_listen");
    }
}

void check_upstreams(const entry& root, problem_list& problems, const environment& env, const std::string& directory) {
    if (const entry* listen = root.find("listen")) {
        for (const entry& each : listen->children) {
            const entry* tls = each.find("tls");
            if (tls == nullptr) continue;
            check_file(tls->find("cert_file"), problems, env, directory);
            check_file(tls->find("key_file"), problems, env, directory);
        }
    }
    const entry* upstreams = root.find("upstreams");
    if (upstreams == nullptr) return;
    for (const entry& each : upstreams->children) {
        check_edits(each, problems);
        check_prewarm(root, each, problems);
        check_endpoints(each, problems);
        const entry* proxy = each.find("proxy");
        if (proxy != nullptr && lower_case(proxy->text()).rfind("https:", 0) == 0) {
            problems.error(proxy->at, "not-available",
                           "an egress proxy is spoken to in plain HTTP in this version; write http://");
        }
        const entry* tls = each.find("tls");
        if (tls == nullptr) continue;
        const entry* cert = tls->find("cert_file");
        const entry* key = tls->find("key_file");
        check_file(tls->find("ca_file"), problems, env, directory);
        check_file(cert, problems, env, directory);
        check_file(key, problems, env, directory);
        const bool has_cert = cert != nullptr && !cert->text().empty();
        const bool has_key = key != nullptr && !key->text().empty();
        if (has_cert != has_key) {
            problems.error((has_cert ? cert : key)->at, "missing-key",
                           "a client certificate needs both cert_file and key_file");
        }
        const entry* verify = tls->find("verify");
        if (verify != nullptr && verify->get<bool>() != nullptr && !*verify->get<bool>()) {
            problems.warning(
                verify->at, "insecure",
                fmt::format("upstream '{}' accepts any certificate; whoever sits on the path can read its credential "
                            "and its traffic (use ca_file for a private authority)",
                            each.key));
        }
        const entry* urls = each.find("urls");
        const entry* url = urls != nullptr && !urls->children.empty() ? &urls->children.front() : each.find("url");
        const bool plain = url != nullptr && lower_case(url->text()).rfind("http:", 0) == 0;
        for (const entry& leaf_entry : tls->children) {
            if (plain && leaf_entry.from != origin::built_in) {
                problems.error(leaf_entry.key_at, "has-no-effect",
                               fmt::format("'tls.{}' has no effect: the URL of upstream '{}' is http, not https",
                                           leaf_entry.key, each.key));
            }
        }
    }
}

// `off` says that nothing is retried; an empty list leaves it open whether that was meant.
void check_retry(const entry* holder, problem_list& problems) {
    const entry* retry = holder != nullptr ? holder->find("retry") : nullptr;
    const entry* on = retry != nullptr ? retry->find("on") : nullptr;
    const bool inherited = on != nullptr && holder->from == origin::route && on->from != origin::route;
    if (on == nullptr || inherited || !on->children.empty() || problems.has_errors()) return;
    problems.error(on->at, "empty-value", "'on' names no failure to retry; write `retry: off` to retry none");
}

// What may not be sent twice is not sent for two either.
void check_coalesce(const entry& holder, origin own, problem_list& problems) {
    const entry* mode = holder.find("coalesce");
    const entry* retry = holder.find("retry");
    const entry* replay = retry != nullptr ? retry->find("replay") : nullptr;
    if (mode == nullptr || mode->from != own || mode->is_off() || replay == nullptr || !replay->is_word("never"))
        return;
    problems.error(mode->key_at, "has-no-effect",
                   fmt::format("'coalesce' has no effect beside `retry.replay: never` ({}): no request may be sent "
                               "again, so none is shared",
                               problems.line(replay->at)),
                   {{replay->key_at, "'replay' is set here"}});
}

void check_relations(const entry& root, problem_list& problems, const environment& env, const std::string& directory) {
    check_listeners(root, problems);
    check_pages(root, problems);
    check_upstreams(root, problems, env, directory);
    check_routes(root, problems);
    check_fallbacks(root, problems, env, directory);
    check_clients(root, problems, env, directory);
    // Of a file that was read whole: an upstream whose key could not be read would look as if it had none.
    if (!problems.has_errors()) check_credential_lists(root, problems);
    if (!problems.has_errors()) check_credentials(root, problems);
    check_chaos(root, problems);
    check_retry(root.find("defaults"), problems);
    if (const entry* routes = root.find("routes")) {
        for (const entry& each : routes->children) {
            check_edits(each, problems);
            check_retry(&each, problems);
            check_coalesce(each, origin::route, problems);
        }
    }
}

} // namespace evenkeel::config
