#include "config/build.hpp"

#include "config/chaos_rules.hpp"
#include "config/client_keys.hpp"
#include "config/credential_checks.hpp"
#include "config/endpoints.hpp"
#include "config/expand.hpp"
#include "config/fill.hpp"

#include <algorithm>
#include <initializer_list>
#include <stdexcept>

namespace evenkeel::config {
namespace {

using file_reader = std::function<std::optional<std::string>(const std::string&)>;

// What cannot be said of one key alone: what refers to another part of the file, and what follows from several keys.
class builder {
public:
    builder(const entry& root, const std::string& directory, const file_reader& read_file)
        : root_(root), directory_(directory), read_file_(read_file) {}

    settings build();

private:
    template <class Owner>
    [[nodiscard]] destination into(Owner& owner) const {
        return {&owner, directory_};
    }
    static const std::vector<entry>& elements(const entry& block, std::string_view name) {
        static const std::vector<entry> none;
        const entry* found = block.find(name);
        return found != nullptr ? found->children : none;
    }
    static std::string text(const entry& block, std::string_view name) {
        const entry* found = block.find(name);
        return found != nullptr ? found->text() : std::string{};
    }
    template <class Owner>
    void fill_keys(const entry& block, Owner& owner, std::initializer_list<std::string_view> names) const {
        for (const std::string_view name : names) {
            if (const entry* found = block.find(name)) fill(*found, into(owner));
        }
    }
    [[nodiscard]] bool has_secret(const header_edits& edits) const {
        return std::any_of(edits.set.begin(), edits.set.end(),
                           [&](const auto& one) { return sets_credential(out_.credentials, one.first, one.second); });
    }

    void build_process();
    [[nodiscard]] client build_client(const entry& from) const;
    [[nodiscard]] upstream build_upstream(const entry& from) const;
    [[nodiscard]] route build_route(const entry& from) const;
    [[nodiscard]] fallback_step build_step(const entry& from) const;

    const entry& root_;
    const std::string& directory_;
    const file_reader& read_file_;
    settings out_;
};

void builder::build_process() {
    route usual; // what `defaults` says, as a route would have it
    for (const entry& each : root_.children) fill(each, each.key == "defaults" ? into(usual) : into(out_));
    out_.replay_buffer = usual.retry.replay_buffer;
    out_.budget = usual.retry.budget;
    out_.circuit_breaker = usual.circuit_breaker;
    out_.credentials = build_credential_rules(root_);
    if (const entry* chaos = root_.find("chaos")) out_.chaos.rules = build_chaos_rules(*chaos);
    for (const entry& each : elements(root_, "listen")) fill(each, into(out_.listen.emplace_back()));
}

client builder::build_client(const entry& from) const {
    client out;
    fill(from, into(out));
    if (out.key_file.empty()) return out;
    // It was there a moment ago; without it nobody would be let in.
    const auto text = read_file_ ? read_file_(out.key_file) : std::nullopt;
    if (!text) throw std::runtime_error("a key file is gone");
    for (const std::string_view key : keys_in(*text)) out.keys.push_back(digest_of(key));
    return out;
}

upstream builder::build_upstream(const entry& from) const {
    upstream out;
    out.name = from.key;
    fill(from, into(out));
    for (const entry& each : elements(from, "prices")) fill(each, into(out.prices[each.key]));
    for (const entry& each : elements(from, "credentials")) fill(each, into(out.credentials.emplace_back()));
    out.own_credential = !out.credentials.empty() || has_secret(out.headers);
    return out;
}

fallback_step builder::build_step(const entry& from) const {
    fallback_step out;
    fill(from, into(out));
    if (out.is == fallback_kind::route) {
        const auto& routes = elements(root_, "routes");
        const std::string wanted = text(from, "route");
        out.route =
            static_cast<std::size_t>(std::find_if(routes.begin(), routes.end(),
                                                  [&](const entry& each) { return text(each, "name") == wanted; }) -
                                     routes.begin());
    }
    if (const entry* respond = from.find("respond")) {
        std::optional<std::string> body;
        if (const std::string file = text(*respond, "body_file"); !file.empty() && read_file_)
            body = read_file_(resolve_path(directory_, file));
        out.respond.body = std::make_shared<const std::string>(body ? std::move(*body) : text(*respond, "body"));
    }
    return out;
}

route builder::build_route(const entry& from) const {
    route out;
    out.credentials = out_.credentials;
    fill_keys(from, out, {"name", "match", "serve", "fan_out"});
    for (const entry& each : elements(from, "fallback")) out.fallback.push_back(build_step(each));
    if (out.serves == route_serves::health) return out;
    if (out.serves == route_serves::fan_out) {
        fill_keys(from, out, {"timeout", "stream"});
        out.retry.replay_buffer = out_.replay_buffer; // its parts share one copy of the body
        return out;
    }
    fill(from, into(out));
    for (const entry& each : elements(from, "upstreams")) {
        const entry* weight = each.find("weight");
        for (const auto& endpoint : out_.upstreams) {
            if (endpoint->name != text(each, "name")) continue;
            out.upstreams.push_back(endpoint);
            out.weights.push_back(weight != nullptr ? static_cast<double>(*weight->get<std::int64_t>()) : 1);
        }
    }
    out.own_credential = has_secret(out.headers);
    out.own_budget = out.retry.max_retries > 0 && !(out.retry.budget == out_.budget);
    out.own_circuit = out.circuit_breaker.on && !(out.circuit_breaker == out_.circuit_breaker);
    return out;
}

settings builder::build() {
    build_process();
    for (const entry& each : elements(root_, "clients")) {
        client one = build_client(each);
        one.place = out_.clients.size();
        out_.clients.push_back(std::make_shared<const client>(std::move(one)));
    }
    for (const entry& each : elements(root_, "upstreams")) {
        for (auto& endpoint : endpoints_of(build_upstream(each))) out_.upstreams.push_back(std::move(endpoint));
    }
    std::vector<route> routes;
    for (const entry& each : elements(root_, "routes")) routes.push_back(build_route(each));
    const auto hides = [](const route& one) {
        return std::any_of(one.upstreams.begin(), one.upstreams.end(),
                           [&](const auto& to) { return hides_callers(one, *to); });
    };
    for (route& each : routes) {
        each.hides_some =
            hides(each) || std::any_of(each.fallback.begin(), each.fallback.end(), [&](const fallback_step& step) {
                return step.is == fallback_kind::route && step.route < routes.size() && hides(routes[step.route]);
            });
    }
    for (route& each : routes) out_.routes.push_back(std::make_shared<const route>(std::move(each)));
    return std::move(out_);
}

} // namespace

settings build_settings(const entry& root, const std::string& directory, const file_reader& read_file) {
    return builder(root, directory, read_file).build();
}

} // namespace evenkeel::config
