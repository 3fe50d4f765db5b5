#include "proxy/wire/model_place.hpp"

#include <doctest/doctest.h>

#include <string>

namespace evenkeel::test::model_place_test {

namespace {
std::string in_path(const std::string& path) {
    const auto found = wire::find_model_in_path(path);
    if (!found) return "none";
    return found->name + " as " + path.substr(found->offset, found->size);
}

const std::string type = "multipart/form-data; boundary=b0";
std::string part(const std::string& head, const std::string& value) { return head + "\r\n\r\n" + value + "\r\n--b0"; }
std::string form(const std::string& parts) { return "--b0\r\n" + parts + "--\r\n"; }
std::string in_form(const std::string& body, const std::string& content_type = type) {
    const auto found = wire::find_model_in_form(content_type, body);
    if (!found) return "none";
    CHECK(body.substr(found->offset, found->size) == found->name);
    return found->name;
}
} // namespace

TEST_CASE("D8: a path names a model as Gemini, Vertex, Azure, Bedrock and Databricks have it") {
    const struct {
        const char* path;
        const char* found;
    } rows[] = {
        {"/v1beta/models/gemini-2.0-flash:generateContent", "gemini-2.0-flash as gemini-2.0-flash"},
        {"/v1beta/tunedModels/mine:streamGenerateContent", "mine as mine"},
        {"/v1/projects/p/locations/l/publishers/anthropic/models/claude%40001:rawPredict",
         "claude@001 as claude%40001"},
        {"/v1/projects/p/locations/l/endpoints/7:predict", "7 as 7"},
        {"/models/a:b:generateContent", "a:b as a:b"},
        {"/openai/deployments/gpt-4o/chat/completions", "gpt-4o as gpt-4o"},
        {"/openai/deployments/a%2Fb/embeddings", "a/b as a%2Fb"},
        {"/v1/engines/davinci/completions", "davinci as davinci"},
        {"/model/anthropic.claude-3%3A0/invoke", "anthropic.claude-3:0 as anthropic.claude-3%3A0"},
        {"/serving-endpoints/dbrx/invocations", "dbrx as dbrx"},
        {"/v1/models/gpt-4o", "none"},
        {"/v1/models", "none"},
        {"/v1beta/models/:generateContent", "none"},
        {"/v1beta/models/x:", "none"},
        {"/v1beta/models/x:generateContent/y", "none"},
        {"/openai/deployments/gpt-4o", "none"},
        {"/openai/deployments/gpt-4o/", "none"},
        {"/openai/deployments//chat", "none"},
        {"/v1/chat/completions", "none"},
        {"/", "none"},
        {"", "none"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.path);
        CHECK(in_path(row.path) == row.found);
    }
    CHECK(wire::path_segment("meta-llama/L 3:8b%é") == "meta-llama%2FL%203%3A8b%25%C3%A9");
}

TEST_CASE("D8: a multipart form names a model in its field `model`") {
    const std::string named = "Content-Disposition: form-data; name=\"model\"";
    const std::string file = "Content-Disposition: form-data; name=\"file\"; filename=\"a; name=\\\"model\\\".wav\"\r\n"
                             "Content-Type: audio/wav";
    CHECK(in_form(form(part(named, "whisper-1"))) == "whisper-1");
    CHECK(in_form(form(part(file, "R\r\n\r\nIFF--b1\r\n-") + "\r\n" + part(named, "whisper-1"))) == "whisper-1");
    CHECK(in_form(form(part("content-disposition: FORM-DATA;name=model", "m"))) == "m");
    CHECK(in_form(form(part("Content-Type: text/plain\r\n" + named, "m"))) == "m");
    CHECK(in_form(form(part(named, ""))) == "");
    CHECK(in_form(form(part(named, "one") + "\r\n" + part(named, "two"))) == "one");
    CHECK(in_form(form(part(named, "m")), "Multipart/Form-Data; charset=x; boundary=\"b0\"") == "m");

    CHECK(in_form(form(part(file, "x"))) == "none");
    CHECK(in_form(form(part("Content-Disposition: form-data; filename=\"model\"", "x"))) == "none");
    CHECK(in_form(form(part(named, "m")), "multipart/form-data") == "none");
    CHECK(in_form(form(part(named, "m")), "application/json") == "none");
    CHECK(in_form(form(part(named, "m")), "multipart/form-data; boundary=other") == "none");
    CHECK(in_form("") == "none");
    CHECK(in_form("--b0") == "none");
    CHECK(in_form("--b0\r\n" + named) == "none");
    CHECK(in_form("--b0\r\n" + named + "\r\n\r\nwhisper") == "none");
    std::string many;
    for (int i = 0; i < 64; ++i) many += part("Content-Disposition: form-data; name=\"x\"", "1") + "\r\n";
    CHECK(in_form(form(many + part(named, "m"))) == "none");
}

} // namespace evenkeel::test::model_place_test
