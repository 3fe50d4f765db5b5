#include "proxy/simulate/hypothetical.hpp"

#include "proxy/provider/answers.hpp"
#include "proxy/simulate/stage.hpp"
#include "proxy/telemetry/kept_request.hpp"
#include "proxy/telemetry/request_story.hpp"
#include "proxy/wire/characters.hpp"
#include "proxy/wire/gate.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string_view>

namespace evenkeel::simulate {

namespace {
constexpr double an_answer_takes = 1.0, an_error_takes = 0.2; // seconds (chosen: easily told apart)
constexpr double between_events = 0.02;
constexpr std::string_view id = "hypothetical";

// Bytes of ours, so that what a file holds can add no request of its own.
void check(const hypothesis& what) {
    const auto is_plain = [](std::string_view text) {
        return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7f'; });
    };
    if (!what.path.starts_with('/') || !is_plain(what.path))
        throw std::invalid_argument("--path is that of a request: it begins with '/' and holds no blank");
    if (what.method.empty() || !is_plain(what.method)) throw std::invalid_argument("--method is one word");
    for (const std::string& field : what.fields) {
        const auto colon = field.find(':');
        if (colon == 0 || colon == std::string::npos || field.find_first_of("\r\n") != std::string::npos)
            throw std::invalid_argument("--header is one field: 'name: value'");
        const std::string_view name = std::string_view{field}.substr(0, colon);
        for (const std::string_view ours : {"content-length", "transfer-encoding", "host"})
            if (wire::iequals(name, ours))
                throw std::invalid_argument("--header: framing and host are the proxy's own here");
    }
}

std::string fields_of(const hypothesis& what) {
    std::string all;
    for (const std::string& field : what.fields) all.append(field).append("\r\n");
    return all;
}

void read_as_request(const hypothesis& what) {
    const std::string text =
        fmt::format("{} {} HTTP/1.1\r\nhost: localhost\r\n{}\r\n", what.method, what.path, fields_of(what));
    wire::request_head head;
    std::size_t scanned = 0;
    const auto read = wire::read_request_head(text, {}, scanned, head);
    if (read.is == wire::head_result::state::refused)
        throw std::invalid_argument(fmt::format("this is refused at the gate: {}", wire::explain(read.why)));
    if (read.is != wire::head_result::state::complete) throw std::invalid_argument("this is no whole request");
}

reply good_answer(const hypothesis& what) {
    const auto made = provider::make_answer({.method = what.method, .target = what.path, .body = what.body}, {});
    reply out{.after = an_answer_takes};
    if (made.status != 200) { // nothing the simulated provider knows
        out.body = R"({"ok":true})";
        return out;
    }
    double at = an_answer_takes;
    for (const auto& event : made.events) out.stream.push_back({at += between_events, event.text});
    out.body = made.body;
    return out;
}

reply bad_answer(const hypothesis& what) {
    if (what.does == hypothesis::fault::silent) return {.silent = true};
    if (what.does == hypothesis::fault::reset) return {.after = an_error_takes, .reset = true};
    const int status = *what.status;
    provider::provider_script script;
    reply out{.after = an_error_takes, .status = status, .body = what.answer};
    if (what.answer.empty()) {
        script.status = status;
        out.body = provider::make_answer({.method = what.method, .target = what.path, .body = what.body}, script).body;
    }
    if (!what.retry_after.empty()) out.fields = "retry-after: " + what.retry_after + "\r\n";
    return out;
}

bool misbehaves(const hypothesis& what) { return what.status || what.does != hypothesis::fault::none; }

std::string supposed_of(const hypothesis& what, const std::string& first) {
    if (!misbehaves(what)) return "Supposed: every upstream answers well, after a second.";
    const std::string who = what.everywhere ? "every upstream" : first.empty() ? "the first upstream" : first;
    const std::string does = what.does == hypothesis::fault::silent        ? "takes the request and says nothing"
                             : what.does == hypothesis::fault::reset       ? "breaks off before it answers"
                             : what.does == hypothesis::fault::unreachable ? "cannot be reached"
                                                                           : fmt::format("answers {}", *what.status);
    return fmt::format("Supposed: {} {}, each time{}.", who, does,
                       what.everywhere ? "" : "; any other answers well, after a second");
}

// Empty: none was.
std::string first_asked(const telemetry::kept_request& kept) {
    for (const auto& each : kept.journal) {
        if (each.where >= 0 && std::holds_alternative<telemetry::happened::launched>(each.what))
            return kept.endpoints[static_cast<std::size_t>(each.where)].upstream;
    }
    return {};
}

std::string match_of(const config::route& route) {
    std::string out;
    const auto add = [&](std::string_view name, std::string_view value) {
        if (!value.empty()) out.append(out.empty() ? "" : ", ").append(name).append(" ").append(value);
    };
    add("path", route.match.path);
    add("path_prefix", route.match.path_prefix);
    for (const auto& model : route.match.models) add("model", model);
    return out.empty() ? "everything" : out;
}

std::string route_of(const config::settings& settings, const std::string& taken) {
    if (taken.empty()) return fmt::format("None of the file's {} routes matches.", settings.routes.size());
    std::string out;
    for (const auto& each : settings.routes) {
        if (each->name == taken) {
            out = fmt::format("It takes route '{}' ({}), the first of {} that matches.", taken, match_of(*each),
                              settings.routes.size()) +
                  out;
            break;
        }
        out += fmt::format(" Not '{}' ({}).", each->name, match_of(*each));
    }
    return out;
}
} // namespace

telemetry::kept_request suppose(const config::snapshot& settings, const hypothesis& what) {
    check(what);
    read_as_request(what);
    // Of one whose caller may ask: that he shows a client's key is supposed too.
    const auto open = std::make_shared<config::settings>(*settings);
    open->clients.clear();
    std::string first; // asked
    const auto is_supposed = [&](std::string_view upstream) {
        if (first.empty()) first = upstream;
        return misbehaves(what) && (what.everywhere || upstream == first);
    };
    stage played(
        open,
        [&](std::string_view upstream, unsigned, double) {
            return is_supposed(upstream) ? bad_answer(what) : good_answer(what);
        },
        hypothesis::draws,
        [&](std::string_view upstream, double) {
            return !(is_supposed(upstream) && what.does == hypothesis::fault::unreachable);
        });
    std::optional<telemetry::kept_request> kept;
    played.tell([&](const telemetry::request_account& account) {
        if (account.request_id == id) kept = telemetry::keep(account);
    });
    played.ask(caller{
        .path = what.path, .body = what.body, .method = what.method, .fields = fields_of(what), .id = std::string{id}});
    return std::move(kept).value();
}

std::string explain(const config::snapshot& settings, const hypothesis& what) {
    const telemetry::kept_request kept = suppose(settings, what);
    return telemetry::wrapped(fmt::format("{} {}", what.method, what.path)) +
           telemetry::wrapped(route_of(*settings, kept.route)) +
           telemetry::wrapped(supposed_of(what, first_asked(kept))) + "\n" + telemetry::story_of_nobody(kept);
}

} // namespace evenkeel::simulate
