// `tracing`: what a file means, what the OTEL_ variables add to it, and what the file's own word keeps out.

#include "support.hpp"

#include <doctest/doctest.h>

namespace evenkeel::test::tracing_test {

using namespace evenkeel::config;
using namespace evenkeel::config::test;

namespace {
tracing_options read(const std::string& block, const texts& variables = {}) {
    const load_result result = load(good(block), world(variables));
    CAPTURE(printed(result.diagnostics));
    REQUIRE(result.ok());
    CHECK(result.diagnostics.empty());
    return result.settings->tracing;
}
const std::string canary = "sk-CANARY-collector";
} // namespace

TEST_CASE("tracing: every key reaches the settings; without an endpoint nothing is traced") {
    CHECK(read("") == tracing_options{});
    CHECK_FALSE(read("").active());
    CHECK_FALSE(read("tracing: {sample: 1}\n").active());
    CHECK_FALSE(read("tracing: off\n").active());
    const tracing_options all =
        read("tracing: {otlp_endpoint: \"http://c:4318/base/\", traces_endpoint: \"https://c.example/t\", headers: "
             "{X-Api-Key: k}, sample: 0.25, parent: ignore, propagate: all, semconv: \"1.41\", service_name: gate, "
             "resource: {deployment.environment.name: test}}\n");
    CHECK(all.active());
    REQUIRE(all.otlp_endpoint);
    CHECK(all.otlp_endpoint->host == "c");
    CHECK(all.otlp_endpoint->port == 4318);
    CHECK(all.otlp_endpoint->base_path == "/base");
    REQUIRE(all.traces_endpoint);
    CHECK(all.traces_endpoint->tls);
    CHECK(all.headers == std::vector<std::pair<std::string, std::string>>{{"x-api-key", "k"}});
    CHECK(all.sample == 0.25);
    CHECK(all.parent == trace_parent::ignore);
    CHECK(all.propagate == trace_propagation::all);
    CHECK(all.semconv == genai_conventions::v1_41);
    CHECK(read("tracing: {semconv: 0.1}\n").semconv == genai_conventions::v0_1);
    CHECK(read("tracing: {propagate: none}\n").propagate == trace_propagation::none);
    CHECK(all.service_name == "gate");
    CHECK(all.resource == std::vector<std::pair<std::string, std::string>>{{"deployment.environment.name", "test"}});
    CHECK_FALSE(load(good("tracing: {otlp_endpoint: nowhere}\n")).ok());
    CHECK_FALSE(load(good("tracing: {sample: 2}\n")).ok());
    CHECK_FALSE(load(good("tracing: {semconv: 1.40}\n")).ok());
}

TEST_CASE("tracing: the variables of OpenTelemetry are defaults") {
    const tracing_options all = read("", {{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318"},
                                          {"OTEL_EXPORTER_OTLP_HEADERS", "Api-Key=a%20b, x-two=2"},
                                          {"OTEL_SERVICE_NAME", "gate"},
                                          {"OTEL_RESOURCE_ATTRIBUTES", "service.name=no,k8s.pod.name=p%2C1"},
                                          {"OTEL_TRACES_SAMPLER", "parentbased_traceidratio"},
                                          {"OTEL_TRACES_SAMPLER_ARG", "0.5"},
                                          {"OTEL_SEMCONV_STABILITY_OPT_IN", "http,gen_ai_latest_experimental"}});
    CHECK(all.active());
    REQUIRE(all.otlp_endpoint);
    CHECK(all.otlp_endpoint->authority == "collector:4318");
    CHECK(all.headers == std::vector<std::pair<std::string, std::string>>{{"api-key", "a b"}, {"x-two", "2"}});
    CHECK(all.service_name == "gate");
    CHECK(all.resource == std::vector<std::pair<std::string, std::string>>{{"k8s.pod.name", "p,1"}});
    CHECK(all.sample == 0.5);
    CHECK(all.parent == trace_parent::follow);
    CHECK(all.semconv == genai_conventions::v0_1);

    const texts at{{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://c"}};
    const auto with = [&](texts more) {
        more.insert(at.begin(), at.end());
        return read("", more);
    };
    CHECK(with({{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://t/x"}}).traces_endpoint->base_path == "/x");
    CHECK_FALSE(with({{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://t/x"}}).otlp_endpoint);
    CHECK(with({{"OTEL_TRACES_SAMPLER", "always_on"}}).sample == 1);
    CHECK(with({{"OTEL_TRACES_SAMPLER", "always_on"}}).parent == trace_parent::ignore);
    CHECK(with({{"OTEL_TRACES_SAMPLER", "parentbased_always_off"}}).sample == 0);
    CHECK(with({{"OTEL_TRACES_SAMPLER", "traceidratio"}}).sample == 1);
    CHECK(with({{"OTEL_RESOURCE_ATTRIBUTES", "service.name=from-resource"}}).service_name == "from-resource");
    CHECK_FALSE(with({{"OTEL_SDK_DISABLED", "TRUE"}}).active());
    CHECK_FALSE(with({{"OTEL_TRACES_EXPORTER", "none"}}).active());
    CHECK_FALSE(read("", {{"OTEL_SERVICE_NAME", "x"}, {"OTEL_TRACES_SAMPLER", "always_on"}}).active());
}

TEST_CASE("tracing: the file's own word comes first, key by key") {
    const texts variables{{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://variable"},
                          {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://variable/t"},
                          {"OTEL_SERVICE_NAME", "variable"},
                          {"OTEL_TRACES_SAMPLER", "always_on"},
                          {"OTEL_SDK_DISABLED", "true"}};
    const tracing_options mine = read("tracing: {otlp_endpoint: \"http://file\", sample: 0}\n", variables);
    CHECK(mine.active());
    CHECK(mine.otlp_endpoint->host == "file");
    CHECK_FALSE(mine.traces_endpoint);
    CHECK(mine.sample == 0);
    CHECK(mine.parent == trace_parent::ignore);
    CHECK(mine.service_name == "variable");
    CHECK_FALSE(read("tracing: off\n", {{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://variable"}}).active());
    CHECK(read("tracing: {sample: 1}\n", {{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://variable"}}).active());
}

TEST_CASE("tracing: a variable that means nothing is ignored with a warning, and none shows its value") {
    for (const auto& [name, value] : texts{{"OTEL_EXPORTER_OTLP_HEADERS", canary},
                                           {"OTEL_EXPORTER_OTLP_HEADERS", "host=" + canary},
                                           {"OTEL_EXPORTER_OTLP_HEADERS", "a=%zz" + canary},
                                           {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", canary},
                                           {"OTEL_RESOURCE_ATTRIBUTES", canary},
                                           {"OTEL_TRACES_SAMPLER", canary},
                                           {"OTEL_TRACES_SAMPLER_ARG", canary}}) {
        CAPTURE(name);
        texts all{{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://c"}, {name, value}};
        if (name == "OTEL_TRACES_SAMPLER_ARG") all["OTEL_TRACES_SAMPLER"] = "traceidratio";
        const load_result result = load(good(), world(all));
        CHECK(result.ok());
        REQUIRE(result.diagnostics.size() == 1);
        CHECK(result.diagnostics[0].code == "ignored-variable");
        CHECK(result.diagnostics[0].level == severity::warning);
        CHECK(result.diagnostics[0].message.starts_with(name + " is ignored"));
        CHECK(result.diagnostics[0].message.find("CANARY") == std::string::npos);
    }
}

TEST_CASE("tracing: config show says where a value comes from, and no header") {
    const environment env = world({{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318"},
                                   {"OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20" + canary}});
    const auto shown = show_effective(good("tracing: {headers: {x-team: " + canary + "-own}}\n"), "conf/evenkeel.yaml",
                                      env, "", stages);
    REQUIRE(shown);
    CAPTURE(*shown);
    CHECK(shown->find("otlp_endpoint: http://collector:4318  # environment, from OTEL_EXPORTER_OTLP_ENDPOINT") !=
          std::string::npos);
    CHECK(shown->find("CANARY") == std::string::npos);
    const auto from_variables = show_effective(good(), "conf/evenkeel.yaml", env, "", stages);
    REQUIRE(from_variables);
    CHECK(from_variables->find("authorization: \"***\"  # environment, from OTEL_EXPORTER_OTLP_HEADERS") !=
          std::string::npos);
    CHECK(from_variables->find("CANARY") == std::string::npos);
}

} // namespace evenkeel::test::tracing_test
