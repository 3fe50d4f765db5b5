#include "proxy/simulate/quiet.hpp"

#include "proxy/model/luck.hpp"
#include "proxy/simulate/stage.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace evenkeel::simulate {

namespace {

constexpr double spread = 0.05; // of the time of an answer
constexpr double idle = 3600;   // before many come at once
constexpr int pieces = 10;
constexpr std::string_view hello_body = R"({"choices":[{"message":{"content":"hello"},"finish_reason":"stop"}]})";
constexpr std::string_view end_of_stream = "data: [DONE]\n\n";

std::string yaml_of(const quiet_case& which) {
    std::string text = "version: 1\nupstreams:\n  first: {url: \"http://first.invalid\"}\n";
    if (!which.alone) text += "  second: {url: \"http://second.invalid\", caller_credentials: drop}\n";
    text += fmt::format("routes:\n  - name: llm\n    match: {{path_prefix: /v1}}\n    upstreams: {}\n",
                        which.alone ? "[first]" : "[first, second]");
    if (which.patience == quiet_patience::route)
        text += fmt::format("    timeout: {{total: {:.0f}ms}}\n", 1000 * which.patient);
    if (which.hedge) text += "    hedge: {}\n";
    return text;
}

reply well(const quiet_case& which, double time) {
    if (!which.stream) return {.after = time, .body = std::string{hello_body}};
    const double first = which.first * time;
    reply made{.after = which.signs > 0 ? 0.1 : first, .signs = which.signs};
    for (int piece = 0; piece < pieces; ++piece)
        made.stream.push_back({first + (time - first) * piece / pieces,
                               "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hello \"}}]}\n\n"});
    made.stream.push_back({time, fmt::format("data: {{\"choices\":[{{\"index\":0,\"delta\":{{}},"
                                             "\"finish_reason\":\"stop\"}}]}}\n\n{}",
                                             end_of_stream)});
    return made;
}

reply refusing(double after, int status, std::string fields = {}) {
    return {.after = after,
            .status = status,
            .body = R"({"error":{"message":"not now","type":"server_error"}})",
            .fields = std::move(fields)};
}

reply troubled(const quiet_case& which, double time, double u) {
    switch (which.trouble) {
    case quiet_trouble::none:
    case quiet_trouble::black_hole: break; // it was under way
    case quiet_trouble::silent: return {.silent = true};
    case quiet_trouble::resets: return {.after = 0.05, .reset = true};
    case quiet_trouble::errors: return refusing(0.3, 500);
    case quiet_trouble::slow: return well(which, 10 * time);
    case quiet_trouble::drips: return {.after = 0.1, .silent = true, .signs = 1};
    case quiet_trouble::half:
        if (u < 0.5) return {.silent = true};
        break;
    case quiet_trouble::throttles: return refusing(0.1, 429);
    case quiet_trouble::throttles_with_hint: return refusing(0.1, 429, "retry-after: 30\r\n");
    }
    return well(which, time);
}

caller caller_of(const quiet_case& which) {
    caller made{.path = "/v1/chat/completions"};
    if (which.stream) made.body = R"({"model":"m","messages":[],"stream":true})";
    made.tells = which.patience == quiet_patience::told;
    if (made.tells || which.patience == quiet_patience::leaves) made.patience = which.patient;
    return made;
}

quiet_request seen(const quiet_case& which, const request_seen& what, double began) {
    const bool complete = what.whole && !what.degraded.is && what.body.find("hello") != std::string::npos &&
                          (!which.stream || what.body.ends_with(end_of_stream));
    quiet_request made{.came = what.came - began,
                       .waited = what.took,
                       .how = what.status == 0                    ? quiet_end::left
                              : what.status == 200 && complete    ? quiet_end::served
                              : what.status == 200 && !what.whole ? quiet_end::cut
                                                                  : quiet_end::failed,
                       .attempts = what.attempts,
                       .during = what.came < began + which.lasts};
    const double usual = usual_of(which);
    if (made.how == quiet_end::served) made.by = what.upstream;
    made.paid = made.how != quiet_end::served || made.waited > 1.2 * usual;
    if (made.paid) made.beyond = std::max(0.0, made.waited - usual);
    return made;
}

} // namespace

std::string_view to_string(quiet_end how) noexcept {
    switch (how) {
    case quiet_end::served: return "served";
    case quiet_end::failed: return "failed";
    case quiet_end::cut: return "cut";
    case quiet_end::left: return "left";
    }
    return "";
}

double usual_of(const quiet_case& which) noexcept { return which.answer * (1 + 0.9 * spread); }

quiet_run play_quiet(const quiet_case& which, std::uint64_t seed, const config::snapshot& settings) {
    const config::snapshot plays = settings ? settings : settings_of_text(yaml_of(which));
    const std::string first = plays->routes.at(0)->upstreams.at(0)->name;
    double began = std::numeric_limits<double>::infinity();
    const auto troubles = [&](std::string_view upstream, double now) {
        return upstream == first && now >= began && now < began + which.lasts;
    };
    const stage* asked = nullptr;
    const auto is_spared = [&] {
        return which.one_model && asked != nullptr && asked->written().find(R"("model":"m")") == std::string_view::npos;
    };
    stage on(
        plays,
        [&](std::string_view upstream, unsigned attempt, double now) {
            const double time = which.answer * (1 - spread + 2 * spread * model::draw(seed, attempt, 0, 0));
            return troubles(upstream, now) && !is_spared() ? troubled(which, time, model::draw(seed, attempt, 0, 1))
                                                           : well(which, time);
        },
        seed,
        [&](std::string_view upstream, double now) {
            return which.trouble != quiet_trouble::black_hole || !troubles(upstream, now);
        });

    asked = &on;

    const caller who = caller_of(which);
    caller other = who;
    other.body.replace(other.body.find(R"("m")"), 3, R"("other")");
    unsigned turn = 0;
    const auto whose = [&]() -> const caller& { return which.one_model && turn++ % 2 == 1 ? other : who; };
    for (unsigned known = 0; known < which.known; ++known) {
        static_cast<void>(on.ask(whose()));
        on.run_until(on.now() + which.gap);
    }
    if (which.at_once > 0) on.run_until(on.now() + idle);
    began = on.now();
    const unsigned sent_before = on.sent();
    const double end = began + which.lasts + which.after;
    for (unsigned one = 0; one < which.at_once; ++one) on.request_at(began, who);
    if (which.at_once > 0) on.run_until(began + which.gap);
    if (which.in_step) {
        for (double at = on.now(); at < end; at += which.gap) on.request_at(at, who);
        on.run_until(end);
    } else {
        while (on.now() < end) {
            static_cast<void>(on.ask(whose()));
            on.run_until(on.now() + which.gap);
        }
    }
    on.run_until(on.now() + idle); // whoever still waits
    quiet_run run;
    run.sent = on.sent() - sent_before;
    for (const request_seen& each : on.requests())
        if (each.came >= began) {
            run.requests.push_back(seen(which, each, began));
            run.requests.back().by_first = run.requests.back().by == first;
        }
    std::ranges::stable_sort(run.requests, {}, &quiet_request::came);
    return run;
}

quiet_figures figures_of(const quiet_case& which, const quiet_run& run) {
    quiet_figures found{.requests = run.requests.size(), .sent = run.sent};
    found.back = std::numeric_limits<double>::infinity();
    std::size_t number = 0, since = 0;
    for (const quiet_request& each : run.requests) {
        const bool served = each.how == quiet_end::served;
        ++number;
        found.served += served;
        found.longest = std::max(found.longest, each.waited);
        found.waited += each.waited;
        found.most_attempts = std::max(found.most_attempts, each.attempts);
        found.payers += each.paid;
        found.late += each.paid && number > std::max(2U, which.at_once);
        found.unserved += !served && number > std::max(1U, which.at_once);
        found.most_paid = std::max(found.most_paid, each.beyond);
        found.paid += each.beyond;
        since += !each.during;
        if (each.during || !each.by_first || found.back_by > 0) continue;
        found.back = each.came - which.lasts;
        found.back_by = since;
    }
    return found;
}

quiet_figures figures_of(const quiet_case& which, const std::vector<std::uint64_t>& seeds,
                         const config::snapshot& settings) {
    quiet_figures all{.seeds = seeds.size()};
    for (const std::uint64_t seed : seeds) {
        const quiet_figures one = figures_of(which, play_quiet(which, seed, settings));
        all.requests += one.requests;
        all.served += one.served;
        all.longest = std::max(all.longest, one.longest);
        all.waited += one.waited;
        all.sent += one.sent;
        all.most_attempts = std::max(all.most_attempts, one.most_attempts);
        all.payers = std::max(all.payers, one.payers);
        all.late = std::max(all.late, one.late);
        all.unserved = std::max(all.unserved, one.unserved);
        all.most_paid = std::max(all.most_paid, one.most_paid);
        all.paid += one.paid / static_cast<double>(seeds.size());
        all.back = std::max(all.back, one.back);
        all.back_by = std::max(all.back_by, one.back_by);
    }
    return all;
}

} // namespace evenkeel::simulate
