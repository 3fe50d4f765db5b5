#include "proxy/serve/routed.hpp"

#include "proxy/message/local_answer.hpp"
#include "proxy/reading/client_key.hpp"
#include "proxy/reading/router.hpp"
#include "proxy/serve/admitted.hpp"
#include "proxy/state/policy_registry.hpp"
#include "proxy/wire/model_place.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

namespace evenkeel::request {

namespace {
// Before a route is known, its own time is not either.
duration longest_total(const config::settings& settings) {
    duration all{};
    for (const auto& route : settings.routes) all = std::max(all, route->timeout.total);
    return all;
}

answer no_route(const worker_services& services, const client_request& request) {
    return make_local_answer(
        {.status = 404,
         .code = "no_route",
         .proxy_error = "destination_not_found",
         .message = "no route matches this method and path; see `routes` in the configuration file"},
        request.facts.dialect(), services.loop.wall_now());
}

answer not_for_pages(const worker_services& services, const client_request& request, page_verdict why) {
    return make_local_answer({.status = 403,
                              .code = to_string(why),
                              .proxy_error = "http_request_denied",
                              .message = std::string{explain(why)}},
                             request.facts.dialect(), services.loop.wall_now());
}

// The first thing that is said of a request whose caller is not known: not which models there are, nor by what words a
// body is read. Not asked of who wants to know whether we are well.
bool is_unknown(const client_request& request, const route_choice& choice) {
    if (request.came.client != nullptr || request.came.settings->clients.empty()) return false;
    return choice.needs_model || !choice.route || choice.route->serves != config::route_serves::health;
}

answer not_known(const worker_services& services, const client_request& request) {
    return make_local_answer({.status = 401,
                              .code = "client_key_unknown",
                              .proxy_error = "http_request_denied",
                              .message =
                                  "this proxy serves whoever shows it a client key of its own, as authorization: "
                                  "Bearer, x-api-key, api-key or x-goog-api-key; this request shows none that "
                                  "it knows"},
                             request.facts.dialect(), services.loop.wall_now());
}

answer not_its_route(const worker_services& services, const client_request& request) {
    return make_local_answer(
        {.status = 403,
         .code = "client_route_denied",
         .proxy_error = "http_request_denied",
         .message = fmt::format("client '{}' may not ask route '{}'", request.came.client->name, request.route->name)},
        request.facts.dialect(), services.loop.wall_now());
}

// Others that it has under way end sooner or later; half a second to one, so that those refused together do not return
// together. (chosen)
answer too_many(worker_services& services, const client_request& request) {
    const double seconds = 0.5 + services.draw() / 2;
    return make_local_answer(
        {.status = 503,
         .code = "client_limit",
         .proxy_error = "connection_limit_reached",
         .message = fmt::format("client '{}' has {} requests under way, and may have no more",
                                request.came.client->name, request.came.client->max_concurrent),
         .retry_after = std::chrono::duration_cast<duration>(std::chrono::duration<double>{seconds})},
        request.facts.dialect(), services.loop.wall_now());
}

// Of a request whose caller is known by name: what this one may not.
std::optional<answer> refused_to(worker_services& services, client_request& request) {
    const config::client& who = *request.came.client;
    if (!may_ask(who, *request.route)) return not_its_route(services, request);
    request.place = request.came.policies->of(who).enter();
    if (!request.place) return too_many(services, request);
    return std::nullopt;
}

void take(worker_services& services, client_request& request, std::shared_ptr<const config::route> chosen) {
    request.route = std::move(chosen);
    services.observer.request_started(request.route.get());
    request.account.announced = true;
}

net::task<answer> go_on(worker_services& services, client_request& request, errand&& what, next_stage next) {
    if (!request.route) return at_once(no_route(services, request));
    if (request.came.client != nullptr) [[unlikely]] {
        if (auto refused = refused_to(services, request)) return at_once(std::move(*refused));
    }
    what.asked = request.route;
    return next(services, request, std::move(what));
}

net::task<answer> routed_by_model(worker_services& services, client_request& request, errand what, next_stage next,
                                  std::shared_ptr<const config::route> without) {
    const config::settings& settings = *request.came.settings;
    if (reads_ahead(request, settings.replay_buffer)) {
        const steady_time since = services.loop.now();
        co_await request.body.read_whole(settings.replay_buffer, request.came.received + longest_total(settings));
        request.account.effort.uploading += services.loop.now() - since;
    }
    if (!request.body.complete() || request.body.failed() != request_body::failure::none) {
        take(services, request, std::move(without));
        co_return body_not_seen(services, request);
    }
    request.account.model = request.facts.model().name;
    take(services, request, choose_route(settings, {*request.came.head, request.account.model}).route);
    co_return co_await go_on(services, request, std::move(what), next);
}
} // namespace

net::task<answer> routed(worker_services& services, client_request& request, errand&& what, next_stage next) {
    const config::settings& settings = *request.came.settings;
    route_choice choice = choose_route(settings, {*request.came.head, std::nullopt});
    const page_verdict page = check_page(settings.pages, request.came.via, *request.came.head);
    if (page == page_verdict::welcome && is_unknown(request, choice)) [[unlikely]] {
        take(services, request, std::move(choice.route));
        return at_once(not_known(services, request));
    }
    if (page == page_verdict::welcome && choice.needs_model) {
        // Where the path names one, that is what the provider goes by.
        auto named = wire::find_model_in_path(request.came.head->path);
        if (!named) return routed_by_model(services, request, std::move(what), next, std::move(choice.route));
        request.account.model = std::move(named->name);
        choice = choose_route(settings, {*request.came.head, request.account.model});
    }
    take(services, request, std::move(choice.route));
    if (page != page_verdict::welcome) return at_once(not_for_pages(services, request, page));
    return go_on(services, request, std::move(what), next);
}

} // namespace evenkeel::request
