#include "config/endpoints.hpp"

#include <algorithm>
#include <set>
#include <utility>

namespace evenkeel::config {

namespace {

using endpoint_list = std::vector<std::shared_ptr<const upstream>>;

// As the URL's, with this host.
std::string authority_at(const url& of, const std::string& address) {
    const std::string host = address.find(':') != std::string::npos ? "[" + address + "]" : address;
    const bool standard = of.port == (of.tls ? 443 : 80);
    return standard ? host : host + ":" + std::to_string(of.port);
}

// How many endpoints an upstream with `resolve: each` may have, so that each of its routes can ask them all.
std::size_t room_for(const upstream& one, const settings& in) {
    std::size_t room = max_endpoints_per_route;
    for (const auto& route : in.routes) {
        const auto& all = route->upstreams;
        if (std::none_of(all.begin(), all.end(), [&](const auto& each) { return each->name == one.name; })) continue;
        const auto sharing = static_cast<std::size_t>(
            std::count_if(all.begin(), all.end(), [](const auto& each) { return each->resolve_each; }));
        room = std::min(room, (max_endpoints_per_route - (all.size() - sharing)) / sharing);
    }
    return room;
}

template <class Value>
std::shared_ptr<const Value> same_or_new(Value made, const std::vector<std::shared_ptr<const Value>>& before) {
    const auto same = std::find_if(before.begin(), before.end(), [&](const auto& each) { return *each == made; });
    return same != before.end() ? *same : std::make_shared<const Value>(std::move(made));
}

endpoint_list at_addresses(const upstream& one, const std::vector<std::string>& addresses, std::size_t most,
                           const endpoint_list& before) {
    endpoint_list out;
    for (const std::string& each : std::set<std::string>(addresses.begin(), addresses.end())) {
        if (out.size() == most) break;
        upstream made = one;
        made.endpoint = {authority_at(one.address, each), each, true};
        out.push_back(same_or_new(std::move(made), before));
    }
    return out;
}

} // namespace

endpoint_list endpoints_of(const upstream& written) {
    endpoint_list out;
    for (const url& each : written.urls) {
        upstream made = written;
        made.address = each;
        made.endpoint = {each.authority, {}, written.urls.size() > 1};
        out.push_back(std::make_shared<const upstream>(std::move(made)));
    }
    if (!out.empty()) return out;
    upstream made = written;
    made.endpoint = {made.address.authority, {}, made.resolve_each};
    return {std::make_shared<const upstream>(std::move(made))};
}

snapshot with_addresses(const settings& written, const address_book& known, const settings& before) {
    auto out = std::make_shared<settings>(written);
    std::map<std::string, endpoint_list> found;
    out->upstreams.clear();
    for (const auto& each : written.upstreams) {
        const auto told = known.find(each->name);
        if (!each->resolve_each || told == known.end() || told->second.empty()) {
            out->upstreams.push_back(each);
            continue;
        }
        const endpoint_list& these = found[each->name] =
            at_addresses(*each, told->second, room_for(*each, written), before.upstreams);
        out->upstreams.insert(out->upstreams.end(), these.begin(), these.end());
    }
    for (auto& each : out->routes) {
        route made = *each;
        made.upstreams.clear();
        made.weights.clear();
        for (std::size_t at = 0; at < each->upstreams.size(); ++at) {
            const auto these = found.find(each->upstreams[at]->name);
            const endpoint_list itself{each->upstreams[at]};
            for (const auto& one : these != found.end() ? these->second : itself) {
                made.upstreams.push_back(one);
                made.weights.push_back(each->weights[at]);
            }
        }
        if (!(made == *each)) each = same_or_new(std::move(made), before.routes);
    }
    return out;
}

} // namespace evenkeel::config
