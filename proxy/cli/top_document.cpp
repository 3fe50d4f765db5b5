#include "proxy/cli/top_document.hpp"

#include "proxy/cli/json_reading.hpp"

#include <fmt/format.h>

#include <stdexcept>

namespace evenkeel::cli {

namespace {
using boost::json::value;

value document_of(std::string_view text) {
    return boost::json::parse(boost::json::string_view(text.data(), text.size()));
}

const boost::json::array& list_in(const value& of, std::string_view key) {
    static const boost::json::array none;
    const value* const found = member_of(of, key);
    return found != nullptr && found->is_array() ? found->as_array() : none;
}

figures minute_of(const value& of) {
    return {.requests = number_in(of, "requests"),
            .success = number_in(of, "success_rate"),
            .average_s = number_in(of, "avg_s"),
            .p95_s = number_in(of, "p95_s")};
}
// As /health names them.
figures sample_of(const value& of) {
    return {.requests = number_in(of, "requests"),
            .success = number_in(of, "success_rate"),
            .average_s = number_in(of, "avg_latency"),
            .p95_s = number_in(of, "p95_latency")};
}

std::string in_words(double seconds) { return fmt::format("{:.{}f} s", seconds, seconds < 10 ? 1 : 0); }

credential_seen credential_of(std::string name, const value& of, std::optional<double> again) {
    credential_seen out{.name = std::move(name), .state = text_in(of, "state"), .note = {}};
    out.is = out.state == "well" ? condition::well : out.state == "dead" ? condition::ill : condition::uneasy;
    if (out.is == condition::well) {
        const double flying = number_in(of, "in_flight").value_or(0);
        if (flying > 0) out.note = fmt::format("{:.0f} now", flying);
        return out;
    }
    out.note = text_in(of, "why");
    if (again) out.note += fmt::format("{}{} more", out.note.empty() ? "" : ", ", in_words(*again));
    return out;
}

endpoint_seen endpoint_of(const value& of) {
    endpoint_seen out;
    const std::string label = text_in(of, "endpoint");
    const auto scheme = label.find("://");
    out.name = text_in(of, "upstream");
    if (!label.empty()) out.name += ' ' + (scheme == std::string::npos ? label : label.substr(scheme + 3));
    out.minute = minute_of(part_of(of, "minute"));
    const std::string state = text_in(of, "state");
    out.state = state == "held_open"     ? "held open"
                : state == "held_closed" ? "held closed"
                : state == "half_open"   ? "half-open"
                                         : state;
    out.is = state == "up" || state.empty()            ? condition::well
             : state == "open" || state == "held_open" ? condition::ill
                                                       : condition::uneasy;
    out.note = text_in(of, "note");
    if (out.is == condition::well && !list_in(of, "models").empty()) out.is = condition::uneasy;
    if (out.note.starts_with(out.state + ' ')) out.note.erase(0, out.state.size() + 1); // stands in front of it anyway
    const value& failure = part_of(of, "last_failure");
    if (out.is != condition::well && failure.is_object()) {
        const double status = number_in(failure, "status").value_or(0);
        out.note += fmt::format("{}last: {}{}, {} ago", out.note.empty() ? "" : "; ", text_in(failure, "result"),
                                status > 0 ? fmt::format(" {:.0f}", status) : "",
                                in_words(number_in(failure, "ago_s").value_or(0)));
    }
    out.budget = number_in(part_of(of, "budget"), "level");
    out.burst = number_in(part_of(of, "budget"), "burst");
    for (const value& one : list_in(of, "credentials"))
        out.credentials.push_back(credential_of(text_in(one, "name"), one, number_in(one, "asked_again_s")));
    return out;
}

// By what /health says of one: the first that matters.
void settle_state(endpoint_seen& out, const value& of) {
    const std::string circuit = text_in(of, "circuit_state"), overload = text_in(of, "overload");
    const auto probe = number_in(of, "next_probe"), rest = number_in(of, "cooldown");
    out.budget = number_in(of, "budget");
    if (flag_in(of, "forced")) {
        out.state = "held " + circuit;
        out.note = "by an operator";
        out.is = circuit == "open" ? condition::ill : condition::uneasy;
    } else if (circuit == "open") {
        out.state = circuit;
        out.is = condition::ill;
        if (probe) out.note = "probe in " + in_words(*probe);
    } else if (rest.value_or(0) > 0) {
        out.state = "rests";
        out.is = condition::uneasy;
        out.note = in_words(*rest) + " more";
    } else if (!overload.empty() && overload != "normal") {
        out.state = overload;
        out.is = condition::uneasy;
    } else if (number_in(of, "doubted")) {
        out.state = "second";
        out.is = condition::uneasy;
        out.note = "asked second: it was silent or slow";
    } else {
        out.state = circuit == "half_open" ? "half-open" : "up";
        out.is = circuit == "half_open" ? condition::uneasy : condition::well;
        if (const auto& models = list_in(of, "models"); !models.empty()) {
            out.is = condition::uneasy;
            out.note = fmt::format("but for {}{}", text_in(models[0], "model"),
                                   models.size() > 1 ? fmt::format(" and {} more models", models.size() - 1) : "");
        }
    }
}

double sum_of(const value& of) {
    double sum = 0;
    if (!of.is_object()) return sum;
    for (const auto& [name, what] : of.as_object()) sum += what.is_number() ? what.to_number<double>() : 0;
    return sum;
}
} // namespace

top_document read_overview(std::string_view text) {
    const value whole = document_of(text);
    if (!part_of(whole, "routes").is_array()) throw std::invalid_argument("no overview");
    top_document out;
    out.version = text_in(whole, "version");
    out.sentence = text_in(whole, "sentence");
    out.healthy = flag_in(whole, "healthy");
    const auto now = number_in(whole, "at"), began = number_in(whole, "started_at");
    if (now && began) out.up_s = *now - *began;
    const value& bill = part_of(whole, "bill");
    out.overhead_share = number_in(bill, "overhead_share");
    if (const double cost = sum_of(part_of(bill, "cost")); cost > 0) {
        out.cost = cost;
        out.cost_of_resilience = cost - number_in(part_of(bill, "cost"), "served").value_or(0);
    }
    out.memory = number_in(part_of(whole, "process"), "resident_bytes");
    for (const value& each : list_in(whole, "routes")) {
        route_seen& route = out.routes.emplace_back();
        route.name = text_in(each, "name");
        route.minute = minute_of(part_of(each, "minute"));
        route.state = text_in(each, "state");
        route.is = route.state == "down"                            ? condition::ill
                   : route.state.empty() || route.state == "serves" ? condition::well
                                                                    : condition::uneasy;
        const double flying = number_in(each, "in_flight").value_or(0), held = number_in(each, "holding").value_or(0);
        if (route.state == "serves") route.state.clear();
        if (flying > 0) route.state += fmt::format("{}{:.0f} now", route.state.empty() ? "" : ", ", flying);
        if (held > 0) route.state += fmt::format("{}{:.0f} held", route.state.empty() ? "" : ", ", held);
        for (const value& one : list_in(each, "endpoints")) route.endpoints.push_back(endpoint_of(one));
    }
    return out;
}

top_document read_health(std::string_view text) {
    const value whole = document_of(text);
    if (!part_of(whole, "services").is_object()) throw std::invalid_argument("no health document");
    top_document out;
    out.healthy = flag_in(part_of(whole, "overall_status"), "healthy");
    const double open = number_in(part_of(whole, "overall_status"), "open_circuits").value_or(0);
    const double chaos = number_in(part_of(whole, "overall_status"), "chaos_rules").value_or(0);
    out.sentence = out.healthy ? "Healthy" : "Unhealthy: nothing can be served";
    out.sentence += open == 0   ? "; no circuit is open"
                    : open == 1 ? "; 1 circuit is open"
                                : fmt::format("; {:.0f} circuits are open", open);
    if (chaos > 0) out.sentence += "; faults are injected on purpose";
    out.sentence += '.';
    for (const auto& [name, each] : part_of(whole, "services").as_object()) {
        route_seen& route = out.routes.emplace_back();
        route.name = std::string(name);
        route.minute = sample_of(each);
        if (flag_in(each, "degraded")) {
            route.state = "degraded";
            route.is = condition::uneasy;
        }
        if (const double held = number_in(each, "held").value_or(0); held > 0)
            route.state += fmt::format("{}{:.0f} held", route.state.empty() ? "" : ", ", held);
        const value& upstreams = part_of(each, "upstreams");
        if (!upstreams.is_object()) continue;
        for (const auto& [upstream, one] : upstreams.as_object()) {
            const value& several = part_of(one, "endpoints");
            const auto add = [&](std::string label, const value& what) {
                endpoint_seen& seen = route.endpoints.emplace_back();
                seen.name = std::string(upstream) + (label.empty() ? "" : " " + label);
                seen.minute = sample_of(what);
                settle_state(seen, what);
                const value& keys = part_of(what, "credentials");
                if (!keys.is_object()) return;
                for (const auto& [key, told] : keys.as_object())
                    seen.credentials.push_back(credential_of(std::string(key), told, number_in(told, "asked_again")));
            };
            if (!several.is_object())
                add("", one);
            else
                for (const auto& [label, what] : several.as_object()) add(std::string(label), what);
        }
    }
    return out;
}

std::vector<request_seen> read_requests(std::string_view text) {
    const value whole = document_of(text);
    std::vector<request_seen> out;
    for (const value& each : list_in(whole, "requests")) {
        const std::string time = text_in(each, "ts"); // 2026-11-29T10:19:35.123Z
        out.push_back({.time = time.size() >= 19 ? time.substr(11, 8) : time,
                       .route = text_in(each, "route"),
                       .outcome = text_in(each, "outcome"),
                       .conclusion = text_in(each, "conclusion"),
                       .status = static_cast<int>(number_in(each, "status").value_or(0)),
                       .attempts = number_in(each, "attempts").value_or(0),
                       .duration_s = number_in(each, "duration_s").value_or(0)});
    }
    return out;
}

} // namespace evenkeel::cli
