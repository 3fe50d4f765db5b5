// Keys of the providers that are called.

#include "config/schema_table.hpp"

namespace evenkeel::config {
namespace {
template <auto Key>
constexpr auto prewarms = member<&upstream::prewarm, Key>;
template <auto Key>
constexpr auto paced = member<&upstream::pace, Key>;
} // namespace

// The rows are laid out by hand: one key each, which the formatter would spread over six lines.
// clang-format off

void add_upstream_keys(std::vector<key_row>& table) {
    using enum value_kind;
    using enum value_shape;
    const std::initializer_list<key_row> rows{
        {.path = "upstreams", .kind = block, .shape = map,
         .documentation = "The providers, by name. Several keys of one of them are its `credentials`.",
         .map_keys = "name"},
        {.path = "upstreams.url", .kind = url,
         .documentation = "Absolute http or https URL. A base path is put before each request's path; Host is its "
                          "authority.",
         .required = true, .instead = "urls", .fills = member<&upstream::address>},
        {.path = "upstreams.urls", .kind = url, .shape = list,
         .documentation = "In place of `url`: the endpoints of one provider that answer alike, all http or all https. "
                          "Each has its own circuit, rests, latency and connections, and all of them whatever "
                          "credential this upstream has.",
         .price = "What one has been told (a rest, a circuit) the others have to find out.",
         .fills = member<&upstream::urls>},
        {.path = "upstreams.resolve", .kind = value_kind::word, .fallback = "any", .words = "any|each",
         .documentation = "each: every address that the host of `url` resolves to is an endpoint of its own, looked "
                          "up again every 5 s; one that is gone gets no new attempts. any: they are one endpoint, and "
                          "a connection goes to the first that takes it.",
         .price = "each: a look-up every 5 s, and each address begins with nothing learned.",
         .fills = member<&upstream::resolve_each>},
        {.path = "upstreams.balance", .kind = value_kind::word, .fallback = "least_latency",
         .words = "failover|least_latency|round_robin",
         .documentation = "How a request chooses among this upstream's endpoints; `routes.balance` chooses among "
                          "upstreams.",
         .fills = member<&upstream::balance>},
        {.path = "upstreams.dialect", .kind = value_kind::word, .fallback = "auto",
         .words = "auto|openai|anthropic|gemini|ollama|generic",
         .documentation = "How answers and errors are read; auto: recognised from the path and the first event.",
         .fills = member<&upstream::dialect>},
        {.path = "upstreams.headers", .kind = block,
         .documentation = "Edits of each request's headers on the way to this upstream. With a credential among "
                          "them no credential of the application's own goes there, in any field, query member or "
                          "member of the body."},
        {.path = "upstreams.headers.set", .kind = header_value, .shape = map,
         .documentation = "Replaces every field of that name. Take credentials from ${env:NAME} or ${file:PATH}.",
         .secret = true, .can_be_empty = true, .map_keys = "header_name",
         .fills = member<&upstream::headers, &header_edits::set>},
        {.path = "upstreams.headers.remove", .kind = header_name, .shape = list,
         .documentation = "Header names that are dropped.", .fills = member<&upstream::headers, &header_edits::remove>},
        {.path = "upstreams.credentials", .kind = block, .shape = list,
         .documentation = "Several keys of this provider, in place of one in headers.set: each attempt shows one of "
                          "them. What a key is refused (a rate limit, money, itself) is kept of it and the model, "
                          "and the request goes on with the next one.",
         .price = "One more attempt for each key that a request finds refused."},
        {.path = "upstreams.credentials.name", .kind = name,
         .documentation = "Unique in its upstream. Metrics, logs, traces and x-evenkeel-tries tell of a key by this "
                          "name, and what is known of it outlives a reload by it.",
         .required = true, .fills = member<&credential::name>},
        {.path = "upstreams.credentials.set", .kind = header_value, .shape = map,
         .documentation = "The fields that show this key: credentials by name, built in or of `credential_fields`. "
                          "Take them from ${env:NAME} or ${file:PATH}; after a reload another value begins with "
                          "nothing against it.",
         .secret = true, .required = true, .map_keys = "header_name", .fills = member<&credential::set>},
        {.path = "upstreams.credential_order", .kind = value_kind::word, .fallback = "fill_first",
         .words = "fill_first|spread",
         .documentation = "fill_first: the first key of the list that may be asked. spread: the one with the fewest "
                          "attempts under way.",
         .price = "spread: what the provider caches for one key, it caches for each.",
         .fills = member<&upstream::credential_order>},
        {.path = "upstreams.quota_scope", .kind = value_kind::word, .fallback = "credential",
         .words = "credential|upstream",
         .documentation = "Whose a rate limit and spent money are. credential: the key's that met it. upstream: all "
                          "keys draw on one quota (an organisation's), so that all rest with one.",
         .price = "credential, where it is not so: each request asks key after key in vain.",
         .fills = member<&upstream::quota_scope>},
        {.path = "upstreams.pace", .kind = block, .fallback = "off", .words = "off",
         .documentation = "Requests and tokens are sent no faster than the provider lets them in: who would meet a "
                          "429 waits in line instead, by deadline and in turn with other tenants, batch "
                          "(x-evenkeel-priority) behind interactive, or takes another key or upstream where it cannot "
                          "be in time. By the quota's owner (quota_scope) and model. It never refuses.",
         .price = "Requests wait for up to max_wait where a quota is used up.", .fills = paced<&pace_options::on>},
        {.path = "upstreams.pace.requests", .kind = rate, .fallback = "learn", .min = "1/min", .max = "1000000000/min",
         .words = "learn",
         .documentation = "learn: by the rate-limit fields of its answers or, where there are none, by what it "
                          "refuses, shared with whoever else uses the quota. A rate (600/min) is this process's own.",
         .fills = paced<&pace_options::requests>},
        {.path = "upstreams.pace.tokens", .kind = rate, .fallback = "learn", .min = "1/min", .max = "1000000000/min",
         .words = "learn",
         .documentation = "Likewise of tokens, input and output together: estimated before a request is sent, settled "
                          "by what its answer says.",
         .fills = paced<&pace_options::tokens>},
        {.path = "upstreams.pace.headroom", .kind = ratio, .fallback = "0.03", .min = "0", .max = "0.5",
         .documentation = "The part of each limit that is left alone.", .price = "As much less is used.",
         .fills = paced<&pace_options::headroom>},
        {.path = "upstreams.pace.max_wait", .kind = duration, .fallback = "10s", .min = "0s", .max = "24h",
         .documentation = "After so long a request goes through, whatever is left.",
         .price = "Shorter: more 429s while more is asked for than there is.", .fills = paced<&pace_options::max_wait>},
        {.path = "upstreams.caller_credentials", .kind = value_kind::word, .fallback = "auto",
         .words = "auto|pass|drop",
         .documentation = "Whether the applications' own credentials go to this upstream. auto: not if it "
                          "has one of its own; else to the authority of a route's first upstream alone, and any other "
                          "must have one of its own or say pass or drop here.",
         .price = "pass: whoever runs this upstream can use its callers' credentials at the first one.",
         .fills = member<&upstream::caller_credentials>},
        {.path = "upstreams.models", .kind = text, .shape = map,
         .documentation = "Renames the request's model on the way out, wherever it is named: in a JSON body, a form or "
                          "the path; nothing else changes. A name, or a glob (`*`, `?`): the name in full first, then "
                          "the longest glob.",
         .map_keys = "text", .fills = member<&upstream::models>},
        {.path = "upstreams.paths", .kind = path, .shape = map,
         .documentation = "Where this provider has other paths for the same calls: what a path begins with (whole "
                          "segments, the longest first), and what stands there instead. After a route's rewrite, "
                          "before the URL's base path; the query stays. The call is still taken for what it was.",
         .map_keys = "path", .fills = member<&upstream::paths>},
        {.path = "upstreams.prices", .kind = block, .shape = map,
         .documentation = "What a million tokens cost, by the model that this upstream is asked for (behind `models`): "
                          "a name, or a glob (`*`, `?`), the name in full first, then the longest glob. Then metrics, "
                          "access log and x-evenkeel-cost say what attempts cost, in whatever money this is.",
         .price = "Bodies are read ahead to see their model, as far as retry.replay_buffer holds them.",
         .map_keys = "text"},
        {.path = "upstreams.prices.input", .kind = ratio, .fallback = "0", .min = "0", .max = "1000000",
         .documentation = "Of input that the provider's cache has no part in.", .fills = member<&price::input>},
        {.path = "upstreams.prices.output", .kind = ratio, .fallback = "0", .min = "0", .max = "1000000",
         .documentation = "Of output, reasoning included.", .fills = member<&price::output>},
        {.path = "upstreams.prices.cached_read", .kind = ratio, .fallback = "auto", .min = "0", .max = "1000000",
         .words = "auto", .documentation = "Of input read from the provider's cache; auto: as input.",
         .fills = member<&price::cached_read>},
        {.path = "upstreams.prices.cached_write", .kind = ratio, .fallback = "auto", .min = "0", .max = "1000000",
         .words = "auto", .documentation = "Of input written to the provider's cache; auto: as input.",
         .fills = member<&price::cached_write>},
        {.path = "upstreams.tls", .kind = block, .documentation = "How an https upstream is verified."},
        {.path = "upstreams.tls.ca_file", .kind = file, .fallback = "system", .words = "system",
         .documentation = "Certificate authorities in PEM, relative to this file; system: the machine's store.",
         .fills = member<&upstream::tls, &client_tls::ca_file>},
        {.path = "upstreams.tls.server_name", .kind = host, .fallback = "auto", .words = "auto",
         .documentation = "Name sent (SNI) and verified; auto: the host of the URL.",
         .fills = member<&upstream::tls, &client_tls::server_name>},
        {.path = "upstreams.tls.cert_file", .kind = file, .documentation = "Client certificate in PEM; empty: none.",
         .can_be_empty = true, .fills = member<&upstream::tls, &client_tls::cert_file>},
        {.path = "upstreams.tls.key_file", .kind = file, .documentation = "Private key of the client certificate.",
         .can_be_empty = true, .fills = member<&upstream::tls, &client_tls::key_file>},
        {.path = "upstreams.tls.verify", .kind = boolean, .fallback = "true",
         .documentation = "false accepts any certificate: whoever sits on the path reads credentials and prompts.",
         .fills = member<&upstream::tls, &client_tls::verify>},
        {.path = "upstreams.proxy", .kind = url,
         .documentation = "HTTP proxy that connections are tunnelled through (CONNECT).",
         .fills = member<&upstream::proxy>},
        {.path = "upstreams.connections", .kind = block, .documentation = "The pool of connections, per worker."},
        {.path = "upstreams.connections.max", .kind = integer, .fallback = "1024", .min = "1", .max = "65535",
         .documentation = "Open connections per worker and endpoint; further attempts wait.",
         .price = "Providers may count connections; each holds a descriptor and TLS state.",
         .fills = member<&upstream::connections, &connection_options::max>},
        {.path = "upstreams.connections.idle_timeout", .kind = duration, .fallback = "30s", .min = "0s", .max = "24h",
         .documentation = "How long an unused connection is kept.",
         .price = "Longer than the provider's own timeout means requests sent into connections it has just closed.",
         .fills = member<&upstream::connections, &connection_options::idle_timeout>},
        {.path = "upstreams.connections.max_age", .kind = duration, .fallback = "5m", .min = "1s", .max = "24h",
         .documentation = "A connection older than this takes no further request, so that changes of DNS are noticed.",
         .price = "Slower to follow a provider that moves.",
         .fills = member<&upstream::connections, &connection_options::max_age>},
        {.path = "upstreams.connections.retry_stale", .kind = boolean, .fallback = "true",
         .documentation = "One free retry on a fresh connection if a reused one died before any byte of the answer.",
         .fills = member<&upstream::connections, &connection_options::retry_stale>},
        {.path = "upstreams.forwarded", .kind = boolean, .fallback = "off", .words = "off",
         .documentation = "true appends X-Forwarded-*; off because providers need not learn the client's address.",
         .fills = member<&upstream::forwarded>},
        {.path = "upstreams.prewarm", .kind = block, .fallback = "off", .words = "off",
         .documentation = "Connections opened ahead of demand, so that an attempt finds one ready.",
         .price = "Idle connections at the provider, opened anew whenever it ends them while there are requests.",
         .fills = prewarms<&prewarm_options::on>},
        {.path = "upstreams.prewarm.min_idle", .kind = integer, .fallback = "2", .min = "1", .max = "1024",
         .documentation = "Idle connections kept ready, of all workers together; each keeps its share, rounded up.",
         .price = "As many that nobody uses in quiet times.", .fills = prewarms<&prewarm_options::min_idle>},
        {.path = "upstreams.prewarm.predict", .kind = boolean, .fallback = "true",
         .documentation = "Beyond min_idle, what the rate of requests, its trend and the time each takes are about "
                          "to need; at most 32 idle per worker.",
         .price = "More idle connections for a while after each burst.", .fills = prewarms<&prewarm_options::predict>},
        {.path = "upstreams.prewarm.probe", .kind = block, .fallback = "off", .words = "off",
         .documentation = "A GET with this upstream's own credential (each of several in turn) on one of its idle "
                          "connections now and then, so that a dead way and a refused credential are found early. "
                          "It changes no circuit.",
         .price = "One request per interval and worker, which the provider may count."},
        {.path = "upstreams.prewarm.probe.path", .kind = path,
         .documentation = "Path of that request, behind the URL's base path.", .required = true,
         .fills = prewarms<&prewarm_options::probe_path>},
        {.path = "upstreams.prewarm.probe.interval", .kind = duration, .fallback = "15s", .min = "1s", .max = "24h",
         .documentation = "Between two of them.", .fills = prewarms<&prewarm_options::probe_interval>},
    };
    table.insert(table.end(), rows.begin(), rows.end());
}

} // namespace evenkeel::config
// clang-format on
