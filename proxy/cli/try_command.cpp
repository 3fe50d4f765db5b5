#include "config/load.hpp"
#include "proxy/cli/commands.hpp"
#include "proxy/cli/terminal.hpp"
#include "proxy/cli/tiny_call.hpp"
#include "proxy/telemetry/request_story.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include <unistd.h>

namespace evenkeel::cli {

namespace {
std::string environment_variable(const std::string& name) {
    const char* const value = std::getenv(name.c_str()); // NOLINT(concurrency-mt-unsafe): before any other thread
    return value != nullptr ? value : std::string{};
}

// Empty: one of them is no field.
std::optional<field_list> fields_of(const std::vector<std::string>& said) {
    field_list out;
    for (const std::string& each : said) {
        const auto colon = each.find(':');
        if (colon == std::string::npos || colon == 0 || each.find_first_of("\r\n") != std::string::npos)
            return std::nullopt;
        const auto value = each.find_first_not_of(' ', colon + 1);
        out.emplace_back(each.substr(0, colon), value == std::string::npos ? std::string{} : each.substr(value));
    }
    return out;
}

// One line for each upstream, and below it what is wrong.
class tried_out {
public:
    tried_out(const config::settings& settings, application from, std::chrono::milliseconds within)
        : settings_(settings), from_(std::move(from)), within_(within), look_(look_of(STDOUT_FILENO)) {}

    void route(const config::route& which) {
        std::cout << tinted(fmt::format("route {}\n", fitted(which.name, 74)), tint::strong, look_.colour);
        application from = from_;
        for (const auto& to : which.upstreams) upstream(which, *to, from);
    }
    [[nodiscard]] int end() const {
        if (asked_ == 0) {
            std::cout << "nothing was asked\n";
            return 1;
        }
        const bool good = well_ == asked_;
        std::cout << tinted(fmt::format("{} of {} calls were answered well\n", well_, asked_),
                            good ? tint::good : tint::bad, look_.colour);
        return good ? 0 : 1;
    }

private:
    void upstream(const config::route& by, const config::upstream& to, application& from) {
        tiny_call call = call_for(settings_, by, to, from, environment_variable);
        if (call.wants_model && call.skipped.empty()) {
            const tiny_call list = list_for(settings_, by, to, from, environment_variable);
            if (!list.skipped.empty()) return skip(to, "say which model to ask for: --model");
            const exchanged answer = exchange(to, list.head, "", within_);
            const std::string model = answer.status == 200 ? first_model(answer.body) : std::string{};
            if (model.empty()) return row(to, list, answer, judge(list, answer, within_), "the models it has");
            from.model = model; // of the whole route: the next one is asked for the same
            call = call_for(settings_, by, to, from, environment_variable);
        }
        if (!call.skipped.empty()) return skip(to, call.skipped);
        if (from.model.empty()) from.model = call.asked_model;
        exchanged answer = exchange(to, call.head, call.body, within_);
        if (answer.status == 400 && answer.body.find("max_completion_tokens") != std::string::npos) {
            // Models that think take the other name only, and need room for a thought.
            const tiny_call again = with_newer_name(call);
            answer = exchange(to, again.head, again.body, within_);
        }
        row(to, call, answer, judge(call, answer, within_), "");
    }

    static tiny_call with_newer_name(tiny_call call) {
        const std::string old = "\"max_tokens\":1", now = "\"max_completion_tokens\":16";
        const auto at = call.body.find(old);
        const std::string length = fmt::format("content-length: {}", call.body.size());
        const auto field = call.head.find(length);
        if (at == std::string::npos || field == std::string::npos) return call;
        call.body.replace(at, old.size(), now);
        call.head.replace(field, length.size(), fmt::format("content-length: {}", call.body.size()));
        return call;
    }

    static std::string name_of(const config::upstream& to) {
        return to.endpoint.of_several ? to.name + ' ' + to.endpoint.authority : to.name;
    }
    void skip(const config::upstream& to, std::string_view why) {
        std::cout << fmt::format("  {:<22} ", fitted(name_of(to), 22)) << tinted("not asked", tint::faint, look_.colour)
                  << '\n'
                  << indented(why);
    }
    void row(const config::upstream& to, const tiny_call& call, const exchanged& answer, const verdict& what,
             std::string_view instead_of_model) {
        ++asked_;
        well_ += what.good ? 1 : 0;
        std::string model = call.asked_model == call.sent_model
                                ? call.sent_model
                                : fmt::format("{} -> {}", call.asked_model, call.sent_model);
        if (model.empty()) model = instead_of_model.empty() ? "the models it has" : std::string{instead_of_model};
        std::cout << fmt::format("  {:<22} {:<36} {:>3} {:>7.2f} s  ", fitted(name_of(to), 22), fitted(model, 36),
                                 answer.status == 0 ? std::string{"-"} : std::to_string(answer.status),
                                 std::chrono::duration<double>(answer.took).count())
                  << tinted(what.good ? "ok" : "no", what.good ? tint::good : tint::bad, look_.colour) << '\n';
        if (!what.good) std::cout << indented(what.words);
        std::cout << std::flush;
    }
    [[nodiscard]] static std::string indented(std::string_view text) {
        std::string out = "    ";
        for (const char c : telemetry::wrapped(printable(text), 74)) {
            out += c;
            if (c == '\n') out += "    ";
        }
        while (out.ends_with(' ')) out.pop_back();
        return out;
    }
    static std::string printable(std::string_view text) { return fitted(text, text.size()); }

    const config::settings& settings_;
    application from_;
    std::chrono::milliseconds within_;
    look look_;
    int asked_ = 0, well_ = 0;
};

void say(const config::settings& settings, const config::route& by, const application& from) {
    for (const auto& to : by.upstreams) {
        const tiny_call call = call_for(settings, by, *to, from, environment_variable);
        std::cout << fmt::format("route {}, upstream {}\n", by.name, to->name);
        if (!call.skipped.empty()) {
            std::cout << fmt::format("    not asked: {}\n", call.skipped);
            continue;
        }
        std::cout << fmt::format("    to {}://{}\n", to->address.tls ? "https" : "http", to->address.authority)
                  << head_shown(settings, call.head);
        if (!call.body.empty()) std::cout << fmt::format("    {}\n", call.body);
        if (call.wants_model) std::cout << "    with the first of the models that it lists\n";
    }
}
} // namespace

int try_out(const try_choice& choice) {
    const auto fields = fields_of(choice.fields);
    if (!fields) return wrong_usage("try", "--header is 'name: value'");
    std::set<std::string> assumed;
    const config::environment outside = config::process_environment();
    const auto loaded = config::load_file(choice.file, choice.dry_run ? config::assuming(outside, assumed) : outside);
    if (!loaded.ok()) {
        print_problems(loaded.diagnostics);
        return 1;
    }
    const application from{.model = choice.model, .fields = *fields};
    tried_out all(*loaded.settings, from,
                  std::chrono::milliseconds{static_cast<std::int64_t>(choice.timeout_s * 1000)});
    bool any = false;
    for (const auto& each : loaded.settings->routes) {
        if (!choice.route.empty() && each->name != choice.route) continue;
        any = true;
        if (each->upstreams.empty()) continue; // what it serves comes from us, or from the routes it fans out to
        if (choice.dry_run)
            say(*loaded.settings, *each, from);
        else
            all.route(*each);
    }
    if (!any) return wrong_usage("try", fmt::format("the file has no route '{}'", choice.route));
    return choice.dry_run ? 0 : all.end();
}

} // namespace evenkeel::cli
