// Keys of the routes, apart from the policies that `defaults` may hold as well.

#include "config/schema_table.hpp"

#include "config/grammar.hpp"

#include <algorithm>

namespace evenkeel::config {
namespace {

std::string without_trailing_slash(std::string path) {
    while (path.size() > 1 && path.back() == '/') path.pop_back();
    return path;
}
void matched_prefix(const entry& from, route& to) { to.match.path_prefix = without_trailing_slash(from.text()); }
void whole_rewrite(const entry& from, route& to) { to.rewrite = {path_rewrite::kind::whole, from.text()}; }
void prefix_rewrite(const entry& from, route& to) {
    to.rewrite = {path_rewrite::kind::prefix, without_trailing_slash(from.text())};
}

void shard_header(const entry& from, route& to) { // header:NAME, or the word `credential`
    const std::string by = from.text();
    to.shuffle_shard.header = lower_case(by.substr(std::min(by.size(), by.find(':') + 1)));
}

void serves_health(const entry&, route& to) { to.serves = route_serves::health; }
void fans_out(const entry& from, route& to) {
    if (!from.is_off()) to.serves = route_serves::fan_out;
}

} // namespace

// The rows are laid out by hand: one key each, which the formatter would spread over six lines.
// clang-format off

void add_route_keys(std::vector<key_row>& table) {
    using enum value_kind;
    using enum value_shape;
    const std::initializer_list<key_row> rows{
        {.path = "profile", .kind = value_kind::word, .fallback = "tuned", .words = "tuned|classic",
         .documentation = "Which built-in defaults apply where the file says nothing: those listed here, or the "
                          "classic numbers (3 retries without a budget, a breaker of 3 consecutive failures, a "
                          "hedge after 3s, P95 x 1.5)."},
        {.path = "defaults", .kind = block,
         .documentation = "Policies of every route. A route that writes a key overrides only that key."},
        {.path = "routes", .kind = block, .shape = list,
         .documentation = "Which request goes where. The first route that matches wins; none: 404.", .required = true},
        {.path = "routes.name", .kind = name, .documentation = "Unique; labels metrics, logs and headers.",
         .required = true, .fills = member<&route::name>},
        {.path = "routes.match", .kind = block,
         .documentation = "All conditions must hold; without this block every request matches."},
        {.path = "routes.match.path", .kind = path, .documentation = "The exact path, without query.",
         .fills = member<&route::match, &route_match::path>},
        {.path = "routes.match.path_prefix", .kind = path,
         .documentation = "The path or what lies below it: /v1 matches /v1 and /v1/models, not /v10.",
         .fills = by<matched_prefix>},
        {.path = "routes.match.methods", .kind = value_kind::word, .shape = list,
         .words = "GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS",
         .documentation = "Any of these methods; absent: any method.",
         .fills = member<&route::match, &route_match::methods>},
        {.path = "routes.match.headers", .kind = glob, .shape = map,
         .documentation = "Header name to a glob (`*`, `?`) over its value, case-sensitive; all must match.",
         .map_keys = "header_name", .fills = member<&route::match, &route_match::headers>},
        {.path = "routes.match.model", .kind = glob, .shape = one_or_list,
         .documentation = "Globs over the body's \"model\", case-sensitive; any may match. The body is held to see "
                          "it.", .fills = member<&route::match, &route_match::models>},
        {.path = "routes.upstreams", .kind = block, .shape = list,
         .documentation = "Where the route sends its requests, in order of preference; at most 16.",
         .short_form = "name"},
        {.path = "routes.upstreams.name", .kind = name, .documentation = "Name of an upstream.", .required = true},
        {.path = "routes.upstreams.weight", .kind = integer, .min = "1", .max = "1000",
         .documentation = "Share of the requests under `balance: weighted`, which alone takes weights; absent: 1."},
        {.path = "routes.balance", .kind = value_kind::word, .fallback = "failover",
         .words = "failover|least_latency|round_robin|weighted",
         .documentation = "Which upstream is asked first: the first of the list that can be asked, the faster of "
                          "two drawn at random, each in turn, or drawn by weight. The others follow when it fails.",
         .price = "All but failover send ordinary traffic to every upstream.", .fills = member<&route::balance>},
        {.path = "routes.rewrite", .kind = block, .documentation = "Changes the path on the way out; the query stays.",
         .optional_block = true},
        {.path = "routes.rewrite.path", .kind = path, .documentation = "The whole path becomes this.",
         .fills = by<whole_rewrite>},
        {.path = "routes.rewrite.path_prefix", .kind = path,
         .documentation = "What match.path_prefix matched becomes this; `/` removes it.", .fills = by<prefix_rewrite>},
        {.path = "routes.headers", .kind = block,
         .documentation = "Edits of this route's request headers; where both edit a name, the upstream wins."},
        {.path = "routes.headers.set", .kind = header_value, .shape = map,
         .documentation = "Replaces every field of that name.", .secret = true, .can_be_empty = true,
         .map_keys = "header_name", .fills = member<&route::headers, &header_edits::set>},
        {.path = "routes.headers.remove", .kind = header_name, .shape = list,
         .documentation = "Header names that are dropped.", .fills = member<&route::headers, &header_edits::remove>},
        {.path = "routes.shuffle_shard", .kind = block, .fallback = "off", .words = "off",
         .documentation = "Keeps each tenant on its own few of the upstreams, so that what one tenant breaks is "
                          "broken for the tenants of the same shard only. Off until a block is written.",
         .price = "A tenant whose shard is down is not served by the others.",
         .fills = member<&route::shuffle_shard, &shuffle_shard_options::on>},
        {.path = "routes.shuffle_shard.by", .kind = tenant, .fallback = "credential", .words = "credential",
         .documentation = "What names the tenant: its credential, or header:NAME, the value of a request header; a "
                          "request without it belongs to the tenant without a name.",
         .price = "header:NAME believes what the client says.", .fills = by<shard_header>},
        {.path = "routes.shuffle_shard.size", .kind = integer, .fallback = "2", .min = "1", .max = "16",
         .documentation = "Upstreams per tenant.",
         .price = "Larger: more tenants share one; smaller: fewer to fail over to.",
         .fills = member<&route::shuffle_shard, &shuffle_shard_options::size>},
        {.path = "routes.serve", .kind = value_kind::word, .words = "health",
         .documentation = "health: answer with the health document instead of calling an upstream.",
         .fills = by<serves_health>},
    };
    table.insert(table.end(), rows.begin(), rows.end());
    const std::initializer_list<key_row> fan_out{
        {.path = "routes.fan_out", .kind = block, .words = "off",
         .documentation = "Sends one request to several routes at the same time and joins their answers; instead of "
                          "upstreams.",
         .optional_block = true, .fills = by<fans_out>},
        {.path = "routes.fan_out.parts", .kind = name, .shape = list,
         .documentation = "The routes, each asked under its own policies and at its own match.path; at most 16.",
         .price = "As many upstream requests for each of the client's.", .required = true,
         .fills = member<&route::fan_out, &fan_out_options::parts>},
        {.path = "routes.fan_out.min_success", .kind = integer, .fallback = "1", .min = "1", .max = "16",
         .documentation = "Parts that must have answered with a 2xx for the whole to be a 200; else it is a 502.",
         .price = "Higher: what the other parts said comes with an error status.",
         .fills = member<&route::fan_out, &fan_out_options::min_success>},
        {.path = "routes.fan_out.body", .kind = value_kind::word, .fallback = "auto", .words = "auto|same|split",
         .documentation = "What a part is sent. auto: its member of a JSON object whose names are exactly the "
                          "parts, else the whole body; same: always the whole body; split: always its member, and "
                          "anything else is refused with 400.",
         .fills = member<&route::fan_out, &fan_out_options::body>},
    };
    table.insert(table.end(), fan_out.begin(), fan_out.end());
}

} // namespace evenkeel::config
// clang-format on
