// The reference file, the examples and the schema are promises about the reader; here they are held to it.

#include "config/schema.hpp"
#include "config/value.hpp"
#include "schema_check.hpp"
#include "support.hpp"

#include <doctest/doctest.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <set>

namespace evenkeel::test::documents_test {

using namespace evenkeel::config;
using namespace evenkeel::config::test;

namespace {

// As an editor sees it, by the rules of YAML 1.2: only plain true, false and decimal numbers are not strings.
boost::json::value to_json(const YAML::Node& n) {
    if (n.IsSequence()) {
        boost::json::array out;
        for (const auto& each : n) out.push_back(to_json(each));
        return out;
    }
    if (n.IsMap()) {
        boost::json::object out;
        for (const auto& each : n) out[each.first.Scalar()] = to_json(each.second);
        return out;
    }
    if (n.IsNull()) return nullptr;
    const std::string& text = n.Scalar();
    if (n.Tag() == "!") return boost::json::string(text);
    if (text == "true" || text == "false") return text == "true";
    const auto whole = read_integer(text);
    if (const auto* number = std::get_if<std::int64_t>(&whole)) return *number;
    const auto fraction = read_number(text);
    if (const auto* number = std::get_if<double>(&fraction)) return *number;
    return boost::json::string(text);
}

std::vector<std::string> schema_errors(const std::string& yaml) {
    static const schema_check check(boost::json::parse(json_schema()));
    return check.errors(to_json(YAML::Load(yaml)));
}

// Every key of the file as `a.b.c`, without the names of map members and the positions in lists.
void collect_paths(const YAML::Node& n, const schema_node& schema, std::set<const key_row*>& out) {
    if (n.IsSequence()) {
        for (const auto& each : n) collect_paths(each, schema, out);
        return;
    }
    if (!n.IsMap()) return;
    for (const auto& each : n) {
        if (schema.shape() == value_shape::map && schema.kind() == value_kind::block &&
            schema.child(each.first.Scalar()) == nullptr) {
            collect_paths(each.second, schema, out);
            continue;
        }
        const schema_node* child = schema.child(each.first.Scalar());
        if (child == nullptr) continue;
        if (child->row != nullptr) out.insert(child->row);
        collect_paths(each.second, *child, out);
    }
}

std::string last_part(std::string_view path) {
    const std::size_t dot = path.rfind('.');
    return std::string(dot == std::string_view::npos ? path : path.substr(dot + 1));
}

std::string seventeen_upstreams() {
    std::string upstreams, names;
    for (int i = 0; i < 17; ++i) {
        const std::string name = "u" + std::to_string(i);
        upstreams += "  " + name + ": {url: \"http://" + name + "\"}\n";
        names += (i > 0 ? ", " : "") + name;
    }
    return "version: 1\nupstreams:\n" + upstreams + "routes: [{name: r, upstreams: [" + names + "]}]\n";
}

bool below_unavailable(const key_row& row) {
    return std::any_of(key_table().begin(), key_table().end(), [&](const key_row& other) {
        return !other.available && row.path.size() > other.path.size() &&
               row.path.substr(0, other.path.size()) == other.path && row.path[other.path.size()] == '.';
    });
}

} // namespace

TEST_CASE("the reference file and all examples check clean, without a warning") {
    std::vector<std::string> names = example_names();
    names.push_back("reference.yaml");
    names.push_back("examples/several-keys.yaml");
    for (const std::string& name : names) {
        CAPTURE(name);
        const load_result result = load_file(config_file(name), process_environment());
        CAPTURE(printed(result.diagnostics));
        CHECK(result.ok());
        CHECK(result.diagnostics.empty());
    }
}

TEST_CASE("the examples listen on this machine only and leave the application's credential alone") {
    for (const std::string& name : example_names()) {
        CAPTURE(name);
        const load_result result = load_file(config_file(name), world());
        REQUIRE(result.ok());
        const settings& s = *result.settings;
        REQUIRE(s.listen.size() == 1);
        CHECK(s.listen[0].host == "127.0.0.1");
        CHECK(s.listen[0].port == 8080);
        CHECK(s.admin.listen->port == 9901);
        for (const auto& u : s.upstreams) CHECK(u->headers == header_edits{});
    }
}

TEST_CASE("the example of several keys has two, and another secret for each from the environment") {
    const load_result result =
        load_file(config_file("examples/several-keys.yaml"), world({{"TEAM_KEY", "one"}, {"SPARE_KEY", "two"}}));
    REQUIRE(result.ok());
    const auto& keys = result.settings->upstreams[0]->credentials;
    REQUIRE(keys.size() == 2);
    CHECK(keys[0] == credential{"team", {{"authorization", "Bearer one"}}});
    CHECK(keys[1] == credential{"spare", {{"authorization", "Bearer two"}}});
}

TEST_CASE("every key of the table is in the reference file") {
    const std::string text = read_file(config_file("reference.yaml"));
    std::set<const key_row*> written;
    collect_paths(YAML::Load(text), schema_root(), written);
    for (const key_row& row : key_table()) {
        CAPTURE(row.path);
        const std::string name = last_part(row.path);
        if (!row.available) {
            if (below_unavailable(row)) continue;
            CHECK(text.find("# " + name + ": off") != std::string::npos);
            const std::size_t at = text.find("# " + name + ": off");
            const std::string line = text.substr(at, text.find('\n', at) - at);
            CHECK(line.find("# not available in this version") != std::string::npos);
        } else if (row.path.substr(0, 10) == "listen.tls" || row.path == "listen.mode" ||
                   row.path == "fallback.respond.body_file" || row.path == "clients.key_file") {
            // These need files that a reference cannot bring along, or a unix socket, so it shows them in comments.
            CHECK(text.find(name + ":") != std::string::npos);
        } else {
            CHECK(written.count(&row) == 1);
        }
    }
}

TEST_CASE("every key that the reference file lists as not available is in the table as that") {
    std::istringstream in(read_file(config_file("reference.yaml")));
    for (std::string line; std::getline(in, line);) {
        const std::size_t mark = line.find("# not available in this version");
        if (mark == std::string::npos) continue;
        CAPTURE(line);
        const std::size_t begin = line.find("# ") + 2;
        const std::string name = line.substr(begin, line.find(':') - begin);
        CHECK(std::any_of(key_table().begin(), key_table().end(),
                          [&](const key_row& row) { return !row.available && last_part(row.path) == name; }));
    }
}

TEST_CASE("the reference file shows the defaults and the ranges that the table has") {
    const std::string text = read_file(config_file("reference.yaml"));
    const load_result loaded = load(text);
    REQUIRE(loaded.ok());
    const settings shown = *loaded.settings;
    const settings plain = *load(good()).settings;
    CHECK(shown.workers == plain.workers);
    CHECK(shown.limits == plain.limits);
    CHECK(shown.log == plain.log);
    CHECK(shown.access_log == plain.access_log);
    CHECK(shown.drain_timeout == plain.drain_timeout);
    CHECK(shown.drain_delay == plain.drain_delay);
    CHECK(shown.listen == plain.listen);
    CHECK(shown.admin.listen == plain.admin.listen);
    CHECK(shown.upstreams[0]->connections == plain.upstreams[0]->connections);
    CHECK(shown.upstreams[0]->tls == plain.upstreams[0]->tls);
    CHECK(shown.upstreams[0]->dialect == plain.upstreams[0]->dialect);
    CHECK(shown.upstreams[0]->prewarm == evenkeel::prewarm_options{.on = true, .probe_path = "/v1/models"});
    CHECK(shown.upstreams[0]->forwarded == plain.upstreams[0]->forwarded);
    CHECK(shown.routes[1]->timeout == plain.routes[0]->timeout);
    CHECK(shown.routes[1]->retry == plain.routes[0]->retry);
    CHECK(shown.routes[1]->stream == plain.routes[0]->stream);
    CHECK(shown.routes[1]->circuit_breaker == plain.routes[0]->circuit_breaker);
    CHECK(shown.routes[1]->cooldown == plain.routes[0]->cooldown);
    CHECK(shown.routes[1]->overload == plain.routes[0]->overload);
    CHECK(shown.routes[1]->hedge == plain.routes[0]->hedge);
    CHECK(shown.routes[1]->bulkhead == plain.routes[0]->bulkhead);
    CHECK(shown.routes[1]->coalesce == plain.routes[0]->coalesce);
    evenkeel::hedge_options hedge;
    hedge.on = true;
    CHECK(shown.routes[0]->hedge == hedge);
    CHECK(shown.replay_buffer == plain.replay_buffer);
    CHECK(shown.last_good == plain.last_good);
    CHECK(shown.journal == plain.journal);
    REQUIRE(shown.routes[0]->fallback.size() == 3);
    const fallback_step plain_step;
    CHECK(shown.routes[0]->fallback[0].key == plain_step.key);
    CHECK(shown.routes[0]->fallback[0].max_age == plain_step.max_age);
    CHECK(shown.routes[0]->fallback[2].respond.status == plain_step.respond.status);
    CHECK(shown.routes[0]->fallback[2].respond.content_type == plain_step.respond.content_type);
    CHECK(shown.routes[1]->fallback == plain.routes[0]->fallback);
    for (const key_row& row : key_table()) {
        if (!row.available || row.max.empty() || row.path == "version" || row.kind == value_kind::ratio) continue;
        CAPTURE(row.path);
        const std::string range = std::string(row.min) + " to " + std::string(row.max);
        CHECK(text.find(range) != std::string::npos);
    }
}

TEST_CASE("the schema file is what the table makes of it") {
    CHECK(read_file(config_file("evenkeel.schema.json")) == json_schema());
}

TEST_CASE("the schema accepts the reference file and all examples") {
    std::vector<std::string> names = example_names();
    names.push_back("reference.yaml");
    names.push_back("examples/several-keys.yaml");
    for (const std::string& name : names) {
        CAPTURE(name);
        const std::vector<std::string> errors = schema_errors(read_file(config_file(name)));
        CAPTURE(errors.empty() ? std::string() : errors.front());
        CHECK(errors.empty());
    }
}

TEST_CASE("the schema accepts what the reader accepts and refuses what it refuses, key by key") {
    struct row {
        const char* name;
        std::string yaml;
        bool accepted;
    };
    for (const row& r :
         {row{"plain", good(), true},
          row{"list of listeners", good("listen: [127.0.0.1:1, {address: \"127.0.0.1:2\"}]\n"), true},
          row{"admin off", good("admin: off\n"), true},
          row{"no fallback", good("", "", "    fallback: []\n"), true},
          row{"fallback off", good("", "", "    fallback: off\n"), true},
          row{"fallback on", good("", "", "    fallback: on\n"), false},
          row{"one step that is off", good("", "", "    fallback: [off]\n"), false},
          row{"a canned answer", good("", "", "    fallback: [{respond: {status: 503, body: \"{}\"}}]\n"), true},
          row{"a canned 100", good("", "", "    fallback: [{respond: {status: 100, body: \"{}\"}}]\n"), false},
          row{"a last good answer", good("", "", "    fallback: [{last_good: {}}]\n"), true},
          row{"no such key of a last good answer", good("", "", "    fallback: [{last_good: {key: body}}]\n"), false},
          row{"store off", good("last_good: off\n"), true},
          row{"too small a store", good("last_good: {max_bytes: \"5\"}\n"), false},
          row{"tracing off", good("tracing: off\n"), true},
          row{"tracing", good("tracing: {otlp_endpoint: \"http://c:4318\", sample: 0.1, semconv: both}\n"), true},
          row{"tracing of more than all", good("tracing: {sample: 2}\n"), false},
          row{"tracing to no URL", good("tracing: {otlp_endpoint: c}\n"), false},
          row{"coalesce by word", good("", "", "    coalesce: deterministic\n"), true},
          row{"coalesce what", good("", "", "    coalesce: sometimes\n"), false},
          row{"coalesce as a switch", good("", "", "    coalesce: true\n"), false},
          row{"bulkhead off", good("", "", "    bulkhead: off\n"), true},
          row{"bulkhead by numbers",
              good("", "", "    bulkhead: {max_concurrent: 1, max_queue: 0, queue_timeout: 1ms, tenant_share: 1}\n"),
              true},
          row{"bulkhead of nobody", good("", "", "    bulkhead: {max_concurrent: 0}\n"), false},
          row{"bulkhead without a share", good("", "", "    bulkhead: {tenant_share: 0}\n"), false},
          row{"shuffle shard off", good("", "", "    shuffle_shard: off\n"), true},
          row{"shuffle shard by credential", good("", "", "    shuffle_shard: {by: credential, size: 1}\n"), true},
          row{"shuffle shard by a header", good("", "", "    shuffle_shard: {by: \"header:X-Team\"}\n"), true},
          row{"shuffle shard by nothing", good("", "", "    shuffle_shard: {by: \"header:\"}\n"), false},
          row{"shuffle shard by something else", good("", "", "    shuffle_shard: {by: team}\n"), false},
          row{"shuffle shard of nothing", good("", "", "    shuffle_shard: {size: 0}\n"), false},
          row{"hedge off", good("", "", "    hedge: off\n"), true},
          row{"hedge on", good("", "", "    hedge: {}\n"), true},
          row{"hedge after a duration", good("", "", "    hedge: {delay: 3s}\n"), true},
          row{"hedge after a quantile", good("", "", "    hedge: {delay: p99.9}\n"), true},
          row{"hedge after too small a quantile", good("", "", "    hedge: {delay: p12}\n"), false},
          row{"hedge after a number", good("", "", "    hedge: {delay: 3}\n"), false},
          row{"hedge on by a word", good("", "", "    hedge: on\n"), false},
          row{"one duration for both shapes", good("", "", "    timeout: {adaptive: {initial: 20s, min: 2s}}\n"), true},
          row{"a duration for one shape", good("", "", "    timeout: {adaptive: {initial: {stream: 20s}}}\n"), true},
          row{"a number for both shapes", good("", "", "    timeout: {adaptive: {initial: 20}}\n"), false},
          row{"an adaptive block is not switched off", good("", "", "    timeout: {adaptive: off}\n"), false},
          row{"attempt adaptive", good("", "", "    timeout: {attempt: adaptive}\n"), true},
          row{"profile", good("profile: classic\n"), true},
          row{"no such profile", good("profile: modern\n"), false},
          row{"a probe", good("", "    headers: {set: {x-api-key: k}}\n    prewarm: {probe: {path: /v1/models}}\n"),
              true},
          row{"a probe of nothing",
              good("", "    headers: {set: {x-api-key: k}}\n    prewarm: {probe: {interval: 5s}}\n"), false},
          row{"breaker off", good("", "", "    circuit_breaker: off\n"), true},
          row{"breaker automatic",
              good("", "", "    circuit_breaker: {failure_ratio: auto, min_calls: auto, hold_max: auto}\n"), true},
          row{"breaker by numbers",
              good("", "", "    circuit_breaker: {failure_ratio: 0.5, min_calls: 12, hold_max: 3s}\n"), true},
          row{"breaker of a wrong scope", good("", "", "    circuit_breaker: {scope: host}\n"), false},
          row{"a weight",
              good("", "", "    balance: weighted\n")
                  .replace(good().find("[openai]"), 8, "[{name: openai, weight: 2}]"),
              true},
          row{"no weight",
              good("", "", "    balance: weighted\n")
                  .replace(good().find("[openai]"), 8, "[{name: openai, weight: 0}]"),
              false},
          row{"budget off", good("", "", "    retry: {budget: off}\n"), true},
          row{"unknown key", good("banana: 1\n"), false},
          row{"unknown nested key", good("log: {levle: info}\n"), false},
          row{"duration", good("drain: {timeout: 1m30.5s}\n"), true},
          row{"bare number", good("drain: {timeout: 30}\n"), false},
          row{"duration without unit", good("drain: {timeout: \"30\"}\n"), false},
          row{"size", good("limits: {max_body: 5MiB}\n"), true},
          row{"decimal size", good("limits: {max_body: 5MB}\n"), false},
          row{"variable", good("drain: {timeout: \"${env:D:-3s}\"}\n"), true},
          row{"variable for a number", good("workers: \"${env:W:-3}\"\n"), true},
          row{"auto", good("workers: auto\n"), true},
          row{"out of range", good("workers: 0\n"), false},
          row{"boolean", good("", "    connections: {retry_stale: false}\n"), true},
          row{"yes", good("", "    connections: {retry_stale: yes}\n"), false},
          row{"bad word", good("", "    dialect: openia\n"), false},
          row{"one model", good("", "", "    match: {model: \"a*\"}\n"), true},
          row{"several models", good("", "", "    match: {model: [\"a*\", b]}\n"), true},
          row{"bad header name", good("", "    headers: {set: {\"a b\": c}}\n"), false},
          row{"two upstreams",
              "version: 1\nupstreams: {a: {url: \"http://a\"}, b: {url: \"http://b\", caller_credentials: "
              "drop}}\nroutes: [{name: r, upstreams: "
              "[a, b]}]\n",
              true},
          row{"seventeen upstreams", seventeen_upstreams(), false},
          row{"retry off", good("", "", "    retry: off\n"), true},
          row{"retry with everything",
              good("", "",
                   "    retry: {max_retries: 1, on: [timeout], backoff: {initial: 1s, max: 2s, base: 1, jitter: none}, "
                   "max_retry_after: 0s, replay: auto, replay_buffer: 64KiB, budget: {extra_work: 0, burst: 0, "
                   "min_per_second: 0}}\n"),
              true},
          row{"retry on an unknown word", good("", "", "    retry: {on: [time_out]}\n"), false},
          row{"retry on nothing", good("", "", "    retry: {on: []}\n"), false},
          row{"no retries", good("", "", "    retry: {max_retries: 0}\n"), false},
          row{"a base below one", good("", "", "    retry: {backoff: {base: 0.5}}\n"), false},
          row{"a head that is not held", good("", "", "    stream: {head_hold: off}\n"), true},
          row{"streams that are resumed", good("", "", "    stream: {resume: verified_replay, min_rate: 0.5}\n"), true},
          row{"streams that are resumed somehow", good("", "", "    stream: {resume: prefill}\n"), false},
          row{"buffered requests as streams", good("", "", "    stream: {upcast: on}\n"), true},
          row{"buffered requests as streams by guess", good("", "", "    stream: {upcast: auto}\n"), false},
          row{"streams that are asked what they take", good("", "", "    stream: {usage: ask}\n"), true},
          row{"streams that are told what they take", good("", "", "    stream: {usage: on}\n"), false},
          row{"prices",
              good("", "    prices: {\"a*\": {input: 2.5, output: 10}, b: {cached_read: 0, cached_write: auto}}\n"),
              true},
          row{"a price below nothing", good("", "    prices: {a: {input: -1}}\n"), false},
          row{"a price of everything", good("", "    prices: {a: 5}\n"), false},
          row{"a price of something else", good("", "    prices: {a: {inputs: 1}}\n"), false},
          row{"a rate of nothing", good("", "", "    stream: {resume: buffer, min_rate: 0}\n"), false},
          row{"missing routes", "version: 1\n", false},
          row{"missing url", "version: 1\nupstreams: {a: {}}\nroutes: [{name: r, upstreams: [a]}]\n", false},
          row{"null block", good("log:\n"), false}}) {
        CAPTURE(r.name);
        const load_result read = load(r.yaml);
        CAPTURE(printed(read.diagnostics));
        CHECK(read.ok() == r.accepted);
        const std::vector<std::string> errors = schema_errors(r.yaml);
        CAPTURE(errors.empty() ? std::string() : errors.front());
        CHECK(errors.empty() == r.accepted);
    }
}

TEST_CASE("the schema documents every key, with its default") {
    const boost::json::value schema = boost::json::parse(json_schema());
    CHECK(schema.at("$schema").as_string() == "http://json-schema.org/draft-07/schema#");
    CHECK(schema.at("additionalProperties").as_bool() == false);
    const boost::json::object& timeout =
        schema.at("properties").at("defaults").at("properties").at("timeout").at("properties").as_object();
    CHECK(timeout.at("total").at("default").as_string() == "600s");
    CHECK(timeout.at("total").at("description").as_string().size() > 20);
    CHECK(schema.at("properties").at("workers").at("default").to_number<int>() == 1);
}

} // namespace evenkeel::test::documents_test
