#include "proxy/cli/tiny_call.hpp"

#include "config/renames.hpp"
#include "proxy/cli/providers.hpp"
#include "proxy/reading/outgoing.hpp"
#include "proxy/reading/router.hpp"
#include "proxy/wire/calls.hpp"
#include "proxy/wire/gate.hpp"
#include "proxy/wire/model_place.hpp"

#include <boost/json.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <optional>

namespace evenkeel::cli {

namespace {
namespace json = boost::json;

bool has_wildcard(std::string_view glob) { return glob.find_first_of("*?") != std::string_view::npos; }

std::string_view dialect_of(const config::upstream& to, const config::route& route) {
    switch (to.dialect) {
    case config::dialect_setting::anthropic: return "anthropic";
    case config::dialect_setting::gemini: return "gemini";
    case config::dialect_setting::ollama: return "ollama";
    case config::dialect_setting::openai: return "openai";
    case config::dialect_setting::automatic:
    case config::dialect_setting::generic: break;
    }
    const std::string& prefix = route.match.path_prefix;
    if (prefix.find("/api") == 0) return "ollama";
    if (prefix.find("/v1beta") == 0) return "gemini";
    const provider_facts* const known = provider_at(to.address.host);
    return known != nullptr ? known->first_dialect : "openai";
}

// Of an application that speaks it; {} is the model.
std::string_view usual_path(std::string_view dialect) {
    if (dialect == "anthropic") return "/v1/messages";
    if (dialect == "gemini") return "/v1beta/models/{}:generateContent";
    if (dialect == "ollama") return "/api/chat";
    return "/v1/chat/completions";
}
std::string_view listing_path(std::string_view dialect) {
    if (dialect == "gemini") return "/v1beta/models";
    if (dialect == "ollama") return "/api/tags";
    return "/v1/models";
}

std::string path_of(std::string_view target) { return std::string(target.substr(0, target.find('?'))); }

struct made {
    std::string problem{};
    std::string head{}, target{};
};
// The head as the proxy writes it for what an application asks.
made head_for(const config::route& route, const config::upstream& to, std::string_view method, std::string_view path,
              const field_list& fields, std::size_t body_bytes) {
    std::string text = fmt::format("{} {} HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: application/json\r\n"
                                   "user-agent: evenkeel-try\r\n",
                                   method, path);
    if (body_bytes > 0) text += fmt::format("content-type: application/json\r\ncontent-length: {}\r\n", body_bytes);
    for (const auto& [name, value] : fields) text += fmt::format("{}: {}\r\n", name, value);
    text += "\r\n";
    wire::request_head head;
    std::size_t scanned = 0;
    made out;
    if (wire::read_request_head(text, {}, scanned, head).is != wire::head_result::state::complete) {
        out.problem = "this cannot be asked: a path, a model or a --header that is no part of a request";
        return out;
    }
    std::string room;
    out.target = request::upstream_target(route, to, head, room);
    wire::head_text written;
    request::append_request_head(written, head, out.target, route, to, head.body, "127.0.0.1",
                                 request::answer_coding::identity, {},
                                 to.credentials.empty() ? nullptr : &to.credentials.front());
    out.head = written.view();
    return out;
}

// The path that an application would ask this route by; empty: none whose call we know.
std::string path_for(const config::route& route, const config::upstream& to, std::string_view usual,
                     std::string_view model) {
    const auto with_model = [&](std::string_view text) {
        const auto at = text.find("{}");
        return at == std::string_view::npos
                   ? std::string(text)
                   : std::string(text.substr(0, at)) + wire::path_segment(model) + std::string(text.substr(at + 2));
    };
    if (!route.match.path.empty()) return route.match.path;
    const std::string whole = with_model(usual);
    const std::string& prefix = route.match.path_prefix;
    std::vector<std::string> candidates;
    if (prefix.empty() || request::is_under(whole, prefix)) candidates.push_back(whole);
    const std::string base = prefix == "/" ? std::string{} : prefix;
    candidates.push_back(base + whole.substr(whole.find('/', 1)));
    candidates.push_back(base + whole);
    for (const std::string& each : candidates) {
        const made head = head_for(route, to, "POST", each, {}, 0);
        const std::string target = path_of(head.target);
        if (head.problem.empty() && wire::find_call(target, to.address.base_path.size()) != nullptr &&
            target.find("/v1/v1/") == std::string::npos)
            return each;
    }
    return {};
}

// The model that the application would name; empty: nothing says it.
std::string model_for(const config::route& route, const config::upstream& to, const application& from, bool embeds) {
    if (!from.model.empty()) return from.model;
    for (const std::string& each : route.match.models)
        if (!has_wildcard(each)) return each;
    const config::upstream& first = route.upstreams.empty() ? to : *route.upstreams.front();
    for (const auto& [name, renamed] : first.models)
        if (!has_wildcard(name)) return name;
    const provider_facts* const known = provider_at(first.address.host);
    if (known != nullptr && !embeds) return std::string(known->model);
    if (known != nullptr && known->name == "openai") return "text-embedding-3-small";
    if (known != nullptr && known->name == "mistral") return "mistral-embed";
    return {};
}

std::string body_for(std::string_view shape, const std::string& model) {
    const json::array said{{{"role", "user"}, {"content", "1"}}};
    if (shape.ends_with("chat/completions"))
        return json::serialize(json::object{{"model", model}, {"messages", said}, {"max_tokens", 1}});
    if (shape == "messages")
        return json::serialize(json::object{{"model", model}, {"max_tokens", 1}, {"messages", said}});
    if (shape == "responses") // 16 is the least that is taken
        return json::serialize(
            json::object{{"model", model}, {"input", "1"}, {"max_output_tokens", 16}, {"store", false}});
    if (shape == "completions")
        return json::serialize(json::object{{"model", model}, {"prompt", "1"}, {"max_tokens", 1}});
    if (shape == "embeddings" || shape == "api/embed")
        return json::serialize(json::object{{"model", model}, {"input", "1"}});
    if (shape.ends_with(":generateContent"))
        return R"({"contents":[{"role":"user","parts":[{"text":"1"}]}],"generationConfig":{"maxOutputTokens":1}})";
    if (shape == "api/chat")
        return json::serialize(
            json::object{{"model", model}, {"messages", said}, {"stream", false}, {"options", {{"num_predict", 1}}}});
    if (shape == "api/generate")
        return json::serialize(
            json::object{{"model", model}, {"prompt", "1"}, {"stream", false}, {"options", {{"num_predict", 1}}}});
    return {};
}

bool brings_credential(const config::credential_rules& rules, const field_list& fields) {
    return std::ranges::any_of(
        fields, [&](const auto& each) { return rules.field(each.first) == config::credential_kind::secret; });
}

// Fields of the application for this upstream, and whose key they or the configuration bring.
field_list fields_for(const config::route& route, const config::upstream& to, const application& from,
                      variable_reader variable, std::string_view dialect, std::string& key_of) {
    field_list out = from.fields;
    for (const auto& each : route.match.headers)
        if (!has_wildcard(each.glob)) out.emplace_back(each.name, each.glob);
    if (dialect == "anthropic") out.emplace_back("anthropic-version", "2023-06-01");
    if (to.own_credential || route.own_credential) {
        key_of = !to.credentials.empty() ? fmt::format("its credential '{}'", to.credentials.front().name)
                 : to.own_credential     ? "its own"
                                         : "the route's";
    } else if (to.caller_credentials == config::caller_credentials::drop) {
        key_of.clear();
    } else if (brings_credential(route.credentials, from.fields)) {
        key_of = "of --header";
    } else if (const provider_facts* known = provider_at(to.address.host); known != nullptr && to.address.tls) {
        // To the provider whose key it is, and nobody else.
        const std::string key = variable(std::string(known->key));
        if (key.empty() || key.find_first_of("\r\n") != std::string::npos) return out;
        const spoken& how = spoken_in(*known, dialect);
        out.emplace_back(std::string(how.key_field), how.key_field == "authorization" ? "Bearer " + key : key);
        key_of = fmt::format("of {}", known->key);
    }
    return out;
}

bool takes(const config::route& route, std::string_view method) {
    return route.match.methods.empty() || std::ranges::find(route.match.methods, method) != route.match.methods.end();
}

// The route that is asked instead; empty: this one.
std::string taken_by(const config::settings& settings, const config::route& route, std::string_view method,
                     std::string_view path, const field_list& fields, const std::string& model) {
    std::string text = fmt::format("{} {} HTTP/1.1\r\nhost: 127.0.0.1\r\n", method, path);
    for (const auto& [name, value] : fields) text += fmt::format("{}: {}\r\n", name, value);
    text += "\r\n";
    wire::request_head head;
    std::size_t scanned = 0;
    if (wire::read_request_head(text, {}, scanned, head).is != wire::head_result::state::complete) return {};
    const auto chosen = request::choose_route(settings, {.head = head, .model = model});
    return chosen.route == nullptr || chosen.route->name == route.name ? std::string{} : chosen.route->name;
}

// A stable word of the provider's, if it is one and nothing else.
std::string code_of(const json::value& body) {
    const auto word = [](const json::value* of) -> std::string {
        if (of == nullptr || !of->is_string() || of->as_string().size() > 40) return {};
        const std::string text(of->as_string());
        return std::ranges::all_of(text, [](char c) { return (c >= 'a' && c <= 'z') || c == '_' || c == ' '; }) ||
                       std::ranges::all_of(text, [](char c) { return (c >= 'A' && c <= 'Z') || c == '_'; })
                   ? text
                   : std::string{};
    };
    if (!body.is_object()) return {};
    const json::value* const error = body.as_object().if_contains("error");
    if (error == nullptr || !error->is_object()) return {};
    for (const char* each : {"code", "status", "type"})
        if (const std::string found = word(error->as_object().if_contains(each)); !found.empty()) return found;
    return {};
}

json::value parsed(std::string_view text) {
    boost::system::error_code error;
    auto read = json::parse(json::string_view(text.data(), text.size()), error);
    return error ? json::value{} : read;
}

bool speaks_of(std::string_view body, std::string_view word) {
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
    return !std::ranges::search(body, word, {}, lower).empty();
}
} // namespace

tiny_call call_for(const config::settings& settings, const config::route& route, const config::upstream& to,
                   const application& from, variable_reader variable) {
    tiny_call out;
    const std::string_view dialect = dialect_of(to, route);
    const std::string guess = model_for(route, to, from, false);
    if (!takes(route, "POST")) {
        out.skipped = "the route takes no POST";
        return out;
    }
    const std::string path = path_for(route, to, usual_path(dialect), guess.empty() ? "model" : guess);
    const made outline = head_for(route, to, "POST", path.empty() ? "/" : path, {}, 0);
    const wire::call* const call =
        path.empty() ? nullptr : wire::find_call(path_of(outline.target), to.address.base_path.size());
    const std::string_view shape = call == nullptr ? std::string_view{} : call->shape;
    if (body_for(shape, "m").empty()) {
        out.skipped = "no call that costs next to nothing is known for this route";
        return out;
    }
    out.method = "POST";
    out.asked_model = model_for(route, to, from, call->embeds);
    if (out.asked_model.empty() && call->embeds) {
        out.skipped = "say which model: --model";
        return out;
    }
    out.wants_model = out.asked_model.empty();
    const std::string* const renamed = config::rename_of(to, out.asked_model);
    out.sent_model = renamed != nullptr ? *renamed : out.asked_model;
    const field_list fields = fields_for(route, to, from, variable, dialect, out.key_of);
    if (const std::string other = taken_by(settings, route, "POST", path, fields, out.asked_model); !other.empty()) {
        tiny_call list = list_for(settings, route, to, from, variable);
        if (list.skipped.empty()) return list;
        list.skipped = fmt::format("route '{}' takes this call before it", other);
        return list;
    }
    const bool in_path = shape.ends_with(":generateContent");
    const std::string asked = in_path ? path_for(route, to, usual_path(dialect), out.sent_model) : path;
    out.body = body_for(shape, out.sent_model);
    made head = head_for(route, to, "POST", asked, fields, out.body.size());
    out.skipped = head.problem;
    out.head = std::move(head.head);
    out.target = std::move(head.target);
    return out;
}

tiny_call list_for(const config::settings& settings, const config::route& route, const config::upstream& to,
                   const application& from, variable_reader variable) {
    tiny_call out;
    const std::string_view dialect = dialect_of(to, route);
    const std::string path = path_for(route, to, listing_path(dialect), "");
    if (!takes(route, "GET") || !route.match.path.empty() || path.empty()) {
        out.skipped = "the models cannot be listed by this route";
        return out;
    }
    out.method = "GET";
    const field_list fields = fields_for(route, to, from, variable, dialect, out.key_of);
    if (const std::string other = taken_by(settings, route, "GET", path, fields, ""); !other.empty()) {
        out.skipped = fmt::format("route '{}' takes this call before it", other);
        return out;
    }
    made head = head_for(route, to, "GET", path, fields, 0);
    out.skipped = head.problem;
    out.head = std::move(head.head);
    out.target = std::move(head.target);
    return out;
}

std::string first_model(std::string_view body) {
    const json::value list = parsed(body);
    if (!list.is_object()) return {};
    for (const char* key : {"data", "models"}) {
        const json::value* const found = list.as_object().if_contains(key);
        if (found == nullptr || !found->is_array() || found->as_array().empty()) continue;
        const json::value& first = found->as_array().front();
        for (const char* name : {"id", "name"}) {
            if (!first.is_object()) continue;
            const json::value* const said = first.as_object().if_contains(name);
            if (said == nullptr || !said->is_string()) continue;
            std::string model(said->as_string());
            return model.starts_with("models/") ? model.substr(7) : model;
        }
    }
    return {};
}

verdict judge(const tiny_call& call, const exchanged& what, std::chrono::milliseconds within) {
    if (what.timed_out)
        return {.words = fmt::format("{} within {:.0f} s",
                                     what.stage == stage_reached::answer    ? "no answer"
                                     : what.stage == stage_reached::resolve ? "DNS: no answer"
                                     : what.stage == stage_reached::tls     ? "TLS: no handshake"
                                                                            : "no connection",
                                     std::chrono::duration<double>(within).count())};
    switch (what.stage) {
    case stage_reached::resolve: return {.words = "DNS: " + what.problem};
    case stage_reached::connect: return {.words = "cannot be reached: " + what.problem};
    case stage_reached::tunnel: return {.words = "egress proxy: " + what.problem};
    case stage_reached::tls: return {.words = "TLS: " + what.problem};
    case stage_reached::answer: return {.words = what.problem};
    case stage_reached::done: break;
    }
    const json::value body = parsed(what.body);
    const std::string code = code_of(body), told = code.empty() ? std::string{} : fmt::format(" ({})", code);
    const std::string model = call.sent_model.empty() ? "the model" : fmt::format("model '{}'", call.sent_model);
    const bool of_model = !call.sent_model.empty() && speaks_of(what.body, "model");
    const int status = what.status;
    if (status / 100 == 2 && !body.is_object())
        return {.words = fmt::format("answers {}, but no JSON: is this the URL of its API?", status)};
    if (status / 100 == 2) return {.good = true, .words = "ok"};
    if (status == 401 || status == 403)
        return {.words =
                    call.key_of.empty()
                        ? "no key goes along: headers.set of the upstream, or --header as the application has it" + told
                        : fmt::format("the key ({}) is refused{}", call.key_of, told)};
    if (status == 404 && of_model) return {.words = fmt::format("{} is unknown there{}", model, told)};
    if (status == 404 || status == 405)
        return {.words = fmt::format("wrong path: there is no {} {}{}", call.method, call.target, told)};
    if ((status == 400 || status == 422) && of_model && !speaks_of(what.body, "tokens"))
        return {.words = fmt::format("{} is refused{}", model, told)};
    if (status == 402) return {.words = "the key is good, but its account is out of money" + told};
    if (status == 429) return {.words = "the key is good, but its quota or rate is used up" + told};
    if (status / 100 == 3) return {.words = "answers with a redirect: is this the URL of its API?"};
    if (status / 100 == 4) return {.words = "refuses the call" + told};
    return {.words = "fails at its side" + told};
}

std::string head_shown(const config::settings& settings, std::string_view head) {
    std::string out;
    for (std::size_t at = 0; at < head.size();) {
        const std::size_t end = std::min(head.find("\r\n", at), head.size());
        const std::string_view line = head.substr(at, end - at);
        at = end + 2;
        if (line.empty()) continue;
        const std::size_t colon = line.find(':');
        const bool field = !out.empty() && colon != std::string_view::npos;
        const bool secret = field && settings.credentials.field(line.substr(0, colon)) != config::credential_kind::none;
        out += fmt::format("    {}{}\n", secret ? line.substr(0, colon) : line, secret ? ": ***" : "");
    }
    return out;
}

} // namespace evenkeel::cli
