#include "proxy/cli/starter_file.hpp"

#include "config/network.hpp"
#include "proxy/telemetry/request_story.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>
#include <variant>

namespace evenkeel::cli {

namespace {
std::string header_of(std::string_view field, std::string_view key) {
    return fmt::format("headers: {{set: {{{}: \"{}${{env:{}}}\"}}}}", field, field == "authorization" ? "Bearer " : "",
                       key);
}

// In double quotes: of what is not ours, nothing but itself.
std::string in_quotes(std::string_view text) {
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') out += '\\';
        out += c;
    }
    return out + '"';
}

std::string_view call_of(std::string_view dialect) {
    return dialect == "anthropic" ? "/v1/messages" : "/v1/chat/completions";
}
std::string application_of(std::string_view dialect) {
    if (dialect == "anthropic") return "export ANTHROPIC_BASE_URL=http://127.0.0.1:8080";
    if (dialect == "gemini") return "export GOOGLE_GEMINI_BASE_URL=http://127.0.0.1:8080";
    return "export OPENAI_BASE_URL=http://127.0.0.1:8080/v1";
}

std::string opening(const std::vector<const provider_facts*>& in_order, std::string_view dialect) {
    std::string names, variables;
    for (const provider_facts* each : in_order) {
        names += fmt::format("{}{}", each == in_order.front() ? "" : ", then ", each->title);
        if (each != in_order.front() && !each->key.empty()) variables += fmt::format(" {}=...", each->key);
    }
    std::string out;
    std::istringstream lines(
        telemetry::wrapped(fmt::format("{}, behind evenkeel. The application {}changes only its base URL:", names,
                                       in_order.front()->key.empty()
                                           ? std::string{}
                                           : fmt::format("keeps its own key for {} and ", in_order.front()->title)),
                           110));
    for (std::string line; std::getline(lines, line);) out += "# " + line + '\n';
    out += "#\n";
    if (!variables.empty()) out += fmt::format("#   export{}\n", variables);
    out += fmt::format("#   evenkeel check evenkeel.yaml && evenkeel try -c evenkeel.yaml\n"
                       "#   evenkeel run -c evenkeel.yaml\n#   {}\n#\n",
                       application_of(dialect));
    if (dialect != in_order.front()->first_dialect)
        out += "# The application speaks OpenAI's chat completions to all of them: the one dialect that each of these\n"
               "# speaks, since nothing is translated.\n";
    return out + "# Every key: evenkeel reference. What this comes to: evenkeel config show evenkeel.yaml\n";
}

std::string upstream_of(const provider_facts& one, std::string_view dialect, bool first) {
    const spoken& how = spoken_in(one, dialect);
    std::string out = fmt::format("  {}:\n", one.name);
    if (!one.note.empty()) out += fmt::format("    # {}\n", one.note);
    out += fmt::format("    url: {}\n    dialect: {}\n", in_quotes(how.url), dialect);
    if (!how.paths.empty()) out += fmt::format("    paths: {{{}}} # the same calls, elsewhere\n", how.paths);
    if (first) {
        if (!one.key.empty())
            out += fmt::format("    # With a key set here the application needs none:\n    # {}\n",
                               header_of(how.key_field, one.key));
        return out;
    }
    if (one.key.empty())
        out += "    caller_credentials: drop # takes no key, and is shown nobody's\n";
    else
        out += fmt::format("    {} # a key of its own\n", header_of(how.key_field, one.key));
    out +=
        fmt::format("    models: {{\"*\": {}}} # whatever was asked for, it is asked for this\n", in_quotes(one.model));
    return out;
}
} // namespace

std::string_view common_dialect(const std::vector<const provider_facts*>& in_order) {
    const std::string_view own = in_order.front()->first_dialect;
    const bool all =
        std::ranges::all_of(in_order, [&](const provider_facts* each) { return !spoken_in(*each, own).url.empty(); });
    return all ? own : "openai";
}

std::string starter_file(const std::vector<const provider_facts*>& in_order) {
    const std::string_view dialect = common_dialect(in_order);
    std::string out = opening(in_order, dialect);
    out += "version: 1\nlisten: 127.0.0.1:8080\nadmin: {listen: 127.0.0.1:9901} # /health, /metrics, /-/requests\n\n"
           "upstreams:\n";
    for (const provider_facts* each : in_order) out += upstream_of(*each, dialect, each == in_order.front());
    out += "\nroutes:\n";
    if (in_order.size() > 1) {
        std::string list;
        for (const provider_facts* each : in_order) list += fmt::format("{}{}", list.empty() ? "" : ", ", each->name);
        out += fmt::format(
            "  # In this order: the next one is asked where the one before it fails, or rests after a 429.\n"
            "  - name: chat\n    match: {{path: {}, methods: [POST]}}\n    upstreams: [{}]\n",
            call_of(dialect), list);
        out += "    # A second attempt while the first is silent for unusually long; at most 20 % more work:\n"
               "    # hedge: {delay: auto}\n"
               "  # Everything else (embeddings, files, lists of models) is the first one's alone.\n";
    }
    out += fmt::format("  - name: {0}\n    match: {{path_prefix: {1}}}\n    upstreams: [{0}]\n", in_order.front()->name,
                       dialect == "gemini" ? "/v1beta" : "/v1");
    if (in_order.size() == 1)
        out += "    # A second attempt while the first is silent for unusually long; at most 20 % more work:\n"
               "    # hedge: {delay: auto}\n";
    return out;
}

std::string file_of(const plain_run& wanted) {
    std::string out = fmt::format("version: 1\nlisten: {}\nadmin: ", in_quotes(wanted.listen));
    out += wanted.admin == "off" ? std::string{"off\n"} : fmt::format("{{listen: {}}}\n", in_quotes(wanted.admin));
    out += "upstreams:\n";
    std::string list;
    std::vector<const place_with_key*> all{&wanted.to};
    for (const place_with_key& each : wanted.then) all.push_back(&each);
    std::size_t number = 0;
    for (const place_with_key* each : all) {
        ++number;
        const auto read = config::read_url(each->url, true);
        const auto* url = std::get_if<config::url>(&read);
        const provider_facts* known = url != nullptr ? provider_at(url->host) : nullptr;
        out += fmt::format("  upstream_{}:\n    url: {}\n", number, in_quotes(each->url));
        list += fmt::format("{}upstream_{}", list.empty() ? "" : ", ", number);
        if (!each->key.empty()) {
            const bool anthropic = known != nullptr && known->first_dialect == "anthropic";
            const std::string_view field = known == nullptr ? "authorization"
                                           : anthropic      ? known->anthropic.key_field
                                                            : known->openai.key_field;
            out += fmt::format("    {}\n", header_of(field, each->key));
        } else if (each != &wanted.to) {
            out += "    caller_credentials: drop\n";
        }
    }
    out += fmt::format("routes:\n  - name: all\n    match: {{path_prefix: /}}\n    upstreams: [{}]\n", list);
    return out;
}

} // namespace evenkeel::cli
