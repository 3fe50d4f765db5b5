// Keys of the process itself: where it listens, what it writes, and its bounds.

#include "config/schema_table.hpp"

#include "config/client_keys.hpp"
#include "config/grammar.hpp"

#include <algorithm>
#include <thread>

namespace evenkeel::config {
namespace {

void listens_at(const entry& from, listener& to) { put(from, to, {}); }
void socket_mode(const entry& from, listener& to) {
    if (to.unix) to.unix->mode = static_cast<unsigned>(std::stoul(format_leaf(from.value), nullptr, 8));
}

std::vector<std::string> in_small_letters(const entry& list) {
    std::vector<std::string> out;
    for (const entry& each : list.children) out.push_back(lower_case(each.text()));
    return out;
}
void allowed_hosts(const entry& from, settings& to) { to.pages.hosts = in_small_letters(from); }
void allowed_origins(const entry& from, settings& to) { to.pages.origins = in_small_letters(from); }

void worker_count(const entry& from, settings& to) {
    if (from.is_word("auto")) to.workers = std::max(1U, std::thread::hardware_concurrency());
    put(from, to.workers, {});
}

void key_digests(const entry& from, client& to) {
    for (const entry& each : from.children)
        if (const auto read = read_digest(each.text())) to.keys.push_back(*read);
}

template <auto Key>
constexpr auto traces = member<&settings::tracing, Key>;
template <auto Key>
constexpr auto limit = member<&settings::limits, Key>;

} // namespace

// The rows are laid out by hand: one key each, which the formatter would spread over six lines.
// clang-format off

void add_listening_keys(std::vector<key_row>& table) {
    using enum value_kind;
    using enum value_shape;
    const std::initializer_list<key_row> rows{
        {.path = "version", .kind = integer, .min = "1", .max = "1",
         .documentation = "Version of this file's format.", .required = true},

        {.path = "listen", .kind = block, .shape = one_or_list, .fallback = "127.0.0.1:8080",
         .documentation = "Where applications connect: address:port, unix:/path, or a list of these. Addresses are "
                          "literal; changing them needs a restart.",
         .short_form = "address"},
        {.path = "listen.address", .kind = address,
         .documentation = "Literal address and port, or unix:/path. Port 0 asks the system for a free one.",
         .required = true, .fills = by<listens_at>},
        {.path = "listen.mode", .kind = value_kind::word, .words = "0600|0660|0666",
         .documentation = "Of a unix socket's file: its owner, its group or everybody may connect. Without it: 0660.",
         .fills = by<socket_mode>},
        {.path = "listen.tls", .kind = block,
         .documentation = "Serve HTTPS on this address. Without this block it serves plain HTTP.",
         .optional_block = true},
        {.path = "listen.tls.cert_file", .kind = file,
         .documentation = "Certificate chain in PEM, relative to this file.", .required = true,
         .fills = member<&listener::tls, &server_tls::cert_file>},
        {.path = "listen.tls.key_file", .kind = file,
         .documentation = "Private key in PEM, relative to this file.", .required = true,
         .fills = member<&listener::tls, &server_tls::key_file>},

        {.path = "allowed_hosts", .kind = glob, .shape = one_or_list,
         .documentation = "Names, or globs over them, that a Host field may have on a loopback listener beside "
                          "localhost, literal addresses, names without a dot and host.*.internal; without port. "
                          "Once it is written, other TCP listeners ask for one of these too. Against DNS rebinding.",
         .price = "A page whose name is in it, and resolves to this machine, may use the proxy's credentials.",
         .fills = by<allowed_hosts>},
        {.path = "allowed_origins", .kind = glob, .shape = one_or_list,
         .documentation = "Origins, or globs over them, of pages that may use this proxy from a browser, beside "
                          "those on loopback: scheme://host[:port], null, or * for all.",
         .price = "Such a page spends the proxy's credentials. null is any sandboxed frame.",
         .fills = by<allowed_origins>},

        {.path = "clients", .kind = block, .shape = list,
         .documentation = "Who may use the data port, each known by a key of its own that it shows where the SDKs put "
                          "theirs: authorization: Bearer, x-api-key, api-key or x-goog-api-key. Anybody else gets a "
                          "401. The key goes no further: upstreams have credentials of their own. Without this "
                          "list whoever reaches the port may use it."},
        {.path = "clients.name", .kind = name,
         .documentation = "Unique. Its tenant in bulkheads and shards, and what logs, metrics and the bill call it.",
         .required = true, .fills = member<&client::name>},
        {.path = "clients.key_file", .kind = file,
         .documentation = "A file, relative to this one, with its key or, while one takes another's place, its keys, "
                          "one a line. A reload reads it anew.",
         .required = true, .instead = "key_sha256", .fills = member<&client::key_file>},
        {.path = "clients.key_sha256", .kind = token, .shape = one_or_list,
         .documentation = "In place of it, or beside it: the SHA-256 of its key, or of each, in hexadecimal.",
         .secret = true, .fills = by<key_digests>},
        {.path = "clients.routes", .kind = name, .shape = list,
         .documentation = "The routes that it may ask, and with them what they fall back on; others get a 403. "
                          "Without it: all.",
         .fills = member<&client::routes>},
        {.path = "clients.max_concurrent", .kind = integer, .min = "1", .max = "1000000",
         .documentation = "Requests that it may have under way at a time; a further one gets a 503 with Retry-After. "
                          "Without it: as many as the routes take.",
         .fills = member<&client::max_concurrent>},

        {.path = "watch", .kind = value_kind::word, .fallback = "off", .words = "off|on",
         .documentation = "on: a change of this file, or of a file that it takes a secret, a key or a certificate "
                          "from, is a reload, however it is made: in place, by renaming another over it, or by "
                          "Kubernetes, which swaps the link that they lie behind.",
         .fills = member<&settings::watch>},

        {.path = "workers", .kind = integer, .fallback = "1", .min = "1", .max = "256", .words = "auto",
         .documentation = "Event loops, each on a thread of its own; auto: one per core. Changing it needs a restart.",
         .price = "Each worker has its own connection pools, so upstreams see up to that many times more connections.",
         .fills = by<worker_count>},

        {.path = "admin", .kind = block, .words = "off",
         .documentation = "Dashboard, /health, /metrics and control, apart from the data port. `admin: off` serves "
                          "none of it."},
        {.path = "admin.listen", .kind = address, .fallback = "127.0.0.1:9901",
         .documentation = "Where the admin pages are served. An address beyond loopback demands a token.",
         .fills = member<&settings::admin, &admin::listen>},
        {.path = "admin.metrics_listen", .kind = address,
         .documentation = "A second, read-only address for /metrics, /health, /livez and /readyz, for probes and "
                          "Prometheus.", .fills = member<&settings::admin, &admin::metrics_listen>},
        {.path = "admin.token", .kind = token, .documentation = "Bearer token for admin; empty: none is asked for.",
         .secret = true, .can_be_empty = true, .fills = member<&settings::admin, &admin::token>},
    };
    table.insert(table.end(), rows.begin(), rows.end());
}

static void add_tracing_keys(std::vector<key_row>& table) {
    using enum value_kind;
    using enum value_shape;
    const std::initializer_list<key_row> rows{
        {.path = "tracing", .kind = block, .words = "off",
         .documentation = "Spans of requests and attempts for a collector (OTLP over HTTP, JSON). Without an endpoint, "
                          "here or in OTEL_EXPORTER_OTLP_ENDPOINT, nothing is traced. What is not written here comes "
                          "from the OTEL_ variables.",
         .fills = traces<&tracing_options::on>},
        {.path = "tracing.otlp_endpoint", .kind = url,
         .documentation = "Base URL of the collector: spans go to its path /v1/traces. "
                          "OTEL_EXPORTER_OTLP_ENDPOINT.",
         .fills = traces<&tracing_options::otlp_endpoint>},
        {.path = "tracing.traces_endpoint", .kind = url,
         .documentation = "Instead of it, a URL that is used as it is. OTEL_EXPORTER_OTLP_TRACES_ENDPOINT.",
         .fills = traces<&tracing_options::traces_endpoint>},
        {.path = "tracing.headers", .kind = header_value, .shape = map,
         .documentation = "Fields of each request to the collector. OTEL_EXPORTER_OTLP_HEADERS.",
         .secret = true, .can_be_empty = true, .map_keys = "header_name",
         .fills = traces<&tracing_options::headers>},
        {.path = "tracing.sample", .kind = ratio, .fallback = "0.1", .min = "0", .max = "1",
         .documentation = "Share of the traces that begin here and are kept. Disturbed requests always are, whatever "
                          "this or a caller says. OTEL_TRACES_SAMPLER, OTEL_TRACES_SAMPLER_ARG.",
         .price = "About 1 KB to the collector for each span.", .fills = traces<&tracing_options::sample>},
        {.path = "tracing.parent", .kind = value_kind::word, .fallback = "follow", .words = "follow|ignore",
         .documentation = "Whether a caller's own sampling, told in traceparent, counts before `sample`.",
         .fills = traces<&tracing_options::parent>},
        {.path = "tracing.propagate", .kind = value_kind::word, .fallback = "traceparent",
         .words = "none|traceparent|all",
         .documentation = "What upstreams are told of the trace: nothing, a traceparent of each attempt's own, or "
                          "the caller's tracestate and baggage too.",
         .price = "all: what internal services say of themselves reaches the providers.",
         .fills = traces<&tracing_options::propagate>},
        {.path = "tracing.semconv", .kind = value_kind::word, .fallback = "both", .words = "0.1|1.41|both",
         .documentation = "Which conventions name the attributes of inference: 0.1 of the GenAI conventions, semantic "
                          "conventions up to 1.41, or both. OTEL_SEMCONV_STABILITY_OPT_IN.",
         .fills = traces<&tracing_options::semconv>},
        {.path = "tracing.service_name", .kind = text, .fallback = "evenkeel",
         .documentation = "The resource's service.name. OTEL_SERVICE_NAME.",
         .fills = traces<&tracing_options::service_name>},
        {.path = "tracing.resource", .kind = text, .shape = map,
         .documentation = "Further attributes of the resource. OTEL_RESOURCE_ATTRIBUTES.", .map_keys = "text",
         .fills = traces<&tracing_options::resource>},
    };
    table.insert(table.end(), rows.begin(), rows.end());
}

void add_process_keys(std::vector<key_row>& table) {
    using enum value_kind;
    using enum value_shape;
    const std::initializer_list<key_row> rows{
        {.path = "access_log", .kind = block,
         .documentation = "One line per request; never a body, never a credential."},
        {.path = "access_log.path", .kind = log_file, .fallback = "stdout", .words = "stdout|stderr|off",
         .documentation = "stdout, stderr, off, or a file that is appended to.",
         .fills = member<&settings::access_log, &access_log_options::path>},
        {.path = "access_log.sample_ok", .kind = ratio, .fallback = "1", .min = "0", .max = "1", .words = "off",
         .documentation = "Share of undisturbed requests that are logged; retried, degraded and failed ones always "
                          "are.",
         .price = "One line of about 500 bytes per request.",
         .fills = member<&settings::access_log, &access_log_options::sample_ok>},
        {.path = "access_log.format", .kind = value_kind::word, .fallback = "auto", .words = "auto|json|text",
         .documentation = "json: an object a line, for programs. text: for people, at most 120 columns; a disturbed "
                          "request has a second line with its tries. auto: text where the path is a terminal, else "
                          "json.",
         .fills = member<&settings::access_log, &access_log_options::format>},

        {.path = "journal", .kind = block, .words = "off",
         .documentation = "What is kept in memory of requests that are over, for GET /-/requests and `evenkeel "
                          "explain`: the last disturbed ones, and one a second of the others in a quarter of the "
                          "room. No body, no credential.",
         .fills = member<&settings::journal, &journal_options::on>},
        {.path = "journal.keep", .kind = integer, .fallback = "1000", .min = "1", .max = "1000000",
         .documentation = "Requests that are kept; the oldest go first.", .price = "About 2 KB each.",
         .fills = member<&settings::journal, &journal_options::keep>},
        {.path = "journal.max_bytes", .kind = size, .fallback = "8MiB", .min = "64KiB", .max = "64GiB",
         .documentation = "The memory they may take; the oldest go first.",
         .fills = member<&settings::journal, &journal_options::max_bytes>},

        {.path = "log", .kind = block, .documentation = "What evenkeel says about itself."},
        {.path = "log.level", .kind = value_kind::word, .fallback = "info", .words = "debug|info|warning|error",
         .documentation = "The least severe level that is written.",
         .price = "debug writes several lines per request: one an attempt, and the journal of a disturbed one.",
         .fills = member<&settings::log, &log_options::level>},
        {.path = "log.format", .kind = value_kind::word, .fallback = "text", .words = "text|json",
         .documentation = "Lines for people or for programs.", .fills = member<&settings::log, &log_options::json>},
        {.path = "log.path", .kind = log_file, .fallback = "stderr", .words = "stdout|stderr",
         .documentation = "stderr, stdout, or a file that is appended to.",
         .fills = member<&settings::log, &log_options::path>},

        {.path = "limits", .kind = block,
         .documentation = "Bounds of the process. Each has a metric for the day it is hit."},
        {.path = "limits.max_header_bytes", .kind = size, .fallback = "64KiB", .min = "1KiB", .max = "1MiB",
         .documentation = "Largest head of a request or an answer: start line and headers together.",
         .price = "Memory per connection that sends one.", .fills = limit<&limits::max_header_bytes>},
        {.path = "limits.max_body", .kind = size, .fallback = "128MiB", .min = "1B", .max = "1TiB",
         .documentation = "Largest request body; a larger one is refused with 413.",
         .price = "Bodies are passed through, so this alone costs no memory.", .fills = limit<&limits::max_body>},
        {.path = "limits.header_timeout", .kind = duration, .fallback = "10s", .min = "10ms", .max = "10m",
         .documentation = "Time for a complete request head, from its first byte.",
         .price = "How long a slow client can occupy a connection.", .fills = limit<&limits::header_timeout>},
        {.path = "limits.body_timeout", .kind = duration, .fallback = "30s", .min = "10ms", .max = "1h",
         .documentation = "Longest silence while a request body is being read.",
         .price = "How long a stalled upload occupies a connection and an upstream.",
         .fills = limit<&limits::body_timeout>},
        {.path = "limits.body_min_rate", .kind = size, .fallback = "1KiB", .min = "1B", .max = "1GiB", .words = "off",
         .documentation = "Bytes per second that a request body has to bring, over each 10 s of waiting for it (20 "
                          "s at first). A slower one is refused with 408.",
         .price = "Clients on very slow lines are refused; off lets one that sends a byte now and then stay until "
                  "timeout.total.", .fills = limit<&limits::body_min_rate>},
        {.path = "limits.idle_timeout", .kind = duration, .fallback = "75s", .min = "10ms", .max = "24h",
         .documentation = "How long a client's idle keep-alive connection is kept; announced in Keep-Alive.",
         .price = "Open file descriptors.", .fills = limit<&limits::idle_timeout>},
        {.path = "limits.write_timeout", .kind = duration, .fallback = "60s", .min = "10ms", .max = "1h",
         .documentation = "A client that takes no byte of what is written to it for this long is gone.",
         .price = "How long a stuck client keeps its upstream answer, and its cost, alive.",
         .fills = limit<&limits::write_timeout>},
        {.path = "limits.max_connections", .kind = integer, .fallback = "10000", .min = "1", .max = "1000000",
         .documentation = "Open client connections of the whole process.",
         .price = "File descriptors (two per active request) and about 20 KiB each.",
         .fills = limit<&limits::max_connections>},
        {.path = "limits.memory", .kind = size, .fallback = "1GiB", .min = "1MiB", .max = "1TiB",
         .documentation = "What is held of requests and answers, and the buffers of connections that are busy, of all "
                          "workers; beyond it requests stream and cannot be replayed.",
         .price = "Resident memory at the worst moment.", .fills = limit<&limits::memory>},

        {.path = "drain", .kind = block, .documentation = "What happens on SIGTERM."},
        {.path = "drain.delay", .kind = duration, .fallback = "0s", .min = "0s", .max = "1h",
         .documentation = "How long everything is still served after SIGTERM, new connections too, while /readyz "
                          "already says no: until whoever sends requests here knows, or the application beside it "
                          "is done.",
         .price = "A restart takes that much longer; the orchestrator's grace period covers delay and timeout.",
         .fills = member<&settings::drain_delay>},
        {.path = "drain.timeout", .kind = duration, .fallback = "30s", .min = "0s", .max = "24h",
         .documentation = "How long requests in flight may go on after that before they are cut.",
         .price = "A slower restart; with drain.delay below the orchestrator's own grace period.",
         .fills = member<&settings::drain_timeout>},
    };
    table.insert(table.end(), rows.begin(), rows.end());

    const std::initializer_list<key_row> credentials{
        {.path = "credential_fields", .kind = value_kind::credential, .shape = list,
         .documentation = "Request fields that are credentials beside the known ones (authorization, x-api-key, "
                          "cookie, *-token, ...): names or globs; `!NAME` excepts what a known pattern catches. A "
                          "name in full also names tenants, before all others.",
         .price = "What is listed goes to no upstream with a credential of its own."},
        {.path = "credential_query", .kind = value_kind::credential, .shape = list,
         .documentation = "Likewise members of the query, beside key, api_key, access_token, sig, X-Amz-Signature, "
                          "..."},
        {.path = "credential_body", .kind = value_kind::credential, .shape = list,
         .documentation = "Likewise members of a JSON body's outermost object, beside api_key, access_token, ...",
         .price = "Where one is listed, a body that cannot be looked through is refused by routes that would have "
                  "to drop it."},
    };
    table.insert(table.end(), credentials.begin(), credentials.end());

    add_chaos_keys(table);
    add_tracing_keys(table);
}

} // namespace evenkeel::config
// clang-format on
